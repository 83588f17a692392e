"""A modality of a file, its counts held in memory or left on disk; else the same in every way."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scadv_tf.data.features import numbered
from scadv_tf.data.stored_counts import StoredCounts

if TYPE_CHECKING:
    from anndata import AnnData

    from scadv_tf.data.cell_files import CellFile

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class StoredModality:
    """One modality whose counts stay on disk; has what `pair` asks of an AnnData.

    Attributes
    ----------
    obs : the table of cells, numbered: a million names as objects would take 100 MB.
    obs_names : names of the cells, text.
    var : the table of features.
    X : the counts.
    """

    obs: pd.DataFrame
    obs_names: np.ndarray
    var: pd.DataFrame
    X: StoredCounts

    @property
    def n_obs(self) -> int:
        """The number of cells."""
        return len(self.obs_names)


def held(source: CellFile) -> AnnData:
    """All cells of an open file, in memory.

    Returns
    -------
    AnnData with X as CSR float32 [cells, features], obs and var; nothing else. Values need not be
    integers. Cells without any count are kept. Where names of features repeat, they are made
    unique and ``var['scadv_original_name']`` holds them as they were.

    Raises
    ------
    InputError : the matrix is all zero, or has negative or non-finite values.
    """
    from anndata import AnnData

    (everything,) = source.chunks(source.cells)
    names = pd.Index(_unique(everything.cells, source.path), dtype=object)
    return AnnData(everything.counts, obs=source.table().set_axis(names), var=source.var)


def stored(source: CellFile) -> StoredModality:
    """The same with the counts left on disk, in a file that must stay open: they are read, and
    checked, when they are asked for."""
    names = _unique(source.names(0, source.cells), source.path)
    counts = StoredCounts(source, np.arange(source.cells))
    return StoredModality(source.table(), names, source.var, counts)


def _unique(names: np.ndarray, path: Path) -> np.ndarray:
    """Names of cells [n], text; repeated ones got a number, which is told."""
    in_order = np.sort(names)  # of plain text: as objects a million take 100 MB
    repeated = int(np.sum(in_order[1:] == in_order[:-1]))
    if not repeated:
        return names
    logger.warning("%s: %d cell names are repeated and got a number", path.name, repeated)
    return numbered(pd.Index(names.astype(object))).to_numpy(dtype=str)
