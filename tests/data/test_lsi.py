"""The latent semantic index against its formula, dense and in double precision."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from scadv_tf.data.lsi import LatentSemanticIndex, leading_directions


def grouped_peaks(cells: int = 60, peaks: int = 40, groups: int = 5, seed: int = 0) -> np.ndarray:
    """Counts [A, P]; each group of cells has peaks of its own, so that leading axes are clear."""
    random = np.random.default_rng(seed)
    rates = np.full((cells, peaks), 0.15)
    rates[np.arange(cells)[:, None] % groups == np.arange(peaks) % groups] = 2.0
    return random.poisson(rates * random.uniform(0.5, 1.5, size=(cells, 1)))


def weighted(peaks: np.ndarray, training: np.ndarray) -> np.ndarray:
    """The formula of `LatentSemanticIndex`, dense and in double precision."""
    binary = (peaks > 0).astype(float)
    frequency = (training > 0).sum(axis=0)
    inverse = np.zeros(len(frequency))
    common = frequency >= 5
    inverse[common] = np.log(1 + len(training) / frequency[common])
    depth = np.maximum(binary.sum(axis=1, keepdims=True), 1)
    return np.log(1 + 1e4 * binary / depth) * inverse


def test_the_index_is_its_formula():
    peaks = grouped_peaks()
    peaks[:, 0] = 0
    peaks[:4, 0] = 3  # in fewer than 5 cells: of no weight
    size = 4
    index = LatentSemanticIndex.fit(sparse.csr_matrix(peaks), size)
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
    index = LatentSemanticIndex.fit(sparse.csr_matrix(training), 4)
    expected = weighted(new, training) @ index.components
    found = index.transform(sparse.csr_matrix(new))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(index.transform(sparse.csr_matrix(new[:1])), found[:1], rtol=1e-5)


def test_only_whether_a_feature_is_open_counts():
    peaks = sparse.csr_matrix(grouped_peaks(), dtype=np.float32)
    index = LatentSemanticIndex.fit(peaks, 4)
    more = peaks.copy()
    more.data *= 3
    np.testing.assert_array_equal(index.transform(more), index.transform(peaks))
    assert peaks.data.max() > 1  # and the caller's counts are left alone


def test_cells_without_peaks_are_zero_vectors():
    peaks = sparse.csr_matrix(grouped_peaks())
    index = LatentSemanticIndex.fit(peaks, 4)
    with np.errstate(all="raise"):
        found = index.transform(sparse.csr_matrix((2, 40)))
    np.testing.assert_array_equal(found, np.zeros((2, 4)))


@pytest.mark.parametrize("cells, peaks", [(2, 30), (3, 30), (30, 2), (30, 3), (1, 30), (30, 1)])
def test_small_matrices_have_fewer_dimensions(cells, peaks):
    counts = sparse.csr_matrix(np.random.default_rng(0).poisson(2.0, size=(cells, peaks)))
    index = LatentSemanticIndex.fit(counts, 15)
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
