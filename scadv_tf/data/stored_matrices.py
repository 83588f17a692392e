"""Matrices [cells, features] in a file, of which the rows of some cells can be read.

Rows come as float32 CSR, otherwise as they are stored: entries may repeat, be 0, or be no counts.
Positions are checked before they are followed, since SciPy follows a damaged one anywhere.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy import sparse

from scadv_tf.data.spill import (
    ENTRIES_AT_ONCE,
    Entries,
    SortedOnDisk,
    checked,
    checked_entries,
    numbers,
)
from scadv_tf.data.tables import is_group
from scadv_tf.data.zarr_stores import lacks_chunks

if TYPE_CHECKING:
    import h5py

DENSE_ROWS_AT_ONCE = 1024


class StoredMatrix(Protocol):
    """A matrix that is read in parts; ValueError where it is damaged."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def all_stored(self) -> bool:
        """Whether each value is stored, zeros too."""

    def rows(self, start: int, stop: int) -> sparse.csr_matrix:
        """The rows from `start` up to `stop`, float32; for any thread."""

    def values(self) -> Iterator[np.ndarray]:
        """All stored values, float32, in pieces."""


def stacked(parts: Iterable[sparse.csr_matrix], features: int) -> sparse.csr_matrix:
    """Rows of so many features one below the other, float32; of no part, no row."""
    none = sparse.csr_matrix((0, features), dtype=np.float32)
    return sparse.vstack([none, *parts], format="csr")


def in_pieces(data: h5py.Dataset | np.ndarray) -> Iterator[np.ndarray]:
    """Stored values [N], float32, some at a time."""
    for start in range(0, data.shape[0], ENTRIES_AT_ONCE):
        yield numbers(data[start : start + ENTRIES_AT_ONCE])


class DenseRows:
    """A matrix with all its zeros; it is never held as such."""

    all_stored = True

    def __init__(self, array: h5py.Dataset):
        self._array, self.shape = array, tuple(map(int, array.shape))

    def rows(self, start: int, stop: int) -> sparse.csr_matrix:
        """See `StoredMatrix`."""
        starts = range(start, stop, DENSE_ROWS_AT_ONCE)
        blocks = (self._array[first : min(first + DENSE_ROWS_AT_ONCE, stop)] for first in starts)
        return stacked((sparse.csr_matrix(numbers(block)) for block in blocks), self.shape[1])

    def values(self) -> Iterator[np.ndarray]:
        """See `StoredMatrix`."""
        for start in range(0, self.shape[0], DENSE_ROWS_AT_ONCE):
            yield numbers(self._array[start : start + DENSE_ROWS_AT_ONCE]).ravel()


class SparseRows:
    """A matrix that is stored by cell (CSR): a group with data, indices and indptr."""

    all_stored = False

    def __init__(self, group: h5py.Group, shape: tuple[int, int]):
        self._group, self.shape = group, shape
        _check_sizes(group, shape[0])

    def rows(self, start: int, stop: int) -> sparse.csr_matrix:
        """See `StoredMatrix`."""
        pointers = _pointers(self._group, start, stop)
        part = slice(int(pointers[0]), int(pointers[-1]))
        features = checked(self._group["indices"][part], self.shape[1], "feature")
        arrays = numbers(self._group["data"][part]), features, pointers - pointers[0]
        return sparse.csr_matrix(arrays, shape=(stop - start, self.shape[1]))

    def values(self) -> Iterator[np.ndarray]:
        """See `StoredMatrix`."""
        return in_pieces(self._group["data"])


class UnsortedEntries:
    """A matrix whose entries come in any order: sorted by cell in memory if all are wanted.

    Otherwise they are sorted on disk, 12 bytes an entry, when rows are first asked for.

    Parameters
    ----------
    entries : gives all entries, in pieces.
    scratch : gives a new folder for what is sorted on disk.
    bucket_cells : see `SortedOnDisk`.
    in_memory : whether all entries may be held at once.
    """

    all_stored = False

    def __init__(
        self,
        entries: Callable[[], Iterator[Entries]],
        shape: tuple[int, int],
        scratch: Callable[[], Path],
        bucket_cells: int | None = None,
        in_memory: bool = True,
    ):
        self._entries, self.shape, self._scratch = entries, shape, scratch
        self._bucket_cells, self._in_memory = bucket_cells, in_memory
        self._lock = threading.Lock()
        self._sorted: SortedOnDisk | None = None

    def rows(self, start: int, stop: int) -> sparse.csr_matrix:
        """See `StoredMatrix`."""
        if self._in_memory and self._sorted is None and stop - start == self.shape[0]:
            return self._all()
        with self._lock:
            if self._sorted is None:
                self._sorted = SortedOnDisk(
                    self._entries(), self.shape, self._scratch(), self._bucket_cells
                )
            found = self._sorted
        return found.rows(start, stop)

    def values(self) -> Iterator[np.ndarray]:
        """See `StoredMatrix`."""
        return (numbers(values) for _, _, values in self._entries())

    def _all(self) -> sparse.csr_matrix:
        nothing = np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.float32)
        parts = [nothing, *checked_entries(self._entries(), self.shape)]
        cells, features, values = map(np.concatenate, zip(*parts, strict=True))
        del parts
        return sparse.csr_matrix((values, (cells, features)), shape=self.shape)


def stored_matrix(
    element: h5py.Group | h5py.Dataset, shape: tuple[int, int], scratch: Callable[[], Path]
) -> StoredMatrix:
    """A matrix as anndata and those that write its format store it.

    Parameters
    ----------
    shape : cells and features, where the matrix does not say.
    scratch : see `UnsortedEntries`.

    Raises
    ------
    ValueError : it is stored in another way.
    """
    if not is_group(element):
        if len(element.shape or ()) != 2:  # an array of HDF5 may have no shape
            raise ValueError(f"an array of the shape {element.shape} is no matrix")
        return DenseRows(element)
    missing = [name for name in ("data", "indices", "indptr") if name not in element]
    if missing:
        raise ValueError(f"a group without {' and '.join(missing)} is no matrix")
    marks = element.attrs
    rows, columns = map(int, marks.get("shape", marks.get("h5sparse_shape", shape)))
    shape = rows, columns
    kind = marks.get("encoding-type", marks.get("h5sparse_format", ""))
    kind = kind.decode() if isinstance(kind, bytes) else str(kind)
    if not kind:  # R writes none
        kind = "csr" if element["indptr"].shape[0] == shape[0] + 1 else "csc"
    if kind.startswith("csr"):
        return SparseRows(element, shape)
    if kind.startswith("csc"):
        _check_sizes(element, shape[1])
        return UnsortedEntries(lambda: _by_feature(element), shape, scratch)
    raise ValueError(f"a matrix stored as {kind} is not known")


def _by_feature(group: h5py.Group) -> Iterator[Entries]:
    """The entries of a matrix that is stored by feature (CSC)."""
    pointers = _pointers(group, 0, None)
    for start in range(0, group["data"].shape[0], ENTRIES_AT_ONCE):
        stop = min(start + ENTRIES_AT_ONCE, group["data"].shape[0])
        lengths = np.diff(np.clip(pointers, start, stop))
        features = np.repeat(np.arange(len(lengths)), lengths)
        part = slice(start, start + len(features))
        yield group["indices"][part], features, group["data"][part]


def _check_sizes(group: h5py.Group, rows: int) -> None:
    """Of the three arrays of a compressed matrix with so many rows (or columns, if by those)."""
    data, indices, pointers = (group[name].shape[0] for name in ("data", "indices", "indptr"))
    if data != indices or pointers != rows + 1 or group["indptr"][0] != 0:
        raise ValueError(
            f"{data} values, {indices} positions and {pointers} pointers do not make {rows} rows"
        )
    missing = lacks_chunks(group["data"]) or lacks_chunks(group["indices"])
    if missing or (data and group["indptr"][-1] == 0):
        raise ValueError("chunks of the matrix are missing")


def _pointers(group: h5py.Group, start: int, stop: int | None) -> np.ndarray:
    """Where the rows from `start` up to `stop` begin, and where the last of them ends."""
    pointers = group["indptr"][start : None if stop is None else stop + 1].astype(np.int64)
    rising = np.all(pointers[1:] >= pointers[:-1])
    if not rising or pointers[0] < 0 or pointers[-1] > group["data"].shape[0]:
        raise ValueError("the pointers to the rows are damaged: they do not rise within the data")
    return pointers


def first_entry(matrix: sparse.csr_matrix, wanted: np.ndarray) -> tuple[int, int, float]:
    """Row, column and value of the first entry that is wanted; bool, one for each entry."""
    entry = int(wanted.argmax())
    row = int(np.searchsorted(matrix.indptr, entry, side="right")) - 1
    return row, int(matrix.indices[entry]), matrix.data[entry]
