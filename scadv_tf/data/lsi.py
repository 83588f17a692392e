"""A latent semantic index of cells: which features are open, in few dimensions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from scadv_tf.data.normalization import signed


@dataclass(frozen=True, eq=False)
class LatentSemanticIndex:
    """A latent semantic index (LSI) of peaks or genes, learned once and applied to any cell.

    A cell's vector is ``log(1 + 1e4 tf) * log(1 + A / df)`` on its open features, projected on the
    leading right singular vectors of the training cells; the first is left out since it follows
    the depth of a cell. Only whether a feature is open counts, not how often it was seen.

    Attributes
    ----------
    inverse_frequency : float32 [P], ``log(1 + A / df)``; 0 for features of fewer than 5 cells.
    components : float32 [P, D].
    """

    inverse_frequency: np.ndarray
    components: np.ndarray

    @classmethod
    def fit(cls, counts: sparse.csr_matrix, size: int) -> LatentSemanticIndex:
        """Learns the index from counts [A, P]; fewer dimensions if the matrix is small."""
        cells = np.asarray((counts > 0).sum(axis=0)).ravel()
        frequency = np.where(cells >= min(5, counts.shape[0]), cells, np.inf)
        index = cls(np.log1p(counts.shape[0] / frequency).astype(np.float32), np.empty((0, 0)))
        weighted = index._weighted(counts)
        size = max(1, min(size + 1, min(weighted.shape) - 1))
        components = leading_directions(weighted, size)[1:]
        return cls(index.inverse_frequency, components.T.astype(np.float32))

    def transform(self, counts: sparse.csr_matrix) -> np.ndarray:
        """Vectors of the cells, float32 [cells, D], from counts [cells, P]."""
        return np.asarray(self._weighted(counts) @ self.components, dtype=np.float32)

    def _weighted(self, counts: sparse.csr_matrix) -> sparse.csr_matrix:
        binary = sparse.csr_matrix(counts, dtype=np.float32, copy=True)
        binary.data[:] = binary.data > 0
        depth = np.maximum(np.asarray(binary.sum(axis=1)).ravel(), 1)
        term_frequency = sparse.csr_matrix(sparse.diags(1e4 / depth) @ binary)
        term_frequency.data = np.log1p(term_frequency.data)
        return sparse.csr_matrix(
            term_frequency @ sparse.diags(self.inverse_frequency), dtype=np.float32
        )


def leading_directions(matrix: sparse.csr_matrix, count: int) -> np.ndarray:
    """The `count` leading right singular vectors, largest first [count, columns].

    To full precision from a fixed start, not by a randomised method: its error would move cells
    that lie between types from one seed to the next.
    """
    from scipy.sparse.linalg import svds

    if not matrix.data.any():
        return np.zeros((count, matrix.shape[1]))
    if count >= min(matrix.shape):
        directions = np.linalg.svd(matrix.toarray(), full_matrices=False)[2][:count]
        return signed(directions.T).T
    start = np.ones(min(matrix.shape))
    _, scale, directions = svds(matrix.astype(np.float64), count, v0=start)
    return signed(directions[np.argsort(-scale)].T).T
