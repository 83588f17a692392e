"""Why a file could not be read: the cause that is told is the cause."""

from __future__ import annotations

import zlib
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from reading import read_modality
from scipy import sparse

from scadv_tf.data.readable import passed_over, readable
from scadv_tf.data.tenx_h5 import has_genomes
from scadv_tf.errors import InputError


def test_a_package_that_does_not_load_is_not_called_a_damaged_file():
    with pytest.raises(InputError) as told, readable(Path("cells.h5ad"), ".h5ad"):
        from numpy import no_such_name  # noqa: F401 (as zarr asked of a newer numcodecs)
    assert "package" in told.value.what and "damaged" not in str(told.value)
    assert "no_such_name" in told.value.received


def test_what_is_not_understood_is_called_damaged():
    with pytest.raises(InputError, match="damaged") as told, readable(Path("a.h5ad"), ".h5ad"):
        raise KeyError("indptr")
    assert told.value.received == "KeyError: 'indptr'"


def test_a_matrix_that_is_none_is_not_called_damaged(tmp_path):
    """As anndata 0.12.0 writes it, for cells that have a table alone."""
    path = tmp_path / "table.h5ad"
    AnnData(np.ones((2, 1)), layers={"counts": np.ones((2, 1))}).write_h5ad(path)
    with h5py.File(path, "a") as file:
        del file["X"]
        file["X"] = h5py.Empty("f4")
        file["X"].attrs["encoding-type"] = "null"
    with pytest.raises(InputError, match="(?s)has no X.*one of: counts"):
        read_modality(path, "rna")
    np.testing.assert_array_equal(read_modality(path, "rna", "counts").X.toarray(), [[1], [1]])


RECORDS = np.zeros(2, dtype=[("a", "i4"), ("b", "f4")])


def nested(file):
    """A layer called log/x, as anndata writes it."""
    file.create_group("layers/log")
    file.copy("X", "layers/log/x")


def put(place, value):
    def put_it(file):
        if place in file:
            del file[place]
        file[place] = value

    return put_it


ODD = {
    "a layer of layers": (nested, "log"),
    "an empty group": (lambda file: file.create_group("layers/x"), "x"),
    "a number": (put("layers/x", 5.0), "x"),
    "no number": (put("layers/x", h5py.Empty("f4")), "x"),
    "a row of numbers": (put("layers/x", np.ones(2)), "x"),
    "text": (put("layers/x", np.array([[b"a"], [b"b"]])), "x"),
    "records": (put("layers/x", RECORDS[:, None]), "x"),
    "a link to no file": (put("layers/x", h5py.ExternalLink("gone.h5", "/x")), "x"),
    "a link to nothing": (put("layers/x", h5py.SoftLink("/gone")), "x"),
    "a link to itself": (put("layers/x", h5py.SoftLink("/layers/x")), "x"),
    "a number for all layers": (put("layers", 5.0), "x"),
    "a link for all layers": (put("layers", h5py.ExternalLink("gone.h5", "/x")), "x"),
    "a link beside": (put("extra", h5py.ExternalLink("gone.h5", "/x")), "extra"),
    "a number for raw": (put("raw", 5.0), "raw"),
    "a number beside": (put("obsm", 5.0), "obsm"),
}


@pytest.mark.parametrize("kind", ODD)
def test_what_is_odd_matters_only_where_it_is_asked_for(tmp_path, kind):
    change, layer = ODD[kind]
    path = tmp_path / "a.h5ad"
    AnnData(sparse.csr_matrix([[1.5], [0.5]]), layers={"counts": np.ones((2, 1))}).write_h5ad(path)
    with h5py.File(path, "a") as file:
        change(file)
    assert not has_genomes(path)
    np.testing.assert_array_equal(read_modality(path, "rna").X.toarray(), [[1.5], [0.5]])
    with pytest.raises(InputError, match="has no |could not be read"):
        read_modality(path, "rna", layer)


def test_a_matrix_that_is_asked_for_by_a_broken_link_is_told(tmp_path):
    path = tmp_path / "a.h5ad"
    AnnData(np.ones((2, 1))).write_h5ad(path)
    with h5py.File(path, "a") as file:
        put("X", h5py.ExternalLink("gone.h5", "/x"))(file)
    with pytest.raises(InputError, match=r"could not be read(?s:.*)open (external )?file"):
        read_modality(path, "rna")


@pytest.mark.parametrize(
    "value",
    [
        5.0,
        h5py.Empty("f4"),
        RECORDS,
        np.ones((2, 2)),
        np.ones(1),
        h5py.ExternalLink("gone.h5", "x"),
    ],
    ids=["number", "nothing", "records", "several", "short", "link"],
)
@pytest.mark.parametrize("marked", [True, False])
def test_an_odd_column_is_left_out_and_told(tmp_path, caplog, value, marked):
    path = tmp_path / "a.h5ad"
    obs = pd.DataFrame({"odd": [1, 2], "type": ["x", "y"]}, index=["c1", "c2"])
    AnnData(np.ones((2, 1)), obs=obs).write_h5ad(path)
    with h5py.File(path, "a") as file:
        put("obs/odd", value)(file)
        if marked and file.get("obs/odd") is not None:
            file["obs/odd"].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    with caplog.at_level("WARNING"):
        found = read_modality(path, "rna").obs
    assert list(found.columns) == ["type"] and list(found["type"]) == ["x", "y"]
    assert "the column 'odd' of obs is stored in a way that is not known here" in caplog.text


@pytest.mark.parametrize("error", [OSError, KeyError, TypeError, RuntimeError, zlib.error])
def test_what_is_not_asked_for_is_passed_over_and_want_of_memory_is_not(error):
    with passed_over():
        raise error("damaged")
    with pytest.raises(MemoryError), passed_over():
        raise MemoryError
