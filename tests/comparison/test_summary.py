"""Means over seeds, by hand: what failed or has no score is left out, never counted as 0."""

from __future__ import annotations

import json

import pytest

from scadv_tf.comparison import summary

MACRO = "label_transfer.macro_f1"


def row_of(system, seed, macro_f1=None, error=None, **more):
    scores = None if macro_f1 is None else {"macro_f1": macro_f1}
    return {"system": system, "seed": seed, "error": error, "label_transfer": scores} | more


def test_mean_spread_and_minimum_are_those_of_the_seeds():
    rows = [row_of("a", seed, value) for seed, value in enumerate([0.5, 0.8, 0.8])]
    found = summary.summarize([*rows, row_of("b", 0, 0.1)], ["a"])
    assert list(found) == ["a"]
    assert found["a"]["rows"] == 3
    # mean 0.7; deviations -0.2, 0.1, 0.1; variance 0.06 / (3 - 1)
    assert found["a"][MACRO] == pytest.approx({"mean": 0.7, "std": 0.03**0.5, "min": 0.5})


def test_one_seed_has_no_spread():
    found = summary.summarize([row_of("a", 0, 0.5)], ["a"])
    assert found["a"][MACRO] == {"mean": 0.5, "std": None, "min": 0.5}


def test_what_is_missing_is_left_out_of_the_mean():
    rows = [row_of("a", 0, 0.4), row_of("a", 1, None), row_of("a", 2, float("nan"))]
    rows += [row_of("a", 3, 0.9, error="it broke after this score")]
    found = summary.summarize(rows, ["a", "unheard of"])
    assert found["a"]["rows"] == 3
    assert found["a"][MACRO]["mean"] == 0.4
    assert found["unheard of"]["rows"] == 0
    nothing = {"mean": None, "std": None, "min": None}
    assert found["unheard of"][MACRO] == found["a"]["silhouette_umap"] == nothing
    json.dumps(found, allow_nan=False)


def test_every_column_of_the_table_is_summarized():
    more = {
        "silhouette_umap": -0.1, "modality_mixing": 1.2, "calibration_error": 0.0,
        "seconds": {"fit": 1.0, "total": 3.5}, "peak_memory_mb": 900,
    }  # fmt: skip
    row = row_of("a", 0, 0.5, **more)
    row["label_transfer"] |= {"weighted_f1": 0.6, "accuracy": 0.7}
    found = summary.summarize([row], ["a"])["a"]
    means = {name: found[name]["mean"] for name in summary.SUMMARIZED}
    assert means == {
        MACRO: 0.5, "label_transfer.weighted_f1": 0.6, "label_transfer.accuracy": 0.7,
        "silhouette_umap": -0.1, "modality_mixing": 1.2, "calibration_error": 0.0,
        "seconds.total": 3.5, "peak_memory_mb": 900.0,
    }  # fmt: skip


def test_values_come_in_the_order_of_the_seeds():
    rows = [row_of("a", 2, 0.2), row_of("a", 10, 1.0), row_of("b", 1, 0.5), row_of("a", 0, 0.0)]
    assert summary.values_of(rows, "a", MACRO) == [0.0, 0.2, 1.0]


def test_routes_are_those_with_scores():
    scores = {"macro_f1": 0.5}
    rows = [
        row_of("a", 0, 0.5, svm=None, seconds={"total": 1.0}),
        row_of("b", 0, 0.5, knn=scores, lsi=scores, classifier=None),
    ]
    assert summary.routes_of(rows) == ["label_transfer", "knn", "lsi"]


@pytest.mark.parametrize(
    ("means", "goal", "expected"),
    [
        ({"a": 0.9, "b": 0.8}, 1.0, {"a"}),
        ({"a": 0.9, "b": 0.8}, 0.0, {"b"}),
        ({"a": 1.30, "b": 0.80}, 1.0, {"b"}),  # mixing above 1 is no better than below
        ({"a": 0.8004, "b": 0.8001, "c": 0.7}, 1.0, {"a", "b"}),  # they look the same
        ({"a": 0.9, "b": None}, 1.0, set()),
        ({"a": 0.9, "b": 0.8}, None, set()),
    ],
)
def test_the_best_is_nearest_to_the_goal(means, goal, expected):
    found = {system: {"score": {"mean": mean}} for system, mean in means.items()}
    column = summary.Column("score", "Score", goal=goal)
    assert summary.best_systems(found, column) == expected
