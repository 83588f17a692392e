"""Counts to the network's input, learned once from the training cells.

1. the chosen genes; 2. counts per 10,000 and log(1 + x); 3. for ATAC cells the mean over nearest
ATAC cells, weighted by how many neighbours they share; 4. each gene centred and scaled with its
modality's own mean and deviation. `scadv_tf.serving.served_model` does the same for new cells.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from scadv_tf.config import PreprocessingConfig
from scadv_tf.data.denoising import Neighborhood, fit_neighborhood
from scadv_tf.data.normalization import (
    Scale,
    compact,
    covariance,
    dense,
    joint_components,
    log_normalize,
    variable_genes,
)
from scadv_tf.data.pairing import PairedData

MODALITIES = ("rna", "atac")
CELLS_AT_ONCE = 2048


@dataclass(frozen=True, eq=False)
class Preprocessor:
    """Everything learned from the training cells.

    Attributes
    ----------
    genes : names of the G chosen genes, in the order of the input.
    scales : the scale of each modality's log-normalised (for ATAC: denoised) genes.
    components : joint principal components [G, D] of the input, for the encoder's first layer, or
        None.
    neighborhood : how the neighbours of ATAC cells are found; None without neighbours.
    """

    genes: np.ndarray
    scales: dict[str, Scale]
    components: np.ndarray | None
    neighborhood: Neighborhood | None = None

    def scale(self, values: sparse.csr_matrix | np.ndarray, modality: str) -> np.ndarray:
        """Standardised rows of log-normalised values, float32 [cells, G]."""
        return self.scales[modality].apply(dense(values))


@dataclass(frozen=True, eq=False)
class TrainingCells:
    """Log-normalised (for ATAC: denoised) training cells, standardised a batch at a time.

    Attributes
    ----------
    values : modality -> CSR or dense matrix [cells, G].
    neighbor_weights : CSR [A, A], what an ATAC cell's neighbours and itself weigh in an average,
        k a row; None without neighbours.
    """

    preprocessor: Preprocessor
    values: dict[str, sparse.csr_matrix | np.ndarray]
    neighbor_weights: sparse.csr_matrix | None

    def cells(self, modality: str) -> int:
        """The number of cells of a modality."""
        return self.values[modality].shape[0]

    def batch(self, modality: str, rows: np.ndarray | slice) -> np.ndarray:
        """The network's input for some of the cells, float32 [B, G]."""
        return self.preprocessor.scale(self.values[modality][rows], modality)

    def batches(self, modality: str) -> Iterator[np.ndarray]:
        """The network's input for all cells of a modality in their order, a batch at a time."""
        for start in range(0, self.cells(modality), CELLS_AT_ONCE):
            yield self.batch(modality, slice(start, start + CELLS_AT_ONCE))

    def with_rna(self, rows: np.ndarray) -> TrainingCells:
        """The same cells with some of the RNA cells only."""
        return replace(self, values=self.values | {"rna": self.values["rna"][rows]})

    def partners(self, rows: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """For each ATAC cell one of its neighbours (or itself), drawn by weight; int [B]."""
        if self.neighbor_weights is None:
            return rows
        near = self.neighbor_weights[rows]
        shares = near.data.reshape(len(rows), -1).cumsum(axis=1)
        drawn = random.random(len(rows)) * shares[:, -1]
        columns = (shares <= drawn[:, None]).sum(axis=1)
        return near.indices.reshape(len(rows), -1)[np.arange(len(rows)), columns]


def fit(data: PairedData, config: PreprocessingConfig, seed: int = 0) -> TrainingCells:
    """Learns the preprocessing from paired data and applies it to the same cells.

    With ``neighbors`` 1 there are no neighbours; with ``smoothing_hops`` 0 there are, but the
    cells are not averaged.
    """
    chosen = variable_genes(data.rna, data.atac, config.variable_genes)
    rna, atac = (log_normalize(counts[:, chosen]) for counts in (data.rna, data.atac))
    neighborhood = weights = None
    if config.neighbors > 1:
        neighborhood = fit_neighborhood(rna, atac, data.peaks, config, seed)
        weights = neighborhood.weights
    if neighborhood is not None and neighborhood.levels:
        atac = compact(weights @ neighborhood.levels[-1])
    scales = {"rna": Scale.of(rna), "atac": Scale.of(atac)}
    components = None
    if config.projection_size:
        covariances = [covariance(rna, scales["rna"]), covariance(atac, scales["atac"])]
        components = joint_components(covariances, config.projection_size)
    preprocessor = Preprocessor(data.genes[chosen], scales, components, neighborhood)
    return TrainingCells(preprocessor, {"rna": rna, "atac": atac}, weights)
