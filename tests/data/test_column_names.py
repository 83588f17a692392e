"""Columns whose names an .h5ad cannot hold side by side get others; no name of a cell is lost."""

from __future__ import annotations

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest

from scadv_tf.data.annotated_files import AnnotatedH5ad
from scadv_tf.data.answers import CellAnswers, most_probable
from scadv_tf.data.column_names import safe_columns
from scadv_tf.data.pairing import pair
from scadv_tf.data.writers import write_integrated

TYPES = ("x", "y")
ANSWERS = ["scadv_label", "scadv_confidence", "scadv_accepted_label", "scadv_novelty"]
# Of RNA and of ATAC cells: each a column that one file cannot hold beside the other's.
COLLIDING = {
    "an array and a folder of that name": (["CD4"], ["CD4/CD8"]),
    "the other way round": (["CD4/CD8"], ["CD4"]),
    "parts of a category": (["kind"], ["kind/codes"]),
    "the place of the names": (["_index"], ["_index/x"]),
    "another name of the rows": (["index"], ["cell", "__categories"]),
    "a place outside of the table": (["/X"], ["/var", "../obs"]),
    "places that are no names": (["."], ["..", "/"]),
    "folders in folders": (["a/b/c", "a_b_c"], ["a/b", "a"]),
    "upper and lower case": (["Batch", "CELL"], ["batch", "Cell"]),
    "what a run adds": (["scadv_label", "modality"], ["scadv_label/x", "scadv/label", "modality/"]),
}


def answers_of(cells: int) -> CellAnswers:
    shares = np.tile(np.float32([0.25, 0.75]), (cells, 1))
    latent, label = np.ones((cells, 3), np.float32), most_probable(shares, TYPES)
    return CellAnswers(latent, shares, shares[:, 0], shares[:, 0] > 0.5, label)


@pytest.mark.parametrize("kind", COLLIDING)
def test_the_joint_file_names_all_cells_and_keeps_all_columns(adata, tmp_path, kind, caplog):
    rna_columns, atac_columns = COLLIDING[kind]
    values = ["u", "v", "u"]
    rna = adata([[1, 2]] * 3, ["A", "B"], **dict.fromkeys(rna_columns, values))
    atac = adata([[1, 2]] * 3, ["A", "B"], **dict.fromkeys(atac_columns, [1.5, 2.5, 3.5]))
    data, _ = pair(rna, atac, "", min_shared_genes=1, supervised=False)
    path, answers = tmp_path / "integrated.h5ad", dict.fromkeys(("rna", "atac"), answers_of(3))
    write_integrated(path, data, answers, np.zeros((6, 2)))
    found = anndata.read_h5ad(path)
    names = [*(f"{n}-rna" for n in rna.obs_names), *(f"{n}-atac" for n in atac.obs_names)]
    assert found.obs_names.tolist() == names and found.obs["cell"].tolist()[0] == rna.obs_names[0]
    assert found.var_names.tolist() == ["A", "B"] and found.X.shape == (6, 2)
    assert found.obs["scadv_label"].tolist() == ["y"] * 6
    assert found.obs["modality"].tolist() == ["rna"] * 3 + ["atac"] * 3
    own = {"modality", "cell", "scadv_label"}
    kept = found.obs.drop(columns=[*own, *ANSWERS[1:], "scadv_unknown"])
    assert kept.shape[1] == len({*rna_columns, *atac_columns} - own)
    told = [record.message for record in caplog.records if " is called " in record.message]
    assert len(told) == len({*rna_columns, *atac_columns} - {*found.obs})


@pytest.mark.parametrize(
    "columns, taken, called",
    [
        (["a", "b c", "Ω"], ["a"], ["a", "b c", "Ω"]),
        (["a/b", "a_b", "a_b_1"], [], ["a_b_2", "a_b", "a_b_1"]),
        (["x/y"], ["x_y"], ["x_y_1"]),
        (["", ".", "..", "/"], [], ["_1", "._1", ".._1", "_"]),
        (["_index", "__categories", "index"], [], ["_index_1", "__categories_1", "index"]),
    ],
)
def test_only_what_must_be_is_called_otherwise(columns, taken, called):
    found = safe_columns(columns, taken)
    assert [found[name] for name in columns] == called


def with_column(path, name, values, encoding="array"):
    """Adds a column as tools do that write HDF5 themselves."""
    with h5py.File(path, "r+") as file:
        obs = file["obs"]
        anndata.io.write_elem(obs, "new", values)
        obs["new"].attrs["encoding-type"] = encoding
        obs.move("new", name)
        obs.attrs["column-order"] = [*obs.attrs["column-order"], name]


def with_a_column_that_is_gone(path):
    with h5py.File(path, "r+") as file:
        order = file["obs"].attrs["column-order"]
        file["obs"].attrs["column-order"] = [*order, "gone"]


def with_a_column_elsewhere(path):
    with_a_column_that_is_gone(path)
    with h5py.File(path, "r+") as file:
        file["obs/gone"] = h5py.ExternalLink("gone.h5", "/x")


def with_names_in(path, name):
    """Calls the index of the table of cells so."""
    with h5py.File(path, "r+") as file:
        obs = file["obs"]
        obs.move(obs.attrs["_index"], name)
        obs.attrs["_index"] = name


@pytest.mark.parametrize(
    "change",
    [
        lambda path: with_column(path, "CD4/CD8", np.arange(3.0)),
        lambda path: with_column(path, "scadv_label/x", np.arange(3.0)),
        lambda path: with_names_in(path, "scadv_label"),
        lambda path: with_names_in(path, "scadv/names"),
        lambda path: with_names_in(path, "batch_of_cells"),
        lambda path: with_column(path, "date", np.arange(3.0), "of-next-year"),
        lambda path: with_column(path, "wide", np.ones((3, 2))),
        lambda path: with_column(path, "records", np.zeros(3, dtype=[("a", "i4")])),
        with_a_column_that_is_gone,
        with_a_column_elsewhere,
    ],
    ids=[
        *("a folder", "in a folder of ours", "names as ours", "names in a folder", "other names"),
        *("of a newer program", "a matrix", "records", "gone", "a broken link"),
    ],
)
def test_an_annotated_file_names_all_cells(adata, tmp_path, change):
    cells = adata([[1]] * 3, ["A"], kind=pd.Categorical(["u", "v", None]), day=[1, 2, 3])
    cells.write_h5ad(tmp_path / "in.h5ad")
    change(tmp_path / "in.h5ad")
    with h5py.File(tmp_path / "in.h5ad") as source:
        with AnnotatedH5ad(tmp_path / "out.h5ad", 3, TYPES, 3, {}, source["obs"]) as file:
            file.write(cells.obs_names.to_numpy(), answers_of(3))
    found = anndata.read_h5ad(tmp_path / "out.h5ad")
    assert found.obs_names.tolist() == cells.obs_names.tolist()
    assert found.obs["scadv_label"].tolist() == ["y"] * 3
    assert found.obs["kind"].tolist()[:2] == ["u", "v"] and found.obs["day"].tolist() == [1, 2, 3]
    floats = [name for name in found.obs if name in ("CD4_CD8", "scadv_label_x")]
    assert all(found.obs[name].tolist() == [0, 1, 2] for name in floats)
    found.write_h5ad(tmp_path / "again.h5ad")
