"""RNA cells that were left out tell whether RNA labels go with RNA counts, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from scadv_tf.evaluation.data_findings import label_findings
from scadv_tf.evaluation.finding import AMBER, RED
from scadv_tf.evaluation.findings import Evidence, findings
from scadv_tf.evaluation.left_out import LeftOut

TYPES = ("T", "B", "NK")


def left_out(*rows, types=TYPES) -> LeftOut:
    return LeftOut.of(np.array(rows), types)


def test_numbers_by_hand():
    found = left_out([60, 0, 0], [0, 20, 0], [15, 0, 5])
    assert found.cells == 100 and found.accuracy == 0.85
    # By chance .75 x .6 + .2 x .2 + .05 x .2 = .5.
    assert found.kappa == pytest.approx(0.7)
    assert found.recognised.to_dict() == {"T": 1, "B": 1, "NK": 0.25}
    assert found.taken_for("NK") == "T"
    told = {"accuracy": 0.85, "kappa": found.kappa, "recognised": {"T": 1, "B": 1, "NK": 0.25}}
    assert found.to_dict() == told


def test_kappa_is_that_of_scikit_learn():
    random = np.random.default_rng(0)
    own, called = random.integers(0, 3, (2, 500))
    calls = np.zeros((3, 3), int)
    np.add.at(calls, (own, called), 1)
    assert left_out(*calls).kappa == pytest.approx(cohen_kappa_score(own, called))


def test_types_without_cells_are_no_score():
    found = left_out([9, 1, 0], [0, 10, 0], [0, 0, 0])
    assert found.recognised.to_dict() == {"T": 0.9, "B": 1} and label_findings(found) == []
    for rows in ([0, 0, 0], [5, 0, 0]):  # no cells, or one type, of which there is no telling
        assert label_findings(left_out(rows, [0, 0, 0], [0, 0, 0])) == []
    assert label_findings(None) == []


@pytest.mark.parametrize(
    ("cells", "level"),
    [([200, 200, 200], RED), ([100, 100, 100], AMBER)],  # of few cells types are hard to learn
)
def test_labels_by_chance_are_told(cells, level):
    (found,) = label_findings(left_out(*np.tile(np.array(cells) // 3, (3, 1))))
    assert found.level == level and "33% are called their own type" in found.text
    assert "kappa 0.00;" in found.text and "in their order" in found.advice


def test_labels_of_which_many_are_wrong_are_doubted():
    (found,) = label_findings(left_out([200, 100, 100], [100, 200, 100], [100, 100, 200]))
    assert found.level == AMBER and "kappa 0.25;" in found.text


def test_a_common_type_that_is_taken_for_another_is_named():
    (found,) = label_findings(left_out([400, 10, 0], [0, 300, 0], [60, 10, 30]))
    assert found.level == AMBER and "tells NK (30%; most others are called T) from" in found.text
    assert label_findings(left_out([4000, 10, 0], [0, 3000, 0], [60, 10, 30])) == []  # it is rare


def test_it_is_a_finding_of_a_run_and_comes_first():
    seen = Evidence({"modality_mixing": 0.1}, {}, left_out=left_out(*np.full((3, 3), 99)))
    first, second = findings(seen)
    assert (
        first.level == RED and "RNA labels go hardly" in first.text and "mix poorly" in second.text
    )
