"""One record, one table of columns: whoever writes an answer writes all of it."""

from __future__ import annotations

from types import SimpleNamespace

import anndata
import numpy as np
import pandas as pd
import pytest

from scadv_tf.data import answers as module
from scadv_tf.data.annotated_files import AnnotatedH5ad, AnnotatedTable
from scadv_tf.data.answers import COLUMNS, CellAnswers, most_probable, obs_columns
from scadv_tf.data.pairing import pair
from scadv_tf.data.rows import DiskRows
from scadv_tf.data.writers import write_integrated
from scadv_tf.results import predictions

TYPES = ("B", "NK", "T")
PROBABILITIES = np.array([[0.2, 0.3, 0.5], [0.7, 0.2, 0.1], [0.4, 0.6, 0.0]], np.float32)
CELLS = np.array(["c1", "c2", "c3"])
NAMES = ["label", "confidence", "accepted_label", "novelty", "unknown"]


@pytest.fixture
def found() -> CellAnswers:
    """Three cells: a T cell, an unknown one like a B cell, an NK cell."""
    return CellAnswers(
        latent=np.arange(6, dtype=np.float32).reshape(3, 2),
        probabilities=PROBABILITIES,
        novelty=np.array([0.1, 0.9, 0.12345678], np.float32),
        unknown=np.array([False, True, False]),
        label=most_probable(PROBABILITIES, TYPES),
        other_routes={"svm": np.array(["T", "T", "B"], dtype=object)},
        uncertainty=np.array([0.5, 0.25, 0.5], np.float32),
        distance=np.array([1, 2, 3], np.float32),
    )


def predictions_csv(found, folder, data) -> pd.DataFrame:
    annotation, given = SimpleNamespace(voted=found), SimpleNamespace(atac_cells=CELLS)
    return predictions(SimpleNamespace(answers=annotation.voted, data=given, truth=None))


def integrated_h5ad(found, folder, data) -> pd.DataFrame:
    answers = {"rna": found, "atac": found}
    write_integrated(folder / "integrated.h5ad", data, answers, np.zeros((6, 2)))
    return anndata.read_h5ad(folder / "integrated.h5ad").obs.iloc[:3]


def annotated_h5ad(found, folder, data) -> pd.DataFrame:
    with AnnotatedH5ad(folder / "annotated.h5ad", 3, TYPES, 2, {}) as file:
        file.write(CELLS, found)
    return anndata.read_h5ad(folder / "annotated.h5ad").obs


def annotated_csv(found, folder, data) -> pd.DataFrame:
    with AnnotatedTable(folder / "annotated.csv") as file:
        file.write(CELLS, found)
    return pd.read_csv(folder / "annotated.csv")


def into_anndata(found, folder, data) -> pd.DataFrame:
    """As the client does, and whoever has the record in Python."""
    cells = anndata.AnnData(obs=pd.DataFrame(index=CELLS))
    found.write_into(cells)
    np.testing.assert_array_equal(cells.obsm["X_scadv"], found.latent)
    return cells.obs


# Writer -> what stands before its names.
WRITERS = {
    predictions_csv: "",
    annotated_csv: "",
    integrated_h5ad: "scadv_",
    annotated_h5ad: "scadv_",
    into_anndata: "scadv_",
}


@pytest.fixture
def data(adata):
    """Three RNA and three ATAC cells."""
    rna, atac = (adata([[1], [2], [3]], ["A"], list(CELLS)) for _ in range(2))
    return pair(rna, atac, "", min_shared_genes=1, supervised=False)[0]


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.__name__)
def test_every_writer_says_the_same(writer, found, tmp_path, data):
    table, prefix = writer(found, tmp_path, data), WRITERS[writer]
    assert [name for name in table if name.removeprefix(prefix) in NAMES] == [
        f"{prefix}{name}" for name in NAMES
    ]
    expected = {
        "label": ["T", "B", "NK"],
        "confidence": pytest.approx([0.5, 0.7, 0.6]),
        "accepted_label": ["T", "unknown", "NK"],
        "novelty": pytest.approx([0.1, 0.9, 0.12345678], abs=1e-6),
        "unknown": [False, True, False],
    }
    for name, values in expected.items():
        assert table[f"{prefix}{name}"].tolist() == values


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.__name__)
def test_a_new_column_is_one_line(writer, found, tmp_path, data, monkeypatch):
    monkeypatch.setitem(COLUMNS, "doubt", lambda found: 1 - found.confidence)
    runner_up = lambda found: most_probable(-found.probabilities, TYPES)  # noqa: E731
    monkeypatch.setitem(COLUMNS, "least_like", runner_up)
    table, prefix = writer(found, tmp_path, data), WRITERS[writer]
    assert table[f"{prefix}doubt"].tolist() == pytest.approx([0.5, 0.3, 0.4])
    assert table[f"{prefix}least_like"].tolist() == ["B", "T", "T"]


def test_cells_without_data_are_unknown_and_any_type_alike(found, tmp_path):
    kept = np.array([True, False, True, True, False])
    every = found.of_all(kept)
    assert every.label.tolist() == ["T", "B", "B", "NK", "B"]
    assert every.accepted_label.tolist() == ["T", "unknown", "unknown", "NK", "unknown"]
    assert every.confidence[~kept].tolist() == [np.float32(1 / 3)] * 2
    assert every.novelty[~kept].tolist() == every.uncertainty[~kept].tolist() == [1, 1]
    assert np.isnan(every.distance[~kept]).all()
    assert every.routes["svm"].tolist() == ["T", "unknown", "T", "B", "unknown"]
    assert list(every.routes) == ["label_transfer", "svm"]
    np.testing.assert_array_equal(every.latent[:][kept], found.latent)
    assert not every.latent[:][~kept].any()
    for name in ("probabilities", "novelty", "unknown", "uncertainty", "distance"):
        np.testing.assert_array_equal(getattr(every, name)[kept], getattr(found, name))
        assert getattr(every, name).dtype == getattr(found, name).dtype
    same = found.of_all(np.ones(3, bool))
    assert all(getattr(same, name) is getattr(found, name) for name in ("latent", "label"))


def test_without_types_there_are_latent_vectors_alone(tmp_path, found):
    bare = CellAnswers(found.latent)
    assert bare.columns() == bare.table() == bare.routes == obs_columns(bare, bare) == {}
    kept = np.array([True, True, False, True])
    assert bare.of_all(kept).latent[:].shape == (4, 2)
    with AnnotatedTable(tmp_path / "x.csv") as file:
        file.write(CELLS, bare)
    assert pd.read_csv(tmp_path / "x.csv").columns.tolist() == ["cell", "scadv_1", "scadv_2"]


def test_some_cells_are_those_of_all(found):
    whole, part = found.table(), found.table(slice(1, 3))
    for name, values in whole.items():
        assert part[name].tolist() == values[1:3].tolist()


def test_latent_vectors_on_disk_go_into_an_anndata(found, tmp_path):
    rows = DiskRows(tmp_path / "latent", 2)
    rows[0:3] = found.latent
    old = {"X_scadv_umap": np.ones((3, 2)), "X_umap": np.ones((3, 2))}
    cells = anndata.AnnData(obs=pd.DataFrame({"scadv_label": "old"}, index=CELLS), obsm=old)
    module.replace(found, latent=rows).write_into(cells)
    np.testing.assert_array_equal(cells.obsm["X_scadv"], found.latent)
    assert [*cells.obsm] == ["X_umap", "X_scadv"]  # a UMAP of the older answers is none of these
    assert cells.obs["scadv_label"].tolist() == ["T", "B", "NK"]


def test_a_type_that_is_called_unknown_is_no_second_category(found):
    """As an export of an older version may have."""
    types = ("B", "T", "unknown")
    older = module.replace(found, label=most_probable(PROBABILITIES, types))
    assert older.accepted_label.categories.tolist() == list(types)
    assert older.accepted_label.tolist() == ["unknown", "unknown", "T"]


def test_the_outputs_of_a_served_model():
    parts = [
        {
            "latent": np.zeros((len(names), 2), np.float32),
            "probabilities": np.full((len(names), 3), 1 / 3, np.float32),
            "label": np.array(names),
            "confidence": np.full(len(names), 1 / 3, np.float32),
            "novelty": np.ones(len(names), np.float32),
            "unknown": np.ones(len(names), bool),
        }
        for names in (["T", "B"], ["γδ T"])
    ]
    told = CellAnswers.from_outputs(iter(parts), version=3)
    assert told.label.tolist() == ["T", "B", "γδ T"] and told.version == 3
    assert told.label.categories.tolist() == ["B", "T", "γδ T"]
    known = CellAnswers.from_outputs(parts, ("T", "γδ T", "NK", "B"))
    assert known.label.categories.tolist() == ["T", "γδ T", "NK", "B"]
    assert known.label.tolist() == told.label.tolist() and known.version is None
