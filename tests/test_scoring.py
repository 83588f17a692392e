"""Scores of systems that have no probabilities, no latent space, or no known labels."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from scadv_tf.data.pairing import AtacTruth
from scadv_tf.scoring import epoch_macro_f1, learning_curve_hook, score

TYPES = ("b1", "b2", "t")
TRUTH = AtacTruth(np.array(["b", "b", "t", ""]), {"b1": "b", "b2": "b", "t": "t"})
DATA = SimpleNamespace(
    types=TYPES,
    rna_labels=np.array([0, 1, 2, 2]),
    rna_cells=np.array(["r1", "r2", "r3", "r4"]),
    atac_cells=np.array(["a1", "a2", "a3", "a4"]),
)
ROUTES = {
    "label_transfer": np.array(["b1", "t", "t", "t"]),
    "lsi": np.array(["b2", "b1", "t", "b1"]),
}
PROBABILITIES = np.array([[0.6, 0.2, 0.2], [0.3, 0.2, 0.5], [0.1, 0.1, 0.8], [0.2, 0.2, 0.6]])
SPACE = np.array([[0, 0], [0, 1], [9, 9], [9, 8], [1, 0], [1, 1], [8, 9], [8, 8]], dtype=float)


def scores(probabilities=PROBABILITIES, latent=SPACE, umap=SPACE, truth=TRUTH) -> dict:
    return score(ROUTES, probabilities, latent, umap, DATA, truth, seed=0)


def test_every_route_is_scored_at_the_level_of_the_known_labels():
    found = scores()
    assert found["label_transfer"]["accuracy"] == pytest.approx(2 / 3)
    assert found["lsi"]["accuracy"] == 1.0  # b1 and b2 are both b; the fourth cell has no label


def test_calibration_adds_up_what_shares_a_coarse_name():
    # Confidences 0.6 + 0.2 (right), 0.5 (wrong), 0.8 (right), in two bins of the fifteen:
    # |(1 - 0.8) + (1 - 0.8)| and |0 - 0.5|, over three cells.
    assert scores()["calibration_error"] == pytest.approx((0.2 + 0.2 + 0.5) / 3)


def test_what_needs_probabilities_is_none_without_them():
    found, full = scores(probabilities=None), scores()
    assert found.pop("calibration_error") is None
    full.pop("calibration_error")
    assert found == full and None not in found.values()


def test_what_needs_a_latent_space_is_none_without_it():
    found = scores(latent=None, umap=None)
    missing = {name for name, value in found.items() if value is None}
    assert missing == {
        "silhouette_umap",
        "silhouette_latent",
        "silhouette_modality",
        "modality_mixing",
    }
    assert found["label_transfer"] == scores()["label_transfer"]


def test_without_known_labels_only_the_modalities_are_scored():
    found = scores(truth=None)
    known = {name for name, value in found.items() if value is not None}
    assert known == {"silhouette_modality", "modality_mixing"}
    assert found["modality_mixing"] == scores()["modality_mixing"]


def test_the_learning_curve_is_the_macro_f1_of_the_likeliest_types():
    logs = {}
    learning_curve_hook(TYPES, TRUTH)(0, PROBABILITIES, logs)
    # b: precision 1, recall 1/2; t: precision 1/2, recall 1.
    assert logs == {"macro_f1": pytest.approx(2 / 3)}
    assert epoch_macro_f1(np.array([0, 2, 2, 2]), TYPES, TRUTH) == logs["macro_f1"]


def test_probabilities_of_a_coarse_type_may_add_up_to_more_than_one_by_rounding():
    certain = np.array([[1.0, 3e-7, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    assert scores(probabilities=certain)["calibration_error"] == pytest.approx(1 / 3, abs=1e-6)
