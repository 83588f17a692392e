"""Counts to the network's input, learned once from the training cells.

1. the chosen genes; 2. counts per 10,000 and log(1 + x); 3. for ATAC cells the mean over nearest
ATAC cells, weighted by how many neighbours they share; 4. each gene centred and scaled, on joint
components (`scadv_tf.data.learning`). `scadv_tf.serving.served_model` does the same for new cells.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from scadv_tf.config import DataConfig, PreprocessingConfig
from scadv_tf.data import cell_blocks, emptiness
from scadv_tf.data.cell_blocks import CellBlocks
from scadv_tf.data.fingerprint import fingerprint
from scadv_tf.data.learning import learn
from scadv_tf.data.neighborhood import Neighborhood
from scadv_tf.data.normalization import log_normalize, measured_genes, variable_genes
from scadv_tf.data.paired_labels import check_several_of_a_type
from scadv_tf.data.pairing import PairedData
from scadv_tf.data.preprocessor import Preprocessor
from scadv_tf.data.rows import DiskRows, Rows
from scadv_tf.data.training_cells import TrainingCells
from scadv_tf.errors import InputError
from scadv_tf.modalities import MODALITIES


def fit(
    data: PairedData,
    config: PreprocessingConfig,
    seed: int = 0,
    scratch: str | Path | None = None,
    memory_cells: int = DataConfig.memory_cells,
) -> TrainingCells:
    """Learns the preprocessing from paired data and applies it to the same cells.

    With ``neighbors`` 1 there are no neighbours, with 0 as many as `neighborhood_size` says; with
    ``smoothing_hops`` 0 there are, but the cells are not averaged. Of many cells, a random sample
    teaches scales and components; neighbours are found among all. A modality that is stored on
    disk, with more cells than `memory_cells`, stays there, and so do its features.

    Parameters
    ----------
    scratch : folder for these, which is the caller's to remove; needed if there are any.
    memory_cells : 0 for all cells.

    Raises
    ------
    InputError : there is no such folder, or the disk is full; or each RNA cell has its own type.
    """
    # Sums by several threads round differently, and then cells between two types change neighbours.
    with threadpool_limits(1, user_api="blas"):
        return _fit(data, config, seed, scratch, memory_cells)


def _fit(
    data: PairedData,
    config: PreprocessingConfig,
    seed: int,
    scratch: str | Path | None,
    memory_cells: int,
) -> TrainingCells:
    streamed = cell_blocks.streamed_modalities(data, memory_cells)
    if streamed:
        _check_streamed(data, config, streamed, scratch, memory_cells)
    mark = fingerprint(data)
    data = cell_blocks.held(data, streamed)
    rows = cell_blocks.sampled_rows(data, seed)
    sample = cell_blocks.sample(data, rows)
    chosen, least, kept = _with_data(sample, config)
    sample = emptiness.part_of(sample, kept)
    if config.balance and sample.rna_labels is not None:
        check_several_of_a_type(sample.rna_labels, sample.types)
    measure = data.measure.learned(sample.rna, sample.atac).of_genes(chosen)
    comparable = {"rna": log_normalize, "atac": measure.comparable}
    cells = {
        name: CellBlocks(data, name, chosen, least, rows[name][kept[name]], comparable[name])
        for name in MODALITIES
    }
    sample = replace(sample, measure=measure)
    folder = Path(scratch) if streamed and scratch is not None else None
    folders = {name: folder if name in streamed else None for name in MODALITIES}
    preprocessor, neighborhood, balance = learn(sample, chosen, cells, config, folders["atac"])
    batches = {name: tuple(found.categories) for name, found in data.batches.items()}
    preprocessor = replace(preprocessor, least_open=least, batches=batches)
    preprocessor, features = _features(preprocessor, cells, neighborhood, folders, seed)
    lists = neighborhood.lists if neighborhood else None
    with_data = {name: cells[name].with_data for name in MODALITIES}
    sampled = any(len(c.taught) < features[name].shape[0] for name, c in cells.items())
    if balance and data.rna_labels is not None and sampled:
        balance = balance.of_all(data.rna_labels[with_data["rna"]], features["atac"], lists)
    held = {name: cells[name] for name in MODALITIES if name not in streamed}
    return TrainingCells(preprocessor, features, lists, held, folder, balance, with_data, mark)


def _features(
    preprocessor: Preprocessor,
    cells: dict[str, CellBlocks],
    neighborhood: Neighborhood | None,
    folders: dict[str, Path | None],
    seed: int,
) -> tuple[Preprocessor, dict[str, Rows]]:
    """The preprocessor with its reference, and modality -> features of all cells with data."""
    features, reference = {}, None
    for name in MODALITIES:
        features_of = partial(preprocessor.features, modality=name)
        if name == "atac" and neighborhood:
            found, reference = neighborhood.features(cells[name], features_of, seed)
            parts: Iterable[np.ndarray] = [found]
        else:
            blocks = cells[name].blocks("projecting")
            parts = (features_of(block.genes, members=block.members) for block in blocks)
        features[name] = _joined(parts, folders[name], f"{name}_features")
    return replace(preprocessor, reference=reference), features


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
    measured, shared = len(measured_genes(part.rna, part.atac)), part.rna.shape[1]
    emptiness.check_genes(measured, shared, data.fewest_genes)
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
