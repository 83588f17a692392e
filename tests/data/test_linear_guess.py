"""The linear guess: its closed form, what directions leave out, and its limits."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import sparse
from scipy.cluster.hierarchy import linkage, to_tree
from scipy.special import softmax

from scadv_tf.data import linear_guess
from scadv_tf.data.linear_guess import (
    DRAWS,
    SHRINKAGE,
    VIEW_SHARES,
    Discriminant,
    LinearGuess,
    draws,
    mean_entropy,
    steady_mixture,
    type_means,
)
from scadv_tf.data.rows import DiskRows
from scadv_tf.data.temperature import SPREAD


def cloud(types, cells: int = 80, width: int = 5, seed: int = 0):
    """Features of cells of these types that overlap, and the types' codes."""
    random = np.random.default_rng(seed)
    codes = np.concatenate([types, random.choice(types, cells - len(types))])
    centers = random.normal(size=(max(types) + 1, width))
    return (centers[codes] + random.normal(size=(cells, width))).astype(np.float32), codes


def twin(
    values: np.ndarray,
    labels: np.ndarray,
    others: np.ndarray,
    temperature: float = 1.0,
    whole: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """Probabilities of the types that are there, by Bayes' rule for normal densities.

    `whole` are the values and labels of all cells, of which those given are a draw.
    """
    types, counts = np.unique(labels, return_counts=True)
    means, inverse, _ = moments_of(values, labels)
    means = mixture_twin(*(whole or (values, labels))) @ means
    away = others.astype(float)[:, None, :] - means
    squares = np.einsum("bkd,de,bke->bk", away, inverse, away)
    return softmax((np.log(counts / len(labels)) - squares / 2) / temperature, axis=1)


def moments_of(values: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Means of types, the inverse covariance within them, a cell's expected square distance."""
    values = values.astype(float)
    types, codes = np.unique(labels, return_inverse=True)
    means = np.array([values[labels == code].mean(axis=0) for code in types])
    apart = values - means[codes]
    scatter = apart.T @ apart
    size, within = len(scatter), scatter / len(values)
    within = (1 - SHRINKAGE) * within + SHRINKAGE * np.trace(within) / size * np.eye(size)
    inverse = np.linalg.inv(within)
    return means, inverse, np.trace(inverse @ scatter) / (len(values) - len(types))


def mixture_twin(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """What of each mean goes into each, placed from the root of their tree to its leaves."""
    means, inverse, noise = moments_of(values, labels)
    cells = np.unique(labels, return_counts=True)[1]
    found = np.empty((len(cells), len(cells)))

    def branch(node):
        inside = np.isin(np.arange(len(cells)), node.pre_order()) * cells
        return inside / inside.sum(), inside.sum()

    def place(node, where):
        if node.is_leaf():
            found[node.id] = where
            return
        (left, n), (right, m) = branch(node.left), branch(node.right)
        apart = (left - right) @ means
        part = max(0, 1 - noise * (1 / n + 1 / m) / (apart @ inverse @ apart))
        place(node.left, where + part * (left - right) * m / (n + m))
        place(node.right, where - part * (left - right) * n / (n + m))

    tree = to_tree(linkage(means @ np.linalg.cholesky(inverse), "average"))
    place(tree, branch(tree)[0])
    return found


def temperature_of(guess: LinearGuess, features: np.ndarray, labels: np.ndarray) -> float:
    """By which all numbers of a guess are smaller than without one."""
    plain = Discriminant.fit(features, labels, max(labels) + 1, draws(labels))
    ratios = plain.coefficients / guess.parts[0].coefficients
    np.testing.assert_allclose(ratios, ratios.flat[0], rtol=1e-5)
    return ratios.flat[0]


def directions(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=1, keepdims=True)


TYPES = pytest.mark.parametrize(
    "types", [[0, 1], [0, 1, 2], [0, 1, 2, 3, 4], [1, 3], [0, 2, 5]], ids=str
)


@TYPES
def test_a_discriminant_is_bayes_rule_for_normal_types(types):
    values, labels = cloud(types)
    others = 2 * cloud(types, seed=1)[0]
    found = Discriminant.fit(values, labels, 6)(others)
    np.testing.assert_allclose(found[:, types], twin(values, labels, others), atol=1e-6)
    np.testing.assert_array_equal(np.delete(found, types, axis=1), 0)


@TYPES
def test_the_guess_is_the_weighted_mean_of_both_views(types):
    features, labels = cloud(types)
    others = 2 * cloud(types, seed=1)[0]
    fitted = LinearGuess.fit(features, labels, 6)
    found, parts = fitted(others), fitted.parts
    assert found.dtype == np.float32 and found.shape == (80, 6)
    assert sum(VIEW_SHARES) == 1
    of_views = [part(view) for part, view in zip(parts, (others, directions(others)), strict=True)]
    expected = VIEW_SHARES[0] * of_views[0] + VIEW_SHARES[1] * of_views[1]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def told_by_draws_without(features, labels, temperature: float) -> np.ndarray:
    """The sum of what draws say of each cell that they left out, of three types [cells, 3]."""
    told = np.zeros((len(labels), 3))
    for rows in draws(labels):
        out = sorted(set(range(len(labels))) - set(rows))
        for share, view in zip(VIEW_SHARES, (features, directions(features)), strict=True):
            given = view[rows], labels[rows], view[out], temperature, (view, labels)
            told[out] += share * twin(*given)
    return told


def test_the_temperature_is_the_most_probable_one_for_cells_that_draws_left_out():
    features, labels = cloud([0, 1, 2], cells=60, width=12)
    found = temperature_of(LinearGuess.fit(features, labels, 3), features, labels)

    def loss(temperature: float) -> float:
        """Of the mean answer of the draws without a cell, and of temperatures beforehand."""
        told = told_by_draws_without(features, labels, temperature)
        once = told.any(axis=1)  # some cell may be in every draw
        own = told[once, labels[once]] / told[once].sum(axis=1)
        return (np.log(temperature) / SPREAD) ** 2 / 2 - np.log(own).sum()

    assert 1.05 < found < 5
    best = loss(found)
    assert all(loss(found * factor) > best for factor in (0.9, 0.98, 1.02, 1.1))


def test_cells_that_draws_left_out_are_counted_by_what_these_call_them():
    features, labels = cloud([0, 1, 2], cells=60, width=12)
    mixed = np.random.default_rng(0).choice([1, 2], len(labels))
    labels = np.where(labels == 2, mixed, labels)
    guess = LinearGuess.fit(features, labels, 3)
    told = told_by_draws_without(features, labels, temperature_of(guess, features, labels))
    expected = np.zeros((3, 3), int)
    for own, chances in zip(labels, told, strict=True):
        if chances.any():
            expected[own, chances.argmax()] += 1
    np.testing.assert_array_equal(guess.left_out, expected)


def test_labels_in_another_order_than_the_cells_are_recognised_by_chance():
    features, labels = cloud([0, 1, 2], cells=200, width=12)
    mixed = np.random.default_rng(0).permutation(labels)
    shares = [
        np.trace(LinearGuess.fit(features, given, 3).left_out) / len(labels)
        for given in (labels, mixed)
    ]
    assert shares[0] > 0.9 and shares[1] == pytest.approx(1 / 3, abs=0.1)  # 3 of its deviations


def test_a_guess_of_few_cells_is_less_wrong_with_the_temperature_and_many_need_none():
    temperatures, lost = [], []
    for cells in (12, 200):
        random = np.random.default_rng(0)
        centers = random.normal(size=(4, 30)) / 2
        labels, truth = np.repeat(np.arange(4), cells), np.tile(np.arange(4), 500)
        features = centers[labels] + random.normal(size=(4 * cells, 30))
        asked = centers[truth] + random.normal(size=(2000, 30))
        guess = LinearGuess.fit(features, labels, 4)
        temperatures.append(temperature_of(guess, features, labels))
        parts = tuple(part.at(1 / temperatures[-1]) for part in guess.parts)
        losses = [
            -np.log(each(asked)[np.arange(2000), truth]).mean()
            for each in (guess, dataclasses.replace(guess, parts=parts))
        ]
        lost.append(losses[0] / losses[1])
    assert temperatures[0] > 1.5 and 1 <= temperatures[1] < 1.1
    assert lost[0] < 0.95 and abs(lost[1] - 1) < 0.01


def test_draws_keep_the_types_and_are_the_same_each_time():
    labels = np.array([2, 0, 0, 5, 2, 2, 0, 0] * 9)
    found, again = draws(labels), draws(labels)
    assert len(found) == DRAWS and len({tuple(rows) for rows in found}) == DRAWS
    for rows, same in zip(found, again, strict=True):
        np.testing.assert_array_equal(rows, same)
        np.testing.assert_array_equal(np.bincount(labels[rows]), np.bincount(labels))
        assert len(set(rows)) < len(rows)  # some cells twice, others not at all
    assert set(np.concatenate(found)) == set(range(len(labels)))


def test_few_cells_make_a_guess_less_sure_and_many_do_not():
    random = np.random.default_rng(0)
    apart, lost = 2 * np.eye(6)[0], []
    asked = random.normal(size=(500, 6)) + apart / 2
    for cells in (6, 600):
        labels = np.repeat([0, 1], cells)
        values = random.normal(size=(2 * cells, 6)) + np.outer(labels, apart)
        once = Discriminant.fit(values, labels, 2)(asked)
        drawn = Discriminant.fit(values, labels, 2, draws(labels))(asked)
        lost.append(np.mean(once.max(axis=1) - drawn.max(axis=1)))
    assert lost[0] > 0.04 and abs(lost[1]) < 0.005


def test_units_do_not_matter():
    """Components of more genes are longer: the guess must not be more or less sure by that."""
    features, labels = cloud([0, 1, 2])
    others = cloud([0, 1, 2], seed=1)[0]
    found = LinearGuess.fit(features, labels, 3)(others)
    np.testing.assert_allclose(
        LinearGuess.fit(30 * features, labels, 3)(30 * others), found, atol=1e-5
    )


def test_shallow_cells_keep_their_directions_and_lose_their_features():
    """A third as far from the mean, the first type's cells lie nearer to the second's centre."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, 400)
    centers = np.array([[6, 0, 0], [1.5, 1.5, 0], [0, 0, 4], [-4, -4, -4]], float)
    features = centers[labels] + random.normal(size=(400, 3)) / 2
    of_features, of_directions = LinearGuess.fit(features, labels, 4).parts
    shallow = features / 3
    right = np.mean(of_directions(directions(shallow)).argmax(axis=1) == labels)
    wrong = np.mean(of_features(shallow).argmax(axis=1) == labels)
    assert right > 0.95 and wrong < 0.8


def test_one_type_is_sure():
    features, labels = cloud([2])
    found = LinearGuess.fit(features, labels, 4)
    np.testing.assert_array_equal(found(features), np.tile([0, 0, 1, 0], (80, 1)))
    assert LinearGuess.fit(features, 0 * labels, 1)(features).tolist() == [[1]] * 80


@pytest.mark.filterwarnings("error")
def test_types_of_a_single_cell_and_cells_without_a_direction_are_answered():
    features, labels = cloud([0, 1])
    features, labels = np.vstack([features, features[:1] + 9]), np.append(labels, 2)
    found = LinearGuess.fit(features, labels, 3)
    assert found(features[-1:]).argmax() == 2
    nothing = found(np.zeros((2, 5), np.float32))
    assert np.isfinite(nothing).all()
    np.testing.assert_allclose(nothing.sum(axis=1), 1, rtol=1e-6)


def test_no_cell_gets_no_guess():
    guess = LinearGuess.fit(*cloud([0, 1, 2]), 3)
    assert guess(np.empty((0, 5), np.float32)).shape == (0, 3)


def test_cells_on_disk_and_in_blocks_get_the_same_guess(tmp_path, monkeypatch):
    features, labels = cloud([0, 1, 2])
    guess = LinearGuess.fit(features, labels, 3)
    whole = guess(features)
    monkeypatch.setattr(linear_guess, "CELLS_AT_ONCE", 13)
    stored = DiskRows(tmp_path / "rows", features.shape[1])
    stored[0 : len(features)] = features
    for rows in (features, stored):
        np.testing.assert_allclose(guess(rows), whole, rtol=1e-6)


def test_means_are_drawn_together_by_hand():
    """Two cells at 0, one at 3 and one at 43, which far from these owes little to chance."""
    means, cells = np.array([[0.0], [3.0], [43.0]]), np.array([2, 1, 1])
    near = 1 - 2 * (1 / 2 + 1 / 1) / 9  # 2/3: they differ by 3, and by a square of 3 by chance
    far = 1 - 2 * (1 / 3 + 1 / 1) / 42**2  # from the mean of both, which is 1
    whole = (0 * 2 + 3 + 43) / 4
    pair = whole + far * (1 - whole)
    expected = [pair - near * 1, pair + near * 2, whole + far * (43 - whole)]
    found = steady_mixture(means, cells, 2.0)
    np.testing.assert_allclose((found @ means)[:, 0], expected)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_allclose(steady_mixture(means, cells, 0.0), np.eye(3), atol=1e-12)
    shares = np.tile([0.5, 0.25, 0.25], (3, 1))
    np.testing.assert_allclose(steady_mixture(means, cells, 1e9), shares)
    np.testing.assert_allclose(
        steady_mixture(np.ones((2, 3)), cells[:2], 0.0), [[2 / 3, 1 / 3]] * 2
    )


def test_parts_of_a_type_by_chance_are_told_by_their_shares_and_types_are_told():
    """Parts that differ by nothing are called so as often as there are cells, not by a side."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), (60, 60, 120, 120))  # the first two are of one type
    centers = 5 * np.eye(30)[[0, 0, 1, 2]]
    features = centers[labels] + random.normal(size=(360, 30))
    asked = 5 * np.eye(30)[0] + random.normal(size=(500, 30))
    found = LinearGuess.fit(features, labels, 4)(asked)
    assert found[:, :2].sum(axis=1).mean() > 0.98
    assert found.max(axis=1).mean() < 0.53


def test_means_of_types_by_hand():
    features, labels = np.array([[1.0, 0.0], [3.0, 4.0], [5.0, 6.0]]), np.array([0, 0, 2])
    expected = [[2, 2], [0, 0], [5, 6], [0, 0]]
    for given in (features, sparse.csr_matrix(features)):
        np.testing.assert_array_equal(type_means(given, labels, 4), expected)


def test_mean_entropy_by_hand():
    guesses = np.array([[1.0, 0.0], [0.5, 0.5]])
    assert mean_entropy(guesses) == pytest.approx(np.log(2) / 2)
