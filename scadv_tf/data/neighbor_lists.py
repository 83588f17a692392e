"""Each ATAC cell's nearest others, with weights: for averages and for partners.

Neighbours weigh by how many neighbours they share, so that averages can be taken over more cells,
and more than once, without the rare types fading.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from scadv_tf.data.rows import DiskRows, Rows

CELLS_AT_ONCE = 4096
FLAG_BYTES = 1 << 23  # 8 MB, which caches hold; a byte for each pair of some cells and all


@dataclass(frozen=True, eq=False)
class NeighborLists:
    """Each of A cells has k - 1 neighbours among the others.

    Attributes
    ----------
    rows : int32 [A, k - 1], the neighbours.
    weights : float32 [A, k - 1], what they weigh in an average; the cell itself weighs the rest
        to 1.
    """

    rows: Rows
    weights: Rows

    @classmethod
    def of(
        cls,
        neighbors: np.ndarray,
        rows: DiskRows | np.ndarray | None = None,
        weights: DiskRows | np.ndarray | None = None,
    ) -> NeighborLists:
        """Weights by the Jaccard index of both cells' sets of neighbours (Levine et al. 2015).

        A cell, which shares all with itself, weighs most; all are divided by their sum.

        Parameters
        ----------
        neighbors : int [A, k], each cell the first of its own neighbours.
        rows, weights : tables that the lists are written to; None for arrays.
        """
        cells, count = neighbors.shape
        rows = np.empty((cells, count - 1), np.int32) if rows is None else rows
        weights = np.empty((cells, count - 1), np.float32) if weights is None else weights
        size = max(1, min(CELLS_AT_ONCE, FLAG_BYTES // cells))
        listed = np.zeros((size, cells), dtype=np.uint8)  # whether a cell lists another
        for start in range(0, cells, size):
            own = neighbors[start : start + size]
            flags = listed[: len(own)]
            np.put_along_axis(flags, own, 1, axis=1)
            places = neighbors[own] + np.arange(0, flags.size, cells)[:, None, None]
            shared = flags.ravel()[places].sum(axis=2, dtype=np.int32)
            np.put_along_axis(flags, own, 0, axis=1)
            alike = (shared / (2 * count - shared)).astype(np.float32)
            alike /= alike.sum(axis=1, keepdims=True)
            part = slice(start, start + len(own))
            rows[part], weights[part] = own[:, 1:], alike[:, 1:]
        return cls(rows, weights)

    @property
    def cells(self) -> int:
        """The number A of cells."""
        return self.rows.shape[0]

    def mean(self, values: Rows) -> np.ndarray:
        """Weighted mean of each cell's own values and its neighbours', [A, W] from [A, W]."""
        values = values[:]
        flat = values.reshape(len(values), -1)
        found = np.empty_like(flat)
        for start in range(0, self.cells, CELLS_AT_ONCE):
            part = slice(start, min(start + CELLS_AT_ONCE, self.cells))
            weights = self.weights[part]
            others = np.matmul(weights[:, None, :], flat[self.rows[part]])[:, 0]
            found[part] = (1 - weights.sum(axis=1, keepdims=True)) * flat[part] + others
        return found.reshape(values.shape)

    def matrix(self) -> sparse.csr_matrix:
        """The weights as CSR [A, A], each cell's own among them; rows sum to 1."""
        weights, cells = self.weights[:], np.arange(self.cells, dtype=np.int32)
        columns = np.hstack([cells[:, None], self.rows[:]])
        values = np.hstack([1 - weights.sum(axis=1, keepdims=True), weights])
        pointers = np.arange(0, columns.size + 1, columns.shape[1])
        shape = self.cells, self.cells
        found = sparse.csr_matrix((values.ravel(), columns.ravel(), pointers), shape=shape)
        found.sort_indices()
        return found


def neighbor_mean(values: np.ndarray, neighbors: NeighborLists | None) -> np.ndarray:
    """Mean of each cell's values and its neighbours' [A, W]; unchanged if there are none."""
    return values if neighbors is None else neighbors.mean(values)


def partners(rows: np.ndarray, weights: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """One neighbour of each cell, drawn by weight: its row, or -1 for the cell itself.

    Parameters
    ----------
    rows, weights : [B, k - 1], see `NeighborLists`.
    uniform : random numbers from 0 to 1 [B].
    """
    shares = weights.cumsum(axis=1)
    column = (shares <= uniform[:, None]).sum(axis=1)
    itself = np.full((len(rows), 1), -1, dtype=rows.dtype)
    return np.hstack([rows, itself])[np.arange(len(rows)), column]
