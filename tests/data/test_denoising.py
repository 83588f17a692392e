"""By what features cells are found to be neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from preprocessing_twins import settings, without_peaks

from scadv_tf.data.neighbors import SemanticIndex, neighbors_with_self, unit_rows
from scadv_tf.data.normalization import log_normalize
from scadv_tf.data.preprocessing import fit


@pytest.mark.parametrize("kind", ["peaks", "genes"])
def test_features_are_unit_vectors_of_index_and_joint_components(tissue, kind):
    neighborhood = fit(tissue, settings()).preprocessor.neighborhood
    peaks = tissue.peaks if kind == "peaks" else None
    found = neighborhood.features_of(log_normalize(tissue.atac), peaks)
    assert found.shape == (70, 6 + 8)
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


def test_features_of_genes_are_the_same_with_peaks_and_without(tissue):
    """So that a new cell without peaks finds its neighbours as if the training had had none."""
    other = fit(without_peaks(tissue), settings()).preprocessor.neighborhood
    both = fit(tissue, settings()).preprocessor.neighborhood
    assert set(both.features) == {"genes", "peaks"} and set(other.features) == {"genes"}
    np.testing.assert_allclose(other.features["genes"], both.features["genes"], atol=1e-5)
    assert np.abs(both.features["peaks"] - both.features["genes"]).max() > 0.1


def test_peaks_are_ignored_where_the_training_had_none(tissue, new_tissue):
    neighborhood = fit(without_peaks(tissue), settings()).preprocessor.neighborhood
    logged = log_normalize(new_tissue.atac)
    np.testing.assert_array_equal(
        neighborhood.features_of(logged, new_tissue.peaks), neighborhood.features_of(logged, None)
    )


@pytest.mark.parametrize("hops", [0, 1, 3])
def test_there_is_a_level_for_each_average(tissue, hops):
    neighborhood = fit(tissue, settings(smoothing_hops=hops)).preprocessor.neighborhood
    assert len(neighborhood.levels) == hops
