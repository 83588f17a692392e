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
from scadv_tf.data import emptiness, streaming
from scadv_tf.data.composition import Balance, Composition, balanced
from scadv_tf.data.denoising import Neighborhood, fit_neighborhood
from scadv_tf.data.linear_guess import LinearGuess
from scadv_tf.data.neighbor_lists import NeighborLists
from scadv_tf.data.neighbors import TWICE_FROM, number_of_neighbors
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
    least_open : how many features a cell with data has open, by kind: genes of 'rna' and 'atac';
        'peaks' for genes and peaks of ATAC cells together. See `scadv_tf.data.emptiness`.
    """

    genes: np.ndarray
    scales: dict[str, Scale]
    components: np.ndarray | None
    neighborhood: Neighborhood | None = None
    least_open: dict[str, int] = field(default_factory=dict)

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
    """The training cells as the trained layers see them: those of the data that have data.

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
    with_data : modality -> which cells of the data these are, bool [all cells]; the others are
        empty or nearly so (see `scadv_tf.data.emptiness`). Nothing for all.
    """

    preprocessor: Preprocessor
    features: dict[str, Rows]
    neighbors: NeighborLists | None
    values: dict[str, sparse.csr_matrix | np.ndarray] = field(default_factory=dict)
    scratch: Path | None = None
    balance: Balance | None = None
    with_data: dict[str, np.ndarray] = field(default_factory=dict)

    def chosen(self, modality: str, values: np.ndarray) -> np.ndarray:
        """Of values of all cells of the data [cells, …], those of these cells."""
        return values[self.with_data[modality]] if modality in self.with_data else values

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

    With ``neighbors`` 1 there are no neighbours, with 0 as many as `number_of_neighbors` says; with
    ``smoothing_hops`` 0 there are, but the cells are not averaged. Of a modality on disk, a random
    sample of `memory_cells` teaches, and the features of all its cells go to disk.

    Parameters
    ----------
    scratch : folder for these, which is the caller's to remove; needed if there are any.
    memory_cells : 0 for all cells.

    Raises
    ------
    InputError : there is no such folder, or the disk is full.
    """
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


def _learn(data: PairedData, config: PreprocessingConfig) -> tuple[np.ndarray, TrainingCells]:
    """The columns of the chosen genes, and held cells as they teach and see the preprocessing."""
    chosen, least, with_data = _with_data(data, config)
    data = emptiness.part_of(data, with_data)
    labels, config = data.rna_labels, _with_neighbors(config, data)
    rna, atac = (log_normalize(counts[:, chosen]) for counts in (data.rna, data.atac))
    neighborhood = weights = None
    if config.neighbors > 1:
        neighborhood = fit_neighborhood(rna, atac, data.peaks, config)
        weights = neighborhood.weights
    if neighborhood is not None and neighborhood.levels:
        atac = averages(weights, neighborhood.levels[-1])
    lists = None if weights is None else NeighborLists.of(weights)
    values = {"rna": rna, "atac": atac}
    preprocessor = Preprocessor(data.genes[chosen], *_space(values, config), neighborhood, least)
    balance = None
    if config.balance and labels is not None and preprocessor.components is not None:
        types = len(data.types)
        composition, of_cells = _balance(preprocessor, values, labels, types, lists)
        scales, components = _space(values, config, of_cells)
        preprocessor = replace(preprocessor, scales=scales, components=components)
        guess = LinearGuess.fit(preprocessor.features(rna, "rna"), labels, types)
        balance = Balance(composition, guess, of_cells)
    features = {name: preprocessor.features(values[name], name) for name in MODALITIES}
    cells = TrainingCells(preprocessor, features, lists, values, None, balance, with_data)
    return chosen, cells


def _with_neighbors(config: PreprocessingConfig, data: PairedData) -> PreprocessingConfig:
    """The settings with a number of neighbours, by the rule where none is given."""
    if config.neighbors:
        return config
    count = number_of_neighbors(data.atac.shape[0], data.rna_labels)
    hops = config.smoothing_hops if count >= TWICE_FROM else min(config.smoothing_hops, 1)
    return replace(config, neighbors=count, smoothing_hops=hops)


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
    first: Preprocessor, values: dict, labels: np.ndarray, types: int, lists: NeighborLists | None
) -> tuple[Composition, dict[str, np.ndarray]]:
    """What the cells weigh, by what the first, unweighted preprocessing makes of them."""

    def features_of(weights: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        # The components stay: they cost far more than scales, and it is these that shares move.
        scales = {name: Scale.of(values[name], weights[name]) for name in MODALITIES}
        weighed = replace(first, scales=scales)
        return tuple(weighed.features(values[name], name) for name in MODALITIES)

    return balanced(features_of, labels, types, lists, values["atac"].shape[0])


def _with_data(
    data: PairedData, config: PreprocessingConfig
) -> tuple[np.ndarray, dict[str, int], dict[str, np.ndarray]]:
    """The columns of the chosen genes, what a cell must have open, and which cells have it.

    All shared genes say which cells choose; then the chosen genes, which are all that the network
    and a served model see, say which cells have data. Peaks count where they find the neighbours
    that a cell is averaged with: so a cell without open genes still gets some.
    """
    peaks = data.peaks if config.neighbors != 1 and config.smoothing_hops else None
    first = emptiness.with_data(emptiness.opened(data.rna, data.atac, peaks))
    emptiness.check_enough(first)
    part = emptiness.part_of(data, first)
    chosen = variable_genes(part.rna, part.atac, config.variable_genes)
    found = emptiness.opened(data.rna[:, chosen], data.atac[:, chosen], peaks)
    least = {
        kind: emptiness.least_open(cells[first["rna" if kind == "rna" else "atac"]])
        for kind, cells in found.items()
    }
    with_data = emptiness.with_data(found, least)
    emptiness.check_enough(with_data)
    return chosen, least, with_data
