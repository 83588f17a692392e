"""Why a file could not be read: the cause that is told is the cause."""

from __future__ import annotations

from pathlib import Path

import pytest

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
