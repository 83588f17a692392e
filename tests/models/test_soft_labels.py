"""Soft labels by hand: neighbour means, the pull to the expected shares, sharpening."""

from __future__ import annotations

import numpy as np
import pytest

from scadv_tf.data.neighbor_lists import NeighborLists, neighbor_mean
from scadv_tf.models.soft_labels import final_probabilities, soft_labels

PROBABILITIES = np.array([[0.8, 0.2], [0.4, 0.6]], dtype=np.float32)
EVEN = np.array([0.5, 0.5])


def weights_of(*rows):
    """Lists in which each cell has all others as neighbours, with the weights [A, A] given."""
    weights, cells = np.array(rows, dtype=np.float32), np.arange(len(rows))
    others = np.array([np.delete(cells, cell) for cell in cells], dtype=np.int32)
    return NeighborLists(others, np.take_along_axis(weights, others, axis=1))


def test_neighbor_mean_by_hand():
    probabilities = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]], dtype=np.float32)
    weights = weights_of([0.75, 0.25, 0], [0, 0.5, 0.5], [0, 0, 1])
    found = neighbor_mean(probabilities, weights)
    np.testing.assert_allclose(found, [[0.75, 0.25], [0.25, 0.75], [0.5, 0.5]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_neighbor_mean_is_an_array_of_the_same_precision(dtype):
    weights = weights_of([0.5, 0.5], [0.25, 0.75])
    found = neighbor_mean(PROBABILITIES.astype(dtype), weights)
    assert type(found) is np.ndarray and found.dtype == dtype and found.shape == (2, 2)


def test_neighbor_mean_leaves_its_input_alone():
    probabilities = PROBABILITIES.copy()
    neighbor_mean(probabilities, weights_of([0.5, 0.5], [0.5, 0.5]))
    np.testing.assert_array_equal(probabilities, PROBABILITIES)


def test_without_neighbors_a_cell_keeps_its_own_probabilities():
    np.testing.assert_array_equal(neighbor_mean(PROBABILITIES, None), PROBABILITIES)


def test_soft_labels_without_prior_and_sharpening_are_the_probabilities():
    labels = soft_labels(PROBABILITIES, None, EVEN, prior_power=0, sharpening=1)
    np.testing.assert_allclose(labels, PROBABILITIES, rtol=1e-6)


def test_the_prior_by_hand():
    # Predicted shares (0.6, 0.4), wanted (0.5, 0.5): the types are multiplied by 5/6 and 5/4.
    labels = soft_labels(PROBABILITIES, None, EVEN, prior_power=1, sharpening=1)
    np.testing.assert_allclose(labels, [[8 / 11, 3 / 11], [4 / 13, 9 / 13]], rtol=1e-5)


def test_prior_and_sharpening_by_hand():
    labels = soft_labels(PROBABILITIES, None, EVEN, prior_power=1, sharpening=2)
    np.testing.assert_allclose(labels, [[64 / 73, 9 / 73], [16 / 97, 81 / 97]], rtol=1e-5)


def test_half_a_prior_by_hand():
    # Predicted shares (0.8, 0.2) against (0.2, 0.8): factors 1/2 and 2.
    labels = soft_labels(
        np.array([[0.8, 0.2]]), None, np.array([0.2, 0.8]), prior_power=0.5, sharpening=1
    )
    np.testing.assert_allclose(labels, [[0.5, 0.5]], rtol=1e-6)


def test_the_shares_are_those_after_the_neighbors_mean():
    probabilities = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    # Everybody asks cell 0: all cells become (1, 0), so the prior can change nothing but a scale.
    weights = weights_of([1, 0, 0], [1, 0, 0], [1, 0, 0])
    labels = soft_labels(probabilities, weights, EVEN, prior_power=1, sharpening=1)
    np.testing.assert_allclose(labels, [[1, 0]] * 3, atol=1e-6)


def test_soft_labels_of_weighted_neighbors_by_hand():
    probabilities = np.array([[1.0, 0.0], [0.0, 1.0]])
    # Means (3/4, 1/4) and (1/2, 1/2); shares (5/8, 3/8) to be even: factors 4/5 and 4/3.
    weights = weights_of([0.75, 0.25], [0.5, 0.5])
    labels = soft_labels(probabilities, weights, EVEN, prior_power=1, sharpening=1)
    np.testing.assert_allclose(labels, [[9 / 14, 5 / 14], [3 / 8, 5 / 8]], rtol=1e-6)


@pytest.mark.parametrize("prior_power", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("sharpening", [1.0, 2.0, 20.0])
def test_rows_are_probabilities_for_any_settings(prior_power, sharpening):
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.full(6, 0.1), size=40).astype(np.float32)
    probabilities[0] = np.eye(6)[2]  # a cell without a doubt
    shares = np.array([0.5, 0.3, 0.2, 0.0, 0.0, 0.0])
    weights = weights_of(*random.dirichlet(np.full(40, 0.1), size=40))
    labels = soft_labels(probabilities, weights, shares, prior_power, sharpening)
    assert labels.dtype == np.float32
    assert (labels >= 0).all()
    np.testing.assert_allclose(labels.sum(axis=1), 1, rtol=1e-5)


def test_sharpening_keeps_the_best_type_and_adds_to_it():
    random = np.random.default_rng(1)
    probabilities = random.dirichlet(np.ones(5), size=30)
    soft, sharp = (soft_labels(probabilities, None, np.full(5, 0.2), 0.0, s) for s in (1.0, 3.0))
    np.testing.assert_array_equal(soft.argmax(axis=1), sharp.argmax(axis=1))
    assert (sharp.max(axis=1) > soft.max(axis=1)).all()


@pytest.mark.parametrize("power, pulled", [(0.0, 0.6), (0.5, None), (1.0, 0.2)])
def test_soft_labels_are_pulled_to_the_given_shares(power, pulled):
    """Of cells that are all alike, in full: the labels have the very shares that are expected."""
    alike = np.tile([0.6, 0.3, 0.1], (5, 1))
    labels = soft_labels(alike, None, np.array([0.2, 0.3, 0.5]), power, sharpening=1)
    found = labels.mean(axis=0)
    if pulled is None:  # sqrt(0.6 * 0.2), sqrt(0.3 * 0.3), sqrt(0.1 * 0.5), made to sum to 1
        means = np.sqrt([0.12, 0.09, 0.05])
        np.testing.assert_allclose(found, means / means.sum(), rtol=1e-5)
    else:
        assert found[0] == pytest.approx(pulled, rel=1e-5)
        np.testing.assert_allclose(labels, np.tile(found, (5, 1)), rtol=1e-6)


def test_a_type_that_is_not_expected_is_never_a_soft_label():
    labels = soft_labels(PROBABILITIES, None, np.array([1.0, 0.0]), prior_power=0.5, sharpening=2)
    np.testing.assert_allclose(labels, [[1, 0], [1, 0]], atol=1e-6)


def test_final_probabilities_by_hand():
    probabilities = np.array([[1.0, 0.0], [0.0, 1.0]])
    weights = weights_of([0.25, 0.75], [0, 1])
    # Neighbour means (1/4, 3/4) and (0, 1); a quarter of the answer is theirs.
    final = final_probabilities(probabilities, weights, vote=0.25)
    np.testing.assert_allclose(final, [[13 / 16, 3 / 16], [0.0, 1.0]])


@pytest.mark.parametrize("weights", [None, weights_of([1, 0], [0, 1])], ids=["none", "self"])
def test_a_vote_of_nobody_else_changes_nothing(weights):
    final = final_probabilities(PROBABILITIES, weights, vote=0.5)
    np.testing.assert_allclose(final, PROBABILITIES)
