"""By what features cells are found to be neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from preprocessing_twins import settings, without_peaks

from scadv_tf.data.lsi import LatentSemanticIndex
from scadv_tf.data.neighbor_space import NeighborSpace
from scadv_tf.data.neighbors import neighbors_with_self
from scadv_tf.data.normalization import log_normalize, unit_rows
from scadv_tf.data.preprocessing import fit


@pytest.fixture(scope="module")
def spaces(tissue):
    """The space of cells with peaks, and that of the same cells without."""

    def of(data) -> NeighborSpace:
        genes = log_normalize(data.rna), log_normalize(data.atac)
        return NeighborSpace.fit(*genes, data.peaks, settings())

    return of(tissue), of(without_peaks(tissue))


@pytest.mark.parametrize("kind", ["peaks", "genes"])
def test_vectors_are_unit_vectors_of_index_and_joint_components(tissue, spaces, kind):
    peaks = tissue.peaks if kind == "peaks" else None
    found = spaces[0].vectors(log_normalize(tissue.atac), peaks)
    assert found.shape == (70, 6 + 8) and found.dtype == np.float32
    counts = tissue.atac if peaks is None else peaks
    index = LatentSemanticIndex.fit(counts, 6).transform(counts)
    np.testing.assert_allclose(found[:, :6], unit_rows(index), atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(found[:-1, 6:], axis=1), 1, rtol=1e-5)


def test_vectors_of_genes_are_the_same_with_peaks_and_without(tissue, spaces):
    """So that a new cell without peaks finds its neighbours as if the training had had none."""
    logged = log_normalize(tissue.atac)
    by_genes, others = (space.vectors(logged, None) for space in spaces)
    assert set(spaces[0].indices) == {"genes", "peaks"} and set(spaces[1].indices) == {"genes"}
    np.testing.assert_allclose(by_genes, others, atol=1e-5)
    assert np.abs(spaces[0].vectors(logged, tissue.peaks) - by_genes).max() > 0.1


def test_peaks_are_ignored_where_the_training_had_none(new_tissue, spaces):
    logged = log_normalize(new_tissue.atac)
    found = spaces[1].vectors(logged, new_tissue.peaks)
    np.testing.assert_array_equal(found, spaces[1].vectors(logged, None))


def test_cells_are_neighbours_by_their_peaks_if_they_have_some(tissue):
    for data, kind in ((tissue, "peaks"), (without_peaks(tissue), "genes")):
        reference = fit(data, settings()).preprocessor.reference
        np.testing.assert_array_equal(
            reference.lists, neighbors_with_self(reference.vectors[kind], 5)
        )
