"""When a training first was better than another system, by hand."""

from __future__ import annotations

import pytest

from scadv_tf.comparison.time_to_quality import time_lines, time_to_exceed


def row(system, seed, macro_f1, curve=None, error=None):
    found = {"system": system, "seed": seed, "error": error}
    found["label_transfer"] = None if macro_f1 is None else {"macro_f1": macro_f1}
    if curve is not None:
        seconds = [10.0 * (epoch + 1) + seed for epoch in range(len(curve))]
        found["epochs"] = {"seconds": seconds, "scores": curve}
    return found


RIVALS = [row("harmony", 0, 0.4), row("harmony", 1, 0.6)]  # 0.5 in the mean


def test_the_first_epoch_above_the_mean_of_the_rival_counts():
    rows = [*RIVALS, row("ours", 0, 0.9, [0.2, 0.5, 0.55, 0.4]), row("ours", 1, 0.9, [0.51, 0.3])]
    found = time_to_exceed(rows, ["ours", "harmony"], "harmony")
    assert found == {
        "ours": {"macro_f1": pytest.approx(0.5), "seconds": [30.0, 11.0], "epochs": [3, 1]}
    }
    assert time_lines(found, "harmony") == [
        "ours exceeded harmony's macro F1 of 0.500 after 20.5 s, epoch 2 (median)"
    ]


def test_a_seed_that_never_is_better_has_none():
    rows = [*RIVALS, row("ours", 0, 0.9, [0.5, 0.5]), row("ours", 1, 0.9, [0.7])]
    found = time_to_exceed(rows, ["ours"], "harmony")
    assert found["ours"]["seconds"] == [None, 11.0] and found["ours"]["epochs"] == [None, 1]
    assert time_lines(found, "harmony")[0].endswith("; at 1 of 2 seeds")
    never = time_to_exceed([*RIVALS, row("ours", 0, 0.9, [0.1])], ["ours"], "harmony")
    assert time_lines(never, "harmony") == ["ours never exceeded harmony's macro F1 of 0.500"]


def test_without_a_score_of_the_rival_nothing_is_said():
    ours = row("ours", 0, 0.9, [0.7])
    assert time_to_exceed([ours], ["ours"], "harmony") == {}
    failed = row("harmony", 0, None, error="it is not installed")
    assert time_to_exceed([ours, failed], ["ours", "harmony"], "harmony") == {}


def test_systems_without_epochs_and_failed_rows_are_left_out():
    rows = [*RIVALS, row("svm", 0, 0.9), row("ours", 0, None, [0.9], error="it broke")]
    assert time_to_exceed(rows, ["svm", "ours"], "harmony") == {}
