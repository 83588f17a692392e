from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scadv_tf.data.gene_matching import match_features, match_genes
from scadv_tf.errors import InputError


def match(rna, atac):
    return match_genes(np.array(rna), np.array(atac))


def places(rna, atac):
    """Where the names are that match best."""
    return match_features(rna, atac, minimum=0).names_from


def test_exact_names_in_the_order_of_rna():
    found = match(["C", "A", "B"], ["A", "X", "C"])
    assert list(found.genes) == ["C", "A"]
    np.testing.assert_array_equal(found.rna_sum.toarray(), [[1, 0], [0, 1], [0, 0]])
    np.testing.assert_array_equal(found.atac_sum.toarray(), [[0, 1], [0, 0], [1, 0]])
    assert found.matched_how == {"exact": 2, "version": 0, "dash": 0, "case": 0}
    assert found.duplicates_summed == 0


def test_versions_of_ensembl_identifiers_only():
    rna = ["ENSG00000000001.4", "ENSMUSG00000000002", "AL627309.1", "ENSG00000000003.1_PAR_Y"]
    atac = ["ENSG00000000001.12", "ENSMUSG00000000002.2", "AL627309.2", "ENSG00000000003"]
    found = match(rna, atac)
    assert list(found.genes) == [rna[0], rna[1], rna[3]]  # AL627309.1 is another gene than .2
    assert found.matched_how == {"exact": 0, "version": 3, "dash": 0, "case": 0}


def test_underscores_are_dashes_for_seurat():
    found = match(["HLA-A", "Y-RNA", "A_B"], ["HLA-A", "Y_RNA", "a-b"])
    assert list(found.genes) == ["HLA-A", "Y-RNA", "A_B"]
    assert found.matched_how == {"exact": 1, "version": 0, "dash": 1, "case": 1}


def test_points_are_dashes_where_r_has_made_names():
    found = match(["HLA-A", "MT.CO1", "AL627309.1"], ["HLA.A", "MT-CO1", "AL627309.2"])
    assert list(found.genes) == ["HLA-A", "MT.CO1"]
    assert found.matched_how == {"exact": 0, "version": 0, "dash": 2, "case": 0}


def test_case_comes_last():
    found = match(["Actb", "GAPDH", "Cd4"], ["ACTB", "GAPDH", "CD8A"])
    assert list(found.genes) == ["Actb", "GAPDH"]
    assert found.matched_how == {"exact": 1, "version": 0, "dash": 0, "case": 1}


def test_an_exact_match_is_not_diluted_by_another_case():
    found = match(["ACTB"], ["ACTB", "Actb"])  # a mixed-species file has both
    np.testing.assert_array_equal(found.atac_sum.toarray(), [[1], [0]])
    assert found.duplicates_summed == 0


def test_repeated_names_are_added_up():
    found = match(["A", "B", "A"], ["B", "A", "B", "B"])
    assert list(found.genes) == ["A", "B"]
    np.testing.assert_array_equal(found.rna_sum.toarray(), [[1, 0], [0, 1], [1, 0]])
    np.testing.assert_array_equal(found.atac_sum.toarray(), [[0, 1], [1, 0], [0, 1], [0, 1]])
    assert found.duplicates_summed == 3


def test_the_first_of_repeated_columns_is_taken_where_they_do_not_add_up():
    rna, query = (pd.DataFrame(index=names) for names in (["A", "B"], ["b", "A", "B", "A"]))
    found = match_features(rna, query, 1, summed=False)
    assert found.atac_sum.toarray().tolist() == [[0, 0], [1, 0], [0, 1], [0, 0]]
    assert found.left_out == 1 and found.duplicates_summed == 0
    assert "1 columns name a gene once more and were left out" in found.warnings("")[0]


def test_versions_of_one_gene_are_added_up():
    found = match(["ENSG00000000001.1", "ENSG00000000001.2"], ["ENSG00000000001"])
    assert found.genes.tolist() == ["ENSG00000000001.1"]
    assert found.rna_sum.sum() == 2 and found.duplicates_summed == 1


def test_nothing_in_common_and_empty_names():
    found = match(["A", ""], ["", "B"])
    assert len(found.genes) == 0
    assert found.rna_sum.shape == (2, 0)


@pytest.mark.parametrize("seed", range(3))
def test_every_column_is_used_at_most_once(seed):
    rng = np.random.default_rng(seed)
    alphabet = np.array(["a", "A", "b", "B", "ENSG00000000001.1", "ENSG00000000001.2", "c"])
    rna, atac = rng.choice(alphabet, 12), rng.choice(alphabet, 9)
    found = match(rna, atac)
    for columns in (found.rna_sum, found.atac_sum):
        assert columns.sum(axis=1).max() <= 1
        assert columns.sum(axis=0).min() >= 1
    assert sum(found.matched_how.values()) == len(found.genes)
    used = found.rna_sum.sum() + found.atac_sum.sum()
    assert found.duplicates_summed == used - 2 * len(found.genes)


IDS = [f"ENSG{i:011d}" for i in range(6)]
SYMBOLS = [f"GENE{i}" for i in range(6)]


def test_a_column_that_matches_far_better_is_used():
    rna = pd.DataFrame({"gene_name": SYMBOLS}, index=IDS)
    atac = pd.DataFrame(index=SYMBOLS)
    found = match_features(rna, atac, minimum=6)
    assert found.names_from == ("gene_name", "index")
    assert list(found.genes) == SYMBOLS
    assert match_features(atac, rna, minimum=6).names_from == ("index", "gene_name")


@pytest.mark.parametrize("column", ["Symbol", "name", "GENE SHORT NAME", "hgnc", "features"])
@pytest.mark.parametrize("kind", [object, "category", "string"])
def test_the_column_may_have_any_name(column, kind):
    rna = pd.DataFrame({"biotype": "protein_coding", "n_cells": 1, column: SYMBOLS}, index=IDS)
    rna[column] = rna[column].astype(kind)
    assert places(rna, pd.DataFrame(index=SYMBOLS)) == (column, "index")


@pytest.mark.parametrize(
    "prefix",
    ["GRCh38_", "mm10___", "hg19_", "GRCh38.p13_", "human_", "GRCh38-", "mm10---"]
    + ["refdata-gex-GRCh38-2020-A_", "10x_mm10_", "Rnor_6.0_", "Mmul_10_"],
)
def test_the_reference_before_the_names_is_none_of_theirs(prefix):
    named = pd.DataFrame(index=[prefix + symbol for symbol in SYMBOLS])
    plain = pd.DataFrame(index=SYMBOLS)
    for rna, atac in ((named, plain), (plain, named), (named, named)):
        assert list(match_features(rna, atac, minimum=1).genes) == SYMBOLS


@pytest.mark.parametrize("organism", ["PF3D7_{:07d}", "TGME49_{:06d}"])
def test_locus_tags_are_names_as_they_are(organism):
    genes = [organism.format(100 * number) for number in range(1, 9)]
    found = match_features(pd.DataFrame(index=genes), pd.DataFrame(index=genes[::-1]), minimum=1)
    assert list(found.genes) == genes


@pytest.mark.parametrize(
    "form",
    ["{}_GRCh38", "{}-hg38", "{}.hg19", "{}.GRCh38.p13", "{} (human)", "{}_RNA", "hg38.{}"]
    + ["H.sapiens_{}", "Gene Expression:{}", "{0}|7{1}", "7{1}|{0}", "chr1:{1}-1{1}:{0}"]
    + ["ENSG{1:011d}_GRCh38_{0}", "ENSG{1:011d}|{0}|kind{1}"],
)
def test_words_at_an_end_and_parts_of_names_are_none_of_theirs(form):
    odd = [form.format(symbol, number) for number, symbol in enumerate(SYMBOLS)]
    named, plain = (pd.DataFrame({"kind": "gene"}, index=names) for names in (odd, SYMBOLS))
    for rna, atac in ((named, plain), (plain, named)):
        assert list(match_features(rna, atac, minimum=1).genes) == SYMBOLS
    with pytest.raises(InputError) as error:  # which shows what the file has
        match_features(named, plain, minimum=7)
    assert error.value.received.startswith(f"RNA names such as {odd[0]}, {odd[1]}")


def test_ends_that_both_sides_have_stay():
    """The genes of many species begin alike."""
    rna = pd.DataFrame(index=[f"LOC_Os01g{i:05d}" for i in range(40)])
    atac = pd.DataFrame(index=[*rna.index[:20], *(f"other{i}" for i in range(5))])
    assert list(match_features(rna, atac, minimum=20).genes) == list(rna.index[:20])


@pytest.mark.parametrize("between", ["_", ":", "___"])
def test_names_of_two_references_are_left_alone(between):
    both = [f"{reference}{between}{n}" for reference in ("hg19", "mm10") for n in SYMBOLS]
    with pytest.raises(InputError, match="share only 0 genes"):
        match_features(pd.DataFrame(index=both), pd.DataFrame(index=SYMBOLS), minimum=1)


def test_columns_of_both_sides():
    rna = pd.DataFrame({"gene_ids": [f"{i}.3" for i in IDS]}, index=SYMBOLS)
    atac = pd.DataFrame({"gene_id": IDS}, index=[f"other{i}" for i in range(6)])
    assert places(rna, atac) == ("gene_ids", "gene_id")


def test_the_index_is_kept_unless_a_column_is_far_better():
    rna = pd.DataFrame({"gene_name": SYMBOLS}, index=[*SYMBOLS[:3], "x", "y", "z"])
    assert places(rna, pd.DataFrame(index=SYMBOLS)) == ("index", "index")  # 6 against 3
    rna.index = [*SYMBOLS[:2], "w", "x", "y", "z"]
    assert places(rna, pd.DataFrame(index=SYMBOLS)) == ("gene_name", "index")  # 6 against 2


def test_missing_names_in_a_column_match_nothing():
    rna = pd.DataFrame({"gene_name": [*SYMBOLS[:4], None, np.nan]}, index=IDS)
    atac = pd.DataFrame({"gene_name": [*SYMBOLS[:4], None, np.nan]}, index=list("abcdef"))
    assert list(match_features(rna, atac, minimum=1).genes) == SYMBOLS[:4]


def test_too_few_shared_genes_shows_names_of_both_sides():
    rna, atac = pd.DataFrame(index=["A", "B", "C", "D"]), pd.DataFrame(index=["D", "x", "y", "z"])
    with pytest.raises(InputError, match="share only 1 genes") as error:
        match_features(rna, atac, minimum=2)
    assert error.value.received == "RNA names such as A, B, C; ATAC names such as D, x, y"
    assert error.value.advice.startswith("name the genes alike in both")


@pytest.mark.parametrize("swapped", [False, True])
def test_identifiers_on_one_side_alone_are_told(swapped):
    tables = [pd.DataFrame(index=SYMBOLS), pd.DataFrame(index=[f"ENSG{i:011d}" for i in range(9)])]
    with pytest.raises(InputError, match="share only 0 genes") as error:
        match_features(*(tables if swapped else tables[::-1]), minimum=2)
    one, other = ("ATAC", "RNA") if swapped else ("RNA", "ATAC")
    told = f"the {one} genes are called by Ensembl identifiers and those of {other} are not"
    assert error.value.advice.startswith(told) and "--genes=FILE" in error.value.advice


@pytest.mark.parametrize(
    "form",
    ["{i}_{s}", "{s}_{i}", "{i}.7|{s}", "{s} ({i})", "{i}:{s}", "{s}--{i}.2", "{i}-{s}", "{s};{i}"],
)
def test_symbols_beside_identifiers_in_one_name(form):
    symbols = ["CD3D", "HLA-A", "MIR1302-2HG", "AC0.1"]
    names = [form.format(s=symbol, i=f"ENSG{i:011d}") for i, symbol in enumerate(symbols)]
    found = match_features(pd.DataFrame(index=names), pd.DataFrame(index=symbols), 4)
    assert found.genes.tolist() == symbols


@pytest.mark.parametrize("form", ["b'{}'", '"{}"', " {} ", "gene:{}", "rna_{}", "hs-{}", "hg38|{}"])
def test_what_other_programs_put_around_names(form):
    symbols = ["CD3D", "HLA-A", "CD4", "CD8A"]
    names = [form.format(symbol) for symbol in symbols]
    found = match_features(pd.DataFrame(index=names), pd.DataFrame(index=symbols), 4)
    assert found.genes.tolist() == symbols and found.matched_how["exact"] == 4
