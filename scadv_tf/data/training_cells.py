"""The training cells as the trained layers see them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy import sparse

from scadv_tf.data.cell_blocks import CellBlocks
from scadv_tf.data.composition import Balance
from scadv_tf.data.neighbor_lists import NeighborLists
from scadv_tf.data.neighborhood import averaged
from scadv_tf.data.preprocessor import Preprocessor
from scadv_tf.data.rows import DiskRows, Rows


@dataclass(frozen=True, eq=False)
class TrainingCells:
    """Those of the data that have data.

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

    def weights(self, modality: str, rows: np.ndarray | slice = slice(None)) -> np.ndarray | None:
        """What each of these cells weighs [rows], 1 on average of all; None for all the same."""
        return None if self.balance is None else self.balance.weights[modality][rows]

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
