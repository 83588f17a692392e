"""The neighbours of all ATAC cells, and what is averaged over them: genes, features, labels.

A projection is linear, so the cells' features are averaged after it, where they are few numbers a
cell, for any number of cells. Genes are averaged only to learn how much averages vary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from scadv_tf.data.cell_blocks import CellBlocks
from scadv_tf.data.neighbor_lists import NeighborLists
from scadv_tf.data.neighbor_space import NeighborSpace, Reference
from scadv_tf.data.neighbors import neighbors_with_self
from scadv_tf.data.normalization import averages
from scadv_tf.data.rows import DiskRows, some_rows

REFERENCE_CELLS = 20_000  # at most so many are kept, which bounds the size and time of a request


@dataclass(frozen=True, eq=False)
class Neighborhood:
    """Who is whose neighbour among all A ATAC cells that have data.

    Attributes
    ----------
    space : in which they are compared.
    vectors : there, float32 [A, F].
    neighbors : int32 [A, k], each cell and its nearest others.
    lists : the same with weights.
    hops : how often cells are averaged with their neighbours.
    """

    space: NeighborSpace
    vectors: np.ndarray
    neighbors: np.ndarray
    lists: NeighborLists
    hops: int

    @classmethod
    def find(
        cls,
        space: NeighborSpace,
        cells: CellBlocks,
        size_of: Callable[[int], tuple[int, int]],
        folder: Path | None = None,
    ) -> Neighborhood:
        """Finds the neighbours.

        Parameters
        ----------
        size_of : the number of cells -> how many neighbours, the cell itself among them, and hops.
        folder : where the lists go; None for memory.
        """
        blocks = cells.blocks("comparing")
        vectors = np.concatenate([space.vectors(b.genes, b.peaks, b.members) for b in blocks])
        count, hops = size_of(len(vectors))
        neighbors = neighbors_with_self(vectors, count)
        tables, others = (), neighbors.shape[1] - 1
        if folder is not None:
            kinds = {"atac_neighbors": np.int32, "atac_weights": np.float32}
            tables = [DiskRows(folder / name, others, kind) for name, kind in kinds.items()]
        lists = NeighborLists.of(neighbors, *tables)
        return cls(space, vectors, neighbors, lists, hops)

    def lists_among(self, rows: np.ndarray) -> NeighborLists:
        """Lists of some cells, ascending, as long as those of all, with no others in them."""
        if len(rows) == len(self.vectors):
            return self.lists
        return NeighborLists.of(self._neighbors_among(rows))

    def _neighbors_among(self, rows: np.ndarray) -> np.ndarray:
        if len(rows) == len(self.vectors):
            return self.neighbors
        return neighbors_with_self(self.vectors[rows], self.neighbors.shape[1])

    def genes(
        self, cells: CellBlocks, rows: np.ndarray, values: sparse.csr_matrix
    ) -> sparse.csr_matrix | np.ndarray:
        """Log-normalised genes of some cells [M, G], averaged with their neighbours among all.

        Parameters
        ----------
        cells : all A of them.
        rows : int [M] ascending, which ones.
        values : their genes by themselves [M, G].
        """
        if len(rows) == len(self.vectors):
            return averaged(values, self.lists, self.hops)
        # For few cells it is cheaper to find out first how much of which cell goes into each.
        weights = self.lists.matrix()
        reach = sparse.identity(len(self.vectors), np.float32, "csr")[rows]
        for _ in range(self.hops):
            reach = reach @ weights
        reach, start, total = reach.tocsc(), 0, 0
        for block in cells.blocks("averaging"):
            stop = start + block.genes.shape[0]
            total = total + (reach[:, start:stop] @ block.genes).toarray()
            start = stop
        return total

    def members(self, cells: CellBlocks, rows: np.ndarray) -> np.ndarray:
        """Share of each batch in the averages of some cells, float32 [M, B], ascending rows."""
        assert cells.members is not None  # there are batches
        return mixed(cells.members, self.lists, self.hops)[rows]

    def features(
        self, cells: CellBlocks, features_of: Callable[..., np.ndarray], seed: int
    ) -> tuple[np.ndarray, Reference]:
        """Features of all cells [A, D], averaged, and the cells that new ones are compared with.

        Parameters
        ----------
        features_of : log-normalised genes [B, G], and as ``members`` their batches -> features
            [B, D] of cells by themselves.
        seed : of the choice of those cells, where not all are kept.
        """
        kept, start = some_rows(len(self.vectors), REFERENCE_CELLS, seed), 0
        with_peaks = "peaks" in self.space.indices
        found, by_genes, levels = [], [], []
        for block in cells.blocks("projecting"):
            found.append(features_of(block.genes, members=block.members))
            if with_peaks:  # new cells may come without
                stop = start + block.genes.shape[0]
                here = kept[np.searchsorted(kept, start) : np.searchsorted(kept, stop)] - start
                members = None if block.members is None else block.members[here]
                by_genes.append(self.space.vectors(block.genes[here], None, members))
                start = stop
        features = np.concatenate(found)
        del found
        for _ in range(self.hops):
            levels.append(features[kept])
            features = self.lists.mean(features)
        vectors = {"peaks" if with_peaks else "genes": self.vectors[kept]}
        if with_peaks:
            vectors["genes"] = np.concatenate(by_genes)
        lists = self._neighbors_among(kept)
        return features, Reference(self.space, kept, vectors, lists, tuple(levels))


def averaged(
    values: sparse.csr_matrix | np.ndarray, lists: NeighborLists, hops: int
) -> sparse.csr_matrix | np.ndarray:
    """Genes of all cells [A, G] after so many averages with their neighbours."""
    weights = lists.matrix()
    for _ in range(hops):
        values = averages(weights, values)
    return values


def mixed(members: np.ndarray, lists: NeighborLists, hops: int) -> np.ndarray:
    """Share of each batch in all cells [A, B] after so many averages with their neighbours."""
    for _ in range(hops):
        members = lists.mean(members)
    return members
