"""The training's ATAC cells that new ones are compared with, and averaged with.

In training each cell is averaged with its nearest among all. A new cell stands alone: it gets its
nearest among the reference cells, and what these were before each average. The one place where
this is done is the served graph, `scadv_tf.serving.reference`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scadv_tf.data.neighbor_space import NeighborSpace
from scadv_tf.data.rows import some_rows

REFERENCE_CELLS = 20_000  # at most so many are kept, which bounds the size and time of a request


@dataclass(frozen=True, eq=False)
class Reference:
    """Training cells that are kept for new ones, M of A.

    Attributes
    ----------
    space : in which they are compared.
    rows : int [M], ascending: which of the training's ATAC cells they are.
    vectors : 'genes' and, where the training cells have peaks, 'peaks' -> their vectors [M, F].
    lists : int [M, k], each cell and its nearest others, as positions among the M.
    levels : the cells as the trained layers see them, after 0, 1, … averages but the last, [M, D]
        each and not cut; none if cells are not averaged.
    """

    space: NeighborSpace
    rows: np.ndarray
    vectors: dict[str, np.ndarray]
    lists: np.ndarray
    levels: tuple[np.ndarray, ...]


def kept_rows(cells: int, seed: int) -> np.ndarray:
    """Rows of the training cells that are kept: all, or a random choice, ascending."""
    return some_rows(cells, REFERENCE_CELLS, seed)
