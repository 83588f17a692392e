"""Neighbours' weights, averages over them and partners, by hand and from Python sets."""

from __future__ import annotations

import numpy as np
import pytest
from preprocessing_twins import averaging
from scipy.stats import chisquare

from scadv_tf.data import neighbor_lists
from scadv_tf.data.neighbor_lists import NeighborLists, partners
from scadv_tf.data.neighbors import neighbors_with_self
from scadv_tf.data.rows import DiskRows


def near_each_other(cells: int = 40, count: int = 6, seed: int = 0) -> np.ndarray:
    """Neighbours [A, k] of vectors in three dimensions, where lists overlap by much and little."""
    return neighbors_with_self(np.random.default_rng(seed).normal(size=(cells, 3)), count)


# Two chains of three, and a cell that has one neighbour in each and is nobody's neighbour.
LISTS = np.array([[0, 1, 2], [1, 0, 2], [2, 1, 3], [3, 2, 4], [4, 3, 2], [5, 0, 4]])


def test_weights_by_hand():
    """0 and 1 list the same three cells, 0 and 2 share two of four, 5 and 0 one of five."""
    expected = [
        [2 / 5, 2 / 5, 1 / 5, 0, 0, 0],
        [2 / 5, 2 / 5, 1 / 5, 0, 0, 0],
        [0, 1 / 4, 1 / 2, 1 / 4, 0, 0],
        [0, 0, 1 / 5, 2 / 5, 2 / 5, 0],
        [0, 0, 1 / 5, 2 / 5, 2 / 5, 0],
        [1 / 7, 0, 0, 0, 1 / 7, 5 / 7],
    ]
    found = NeighborLists.of(LISTS)
    # 0 is no neighbour of 4: that 2 is a neighbour of both does not make it one.
    np.testing.assert_array_equal(found.rows, LISTS[:, 1:])
    np.testing.assert_allclose(found.matrix().toarray(), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("count", [1, 2, 6, 25, 40])
def test_weights_are_shares_of_common_neighbours(monkeypatch, count, seed):
    near = near_each_other(40, count, seed)
    for flags in (1, 7 * 40, 1 << 26):
        monkeypatch.setattr(neighbor_lists, "FLAG_BYTES", flags)
        lists = NeighborLists.of(near)
        assert lists.cells == 40 and lists.rows.shape == lists.weights.shape == (40, count - 1)
        assert lists.rows.dtype == np.int32 and lists.weights.dtype == np.float32
        np.testing.assert_array_equal(lists.rows, near[:, 1:])
        found = lists.matrix().toarray()
        np.testing.assert_allclose(found, averaging(near), rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)
        # No cell is more like a cell than itself.
        assert (found.diagonal() > found.max(axis=1) - 1e-6).all()


def test_cells_that_all_list_each_other_weigh_the_same():
    found = NeighborLists.of(near_each_other(7, 7)).matrix().toarray()
    np.testing.assert_allclose(found, np.full((7, 7), 1 / 7), rtol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_another_order_of_the_cells_is_another_order_of_the_weights(seed):
    random = np.random.default_rng(seed)
    vectors, order = random.normal(size=(40, 3)), random.permutation(40)
    weights, found = (
        NeighborLists.of(neighbors_with_self(v, 6)).matrix().toarray()
        for v in (vectors, vectors[order])
    )
    np.testing.assert_allclose(found, weights[order][:, order], rtol=1e-5, atol=1e-7)


def test_the_order_within_the_lists_does_not_matter():
    near = near_each_other()
    shuffled = np.random.default_rng(0).permuted(near[:, 1:], axis=1)
    first = NeighborLists.of(near).matrix().toarray()
    second = NeighborLists.of(np.hstack([near[:, :1], shuffled])).matrix().toarray()
    np.testing.assert_allclose(first, second, rtol=1e-6)


def test_a_bridge_between_two_groups_weighs_less_than_in_a_plain_mean():
    """Five cells, a bridge a little nearer to them, five others: six neighbours each."""
    angles = np.radians([0, 1, 2, 3, 4, 44, 87, 88, 89, 90, 91])
    near = neighbors_with_self(np.column_stack([np.cos(angles), np.sin(angles)]), 6)
    first, bridge, second = slice(0, 5), 5, slice(6, 11)
    found, plain = NeighborLists.of(near).matrix().toarray(), np.zeros((11, 11))
    np.put_along_axis(plain, near, 1 / 6, axis=1)
    assert sorted(near[bridge]) == [1, 2, 3, 4, 5, 6]
    # The bridge and a cell of the first group share the bridge and four of that group, or five
    # of 7 cells; with a cell of the second it shares itself and one cell, or two of 10.
    np.testing.assert_allclose(found[first, bridge], (5 / 7) / (5 + 5 / 7), rtol=1e-5)
    np.testing.assert_allclose(found[second, bridge], (2 / 10) / (5 + 2 / 10), rtol=1e-5)
    assert (found[first, bridge] < 1 / 6).all() and (found[second, bridge] < 1 / 6 / 4).all()
    # In two averages less of one group comes over the bridge to the other.
    twice, plain_twice = found @ found, plain @ plain
    assert plain_twice[first, second].sum() > 2 * twice[first, second].sum() > 0
    assert plain_twice[second, first].sum() > 2 * twice[second, first].sum() > 0


def hand_made() -> NeighborLists:
    """Five cells: the first has 1 and 3 near it, 1 and 2 only 3, 3 only 1, the last only itself."""
    rows = np.array([[1, 3], [3, 0], [3, 1], [1, 3], [1, 3]], dtype=np.int32)
    weights = np.array([[0.5, 0.25], [0.25, 0], [0.75, 0], [0.5, 0], [0, 0]], dtype=np.float32)
    return NeighborLists(rows, weights)


BY_HAND = [
    [0.25, 0.5, 0, 0.25, 0],
    [0, 0.75, 0, 0.25, 0],
    [0, 0, 0.25, 0.75, 0],
    [0, 0.5, 0, 0.5, 0],
    [0, 0, 0, 0, 1],
]


def test_means_by_hand():
    lists = hand_made()
    np.testing.assert_allclose(lists.matrix().toarray(), BY_HAND)
    values = np.array([[8.0, 0], [4, 1], [12, 2], [16, 4], [-1, -2]])
    # 0: 8 / 4 + 4 / 2 + 16 / 4; 1: 3 + 4; 2: 3 + 12; 3: 2 + 8; the last is alone.
    expected = [[8, 1.5], [7, 1.75], [15, 3.5], [10, 2.5], [-1, -2]]
    np.testing.assert_allclose(lists.mean(values), expected)


@pytest.mark.parametrize("shape", [(40,), (40, 1), (40, 5)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_means_are_products_with_the_matrix(monkeypatch, shape, dtype):
    lists = NeighborLists.of(near_each_other())
    values = np.random.default_rng(1).normal(size=shape).astype(dtype)
    before = values.copy()
    expected = lists.matrix().toarray().astype(float) @ values
    for at_once in (7, 4096):
        monkeypatch.setattr(neighbor_lists, "CELLS_AT_ONCE", at_once)
        found = lists.mean(values)
        assert found.dtype == dtype and found.shape == shape
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(values, before)


def test_lists_on_disk_say_the_same(tmp_path):
    near = near_each_other()
    held = NeighborLists.of(near)
    tables = [DiskRows(tmp_path / d.__name__, 5, d) for d in (np.int32, np.float32)]
    lists = NeighborLists.of(near, *tables)
    values = np.random.default_rng(1).normal(size=(40, 3)).astype(np.float32)
    on_disk = DiskRows(tmp_path / "values", 3)
    on_disk[0:40] = values
    assert lists.cells == 40 and lists.rows is tables[0]
    np.testing.assert_array_equal(lists.mean(on_disk), held.mean(values))
    assert (lists.matrix() != held.matrix()).nnz == 0


def test_a_cell_without_neighbours_is_its_own_mean_and_partner():
    none, values = np.empty((3, 0), np.int32), np.arange(6.0).reshape(3, 2)
    lists = NeighborLists(none, none.astype(np.float32))
    np.testing.assert_array_equal(lists.mean(values), values)
    np.testing.assert_array_equal(lists.matrix().toarray(), np.eye(3))
    drawn = partners(none, none.astype(np.float32), np.array([0.0, 0.5, 0.99]))
    np.testing.assert_array_equal(drawn, [-1, -1, -1])


# Partners.


def test_partners_by_hand():
    lists = hand_made()
    # Of the first cell, numbers below 1/2 draw the cell 1, below 3/4 the cell 3, others itself.
    for uniform, expected in ((0.0, 1), (0.49, 1), (0.5, 3), (0.74, 3), (0.75, -1), (0.99, -1)):
        assert partners(lists.rows[:1], lists.weights[:1], np.array([uniform])) == expected
    least, most = (
        partners(lists.rows, lists.weights, np.full(5, number))
        for number in (0.0, np.nextafter(1, 0))
    )
    np.testing.assert_array_equal(least, [1, 3, 3, 1, -1])
    np.testing.assert_array_equal(most, [-1] * 5)


@pytest.mark.parametrize("seed", range(5))
def test_partners_are_drawn_by_weight(seed):
    """4,000 draws of a cell agree with its weights, and not with equal ones."""
    lists = NeighborLists.of(near_each_other(seed=seed))
    weights, random = lists.matrix().toarray(), np.random.default_rng(seed)
    cell = int(weights.max(axis=1).argmax())  # whose weights differ most
    cells = np.column_stack([np.arange(4000) % 40, np.full(4000, cell)]).ravel()
    drawn = partners(lists.rows[cells], lists.weights[cells], random.random(8000))
    times = np.bincount(np.where(drawn < 0, cells, drawn)[1::2], minlength=40)
    expected = weights[cell].astype(float)
    near = expected > 0
    assert times[near].sum() == 4000 and near.sum() == 6
    shares = expected[near] / expected[near].sum()
    assert chisquare(times[near], 4000 * shares).pvalue > 1e-5
    assert chisquare(times[near]).pvalue < 1e-6


def test_partners_of_many_cells_follow_all_their_weights():
    lists, random = NeighborLists.of(near_each_other(seed=7)), np.random.default_rng(7)
    times, cells = np.zeros((40, 40)), np.arange(40)
    for _ in range(2000):
        drawn = partners(lists.rows, lists.weights, random.random(40))
        times[cells, np.where(drawn < 0, cells, drawn)] += 1
    expected = lists.matrix().toarray()
    assert not times[expected == 0].any() and times[expected > 0].all()
    # Five standard deviations of a share among 2,000.
    np.testing.assert_allclose(times / 2000, expected, atol=5 * (0.25 / 2000) ** 0.5)
