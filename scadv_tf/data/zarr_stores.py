"""Stores of zarr, a folder or a zipped one: groups and arrays as HDF5 has them."""

from __future__ import annotations

import tarfile
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import zarr

FORMAT = "zarr"
# What lies at the root of a store; of version 3 of the format, the last.
_ROOTS = (".zgroup", ".zattrs", ".zmetadata", "zarr.json")


def is_zarr(path: Path) -> bool:
    """Whether a path is a store of zarr, by its name or by what is in it."""
    import h5py

    named = path.name.casefold().endswith((".zarr", ".zarr.zip"))
    if path.is_dir():
        return named or any((path / name).exists() for name in _ROOTS)
    if zipfile.is_zipfile(path):
        try:
            return _root(path) is not None
        except zipfile.BadZipFile:  # told of when it is opened
            return named
    return named and not h5py.is_hdf5(path) and not tarfile.is_tarfile(path)


def open_zarr(path: Path, stack: ExitStack) -> zarr.Group:
    """The root of a store, which the stack closes."""
    import zarr

    from scadv_tf.data.zarr_codecs import make_safe

    make_safe()
    if path.is_dir():
        return zarr.open_group(str(path), mode="r")
    root = _root(path) or ""  # fails if the zip is damaged
    store = zarr.storage.ZipStore(str(path), mode="r")
    stack.callback(store.close)
    return zarr.open_group(store, path=root, mode="r")


def _root(path: Path) -> str | None:
    """Where a zip has the root of a store: at its own, or in a folder; None without one."""
    with zipfile.ZipFile(path) as archive:
        found = [name for name in archive.namelist() if name.rpartition("/")[2] in _ROOTS]
    return min(found, key=len).rpartition("/")[0] if found else None


def lacks_chunks(array: zarr.Array) -> bool:
    """Whether parts of an array are not stored; zarr reads zeros there. Of HDF5, never."""
    return getattr(array, "nchunks_initialized", 0) < getattr(array, "nchunks", 0)
