"""Warnings come exactly when they should."""

from __future__ import annotations

import numpy as np
import pytest

from scadv_tf.evaluation.findings import findings

RNA = np.repeat(["T", "B"], [60, 40])
GOOD = {"modality_mixing": 0.9, "silhouette_modality": 0.02, "calibration_error": 0.05}
GOOD |= {"agreement": {"classifier": 0.97, "linear": 0.9, "svm": 0.95, "knn": 0.96}}


def test_a_good_run_has_no_warnings():
    found = plain_warnings(GOOD, {"shared_genes": 1082}, RNA, RNA, np.full(100, 0.9))
    assert found == []


def test_what_is_not_known_is_not_judged():
    assert plain_warnings({"modality_mixing": None, "calibration_error": None}, {}) == []
    assert plain_warnings({}, {}, None, None, None) == []
    assert plain_warnings({}, {}, RNA, [], []) == []


@pytest.mark.parametrize(
    ("metrics_", "part"),
    [
        ({"modality_mixing": 0.49}, "mix poorly: a cell has 49%"),
        ({"silhouette_modality": 0.26}, "separate groups"),
        ({"calibration_error": 0.16}, "off by 0.16"),
    ],
)
def test_each_number_past_its_threshold_gives_its_warning(metrics_, part):
    (found,) = plain_warnings(metrics_, {})
    assert part in found


@pytest.mark.parametrize(
    "metrics_",
    [{"modality_mixing": 0.5}, {"silhouette_modality": 0.25}, {"calibration_error": 0.15}],
)
def test_a_number_at_its_threshold_is_fine(metrics_):
    assert plain_warnings(metrics_, {}) == []


@pytest.mark.parametrize("route", ["linear", "svm", "knn"])
def test_a_route_that_agrees_on_too_few_cells_gives_a_warning(route):
    others = {"linear": 0.9, "svm": 0.9, "knn": 0.9}
    assert plain_warnings({"agreement": others | {route: 0.8}}, {}) == []
    (found,) = plain_warnings({"agreement": others | {route: 0.79}}, {})
    names = {"linear": "linear classifier", "svm": "an SVM", "knn": "nearest RNA cells"}
    told = [name for name in names if names[name] in found]
    assert told == [route] and "on 21% of the ATAC cells" in found
    assert "predictions.csv" in found and "marker genes" in found


def test_routes_that_disagree_share_one_warning():
    metrics = {"agreement": {"linear": 0.6, "svm": 0.75, "knn": 0.7, "classifier": 0.1}}
    (found,) = plain_warnings(metrics, {}, RNA, RNA)
    assert (
        "a linear classifier of the same features on 40%, an SVM on the latent vectors on 25% and "
        "the nearest RNA cells on 30% of the ATAC cells." in found
    )


@pytest.mark.parametrize("agreement", [None, {}, {"classifier": 0.2}, {"lsi": 0.2}])
def test_of_the_agreement_only_other_ways_to_the_labels_are_judged(agreement):
    """The classifier is the headline's own voice, without its neighbours."""
    assert plain_warnings({"agreement": agreement}, {}) == []


def test_poor_mixing_points_first_to_the_alignment():
    for labels in ((), (RNA,)):
        (found,) = plain_warnings({"modality_mixing": 0.3}, {}, *labels)
        assert found.index("--align_latent") < found.index("--neighbors")
        assert ("--centroid" in found) == bool(labels)


def test_few_shared_genes():
    assert plain_warnings({}, {"shared_genes": 500}) == []
    (found,) = plain_warnings({}, {"shared_genes": 499})
    assert "Only 499 genes" in found


def test_rare_types_are_named():
    rna = np.repeat(["T", "B", "NK", "pDC", ""], [60, 10, 9, 1, 5])
    (found,) = plain_warnings({}, {}, rna)
    assert "Fewer than 10 RNA cells are of type NK or pDC" in found


def test_types_that_no_atac_cell_was_given_are_named():
    (found,) = plain_warnings({}, {}, np.repeat(["T", "B"], [90, 10]), ["T"] * 50)
    assert "No ATAC cell was labelled B." in found


@pytest.mark.parametrize(
    ("atac_share", "warned"), [(2, True), (13, True), (14, False), (60, False)]
)
def test_shares_that_differ_more_than_threefold(atac_share, warned):
    predicted = np.repeat(["B", "T"], [atac_share, 100 - atac_share])
    found = plain_warnings({}, {}, RNA, predicted)
    assert bool(found) == warned
    if warned:
        assert f"B (40.0% of RNA, {atac_share:.1f}% of ATAC cells)" in found[0]


def test_shares_of_types_that_are_rare_in_both_are_not_judged():
    rna = np.repeat(["T", "B"], [990, 10])
    assert plain_warnings({}, {}, rna, np.repeat(["T", "B"], [960, 40])) == []


def test_many_unsure_cells():
    confidence = np.repeat([0.49, 0.5], [26, 74])
    (found,) = plain_warnings({}, {}, confidence=confidence)
    assert found.startswith("26% of the ATAC cells")
    assert plain_warnings({}, {}, confidence=np.repeat([0.49, 0.5], [25, 75])) == []
