"""All cells of a modality, some at a time, whether they are held in memory or lie on disk.

What is learned of counts is taught by a random sample where there are many.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from scadv_tf.data import emptiness
from scadv_tf.data.batch_offsets import memberships
from scadv_tf.data.neighborhood_size import MOST_NEIGHBORS
from scadv_tf.data.normalization import log_normalize
from scadv_tf.data.paired_labels import RARE_TYPE_CELLS
from scadv_tf.data.pairing import PairedData
from scadv_tf.data.rows import some_of_all_types, some_rows
from scadv_tf.data.stored_counts import StoredCounts, open_features
from scadv_tf.errors import InputError
from scadv_tf.modalities import MODALITIES
from scadv_tf.progress import CellProgress

if TYPE_CHECKING:
    from scadv_tf.config import PreprocessingConfig

logger = logging.getLogger(__name__)

CELLS_AT_ONCE = 4096
# Of each modality, so many random cells teach scales and components as well as more do.
TAUGHT_CELLS = 20_000
# Of the scratch disk's free space, at most so much is taken: the latent vectors go there, too.
SPACE_SHARE = 0.8


@dataclass(frozen=True, eq=False)
class Block:
    """Some B cells with data.

    Attributes
    ----------
    genes : log-normalised chosen genes [B, G].
    peaks : counts [B, P]; None without peaks.
    members : their `memberships` [B, batches]; None without batches.
    """

    genes: sparse.csr_matrix
    peaks: sparse.csr_matrix | None
    members: np.ndarray | None


class CellBlocks:
    """The cells of a modality that have data, in their order, read anew in each pass.

    Parameters
    ----------
    data : of which they are a modality, `name`; held or stored.
    columns : of the chosen genes among those of the data.
    least : how many features a cell with data has open, see `Preprocessor.least_open`.
    sample : ascending rows among all cells of the data of those that teach; all have data.
    comparable : makes counts comparable, see `scadv_tf.data.measures`.

    Attributes
    ----------
    with_data : which of all cells have data, bool [all cells]; known after a pass.
    """

    def __init__(
        self,
        data: PairedData,
        name: str,
        columns: np.ndarray,
        least: dict[str, int],
        sample: np.ndarray,
        comparable: Callable[[sparse.csr_matrix], sparse.csr_matrix] = log_normalize,
    ):
        self._comparable = comparable
        self._counts = data.counts(name)
        self._peaks = data.peaks if name == "atac" else None
        self._batches = data.batches.get(name)
        self._name, self._columns, self._least, self._sample = name, columns, least, sample
        self.with_data = np.zeros(self._counts.shape[0], dtype=bool)

    @property
    def taught(self) -> np.ndarray:
        """Ascending positions of those that teach among the cells with data."""
        return (np.cumsum(self.with_data) - 1)[self._sample]

    @property
    def members(self) -> np.ndarray | None:
        """The `memberships` of those with data; None without batches."""
        return None if self._batches is None else memberships(self._batches[self.with_data])

    def blocks(self, doing: str) -> Iterator[Block]:
        """One block after the other; `doing` is what a pass over a file is told as."""
        cells, progress = self._counts.shape[0], contextlib.nullcontext()
        if isinstance(self._counts, StoredCounts):
            progress = CellProgress(cells, f"{doing} {self._name.upper()}")
        with progress as told:
            for start in range(0, cells, CELLS_AT_ONCE):
                part = slice(start, min(start + CELLS_AT_ONCE, cells))
                counts = self._counts[part][:, self._columns]
                peaks = None if self._peaks is None else self._peaks[part]
                kept = self.with_data[part] = self._have_data(counts, peaks)
                batches = None if self._batches is None else self._batches[part][kept]
                yield Block(
                    self._comparable(counts[kept]),
                    None if peaks is None else peaks[kept],
                    None if batches is None else memberships(batches),
                )
                if told:
                    told.update(part.stop - start)

    def genes(self) -> sparse.csr_matrix:
        """Log-normalised chosen genes of all these cells, CSR [cells, G]."""
        return sparse.vstack([block.genes for block in self.blocks("reading")], format="csr")

    def _have_data(self, counts: sparse.csr_matrix, peaks: sparse.csr_matrix | None) -> np.ndarray:
        found, kind = open_features(counts), self._name
        if peaks is not None and "peaks" in self._least:
            found, kind = found + open_features(peaks), "peaks"
        return found >= self._least[kind]


def streamed_modalities(data: PairedData, memory_cells: int) -> tuple[str, ...]:
    """Which modalities stay on disk: those stored there of more cells than may be held.

    Parameters
    ----------
    memory_cells : at most so many of each modality are held; 0 for all.
    """
    stored = [name for name in MODALITIES if isinstance(data.counts(name), StoredCounts)]
    return tuple(name for name in stored if 0 < memory_cells < len(data.counts(name)))


def held(data: PairedData, streamed: tuple[str, ...]) -> PairedData:
    """The same with the counts of the modalities that are not streamed in memory."""
    tables = {name: data.counts(name) for name in MODALITIES if name not in streamed}
    if "atac" in tables and data.peaks is not None:
        tables["peaks"] = data.peaks
    stored = {name: table[:] for name, table in tables.items() if isinstance(table, StoredCounts)}
    return replace(data, **stored)


def sampled_rows(data: PairedData, seed: int) -> dict[str, np.ndarray]:
    """Modality -> ascending rows of the cells that teach: all, or `TAUGHT_CELLS` random ones.

    Where not all can be, cells without data are not among them, and those of rare RNA types are:
    what is not taught is never found.
    """
    rows, found = {}, None
    for number, name in enumerate(MODALITIES):
        rows[name] = np.arange(data.counts(name).shape[0])
        if len(rows[name]) > TAUGHT_CELLS:
            if found is None:
                found = emptiness.with_data(emptiness.opened(data.rna, data.atac, data.peaks))
            of_use = np.flatnonzero(found[name])
            drawn = TAUGHT_CELLS, [seed, number]
            if name == "rna" and data.rna_labels is not None:
                kept = some_of_all_types(data.rna_labels[of_use], *drawn, RARE_TYPE_CELLS)
            else:
                kept = some_rows(len(of_use), *drawn)
            rows[name] = of_use[kept]
            logger.info(
                "%s %s cells, drawn at random, teach scales and components",
                f"{len(rows[name]):,}", name.upper(),
            )  # fmt: skip
    return rows


def sample(data: PairedData, rows: dict[str, np.ndarray]) -> PairedData:
    """Some of the cells as `emptiness.part_of` gives them, with counts in memory.

    Parameters
    ----------
    rows : modality -> which cells, ascending.
    """
    sizes = {name: data.counts(name).shape[0] for name in rows}
    kept = {name: np.bincount(rows[name], minlength=sizes[name]) > 0 for name in rows}
    return held(emptiness.part_of(data, kept), streamed=())


def check_space(
    data: PairedData, streamed: tuple[str, ...], config: PreprocessingConfig, folder: Path
) -> None:
    """Says how much is to be streamed, and refuses if the disk is too small for it.

    Raises
    ------
    InputError : the features and the lists of neighbours would take most of the free space.
    """
    genes = config.variable_genes or len(data.genes)
    width = config.projection_size or min(genes, len(data.genes))
    needed = 0
    for name in streamed:
        cells = len(data.counts(name))
        near = config.neighbors or MOST_NEIGHBORS
        lists = 2 * (near - 1) if name == "atac" else 0
        needed += 4 * cells * (width + lists)
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
