"""Counts to the network's input, learned once from the training cells.

1. the chosen genes; 2. counts per 10,000 and log(1 + x); 3. for ATAC cells the mean over nearest
ATAC cells, weighted by how many neighbours they share; 4. each gene centred and scaled with its
modality's own mean and deviation, of cells weighed so that both modalities have one composition.
`scadv_tf.serving.served_model` does the same for new cells.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from scipy import sparse

from scadv_tf.config import DataConfig, PreprocessingConfig
from scadv_tf.data import streaming
from scadv_tf.data.composition import Balance, balanced
from scadv_tf.data.denoising import Neighborhood, fit_neighborhood
from scadv_tf.data.neighbor_lists import NeighborLists
from scadv_tf.data.normalization import (
    Scale,
    averages,
    covariance,
    dense,
    joint_components,
    log_normalize,
    project,
    variable_genes,
)
from scadv_tf.data.pairing import PairedData
from scadv_tf.data.rows import DiskRows, Rows
from scadv_tf.errors import InputError

MODALITIES = ("rna", "atac")
# Of few cells of many types, the 35 nearest are of several types: the rule of `neighbors_of`.
SHARE_OF_A_TYPE = 1 / 7
FEWEST_NEIGHBORS, MOST_NEIGHBORS = 8, 35
TYPES_UNTAUGHT = 10  # that are reckoned with where no types are taught


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

    def features(self, values: sparse.csr_matrix | np.ndarray, modality: str) -> np.ndarray:
        """What the trained layers start from, float32 [cells, D], of log-normalised values."""
        if self.components is None:
            return self.scale(values, modality)
        return project(values, self.scales[modality], self.components)


@dataclass(frozen=True, eq=False)
class TrainingCells:
    """The training cells as the trained layers see them.

    Attributes
    ----------
    features : modality -> standardised cells on the joint components [cells, D], or their genes
        [cells, G] without components; float32, in memory or on disk.
    neighbors : of the ATAC cells; None without neighbours.
    values : modality -> log-normalised (for ATAC: denoised) genes, CSR or dense [cells, G]; empty
        for cells that are not held in memory.
    scratch : folder of what is too large for memory; None where all is held.
    balance : the composition of both modalities, and what each cell weighs for it; None where that
        is not looked at.
    """

    preprocessor: Preprocessor
    features: dict[str, Rows]
    neighbors: NeighborLists | None
    values: dict[str, sparse.csr_matrix | np.ndarray] = field(default_factory=dict)
    scratch: Path | None = None
    balance: Balance | None = None

    def cells(self, modality: str) -> int:
        """The number of cells of a modality."""
        return self.features[modality].shape[0]

    def weights(self, modality: str) -> np.ndarray | None:
        """What each cell of a modality weighs, [cells] with mean 1; None for all the same."""
        return None if self.balance is None else self.balance.weights[modality]

    @property
    def feature_size(self) -> int:
        """Width D (or G) of the features."""
        return self.features["rna"].shape[1]

    @property
    def followed(self) -> np.ndarray:
        """Sorted rows of the ATAC cells whose predicted types are followed in training.

        All of them; where a sample are the neighbours of all others, that sample.
        """
        if self.neighbors is not None and self.neighbors.sampled:
            return self.neighbors.reference
        return np.arange(self.cells("atac"))

    def genes(self, modality: str, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Standardised genes of held cells, float32 [B, G]."""
        return self.preprocessor.scale(self.values[modality][rows], modality)

    def table(self, name: str, cells: int, width: int) -> Rows:
        """Room for float32 numbers of each cell [cells, width]: in memory, or on disk."""
        if self.scratch is None:
            return np.empty((cells, width), dtype=np.float32)
        return DiskRows(self.scratch / name, width)


def fit(
    data: PairedData,
    config: PreprocessingConfig,
    seed: int = 0,
    scratch: str | Path | None = None,
    memory_cells: int = DataConfig.memory_cells,
) -> TrainingCells:
    """Learns the preprocessing from paired data and applies it to the same cells.

    With ``neighbors`` 1 there are no neighbours, with 0 as many as `neighbors_of` says; with ``smoothing_hops`` 0 there are, but the
    cells are not averaged. Of a modality on disk, a random sample of `memory_cells` teaches, and
    the features of all its cells go to disk.

    Parameters
    ----------
    scratch : folder for these, which is the caller's to remove; needed if there are any.
    memory_cells : 0 for all cells.

    Raises
    ------
    InputError : there is no such folder, or the disk is full.
    """
    config = replace(config, neighbors=neighbors_of(data, config))
    rows = streaming.sampled_rows(data, memory_cells, seed)
    streamed = {name: r for name, r in rows.items() if len(r) < len(getattr(data, name))}
    if not streamed:
        return _learn(streaming.held(data, rows), config)[1]
    if scratch is None:
        raise InputError(
            what="More cells are to be preprocessed than may be held in memory.",
            expected="a folder for their features: fit(..., scratch=FOLDER)",
            received=f"none, and memory_cells={memory_cells}",
            advice="Give a folder on a disk with space, or read the data with memory_cells=0.",
        )
    streaming.check_space(data, streamed, config, Path(scratch))
    columns, cells = _learn(streaming.held(data, rows), config)
    return streaming.streamed(cells, data, columns, streamed, Path(scratch))


def neighbors_of(data: PairedData, config: PreprocessingConfig) -> int:
    """How many ATAC cells are averaged: as configured, or by the numbers of cells and types.

    A seventh of the ATAC cells that a type would have, were they divided as evenly as the RNA types
    are on the whole (the exponential of the entropy of their shares counts them), from 8 to 35. It
    looks at no label of an ATAC cell.
    """
    if config.neighbors:
        return config.neighbors
    types = TYPES_UNTAUGHT
    if data.rna_labels is not None:
        shares = np.bincount(data.rna_labels) / len(data.rna_labels)
        shares = shares[shares > 0]
        types = np.exp(-np.sum(shares * np.log(shares)))
    wanted = round(SHARE_OF_A_TYPE * len(data.atac_cells) / types)
    return min(max(wanted, FEWEST_NEIGHBORS), MOST_NEIGHBORS)


def _learn(data: PairedData, config: PreprocessingConfig) -> tuple[np.ndarray, TrainingCells]:
    """The columns of the chosen genes, and held cells as they teach and see the preprocessing."""
    chosen = variable_genes(data.rna, data.atac, config.variable_genes)
    rna, atac = (log_normalize(counts[:, chosen]) for counts in (data.rna, data.atac))
    neighborhood = weights = None
    if config.neighbors > 1:
        neighborhood = fit_neighborhood(rna, atac, data.peaks, config)
        weights = neighborhood.weights
    if neighborhood is not None and neighborhood.levels:
        atac = averages(weights, neighborhood.levels[-1])
    lists = None if weights is None else NeighborLists.of(weights)
    values = {"rna": rna, "atac": atac}
    preprocessor = Preprocessor(data.genes[chosen], *_space(values, config), neighborhood)
    balance = None
    if config.balance and data.rna_labels is not None and preprocessor.components is not None:
        balance = _balance(preprocessor, values, data, lists)
        scales, components = _space(values, config, balance.weights)
        preprocessor = replace(preprocessor, scales=scales, components=components)
        balance = balance.with_guess(preprocessor.features(rna, "rna"), data.rna_labels)
    features = {name: preprocessor.features(values[name], name) for name in MODALITIES}
    return chosen, TrainingCells(preprocessor, features, lists, values, balance=balance)


def _space(
    values: dict, config: PreprocessingConfig, weights: dict[str, np.ndarray] | None = None
) -> tuple[dict[str, Scale], np.ndarray | None]:
    """Scales of both modalities and joint components, of cells of equal or given weights."""
    weights = weights or dict.fromkeys(MODALITIES)
    scales = {name: Scale.of(values[name], weights[name]) for name in MODALITIES}
    if not config.projection_size:
        return scales, None
    covariances = [covariance(values[m], scales[m], weights[m]) for m in MODALITIES]
    return scales, joint_components(covariances, config.projection_size)


def _balance(
    first: Preprocessor, values: dict, data: PairedData, lists: NeighborLists | None
) -> Balance:
    """What the cells weigh, by what the first, unweighted preprocessing makes of them."""

    def features_of(weights: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        # The components stay: they cost far more than scales, and it is these that shares move.
        scales = {name: Scale.of(values[name], weights[name]) for name in MODALITIES}
        weighed = replace(first, scales=scales)
        return tuple(weighed.features(values[name], name) for name in MODALITIES)

    atac_cells = values["atac"].shape[0]
    return balanced(features_of, data.rna_labels, len(data.types), lists, atac_cells)
