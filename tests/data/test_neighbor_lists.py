"""Lists of neighbours against the matrix of their weights: averages, and partners."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import chisquare

from scadv_tf.data import neighbor_lists
from scadv_tf.data.neighbor_lists import NeighborLists, averages, partners
from scadv_tf.data.neighbors import averaging_weights, neighbors_with_self
from scadv_tf.data.rows import DiskRows


def weights_of(cells: int = 40, count: int = 6, seed: int = 0) -> sparse.csr_matrix:
    """Weights [A, A] of cells in three dimensions."""
    vectors = np.random.default_rng(seed).normal(size=(cells, 3))
    return averaging_weights(neighbors_with_self(vectors, count))


def hand_made() -> NeighborLists:
    """Five cells; the second and the fourth are the reference of all.

    The first has both near it, the second only the fourth, and the last only itself.
    """
    rows = np.array([[0, 1], [1, 0], [1, 0], [0, 1], [0, 1]], dtype=np.int32)
    weights = np.array([[0.5, 0.25], [0.25, 0], [0.75, 0], [0.5, 0], [0, 0]], dtype=np.float32)
    return NeighborLists(np.array([1, 3]), rows, weights)


BY_HAND = [
    [0.25, 0.5, 0, 0.25, 0],
    [0, 0.75, 0, 0.25, 0],
    [0, 0, 0.25, 0.75, 0],
    [0, 0.5, 0, 0.5, 0],
    [0, 0, 0, 0, 1],
]


@pytest.mark.parametrize("count", [1, 2, 6, 40])
def test_lists_and_their_matrix_are_each_others_inverse(count):
    weights = weights_of(count=count)
    lists = NeighborLists.of(weights)
    assert lists.cells == 40 and lists.rows.shape == lists.weights.shape == (40, count - 1)
    assert lists.rows.dtype == np.int32 and lists.weights.dtype == np.float32
    assert not (lists.rows == np.arange(40)[:, None]).any()
    found = lists.matrix()
    assert found.shape == (40, 40) and (found.toarray() > 0).sum() == 40 * count
    np.testing.assert_allclose(found.toarray(), weights.toarray(), rtol=1e-5, atol=1e-7)
    again = NeighborLists.of(found)
    np.testing.assert_allclose(again.matrix().toarray(), weights.toarray(), rtol=1e-5, atol=1e-7)


def test_the_order_within_the_rows_of_the_matrix_does_not_matter():
    sets = np.array([[1, 0, 3], [2, 1, 0], [0, 3, 2], [3, 1, 2]])
    shares = np.array([[1, 6, 3], [5, 3, 2], [2, 2, 6], [7, 2, 1]], dtype=np.float32) / 10
    weights = sparse.csr_matrix((shares.ravel(), sets.ravel(), [0, 3, 6, 9, 12]), shape=(4, 4))
    assert not weights.has_sorted_indices
    lists = NeighborLists.of(weights)
    np.testing.assert_array_equal(lists.rows, [[1, 3], [2, 0], [0, 3], [1, 2]])
    np.testing.assert_allclose(lists.weights, [[0.1, 0.3], [0.5, 0.2], [0.2, 0.2], [0.2, 0.1]])
    np.testing.assert_allclose(lists.matrix().toarray(), weights.toarray(), rtol=1e-6)


def test_fewer_reference_cells_by_hand():
    lists = hand_made()
    np.testing.assert_allclose(lists.matrix().toarray(), BY_HAND)
    values = np.array([[8.0, 0], [4, 1], [12, 2], [16, 4], [-1, -2]])
    # 0: 8 / 4 + 4 / 2 + 16 / 4; 1: 3 + 4; 2: 3 + 12; 3: 2 + 8; the last is alone.
    expected = [[8, 1.5], [7, 1.75], [15, 3.5], [10, 2.5], [-1, -2]]
    np.testing.assert_allclose(lists.mean(values), expected)


@pytest.mark.parametrize("shape", [(40,), (40, 1), (40, 5)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_means_are_products_with_the_matrix(monkeypatch, shape, dtype):
    weights = weights_of()
    values = np.random.default_rng(1).normal(size=shape).astype(dtype)
    before = values.copy()
    expected = weights.toarray().astype(float) @ values
    for at_once in (7, 4096):
        monkeypatch.setattr(neighbor_lists, "CELLS_AT_ONCE", at_once)
        found = NeighborLists.of(weights).mean(values)
        assert found.dtype == dtype and found.shape == shape
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(values, before)


def test_means_with_fewer_reference_cells_are_products_with_the_matrix(monkeypatch):
    monkeypatch.setattr(neighbor_lists, "CELLS_AT_ONCE", 2)
    values = np.random.default_rng(1).normal(size=(5, 3))
    np.testing.assert_allclose(hand_made().mean(values), np.array(BY_HAND) @ values, rtol=1e-12)


def test_lists_on_disk_say_the_same(tmp_path):
    held, stored = NeighborLists.of(weights_of()), {}
    for name, dtype in (("rows", np.int32), ("weights", np.float32)):
        stored[name] = DiskRows(tmp_path / name, 5, dtype)
        stored[name][0:40] = getattr(held, name)
    lists = NeighborLists(held.reference, **stored)
    values = np.random.default_rng(1).normal(size=(40, 3)).astype(np.float32)
    on_disk = DiskRows(tmp_path / "values", 3)
    on_disk[0:40] = values
    assert lists.cells == 40
    np.testing.assert_array_equal(lists.mean(on_disk), held.mean(values))
    assert (lists.matrix() != held.matrix()).nnz == 0


def test_a_cell_without_neighbours_is_its_own_mean_and_partner():
    none, values = np.empty((3, 0), np.int32), np.arange(6.0).reshape(3, 2)
    lists = NeighborLists(np.arange(3), none, none.astype(np.float32))
    np.testing.assert_array_equal(lists.mean(values), values)
    np.testing.assert_array_equal(lists.matrix().toarray(), np.eye(3))
    drawn = partners(none, none.astype(np.float32), np.array([0.0, 0.5, 0.99]))
    np.testing.assert_array_equal(drawn, [-1, -1, -1])


def test_averages_of_some_cells_by_hand():
    reference = np.array([[10.0], [20.0], [40.0]])
    rows, weights = np.array([[2, 0], [1, 2]]), np.array([[0.5, 0.1], [0.25, 0.0]])
    found = averages(np.array([[1.0], [4.0]]), reference, rows, weights)
    np.testing.assert_allclose(found, [[0.4 + 20 + 1], [3 + 5]])
    flat = averages(np.array([1.0, 4.0]), reference[:, 0], rows, weights)
    np.testing.assert_allclose(flat, [21.4, 8])


# Partners.


def test_partners_by_hand():
    lists = hand_made()
    # Of the first cell, numbers below 1/2 draw the cell at 0, below 3/4 that at 1, others itself.
    for uniform, expected in ((0.0, 0), (0.49, 0), (0.5, 1), (0.74, 1), (0.75, -1), (0.99, -1)):
        assert partners(lists.rows[:1], lists.weights[:1], np.array([uniform])) == expected
    least, most = (
        partners(lists.rows, lists.weights, np.full(5, number))
        for number in (0.0, np.nextafter(1, 0))
    )
    np.testing.assert_array_equal(least, [0, 1, 1, 0, -1])
    np.testing.assert_array_equal(most, [-1] * 5)


@pytest.mark.parametrize("seed", range(5))
def test_partners_are_drawn_by_weight(seed):
    """4,000 draws of a cell agree with its weights, and not with equal ones."""
    weights = weights_of(seed=seed)
    lists, random = NeighborLists.of(weights), np.random.default_rng(seed)
    cell = int(weights.max(axis=1).toarray().argmax())  # whose weights differ most
    cells = np.column_stack([np.arange(4000) % 40, np.full(4000, cell)]).ravel()
    drawn = partners(lists.rows[cells], lists.weights[cells], random.random(8000))
    drawn = np.where(drawn < 0, cells, lists.reference[drawn])[1::2]
    times, expected = (
        np.bincount(drawn, minlength=40),
        weights[[cell]].toarray().ravel().astype(float),
    )
    near = expected > 0
    assert times[near].sum() == 4000 and near.sum() == 6
    shares = expected[near] / expected[near].sum()
    assert chisquare(times[near], 4000 * shares).pvalue > 1e-5
    assert chisquare(times[near]).pvalue < 1e-6


def test_partners_of_many_cells_follow_all_their_weights():
    weights = weights_of(seed=7)
    lists, random = NeighborLists.of(weights), np.random.default_rng(7)
    times = np.zeros((40, 40))
    for _ in range(2000):
        drawn = partners(lists.rows, lists.weights, random.random(40))
        times[np.arange(40), np.where(drawn < 0, np.arange(40), lists.reference[drawn])] += 1
    expected = weights.toarray()
    assert not times[expected == 0].any() and times[expected > 0].all()
    # Five standard deviations of a share among 2,000.
    np.testing.assert_allclose(times / 2000, expected, atol=5 * (0.25 / 2000) ** 0.5)
