"""Cells in random order, from memory or from disk, for one or several workers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np

from scadv_tf.data.rows import Rows, take

BLOCK_ROWS = 64  # rows that are read together: enough for a quick read, few enough to mix
BUFFER_ROWS = 65_536  # rows that are shuffled together, at most
BUFFER_BYTES = 1 << 28  # of those rows, at most

Batch = dict[str, np.ndarray]


@dataclass(frozen=True)
class Shard:
    """Which part of each batch this worker makes: number `index` of `count`."""

    index: int = 0
    count: int = 1


@dataclass(frozen=True, eq=False)
class Window:
    """Columns in memory, and the order in which their rows are used."""

    columns: Batch
    order: np.ndarray

    def cut(self, cells: int) -> tuple[Window, Window]:
        """The first `cells` and the rest."""
        return Window(self.columns, self.order[:cells]), Window(self.columns, self.order[cells:])


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of numbers, a row a cell, and the rows that take part.

    Attributes
    ----------
    columns : name -> [cells, …], in memory or on disk.
    rows : int [n], sorted.
    weights : how often each of these rows comes in a pass, on average, in units of their mean [n];
        None for once each.
    """

    columns: dict[str, Rows]
    rows: np.ndarray
    weights: np.ndarray | None = None

    @property
    def held(self) -> bool:
        """Whether all columns are in memory."""
        return all(isinstance(column, np.ndarray) for column in self.columns.values())

    def batches(self, size: int, count: int, seed: list[int], shard: Shard) -> Iterator[Batch]:
        """This worker's part of `count` batches of `size` cells; rows come again once used up.

        In memory, every worker draws the same batches and takes its part of each. From disk, each
        has blocks of rows of its own, and makes its part of the batch from them. A random number
        from 0 to 1 for each cell, ``uniform``, is added to the columns.

        Parameters
        ----------
        size : cells of all workers, a multiple of their number.
        """
        share = size // shard.count
        drawn, first = (size, shard.index * share) if self.held else (share, 0)
        windows = self._endless(seed, shard)
        random = np.random.default_rng([*seed, 2, 0 if self.held else shard.index])
        window = next(windows)
        for _ in range(count):
            pieces, missing = [], drawn
            while missing > len(window.order):
                pieces.append(window)
                missing -= len(window.order)
                window = next(windows)
            piece, window = window.cut(missing)
            batch = _joined([*pieces, piece], slice(first, first + share))
            yield batch | {"uniform": random.random(drawn)[first : first + share]}

    def _endless(self, seed: list[int], shard: Shard) -> Iterator[Window]:
        shared = np.random.default_rng([*seed, 0])
        own = np.random.default_rng([*seed, 1, shard.index])
        while True:
            yield from self.windows(shared, own, shard)

    def windows(
        self, shared: np.random.Generator, own: np.random.Generator, shard: Shard
    ) -> Iterator[Window]:
        """All rows (from disk: all of this worker's) once, or as often as they weigh, in pieces.

        The pieces fit into memory. In memory there is one piece, shuffled as a whole. From disk,
        blocks of `BLOCK_ROWS` neighbouring rows come in random order, and as many as fill the
        buffer are shuffled together, so that a batch has cells from all over the file.

        Parameters
        ----------
        shared, own : random numbers that are the same for all workers, and this worker's.
        """
        rows = self.rows
        if self.weights is not None:
            rows = np.repeat(rows, times(self.weights, shared))
        if self.held:
            yield Window(cast(Batch, self.columns), shared.permutation(rows))
            return
        blocks = np.array_split(rows, max(shard.count, len(rows) // BLOCK_ROWS))
        dealt = shared.permutation(len(blocks))[shard.index :: shard.count]
        together = max(1, self._buffer_rows() // BLOCK_ROWS)
        # Pieces of one size: a small last one would hardly mix.
        for numbers in np.array_split(dealt, -(-len(dealt) // together)):
            chosen = [blocks[number] for number in numbers]
            columns = {
                name: np.concatenate([_block(column, rows) for rows in chosen])
                for name, column in self.columns.items()
            }
            yield Window(columns, own.permutation(sum(map(len, chosen))))

    def _buffer_rows(self) -> int:
        row_bytes = sum(4 * int(np.prod(column.shape[1:])) for column in self.columns.values())
        return min(BUFFER_ROWS, BUFFER_BYTES // max(1, row_bytes))


def times(weights: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """How often each of n rows is taken, int [n], n in all: its weight, rounded up or down.

    Systematic resampling (Carpenter et al. 1999): on average each comes as often as it weighs, in
    units of the mean; so one of weight 1 or more comes at least once.
    """
    bounds = np.cumsum(weights, dtype=np.float64)
    bounds *= len(weights) / bounds[-1]
    bounds[-1] = len(weights)  # whatever the sum was rounded to
    return np.diff(np.floor(bounds + random.random()), prepend=0).astype(np.int64)


def _block(column: Rows, rows: np.ndarray) -> np.ndarray:
    """Rows that lie close together, sorted, in one read."""
    if isinstance(column, np.ndarray) or not len(rows):
        return take(column, rows)
    start = int(rows[0])
    return column[start : int(rows[-1]) + 1][rows - start]


def _joined(pieces: list[Window], part: slice) -> Batch:
    """The rows of a part of the cells of some windows."""
    if len(pieces) == 1:
        order = pieces[0].order[part]
        return {name: column[order] for name, column in pieces[0].columns.items()}
    whole = [{n: c[piece.order] for n, c in piece.columns.items()} for piece in pieces]
    return {name: np.concatenate([p[name] for p in whole])[part] for name in whole[0]}
