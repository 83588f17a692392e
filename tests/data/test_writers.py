"""The integrated file holds both modalities, and what was found, for any scverse tool."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest

from scadv_tf.data.pairing import pair
from scadv_tf.data.writers import write_integrated

RNA_LABELS, ATAC_LABELS = np.array(["x", "y", "x"]), np.array(["y", "x"])
LATENT = np.arange(20.0).reshape(5, 4)
UMAP = np.arange(10.0).reshape(5, 2)


@pytest.fixture
def data(adata):
    """Three RNA and two ATAC cells; the name 'c1' is in both; the tables have awkward columns."""
    rna = adata(
        [[1, 0, 2], [0, 3, 0], [4, 5, 6]],
        ["A", "B", "C"],
        ["c1", "c2", "c3"],
        cell_type=pd.Categorical(["x", "y", "x"]),
        batch=[1, 2, 3],
        fraction=[0.5, np.nan, 0.25],
        good=[True, False, True],
        modality=["theirs"] * 3,
        mixed=["text", 7, None],
        count=pd.array([1, None, 3], dtype="Int64"),
        day=pd.to_datetime(["2020-01-01", None, "2020-01-03"]),
    )
    atac = adata(
        [[7, 8, 0], [0, 9, 0]], ["A", "B", "C"], ["c1", "d2"], batch=[8, 9], sample=["s", "t"]
    )
    rna.obs.index.name = "barcode"
    return pair(rna, atac, "cell_type", min_shared_genes=1)[0]


@pytest.fixture
def written(tmp_path, data):
    path = tmp_path / "out" / "integrated.h5ad"
    write(path, data)
    assert [found.name for found in path.parent.iterdir()] == ["integrated.h5ad"]
    return anndata.read_h5ad(path)


def write(path, data):
    labels = {"rna": RNA_LABELS, "atac": ATAC_LABELS}
    confidence = {"rna": np.array([0.9, 0.8, 0.7]), "atac": np.array([0.6, 0.5])}
    unknown = {"rna": np.zeros(3, dtype=bool), "atac": np.array([False, True])}
    write_integrated(path, data, labels, confidence, unknown, LATENT, UMAP)


def test_rna_cells_come_first_and_each_cell_keeps_its_name(written):
    assert written.obs["modality"].tolist() == ["rna"] * 3 + ["atac"] * 2
    assert written.obs["cell"].tolist() == ["c1", "c2", "c3", "c1", "d2"]
    assert written.obs_names.is_unique
    assert written.obs_names.tolist() == ["c1-rna", "c2-rna", "c3-rna", "c1-atac", "d2-atac"]


def test_counts_of_the_shared_genes(written):
    expected = [[1, 0, 2], [0, 3, 0], [4, 5, 6], [7, 8, 0], [0, 9, 0]]
    np.testing.assert_array_equal(written.X.toarray(), expected)
    assert written.var_names.tolist() == ["A", "B", "C"]


def test_what_was_found(written):
    assert written.obs["scadv_label"].tolist() == ["x", "y", "x", "y", "x"]
    np.testing.assert_allclose(
        written.obs["scadv_confidence"], [0.9, 0.8, 0.7, 0.6, 0.5], rtol=1e-6
    )
    assert written.obs["scadv_unknown"].tolist() == [False, False, False, False, True]
    assert written.obs["scadv_unknown"].dtype == bool
    np.testing.assert_array_equal(written.obsm["X_scadv"], LATENT)
    np.testing.assert_array_equal(written.obsm["X_umap"], UMAP)
    assert written.obsm["X_scadv"].dtype == written.obsm["X_umap"].dtype == np.float32
    for column in ("modality", "scadv_label"):
        assert isinstance(written.obs[column].dtype, pd.CategoricalDtype)


def test_the_columns_of_both_inputs_are_kept(written):
    obs = written.obs
    assert obs["batch"].tolist() == [1, 2, 3, 8, 9]
    assert obs["cell_type"].tolist() == ["x", "y", "x", "", ""]
    assert obs["sample"].tolist() == ["", "", "", "s", "t"]
    np.testing.assert_array_equal(obs["fraction"], [0.5, np.nan, 0.25, np.nan, np.nan])
    assert obs["mixed"].tolist() == ["text", "7", "", "", ""]
    assert [str(value) for value in obs["good"][:3]] == ["True", "False", "True"]
    assert obs["count"].tolist()[0] == 1 and obs["count"].tolist()[2] == 3
    assert [str(value)[:10] for value in obs["day"][:3]] == ["2020-01-01", "", "2020-01-03"]


def test_the_data_are_left_alone(written, data):
    assert list(data.rna_obs["modality"]) == ["theirs"] * 3
    assert "scadv_label" not in data.rna_obs and "scadv_label" not in data.atac_obs
    assert list(data.rna_obs.index) == ["c1", "c2", "c3"]


def test_a_failed_write_leaves_nothing(tmp_path, data, monkeypatch):
    def fail(self, path, **settings):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(anndata.AnnData, "write_h5ad", fail)
    with pytest.raises(OSError, match="disk full"):
        write(tmp_path / "integrated.h5ad", data)
    assert not list(tmp_path.iterdir())
