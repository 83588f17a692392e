"""Cells that come after the training: the stated counterpart of what training does to its own."""

from __future__ import annotations

import numpy as np
import pytest
from preprocessing_twins import averaging, logged, new_averaging, scaled, settings, without_peaks
from scipy import sparse

from scadv_tf.data.denoising import Neighborhood
from scadv_tf.data.neighbors import (
    SemanticIndex,
    averaging_weights,
    neighbors_with_self,
    unit_rows,
)
from scadv_tf.data.normalization import dense, log_normalize
from scadv_tf.data.preprocessing import fit


def test_rna_cells_are_transformed_as_in_training(tissue):
    cells = fit(tissue, settings())
    np.testing.assert_array_equal(
        cells.preprocessor.transform(tissue.rna, "rna"), cells.batch("rna", slice(None))
    )
    one = cells.preprocessor.transform(tissue.rna[7], "rna")
    np.testing.assert_array_equal(one, cells.batch("rna", np.array([7])))


def new_cell_twin(cells, counts, features: np.ndarray, reference: np.ndarray, hops: int):
    """The stated behaviour, dense: mean of the cell and its k - 1 nearest training cells, weighted
    by common neighbours, `hops` times, the training cells as they are after as many averages."""
    neighbors = cells.preprocessor.neighborhood.neighbors
    lengths = np.linalg.norm(features, axis=1)[:, None] * np.linalg.norm(reference, axis=1)
    similarity = features @ reference.T / np.maximum(lengths, 1e-12)
    nearest = np.argsort(-similarity, axis=1)[:, : neighbors.shape[1] - 1]
    own, others = new_averaging(nearest, neighbors)
    weights = averaging(neighbors)
    training = logged_training = cells.preprocessor.neighborhood.levels[0].toarray()
    values = logged(counts)
    for _ in range(hops):
        values = own[:, None] * values + others @ training
        training = weights @ training
    denoised = np.linalg.matrix_power(weights, hops) @ logged_training
    return scaled(values, denoised)


@pytest.mark.parametrize("hops", [1, 3])
@pytest.mark.parametrize("kind", ["peaks", "genes"])
def test_new_atac_cells_are_averaged_with_training_cells(tissue, new_tissue, hops, kind):
    """Those without peaks find them by their genes, even where the training cells had peaks."""
    peaks = new_tissue.peaks if kind == "peaks" else None
    cells = fit(tissue, settings(smoothing_hops=hops))
    neighborhood = cells.preprocessor.neighborhood
    features = neighborhood.features_of(log_normalize(new_tissue.atac), peaks)
    assert features.shape == (80, 6 + 8)
    reference = neighborhood.features[kind]
    expected = new_cell_twin(cells, new_tissue.atac, features, reference, hops)
    found = cells.preprocessor.transform(new_tissue.atac, "atac", peaks)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=2e-3)


class PlacedByHand(Neighborhood):
    """A neighbourhood whose new cells have given features."""

    def features_of(self, normalized, peaks):
        return np.array([[0, 0, 0.8, 0, 0.6, 0]])


def test_a_new_cell_by_hand():
    lists = np.array([[0, 1, 2], [1, 0, 2], [2, 1, 3], [3, 2, 4], [4, 3, 2], [5, 0, 4]])
    once, twice = ([[0.0], [0], [10], [0], [20], [0]], [[0.0], [0], [20], [0], [40], [0]])
    neighborhood = PlacedByHand(
        *({}, None, None, None, {"genes": np.eye(6)}, lists, averaging_weights(lists)),
        levels=(sparse.csr_matrix(once), np.array(twice)),
    )
    # Nearest are 2, with 1 of 5 neighbours in common, and 4, with 2 of 4: (5 + 10/5 + 20/2) / 1.7
    # is 10, and (10 + 20/5 + 40/2) / 1.7 is 20.
    found = neighborhood.denoise_new(sparse.csr_matrix([[5.0]]), None)
    np.testing.assert_allclose(dense(found), [[20]], rtol=1e-6)


def test_peaks_decide_the_neighbours_of_new_cells_where_there_are_some(tissue, new_tissue):
    transform = fit(tissue, settings()).preprocessor.transform
    without = transform(new_tissue.atac, "atac")
    assert not np.allclose(without, transform(new_tissue.atac, "atac", new_tissue.peaks))
    # As a training without peaks would have found them, but for the scale of the denoised cells.
    other = fit(without_peaks(tissue), settings()).preprocessor.neighborhood
    both = fit(tissue, settings()).preprocessor.neighborhood
    np.testing.assert_allclose(other.features["genes"], both.features["genes"], atol=1e-5)


def test_peaks_of_new_cells_are_ignored_where_training_had_none(tissue, new_tissue):
    cells = fit(without_peaks(tissue), settings())
    np.testing.assert_array_equal(
        cells.preprocessor.transform(new_tissue.atac, "atac", new_tissue.peaks),
        cells.preprocessor.transform(new_tissue.atac, "atac"),
    )


@pytest.mark.parametrize("kind", ["peaks", "genes"])
def test_features_are_unit_vectors_of_index_and_joint_components(tissue, kind):
    neighborhood = fit(tissue, settings()).preprocessor.neighborhood
    peaks = tissue.peaks if kind == "peaks" else None
    found = neighborhood.features_of(log_normalize(tissue.atac), peaks)
    np.testing.assert_allclose(found, neighborhood.features[kind], atol=1e-5)
    counts = tissue.atac if peaks is None else peaks
    index = SemanticIndex.fit(counts, 6).transform(counts)
    np.testing.assert_allclose(found[:, :6], unit_rows(index), atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(found[:-1, 6:], axis=1), 1, rtol=1e-5)


def test_cells_are_neighbours_by_their_peaks_if_they_have_some(tissue):
    for data, kind in ((tissue, "peaks"), (without_peaks(tissue), "genes")):
        neighborhood = fit(data, settings()).preprocessor.neighborhood
        expected = neighbors_with_self(neighborhood.features[kind], 5)
        np.testing.assert_array_equal(neighborhood.neighbors, expected)


def test_a_training_cell_met_again_is_close_to_what_training_saw(tissue):
    cells = fit(tissue, settings())
    seen = cells.batch("atac", slice(None))[:-1]
    again = cells.preprocessor.transform(tissue.atac, "atac", tissue.peaks)[:-1]
    distance = np.linalg.norm(again[:, None] - seen[None], axis=2)
    own = np.diag(distance)
    assert np.median(own) < 0.5 * np.median(distance)
    # Among the few nearest of all training cells: those are averages over the same cells.
    assert np.mean(np.sum(distance < own[:, None], axis=1) < 5) > 0.9


@pytest.mark.parametrize("keep_peaks", [True, False])
def test_a_single_new_cell_is_the_same_as_among_others(tissue, new_tissue, keep_peaks):
    cells = fit(tissue if keep_peaks else without_peaks(tissue), settings())
    peaks = new_tissue.peaks if keep_peaks else None
    together = cells.preprocessor.transform(new_tissue.atac, "atac", peaks)
    for row in (0, 41):
        own = None if peaks is None else peaks[row]
        alone = cells.preprocessor.transform(new_tissue.atac[row], "atac", own)
        np.testing.assert_allclose(alone, together[[row]], rtol=1e-4, atol=1e-4)
