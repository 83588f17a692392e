"""The temperature is found again, held-out cells are drawn by type, thresholds keep their word."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax, softmax

from scadv_tf.data.temperature import SPREAD, TEMPERATURES
from scadv_tf.models.confidence import (
    fit_temperature,
    held_out_rows,
    type_spread,
    unknown_threshold,
)
from scadv_tf.models.readout import Readout


def drawn(temperature, cells=4000, types=5, seed=0):
    """Logits, and labels that follow ``softmax(logits / temperature)``."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 3, size=(cells, types))
    shares = softmax(logits / temperature, axis=1).cumsum(axis=1)
    return logits, (random.random((cells, 1)) > shares).sum(axis=1)


def loss_at(temperature, logits, labels):
    return -log_softmax(logits / temperature, axis=1)[np.arange(len(labels)), labels].mean()


# Temperature.


@pytest.mark.parametrize("temperature", [1.2, 2.5, 6.0])
def test_the_temperature_that_the_labels_were_drawn_by_is_found(temperature):
    assert fit_temperature(*drawn(temperature)) == pytest.approx(temperature, rel=0.1)


@pytest.mark.parametrize("temperature", [1.4, 2.5])
def test_no_other_temperature_fits_better(temperature):
    logits, labels = drawn(temperature)
    found = fit_temperature(logits, labels)
    best = loss_at(found, logits, labels)
    for other in (0.9 * found, 0.97 * found, 1.03 * found, 1.1 * found, 1.0):
        assert loss_at(other, logits, labels) > best


def test_the_temperature_by_hand():
    # Three of four cells are right, all with logits (log 9, 0): right with p = 9 / 10 at T = 1.
    # The best p is 3/4, so log(9) / T = log(3) and T = 2, where so many cells say so.
    logits = np.tile([np.log(9), 0.0], (400_000, 1)).astype(np.float32)
    assert fit_temperature(logits, np.tile([0, 0, 0, 1], 100_000)) == pytest.approx(2, abs=1e-3)


@pytest.mark.parametrize("cells", [1, 4, 30])
def test_few_cells_move_the_temperature_little_from_one_by_hand(cells):
    # All wrong with logits (log 9, 0). Where the slope of the sum is zero, with t = log T,
    # t / SPREAD^2 = cells * u * p(wrongly called), u = log(9) / T.
    logits = np.tile([np.log(9), 0.0], (cells, 1))
    found = fit_temperature(logits, np.ones(cells, np.int64))
    scaled = np.log(9) / found
    expected = cells * scaled / (1 + np.exp(-scaled))
    assert np.log(found) / SPREAD**2 == pytest.approx(expected, rel=1e-3)
    assert found > 1


@pytest.mark.parametrize("cells", [4, 4000])
def test_a_network_that_is_too_modest_is_not_made_surer(cells):
    assert fit_temperature(*drawn(0.4, cells)) == pytest.approx(1, abs=1e-4)


def test_a_constant_added_to_the_logits_of_a_cell_changes_nothing():
    logits, labels = drawn(2.0, cells=300)
    moved = logits + np.random.default_rng(1).normal(0, 50, size=(300, 1))
    assert fit_temperature(moved, labels) == pytest.approx(fit_temperature(logits, labels))


def test_without_cells_the_temperature_is_one():
    assert fit_temperature(np.empty((0, 3), np.float32), np.empty(0, np.int64)) == 1.0


def test_where_any_temperature_would_be_too_high_or_too_low_it_stays_in_its_bounds():
    labels = np.arange(4_000) % 4
    right = np.eye(4, dtype=np.float32)[labels] / 10
    assert fit_temperature(right, labels) == pytest.approx(TEMPERATURES[0], rel=0.01)
    assert fit_temperature(300 * right, (labels + 1) % 4) == pytest.approx(
        TEMPERATURES[1], rel=0.01
    )
    assert np.isfinite(fit_temperature(1e5 * right, labels))


# Held-out cells.


def test_held_out_cells_are_the_share_of_each_type():
    labels = np.repeat([0, 1, 2, 3], [50, 19, 9, 1])
    np.random.default_rng(5).shuffle(labels)
    rows = held_out_rows(labels, 0.1, seed=0)
    np.testing.assert_array_equal(np.bincount(labels[rows], minlength=4), [5, 1, 0, 0])
    assert (np.diff(rows) > 0).all() and rows.dtype == np.int64


def test_half_of_two_cells_is_one_and_types_without_cells_are_no_matter():
    labels = np.array([7, 7, 3])
    (row,) = held_out_rows(labels, 0.5, seed=0)
    assert labels[row] == 7


def test_held_out_cells_follow_the_seed():
    labels = np.repeat([0, 1], 100)
    first = held_out_rows(labels, 0.2, seed=1)
    np.testing.assert_array_equal(first, held_out_rows(labels, 0.2, seed=1))
    assert not np.array_equal(first, held_out_rows(labels, 0.2, seed=2))


def test_each_cell_of_a_type_can_be_held_out():
    labels = np.repeat([0, 1], 10)
    rows = [held_out_rows(labels, 0.2, seed) for seed in range(60)]
    assert set(np.concatenate(rows)) == set(range(20))


@pytest.mark.parametrize("share", [0.0, 0.09])
def test_nothing_is_held_out_where_no_type_is_large_enough(share):
    rows = held_out_rows(np.repeat([0, 1], [10, 9]), share, seed=0)
    assert rows.shape == (0,) and rows.dtype == np.int64


# The spread of the types.


def test_centers_and_variances_by_hand():
    # Type 0 around (1, 0) by 1 and 2, type 1 around (10, 5) by 3 and 0: (2 + 18) / 4 and 8 / 4.
    features = np.array([[0, 2], [2, -2], [7, 5], [13, 5]], dtype=np.float32)
    centers, variances = type_spread(features, np.array([0, 0, 1, 1]), types=2)
    np.testing.assert_allclose(centers, [[1, 0], [10, 5]])
    np.testing.assert_allclose(variances, [5, 2])


def test_the_variance_is_within_types_and_not_between_them():
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, size=3000)
    features = 100 * labels[:, None] + random.normal(0, [1, 2], size=(3000, 2))
    centers, variances = type_spread(features, labels, types=3)
    np.testing.assert_allclose(centers, np.arange(3)[:, None] * [100, 100], atol=0.3)
    np.testing.assert_allclose(variances, [1, 4], rtol=0.1)


def test_what_never_varies_and_a_type_without_cells_are_divided_by_no_zero():
    centers, variances = type_spread(np.ones((4, 2)), np.array([0, 0, 2, 2]), types=3)
    np.testing.assert_allclose(centers[[0, 2]], np.ones((2, 2)))
    assert (variances > 0).all()


def test_nothing_is_near_to_a_type_without_cells():
    """Which a mean of no cells, 0, would lie in the middle of all."""
    random = np.random.default_rng(0)
    features = np.repeat([[-5.0, 0], [5, 0]], 50, axis=0) + random.normal(size=(100, 2))
    readout = Readout(types=3, latent_size=2, feature_size=2)
    readout.build()
    centers, variances = type_spread(features, np.repeat([0, 2], 50), types=3)
    readout.centers.assign(centers)
    readout.variances.assign(variances)
    middle, known = readout._distance(tf.constant([[0.0, 0], [5, 0]])).numpy()
    assert middle == pytest.approx(5**2 / 2, rel=0.5) and known < 1


# The threshold.


def test_the_threshold_by_hand():
    # Of 19 cells another one is above the largest in 1 of 20 cases; of fewer more often.
    novelty = np.arange(1, 20) / 20
    assert unknown_threshold(novelty, 0.05) == pytest.approx(0.95)
    assert unknown_threshold(novelty, 0.1) == pytest.approx(0.9)
    assert unknown_threshold(novelty[:4], 0.05) == pytest.approx(0.2)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.3, 1.0])
def test_the_share_is_that_of_held_out_cells_above_the_threshold(share):
    novelty = np.random.default_rng(0).beta(1, 6, size=1000)
    above = np.mean(novelty > unknown_threshold(novelty, share))
    assert above == pytest.approx(share, abs=2e-3)


def test_a_share_of_zero_lets_no_held_out_cell_be_unknown():
    novelty = np.random.default_rng(0).random(50)
    assert unknown_threshold(novelty, 0.0) == pytest.approx(novelty.max(), abs=1e-6)


def test_the_share_holds_for_other_cells_drawn_alike():
    random = np.random.default_rng(1)
    threshold = unknown_threshold(random.beta(1, 6, size=2000), 0.05)
    assert np.mean(random.beta(1, 6, size=20_000) > threshold) == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize(("cells", "share"), [(3, 0.25), (24, 0.05), (24, 0.1), (60, 0.05)])
def test_the_share_holds_for_few_cells_too(cells, share):
    random = np.random.default_rng(0)
    thresholds = [unknown_threshold(random.random(cells), share) for _ in range(4000)]
    # Of uniform numbers, 1 - t are above t.
    assert np.mean(1 - np.array(thresholds)) == pytest.approx(share, abs=0.01)


def test_without_held_out_cells_nothing_is_above_the_threshold():
    assert unknown_threshold(np.empty(0), 0.05) == 1.0
