"""Types guessed from the features alone, by linear discriminant analysis (Fisher 1936).

It has a closed form, learns nothing from its own answers, and so cannot drift with them as a
network can. One covariance for all types, shrunk towards a sphere, errs less on ATAC cells than a
logistic regression: that is fitted to borders between RNA cells, which the noise of the other
modality blurs.

What a few cells say of their type hangs on which cells these are. So the guess is the mean of many,
each of RNA cells drawn anew from those that there are (bagging, Breiman 1996), and is as sure as
these agree. A draw leaves a third of the cells out: what it says of them tells how far it is to be
believed, which a temperature sees to.

Nor does a draw tell that two types which differ in RNA by chance alone, as halves of a cluster do,
are one: ATAC cells differ from RNA cells in some direction, and all would be of the half that lies
there. So near relatives are drawn together, as far as chance may hold them apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scadv_tf.data.neighbor_lists import NeighborLists, neighbor_mean
from scadv_tf.data.normalization import unit_rows
from scadv_tf.data.rows import Rows, blocks
from scadv_tf.data.temperature import most_probable_temperature

if TYPE_CHECKING:
    from scipy import sparse

# Of the covariance: the more, the more the mean of a type alone decides. From .2 to .5 the scores
# on all data sets are alike.
SHRINKAGE = 0.3
# Of the features and of their directions in the guess.
VIEW_SHARES = (2 / 3, 1 / 3)
DRAWS = 12  # of the RNA cells that the guess is the mean over
CELLS_AT_ONCE = 65_536


def draws(labels: np.ndarray) -> list[np.ndarray]:
    """Rows of `DRAWS` samples of the cells [R], with replacement, of each type as many as it has.

    Always the same ones, so that the guess is the same at every seed of a run.
    """
    random = np.random.default_rng(0)
    members = [np.flatnonzero(labels == code) for code in np.unique(labels)]
    return [
        np.concatenate([random.choice(cells, len(cells)) for cells in members])
        for _ in range(DRAWS)
    ]


def type_means(
    features: np.ndarray | sparse.csr_matrix, labels: np.ndarray, types: int
) -> np.ndarray:
    """Mean features [K, D], an array, of the cells [N, D] of each type; 0 of one without cells.

    Parameters
    ----------
    labels : type codes [N].
    """
    from scipy import sparse

    members = np.eye(types)[labels]
    if sparse.issparse(features):  # then what is stored alone is added up
        sums = (sparse.csr_matrix(members.T) @ features).toarray()
    else:
        sums = members.T @ features
    return sums / np.maximum(members.sum(axis=0), 1)[:, None]


def mean_entropy(probabilities: np.ndarray) -> float:
    """How unsure guesses [cells, K] are: 0 where each is of one type."""
    from scipy.special import entr

    return float(entr(probabilities).sum(axis=1).mean())


@dataclass(frozen=True, eq=False)
class Discriminant:
    """Linear discriminant analyses of K types, one for each of M draws of the cells.

    Probabilities are the mean over the draws of the softmax of ``values @ coefficients + offsets``.

    Attributes
    ----------
    coefficients : [M, D, K].
    offsets : [M, K].
    """

    coefficients: np.ndarray
    offsets: np.ndarray

    @classmethod
    def fit(
        cls,
        values: np.ndarray,
        labels: np.ndarray,
        types: int,
        draws: Sequence[np.ndarray | slice] = (slice(None),),
    ) -> Discriminant:
        """Learns from RNA cells [R, D] of known types [R]; types without a cell are never guessed.

        A type is expected as often as it is among these cells.

        Parameters
        ----------
        draws : rows of each; without, all cells once.
        """
        from threadpoolctl import threadpool_limits

        # Sums by several threads round differently, and on few columns threads only wait.
        with threadpool_limits(1):
            mixture = _mixture_of(values, labels)
            found = [_analysis(values[rows], labels[rows], types, mixture) for rows in draws]
        coefficients, offsets = map(np.array, zip(*found, strict=True))
        return cls(coefficients, offsets)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Probabilities of the types [cells, K]."""
        from scipy.special import softmax

        return np.mean([softmax(self.logits(values, m), axis=1) for m in range(self.draws)], axis=0)

    @property
    def draws(self) -> int:
        """Their number M."""
        return len(self.offsets)

    def logits(self, values: np.ndarray, draw: int) -> np.ndarray:
        """What one of the analyses says of cells [cells, K], before the softmax."""
        return values @ self.coefficients[draw] + self.offsets[draw]

    def at(self, temperature: float) -> Discriminant:
        """The same, less sure by a temperature."""
        return Discriminant(self.coefficients / temperature, self.offsets / temperature)


@dataclass(frozen=True, eq=False)
class _Spread:
    """How cells of known types lie.

    Attributes
    ----------
    types : codes of those that have cells [K'].
    cells : how many each has [K'].
    means : [K', D].
    apart : how far each cell is from its type's mean [R, D].
    """

    types: np.ndarray
    cells: np.ndarray
    means: np.ndarray
    apart: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, labels: np.ndarray) -> _Spread:
        """Of cells [R, D] of types [R]."""
        values = np.asarray(values, np.float64)
        types, codes, cells = np.unique(labels, return_inverse=True, return_counts=True)
        means = type_means(values, codes, len(types))
        return cls(types, cells, means, values - means[codes])

    def root(self) -> np.ndarray | None:
        """The lower triangle whose square is the shrunk covariance within types [D, D].

        None where nothing tells types apart: of a single one, or of cells that are all alike.
        """
        if len(self.types) < 2 or not self.apart.any():
            return None
        covariance = self.apart.T @ self.apart / len(self.apart)
        sphere = np.trace(covariance) / len(covariance) * np.eye(len(covariance))
        return np.linalg.cholesky((1 - SHRINKAGE) * covariance + SHRINKAGE * sphere)


def _analysis(
    values: np.ndarray, labels: np.ndarray, types: int, mixture: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients [D, K] and offsets [K] of one; `mixture` as from `_mixture_of` all cells."""
    from scipy.linalg import solve_triangular

    spread = _Spread.of(values, labels)
    coefficients, offsets = np.zeros((values.shape[1], types)), np.full(types, -np.inf)
    offsets[spread.types] = np.log(spread.cells / len(labels))
    root = spread.root()
    if root is not None:
        means = solve_triangular(root, (mixture @ spread.means).T, lower=True)
        coefficients[:, spread.types] = solve_triangular(root, means, lower=True, trans="T")
        offsets[spread.types] -= np.square(means).sum(axis=0) / 2
    return coefficients, offsets


def _mixture_of(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """`steady_mixture` of the means of the types that have cells."""
    from scipy.linalg import solve_triangular

    spread = _Spread.of(values, labels)
    root = spread.root()
    if root is None:
        return np.eye(len(spread.types))
    means, apart = (
        solve_triangular(root, each.T, lower=True).T for each in (spread.means, spread.apart)
    )
    noise = np.square(apart).sum() / (len(labels) - len(means))
    return steady_mixture(means, spread.cells, noise)


def steady_mixture(means: np.ndarray, cells: np.ndarray, noise: float) -> np.ndarray:
    """What of each type's mean goes into each [K, K], that none is told by chance; rows sum to 1.

    Halves of one type differ by chance, and a cell is not of the one for being on its side. So at
    each fork of the types' tree the difference between both branches is multiplied by the part of
    its square that chance does not explain (James and Stein 1961): 0 where it may be all of it.

    Parameters
    ----------
    means : [K, D], in units of the variation within types.
    cells : how many cells each is the mean of [K].
    noise : expected square of a cell's distance from its type's mean.
    """
    from scipy.cluster.hierarchy import linkage

    forks = [(int(a), int(b)) for a, b, *_ in linkage(means, "average")]
    nodes, sizes = list(np.eye(len(means))), list(cells)
    for a, b in forks:
        sizes.append(sizes[a] + sizes[b])
        nodes.append((sizes[a] * nodes[a] + sizes[b] * nodes[b]) / sizes[-1])
    found = nodes.copy()
    for parent, (a, b) in reversed(list(enumerate(forks, start=len(means)))):
        by_chance = noise * (1 / sizes[a] + 1 / sizes[b])
        square = np.square((nodes[a] - nodes[b]) @ means).sum()
        part = 1 - by_chance / square if square > by_chance else 0.0
        for child in (a, b):
            found[child] = found[parent] + part * (nodes[child] - nodes[parent])
    return np.array(found[: len(means)])


@dataclass(frozen=True, eq=False)
class LinearGuess:
    """The weighted mean of analyses of two views: of the features, and of their directions alone.

    How far a cell lies from the mean of all follows its depth, and how many cells it was averaged
    with, which differ by modality: the directions do without. But where the modalities are of
    unlike composition, so are the means that directions are seen from, and the features hold.

    Attributes
    ----------
    parts : of the features, and of their directions.
    left_out : how many RNA cells of each type the draws that left them out call each [K, K].
    """

    parts: tuple[Discriminant, Discriminant]
    left_out: np.ndarray

    @classmethod
    def fit(cls, features: np.ndarray, labels: np.ndarray, types: int) -> LinearGuess:
        """Learns from RNA cells [R, D] of known types [R], of K in all."""
        drawn, views = draws(labels), (features, unit_rows(features))
        parts = [Discriminant.fit(view, labels, types, drawn) for view in views]
        left_out = _LeftOut.of(parts, views, labels, drawn)
        temperature = left_out.temperature()
        first, second = (part.at(temperature) for part in parts)
        return cls((first, second), left_out.confusion(temperature))

    def __call__(self, features: Rows) -> np.ndarray:
        """Probabilities of the types, float32 [cells, K]."""
        found = np.empty((features.shape[0], self.parts[0].offsets.shape[1]), dtype=np.float32)
        for start, block in blocks(features, CELLS_AT_ONCE):
            views = block, unit_rows(block)
            guesses = [part(view) for part, view in zip(self.parts, views, strict=True)]
            found[start : start + len(block)] = np.tensordot(VIEW_SHARES, guesses, 1)
        return found

    def voted(self, features: Rows, neighbors: NeighborLists | None) -> np.ndarray:
        """The same, of each cell the mean over it and its neighbours."""
        return neighbor_mean(self(features), neighbors)


@dataclass(frozen=True, eq=False)
class _LeftOut:
    """What draws say of the cells that they left out.

    Attributes
    ----------
    labels : type codes [R] of all cells.
    times : how many draws left out each [R].
    logits : of each view in each draw its share, the rows that were left out, and [rows, K].
    """

    labels: np.ndarray
    times: np.ndarray
    logits: list[tuple[float, np.ndarray, np.ndarray]]

    @classmethod
    def of(
        cls,
        parts: Sequence[Discriminant],
        views: Sequence[np.ndarray],
        labels: np.ndarray,
        drawn: Sequence[np.ndarray],
    ) -> _LeftOut:
        """Of the analyses and features [R, D] of both views, and the rows of each draw."""
        left_out = [np.setdiff1d(np.arange(len(labels)), rows) for rows in drawn]
        logits = [
            (share, rows, part.logits(view[rows], draw))
            for share, part, view in zip(VIEW_SHARES, parts, views, strict=True)
            for draw, rows in enumerate(left_out)
        ]
        return cls(labels, np.bincount(np.concatenate(left_out), minlength=len(labels)), logits)

    def probabilities(self, temperature: float) -> tuple[np.ndarray, np.ndarray]:
        """Type codes of the N cells that were left out, and the draws' mean for each [N, K]."""
        from scipy.special import softmax

        total = np.zeros((len(self.labels), self.logits[0][2].shape[1]))
        for share, rows, found in self.logits:
            total[rows] += share * softmax(found / temperature, axis=1)
        known = self.times > 0
        return self.labels[known], total[known] / self.times[known, None]

    def temperature(self) -> float:
        """That at which they are guessed best."""
        if not self.times.any():
            return 1.0

        def log_likelihood(temperature: float) -> float:
            labels, means = self.probabilities(temperature)
            own = means[np.arange(len(labels)), labels]
            return float(np.log(np.maximum(own, np.finfo(float).tiny)).sum())

        return most_probable_temperature(log_likelihood)

    def confusion(self, temperature: float) -> np.ndarray:
        """How many cells of each type are called each, int [K, K]."""
        labels, means = self.probabilities(temperature)
        types = means.shape[1]
        pairs = labels * types + means.argmax(axis=1)
        return np.bincount(pairs, minlength=types**2).reshape(types, types)
