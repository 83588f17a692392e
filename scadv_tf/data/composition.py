"""Samples of unlike composition: what share of the ATAC cells is of each type, and what follows.

Each modality is standardised by its own means and deviations, and aligned with the other as a
whole. Where the shares of the types differ, both would take a difference of composition for one of
measurement. So cells are weighed, that both modalities have the same composition: types that one
side has more of weigh less there. No label of an ATAC cell comes in here: its type is guessed by a
linear classifier, first from features of equal weights, then from what comes of better ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from scadv_tf.data.linear_guess import Discriminant, LinearGuess
from scadv_tf.data.neighbor_lists import NeighborLists, neighbor_mean
from scadv_tf.data.rows import Rows

ROUNDS = 3  # later ones change little
# A share of which this many cells are expected may by chance have none (the rule of three: with
# 5 %), so a smaller one is not told from it. Shares closer to 0 would make so large factors of few
# cells that types fade from the components, to where undecided cells of all types lie.
FEWEST_CELLS = 3
LARGEST_FACTOR = 20.0  # of a weight: few cells must not stand for a whole type
# Guessed shares are off by so much where both sides are alike; from twice that they count in full.
TRUSTED_RATIO, SURE_RATIO = 1.5, 3.0

Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Composition:
    """Shares of the types in both samples, and the factors that make them one.

    Attributes
    ----------
    rna_shares, atac_shares : of the K types; those of ATAC are guessed.
    rna_factors, atac_factors : what a cell of each type weighs [K].
    """

    rna_shares: np.ndarray
    atac_shares: np.ndarray
    rna_factors: np.ndarray
    atac_factors: np.ndarray

    @classmethod
    def of(
        cls, rna_shares: np.ndarray, atac_shares: np.ndarray, rna_cells: int, atac_cells: int
    ) -> Composition:
        """Factors that bring the shares on both sides to their geometric mean.

        So a type that one side lacks fades on the other. Where shares differ by less than the error
        of a guess, they stay as they are.

        Parameters
        ----------
        rna_shares, atac_shares : of the K types [K].
        rna_cells, atac_cells : of how many cells.
        """
        atac = np.maximum(atac_shares, FEWEST_CELLS / atac_cells)
        rna = np.maximum(rna_shares, FEWEST_CELLS / rna_cells)
        ratio = np.log(atac / rna)
        trust = (np.abs(ratio) - np.log(TRUSTED_RATIO)) / np.log(SURE_RATIO / TRUSTED_RATIO)
        half = ratio * np.clip(trust, 0, 1) / 2
        limit = np.log(LARGEST_FACTOR)
        factors = np.exp(np.clip([half, -half], -limit, limit))
        return cls(rna_shares, atac_shares, *factors)

    def weights(self, rna_labels: np.ndarray, atac_types: np.ndarray) -> dict[str, np.ndarray]:
        """Weights of the cells, float32 [R] and [A] with mean 1.

        Parameters
        ----------
        rna_labels : type codes [R].
        atac_types : guessed probabilities of the types [A, K].
        """
        weights = {"rna": self.rna_factors[rna_labels], "atac": atac_types @ self.atac_factors}
        return {name: (w / w.mean()).astype(np.float32) for name, w in weights.items()}


@dataclass(frozen=True, eq=False)
class Balance:
    """What is known of the composition of the training cells.

    Attributes
    ----------
    composition : shares and factors.
    guess : of the types, from the final features.
    weights : modality -> float32 [cells], mean 1.
    """

    composition: Composition
    guess: LinearGuess
    weights: dict[str, np.ndarray]

    def of_all(
        self, rna_labels: np.ndarray, atac_features: Rows, neighbors: NeighborLists | None
    ) -> Balance:
        """The same for all cells, where it was learned from a sample of them.

        Parameters
        ----------
        rna_labels : type codes [R].
        atac_features : [A, D], on disk.
        neighbors : of the ATAC cells; None without.
        """
        smooth = neighbor_mean(self.guess(atac_features), neighbors)
        return replace(self, weights=self.composition.weights(rna_labels, smooth))


def balanced(
    features_of: Callable[[dict[str, np.ndarray]], Pair],
    rna_labels: np.ndarray,
    types: int,
    neighbors: NeighborLists | None,
    atac_cells: int,
) -> tuple[Composition, dict[str, np.ndarray]]:
    """Weights of the cells, found in rounds: weights, features by them, guessed types, weights …

    The first guess, which is made where composition shifts all scales, counts half in the second
    and so on, since a round alone can swing past the goal.

    Parameters
    ----------
    features_of : features [R, D] and [A, D] of the cells, standardised by given weights.
    rna_labels : type codes [R].
    types : their number K.
    neighbors : of the ATAC cells, over which guesses are averaged; None without.
    """
    rna_shares = np.bincount(rna_labels, minlength=types) / len(rna_labels)
    weights = {"rna": np.ones(len(rna_labels), np.float32), "atac": np.ones(atac_cells, np.float32)}
    sizes = len(rna_labels), atac_cells
    guessed, composition = None, Composition.of(rna_shares, rna_shares, *sizes)
    for _ in range(ROUNDS):
        rna, atac = features_of(weights)
        probabilities = Discriminant.fit(rna, rna_labels, types)(atac)
        guessed = probabilities if guessed is None else (guessed + probabilities) / 2
        smooth = neighbor_mean(guessed, neighbors)
        atac_shares = smooth.mean(axis=0, dtype=np.float64)
        composition = Composition.of(rna_shares, atac_shares, *sizes)
        weights = composition.weights(rna_labels, smooth)
    return composition, weights
