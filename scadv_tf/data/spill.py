"""Entries of a matrix that come in any order, sorted by cell on disk so that rows can be read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import sparse

ENTRIES_AT_ONCE = 1_000_000
BUCKET_CELLS = 1024
# The cell is counted from the first one of its bucket.
_ENTRY = np.dtype([("cell", "<i4"), ("feature", "<i4"), ("value", "<f4")])

# Cells, features and values of some entries.
Entries = tuple[np.ndarray, np.ndarray, np.ndarray]


class SortedOnDisk:
    """A matrix whose entries were dealt to files, each for some cells; 12 bytes an entry.

    Parameters
    ----------
    entries : all entries, in pieces and in any order.
    shape : cells and features.
    folder : where the files go; the caller removes it.
    bucket_cells : cells a file; None for a thousand or so.

    Raises
    ------
    ValueError : an entry lies outside the matrix.
    """

    def __init__(
        self,
        entries: Iterator[Entries],
        shape: tuple[int, int],
        folder: Path,
        bucket_cells: int | None = None,
    ):
        self._folder, self._shape = folder, shape
        self._cells = bucket_cells or BUCKET_CELLS
        self._last: tuple[int, sparse.csr_matrix] | None = None
        for part in checked_entries(entries, shape):
            self._deal(*part)

    def rows(self, start: int, stop: int) -> sparse.csr_matrix:
        """The rows from `start` up to `stop`, float32 [stop - start, features]."""
        parts = []
        for number in range(start // self._cells, -(-stop // self._cells)):
            first = number * self._cells
            bucket = self._bucket(number)
            parts.append(bucket[max(start - first, 0) : stop - first])
        return sparse.vstack(parts, format="csr")

    def _deal(self, cells: np.ndarray, features: np.ndarray, values: np.ndarray) -> None:
        buckets = cells // self._cells
        order = np.argsort(buckets, kind="stable")
        dealt = np.empty(len(cells), dtype=_ENTRY)
        dealt["cell"] = (cells - buckets * self._cells)[order]
        dealt["feature"] = features[order]
        dealt["value"] = values[order]
        filled, starts = np.unique(buckets[order], return_index=True)
        for number, part in zip(filled, np.split(dealt, starts[1:]), strict=False):
            with open(self._folder / str(number), "ab") as file:
                file.write(part.tobytes())

    def _bucket(self, number: int) -> sparse.csr_matrix:
        last = self._last  # read once: another thread may put another bucket there
        if last is None or last[0] != number:
            path = self._folder / str(number)
            found = np.fromfile(path, _ENTRY) if path.exists() else np.empty(0, _ENTRY)
            places = found["cell"], found["feature"]
            shape = (self._cells, self._shape[1])
            last = self._last = number, sparse.csr_matrix((found["value"], places), shape=shape)
        return last[1]


def checked_entries(entries: Iterator[Entries], shape: tuple[int, int]) -> Iterator[Entries]:
    """The same entries as int32, int32 and float32; ValueError where one is outside the matrix."""
    for cells, features, values in entries:
        yield (
            checked(cells, shape[0], "cell"),
            checked(features, shape[1], "feature"),
            numbers(values),
        )


def checked(positions: np.ndarray, size: int, name: str) -> np.ndarray:
    """Positions of entries, int32, each from 0 to size - 1; `name` is what they count.

    Raises
    ------
    ValueError : one is not.
    """
    if len(positions) and not (positions.min() >= 0 and positions.max() < size):
        raise ValueError(f"an entry belongs to a {name} that is not among the {size:,}")
    return positions.astype(np.int32, copy=False)


def numbers(values: np.ndarray) -> np.ndarray:
    """Values as float32; what is too large becomes infinite, and is told with its place later.

    Raises
    ------
    ValueError : they are no numbers.
    """
    if values.dtype.kind not in "buif":
        raise ValueError(f"the matrix holds {values.dtype}, not numbers")
    with np.errstate(over="ignore"):
        return values.astype(np.float32, copy=False)
