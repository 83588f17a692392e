"""Several files of query cells in one run: the features that all have, and a batch for each."""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scadv_tf.data import several_files
from scadv_tf.data.cell_files import open_cells
from scadv_tf.data.datasets import DatasetSource, load
from scadv_tf.data.several_files import paths_of
from scadv_tf.errors import InputError

GENES = [f"G{i}" for i in range(8)]


@pytest.fixture
def source(tmp_path) -> DatasetSource:
    """RNA of 8 genes; two query files, one without the first gene, with cells of the same names."""
    random = np.random.default_rng(0)

    def write(name: str, cells: int, genes: list[str], **obs) -> str:
        counts = sparse.csr_matrix(random.poisson(3, (cells, len(genes))).astype(np.float32))
        adata = anndata.AnnData(counts)
        adata.var_names, adata.obs_names = genes, [f"c{i}" for i in range(cells)]
        adata.obs = adata.obs.assign(**obs)
        path = tmp_path / name
        adata.write_h5ad(path)
        return str(path)

    rna = write("rna.h5ad", 12, GENES, cell_type=["T", "B"] * 6)
    first = write("one.h5ad", 4, GENES, cell_type=["T", "B"] * 2)
    second = write("two.h5ad", 3, GENES[:0:-1], cell_type=["T", "B", "T"])
    return DatasetSource(rna=rna, atac=f"{first},{second}", min_shared_genes=2)


def test_cells_of_both_on_the_features_that_both_have(source):
    data, truth = load(source)
    first, second = (anndata.read_h5ad(path) for path in source.atac.split(","))
    assert data.genes.tolist() == GENES[1:] and data.atac.shape == (7, 7)
    np.testing.assert_array_equal(data.atac[:4].toarray(), first[:, GENES[1:]].X.toarray())
    np.testing.assert_array_equal(data.atac[4:].toarray(), second[:, GENES[1:]].X.toarray())
    assert data.atac_cells.tolist() == [f"one:c{i}" for i in range(4)] + [
        f"two:c{i}" for i in range(3)
    ]
    assert truth.labels.tolist() == ["T", "B"] * 2 + ["T", "B", "T"]


def test_each_file_is_a_batch_unless_another_column_is_named(source):
    batches = load(source)[0].batches["atac"]
    assert list(batches) == ["one"] * 4 + ["two"] * 3
    named = load(dataclasses.replace(source, atac_batch_key="cell_type"))[0].batches["atac"]
    assert set(named) == {"T", "B"}


def test_a_comma_in_the_name_of_one_file_is_no_list(source, tmp_path):
    one = tmp_path / "a,b.h5ad"
    one.write_bytes((tmp_path / "one.h5ad").read_bytes())
    assert paths_of(str(one)) == [str(one)]
    assert "atac" not in load(dataclasses.replace(source, atac=str(one)))[0].batches


def test_a_comma_at_the_end_or_twice_names_no_file(source):
    first = source.atac.split(",")[0]
    assert paths_of(f"{first},") == paths_of(f",{first}, ") == [first] and paths_of(",") == [","]
    assert load(dataclasses.replace(source, atac=f"{first},"))[0].atac.shape[0] == 4


@pytest.mark.parametrize("files", [25, 400])
def test_many_files_have_more_letters_than_the_name_of_one(source, tmp_path, files):
    first = (tmp_path / "one.h5ad").read_bytes()
    names = [f"sample_{number}.h5ad" for number in range(files)]
    (tmp_path / names[0]).write_bytes(first)
    for name in names[1:]:
        (tmp_path / name).symlink_to(tmp_path / names[0])
    paths = [str(tmp_path / name) for name in names]
    assert paths_of(",".join(names)) == names and paths_of(",".join(paths)) == paths
    if files == 25:
        data, _ = load(dataclasses.replace(source, atac=",".join(paths)))
        assert data.atac.shape[0] == 4 * files


def test_names_that_another_file_has_are_not_given(tmp_path):
    """The second `donor` must not be called as a third file is: its cells would be lost."""
    paths = [tmp_path / name for name in ("a/donor.h5ad", "b/donor.h5ad", "b/donor-2.h5ad")]
    assert several_files._names(paths) == ["donor", "donor-3", "donor-2"]
    assert several_files._names([paths[0]] * 3) == ["donor", "donor-2", "donor-3"]


def test_a_missing_file_of_several_is_told(source, tmp_path):
    given = f"{source.atac},{tmp_path / 'three.h5ad'}"
    with pytest.raises(InputError, match="the file of --atac does not exist") as error:
        load(dataclasses.replace(source, atac=given))
    assert error.value.received == str(tmp_path / "three.h5ad")


def test_several_files_of_rna_are_told_from_one_that_is_missing(source):
    with pytest.raises(InputError, match="the file of --rna does not exist") as error:
        load(dataclasses.replace(source, rna=f"{source.rna},{source.rna}"))
    assert error.value.advice.startswith("join these files, and give one: --rna takes no several")


def test_more_cells_than_may_be_held_are_refused(source):
    with pytest.raises(InputError, match="more cells together than may be held") as error:
        load(dataclasses.replace(source, memory_cells=6))
    assert error.value.received == "7 cells in 2 files"
    for advised in ("concat_on_disk", "--atac_batch_key=dataset"):
        assert advised in error.value.advice


def test_files_without_a_common_feature_are_refused(source, tmp_path):
    other = anndata.AnnData(np.ones((2, 3), dtype=np.float32))
    other.write_h5ad(tmp_path / "other.h5ad")
    given = f"{tmp_path / 'one.h5ad'},{tmp_path / 'other.h5ad'}"
    with pytest.raises(InputError, match="share no feature") as error:
        load(dataclasses.replace(source, atac=given))
    assert error.value.received == "one: G0, G1, G2; other: 0, 1, 2"


def peaks_of(path, places, called, counts) -> str:
    """Cells with peaks at such places (chrom, start, end), called by numbers or by these."""
    adata = anndata.AnnData(sparse.csr_matrix(np.asarray(counts, dtype=np.float32)))
    table = pd.DataFrame(places, columns=["chrom", "start", "end"])
    text = table["chrom"] + called[:1] + table["start"].astype(str) + "-" + table["end"].astype(str)
    adata.var = table.set_index(pd.Index([f"peak_{i}" for i in range(len(table))]))
    if called:
        adata.var = table[[]].set_index(pd.Index(text))
    adata.obs_names = [f"{path.stem}{i}" for i in range(adata.n_obs)]
    adata.write_h5ad(path)
    return str(path)


PLACES = [("chr1", 100 * i, 100 * i + 50) for i in range(1, 7)]


@pytest.mark.parametrize("called", ["", ":", "-"])
def test_peaks_are_the_same_where_they_lie(tmp_path, called):
    """Whatever they are called in each file: by their own numbers, or by other signs."""
    counts = np.arange(12).reshape(2, 6)
    one = peaks_of(tmp_path / "one.h5ad", PLACES, called, counts)
    two = peaks_of(tmp_path / "two.h5ad", PLACES[:0:-1], "", 10 * counts[:, :0:-1])
    with ExitStack() as stack:
        files = [stack.enter_context(open_cells(path, "atac")) for path in (one, two)]
        found = several_files.together(files, 0)
    assert found.var_names.tolist() == [f"chr1:{s}-{e}" for _, s, e in PLACES[1:]]
    np.testing.assert_array_equal(found.X.toarray(), np.vstack([counts, 10 * counts])[:, 1:])


def test_peaks_of_each_file_alone_are_refused(source, tmp_path):
    others = [(chrom, start + 7 * (i > 0), end) for i, (chrom, start, end) in enumerate(PLACES)]
    paths = [
        peaks_of(tmp_path / f"{name}.h5ad", places, ":", np.ones((2, 6)))
        for name, places in (("a", PLACES), ("b", others))
    ]
    with pytest.raises(InputError, match="share hardly a peak") as error:
        load(dataclasses.replace(source, atac=",".join(paths)))
    assert error.value.received == "1 in common of a: 6; b: 6"
    assert "one set of --peaks" in error.value.advice


def test_numbered_genes_of_unlike_files_are_refused(source, tmp_path):
    """Each file has symbols in a column, and numbers for names: of other genes, once filtered."""
    for name in ("one", "two"):
        adata = anndata.read_h5ad(tmp_path / f"{name}.h5ad")
        symbols = adata.var_names.to_numpy()
        adata.var = pd.DataFrame({"name": symbols}, index=np.arange(len(symbols)).astype(str))
        adata.write_h5ad(tmp_path / f"{name}.h5ad")
    with pytest.raises(InputError, match="not the same in one and two") as error:
        load(source)
    assert error.value.received == "'0' is G0 and G7 by the column 'name'"
    assert "adata.var['name']" in error.value.advice


def test_versions_of_identifiers_do_not_make_other_genes(source, tmp_path):
    for number, name in enumerate(("one", "two")):
        adata = anndata.read_h5ad(tmp_path / f"{name}.h5ad")
        adata.var["gene_ids"] = [f"ENSG{gene[1:]}.{number}" for gene in adata.var_names]
        adata.write_h5ad(tmp_path / f"{name}.h5ad")
    assert load(source)[0].genes.tolist() == GENES[1:]


@pytest.mark.parametrize("key", ["", "dataset"])
def test_a_column_of_the_name_that_files_get_is_kept(source, tmp_path, key):
    for name in ("one", "two"):
        adata = anndata.read_h5ad(tmp_path / f"{name}.h5ad")
        adata.obs["dataset"] = [f"donor{i % 2}" for i in range(adata.n_obs)]
        adata.write_h5ad(tmp_path / f"{name}.h5ad")
    data, _ = load(dataclasses.replace(source, atac_batch_key=key))
    assert set(data.batches["atac"]) == ({"donor0", "donor1"} if key else {"one", "two"})
    assert set(data.atac_obs["dataset" if key else "dataset_in_file"]) == {"donor0", "donor1"}
