"""Clusters of ATAC cells in which the type that they are called does not show.

Where RNA lacks a type, its ATAC cells are called by another name, surely so if they are many, and
beside cells that have that name by right. All cells of that name together still have its markers;
in a cluster of their own the others do not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from scadv_tf.data.linear_guess import type_means
from scadv_tf.data.lsi import LatentSemanticIndex
from scadv_tf.data.normalization import moments, unit_rows

FEWEST_CLUSTERS, CLUSTERS_A_TYPE = 10, 2
DIMENSIONS = 20
LEAST_CELLS, LEAST_SHARE = 20, 0.01  # of a cluster that is asked; fewer tell too little
TELLING_GENES = 1000  # in which types differ most
# Correlation of what sets a cluster apart with what sets its type apart in RNA.
SHOWN = 0.05


@dataclass(frozen=True)
class UnmarkedClusters:
    """What clusters say against the types that their cells are called.

    Attributes
    ----------
    share : of the ATAC cells that lie in clusters without the type that they are called.
    types : codes of these types, the one of most such cells first.
    """

    share: float
    types: tuple[int, ...] = ()

    @classmethod
    def of(
        cls,
        activity: sparse.csr_matrix,
        contrast: np.ndarray,
        counts: sparse.csr_matrix,
        called: np.ndarray,
        seed: int,
    ) -> UnmarkedClusters:
        """Of A ATAC cells.

        Parameters
        ----------
        activity : logarithms of the genes' activity [A, G].
        contrast : mean of each RNA type less that of the others, in deviations [G, K].
        counts : of what tells the cells apart, their peaks or genes [A, F].
        called : type codes [A]; below 0 for none.
        seed : of the clusters.
        """
        groups = _clusters(counts, contrast.shape[1], seed)
        telling = np.argsort(-contrast.std(axis=1), kind="stable")[:TELLING_GENES]
        activity, contrast = activity[:, telling], contrast[telling]
        cells, unmarked = len(called), np.zeros(contrast.shape[1])
        mean, deviation = moments(activity)
        deviation = np.where(deviation > 0, deviation, np.inf)
        number = np.bincount(groups)
        within = type_means(activity, groups, len(number))
        for group in np.flatnonzero(number >= max(LEAST_CELLS, LEAST_SHARE * cells)):
            names = called[(groups == group) & (called >= 0)]
            if not len(names):
                continue
            most = np.bincount(names).argmax()
            so = (groups == group) & (called == most)
            rest = (mean * cells - within[group] * number[group]) / max(1, cells - number[group])
            apart = (np.asarray(activity[so].mean(axis=0)).ravel() - rest) / deviation
            if not _correlation(apart, contrast[:, most]) >= SHOWN:
                unmarked[most] += so.sum()
        order = np.argsort(-unmarked, kind="stable")
        return cls(float(unmarked.sum() / cells), tuple(int(k) for k in order if unmarked[k]))


def _clusters(counts: sparse.csr_matrix, types: int, seed: int) -> np.ndarray:
    """The cluster of each cell [A]."""
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    vectors = unit_rows(LatentSemanticIndex.fit(counts, DIMENSIONS).transform(counts))
    different = len(np.unique(vectors, axis=0))
    wanted = min(max(FEWEST_CLUSTERS, CLUSTERS_A_TYPE * types), different)
    with threadpool_limits(1):  # sums by several threads round differently from run to run
        return KMeans(wanted, n_init=4, random_state=seed).fit_predict(vectors)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's; 0 where either does not vary."""
    one, other = one - one.mean(), other - other.mean()
    length = np.sqrt((one @ one) * (other @ other))
    return float(one @ other / length) if length > 0 else 0.0
