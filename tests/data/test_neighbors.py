"""Neighbours against brute force, and how many there are."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from preprocessing_twins import settings

from scadv_tf.data import neighbors
from scadv_tf.data.neighbors import neighbors_with_self, number_of_neighbors
from scadv_tf.data.preprocessing import fit


def similarities(vectors: np.ndarray) -> np.ndarray:
    """Cosines in double precision [A, A]."""
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1)[:, None], 1e-12)
    return vectors.astype(float) @ vectors.T.astype(float)


@pytest.mark.parametrize("count", [1, 2, 5, 30])
def test_self_comes_first_and_then_the_nearest_others(count):
    vectors = np.random.default_rng(1).normal(size=(30, 6))
    similarity = similarities(vectors)
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


def test_length_does_not_matter():
    random = np.random.default_rng(0)
    vectors = random.normal(size=(30, 6))
    longer = vectors * random.uniform(0.1, 10, size=(30, 1))
    np.testing.assert_array_equal(neighbors_with_self(longer, 5), neighbors_with_self(vectors, 5))


def test_a_vector_of_zeros_is_at_a_right_angle_to_all():
    """Its cosine counts as 0: farther than an acute angle, nearer than an obtuse one."""
    vectors = np.array([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    found = neighbors_with_self(vectors, 5)
    assert found[1, :2].tolist() == [1, 3] and found[1, 4] == 2
    assert found[2, -2:].tolist() == [3, 1] and found[0, :2].tolist() == [0, 4]


def clusters(cells: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    centers = random.normal(size=(12, 20))
    return centers[random.integers(12, size=cells)] + random.normal(size=(cells, 20))


def test_many_cells_are_found_by_an_index_that_misses_few(monkeypatch):
    vectors = clusters(3000)
    exact = neighbors_with_self(vectors, 20)
    # Of 219 groups, 24 are searched: about the share that is of a million cells' 4,000.
    monkeypatch.setattr(neighbors, "EXACT_CELLS", 2999)
    monkeypatch.setattr(neighbors, "GROUPS_SEARCHED", 24)
    found = neighbors_with_self(vectors, 20)
    assert found.shape == exact.shape and found.dtype == exact.dtype == np.int32
    np.testing.assert_array_equal(found[:, 0], np.arange(3000))
    same = [len(set(ours) & set(theirs)) for ours, theirs in zip(found, exact, strict=True)]
    assert np.mean(same) > 0.9 * 20
    np.testing.assert_array_equal(neighbors_with_self(vectors, 20), found)
    # In blocks as well as at once.
    monkeypatch.setattr(neighbors, "CELLS_AT_ONCE", 1111)
    np.testing.assert_array_equal(neighbors_with_self(vectors, 20), found)


def test_an_index_that_searches_all_groups_misses_none(monkeypatch):
    vectors = clusters(500)
    exact = neighbors_with_self(vectors, 7)
    monkeypatch.setattr(neighbors, "EXACT_CELLS", 0)
    monkeypatch.setattr(neighbors, "GROUPS_SEARCHED", 1000)
    np.testing.assert_array_equal(neighbors_with_self(vectors, 7), exact)


@pytest.mark.parametrize("vectors", [np.ones((300, 3)), np.repeat(np.eye(3), 100, axis=0)])
def test_an_index_finds_enough_where_groups_are_empty(monkeypatch, vectors):
    """Cells with one vector are one group, and others have none."""
    monkeypatch.setattr(neighbors, "EXACT_CELLS", 0)
    monkeypatch.setattr(neighbors, "GROUPS_SEARCHED", 1)
    found = neighbors_with_self(vectors, 120)
    np.testing.assert_array_equal(found[:, 0], np.arange(300))
    assert all(len(set(row)) == 120 and min(row) >= 0 for row in found.tolist())


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
        assert found.preprocessor.reference.lists.shape == (70, expected)
        assert found.neighbors.rows.shape == (70, expected - 1)
        # So few are averaged once.
        assert found.preprocessor.averages == (2 if given is data else 1)
