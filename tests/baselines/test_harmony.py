"""Harmony on the joint PCA, by the real package where it is installed."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from scadv_tf.baselines import harmony
from scadv_tf.baselines.transfer import cells_on_components
from scadv_tf.errors import InputError
from scadv_tf.evaluation.metrics import modality_mixing

needs_harmonypy = pytest.mark.skipif(
    importlib.util.find_spec("harmonypy") is None, reason="harmonypy is not installed"
)


@pytest.fixture(scope="module")
def result(tissue):
    return harmony.harmony(tissue.cells, tissue.rna_types, seed=0)


@needs_harmonypy
def test_correction_mixes_the_modalities_and_keeps_the_cells_in_order(result, tissue):
    before = cells_on_components(tissue.cells)
    assert result.latent.shape == before.shape
    assert result.latent.dtype == np.float32
    mixing = [modality_mixing(latent, tissue.modality)[0] for latent in (before, result.latent)]
    assert mixing[1] > mixing[0] + 0.05
    same_cell = [np.corrcoef(before[:, i], result.latent[:, i])[0, 1] for i in range(20)]
    assert np.median(same_cell) > 0.8


@needs_harmonypy
def test_the_headline_is_the_svm(result, tissue):
    assert set(result.routes) == {"label_transfer", "svm", "knn"}
    assert result.probabilities is None
    np.testing.assert_array_equal(result.routes["label_transfer"], result.routes["svm"])
    most_common = max(np.mean(tissue.truth == name) for name in tissue.data.types)
    for predicted in result.routes.values():
        assert np.mean(predicted == tissue.truth) > most_common + 0.2


@needs_harmonypy
def test_a_seed_repeats_itself(result, tissue):
    again = harmony.harmony(tissue.cells, tissue.rna_types, seed=0)
    assert harmony.SEEDED
    np.testing.assert_array_equal(again.latent, result.latent)


@needs_harmonypy
def test_the_order_of_rna_cells_does_not_matter(result, tissue):
    order = np.random.default_rng(0).permutation(150)
    features = tissue.cells.features | {"rna": tissue.cells.features["rna"][order]}
    shuffled = replace(tissue.cells, features=features)
    other = harmony.harmony(shuffled, tissue.rna_types[order], seed=0)
    same = other.routes["label_transfer"] == result.routes["label_transfer"]
    assert np.mean(same) > 0.9


@pytest.mark.parametrize("shape", [(30, 4), (6, 6)])
@pytest.mark.parametrize("cells_first", [True, False])
def test_both_orientations_of_the_result_are_understood(shape, cells_first, monkeypatch):
    components = np.random.default_rng(0).normal(size=shape).astype(np.float32)

    def run_harmony(data, meta_data, vars_use, **settings):
        assert data.shape == shape[::-1]
        assert list(meta_data[vars_use[0]]) == list(modality)
        assert settings["random_state"] == 7
        original = data.T if cells_first else data
        return SimpleNamespace(Z_orig=original, Z_corr=original + 1)

    modality = np.repeat(["rna", "atac"], shape[0] // 2)
    monkeypatch.setitem(sys.modules, "harmonypy", SimpleNamespace(run_harmony=run_harmony))
    corrected = harmony.correct(components, modality, seed=7)
    np.testing.assert_allclose(corrected, components + 1, rtol=1e-6)


def test_missing_harmonypy_is_told_with_what_to_do(tissue, monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(InputError, match=r"pip install 'scadv_tf\[harmony\]'"):
        harmony.harmony(tissue.cells, tissue.rna_types, seed=0)
    assert harmony.installed_version() is None
