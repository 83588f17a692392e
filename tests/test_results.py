"""What stands in predictions.csv, by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from scadv_tf.data.answers import CellAnswers, most_probable
from scadv_tf.data.labels import UNKNOWN
from scadv_tf.data.pairing import AtacTruth
from scadv_tf.results import Results, predictions, write_predictions
from scadv_tf.run_figures import losses_of
from scadv_tf.scoring import ROUTES

TYPES = ("b1", "b2", "t")
PROBABILITIES = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.25, 0.35, 0.4]])
LABELS = np.array(["b1", "t", "t"])


@pytest.fixture
def results():
    """A maker of the results for three ATAC cells: results(unknown=[…], truth=…)."""

    def make(unknown=(False, False, True), truth=None) -> Results:
        answers = CellAnswers(
            latent=np.zeros((3, 2)),
            probabilities=PROBABILITIES,
            novelty=np.array([0.12345678, 0.0, 0.9]),
            unknown=np.array(unknown),
            label=most_probable(PROBABILITIES, TYPES),
            other_routes=dict.fromkeys(ROUTES[1:], LABELS),
        )
        return Results(
            config=None,
            data=SimpleNamespace(types=TYPES, atac_cells=np.array(["x", "y", "z"])),
            truth=truth,
            annotation=SimpleNamespace(voted=answers),
            umap=None,
            history=None,
            metrics={},
            export=None,
        )

    return make


def test_the_columns_of_the_predictions(results):
    table = predictions(results())
    assert table.columns.tolist() == [
        "cell",
        "label",
        "confidence",
        "accepted_label",
        "novelty",
        "unknown",
        "second_label",
        "second_confidence",
        "classifier",
        "svm",
        "knn",
    ]
    assert table["cell"].tolist() == ["x", "y", "z"]
    assert table["label"].tolist() == ["b1", "t", "t"]
    assert table["confidence"].tolist() == [0.5, 0.7, 0.4]
    assert table["novelty"].tolist() == [0.123457, 0.0, 0.9]
    assert table["second_label"].tolist() == ["b2", "b2", "b2"]
    assert table["second_confidence"].tolist() == [0.3, 0.2, 0.35]


@pytest.mark.parametrize(
    ("unknown", "expected"),
    [
        ([False, False, True], ["b1", "t", UNKNOWN]),
        ([False, False, False], ["b1", "t", "t"]),
        ([True, True, True], [UNKNOWN] * 3),
    ],
)
def test_an_unknown_cell_is_accepted_as_no_type_but_keeps_its_label(results, unknown, expected):
    table = predictions(results(unknown))
    assert table["accepted_label"].tolist() == expected
    assert table["unknown"].tolist() == unknown
    assert table["label"].tolist() == ["b1", "t", "t"]


def test_coarse_labels_stand_beside_where_they_differ(results):
    truth = AtacTruth(np.array(["b", "t", ""]), {"b1": "b", "b2": "b", "t": "t"})
    assert predictions(results(truth=truth))["coarse_label"].tolist() == ["b", "t", "t"]
    same = AtacTruth(np.array(["b1", "t", ""]), {name: name for name in TYPES})
    assert "coarse_label" not in predictions(results(truth=same))


@pytest.mark.parametrize("rows", [1, 2, 3, 100])
def test_the_file_of_predictions_does_not_depend_on_how_many_rows_are_written_at_once(
    results, tmp_path, rows
):
    # Only the last cell has a coarser label, and only the first a name that needs quotes.
    truth = AtacTruth(np.array(["b1", "t", "tt"]), {"b1": "b1", "b2": "b2", "t": "tt"})
    given = results(truth=truth)
    given.data.atac_cells = np.array(["x,1", "y", "z"])
    write_predictions(tmp_path / "predictions.csv", given, rows)
    expected = predictions(given).to_csv(index=False)
    assert (tmp_path / "predictions.csv").read_text(encoding="utf-8") == expected
    assert "coarse_label" in expected and '"x,1"' in expected
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.csv"]


def test_some_rows_are_those_of_all(results):
    some, full = predictions(results(), slice(1, 3)), predictions(results())
    assert some.equals(full[1:3].reset_index(drop=True))


def test_what_is_no_loss_is_not_drawn_as_one():
    history = pd.DataFrame({"cross_entropy": [1.0], "macro_f1": [0.5], "rate_factor": [0.5]})
    assert list(losses_of(history)) == ["cross_entropy"]
