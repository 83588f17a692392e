"""Neighbours against brute force, the index and the weights against their formulas."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from preprocessing_twins import averaging, settings
from scipy import sparse

from scadv_tf.data import neighbors
from scadv_tf.data.neighbors import (
    Search,
    SemanticIndex,
    averaging_weights,
    leading_directions,
    membership,
    nearest,
    neighbors_with_self,
    number_of_neighbors,
    row_shares,
    shared_neighbor_weights,
    unit_rows,
    weights_of_new,
)
from scadv_tf.data.preprocessing import fit


def grouped_peaks(cells: int = 60, peaks: int = 40, groups: int = 5, seed: int = 0) -> np.ndarray:
    """Counts [A, P]; each group of cells has peaks of its own, so that leading axes are clear."""
    random = np.random.default_rng(seed)
    rates = np.full((cells, peaks), 0.15)
    rates[np.arange(cells)[:, None] % groups == np.arange(peaks) % groups] = 2.0
    return random.poisson(rates * random.uniform(0.5, 1.5, size=(cells, 1)))


def weighted(peaks: np.ndarray, training: np.ndarray) -> np.ndarray:
    """The formula of `SemanticIndex`, dense and in double precision."""
    binary = (peaks > 0).astype(float)
    frequency = (training > 0).sum(axis=0)
    inverse = np.zeros(len(frequency))
    common = frequency >= 5
    inverse[common] = np.log(1 + len(training) / frequency[common])
    depth = np.maximum(binary.sum(axis=1, keepdims=True), 1)
    return np.log(1 + 1e4 * binary / depth) * inverse


def brute_force(queries: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Cosine similarities in double precision [queries, reference]."""
    queries, reference = (x / np.linalg.norm(x, axis=1)[:, None] for x in (queries, reference))
    return queries.astype(float) @ reference.T.astype(float)


def test_unit_rows_by_hand():
    found = unit_rows(np.array([[3.0, 4.0], [0.0, 0.0], [-2.0, 0.0]]))
    np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0], [-1, 0]], rtol=1e-6)
    assert found.dtype == np.float32


def test_membership_by_hand():
    found = membership(np.array([[0, 2], [3, 1], [2, 1]]), 4)
    np.testing.assert_array_equal(found.toarray(), [[1, 0, 1, 0], [0, 1, 0, 1], [0, 1, 1, 0]])


def test_row_shares_by_hand():
    weights = sparse.csr_matrix(np.array([[1, 0, 3], [0, 0.5, 0]]))
    found = row_shares(weights)
    np.testing.assert_array_equal(found.toarray(), [[0.25, 0, 0.75], [0, 1, 0]])
    assert found.dtype == np.float32 and weights.max() == 3


# Two chains of three, and a cell that has one neighbour in each and is nobody's neighbour.
LISTS = np.array([[0, 1, 2], [1, 0, 2], [2, 1, 3], [3, 2, 4], [4, 3, 2], [5, 0, 4]])
SHARED = [
    [1, 1, 1 / 2, 0, 0, 0],  # 0 and 1 list the same three cells, 0 and 2 share two of four
    [1, 1, 1 / 2, 0, 0, 0],
    [0, 1 / 2, 1, 1 / 2, 0, 0],
    [0, 0, 1 / 2, 1, 1, 0],
    [0, 0, 1 / 2, 1, 1, 0],
    [1 / 5, 0, 0, 0, 1 / 5, 1],  # 5 and 0 share one of five
]


def test_shared_neighbours_by_hand():
    found = shared_neighbor_weights(LISTS, LISTS)
    np.testing.assert_allclose(found.toarray(), SHARED, rtol=1e-6)
    # 0 is no neighbour of 4: that 2 is a neighbour of both does not make it one.
    assert found.nnz == 18


def test_shared_neighbours_of_new_cells_by_hand():
    """A new cell is in its own list, and in no other."""
    found = shared_neighbor_weights(np.array([[1, 2], [4, 2], [5, 2]]), LISTS)
    expected = [
        [0, 1 / 2, 1 / 2, 0, 0, 0],  # {new, 1, 2} and {0, 1, 2} share two of four
        [0, 0, 1 / 5, 0, 1 / 2, 0],
        [0, 0, 1 / 5, 0, 0, 1 / 5],
    ]
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-6)
    assert found.nnz == 6


def test_weights_of_new_cells_by_hand():
    # Jaccard indices as above; the new cell itself has 1.
    found = weights_of_new(np.array([[1, 2], [4, 2], [5, 2]]), LISTS)
    expected = [[1 / 4, 1 / 4], [(1 / 2) / 1.7, (1 / 5) / 1.7], [1 / 7, 1 / 7]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.dtype == np.float32


@pytest.mark.parametrize("at_once", [4, 256])
def test_weights_of_new_cells_are_shares_of_common_neighbours(monkeypatch, at_once):
    monkeypatch.setattr(neighbors, "FLAGS_AT_ONCE", at_once)
    random = np.random.default_rng(0)
    training, new = random.normal(size=(40, 3)), random.normal(size=(30, 3))
    lists, near = neighbors_with_self(training, 6), nearest(new, training, 5)
    shared = shared_neighbor_weights(near, lists)
    found = weights_of_new(near, lists)
    for row in range(30):
        jaccards = shared[[row]].toarray().ravel()[near[row]].astype(float)
        np.testing.assert_allclose(found[row], jaccards / (1 + jaccards.sum()), rtol=1e-5)
    assert found.sum(axis=1).max() < 1 and found.min() > 0


def test_averaging_weights_by_hand():
    found = averaging_weights(LISTS)
    expected = [
        [2 / 5, 2 / 5, 1 / 5, 0, 0, 0],
        [2 / 5, 2 / 5, 1 / 5, 0, 0, 0],
        [0, 1 / 4, 1 / 2, 1 / 4, 0, 0],
        [0, 0, 1 / 5, 2 / 5, 2 / 5, 0],
        [0, 0, 1 / 5, 2 / 5, 2 / 5, 0],
        [1 / 7, 0, 0, 0, 1 / 7, 5 / 7],
    ]
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-6)


def lists_of(cells: int, count: int, seed: int) -> np.ndarray:
    """Neighbours of vectors in three dimensions, where lists overlap by much and by little."""
    vectors = np.random.default_rng(seed).normal(size=(cells, 3))
    return neighbors_with_self(vectors, count)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("count", [1, 2, 6, 25, 40])
def test_weights_are_shares_of_common_neighbours(count, seed):
    lists = lists_of(40, count, seed)
    weights = averaging_weights(lists)
    dense = weights.toarray()
    np.testing.assert_allclose(dense, averaging(lists), rtol=1e-5)
    np.testing.assert_allclose(dense.sum(axis=1), 1, rtol=1e-6)
    assert weights.dtype == np.float32 and (weights.data > 0).all()
    # As many a row as there are neighbours, and these are the neighbours.
    columns = np.sort(weights.indices.reshape(40, count))
    np.testing.assert_array_equal(columns, np.sort(lists))
    # No cell is more like a cell than itself.
    np.testing.assert_array_equal(dense.diagonal(), dense.max(axis=1))


def test_cells_that_all_list_each_other_weigh_the_same():
    np.testing.assert_allclose(
        averaging_weights(lists_of(7, 7, 0)).toarray(), np.full((7, 7), 1 / 7)
    )


@pytest.mark.parametrize("seed", range(3))
def test_another_order_of_the_cells_is_another_order_of_the_weights(seed):
    random = np.random.default_rng(seed)
    vectors, order = random.normal(size=(40, 3)), random.permutation(40)
    weights = averaging_weights(neighbors_with_self(vectors, 6)).toarray()
    found = averaging_weights(neighbors_with_self(vectors[order], 6)).toarray()
    np.testing.assert_allclose(found, weights[order][:, order], rtol=1e-6)


def test_the_order_within_the_lists_does_not_matter():
    lists = lists_of(40, 6, 0)
    shuffled = np.random.default_rng(0).permuted(lists, axis=1)
    first, second = averaging_weights(lists), averaging_weights(shuffled)
    for part in ("indices", "indptr"):
        np.testing.assert_array_equal(getattr(first, part), getattr(second, part))
    np.testing.assert_allclose(first.data, second.data, rtol=1e-6)


def test_a_bridge_between_two_groups_weighs_less_than_in_a_plain_mean():
    """Five cells, a bridge a little nearer to them, five others: six neighbours each."""
    angles = np.radians([0, 1, 2, 3, 4, 44, 87, 88, 89, 90, 91])
    lists = neighbors_with_self(np.column_stack([np.cos(angles), np.sin(angles)]), 6)
    first, bridge, second = slice(0, 5), 5, slice(6, 11)
    weights, plain = averaging_weights(lists), membership(lists, 11) / 6
    found = weights.toarray()
    assert sorted(lists[bridge]) == [1, 2, 3, 4, 5, 6]
    # The bridge and a cell of the first group share the bridge and four of that group, or five
    # of 7 cells; with a cell of the second it shares itself and one cell, or two of 10.
    np.testing.assert_allclose(found[first, bridge], (5 / 7) / (5 + 5 / 7), rtol=1e-5)
    np.testing.assert_allclose(found[second, bridge], (2 / 10) / (5 + 2 / 10), rtol=1e-5)
    assert (found[first, bridge] < 1 / 6).all() and (found[second, bridge] < 1 / 6 / 4).all()
    # In two averages less of one group comes over the bridge to the other.
    twice, plain_twice = ((w @ w).toarray() for w in (weights, plain))
    assert plain_twice[first, second].sum() > 2 * twice[first, second].sum() > 0
    assert plain_twice[second, first].sum() > 2 * twice[second, first].sum() > 0


@pytest.mark.parametrize("count", [1, 4, 30])
def test_the_search_is_exact(count):
    random = np.random.default_rng(0)
    queries, reference = random.normal(size=(20, 6)), random.normal(size=(30, 6))
    expected = np.argsort(-brute_force(queries, reference), axis=1)[:, :count]
    np.testing.assert_array_equal(nearest(queries, reference, count), expected)


def test_length_does_not_matter_to_the_search():
    random = np.random.default_rng(0)
    queries, reference = random.normal(size=(20, 6)), random.normal(size=(30, 6))
    found = nearest(queries, reference, 5)
    longer = reference * random.uniform(0.1, 10, size=(30, 1))
    np.testing.assert_array_equal(nearest(queries * 100, longer, 5), found)


def test_no_more_neighbours_than_there_are_reference_cells():
    assert sorted(nearest(np.eye(3)[:1], np.eye(3), 10)[0]) == [0, 1, 2]


def test_many_reference_cells_are_searched_exactly_too():
    """More of them, and more queries, than are compared at a time."""
    random = np.random.default_rng(0)
    queries = random.normal(size=(1500, 12)).astype(np.float32)
    reference = random.normal(size=(3000, 12)).astype(np.float32)
    similarity = brute_force(queries, reference)
    search = Search(reference, 20)
    found = search(queries)
    assert found.shape == (1500, 20)
    # To the rounding of single precision: no cell that is left out is nearer.
    chosen = np.take_along_axis(similarity, found, axis=1)
    left_out = similarity.copy()
    np.put_along_axis(left_out, found, -1, axis=1)
    assert (chosen.min(axis=1) > left_out.max(axis=1) - 1e-6).all()
    assert (np.diff(chosen, axis=1) < 1e-6).all()
    np.testing.assert_array_equal(search(queries[7:9]), found[7:9])


def test_a_vector_of_zeros_is_at_a_right_angle_to_all():
    """Its cosine counts as 0: farther than an acute angle, nearer than an obtuse one."""
    reference = np.array([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [1.0, 1.0]])
    found = nearest(np.array([[1.0, 0.1], [-2.0, 0.1]]), reference, 4)
    np.testing.assert_array_equal(found, [[1, 3, 0, 2], [2, 0, 3, 1]])
    assert nearest(np.zeros((1, 2)), reference, 1) == 0  # another without direction


@pytest.mark.parametrize("count", [1, 2, 5, 30])
def test_self_comes_first_and_then_the_nearest_others(count):
    vectors = np.random.default_rng(1).normal(size=(30, 6))
    similarity = brute_force(vectors, vectors)
    np.fill_diagonal(similarity, np.inf)
    expected = np.argsort(-similarity, axis=1)[:, :count]
    np.testing.assert_array_equal(neighbors_with_self(vectors, count), expected)


@pytest.mark.parametrize("count", [1, 2, 4, 12])
@pytest.mark.parametrize(
    "vectors",
    [
        pytest.param(np.ones((12, 3)), id="all alike"),
        pytest.param(np.zeros((12, 3)), id="all zero"),
        pytest.param(np.repeat(np.eye(3), 4, axis=0), id="groups of four"),
        pytest.param(np.vstack([np.zeros((6, 3)), np.eye(3), np.eye(3)]), id="some zero"),
    ],
)
def test_self_comes_first_and_once_among_equal_vectors(vectors, count):
    found = neighbors_with_self(vectors, count)
    assert found.shape == (12, count)
    np.testing.assert_array_equal(found[:, 0], np.arange(12))
    assert all(len(set(row)) == count for row in found.tolist())


def test_equal_vectors_are_neighbours_of_each_other():
    found = neighbors_with_self(np.repeat(np.eye(3), 4, axis=0), 4)
    np.testing.assert_array_equal(found // 4, np.repeat(np.arange(3), 4)[:, None].repeat(4, 1))


def test_few_cells_have_fewer_neighbours():
    assert neighbors_with_self(np.eye(3), 15).shape == (3, 3)
    np.testing.assert_array_equal(neighbors_with_self(np.ones((1, 4)), 15), [[0]])


def test_the_index_is_its_formula():
    peaks = grouped_peaks()
    peaks[:, 0] = 0
    peaks[:4, 0] = 3  # in fewer than 5 cells: of no weight
    size = 4
    index = SemanticIndex.fit(sparse.csr_matrix(peaks), size)
    matrix = weighted(peaks, peaks)
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    assert values[size] > 1.2 * values[size + 1]  # otherwise the axes would not be determined
    assert index.components.shape == (40, size)
    projector = index.components.astype(float) @ index.components.T
    np.testing.assert_allclose(projector, right[1 : size + 1].T @ right[1 : size + 1], atol=1e-5)
    found = index.transform(sparse.csr_matrix(peaks))
    expected = matrix @ right[1 : size + 1].T
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=0.5)
    assert index.inverse_frequency[0] == 0
    np.testing.assert_allclose(
        index.inverse_frequency[1], np.log(1 + 60 / np.count_nonzero(peaks[:, 1])), rtol=1e-6
    )


def test_new_cells_are_weighted_by_the_training_cells_frequencies():
    training, new = grouped_peaks(), grouped_peaks(cells=7, seed=1)
    index = SemanticIndex.fit(sparse.csr_matrix(training), 4)
    expected = weighted(new, training) @ index.components
    found = index.transform(sparse.csr_matrix(new))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(index.transform(sparse.csr_matrix(new[:1])), found[:1], rtol=1e-5)


def test_only_whether_a_feature_is_open_counts():
    peaks = sparse.csr_matrix(grouped_peaks(), dtype=np.float32)
    index = SemanticIndex.fit(peaks, 4)
    more = peaks.copy()
    more.data *= 3
    np.testing.assert_array_equal(index.transform(more), index.transform(peaks))
    assert peaks.data.max() > 1  # and the caller's counts are left alone


def test_cells_without_peaks_are_zero_vectors():
    peaks = sparse.csr_matrix(grouped_peaks())
    index = SemanticIndex.fit(peaks, 4)
    with np.errstate(all="raise"):
        found = index.transform(sparse.csr_matrix((2, 40)))
    np.testing.assert_array_equal(found, np.zeros((2, 4)))


@pytest.mark.parametrize("cells, peaks", [(2, 30), (3, 30), (30, 2), (30, 3), (1, 30), (30, 1)])
def test_small_matrices_have_fewer_dimensions(cells, peaks):
    counts = sparse.csr_matrix(np.random.default_rng(0).poisson(2.0, size=(cells, peaks)))
    index = SemanticIndex.fit(counts, 15)
    found = index.transform(counts)
    assert found.shape == (cells, max(0, min(cells, peaks) - 2))
    assert np.isfinite(found).all()


def test_the_leading_directions_are_exact_and_the_same_each_time():
    """Not those of a randomised method, whose error would differ from seed to seed."""
    matrix = sparse.random(80, 60, 0.3, format="csr", random_state=0)  # no gap in its spectrum
    np.random.seed(1)
    first = leading_directions(matrix, 6)
    np.random.seed(2)
    np.testing.assert_array_equal(leading_directions(matrix, 6), first)
    left, values, right = np.linalg.svd(matrix.toarray(), full_matrices=False)
    np.testing.assert_allclose(np.abs((first * right[:6]).sum(axis=1)), 1, rtol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(matrix @ first.T, axis=0), values[:6], rtol=1e-9)


def test_a_matrix_of_zeros_has_no_direction():
    found = leading_directions(sparse.csr_matrix((30, 20)), 3)
    np.testing.assert_array_equal(found, np.zeros((3, 20)))


# How many.


@pytest.mark.parametrize(
    ("cells", "types", "expected"),
    [
        (500, 5, 24),
        (1000, 10, 12),
        (1050, 9, 16),  # 15.6
        (70, 5, 5),  # 3 are too few
        (750, 10, 9),
        (2917, 10, 35),
        (10**6, 10, 35),
        (245, 1, 35),
        (1, 3, 5),
    ],
)
def test_neighbors_by_cells_and_squared_types_by_hand(cells, types, expected):
    found = number_of_neighbors(cells, np.repeat(np.arange(types), 6))
    assert found == expected and isinstance(found, int)


def test_types_of_unequal_shares_count_less():
    # Entropy of 1/2, 1/4, 1/4 is 1.5 log 2: 2.83 types, squared 8.
    labels = np.array([0, 0, 1, 2])
    assert number_of_neighbors(160, labels) == round(1.2 * 160 / 8) == 24
    assert number_of_neighbors(160, np.repeat([0, 1, 2], 4)) == 21


def test_the_number_of_rna_cells_and_codes_without_cells_do_not_matter():
    labels = np.array([0, 0, 1, 2])
    for same in (np.repeat(labels, 50), labels + 5, 3 * labels, labels[::-1]):
        assert number_of_neighbors(160, same) == 24


def test_without_labels_eight_types_are_reckoned_with():
    for cells in (100, 1050, 2000, 9000):
        expected = number_of_neighbors(cells, np.arange(8))
        assert number_of_neighbors(cells, None) == expected
    assert number_of_neighbors(1000, None) == 19


def test_a_fit_averages_over_that_many(tissue):
    data = dataclasses.replace(tissue, rna_labels=np.zeros_like(tissue.rna_labels))
    for given, labels in ((data, data.rna_labels), (tissue, tissue.rna_labels)):
        expected = number_of_neighbors(70, labels)
        assert expected == (35 if given is data else 6)
        found = fit(given, settings(neighbors=0))
        assert found.preprocessor.neighborhood.neighbors.shape == (70, expected)
        assert found.neighbors.rows.shape == (70, expected - 1)
        # So few are averaged once.
        assert len(found.preprocessor.neighborhood.levels) == (2 if given is data else 1)
