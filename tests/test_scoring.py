"""Scores of systems that have no probabilities, no latent space, or no known labels."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from scadv_tf.config import RunConfig
from scadv_tf.data.answers import CellAnswers, most_probable
from scadv_tf.data.pairing import AtacTruth
from scadv_tf.scoring import (
    SCORES,
    agreement,
    epoch_macro_f1,
    learning_curve_hook,
    score,
    transfer,
    type_shares,
)

TYPES = ("b1", "b2", "t")
TRUTH = AtacTruth(np.array(["b", "b", "t", ""]), {"b1": "b", "b2": "b", "t": "t"})
DATA = SimpleNamespace(
    types=TYPES,
    rna_labels=np.array([0, 1, 2, 2]),
    rna_cells=np.array(["r1", "r2", "r3", "r4"]),
    atac_cells=np.array(["a1", "a2", "a3", "a4"]),
    known_rna_types=lambda: np.array(["b1", "b2", "t", "t"]),
)
ROUTES = {
    "label_transfer": np.array(["b1", "t", "t", "t"]),
    "lsi": np.array(["b2", "b1", "t", "b1"]),
}
PROBABILITIES = np.array([[0.6, 0.2, 0.2], [0.3, 0.2, 0.5], [0.1, 0.1, 0.8], [0.2, 0.2, 0.6]])
# The second answer is wrong, the fourth cell has no known label.
UNKNOWN = np.array([False, True, False, True])
SPACE = np.array([[0, 0], [0, 1], [9, 9], [9, 8], [1, 0], [1, 1], [8, 9], [8, 8]], dtype=float)


def scores(
    probabilities=PROBABILITIES, latent=SPACE, umap=SPACE, truth=TRUTH, unknown=UNKNOWN, **more
) -> dict:
    return score(ROUTES, probabilities, latent, umap, DATA, truth, 0, unknown, **more)


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


def test_without_known_labels_only_the_modalities_and_the_unknown_are_scored():
    found = scores(truth=None)
    known = {name for name, value in found.items() if value is not None}
    assert known == {"silhouette_modality", "modality_mixing", "unknown_share"}
    assert found["modality_mixing"] == scores()["modality_mixing"]


@pytest.mark.parametrize(
    ("unknown", "share", "accuracy"),
    [
        ([False, False, False, False], 0, 2 / 3),
        ([False, True, False, True], 1 / 2, 1),
        ([True, False, True, False], 1 / 2, 0),
        ([False, False, True, False], 1 / 4, 1 / 2),
        ([True, True, True, False], 3 / 4, None),  # what is left has no known label
        ([True, True, True, True], 1, None),
    ],
)
def test_the_unknown_cells_and_the_accuracy_of_the_others_by_hand(unknown, share, accuracy):
    found = scores(unknown=np.array(unknown))
    assert found["unknown_share"] == share
    assert found["accuracy_of_known"] == (accuracy and pytest.approx(accuracy))
    assert found["label_transfer"] == scores()["label_transfer"]  # a score of all cells, as ever


def test_cells_without_data_are_unknown_and_change_no_other_score():
    unknown = np.array([False, True, False, False])
    found, without = scores(unknown=unknown, without_data=6), scores(unknown=unknown)
    assert found.pop("unknown_share") == 7 / 10 and without.pop("unknown_share") == 1 / 4
    assert found == without


def test_a_system_that_calls_nothing_unknown_is_not_scored_for_it():
    found, full = scores(unknown=None), scores()
    for name in ("unknown_share", "accuracy_of_known"):
        assert found.pop(name) is None and full.pop(name) is not None
    assert found == full


def test_every_score_has_its_place_whatever_is_known():
    bare = score(ROUTES, None, None, None, DATA, None, 0)
    assert set(bare) == set(scores()) == {*ROUTES, *SCORES}
    assert not any(value is not None for value in bare.values())


def answers(probabilities, latent=None, **routes) -> CellAnswers:
    label = most_probable(probabilities, TYPES)
    return CellAnswers(latent, probabilities, label=label, other_routes=routes)


@pytest.mark.parametrize(
    "linear", [{}, {"linear": np.array(["t", "b1"])}], ids=["unweighed", "balanced"]
)
def test_the_routes_of_our_model(linear):
    """The vote decides the headline, the cell by itself the classifier, the latent space the rest.

    The first ATAC cell is at the RNA cells of b1, its own probabilities say b2, its neighbours t.
    The linear guess, where cells are balanced, is there already.
    """
    random = np.random.default_rng(0)
    codes = np.repeat([0, 1, 2], 20)
    centers = 10 * np.eye(3)
    rna = SimpleNamespace(latent=centers[codes] + random.normal(size=(60, 3)))
    own = np.array([[0.1, 0.8, 0.1], [0.2, 0.1, 0.7]])
    atac = answers(own, centers[[0, 2]])
    voted = answers(np.array([[0.1, 0.3, 0.6], [0.2, 0.1, 0.7]]), atac.latent, **linear)
    found = transfer(SimpleNamespace(rna=rna, atac=atac, voted=voted), codes, RunConfig())
    assert found.probabilities is voted.probabilities
    expected = {
        "label_transfer": ["t", "t"],
        "classifier": ["b2", "t"],
        "svm": ["b1", "t"],
        "knn": ["b1", "t"],
    }
    expected |= {name: labels.tolist() for name, labels in linear.items()}
    assert {name: labels.tolist() for name, labels in found.routes.items()} == expected


def test_the_shares_of_the_types_by_hand():
    """Of the RNA cells by their labels, of the ATAC cells by the mean of their probabilities."""
    found = type_shares(answers(PROBABILITIES.astype(np.float32)), np.array([0, 2, 2]))
    assert found == {
        "b1": {"rna": 0.333333, "atac": 0.3},
        "b2": {"rna": 0.0, "atac": 0.175},
        "t": {"rna": 0.666667, "atac": 0.525},
    }


def test_the_agreement_by_hand():
    """Each route with the headline, which is not compared with itself; fine types, not coarse."""
    assert agreement(ROUTES | {"knn": ROUTES["label_transfer"]}) == {"lsi": 0.25, "knn": 1.0}
    assert agreement({"label_transfer": ROUTES["label_transfer"]}) == {}


def test_the_learning_curve_is_the_macro_f1_of_the_likeliest_types():
    logs = {}
    learning_curve_hook(TYPES, TRUTH)(0, PROBABILITIES, logs)
    # b: precision 1, recall 1/2; t: precision 1/2, recall 1.
    assert logs == {"macro_f1": pytest.approx(2 / 3)}
    assert epoch_macro_f1(np.array([0, 2, 2, 2]), TYPES, TRUTH) == logs["macro_f1"]


def test_probabilities_of_a_coarse_type_may_add_up_to_more_than_one_by_rounding():
    certain = np.array([[1.0, 3e-7, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    assert scores(probabilities=certain)["calibration_error"] == pytest.approx(1 / 3, abs=1e-6)
