"""Log-normalised, standardised genes, and the components that both modalities share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

COUNTS_PER_CELL = 1e4
LARGEST_VALUE = 10.0  # standard deviations; one outlying cell must not own a gene
CHUNK = 2048  # cells that are made dense at a time
CELLS_A_COMPONENT, FEWEST_COMPONENTS = 10, 20  # the later components of few cells are noise
DENSE_SHARE = 0.3  # of values that are not zero, from which a matrix is kept dense


def log_normalize(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """log(1 + counts per 10,000), sparse float32 [cells, G]; cells without counts stay zero."""
    depth = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1e-12)
    normalized = sparse.csr_matrix(sparse.diags(COUNTS_PER_CELL / depth) @ counts)
    normalized.data = np.log1p(normalized.data)
    return normalized.astype(np.float32)


def measured_genes(rna: sparse.csr_matrix, atac: sparse.csr_matrix) -> np.ndarray:
    """Columns of the genes that some cell of each modality has a count in, ascending."""
    counted = [np.asarray(counts.sum(axis=0)).ravel() > 0 for counts in (rna, atac)]
    return np.flatnonzero(counted[0] & counted[1])


def variable_genes(
    rna: sparse.csr_matrix,
    atac: sparse.csr_matrix,
    count: int,
    rank_of: Callable[[sparse.csr_matrix], np.ndarray] | None = None,
) -> np.ndarray:
    """Columns of the `count` genes that vary most in both modalities, in their old order; 0: all.

    A gene's variability is its rank by dispersion (variance / mean of counts per 10,000) within its
    tenth of genes by mean, as in Seurat's first flavour; both modalities' ranks are averaged. Genes
    that are measured in one modality alone are none: what varies in many such genes would take up
    the joint components, and the other modality has nothing of it.

    Parameters
    ----------
    rank_of : counts of the ATAC cells -> ranks of their genes, where these are no plain counts.
    """
    measured = measured_genes(rna, atac)
    if count == 0 or count >= len(measured):
        return measured
    rank = dispersion_rank(rna[:, measured])
    rank = rank + (rank_of or dispersion_rank)(atac[:, measured])
    return np.sort(measured[np.argsort(-rank, kind="stable")[:count]])


def dispersion_rank(counts: sparse.csr_matrix) -> np.ndarray:
    """The rank of each gene, from 0 to 1, by dispersion within its tenth by mean; see above."""
    normalized = log_normalize(counts)
    normalized.data = np.expm1(normalized.data)
    mean, deviation = moments(normalized)
    dispersion = np.log(np.maximum(deviation**2, 1e-12) / np.maximum(mean, 1e-12))
    return rank_within(mean, dispersion)


def rank_within(mean: np.ndarray, dispersion: np.ndarray) -> np.ndarray:
    """The rank of each dispersion [G], from 0 to 1, among those of its tenth of the means [G]."""
    import pandas as pd

    bins = pd.qcut(mean, 10, labels=False, duplicates="drop")
    spread = pd.Series(dispersion).groupby(bins)
    score = (dispersion - spread.transform("median")) / (spread.transform("std") + 1e-6)
    return score.rank(pct=True).to_numpy()


@dataclass(frozen=True, eq=False)
class Scale:
    """Mean and deviation of each gene in one modality, float32 [G] each."""

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, values: sparse.csr_matrix | np.ndarray, weights: np.ndarray | None = None) -> Scale:
        """The scale of the columns [cells, G]; those that do not vary get deviation 1.

        Parameters
        ----------
        weights : of the cells [cells]; None for equal ones.
        """
        mean, deviation = moments(values, weights)
        deviation = np.where(deviation > 1e-6, deviation, 1.0)
        return cls(mean.astype(np.float32), deviation.astype(np.float32))

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Standardised float32 values, cut at `LARGEST_VALUE`."""
        scaled = self.uncut(values)
        return np.clip(scaled, -LARGEST_VALUE, LARGEST_VALUE, out=scaled)

    def uncut(self, values: np.ndarray) -> np.ndarray:
        """Standardised float32 values, as large as they are."""
        scaled = np.subtract(values, self.mean, dtype=np.float32)
        scaled /= self.deviation
        return scaled


def moments(
    values: sparse.csr_matrix | np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column, of cells of equal or given weights [cells]."""
    shares = _shares(values.shape[0], weights)
    if isinstance(values, np.ndarray):
        return _dense_moments(values, shares)
    mean = shares @ values
    square = shares @ values.multiply(values)
    return mean, np.sqrt(np.maximum(square - mean**2, 0))


def _dense_moments(values: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same in double precision, a chunk of cells at a time: a copy would be twice as large."""
    parts = chunks(len(values))
    none = np.zeros(values.shape[1])
    mean = sum((shares[part] @ values[part].astype(np.float64) for part in parts), none)
    squares = sum((shares[part] @ np.square(values[part] - mean) for part in parts), none)
    return mean, np.sqrt(squares)


def _shares(cells: int, weights: np.ndarray | None) -> np.ndarray:
    """Each cell's part of the whole, float64 [cells]."""
    if weights is None:
        return np.full(cells, 1 / cells)
    return weights.astype(np.float64) / weights.sum(dtype=np.float64)


def number_of_components(cells: int, most: int) -> int:
    """How many joint components are learned where the smaller modality has so many cells.

    One for each 10 cells: from 20 to the `most` that are wanted.
    """
    return min(most, max(FEWEST_COMPONENTS, cells // CELLS_A_COMPONENT))


def joint_components(covariances: list[np.ndarray], size: int) -> np.ndarray:
    """The leading eigenvectors of the mean of both modalities' covariances, float32 [G, D].

    This is a principal component analysis of all cells in which both modalities weigh the same,
    whatever their numbers of cells.
    """
    from scipy.sparse.linalg import eigsh

    mean = np.mean(covariances, axis=0)
    size = min(size, len(mean) - 1)
    start = np.full(len(mean), len(mean) ** -0.5)  # a fixed start keeps the result the same
    vectors = eigsh(mean, k=size, v0=start)[1]
    return np.ascontiguousarray(signed(vectors[:, ::-1]), dtype=np.float32)


def signed(vectors: np.ndarray) -> np.ndarray:
    """Columns [N, D], each with its largest number above 0.

    An eigenvector is one in either direction, and which one is found can depend on the processor
    and the number of threads.
    """
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])]
    return np.where(largest < 0, -vectors, vectors)


def project(values: sparse.csr_matrix, scale: Scale, components: np.ndarray) -> np.ndarray:
    """Standardised cells on components, float32 [cells, D], a chunk of cells at a time."""
    rows = chunks(values.shape[0])
    return np.concatenate([scale.apply(dense(values[part])) @ components for part in rows])


def covariance(
    values: sparse.csr_matrix | np.ndarray, scale: Scale, weights: np.ndarray | None = None
) -> np.ndarray:
    """Covariance of the standardised genes [G, G], a chunk of cells at a time.

    Parameters
    ----------
    weights : of the cells [cells]; None for equal ones.
    """
    total = np.zeros((values.shape[1], values.shape[1]), dtype=np.float32)
    shares = _shares(values.shape[0], weights).astype(np.float32)[:, None]
    for part in chunks(values.shape[0]):
        cells = scale.apply(dense(values[part]))
        total += (cells * shares[part]).T @ cells
    return total


def averages(
    weights: sparse.csr_matrix, values: sparse.csr_matrix | np.ndarray
) -> sparse.csr_matrix | np.ndarray:
    """Weighted sums [A, G] of the rows of values, by weights [A, cells].

    Dense where that takes less memory and is faster, as the first chunk of cells tells: averages
    have few zeros left.
    """
    if not sparse.issparse(values):
        return weights @ values
    first = weights[:CHUNK] @ values
    if first.nnz <= DENSE_SHARE * first.shape[0] * first.shape[1]:
        return sparse.csr_matrix(weights @ values)
    found = np.empty((weights.shape[0], values.shape[1]), dtype=first.dtype)
    for part in chunks(weights.shape[0]):
        found[part] = (weights[part] @ values).toarray()
    return found


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1, float32; rows of zeros stay."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(length, 1e-12)).astype(np.float32)


def dense(values: sparse.csr_matrix | np.ndarray) -> np.ndarray:
    """The same values as an array."""
    return values if isinstance(values, np.ndarray) else values.toarray()


def chunks(cells: int) -> list[slice]:
    """Slices of `CHUNK` cells, one at least."""
    return [slice(start, start + CHUNK) for start in range(0, max(cells, 1), CHUNK)]
