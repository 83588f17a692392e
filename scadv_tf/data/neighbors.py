"""Which ATAC cells resemble each other: a latent semantic index of their peaks, beside joint genes.

Peaks tell cells apart far better than gene activity does where there are enough of them, and the
genes help where peaks are few; unit vectors of both, side by side, hold on both kinds of data.
Without peaks the index is made of the genes' activity, which still beats the genes alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

CELLS_AT_ONCE = 5_000
FLAGS_AT_ONCE = 256  # new cells, each with a byte for every training cell
# The rule of the number of neighbours, see `number_of_neighbors`.
CELLS_AND_TYPES = 1.2
FEWEST_NEIGHBORS, MOST_NEIGHBORS = 5, 35
TWICE_FROM = 8  # neighbours; with fewer, an average of averages would reach as far as more do
TYPES_UNTAUGHT = 8  # that are reckoned with where no types are taught


def number_of_neighbors(atac_cells: int, rna_labels: np.ndarray | None) -> int:
    """How many ATAC cells are averaged, by the numbers of cells and of RNA types alone.

    ``1.2 A / K^2``, from 5 to 35: of many types, each has fewer cells, and lies nearer to others.
    K counts types by the exponential of the entropy of their shares, so rare ones hardly count.

    Parameters
    ----------
    atac_cells : A.
    rna_labels : type codes [R]; None where no types are taught.
    """
    types = TYPES_UNTAUGHT
    if rna_labels is not None:
        shares = np.bincount(rna_labels) / len(rna_labels)
        shares = shares[shares > 0]
        types = np.exp(-np.sum(shares * np.log(shares)))
    wanted = round(CELLS_AND_TYPES * atac_cells / types**2)
    return min(max(wanted, FEWEST_NEIGHBORS), MOST_NEIGHBORS)


@dataclass(frozen=True, eq=False)
class SemanticIndex:
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
    def fit(cls, counts: sparse.csr_matrix, size: int) -> SemanticIndex:
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
        return np.linalg.svd(matrix.toarray(), full_matrices=False)[2][:count]
    start = np.ones(min(matrix.shape))
    _, scale, directions = svds(matrix.astype(np.float64), count, v0=start)
    return directions[np.argsort(-scale)]


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1; rows of zeros stay."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(length, 1e-12)).astype(np.float32)


class Search:
    """Finds the `count` reference vectors [M, D] of highest cosine similarity, exactly.

    Among vectors of length 1 the nearest have the highest cosine, and of plain distances
    scikit-learn compares a million cells with 30,000 in two minutes on 2 cores: ten times faster
    than of cosines.
    """

    def __init__(self, reference: np.ndarray, count: int):
        from sklearn.neighbors import NearestNeighbors

        count = min(count, len(reference))
        search = NearestNeighbors(n_neighbors=count, metric="euclidean", algorithm="brute")
        self._search = search.fit(_directions(reference))

    def __call__(self, queries: np.ndarray) -> np.ndarray:
        """Rows of the reference, nearest first, int64 [queries, <= count]."""
        return self._search.kneighbors(_directions(queries), return_distance=False)


def _directions(vectors: np.ndarray) -> np.ndarray:
    """Unit vectors [cells, D + 1]; vectors of zeros, which have no direction, are one of their own.

    So the cosine of those with all others is 0.
    """
    zero = ~vectors.any(axis=1, keepdims=True)
    return np.hstack([unit_rows(vectors), zero.astype(np.float32)])


def nearest(queries: np.ndarray, reference: np.ndarray, count: int) -> np.ndarray:
    """Rows of the `count` reference vectors of highest cosine similarity, int [queries, count]."""
    return Search(reference, count)(queries)


def neighbors_with_self(vectors: np.ndarray, count: int) -> np.ndarray:
    """Each cell itself, then its `count` - 1 nearest others, int [A, <= count].

    The cell comes first even where others have the same vector (or none at all).
    """
    cells = len(vectors)
    count = min(count, cells)
    found = nearest(vectors, vectors, count)
    others = found != np.arange(cells)[:, None]
    # A cell that its twins pushed out of its own list drops the farthest instead.
    others[others.all(axis=1), -1] = False
    result = np.empty((cells, count), dtype=np.int64)
    result[:, 0] = np.arange(cells)
    result[:, 1:] = found[others].reshape(cells, count - 1)
    return result


def membership(neighbors: np.ndarray, cells: int) -> sparse.csr_matrix:
    """The sparse matrix [queries, cells] with 1 where a cell is in a query's list."""
    queries, count = neighbors.shape
    pointers = np.arange(0, queries * count + 1, count)
    ones = np.ones(queries * count, dtype=np.float32)
    return sparse.csr_matrix((ones, neighbors.ravel(), pointers), shape=(queries, cells))


def shared_neighbor_weights(
    neighbors: np.ndarray, training_neighbors: np.ndarray
) -> sparse.csr_matrix:
    """How alike each cell and its neighbours are: the share of neighbours that they share.

    The Jaccard index of the two cells' sets of neighbours (Levine et al. 2015). A neighbour of
    another type shares few, so that averages can be taken over more cells, and more than once,
    without the rare types fading.

    Parameters
    ----------
    neighbors : int [B, k'], rows of training cells near each cell.
    training_neighbors : int [A, k], the same of the training cells, each its own first neighbour.

    Returns
    -------
    CSR [B, A] with numbers in [0, 1], k' a row; sets count as having k members.
    """
    cells, count = training_neighbors.shape
    listed_by = membership(training_neighbors, cells).T.tocsc()
    parts = []
    for start in range(0, len(neighbors), CELLS_AT_ONCE):  # the product has many more entries
        own = membership(neighbors[start : start + CELLS_AT_ONCE], cells)
        parts.append((own @ listed_by).multiply(own).tocsr())
    shared = sparse.vstack(parts, format="csr")
    shared.data /= 2 * count - shared.data
    return shared


def weights_of_new(neighbors: np.ndarray, training_neighbors: np.ndarray) -> np.ndarray:
    """What its nearest training cells weigh in the average of a new cell; the rest to 1 is its own.

    A neighbour weighs the Jaccard index, see `shared_neighbor_weights`; the cell itself, which
    shares all its neighbours with itself, weighs 1; and all are divided by their sum.

    Parameters
    ----------
    neighbors : int [B, k'], rows of training cells near each cell.
    training_neighbors : int [A, k], the same of the training cells, each its own first neighbour.

    Returns
    -------
    float32 [B, k'].
    """
    cells, count = training_neighbors.shape
    shared = np.empty(neighbors.shape, dtype=np.float32)
    for start in range(0, len(neighbors), FLAGS_AT_ONCE):
        near = neighbors[start : start + FLAGS_AT_ONCE]
        listed = np.zeros((len(near), cells), dtype=np.uint8)
        np.put_along_axis(listed, near, 1, axis=1)
        places = training_neighbors[near] + np.arange(0, listed.size, cells)[:, None, None]
        shared[start : start + len(near)] = listed.ravel()[places].sum(axis=2, dtype=np.int32)
    weights = shared / (2 * count - shared)
    return weights / (1 + weights.sum(axis=1, keepdims=True))


def averaging_weights(neighbors: np.ndarray) -> sparse.csr_matrix:
    """Weights of each training cell's neighbours, itself included; CSR [A, A], rows sum to 1."""
    return row_shares(shared_neighbor_weights(neighbors, neighbors))


def row_shares(weights: sparse.csr_matrix) -> sparse.csr_matrix:
    """Rows divided by their sums, float32, columns in rising order."""
    totals = np.asarray(weights.sum(axis=1)).ravel()
    shares = sparse.csr_matrix(sparse.diags(1 / totals) @ weights, dtype=np.float32)
    shares.sort_indices()
    return shares
