"""Why a file could not be read: the cause that is told is the cause."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from anndata import AnnData
from reading import read_modality

from scadv_tf.data.readable import readable
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
