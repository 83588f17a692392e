"""What a sample of the training cells teaches: scales, components, composition, batches.

Each gene is centred and scaled with its modality's own mean and deviation, of cells weighed so that
both modalities have one composition; so are the joint components.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from pathlib import Path

import numpy as np
from scipy import sparse

from scadv_tf.config import PreprocessingConfig
from scadv_tf.data.batch_offsets import Design, memberships
from scadv_tf.data.cell_blocks import CellBlocks
from scadv_tf.data.composition import Balance, balanced
from scadv_tf.data.linear_guess import LinearGuess, mean_entropy
from scadv_tf.data.measures import Measure
from scadv_tf.data.neighbor_lists import NeighborLists
from scadv_tf.data.neighbor_space import NeighborSpace
from scadv_tf.data.neighborhood import Neighborhood, averaged, mixed
from scadv_tf.data.neighborhood_size import neighborhood_size
from scadv_tf.data.neighbors import neighbors_with_self
from scadv_tf.data.normalization import (
    Scale,
    covariance,
    joint_components,
    log_normalize,
    number_of_components,
)
from scadv_tf.data.pairing import PairedData
from scadv_tf.data.preprocessor import Preprocessor
from scadv_tf.data.pseudobulk import Pseudobulk
from scadv_tf.modalities import MODALITIES


def learn(
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
    profile = None
    if config.balance and sample.rna_labels is not None:
        activity = measure.mean_activity(atac)
        profile = Pseudobulk.of(values["rna"], activity, sample.rna_labels, len(sample.types))
    learner = _Learner(sample, sample.genes[chosen], config, profile)
    designs = learner.designs()
    neighborhood, lists, averages = None, None, 0
    if config.neighbors != 1:
        panel = measure.of_kind.panel
        space = NeighborSpace.fit(values["rna"], values["atac"], sample.peaks, config, panel)
        size_of = partial(learner.size, values["atac"])
        if "atac" in designs:
            types = learner.guessed_types(space, values, designs)
            designs["atac"] = replace(designs["atac"], types=types)
            space = space.without_batches(values["atac"], sample.peaks, designs["atac"])
        neighborhood = Neighborhood.find(space, cells["atac"], size_of, folder)
        taught, averages = cells["atac"].taught, neighborhood.hops
        values["atac"] = neighborhood.genes(cells["atac"], taught, values["atac"])
        lists = neighborhood.lists_among(taught)
        if "atac" in designs:
            shares = neighborhood.members(cells["atac"], taught)
            designs["atac"] = replace(designs["atac"], members=shares)
    preprocessor, balance = learner.balanced(values, averages, lists, designs)
    return preprocessor, neighborhood, balance


@dataclass(frozen=True, eq=False)
class _Learner:
    """What is the same however often the cells teach.

    Attributes
    ----------
    sample : the cells that teach, their labels, and the types.
    genes : names of the chosen genes.
    profile : the mean ATAC cell beside the types; None where cells are not to be weighed.
    """

    sample: PairedData
    genes: np.ndarray
    config: PreprocessingConfig
    profile: Pseudobulk | None

    def designs(self) -> dict[str, Design]:
        """Modality -> batches and types of the cells; types of RNA cells alone are known."""
        sample = self.sample
        designs = {name: Design(memberships(found)) for name, found in sample.batches.items()}
        if "rna" in designs and sample.rna_labels is not None:
            known = np.eye(len(sample.types), dtype=np.float32)[sample.rna_labels]
            designs["rna"] = replace(designs["rna"], types=known)
        return designs

    def size(self, genes: sparse.csr_matrix, cells: int) -> tuple[int, int]:
        """How many neighbours so many ATAC cells have, themselves included, and how many averages.

        Parameters
        ----------
        genes : of the single ATAC cells, which find neighbours where there are no peaks.
        """
        sample, config = self.sample, self.config
        if config.neighbors:
            return config.neighbors, config.smoothing_hops
        of_peaks = sample.peaks is not None
        counts = sample.peaks if of_peaks else genes
        if sample.measure.of_kind.panel:
            counts = None
        labels, index = sample.rna_labels, config.lsi_size
        count, hops = neighborhood_size(cells, labels, counts, index, of_peaks)
        return count, min(config.smoothing_hops, hops)

    def guessed_types(
        self, space: NeighborSpace, values: dict, designs: dict[str, Design]
    ) -> np.ndarray | None:
        """Types of the ATAC cells [A, K], guessed as these and batches are told apart.

        Guessed twice from two beginnings: batches moved to one mean, which is right where they are
        of one composition, and left where they are, which is right where little but that differs.
        What begins right makes sharp types; so the surer guess counts. None where no types are
        guessed: then batches of unlike composition are not told from others.

        Parameters
        ----------
        values : modality -> log-normalised genes of single cells.
        """
        sample, config = self.sample, self.config
        if sample.rna_labels is None or not config.balance or not config.projection_size:
            return None
        alone, own = values["atac"], designs["atac"]
        count, hops = self.size(alone, alone.shape[0])

        def guessed(design: Design | None) -> tuple[np.ndarray, float]:
            """Types, and how unsure they are, of cells without what the design says is batches'."""
            found = design and space.without_batches(alone, sample.peaks, design)
            vectors = (found or space).vectors(alone, sample.peaks, own.members)
            lists = NeighborLists.of(neighbors_with_self(vectors, count))
            means = values | {"atac": averaged(alone, lists, hops)}
            shares = mixed(own.members, lists, hops)
            tried = {name: each for name, each in designs.items() if name != "atac"}
            if design:
                tried["atac"] = replace(design, members=shares)
            preprocessor, balance = self.balanced(means, hops, lists, tried)
            assert balance is not None  # there are labels and components
            features = preprocessor.features(means["atac"], "atac", shares)
            doubt = mean_entropy(balance.guess(features))
            return balance.guess.voted(features, lists), doubt

        found = []
        for beginning in (own, None):
            first, _ = guessed(beginning)
            second, doubt = guessed(replace(own, types=first))
            found.append((doubt, (first + second) / 2))
        return min(found, key=itemgetter(0))[1]

    def balanced(
        self, values: dict, averages: int, lists: NeighborLists | None, designs: dict[str, Design]
    ) -> tuple[Preprocessor, Balance | None]:
        """The preprocessor of cells that are weighed so that both modalities have one composition.

        Parameters
        ----------
        values : modality -> log-normalised (for ATAC: denoised) genes of the cells.
        averages : how often those of ATAC were averaged.
        lists : of the ATAC cells among themselves.
        designs : batches and types of the cells of a modality that has batches.
        """
        measure, profile = self.sample.measure, self.profile
        labels, types = self.sample.rna_labels, len(self.sample.types)
        learned = _space(values, self.config, measure)
        first = Preprocessor(self.genes, *learned, averages, measure=measure)
        if labels is None or profile is None or first.components is None:
            return _without_batches(first, values, designs), None

        def features_of(weights: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
            # The components stay: they cost far more than scales, and it is these that shares move.
            scales = _scales(values, measure, weights)
            weighed = _without_batches(replace(first, scales=scales), values, designs)
            rna, atac = (_features(weighed, values, designs, name) for name in MODALITIES)
            return rna, atac

        cells = values["atac"].shape[0]
        composition, weights = balanced(features_of, labels, types, lists, cells, profile)
        scales, components = _space(values, self.config, measure, weights)
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
