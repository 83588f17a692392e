"""Neighbours against brute force."""

from __future__ import annotations

import numpy as np
import pytest

from scadv_tf.data import neighbors
from scadv_tf.data.neighbors import neighbors_with_self


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
