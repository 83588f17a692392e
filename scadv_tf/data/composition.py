"""Samples of unlike composition: what share of the ATAC cells is of each type, and what follows.

Each modality is standardised by its own means and deviations, and aligned with the other as a
whole. Where the shares of the types differ, both would take a difference of composition for one of
measurement. So cells are weighed, that both modalities have the same composition: types that one
side has more of weigh less there. No label of an ATAC cell comes in here: its type is guessed by a
linear classifier, first from features of equal weights, then from what comes of better ones.

Where most of a sample is of few types, features of equal weights take half of these for others, and
what begins so ends so. So it is begun several times, each time without a branch of the tree of the
RNA types. What ends far surer counts: with the right composition types lie apart. But the fewer
types are thought to be there, the surer are wrong guesses too. These show by where cells lie: in no
direction of the RNA cells whose type they are said to be of. And where the mean of all ATAC cells
speaks for another composition by far, which no feature knows, equal weights went the wrong way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter

import numpy as np

from scadv_tf.data.linear_guess import Discriminant, LinearGuess, mean_entropy, type_means
from scadv_tf.data.neighbor_lists import NeighborLists, neighbor_mean
from scadv_tf.data.normalization import unit_rows
from scadv_tf.data.pseudobulk import Pseudobulk
from scadv_tf.data.rows import Rows

ROUNDS = 3  # later ones change little
# A share of which this many cells are expected may by chance have none (the rule of three: with
# 5 %), so a smaller one is not told from it. Shares closer to 0 would make so large factors of few
# cells that types fade from the components, to where undecided cells of all types lie.
FEWEST_CELLS = 3
LARGEST_FACTOR = 20.0  # of a weight: few cells must not stand for a whole type
# A branch of types that may be lacking has a quarter of the RNA cells, since fewer move no scale
# far, and leaves a tenth.
LEAST_BRANCH, LEAST_REST = 0.25, 0.1
# What another beginning ends with counts if it has at most so much of the doubt that equal weights
# end with, and at least so much of their closeness. Of samples whose types are known, most right
# ends have 0.2 to 0.7 and 0.96 to 1.5, wrong ones at most 0.73 of the closeness (see
# docs/decisions.md).
FAR_SURER, AS_CLOSE = 0.75, 0.9
# Equal weights went the wrong way if the mean ATAC cell is so much liker to what another beginning
# ends with, and by so many deviations of chance; of ends that are as like as the likest, to so
# much, the surest counts: how far to go the mean does not tell.
LIKER_END, LIKER_END_DEVIATIONS, AS_LIKE = 0.1, 3, 0.05
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
        of a guess, or by so little that chance may have it, they stay as they are.

        Parameters
        ----------
        rna_shares, atac_shares : of the K types [K].
        rna_cells, atac_cells : of how many cells.
        """
        of_rna, of_atac = FEWEST_CELLS / rna_cells, FEWEST_CELLS / atac_cells
        # None becomes the larger of the two for being small: few cells may be beside many.
        rna = np.maximum(rna_shares, np.minimum(of_rna, atac_shares))
        atac = np.maximum(atac_shares, np.minimum(of_atac, rna_shares))
        least = min(of_rna, of_atac)  # of a type that both lack
        ratio = np.log(np.maximum(atac, least) / np.maximum(rna, least))
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
        return {name: _with_mean_one(w) for name, w in weights.items()}


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
        atac_features : [A, D], in memory or on disk.
        neighbors : of the ATAC cells; None without.
        """
        smooth = neighbor_mean(self.guess(atac_features), neighbors)
        return replace(self, weights=self.composition.weights(rna_labels, smooth))


@dataclass(frozen=True, eq=False)
class _Settled:
    """What a beginning ends with.

    Attributes
    ----------
    doubt : mean entropy of the guessed types of single ATAC cells.
    closeness : mean cosine of these cells and the means of the RNA cells of the guessed types.
    likeness : of the mean ATAC cell to types in these shares.
    """

    composition: Composition
    weights: dict[str, np.ndarray]
    doubt: float
    closeness: float
    likeness: float


def balanced(
    features_of: Callable[[dict[str, np.ndarray]], Pair],
    rna_labels: np.ndarray,
    types: int,
    neighbors: NeighborLists | None,
    atac_cells: int,
    profile: Pseudobulk,
) -> tuple[Composition, dict[str, np.ndarray]]:
    """Weights of the cells, from equal ones or from a beginning that ends far surer or liker.

    Parameters
    ----------
    features_of : features [R, D] and [A, D] of the cells, standardised by given weights.
    rna_labels : type codes [R].
    types : their number K.
    neighbors : of the ATAC cells, over which guesses are averaged; None without.
    profile : the mean ATAC cell beside the types.
    """
    settled = partial(_settled, features_of, rna_labels, types, neighbors, profile)
    equal = {"rna": np.ones(len(rna_labels), np.float32), "atac": np.ones(atac_cells, np.float32)}
    found = settled(equal)
    ends = []
    for branch in branches(features_of(equal)[0], rna_labels):
        lacking = np.where(np.isin(rna_labels, branch), 1 / LARGEST_FACTOR, 1.0)
        ends.append(settled(equal | {"rna": _with_mean_one(lacking)}))
    best = _best(found, ends, LIKER_END_DEVIATIONS * profile.by_chance)
    return best.composition, best.weights


def _best(found: _Settled, ends: list[_Settled], by_chance: float) -> _Settled:
    """What equal weights end with, or which of the other ends counts."""
    likest = max((end.likeness for end in ends), default=found.likeness)
    if likest > found.likeness + max(LIKER_END, by_chance):
        better = [end for end in ends if end.likeness > likest - AS_LIKE]
    else:
        better = [
            end
            for end in ends
            if end.doubt < FAR_SURER * found.doubt and end.closeness > AS_CLOSE * found.closeness
        ]
    return min(better, key=attrgetter("doubt"), default=found)


def branches(rna: np.ndarray, rna_labels: np.ndarray) -> list[np.ndarray]:
    """Codes of the types in each branch of their tree that may be lacking.

    Parameters
    ----------
    rna : features [R, D] of the cells, by whose means the types are joined to a tree.
    rna_labels : type codes [R].
    """
    from scipy.cluster.hierarchy import linkage, to_tree

    codes, cells = np.unique(rna_labels, return_counts=True)
    if len(codes) < 2:
        return []
    means = type_means(rna, rna_labels, codes[-1] + 1)[codes]
    _, nodes = to_tree(linkage(means, "average"), rd=True)
    members = [np.array(node.pre_order()) for node in nodes]
    shares = [cells[each].sum() / cells.sum() for each in members]
    return [
        codes[each]
        for each, share in zip(members, shares, strict=True)
        if LEAST_BRANCH <= share <= 1 - LEAST_REST
    ]


def _with_mean_one(weights: np.ndarray) -> np.ndarray:
    return (weights / weights.mean()).astype(np.float32)


def _settled(
    features_of: Callable[[dict[str, np.ndarray]], Pair],
    rna_labels: np.ndarray,
    types: int,
    neighbors: NeighborLists | None,
    profile: Pseudobulk,
    weights: dict[str, np.ndarray],
) -> _Settled:
    """Found in rounds: weights, features by them, guessed types, weights …

    The first guess, which is made where composition shifts all scales, counts half in the second
    and so on, since a round alone can swing past the goal.

    Parameters
    ----------
    weights : of the first round.
    """
    rna_shares = np.bincount(rna_labels, minlength=types) / len(rna_labels)
    sizes = len(rna_labels), len(weights["atac"])
    guessed = None
    for _ in range(ROUNDS):
        rna, atac = features_of(weights)
        probabilities = Discriminant.fit(rna, rna_labels, types)(atac)
        guessed = probabilities if guessed is None else (guessed + probabilities) / 2
        smooth = neighbor_mean(guessed, neighbors)
        atac_shares = smooth.mean(axis=0, dtype=np.float64)
        composition = Composition.of(rna_shares, atac_shares, *sizes)
        weights = composition.weights(rna_labels, smooth)
    cosines = unit_rows(atac) @ unit_rows(type_means(rna, rna_labels, types)).T
    closeness = float((cosines * probabilities).sum(axis=1).mean())
    doubt, likeness = mean_entropy(probabilities), profile.likeness(atac_shares)
    return _Settled(composition, weights, doubt, closeness, likeness)
