"""Several files of query cells in one run: the features that all have, and a batch for each."""

from __future__ import annotations

import dataclasses

import anndata
import numpy as np
import pytest
from scipy import sparse

from scadv_tf.data import several_files
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
