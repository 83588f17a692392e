"""The nearest ATAC cells of each ATAC cell, with their weights: for averages and for partners."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from scadv_tf.data.rows import Rows, take

CELLS_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class NeighborLists:
    """Each of A cells has k - 1 neighbours among M reference cells; all cells, where they are few.

    Attributes
    ----------
    reference : int64 [M], sorted rows of the reference cells among the A cells.
    rows : int32 [A, k - 1], positions in `reference`.
    weights : float32 [A, k - 1], what they weigh in an average; the cell itself weighs the rest
        to 1.
    """

    reference: np.ndarray
    rows: Rows
    weights: Rows

    @classmethod
    def of(cls, weights: sparse.csr_matrix) -> NeighborLists:
        """Lists from weights [A, A] of k cells a row, the cell itself among them."""
        cells = weights.shape[0]
        near = weights.indices.reshape(cells, -1)
        others = near != np.arange(cells)[:, None]
        shape = (cells, near.shape[1] - 1)
        return cls(
            np.arange(cells),
            near[others].reshape(shape).astype(np.int32),
            weights.data.reshape(near.shape)[others].reshape(shape).astype(np.float32),
        )

    @property
    def cells(self) -> int:
        """The number A of cells."""
        return self.rows.shape[0]

    @property
    def sampled(self) -> bool:
        """Whether only some of the cells are neighbours of others."""
        return len(self.reference) < self.cells

    def mean(self, values: Rows) -> np.ndarray:
        """Weighted mean of each cell's own values and its neighbours', [A, W] from [A, W]."""
        near = take(values, self.reference)
        found = np.empty(values.shape, dtype=near.dtype)
        for start in range(0, self.cells, CELLS_AT_ONCE):
            part = slice(start, min(start + CELLS_AT_ONCE, self.cells))
            found[part] = averages(values[part], near, self.rows[part], self.weights[part])
        return found

    def matrix(self) -> sparse.csr_matrix:
        """The weights as CSR [A, A], each cell's own among them; rows sum to 1."""
        weights, cells = self.weights[:], np.arange(self.cells)
        columns = np.hstack([cells[:, None], self.reference[self.rows[:]]])
        values = np.hstack([1 - weights.sum(axis=1, keepdims=True), weights])
        places = np.repeat(cells, columns.shape[1]), columns.ravel()
        return sparse.csr_matrix((values.ravel(), places), shape=(self.cells, self.cells))


def averages(
    own: np.ndarray, reference: np.ndarray, rows: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Weighted means of cells' own values [B, W] or [B] and of reference cells' [M, W] or [M].

    Parameters
    ----------
    rows, weights : [B, k - 1], see `NeighborLists`.
    """
    shape = own.shape
    own, reference = own.reshape(len(own), -1), reference.reshape(len(reference), -1)
    others = np.matmul(weights[:, None, :], reference[rows])[:, 0]
    return ((1 - weights.sum(axis=1, keepdims=True)) * own + others).reshape(shape)


def neighbor_mean(values: np.ndarray, neighbors: NeighborLists | None) -> np.ndarray:
    """Mean of each cell's values and its neighbours' [A, W]; unchanged if there are none."""
    return values if neighbors is None else neighbors.mean(values)


def mean_of_neighbors(values: np.ndarray, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted means [B, W] of the neighbours' values, from those of reference cells [M, W].

    The cells' own are left out. For `rows` and `weights`, [B, k - 1], see `NeighborLists`.
    """
    total = np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)
    return np.matmul((weights / total)[:, None, :], values[rows])[:, 0]


def partners(rows: np.ndarray, weights: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """One neighbour of each cell, drawn by weight: a position in the reference, or -1 for itself.

    Parameters
    ----------
    rows, weights : [B, k - 1], see `NeighborLists`.
    uniform : random numbers from 0 to 1 [B].
    """
    shares = weights.cumsum(axis=1)
    column = (shares <= uniform[:, None]).sum(axis=1)
    itself = np.full((len(rows), 1), -1, dtype=rows.dtype)
    return np.hstack([rows, itself])[np.arange(len(rows)), column]
