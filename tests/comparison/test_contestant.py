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
    taken = run_system(system, given, config)
    for labels in taken.transfer.routes.values():
        np.testing.assert_array_equal(labels == "unknown", ~kept)
    np.testing.assert_allclose(taken.transfer.probabilities[~kept], 1 / len(data.types))
    assert len(taken.transfer.latent) == len(data.rna_cells) + len(kept)
    if taken.epoch_codes is not None:
        assert taken.epoch_codes.shape == (1, len(kept))
