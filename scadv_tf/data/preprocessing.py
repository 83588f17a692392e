"""Counts to the network's input, learned once from the training cells.

1. the chosen genes; 2. counts per 10,000 and log(1 + x); 3. for ATAC cells the mean over nearest
ATAC cells, weighted by how many neighbours they share; 4. each gene centred and scaled with its
modality's own mean and deviation, of cells weighed so that both modalities have one composition.
`scadv_tf.serving.served_model` does the same for new cells.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
from scipy import sparse

from scadv_tf.config import DataConfig, PreprocessingConfig
from scadv_tf.data import cell_blocks, emptiness
from scadv_tf.data.batch_offsets import ROUNDS, Design, memberships, without_offsets
from scadv_tf.data.cell_blocks import CellBlocks
from scadv_tf.data.composition import Balance, balanced
from scadv_tf.data.fingerprint import fingerprint
from scadv_tf.data.linear_guess import LinearGuess
from scadv_tf.data.measures import Measure
from scadv_tf.data.neighbor_lists import NeighborLists
from scadv_tf.data.neighbor_space import NeighborSpace
from scadv_tf.data.neighborhood import Neighborhood, averaged, mixed
from scadv_tf.data.neighbors import TWICE_FROM, neighbors_with_self, number_of_neighbors
from scadv_tf.data.normalization import (
    Scale,
    chunks,
    covariance,
    dense,
    joint_components,
    log_normalize,
    measured_genes,
    number_of_components,
    variable_genes,
)
from scadv_tf.data.pairing import PairedData
from scadv_tf.data.reference import Reference
from scadv_tf.data.rows import DiskRows, Rows
from scadv_tf.errors import InputError
from scadv_tf.modalities import MODALITIES


@dataclass(frozen=True, eq=False)
class Preprocessor:
    """Everything learned from the training cells.

    Attributes
    ----------
    genes : names of the G chosen genes, in the order of the input.
    scales : the scale of each modality's log-normalised (for ATAC: denoised) genes.
    components : joint principal components [G, D] of the input, for the encoder's first layer, or
        None.
    averages : how often ATAC cells are averaged with their neighbours.
    reference : training cells that new ATAC cells are averaged with; None without neighbours.
    least_open : how many features a cell with data has open, by kind: genes of 'rna' and 'atac';
        'peaks' for genes and peaks of ATAC cells together. See `scadv_tf.data.emptiness`.
    batches : modality -> names of its B batches, where these are corrected for.
    offsets : modality -> what is taken off the features of each batch's cells [B, D], see
        `scadv_tf.data.batch_offsets`.
    measure : what the ATAC cells' numbers are, and how they become comparable.
    """

    genes: np.ndarray
    scales: dict[str, Scale]
    components: np.ndarray | None
    averages: int = 0
    reference: Reference | None = None
    least_open: dict[str, int] = field(default_factory=dict)
    batches: dict[str, tuple[str, ...]] = field(default_factory=dict)
    offsets: dict[str, np.ndarray] = field(default_factory=dict)
    measure: Measure = Measure()

    def scale(self, values: sparse.csr_matrix | np.ndarray, modality: str) -> np.ndarray:
        """Standardised rows of log-normalised values, float32 [cells, G].

        Single cells are cut at 10 standard deviations. Averages are not: few genes of theirs lie
        beyond, and what is not cut may be averaged after the projection as well as before it.
        """
        scale, values = self.scales[modality], dense(values)
        return scale.uncut(values) if self.averages and modality == "atac" else scale.apply(values)

    def features(
        self,
        values: sparse.csr_matrix | np.ndarray,
        modality: str,
        members: np.ndarray | None = None,
    ) -> np.ndarray:
        """What the trained layers start from, float32 [cells, D], of log-normalised values.

        Parameters
        ----------
        members : share of each batch in these cells [cells, B]; None for cells of none.
        """
        parts = (self.scale(values[part], modality) for part in chunks(values.shape[0]))
        if self.components is not None:
            parts = (part @ self.components for part in parts)
        found = np.concatenate(list(parts))
        return without_offsets(found, members, self.offsets.get(modality))


@dataclass(frozen=True, eq=False)
class TrainingCells:
    """The training cells as the trained layers see them: those of the data that have data.

    Attributes
    ----------
    features : modality -> standardised cells on the joint components [cells, D], or their genes
        [cells, G] without components; float32, in memory or on disk.
    neighbors : of the ATAC cells; None without neighbours.
    held : modality -> counts of its cells, where these are in memory.
    scratch : folder of what is too large for memory; None where all is held.
    balance : the composition of both modalities, and what each cell weighs for it; None where that
        is not looked at.
    with_data : modality -> which cells of the data these are, bool [all cells]; the others are
        empty or nearly so (see `scadv_tf.data.emptiness`). Nothing for all.
    fingerprint : of the data that they come from, see `scadv_tf.data.fingerprint`.
    """

    preprocessor: Preprocessor
    features: dict[str, Rows]
    neighbors: NeighborLists | None
    held: dict[str, CellBlocks] = field(default_factory=dict)
    scratch: Path | None = None
    balance: Balance | None = None
    with_data: dict[str, np.ndarray] = field(default_factory=dict)
    fingerprint: str = ""

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

    def values(self, modality: str) -> sparse.csr_matrix | np.ndarray:
        """Log-normalised (for ATAC: averaged) genes of held cells, CSR or dense [cells, G]."""
        genes = self.held[modality].genes()
        if modality == "rna" or self.neighbors is None or not self.preprocessor.averages:
            return genes
        return averaged(genes, self.neighbors, self.preprocessor.averages)

    def genes(self, modality: str) -> np.ndarray:
        """Standardised genes of held cells, float32 [cells, G]."""
        return self.preprocessor.scale(self.values(modality), modality)

    def table(self, name: str, cells: int, width: int) -> DiskRows | np.ndarray:
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
    ``smoothing_hops`` 0 there are, but the cells are not averaged. Of many cells, a random sample
    teaches scales and components; neighbours are found among all. A modality that is stored on
    disk, with more cells than `memory_cells`, stays there, and so do its features.

    Parameters
    ----------
    scratch : folder for these, which is the caller's to remove; needed if there are any.
    memory_cells : 0 for all cells.

    Raises
    ------
    InputError : there is no such folder, or the disk is full.
    """
    streamed = cell_blocks.streamed_modalities(data, memory_cells)
    if streamed:
        _check_streamed(data, config, streamed, scratch, memory_cells)
    mark = fingerprint(data)
    data = cell_blocks.held(data, streamed)
    rows = cell_blocks.sampled_rows(data, seed)
    sample = cell_blocks.sample(data, rows)
    chosen, least, kept = _with_data(sample, config)
    sample = emptiness.part_of(sample, kept)
    measure = data.measure.learned(sample.rna, sample.atac).of_genes(chosen)
    comparable = {"rna": log_normalize, "atac": measure.comparable}
    cells = {
        name: CellBlocks(data, name, chosen, least, rows[name][kept[name]], comparable[name])
        for name in MODALITIES
    }
    sample = replace(sample, measure=measure)
    folder = Path(scratch) if streamed and scratch is not None else None
    folders = {name: folder if name in streamed else None for name in MODALITIES}
    preprocessor, neighborhood, balance = _learn(sample, chosen, cells, config, folders["atac"])
    batches = {name: tuple(found.categories) for name, found in data.batches.items()}
    preprocessor = replace(preprocessor, least_open=least, batches=batches)

    features = {}
    for name in MODALITIES:
        features_of = partial(preprocessor.features, modality=name)
        if name == "atac" and neighborhood:
            found, reference = neighborhood.features(cells[name], features_of, seed)
            preprocessor, parts = replace(preprocessor, reference=reference), [found]
        else:
            blocks = cells[name].blocks("projecting")
            parts = (features_of(logged, members=members) for logged, _, members in blocks)
        features[name] = _joined(parts, folders[name], f"{name}_features")
    lists = neighborhood.lists if neighborhood else None
    with_data = {name: cells[name].with_data for name in MODALITIES}
    sampled = any(len(c.taught) < features[name].shape[0] for name, c in cells.items())
    if balance and data.rna_labels is not None and sampled:
        balance = balance.of_all(data.rna_labels[with_data["rna"]], features["atac"], lists)
    held = {name: cells[name] for name in MODALITIES if name not in streamed}
    return TrainingCells(preprocessor, features, lists, held, folder, balance, with_data, mark)


def _learn(
    sample: PairedData,
    chosen: np.ndarray,
    cells: dict[str, CellBlocks],
    config: PreprocessingConfig,
    folder: Path | None,
) -> tuple[Preprocessor, Neighborhood | None, Balance | None]:
    """What the cells of a sample teach, and the neighbours of all.

    Parameters
    ----------
    sample : counts of the cells that teach.
    chosen : columns of the chosen genes.
    cells : modality -> all its cells.
    folder : where the neighbours of the ATAC cells go; None for memory.
    """
    measure = sample.measure
    rna, atac = (getattr(sample, name)[:, chosen] for name in MODALITIES)
    values = {"rna": log_normalize(rna), "atac": measure.comparable(atac)}
    designs = _designs(sample)
    neighborhood, lists, averages = None, None, 0
    if config.neighbors != 1:
        panel = measure.of_kind.panel
        space = NeighborSpace.fit(values["rna"], values["atac"], sample.peaks, config, panel)
        size_of = partial(_size, config, sample.rna_labels)
        if "atac" in designs:
            types = _guessed_types(space, values, sample, config, designs)
            designs["atac"] = replace(designs["atac"], types=types)
            space = space.without_batches(values["atac"], sample.peaks, designs["atac"])
        neighborhood = Neighborhood.find(space, cells["atac"], size_of, folder)
        taught, averages = cells["atac"].taught, neighborhood.hops
        values["atac"] = neighborhood.genes(cells["atac"], taught, values["atac"])
        lists = neighborhood.lists_among(taught)
        if "atac" in designs:
            shares = neighborhood.members(cells["atac"], taught)
            designs["atac"] = replace(designs["atac"], members=shares)
    learned = _space(values, config, measure)
    first = Preprocessor(sample.genes[chosen], *learned, averages, measure=measure)
    preprocessor, balance = _balanced(first, values, sample, config, lists, designs)
    return preprocessor, neighborhood, balance


def _designs(sample: PairedData) -> dict[str, Design]:
    """Modality -> batches and types of the cells that teach; types of RNA cells alone are known."""
    designs = {name: Design(memberships(found)) for name, found in sample.batches.items()}
    if "rna" in designs and sample.rna_labels is not None:
        known = np.eye(len(sample.types), dtype=np.float32)[sample.rna_labels]
        designs["rna"] = replace(designs["rna"], types=known)
    return designs


def _guessed_types(
    space: NeighborSpace,
    values: dict,
    sample: PairedData,
    config: PreprocessingConfig,
    designs: dict[str, Design],
) -> np.ndarray | None:
    """Types of the ATAC cells that teach [A, K], guessed as these and batches are told apart.

    In rounds: batches moved to one mean, types guessed, batches moved to one mean of each type, …
    None where no types are guessed: then batches of unlike composition are not told from others.

    Parameters
    ----------
    values : modality -> log-normalised genes of single cells.
    """
    if sample.rna_labels is None or not config.balance or not config.projection_size:
        return None
    alone, own = values["atac"], designs["atac"]
    count, hops = _size(config, sample.rna_labels, alone.shape[0])
    types = None
    for _ in range(ROUNDS):
        found = space.without_batches(alone, sample.peaks, replace(own, types=types))
        vectors = found.vectors(alone, sample.peaks, own.members)
        lists = NeighborLists.of(neighbors_with_self(vectors, count))
        means = values | {"atac": averaged(alone, lists, hops)}
        shares = mixed(own.members, lists, hops)
        tried = designs | {"atac": Design(shares, types)}
        learned = _space(means, config, sample.measure)
        first = Preprocessor(np.empty(0), *learned, hops, measure=sample.measure)
        preprocessor, balance = _balanced(first, means, sample, config, lists, tried)
        features = preprocessor.features(means["atac"], "atac", shares)
        assert balance is not None  # there are labels and components
        guessed = balance.guess.voted(features, lists)
        types = guessed if types is None else (types + guessed) / 2
    return types


def _size(config: PreprocessingConfig, labels: np.ndarray | None, cells: int) -> tuple[int, int]:
    """How many neighbours so many ATAC cells have, themselves included, and how many averages."""
    if config.neighbors:
        return config.neighbors, config.smoothing_hops
    count = number_of_neighbors(cells, labels)
    return count, min(config.smoothing_hops, 2 if count >= TWICE_FROM else 1)


def _joined(parts: Iterable[np.ndarray], folder: Path | None, name: str) -> Rows:
    """Blocks of rows as one table: in memory, or in a folder."""
    if folder is None:
        return np.concatenate(list(parts))
    blocks = iter(parts)
    first = next(blocks)
    table = DiskRows(folder / name, first.shape[1])
    for part in chain([first], blocks):
        table[len(table) : len(table) + len(part)] = part
    return table


def _check_streamed(
    data: PairedData,
    config: PreprocessingConfig,
    streamed: tuple[str, ...],
    scratch: str | Path | None,
    memory_cells: int,
) -> None:
    if scratch is None:
        raise InputError(
            what="More cells are to be preprocessed than may be held in memory.",
            expected="a folder for their features: fit(..., scratch=FOLDER)",
            received=f"none, and memory_cells={memory_cells}",
            advice="Give a folder on a disk with space, or read the data with memory_cells=0.",
        )
    averaged = config.neighbors != 1 and config.smoothing_hops
    if "atac" in streamed and averaged and not config.projection_size:
        raise InputError(
            what="Averages of all genes need all ATAC cells in memory.",
            expected="ATAC cells on few components (projection_size), or in memory",
            received=f"projection_size=0, {len(data.atac):,} ATAC cells, memory_cells="
            f"{memory_cells:,}",
            advice="Leave --projection_size at its default, or give --memory_cells=0.",
        )
    cell_blocks.check_space(data, streamed, config, Path(scratch))


def _balanced(
    first: Preprocessor,
    values: dict,
    sample: PairedData,
    config: PreprocessingConfig,
    lists: NeighborLists | None,
    designs: dict[str, Design],
) -> tuple[Preprocessor, Balance | None]:
    """The preprocessor of cells that are weighed so that both modalities have one composition.

    Parameters
    ----------
    first : of cells of equal weights.
    values : modality -> log-normalised (for ATAC: denoised) genes of the cells that teach.
    sample : these cells' labels, and the types.
    lists : of those ATAC cells among themselves.
    designs : batches and types of the cells of a modality that has batches.
    """
    labels, types = sample.rna_labels, len(sample.types)
    if not config.balance or labels is None or first.components is None:
        return _without_batches(first, values, designs), None

    def features_of(weights: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        # The components stay: they cost far more than scales, and it is these that shares move.
        scales = _scales(values, first.measure, weights)
        weighed = _without_batches(replace(first, scales=scales), values, designs)
        rna, atac = (_features(weighed, values, designs, name) for name in MODALITIES)
        return rna, atac

    composition, weights = balanced(features_of, labels, types, lists, values["atac"].shape[0])
    scales, components = _space(values, config, first.measure, weights)
    found = replace(first, scales=scales, components=components)
    found = _without_batches(found, values, designs)
    guess = LinearGuess.fit(_features(found, values, designs, "rna"), labels, types)
    return found, Balance(composition, guess, weights)


def _without_batches(found: Preprocessor, values: dict, designs: dict[str, Design]) -> Preprocessor:
    """The same with the offsets of the batches in its features."""
    offsets = {
        name: design.offsets(found.features(values[name], name)) for name, design in designs.items()
    }
    return replace(found, offsets=offsets)


def _features(
    found: Preprocessor, values: dict, designs: dict[str, Design], name: str
) -> np.ndarray:
    """Features of the cells that teach."""
    members = designs[name].members if name in designs else None
    return found.features(values[name], name, members)


def _scales(values: dict, measure: Measure, weights: dict) -> dict[str, Scale]:
    """Those of both modalities, of cells of such weights; None for equal ones."""
    query = measure.scale(values["atac"], weights["atac"])
    return {"rna": Scale.of(values["rna"], weights["rna"]), "atac": query}


def _space(
    values: dict,
    config: PreprocessingConfig,
    measure: Measure,
    weights: dict[str, np.ndarray] | None = None,
) -> tuple[dict[str, Scale], np.ndarray | None]:
    """Scales of both modalities and joint components, of cells of equal or given weights."""
    weights = weights or dict.fromkeys(MODALITIES)
    scales = _scales(values, measure, weights)
    if not config.projection_size:
        return scales, None
    covariances = [covariance(values[m], scales[m], weights[m]) for m in MODALITIES]
    cells = min(values[m].shape[0] for m in MODALITIES)
    size = number_of_components(cells, config.projection_size)
    return scales, joint_components(covariances, size)


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
    emptiness.check_genes(len(measured_genes(part.rna, part.atac)), part.rna.shape[1])
    rank_of = data.measure.variability
    chosen = variable_genes(part.rna, part.atac, config.variable_genes, rank_of)
    rna, atac = (getattr(data, name)[:, chosen] for name in MODALITIES)
    found = emptiness.opened(rna, atac, peaks)
    least = {
        kind: emptiness.least_open(cells[first["rna" if kind == "rna" else "atac"]])
        for kind, cells in found.items()
    }
    with_data = emptiness.with_data(found, least)
    emptiness.check_enough(with_data)
    return chosen, least, with_data
