from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scadv_tf.data.pairing import AtacTruth, PairedData, pair
from scadv_tf.errors import InputError

GENES = ["A", "B", "C"]
FINE = ["T1", "T2", "B", "T1", "B"]
BROAD = ["T", "T", "B", "T", "B"]


@pytest.fixture
def rna(adata):
    counts = np.arange(15).reshape(5, 3)
    return adata(counts, GENES, [f"r{i}" for i in range(5)], fine=FINE, broad=BROAD)


@pytest.fixture
def atac(adata):
    return adata([[1, 2], [3, 4], [5, 6]], ["C", "A"], ["a0", "a1", "a2"], broad=["B", "T", "B"])


def test_shared_genes_in_the_order_of_rna_and_sorted_types(rna, atac):
    data, _ = pair(rna, atac, "fine", min_shared_genes=1)
    assert list(data.genes) == ["A", "C"]
    np.testing.assert_array_equal(data.rna.toarray(), rna.X.toarray()[:, [0, 2]])
    np.testing.assert_array_equal(data.atac.toarray(), [[2, 1], [4, 3], [6, 5]])
    assert data.types == ("B", "T1", "T2")
    assert data.rna_labels.tolist() == [1, 2, 0, 1, 0] and data.rna_labels.dtype == np.int32
    assert data.rna_cells.tolist() == ["r0", "r1", "r2", "r3", "r4"]
    assert data.atac_cells.tolist() == ["a0", "a1", "a2"]
    for counts in (data.rna, data.atac):
        assert sparse.isspmatrix_csr(counts) and counts.dtype == np.float32


def test_repeated_genes_are_added_up(rna, adata):
    names = {"scadv_original_name": ["A", "C", "A"]}  # as the reader leaves repeated names
    atac = adata([[1, 2, 4]], ["A", "C", "A-1"], ["a0"], var=names)
    data, _ = pair(rna, atac, "fine", min_shared_genes=1)
    np.testing.assert_array_equal(data.atac.toarray(), [[5, 2]])
    assert data.matching.duplicates_summed == 1


def test_coarse_atac_labels_give_the_level(rna, atac):
    data, truth = pair(rna, atac, "fine", "broad", min_shared_genes=1)
    assert data.types == ("B", "T1", "T2")
    assert truth.level == {"B": "B", "T1": "T", "T2": "T"}
    assert truth.labels.tolist() == ["B", "T", "B"]
    assert truth.coarsen(["T2", "B", "unknown"]).tolist() == ["T", "B", "unknown"]


def test_confidence_adds_up_over_the_types_of_a_coarse_label():
    truth = AtacTruth(np.array(["T", "B"]), {"B": "B", "T1": "T", "T2": "T"})
    probabilities = np.array([[0.3, 0.4, 0.3], [0.5, 0.2, 0.3]])
    found = truth.confidence(probabilities, ("B", "T1", "T2"))
    # The most probable type decides the label, also where another group has more in all.
    np.testing.assert_allclose(found, [0.7, 0.5])


def test_the_same_column_in_both_is_the_same_level(rna, atac):
    _, truth = pair(rna, atac, "broad", min_shared_genes=1)
    assert truth.level == {"B": "B", "T": "T"}


def test_without_a_column_of_that_name_the_levels_are_equal(rna, atac):
    atac.obs["known"] = ["T1", "B", "T2"]
    _, truth = pair(rna, atac, "fine", "known", min_shared_genes=1)
    assert truth.level == {"B": "B", "T1": "T1", "T2": "T2"}


def test_a_type_with_two_coarse_labels_is_refused(rna, atac):
    rna.obs["broad"] = ["T", "T", "B", "B", "B"]
    with pytest.raises(InputError, match="'T1' has 2 labels") as error:
        pair(rna, atac, "fine", "broad", min_shared_genes=1)
    assert error.value.received == "B, T"


def test_no_truth_without_atac_labels(rna, atac):
    assert pair(rna, atac, "fine", min_shared_genes=1)[1] is None
    atac.obs["fine"] = [None, "", "nan"]
    assert pair(rna, atac, "fine", min_shared_genes=1)[1] is None


def test_atac_labels_do_not_change_what_training_sees(rna, atac):
    seen, _ = pair(rna, atac, "fine", "broad", min_shared_genes=1)
    atac.obs["broad"] = ["T", "B", "T"]
    again, _ = pair(rna, atac, "fine", "broad", min_shared_genes=1)
    for name in set(PairedData.__dataclass_fields__) - {"atac_obs", "rna_obs", "peaks", "matching"}:
        first, second = getattr(seen, name), getattr(again, name)
        if sparse.issparse(first):
            first, second = first.toarray(), second.toarray()
        np.testing.assert_equal(first, second)
    assert not any(isinstance(getattr(seen, n), AtacTruth) for n in PairedData.__dataclass_fields__)


@pytest.mark.parametrize("modality, keys", [("RNA", ("type", "")), ("ATAC", ("fine", "type"))])
def test_a_missing_label_column_lists_those_there_are(rna, atac, modality, keys):
    with pytest.raises(InputError, match=f"the {modality} cells have no column 'type'") as error:
        pair(rna, atac, *keys, min_shared_genes=1)
    assert "broad" in error.value.expected


@pytest.mark.parametrize(
    "missing",
    [
        None,
        np.nan,
        "",
        " ",
        "nan",
        "NA",
        "None",
        "<NA>",
        "null",
        "\u00a0",
        "\tna\n",
        "#N/A",
        "'NA'",
    ],
)
def test_rna_cells_without_a_label_are_left_out_and_told(rna, atac, missing, caplog):
    rna.obs["fine"] = ["T1", missing, "B", "T1", missing]
    data, _ = pair(rna, atac, "fine", min_shared_genes=1)
    assert data.rna_cells.tolist() == ["r0", "r2", "r3"]
    assert data.rna.shape == (3, 2) and len(data.rna_obs) == 3
    assert data.matching.cells_without_label == 2
    assert "2 RNA cells without a label" in caplog.text
    assert any("without a label" in warning for warning in data.matching.warnings)


def test_words_for_cells_of_no_known_type_are_labels(rna, atac):
    rna.obs["fine"] = ["Unassigned", "-", "Unassigned", "doublet", "-"]
    assert pair(rna, atac, "fine", min_shared_genes=1)[0].types == ("-", "Unassigned", "doublet")


@pytest.mark.parametrize("form", [" {} ", "b'{}'", '"{}"', "'{}'"])
def test_what_other_programs_put_around_labels(rna, atac, form):
    rna.obs["fine"] = [form.format(name) for name in ("T cell", "B", "T\u00a0cell", "3' end", "B")]
    data, _ = pair(rna, atac, "fine", min_shared_genes=1)
    assert data.types == ("3' end", "B", "T cell")
    assert data.rna_labels.tolist() == [2, 1, 2, 0, 1]


@pytest.mark.parametrize("form", [float, "category", str, object])
def test_cluster_numbers_that_a_gap_has_made_floats(rna, atac, form):
    rna.obs["fine"] = pd.Series([1.0, np.nan, 0.0, 1.0, 12.0], rna.obs_names).astype(form)
    data, _ = pair(rna, atac, "fine", min_shared_genes=1)
    assert data.types == ("0", "1", "12") and data.matching.cells_without_label == 1


def test_numbers_that_are_no_clusters_stay_as_they_are(rna, atac):
    rna.obs["fine"] = [1.0, 0.5, 0.5, 1.0, 1.0]
    assert pair(rna, atac, "fine", min_shared_genes=1)[0].types == ("0.5", "1.0")


@pytest.mark.parametrize("name", ["unknown", "Unknown", "UNKNOWN"])
def test_unknown_is_no_type(rna, atac, name, caplog):
    rna.obs["fine"] = ["T1", name, "B", None, name]
    rna.obs["broad"] = ["T", "T", "B", "T", "B"]  # so that it would have two coarse labels
    atac.obs["broad"] = ["B", name, "T"]
    data, truth = pair(rna, atac, "fine", "broad", min_shared_genes=1)
    assert data.types == ("B", "T1") and data.rna_cells.tolist() == ["r0", "r2"]
    assert data.matching.cells_without_label == 3
    assert "3 RNA cells without a label were left out, 2 of them because" in caplog.text
    # The ATAC cell is there, but is not scored.
    assert data.atac_cells.tolist() == ["a0", "a1", "a2"]
    assert truth.labels.tolist() == ["B", "", "T"]


def test_no_cell_of_a_known_type_is_said_to_be_unknown(rna, atac, caplog):
    rna.obs["fine"] = ["T1", "unknown T", "B", None, "B"]
    data, _ = pair(rna, atac, "fine", min_shared_genes=1)
    assert data.types == ("B", "T1", "unknown T")
    assert "1 RNA cells without a label were left out" in caplog.text
    assert "names no type" not in caplog.text


def test_unknown_may_be_dropped_from_both_modalities(rna, atac):
    rna.obs["fine"] = ["T1", "unknown", "B", "T1", "B"]
    atac.obs["fine"] = ["T1", "unknown", "B"]
    data, truth = pair(rna, atac, "fine", drop_types=["unknown"], min_shared_genes=1)
    assert data.rna_cells.tolist() == ["r0", "r2", "r3", "r4"]
    assert data.atac_cells.tolist() == ["a0", "a2"] and truth.labels.tolist() == ["T1", "B"]
    assert data.matching.dropped_cells == {"rna": 1, "atac": 1}
    assert data.matching.cells_without_label == 0


def test_unknown_is_not_known_where_nothing_is_taught(rna, atac):
    rna.obs["fine"] = ["T1", "unknown", "B", "T1", "B"]
    data, _ = pair(rna, atac, "fine", min_shared_genes=1, supervised=False)
    assert data.known_rna_types().tolist() == ["T1", "", "B", "T1", "B"]


def test_categories_and_numbers_are_labels_too(rna, atac):
    rna.obs["cluster"] = [3, 10, 3, 10, None]
    data, _ = pair(rna, atac, "cluster", min_shared_genes=1)
    assert data.types == ("10", "3")
    rna.obs["fine"] = pd.Categorical(FINE, categories=["T2", "T1", "B", "unused"])
    data, _ = pair(rna, atac, "fine", min_shared_genes=1)
    assert data.types == ("B", "T1", "T2")


def test_a_column_may_be_called_by_the_text_of_its_name(rna, atac):
    """As pandas numbers columns that were given none; of a text and a number, the text is meant."""
    rna.obs = rna.obs.rename(columns={"fine": 0, "broad": 1})
    atac.obs = atac.obs.rename(columns={"broad": 1})
    data, truth = pair(rna, atac, "0", "1", min_shared_genes=1)
    assert data.types == ("B", "T1", "T2") and truth.level == {"B": "B", "T1": "T", "T2": "T"}
    _, truth = pair(rna, atac, "1", min_shared_genes=1)  # which both have
    assert truth.labels.tolist() == ["B", "T", "B"]
    _, truth = pair(rna, atac, "1", min_shared_genes=1, supervised=False)
    assert truth.known and truth.level == {"B": "B", "T": "T"}
    rna.obs["0"] = BROAD
    assert pair(rna, atac, "0", min_shared_genes=1)[0].types == ("B", "T")


def test_dropped_types_leave_both_modalities(rna, atac):
    atac.obs["fine"] = ["T2", "B", ""]
    peaks = sparse.csr_matrix([[1, 0], [0, 2], [3, 0]])
    data, truth = pair(rna, atac, "fine", peaks=peaks, drop_types=["T2"], min_shared_genes=1)
    assert data.types == ("B", "T1")
    assert data.rna_cells.tolist() == ["r0", "r2", "r3", "r4"]
    assert data.atac_cells.tolist() == ["a1", "a2"]
    np.testing.assert_array_equal(data.peaks.toarray(), [[0, 2], [3, 0]])
    assert truth.labels.tolist() == ["B", ""] and truth.level == {"B": "B", "T1": "T1"}
    assert data.matching.dropped_cells == {"rna": 1, "atac": 1}


def test_dropping_across_levels(rna, atac):
    rna.obs["fine"] = ["T1", "T2", "B1", "T1", "B2"]
    # One fine type of several: its coarse label stays in ATAC.
    data, _ = pair(rna, atac, "fine", "broad", drop_types=["T2"], min_shared_genes=1)
    assert data.types == ("B1", "B2", "T1") and len(data.atac_cells) == 3
    # A coarse label takes its types along, and all its types take the coarse label along.
    for dropped in (["T"], ["T1", "T2"]):
        data, _ = pair(rna, atac, "fine", "broad", drop_types=dropped, min_shared_genes=1)
        assert data.types == ("B1", "B2")
        assert data.atac_cells.tolist() == ["a0", "a2"]


def test_an_unknown_type_to_drop_lists_the_types(rna, atac):
    with pytest.raises(InputError, match="the type Mis, which --drop_types") as error:
        pair(rna, atac, "fine", drop_types=["Mis"], min_shared_genes=1)
    assert error.value.expected == "one of: B, T1, T2"


@pytest.mark.parametrize("labels", [["T"] * 5, [None] * 5])
def test_fewer_than_two_types_are_refused(rna, atac, labels):
    rna.obs["fine"] = labels
    with pytest.raises(InputError, match="fewer than two cell types|no cell is left"):
        pair(rna, atac, "fine", min_shared_genes=1)


def test_no_atac_cell_left(rna, atac):
    atac.obs["broad"] = ["B"] * 3
    rna.obs["broad"] = ["B", "T", "C", "T", "C"]
    with pytest.raises(InputError, match="no cell is left"):
        pair(rna, atac, "broad", drop_types=["B"], min_shared_genes=1)


def test_no_labels_at_all(rna, atac):
    data, truth = pair(rna, atac, "", min_shared_genes=1)
    assert data.rna_labels is None and data.types == () and truth is None
    assert data.rna.shape == (5, 2)


def test_genes_that_must_have_counts_in_both_are_as_many_as_must_be_shared(rna, atac):
    assert pair(rna, atac, "fine", min_shared_genes=1)[0].fewest_genes == 2
    assert pair(rna, atac, "fine", min_shared_genes=2)[0].fewest_genes == 2
    atac = atac[:, [0, 1, 1]].copy()
    atac.var_names = ["A", "B", "C"]
    assert pair(rna, atac, "fine", min_shared_genes=3)[0].fewest_genes == 3


def test_too_few_shared_genes(rna, atac):
    with pytest.raises(InputError, match="share only 2 genes"):
        pair(rna, atac, "fine")


def test_the_report(rna, atac):
    rna.obs["fine"] = ["T1", None, "B", "T1", "B"]
    atac.obs["fine"] = ["T1", "Z", "B"]
    peaks = sparse.csr_matrix((3, 7))
    report = pair(rna, atac, "fine", peaks=peaks, peaks_in_genes=4, min_shared_genes=1)[0].matching
    assert json.loads(json.dumps(report.to_dict())) == {
        "rna_cells": 4, "atac_cells": 3, "rna_genes": 3, "atac_genes": 2, "shared_genes": 2,
        "matched_how": {"exact": 2, "version": 0, "dash": 0, "case": 0}, "duplicates_summed": 0,
        "rna_names_from": "index", "atac_names_from": "index", "peaks": 7, "peaks_in_genes": 4,
        "cells_without_label": 1, "dropped_cells": {"rna": 0, "atac": 0},
        "rna_types": {"B": 2, "T1": 2}, "rare_types": {"B": 2, "T1": 2},
        "warnings": report.warnings, "query": "ATAC", "kind": "accessibility", "names": [],
        "better_genome": None,
    }  # fmt: skip
    assert len(report.warnings) == 3  # no label, rare, Z
    assert any("Z" in warning for warning in report.warnings)
    lines = report.text().splitlines()
    assert lines[0] == "RNA: 4 cells, 3 genes"
    assert lines[1] == "ATAC: 3 cells, 2 genes, 7 peaks (4 in genes)"
    assert lines[2].startswith("shared genes: 2 (2 by exact name")


def test_rare_means_fewer_than_ten_cells(adata, atac):
    labels = ["many"] * 10 + ["few"] * 9
    rna = adata(np.ones((19, 3)), GENES, fine=labels)
    assert pair(rna, atac, "fine", min_shared_genes=1)[0].matching.rare_types == {"few": 9}


def test_cells_without_a_count_in_the_shared_genes_are_told(rna, atac):
    atac.X = sparse.csr_matrix([[0, 0], [1, 0], [0, 0]], dtype=np.float32)
    report = pair(rna, atac, "fine", min_shared_genes=1)[0].matching
    assert any(w.startswith("2 of 3 ATAC cells are empty or nearly empty") for w in report.warnings)


def test_a_type_whose_every_cell_is_empty_is_told(adata, atac):
    counts = np.repeat([[1, 1, 1], [2, 0, 1], [0, 0, 0]], [12, 10, 11], axis=0)
    rna = adata(counts, GENES, fine=["B"] * 12 + ["T1"] * 9 + ["gone"] * 12)
    report = pair(rna, atac, "fine", min_shared_genes=1)[0].matching
    assert "no RNA cell of these types has data" not in "".join(report.warnings)  # one is left
    assert report.rare_types == {"T1": 9, "gone": 1}
    rna.obs["fine"] = ["B"] * 12 + ["T1"] * 10 + ["gone"] * 11
    report = pair(rna, atac, "fine", min_shared_genes=1)[0].matching
    told = "no RNA cell of these types has data, so that none can be learned: gone"
    assert told in report.warnings and report.rare_types == {"gone": 0}


def test_types_of_which_one_alone_has_data_are_refused(adata, atac):
    rna = adata([[1, 1, 1]] * 4 + [[0, 0, 0]] * 3, GENES, fine=["B"] * 4 + ["T1"] * 3)
    with pytest.raises(InputError, match="with data are of fewer than two cell types") as error:
        pair(rna, atac, "fine", min_shared_genes=1)
    assert error.value.received == "B; 3 of 7 cells are empty or nearly empty there"
    assert pair(rna, atac, "fine", min_shared_genes=1, supervised=False)


def test_another_species_is_suspected(adata):
    rna = adata(np.ones((20, 2)), ["ACTB", "CD4"], fine=["a", "b"] * 10)
    atac = adata(np.ones((2, 2)), ["Actb", "Cd4"])
    report = pair(rna, atac, "fine", min_shared_genes=1)[0].matching
    assert any("same species" in warning for warning in report.warnings)


@pytest.mark.parametrize("labels", [["0", "1", "0"], [0, 1, 2], [1.0, None, 2.0], ["b", "t", ""]])
@pytest.mark.parametrize("supervised", [True, False])
def test_atac_labels_that_share_no_name_with_the_types_are_not_known(rna, atac, labels, supervised):
    atac.obs["fine"] = labels
    data, truth = pair(rna, atac, "fine", min_shared_genes=1, supervised=supervised)
    assert truth is None
    (warning,) = [text for text in data.matching.warnings if "share no name" in text]
    assert "column 'fine'" in warning and "(B, T1, T2)" in warning and "no scores" in warning
    assert not any("count as errors" in text for text in data.matching.warnings)


def test_some_foreign_labels_count_as_errors_and_many_are_not_all_listed(rna, atac):
    atac.obs["fine"] = ["T1", "x", "y"]
    data, truth = pair(rna, atac, "fine", min_shared_genes=1)
    assert truth.labels.tolist() == ["T1", "x", "y"]
    assert any("count as errors: x, y" in text for text in data.matching.warnings)
    rna.obs["many"] = [f"t{i}" for i in range(5)]
    rna.obs.loc["r0", "many"] = "t5"
    atac.obs["many"] = ["0", "1", "2"]
    data, truth = pair(rna, atac, "many", min_shared_genes=1)
    assert truth is None and "t1, t2, t3, t4, t5)" in " ".join(data.matching.warnings)


def test_labels_of_atac_alone_are_kept_where_nothing_is_taught(rna, atac):
    atac.obs["mine"] = ["x", "y", "x"]
    _, truth = pair(rna, atac, "none", "mine", min_shared_genes=1, supervised=False)
    assert truth.labels.tolist() == ["x", "y", "x"]
