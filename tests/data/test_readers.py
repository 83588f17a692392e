from __future__ import annotations

import logging

import h5py
import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from reading import read_modality
from scipy import sparse

from scadv_tf.data.features import feature_names
from scadv_tf.errors import InputError

COUNTS = [[1, 0, 2], [0, 3, 0]]
GENES = ["A", "B", "C"]


def same(adata: AnnData, expected, features=None) -> None:
    assert sparse.isspmatrix_csr(adata.X)
    assert adata.X.dtype == np.float32
    np.testing.assert_array_equal(adata.X.toarray(), expected)
    if features is not None:
        assert list(adata.var_names) == features


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
@pytest.mark.parametrize("kind", [np.int64, np.float64, np.uint8])
def test_h5ad_keeps_counts_obs_and_var_and_nothing_else(tmp_path, form, kind):
    adata = AnnData(
        form(np.array(COUNTS, dtype=kind)),
        obs=pd.DataFrame({"cell_type": pd.Categorical(["x", "y"])}, index=["c1", "c2"]),
        var=pd.DataFrame({"gene_id": ["1", "2", "3"]}, index=GENES),
        obsm={"X_pca": np.zeros((2, 2))},
        layers={"other": form(np.array(COUNTS, dtype=kind))},
        uns={"note": "x"},
    )
    adata.write_h5ad(tmp_path / "a.h5ad")
    read = read_modality(tmp_path / "a.h5ad", "rna")
    same(read, COUNTS, GENES)
    assert list(read.obs_names) == ["c1", "c2"]
    assert list(read.obs["cell_type"]) == ["x", "y"]
    assert list(read.var["gene_id"]) == ["1", "2", "3"]
    assert not (len(read.obsm) or len(read.layers) or len(read.uns))


def test_dense_rows_are_read_by_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("scadv_tf.data.stored_matrices.DENSE_ROWS_AT_ONCE", 3)
    dense = np.arange(40.0).reshape(8, 5)
    AnnData(dense).write_h5ad(tmp_path / "a.h5ad")
    same(read_modality(tmp_path / "a.h5ad", "rna"), dense)


def test_layer_and_raw(tmp_path, adata):
    full = adata([[1, 2, 3, 4]] * 2, ["A", "B", "C", "D"])
    part = full[:, ["A", "C"]].copy()
    part.raw = full
    part.layers["twice"] = part.X * 2
    part.write_h5ad(tmp_path / "a.h5ad")
    same(read_modality(tmp_path / "a.h5ad", "rna"), [[1, 3]] * 2, ["A", "C"])
    same(read_modality(tmp_path / "a.h5ad", "rna", "twice"), [[2, 6]] * 2, ["A", "C"])
    same(read_modality(tmp_path / "a.h5ad", "rna", "raw"), [[1, 2, 3, 4]] * 2, list("ABCD"))
    with pytest.raises(InputError, match="one of: twice, X, raw"):
        read_modality(tmp_path / "a.h5ad", "rna", "thrice")


def test_stored_zeros_are_no_counts_and_entries_in_parts_are_added_up(tmp_path, caplog):
    parts = (np.array([1.0, 4.0, 0.0]), np.array([1, 1, 0]), np.array([0, 2, 3]))
    AnnData(sparse.csr_matrix(parts, shape=(2, 2))).write_h5ad(tmp_path / "a.h5ad")
    read = read_modality(tmp_path / "a.h5ad", "rna")
    same(read, [[0, 5], [0, 0]])
    assert read.X.nnz == 1
    assert "1 cells have no count" in caplog.text


def test_positions_of_mixed_width_are_read(tmp_path):
    """As in files that grew on disk: 64-bit row pointers beside 32-bit columns."""
    counts = sparse.random(20, 30, 0.3, format="csr", dtype=np.float32, random_state=0)
    path = tmp_path / "grown.h5ad"
    AnnData(counts).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        for name, kind in (("indptr", np.int64), ("indices", np.int32)):
            positions = file["X"][name][:]
            del file["X"][name]
            file["X"].create_dataset(name, data=positions.astype(kind))
    assert (read_modality(path, "rna").X != counts).nnz == 0


def test_values_that_are_no_integers_are_welcome(tmp_path, adata):
    adata([[0.5, 0, 1.25]], GENES).write_h5ad(tmp_path / "a.h5ad")
    same(read_modality(tmp_path / "a.h5ad", "atac"), [[0.5, 0, 1.25]])


def test_negative_values_are_refused_and_what_could_be_used_is_named(tmp_path, adata):
    scaled = adata([[1, -2, 0], [0, 3, -0.5]], GENES)
    scaled.layers["counts"] = sparse.csr_matrix(np.array(COUNTS))
    scaled.layers["centered"] = scaled.X.copy()
    scaled.raw = adata(COUNTS, GENES)
    scaled.write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(InputError) as error:
        read_modality(tmp_path / "a.h5ad", "rna")
    assert error.value.received == "-2 in X, first in cell cell0, feature B"
    assert "--rna_layer=counts or raw" in error.value.advice
    assert "centered" not in error.value.advice
    same(read_modality(tmp_path / "a.h5ad", "rna", "counts"), COUNTS)
    with pytest.raises(InputError) as error:
        read_modality(tmp_path / "a.h5ad", "atac", "centered")
    assert "--atac_layer=counts or raw" in error.value.advice


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_placed(tmp_path, adata, bad):
    adata([[1, 0, 2], [0, bad, bad]], GENES).write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(InputError, match="values that are not finite") as error:
        read_modality(tmp_path / "a.h5ad", "rna")
    assert "cell cell1, feature B" in error.value.received


def test_too_large_for_float32_counts_as_not_finite(tmp_path):
    AnnData(np.array([[1.0, 1e300]])).write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(InputError, match="not finite"):
        read_modality(tmp_path / "a.h5ad", "rna")


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (3, 2)])
def test_no_counts_at_all_are_refused(tmp_path, shape):
    AnnData(sparse.csr_matrix(shape, dtype=np.float32)).write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(InputError, match="holds no counts"):
        read_modality(tmp_path / "a.h5ad", "rna")


def test_cells_without_counts_are_kept_and_told(tmp_path, adata, caplog):
    adata([[1, 0, 2], [0, 0, 0]], GENES).write_h5ad(tmp_path / "a.h5ad")
    with caplog.at_level(logging.WARNING):
        assert read_modality(tmp_path / "a.h5ad", "rna").n_obs == 2
    assert "1 cells have no count" in caplog.text


@pytest.mark.filterwarnings("ignore:.*names are not unique")
def test_repeated_names_become_unique_and_features_remember_theirs(tmp_path, adata, caplog):
    adata(COUNTS, ["A", "B", "A"], cells=["c", "c"]).write_h5ad(tmp_path / "a.h5ad")
    read = read_modality(tmp_path / "a.h5ad", "rna")
    assert list(read.obs_names) == ["c", "c-1"]
    assert list(read.var_names) == ["A", "B", "A-1"]
    assert list(feature_names(read.var)) == ["A", "B", "A"]
    assert "cell names are repeated" in caplog.text


@pytest.mark.parametrize(
    "kinds, expected",
    [
        (["Gene Expression", "Peaks", "Antibody Capture"], {"rna": ["A"], "atac": ["B"]}),
        (["GEX", "ATAC", "ATAC"], {"rna": ["A"], "atac": ["B", "C"]}),
        (
            ["Gene Expression", "Chromatin Accessibility", "Chromatin Accessibility"],
            {"rna": ["A"], "atac": ["B", "C"]},
        ),
        (["RNA-seq", "ATAC-seq", "ATAC-seq"], {"rna": ["A"], "atac": ["B", "C"]}),
        (["protein_coding"] * 3, {"rna": GENES, "atac": GENES}),
    ],
)
def test_feature_types_split_a_mixed_h5ad(tmp_path, adata, kinds, expected):
    mixed = adata([[1, 2, 3]], GENES, var={"feature_types": kinds})
    mixed.write_h5ad(tmp_path / "a.h5ad")
    for modality, features in expected.items():
        assert list(read_modality(tmp_path / "a.h5ad", modality).var_names) == features


def test_swapped_modalities_are_refused(tmp_path, adata):
    peaks = adata(COUNTS, GENES, var={"feature_types": ["Peaks"] * 3})
    peaks.write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(InputError, match="swapped"):
        read_modality(tmp_path / "a.h5ad", "rna")


def test_gene_activity_may_carry_the_column_of_its_gene_table(tmp_path, adata):
    activity = adata(COUNTS, GENES, var={"feature_types": ["Gene Expression"] * 3})
    activity.write_h5ad(tmp_path / "a.h5ad")
    same(read_modality(tmp_path / "a.h5ad", "atac"), COUNTS)


@pytest.fixture
def h5mu(tmp_path, adata):
    """Two modalities with different cells; labels lie in the file-wide table."""
    rna = adata(COUNTS, GENES, cells=["r1", "r2"], batch=["1", "2"])
    atac = adata([[1, 1], [0, 2], [3, 0]], ["chr1:1-2", "chr1:3-4"], cells=["r1", "a2", "a3"])
    with mudata.set_options(pull_on_update=False):
        both = mudata.MuData({"rna": rna, "atac": atac})
        both.obs["shared"] = [f"s_{name}" for name in both.obs_names]
        both.obs["rna:cell_type"] = [
            "T" if name.startswith("r") else None for name in both.obs_names
        ]
        both.obs["atac:quality"] = 1.0
        both.obs["batch"] = "file-wide"
        both.write(tmp_path / "a.h5mu")
    return tmp_path / "a.h5mu"


def test_h5mu_gives_one_modality_with_the_file_wide_columns(h5mu):
    rna = read_modality(h5mu, "rna")
    same(rna, COUNTS, GENES)
    assert list(rna.obs["cell_type"]) == ["T", "T"]
    assert list(rna.obs["shared"]) == ["s_r1", "s_r2"]
    assert list(rna.obs["batch"]) == ["1", "2"]  # its own column wins
    assert "quality" not in rna.obs
    atac = read_modality(h5mu, "atac")
    same(atac, [[1, 1], [0, 2], [3, 0]], ["chr1:1-2", "chr1:3-4"])
    assert list(atac.obs["shared"]) == ["s_r1", "s_a2", "s_a3"]
    assert "quality" in atac.obs and "cell_type" not in atac.obs


def test_h5mu_without_the_modality_names_those_it_has(h5mu):
    with h5py.File(h5mu, "a") as file:
        file.move("mod/atac", "mod/protein")
    with pytest.raises(InputError, match="no ATAC modality") as error:
        read_modality(h5mu, "atac")
    assert error.value.received == "protein, rna"


def renamed(h5mu, **names):
    """The file with other names of its modalities, and of their shared columns."""
    with h5py.File(h5mu, "a") as file:
        columns = [*file["obs"].attrs["column-order"]]
        for old, new in names.items():
            file.move(f"mod/{old}", f"mod/{new}")
            for column in [name for name in columns if name.startswith(f"{old}:")]:
                own = column.replace(old, new, 1)
                file["obs"].move(column, own)
                columns[columns.index(column)] = own
        del file["mod"].attrs["mod-order"]
        file["obs"].attrs["column-order"] = np.array(columns, dtype=object)
    return h5mu


@pytest.mark.parametrize("rna", ["GEX", "scRNA", "rna_seq", "RNA-raw", "Gene Expression", "mRNA"])
@pytest.mark.parametrize("atac", ["Peaks", "scATAC", "atac_peaks", "chromatin", "gene_activity"])
def test_h5mu_whose_modalities_are_called_otherwise(h5mu, rna, atac):
    path = renamed(h5mu, rna=rna, atac=atac)
    first, second = read_modality(path, "rna"), read_modality(path, "atac")
    same(first, COUNTS, GENES)
    same(second, [[1, 1], [0, 2], [3, 0]], ["chr1:1-2", "chr1:3-4"])
    assert list(first.obs["cell_type"]) == ["T", "T"] and "quality" not in first.obs
    assert "quality" in second.obs and "cell_type" not in second.obs


def test_h5mu_with_several_that_may_be_meant_names_them(h5mu):
    with h5py.File(h5mu, "a") as file:
        file.copy(file["mod/rna"], file["mod"], name="rna_raw")
        file.move("mod/rna", "mod/rna_filtered")
        file.copy(file["mod/rna_raw"], file["mod"], name="sgRNA")
    with pytest.raises(InputError, match="several modalities that may be RNA") as error:
        read_modality(h5mu, "rna")
    assert error.value.received == "rna_filtered, rna_raw"


def test_missing_file_is_told_before_anything_is_read(tmp_path):
    with pytest.raises(InputError, match="does not exist") as error:
        read_modality(tmp_path / "no.h5ad", "atac")
    assert "--atac" in error.value.advice
    with pytest.raises(InputError, match="does not exist"):
        read_modality("", "rna")


def test_unknown_suffix(tmp_path):
    (tmp_path / "a.csv").write_text("x")
    with pytest.raises(InputError, match="format of the RNA file is not known"):
        read_modality(tmp_path / "a.csv", "rna")


@pytest.mark.parametrize("name", ["a.h5ad", "a.h5mu", "a.h5"])
@pytest.mark.parametrize("content", [b"", b"not HDF5 at all"])
def test_a_file_that_is_no_hdf5(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="could not be read"):
        read_modality(tmp_path / name, "rna")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_file_cut_short(tmp_path, adata, share):
    adata(np.random.default_rng(0).poisson(1, (200, 50)), [f"g{i}" for i in range(50)]).write_h5ad(
        tmp_path / "whole.h5ad"
    )
    whole = (tmp_path / "whole.h5ad").read_bytes()
    (tmp_path / "cut.h5ad").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match="could not be read"):
        read_modality(tmp_path / "cut.h5ad", "rna")


def test_an_hdf5_file_of_another_kind(tmp_path):
    for name in ("a.h5ad", "a.h5mu", "a.h5"):
        with h5py.File(tmp_path / name, "w") as file:
            file["something"] = [1, 2]
        with pytest.raises(InputError, match="format of the RNA file is not known") as error:
            read_modality(tmp_path / name, "rna")
        assert "HDF5 with something" in error.value.received


def test_text_is_no_count(tmp_path):
    AnnData(np.ones((2, 2))).write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "a") as file:
        del file["X"]
        file["X"] = np.array([[b"1", b"2"], [b"3", b"4"]])
    with pytest.raises(InputError, match="could not be read"):
        read_modality(tmp_path / "a.h5ad", "rna")


def test_modality_is_checked():
    with pytest.raises(ValueError, match="modality='protein'"):
        read_modality("x.h5ad", "protein")
