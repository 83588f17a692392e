"""Types guessed from the features alone, by linear discriminant analysis (Fisher 1936).

It has a closed form and draws nothing, learns nothing from its own answers, and so cannot drift
with them as a network can. One covariance for all types, shrunk towards a sphere, errs less on ATAC
cells than a logistic regression: that is fitted to borders between RNA cells, which the noise of
the other modality blurs.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from scadv_tf.data.neighbor_lists import NeighborLists, neighbor_mean
from scadv_tf.data.normalization import unit_rows
from scadv_tf.data.rows import Rows, blocks

# Of the covariance: the more, the more the mean of a type alone decides. From .2 to .5 the scores
# on all data sets are alike.
SHRINKAGE = 0.3
# Of the features and of their directions in the guess.
VIEW_SHARES = (2 / 3, 1 / 3)
CELLS_AT_ONCE = 65_536


@dataclass(frozen=True, eq=False)
class Discriminant:
    """A linear discriminant analysis of K types: coefficients [D, K], offsets [K].

    Probabilities are the softmax of ``values @ coefficients + offsets``.
    """

    coefficients: np.ndarray
    offsets: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray, labels: np.ndarray, types: int) -> Discriminant:
        """Learns from RNA cells [R, D] of known types [R]; types without a cell are never guessed.

        A type is expected as often as it is among these cells.
        """
        found = cls(np.zeros((values.shape[1], types)), np.full(types, -np.inf))
        present = np.unique(labels)
        found.offsets[present] = 0
        if len(present) > 1:
            found._learn(np.asarray(values, np.float64), labels, present)
        return found

    def _learn(self, values: np.ndarray, labels: np.ndarray, present: np.ndarray) -> None:
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
        from threadpoolctl import threadpool_limits

        model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=SHRINKAGE)
        # Sums by several threads round differently, and on few columns threads only wait.
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Only one sample available", UserWarning)
            model.fit(values, labels)
        coefficients, offsets = model.coef_, model.intercept_
        if len(present) == 2:  # scikit-learn keeps the difference of the two
            coefficients = np.vstack([-coefficients, coefficients]) / 2
            offsets = np.concatenate([-offsets, offsets]) / 2
        self.coefficients[:, present], self.offsets[present] = coefficients.T, offsets

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Probabilities of the types [cells, K]."""
        from scipy.special import softmax

        return softmax(values @ self.coefficients + self.offsets, axis=1)


@dataclass(frozen=True, eq=False)
class LinearGuess:
    """The weighted mean of two analyses: of the features, and of their directions alone.

    How far a cell lies from the mean of all follows its depth, and how many cells it was averaged
    with, which differ by modality: the directions do without. But where the modalities are of
    unlike composition, so are the means that directions are seen from, and the features hold.
    """

    parts: tuple[Discriminant, Discriminant]

    @classmethod
    def fit(cls, features: np.ndarray, labels: np.ndarray, types: int) -> LinearGuess:
        """Learns from RNA cells [R, D] of known types [R], of K in all."""
        views = features, unit_rows(features)
        first, second = (Discriminant.fit(view, labels, types) for view in views)
        return cls((first, second))

    def __call__(self, features: Rows) -> np.ndarray:
        """Probabilities of the types, float32 [cells, K]."""
        found = np.empty((features.shape[0], len(self.parts[0].offsets)), dtype=np.float32)
        for start, block in blocks(features, CELLS_AT_ONCE):
            views = block, unit_rows(block)
            guesses = [part(view) for part, view in zip(self.parts, views, strict=True)]
            found[start : start + len(block)] = np.tensordot(VIEW_SHARES, guesses, 1)
        return found

    def voted(self, features: Rows, neighbors: NeighborLists | None) -> np.ndarray:
        """The same, of each cell the mean over it and its neighbours."""
        return neighbor_mean(self(features), neighbors)
