"""Long tables of numbers, a row a cell, that need not be held in memory: read and written by parts.

`Rows` is whatever has ``.shape`` and ``rows[start:stop] -> array``: a NumPy array, `DiskRows`,
`JoinedRows`, `ScatteredRows`.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike

from scadv_tf import signals

BLOCK_BYTES = 1 << 24  # 16 MB: long reads, yet small beside what a run holds anyway


class Rows(Protocol):
    """A table [N, width] of which parts of consecutive rows can be had as arrays."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice) -> np.ndarray: ...


class DiskRows:
    """Rows in a raw file, as long as the last row that was written.

    Read by ``os.pread`` and not mapped into memory, since mapped pages count as memory of the
    process; several threads may read at once. Rows that were skipped in writing are 0. The file is
    closed with the object and stays on disk: its folder is the caller's to remove.

    Parameters
    ----------
    path : of the file, which is made anew, in a folder that exists.
    width : numbers a row.
    dtype : of the numbers.
    """

    def __init__(self, path: str | Path, width: int, dtype: DTypeLike = np.float32):
        self.dtype = np.dtype(dtype)
        self._width, self._rows = int(width), 0
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        weakref.finalize(self, os.close, self._file)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows so far, width."""
        return self._rows, self._width

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, part: slice) -> np.ndarray:
        start, stop = _bounds(part, self._rows)
        block = np.empty((max(stop - start, 0), self._width), dtype=self.dtype)
        left, place = block.data.cast("B") if block.size else b"", start * self._row_bytes
        while len(left):
            read = os.preadv(self._file, [left], place)
            if not read:
                raise OSError(f"the file of {self._rows} rows was cut off at byte {place}")
            left, place = left[read:], place + read
        return block

    def __setitem__(self, part: slice, block: np.ndarray) -> None:
        start, stop = _bounds(part, None if part.stop is not None else self._rows)
        block = np.ascontiguousarray(block, dtype=self.dtype)
        if block.shape != (stop - start, self._width):
            expected = (stop - start, self._width)
            raise ValueError(f"expected a block of shape {expected}; received {block.shape}")
        left, place = block.data.cast("B") if block.size else b"", start * self._row_bytes
        while len(left):
            written = os.pwrite(self._file, left, place)
            left, place = left[written:], place + written
        self._rows = max(self._rows, stop)

    @property
    def _row_bytes(self) -> int:
        return self._width * self.dtype.itemsize


class JoinedRows:
    """Rows of several tables of one width, one below the other, without a copy.

    ``joined[:]`` is what ``np.concatenate`` gives.
    """

    def __init__(self, *parts: Rows):
        widths = {part.shape[1:] for part in parts}
        if len(widths) != 1:
            raise ValueError(f"expected tables of one width; received {sorted(widths)}")
        self.parts = parts
        self._starts = np.cumsum([0, *(part.shape[0] for part in parts)]).tolist()

    @property
    def shape(self) -> tuple[int, ...]:
        """All rows, width."""
        return self._starts[-1], *self.parts[0].shape[1:]

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, part: slice) -> np.ndarray:
        start, stop = _bounds(part, len(self))
        found = [
            rows[max(start - first, 0) : max(min(stop - first, rows.shape[0]), 0)]
            for rows, first in zip(self.parts, self._starts, strict=False)
            if first < stop and start < first + rows.shape[0]
        ]
        if not found:
            return self.parts[0][0:0]
        return found[0] if len(found) == 1 else np.concatenate(found)


class ScatteredRows:
    """Rows of a table at some of the places of a longer one; zeros at the others, without a copy.

    Parameters
    ----------
    rows : [n, width].
    places : bool [N], n of them True.
    """

    def __init__(self, rows: Rows, places: np.ndarray):
        self._rows, self._places = rows, places
        self._before = np.concatenate([[0], np.cumsum(places)])

    @property
    def shape(self) -> tuple[int, ...]:
        """All places, width."""
        return len(self._places), *self._rows.shape[1:]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, part: slice) -> np.ndarray:
        start, stop = _bounds(part, len(self))
        found = self._rows[int(self._before[start]) : int(self._before[stop])]
        block = np.zeros((stop - start, *found.shape[1:]), dtype=found.dtype)
        block[self._places[start:stop]] = found
        return block


def as_rows(table: Any) -> Rows:
    """What can be read by parts as it is; anything else, such as a list, as an array."""
    by_parts = hasattr(table, "shape") and not hasattr(table, "__array__")
    return table if by_parts else np.asarray(table)


def blocks(rows: Rows, size: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
    """Start and content of each block of `size` rows; by default of 16 MB of float32."""
    size = size or max(1, BLOCK_BYTES // (4 * max(1, int(np.prod(rows.shape[1:])))))
    for start in range(0, rows.shape[0], size):
        signals.due()
        yield start, rows[start : min(start + size, rows.shape[0])]


def take(rows: Rows, positions: np.ndarray) -> np.ndarray:
    """The rows at sorted positions, as one array; read by blocks, those without any skipped.

    Parameters
    ----------
    rows : [N, width].
    positions : [n] in ascending order, from 0 to N - 1; they may repeat.
    """
    if isinstance(rows, np.ndarray):
        return rows[positions]
    positions = np.asarray(positions)
    if len(positions) and not (0 <= positions[0] and positions[-1] < rows.shape[0]):
        raise IndexError(f"a position is outside of the {rows.shape[0]} rows")
    if np.any(positions[1:] < positions[:-1]):
        raise ValueError("the positions are not in ascending order")
    taken = np.empty((len(positions), *rows.shape[1:]), dtype=rows[0:0].dtype)
    size = max(1, BLOCK_BYTES // (4 * max(1, int(np.prod(rows.shape[1:])))))
    for start in range(0, rows.shape[0], size):
        first, last = np.searchsorted(positions, [start, start + size])
        if first < last:
            low, high = int(positions[first]), int(positions[last - 1]) + 1
            taken[first:last] = rows[low:high][positions[first:last] - low]
    return taken


def some_rows(cells: int, most: int, seed: int | list[int]) -> np.ndarray:
    """Ascending rows of `most` random ones of so many cells; of all where there are no more."""
    if cells <= most:
        return np.arange(cells)
    return np.sort(np.random.default_rng(seed).choice(cells, most, replace=False))


def some_of_all_types(
    labels: np.ndarray, most: int, seed: int | list[int], least: int
) -> np.ndarray:
    """Ascending rows of `most` random cells, and of each type at least so many, or all that it has.

    Parameters
    ----------
    labels : type codes of all cells.
    """
    rows = some_rows(len(labels), most, seed)
    if len(rows) == len(labels):
        return rows
    found = np.bincount(labels[rows], minlength=labels.max() + 1)
    others = np.ones(len(labels), dtype=bool)
    others[rows] = False
    added, random = [], np.random.default_rng(seed)
    for code in np.flatnonzero(found < least):
        left = np.flatnonzero(others & (labels == code))
        added.append(random.choice(left, min(len(left), least - found[code]), replace=False))
    return np.sort(np.concatenate([rows, *added]))


def _bounds(part: slice, rows: int | None) -> tuple[int, int]:
    """Start and stop of a slice without a step; `rows` None for a slice that may go beyond."""
    if not isinstance(part, slice) or part.step not in (None, 1):
        raise TypeError(f"expected a slice of consecutive rows; received {part!r}")
    if rows is not None:
        start, stop, _ = part.indices(rows)
        return start, max(start, stop)
    start, stop = int(part.start or 0), int(part.stop)
    if not 0 <= start <= stop:
        raise IndexError(f"expected 0 <= start <= stop; received {part!r}")
    return start, stop
