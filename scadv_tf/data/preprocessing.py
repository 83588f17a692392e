"""Counts to the network's input: learned once, stored with the model, the same everywhere.

1. the chosen genes; 2. counts per 10,000 and log(1 + x); 3. for ATAC cells the mean over nearest
ATAC cells; 4. each gene centred and scaled with its modality's own mean and deviation. A new ATAC
cell is averaged with its nearest *training* cells, found by the same features.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from scadv_tf.config import PreprocessingConfig
from scadv_tf.data.neighbors import (
    SemanticIndex,
    mean_matrix,
    nearest,
    neighbors_with_self,
    unit_rows,
)
from scadv_tf.data.pairing import PairedData

MODALITIES = ("rna", "atac")
COUNTS_PER_CELL = 1e4
LARGEST_VALUE = 10.0  # standard deviations; one outlying cell must not own a gene
CHUNK = 2048  # cells that are made dense at a time
DENSE_SHARE = 0.3  # of values that are not zero, from which a matrix is kept dense


def log_normalize(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """log(1 + counts per 10,000), sparse float32 [cells, G]; cells without counts stay zero."""
    depth = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1e-12)
    normalized = sparse.csr_matrix(sparse.diags(COUNTS_PER_CELL / depth) @ counts)
    normalized.data = np.log1p(normalized.data)
    return normalized.astype(np.float32)


def variable_genes(rna: sparse.csr_matrix, atac: sparse.csr_matrix, count: int) -> np.ndarray:
    """Columns of the `count` genes that vary most in both modalities, in their old order.

    A gene's variability is its rank by dispersion (variance / mean of counts per 10,000) within its
    tenth of genes by mean, as in Seurat's first flavour; both modalities' ranks are averaged.
    """
    if count == 0 or count >= rna.shape[1]:
        return np.arange(rna.shape[1])
    rank = _dispersion_rank(rna) + _dispersion_rank(atac)
    return np.sort(np.argsort(-rank, kind="stable")[:count])


def _dispersion_rank(counts: sparse.csr_matrix) -> np.ndarray:
    import pandas as pd

    normalized = log_normalize(counts)
    normalized.data = np.expm1(normalized.data)
    mean, deviation = _moments(normalized)
    dispersion = np.log(np.maximum(deviation**2, 1e-12) / np.maximum(mean, 1e-12))
    bins = pd.qcut(mean, 10, labels=False, duplicates="drop")
    spread = pd.Series(dispersion).groupby(bins)
    score = (dispersion - spread.transform("median")) / (spread.transform("std") + 1e-6)
    return score.where(mean > 0, -np.inf).rank(pct=True).to_numpy()


def _moments(values: sparse.csr_matrix | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column."""
    if not sparse.issparse(values):
        return values.mean(axis=0, dtype=np.float64), values.std(axis=0, dtype=np.float64)
    mean = np.asarray(values.mean(axis=0, dtype=np.float64)).ravel()
    square = np.asarray(values.multiply(values).mean(axis=0, dtype=np.float64)).ravel()
    return mean, np.sqrt(np.maximum(square - mean**2, 0))


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
    return np.ascontiguousarray(vectors[:, ::-1], dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Scale:
    """Mean and deviation of each gene in one modality, float32 [G] each."""

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, values: sparse.csr_matrix | np.ndarray) -> Scale:
        """The scale of the columns [cells, G]; those that do not vary get deviation 1."""
        mean, deviation = _moments(values)
        deviation = np.where(deviation > 1e-6, deviation, 1.0)
        return cls(mean.astype(np.float32), deviation.astype(np.float32))

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Standardised float32 values, cut at `LARGEST_VALUE`."""
        scaled = (values - self.mean) / self.deviation
        return np.clip(scaled, -LARGEST_VALUE, LARGEST_VALUE).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Neighborhood:
    """How ATAC cells are denoised, and the training cells that denoise new ones.

    Attributes
    ----------
    index : the latent semantic index of the peaks, or of the genes where there are no peaks.
    index_on_peaks : which of the two.
    gene_components : joint principal components [G, D] of undenoised genes.
    gene_scale : the scale of undenoised ATAC genes.
    component_scale : the scale of the ATAC cells' joint principal components.
    features : unit vectors of the training cells [A, F].
    neighbors : int [A, k], each training cell and its nearest others.
    levels : log-normalised training cells after 0, 1, … averages but the last, [A, G] each.
    """

    index: SemanticIndex
    index_on_peaks: bool
    gene_components: np.ndarray
    gene_scale: Scale
    component_scale: Scale
    features: np.ndarray
    neighbors: np.ndarray
    levels: tuple = ()
    seed: int = 0

    def features_of(
        self, normalized: sparse.csr_matrix, peaks: sparse.csr_matrix | None
    ) -> np.ndarray:
        """Features of any ATAC cells, as `features`.

        New cells without peaks, where the training cells had some, have only the last part: that
        of the joint principal components.
        """
        projected = _project(normalized, self.gene_scale, self.gene_components)
        parts = [unit_rows(self.component_scale.apply(projected))]
        indexed = peaks if self.index_on_peaks else normalized
        if indexed is not None:
            parts.insert(0, unit_rows(self.index.transform(indexed)))
        return np.hstack(parts)

    def denoise_new(
        self, normalized: sparse.csr_matrix, peaks: sparse.csr_matrix | None
    ) -> sparse.csr_matrix | np.ndarray:
        """New cells averaged with their nearest training cells, as often as those were."""
        features = self.features_of(normalized, peaks)
        reference = self.features[:, -features.shape[1] :]
        count = self.neighbors.shape[1]
        if count == 1:
            return normalized
        weights = mean_matrix(nearest(features, reference, count - 1, self.seed), len(reference))
        for level in self.levels:
            normalized = normalized / count + (weights @ level) * ((count - 1) / count)
        return normalized


def _slices(cells: int) -> list[slice]:
    return [slice(start, start + CHUNK) for start in range(0, max(cells, 1), CHUNK)]


@dataclass(frozen=True, eq=False)
class Preprocessor:
    """Everything learned from the training cells; turns counts into the network's input.

    Attributes
    ----------
    genes : names of the G chosen genes, in the order of the input.
    scales : the scale of each modality's log-normalised (for ATAC: denoised) genes.
    components : joint principal components [G, D] of the input, for the encoder's first layer, or
        None.
    neighborhood : how ATAC cells are denoised; None if they are not.
    """

    genes: np.ndarray
    scales: dict[str, Scale]
    components: np.ndarray | None
    neighborhood: Neighborhood | None = None

    def transform(
        self,
        counts: sparse.csr_matrix,
        modality: str,
        peaks: sparse.csr_matrix | None = None,
    ) -> np.ndarray:
        """The network's input for any cells, float32 [cells, G].

        Parameters
        ----------
        counts : counts of the chosen genes [cells, G].
        modality : 'rna' or 'atac'.
        peaks : counts of the training's peaks [cells, P] for ATAC cells, where there are any.
            Without them the neighbours of a new ATAC cell are found by its genes alone.
        """
        values = log_normalize(counts)
        if modality == "atac" and self.neighborhood is not None:
            values = self.neighborhood.denoise_new(values, peaks)
        return self.scale(values, modality)

    def scale(self, values: sparse.csr_matrix | np.ndarray, modality: str) -> np.ndarray:
        """Standardised rows of log-normalised values, float32 [cells, G]."""
        return self.scales[modality].apply(_dense(values))


@dataclass(frozen=True, eq=False)
class TrainingCells:
    """Log-normalised (for ATAC: denoised) training cells, standardised a batch at a time.

    Attributes
    ----------
    values : modality -> CSR or dense matrix [cells, G].
    neighbors : int [A, k], or None without denoising.
    """

    preprocessor: Preprocessor
    values: dict[str, sparse.csr_matrix | np.ndarray]
    neighbors: np.ndarray | None

    def cells(self, modality: str) -> int:
        """The number of cells of a modality."""
        return self.values[modality].shape[0]

    def batch(self, modality: str, rows: np.ndarray | slice) -> np.ndarray:
        """The network's input for some of the cells, float32 [B, G]."""
        return self.preprocessor.scale(self.values[modality][rows], modality)

    def partners(self, rows: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """For each ATAC cell one of its neighbours (or itself), drawn at random; int [B]."""
        if self.neighbors is None:
            return rows
        columns = random.integers(self.neighbors.shape[1], size=len(rows))
        return self.neighbors[rows, columns]


def fit(data: PairedData, config: PreprocessingConfig, seed: int = 0) -> TrainingCells:
    """Learns the preprocessing from paired data and applies it to the same cells.

    Without denoising (``neighbors`` 1 or ``smoothing_hops`` 0) there is no neighbourhood.
    """
    chosen = variable_genes(data.rna, data.atac, config.variable_genes)
    rna, atac = (log_normalize(counts[:, chosen]) for counts in (data.rna, data.atac))
    neighborhood = None
    if config.neighbors > 1 and config.smoothing_hops > 0:
        neighborhood = _fit_neighborhood(rna, atac, data.peaks, config, seed)
        weights = mean_matrix(neighborhood.neighbors, len(neighborhood.neighbors))
        atac = _compact(weights @ neighborhood.levels[-1])
    scales = {"rna": Scale.of(rna), "atac": Scale.of(atac)}
    components = None
    if config.projection_size:
        covariances = [_covariance(rna, scales["rna"]), _covariance(atac, scales["atac"])]
        components = joint_components(covariances, config.projection_size)
    preprocessor = Preprocessor(data.genes[chosen], scales, components, neighborhood)
    neighbors = None if neighborhood is None else neighborhood.neighbors
    return TrainingCells(preprocessor, {"rna": rna, "atac": atac}, neighbors)


def _fit_neighborhood(
    rna: sparse.csr_matrix,
    atac: sparse.csr_matrix,
    peaks: sparse.csr_matrix | None,
    config: PreprocessingConfig,
    seed: int,
) -> Neighborhood:
    rna_scale, atac_scale = Scale.of(rna), Scale.of(atac)
    components = joint_components(
        [_covariance(rna, rna_scale), _covariance(atac, atac_scale)], config.neighbor_pca_size
    )
    # The index looks at which features are open, so counts and their logarithms are the same.
    index = SemanticIndex.fit(atac if peaks is None else peaks, config.lsi_size, seed)
    component_scale = Scale.of(_project(atac, atac_scale, components))
    parts = index, peaks is not None, components, atac_scale, component_scale
    unfinished = Neighborhood(*parts, features=None, neighbors=None, seed=seed)
    features = unfinished.features_of(atac, peaks)
    neighbors = neighbors_with_self(features, config.neighbors, seed)
    levels = averaged_levels(atac, neighbors, config.smoothing_hops)
    return replace(unfinished, features=features, neighbors=neighbors, levels=levels)


def averaged_levels(cells: sparse.csr_matrix, neighbors: np.ndarray, hops: int) -> tuple:
    """The cells [A, G] after 0, 1, …, `hops` - 1 averages over their neighbours."""
    weights = mean_matrix(neighbors, len(neighbors))
    levels = [cells]
    for _ in range(hops - 1):
        levels.append(_compact(weights @ levels[-1]))
    return tuple(levels)


def _compact(values: sparse.csr_matrix | np.ndarray) -> sparse.csr_matrix | np.ndarray:
    """Dense where that takes less memory and is faster: averages have few zeros left."""
    if not sparse.issparse(values):
        return values
    filled = values.nnz / max(1, values.shape[0] * values.shape[1])
    return values.toarray() if filled > DENSE_SHARE else sparse.csr_matrix(values)


def _dense(values: sparse.csr_matrix | np.ndarray) -> np.ndarray:
    return values.toarray() if sparse.issparse(values) else np.asarray(values)


def _project(values: sparse.csr_matrix, scale: Scale, components: np.ndarray) -> np.ndarray:
    """Standardised cells on components, float32 [cells, D], a chunk of cells at a time."""
    rows = _slices(values.shape[0])
    return np.concatenate([scale.apply(_dense(values[part])) @ components for part in rows])


def _covariance(values: sparse.csr_matrix | np.ndarray, scale: Scale) -> np.ndarray:
    """Covariance of the standardised genes [G, G], a chunk of cells at a time."""
    total = np.zeros((values.shape[1], values.shape[1]), dtype=np.float32)
    for part in _slices(values.shape[0]):
        cells = scale.apply(_dense(values[part]))
        total += cells.T @ cells
    return total / values.shape[0]
