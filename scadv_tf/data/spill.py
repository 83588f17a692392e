"""Entries of a matrix that come in any order, sorted by cell on disk so that rows can be read."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

if TYPE_CHECKING:
    import h5py

ENTRIES_AT_ONCE = 1_000_000
BUCKET_CELLS = 1024
# The cell is counted from the first one of its bucket.
_ENTRY = np.dtype([("cell", "<i4"), ("feature", "<i4"), ("value", "<f4")])

# Cells, features and values of some entries.
Entries = tuple[np.ndarray, np.ndarray, np.ndarray]


class SortedOnDisk:
    """A matrix whose entries were dealt to files, each for a thousand cells; 12 bytes an entry.

    Parameters
    ----------
    entries : all entries, in pieces and in any order.
    shape : cells and features.
    folder : where the files go; the caller removes it.

    Raises
    ------
    ValueError : an entry lies outside the matrix.
    """

    def __init__(self, entries: Iterator[Entries], shape: tuple[int, int], folder: Path):
        self._folder, self._shape = folder, shape
        self._last: tuple[int, sparse.csr_matrix] | None = None
        for cells, features, values in entries:
            _check_inside(cells, shape[0], "cell")
            _check_inside(features, shape[1], "feature")
            self._deal(cells, features, values)

    def rows(self, start: int, stop: int) -> sparse.csr_matrix:
        """The rows from `start` up to `stop`, float32 [stop - start, features]."""
        parts = []
        for number in range(start // BUCKET_CELLS, -(-stop // BUCKET_CELLS)):
            first = number * BUCKET_CELLS
            bucket = self._bucket(number)
            parts.append(bucket[max(start - first, 0) : stop - first])
        return sparse.vstack(parts, format="csr")

    def _deal(self, cells: np.ndarray, features: np.ndarray, values: np.ndarray) -> None:
        buckets = cells // BUCKET_CELLS
        order = np.argsort(buckets, kind="stable")
        dealt = np.empty(len(cells), dtype=_ENTRY)
        dealt["cell"] = (cells - buckets * BUCKET_CELLS)[order]
        dealt["feature"] = features[order]
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is told later
            dealt["value"] = values[order]
        numbers, starts = np.unique(buckets[order], return_index=True)
        for number, part in zip(numbers, np.split(dealt, starts[1:]), strict=False):
            with open(self._folder / str(number), "ab") as file:
                file.write(part.tobytes())

    def _bucket(self, number: int) -> sparse.csr_matrix:
        last = self._last  # read once: another thread may put another bucket there
        if last is None or last[0] != number:
            path = self._folder / str(number)
            found = np.fromfile(path, _ENTRY) if path.exists() else np.empty(0, _ENTRY)
            places = found["cell"], found["feature"]
            shape = (BUCKET_CELLS, self._shape[1])
            last = self._last = number, sparse.csr_matrix((found["value"], places), shape=shape)
        return last[1]


def csc_entries(group: h5py.Group) -> Iterator[Entries]:
    """The entries of a matrix [cells, features] that is stored by features in HDF5."""
    pointers = group["indptr"][:].astype(np.int64)
    for start in range(0, len(group["data"]), ENTRIES_AT_ONCE):
        stop = min(start + ENTRIES_AT_ONCE, len(group["data"]))
        numbers = np.diff(np.clip(pointers, start, stop))
        features = np.repeat(np.arange(len(numbers)), numbers)
        yield group["indices"][start:stop].astype(np.int64), features, group["data"][start:stop]


def mtx_shape(path: Path) -> tuple[int, int]:
    """Rows and columns of a MatrixMarket file, gzipped or not."""
    with _text(path) as file:
        return _head(file)[:2]


def mtx_entries(path: Path) -> Iterator[Entries]:
    """Rows, columns (from 0) and values of a MatrixMarket file, gzipped or not.

    Raises
    ------
    ValueError : it is not a plain matrix of numbers, or has another number of entries than it says.
    """
    with _text(path) as file:
        _, _, expected = _head(file)
        found = 0
        if expected:
            tables = pd.read_csv(
                file, sep=r"\s+", header=None, names=["row", "column", "value"], comment="%",
                dtype={"row": np.int64, "column": np.int64, "value": np.float64},
                na_filter=False, chunksize=ENTRIES_AT_ONCE,
            )  # fmt: skip
            for table in tables:
                found += len(table)
                rows, columns, values = (table[name].to_numpy() for name in table)
                yield rows - 1, columns - 1, values
        if found != expected:
            raise ValueError(f"{path.name} says it has {expected} entries, and has {found}")


def _text(path: Path):
    opener = gzip.open if path.name.casefold().endswith(".gz") else open
    return opener(path, "rt", encoding="utf-8")


def _head(file) -> tuple[int, int, int]:
    """Reads to the end of the line of sizes: rows, columns, entries."""
    kind = file.readline().casefold().split()
    known = kind[:3] == ["%%matrixmarket", "matrix", "coordinate"]
    if not (known and kind[3] in ("integer", "real") and kind[4] == "general"):
        raise ValueError(f"'{' '.join(kind)}' is no general coordinate matrix of numbers")
    line = file.readline()
    while line.startswith("%") or (line and not line.strip()):
        line = file.readline()
    rows, columns, entries = map(int, line.split())
    return rows, columns, entries


def _check_inside(numbers: np.ndarray, size: int, name: str) -> None:
    if len(numbers) and not (numbers.min() >= 0 and numbers.max() < size):
        raise ValueError(f"an entry belongs to a {name} that is not among the {size}")
