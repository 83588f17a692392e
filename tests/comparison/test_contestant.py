"""What a system of a comparison is given, and what is made of its answer."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import sparse

from scadv_tf.comparison.contestant import given_to, run_system
from scadv_tf.comparison.systems import settings_of
from scadv_tf.config import RunConfig
from scadv_tf.data import preprocessing

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("system", ["linear", "ce"])
def test_cells_without_data_are_unknown_to_every_system(cells, system):
    data = cells[0]
    kept = np.arange(data.atac.shape[0]) % 5 > 0
    atac, peaks = (
        sparse.csr_matrix(sparse.diags(np.float32(kept)) @ m) for m in (data.atac, data.peaks)
    )
    empty = dataclasses.replace(data, atac=atac, peaks=peaks)
    config = settings_of(system, RunConfig.of(epochs=1, encoder_sizes=(16, 8)))
    given = given_to(system, empty, preprocessing.fit(empty, config.preprocessing))
    assert (given.cells.with_data["atac"] == kept).all()
    found = run_system(system, given, config)
    for labels in found.routes.values():
        np.testing.assert_array_equal(labels == "unknown", ~kept)
    np.testing.assert_allclose(found.probabilities[~kept], 1 / len(data.types))
    assert len(found.latent) == len(data.rna_cells) + len(kept)
    if found.epoch_codes is not None:
        assert found.epoch_codes.shape == (1, len(kept))


@pytest.mark.parametrize("system", ["linear", "logistic", "guess", "ce"])
def test_probabilities_are_of_all_types_of_those_without_data_too(cells, system):
    """All RNA cells of one type are empty: no system learns it, and all have its column."""
    data = cells[0]
    lost = data.types[1]
    kept = data.known_rna_types() != lost
    rna = sparse.csr_matrix(sparse.diags(np.float32(kept)) @ data.rna)
    less = dataclasses.replace(data, rna=rna)
    config = settings_of(system, RunConfig.of(epochs=1, encoder_sizes=(16, 8)))
    given = given_to(system, less, preprocessing.fit(less, config.preprocessing))
    found = run_system(system, given, config)
    assert found.probabilities.shape == (len(data.atac_cells), len(data.types))
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, rtol=1e-5)
    labels = np.array(data.types)[found.probabilities.argmax(axis=1)]
    np.testing.assert_array_equal(labels, found.routes["label_transfer"])
    if system != "ce":  # a network has a logit of each
        assert (found.probabilities[:, 1] == 0).all()
