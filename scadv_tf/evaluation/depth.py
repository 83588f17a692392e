"""How far the types of a sample differ in depth, which sets cells apart as types do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from scadv_tf.data.stored_counts import open_features


@dataclass(frozen=True, eq=False)
class DepthByType:
    """Open genes of the cells of each type.

    Attributes
    ----------
    median : of its cells, by type; the deepest last.
    cells : how many cells it has, by type.
    spread : by how much types differ: the deviation between them, each weighing as its cells, of
        the mean logarithm of a cell's open genes. 0 where all are alike.
    """

    median: pd.Series
    cells: pd.Series
    spread: float

    @classmethod
    def of(cls, counts: sparse.csr_matrix, types: Sequence[str], labels: np.ndarray) -> DepthByType:
        """Of cells [N, G] with data.

        Parameters
        ----------
        types : names of the K types.
        labels : type codes [N]; below 0 for none.
        """
        opened = np.maximum(open_features(counts), 1)
        names = pd.Categorical.from_codes(labels, types)
        by_type = pd.Series(opened).groupby(names, observed=True)
        means = pd.Series(np.log(opened)).groupby(names, observed=True).transform("mean")
        median = by_type.median().sort_values(kind="stable")
        return cls(median, by_type.size()[median.index], float(means.std(ddof=0)))
