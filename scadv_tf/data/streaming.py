"""Preprocessing of cells that are too many for memory: a sample teaches, all are streamed.

A random sample of the cells is held and goes through the whole preprocessing. Every other ATAC cell
is treated as an export treats a new one: averaged with its nearest cells of the sample
(`scadv_tf.serving.reference` does the same in TensorFlow).
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from scadv_tf.data import emptiness
from scadv_tf.data.neighbor_lists import NeighborLists
from scadv_tf.data.neighbors import MOST_NEIGHBORS, Search, weights_of_new
from scadv_tf.data.normalization import CHUNK, dense, log_normalize
from scadv_tf.data.pairing import Counts, PairedData
from scadv_tf.data.rows import DiskRows
from scadv_tf.data.stored_counts import StoredCounts, open_features
from scadv_tf.errors import InputError
from scadv_tf.progress import CellProgress

if TYPE_CHECKING:
    from scadv_tf.config import PreprocessingConfig
    from scadv_tf.data.denoising import Neighborhood
    from scadv_tf.data.preprocessing import Preprocessor, TrainingCells

logger = logging.getLogger(__name__)

CELLS_AT_ONCE = 4096
# Of the scratch disk's free space, at most so much is taken: the latent vectors go there, too.
SPACE_SHARE = 0.8

Rows = dict[str, np.ndarray]


def sampled_rows(data: PairedData, cells: int, seed: int) -> Rows:
    """Modality -> ascending rows of the cells that are to be held, of modalities on disk only.

    Where not all can be, cells without data are not among them.

    Parameters
    ----------
    cells : at most so many of each modality; 0 for all.
    """
    rows = {}
    for number, name in enumerate(("rna", "atac")):
        counts: Counts = getattr(data, name)
        if isinstance(counts, StoredCounts):
            of_use = np.arange(len(counts))
            if 0 < cells < len(counts):
                found = emptiness.opened(data.rna, data.atac, data.peaks)
                of_use = np.flatnonzero(emptiness.with_data(found)[name])
            size = min(cells or len(of_use), len(of_use))
            random = np.random.default_rng([seed, number])
            rows[name] = np.sort(random.choice(of_use, size, replace=False))
    return rows


def held(data: PairedData, rows: Rows) -> PairedData:
    """The sampled cells of stored modalities, and all of the others, with counts in memory.

    Of names and tables nothing is chosen: they are still those of all cells.
    """
    counts = {name: getattr(data, name)[chosen] for name, chosen in rows.items()}
    if "rna" in rows and data.rna_labels is not None:
        counts["rna_labels"] = data.rna_labels[rows["rna"]]
    if data.peaks is not None and "atac" in rows:
        counts["peaks"] = data.peaks[rows["atac"]]
    return replace(data, **counts)


def check_space(data: PairedData, rows: Rows, config: PreprocessingConfig, folder: Path) -> None:
    """Says what is to be streamed, and refuses if the disk is too small for it.

    Raises
    ------
    InputError : the features and the lists of neighbours would take most of the free space.
    """
    genes = config.variable_genes or len(data.genes)
    width = config.projection_size or min(genes, len(data.genes))
    needed = 0
    for name, chosen in rows.items():
        cells = len(getattr(data, name))
        near = config.neighbors or MOST_NEIGHBORS
        lists = 2 * (near - 1) if name == "atac" else 0
        needed += 4 * cells * (width + lists)
        logger.info(
            "%s of %s %s cells, drawn at random, teach the preprocessing",
            f"{len(chosen):,}", f"{cells:,}", name.upper(),
        )  # fmt: skip
    free = shutil.disk_usage(folder).free
    if needed > SPACE_SHARE * free:
        raise InputError(
            what="The disk has no room for the cells' features.",
            expected=f"{needed / SPACE_SHARE / 1e9:,.1f} GB free for a temporary folder: {folder}",
            received=f"{free / 1e9:,.1f} GB free",
            advice="Free some space, give another --output_dir, or hold all cells in memory by "
            "--memory_cells=0.",
        )
    logger.info("%s MB of features go to %s", f"{needed / 1e6:,.0f}", folder)


def streamed(
    cells: TrainingCells, data: PairedData, columns: np.ndarray, rows: Rows, folder: Path
) -> TrainingCells:
    """All cells, from what was learned from the sample: their features are on disk.

    Parameters
    ----------
    cells : what came of the sampled cells.
    columns : of the chosen genes among those of the data.
    """
    features, values, lists = dict(cells.features), dict(cells.values), cells.neighbors
    with_data = dict(cells.with_data)
    for name in rows:
        values.pop(name)
        blocks = _Blocks(data, name, columns, cells.preprocessor.least_open)
        if name == "atac" and lists is not None:
            known = Known(rows[name][with_data[name]], cells.features[name], lists)
            newcomers = Newcomers.of(cells.preprocessor)
            features[name], lists, with_data[name] = _write_atac(newcomers, known, blocks, folder)
        else:
            features[name], with_data[name] = _write_plain(cells.preprocessor, blocks, folder)
    balance = cells.balance
    if balance is not None:
        labels = data.rna_labels
        if "rna" in with_data:
            labels = labels[with_data["rna"]]
        balance = balance.of_all(labels, features["atac"], lists)
    return replace(
        cells,
        features=features,
        neighbors=lists,
        values=values,
        scratch=folder,
        with_data=with_data,
        balance=balance,
    )


@dataclass(frozen=True, eq=False)
class _Blocks:
    """All cells of a modality, some at a time.

    Attributes
    ----------
    columns : of the chosen genes.
    least : how many features a cell with data has open, see `Preprocessor.least_open`.
    """

    data: PairedData
    name: str
    columns: np.ndarray
    least: dict[str, int]

    def __len__(self) -> int:
        return len(getattr(self.data, self.name))

    def __iter__(self) -> Iterator[tuple[int, sparse.csr_matrix, sparse.csr_matrix | None]]:
        """Start, counts of the chosen genes, and peaks of each block."""
        peaks = self.data.peaks if self.name == "atac" else None
        with CellProgress(len(self), f"preprocessing {self.name.upper()}") as progress:
            for start, block in getattr(self.data, self.name).blocks(CELLS_AT_ONCE):
                part = slice(start, start + block.shape[0])
                yield start, block[:, self.columns], None if peaks is None else peaks[part]
                progress.update(block.shape[0])

    def with_data(self, counts: sparse.csr_matrix, peaks: sparse.csr_matrix | None) -> np.ndarray:
        """Which cells of a block have data, bool [B]."""
        found, kind = open_features(counts), self.name
        if peaks is not None and "peaks" in self.least:
            found, kind = found + open_features(peaks), "peaks"
        return found >= self.least[kind]


@dataclass(frozen=True, eq=False)
class Newcomers:
    """ATAC cells that did not teach the preprocessing: their neighbours among those that did.

    Attributes
    ----------
    levels : the sampled cells as the trained layers see them after each average but the last,
        [M, W] each; not cut, since averages of cut values are other ones.
    search : for the nearest sampled cells.
    """

    preprocessor: Preprocessor
    levels: list[np.ndarray]
    search: Callable[[np.ndarray], np.ndarray]

    @classmethod
    def of(cls, preprocessor: Preprocessor) -> Newcomers:
        """What the preprocessing has learned from its sample."""
        neighborhood = preprocessor.neighborhood
        kind = "peaks" if "peaks" in neighborhood.features else "genes"
        search = Search(neighborhood.features[kind], neighborhood.neighbors.shape[1] - 1)
        levels = [_uncut(preprocessor, level) for level in neighborhood.levels]
        return cls(preprocessor, levels, search)

    @property
    def neighborhood(self) -> Neighborhood:
        """How neighbours are found."""
        return self.preprocessor.neighborhood

    def __call__(
        self, logged: sparse.csr_matrix, peaks: sparse.csr_matrix | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Features [B, W], neighbours and weights [B, k - 1] of log-normalised cells [B, G]."""
        near = self.search(self.neighborhood.features_of(logged, peaks))
        weights = weights_of_new(near, self.neighborhood.neighbors)
        if not self.levels:
            return self.preprocessor.features(logged, "atac"), near, weights
        pointers = np.arange(0, near.size + 1, near.shape[1])
        shape = len(near), len(self.neighborhood.neighbors)
        others = sparse.csr_matrix((weights.ravel(), near.ravel(), pointers), shape=shape)
        own = 1 - weights.sum(axis=1, keepdims=True)
        features = _uncut(self.preprocessor, logged)
        for level in self.levels:
            features = own * features + others @ level
        return features, near, weights


@dataclass(frozen=True, eq=False)
class Known:
    """The sampled cells, for which everything is known already.

    Attributes
    ----------
    rows : ascending, among all cells [M].
    features : [M, W].
    lists : their neighbours, which are sampled cells.
    """

    rows: np.ndarray
    features: np.ndarray
    lists: NeighborLists

    def put(self, start: int, features: np.ndarray, near: np.ndarray, weights: np.ndarray) -> None:
        """Puts those of them into a block of all cells in place of what is there."""
        first, last = np.searchsorted(self.rows, [start, start + len(features)])
        places = self.rows[first:last] - start
        features[places] = self.features[first:last]
        near[places], weights[places] = self.lists.rows[first:last], self.lists.weights[first:last]


def _write_plain(
    preprocessor: Preprocessor, blocks: _Blocks, folder: Path
) -> tuple[DiskRows, np.ndarray]:
    """The features of cells that are not averaged, and which of all cells they are."""
    size = len(preprocessor.genes)
    if preprocessor.components is not None:
        size = preprocessor.components.shape[1]
    table, kept = DiskRows(folder / f"{blocks.name}_features", size), []
    for _, counts, peaks in blocks:
        kept.append(blocks.with_data(counts, peaks))
        found = preprocessor.features(log_normalize(counts[kept[-1]]), blocks.name)
        table[len(table) : len(table) + len(found)] = found
    return table, np.concatenate(kept)


def _write_atac(
    newcomers: Newcomers, known: Known, blocks: _Blocks, folder: Path
) -> tuple[DiskRows, NeighborLists, np.ndarray]:
    """The features of cells that are averaged with sampled ones, their neighbours, and which."""
    near_of = newcomers.neighborhood.neighbors.shape[1] - 1
    features = DiskRows(folder / "atac_features", known.features.shape[1])
    rows = DiskRows(folder / "atac_neighbors", near_of, np.int32)
    weights, kept = DiskRows(folder / "atac_weights", near_of), []
    for start, counts, peaks in blocks:
        kept.append(blocks.with_data(counts, peaks))
        found = newcomers(log_normalize(counts), peaks)
        known.put(start, *found)
        part = slice(len(features), len(features) + int(kept[-1].sum()))
        features[part], rows[part], weights[part] = (values[kept[-1]] for values in found)
    with_data = np.concatenate(kept)
    reference = np.cumsum(with_data)[known.rows] - 1  # all of them have data
    return features, NeighborLists(reference, rows, weights), with_data


def _uncut(preprocessor: Preprocessor, values: sparse.csr_matrix | np.ndarray) -> np.ndarray:
    """Log-normalised ATAC cells as the trained layers see them, no value cut; float32 [B, W]."""
    scale, components = preprocessor.scales["atac"], preprocessor.components
    parts = []
    for start in range(0, values.shape[0], CHUNK):
        genes = scale.uncut(dense(values[start : start + CHUNK]))
        parts.append(genes if components is None else genes @ components)
    return np.concatenate(parts)
