"""What baselines give back, and the uncorrected space of both modalities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scadv_tf.baselines.transfer import Transfer, cells_on_components, latent_routes
from scadv_tf.errors import InputError


def test_a_transfer_without_a_headline_is_refused():
    with pytest.raises(ValueError, match="label_transfer"):
        Transfer({"svm": np.array(["a"])}, None, None)


def test_joint_components_are_the_standardised_genes_on_the_components(tissue):
    latent = cells_on_components(tissue.cells)
    assert latent.shape == (290, 20)
    assert latent.dtype == np.float32
    components = tissue.cells.preprocessor.components
    for position, modality, row in ((3, "rna", 3), (149, "rna", 149), (150, "atac", 0)):
        expected = tissue.cells.genes(modality)[row] @ components
        np.testing.assert_allclose(latent[position], expected, rtol=1e-4, atol=1e-4)


def test_joint_components_need_components(tissue):
    preprocessor = replace(tissue.cells.preprocessor, components=None)
    with pytest.raises(InputError, match="projection_size"):
        cells_on_components(replace(tissue.cells, preprocessor=preprocessor))


def test_latent_routes_learn_from_the_first_cells_and_label_the_others():
    random = np.random.default_rng(0)
    types = np.array(["a", "b"])[random.integers(0, 2, 90)]
    latent = random.normal(size=(90, 3)) + 5 * np.where(types == "a", 1, -1)[:, None]
    routes = latent_routes(latent, types[:50], seed=0)
    assert set(routes) == {"svm", "knn"}
    for predicted in routes.values():
        assert predicted.shape == (40,)
        assert np.mean(predicted == types[50:]) > 0.9
