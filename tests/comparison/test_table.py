"""The table in the terminal: aligned, honest about what failed and what has no score."""

from __future__ import annotations

import pytest

from scadv_tf.comparison.summary import COLUMNS
from scadv_tf.comparison.table import comparison_table


def row_of(system, seed, f1, mixing=None, error=None):
    scores = None if f1 is None else {"macro_f1": f1, "weighted_f1": f1, "accuracy": f1}
    return {
        "system": system, "seed": seed, "error": error, "label_transfer": scores,
        "modality_mixing": mixing, "seconds": {"total": 1234.56}, "peak_memory_mb": 2000.4,
    }  # fmt: skip


@pytest.fixture
def lines():
    rows = [row_of("ours", seed, f1, 0.5) for seed, f1 in enumerate([0.8, 0.9, 1.0])]
    rows += [row_of("a_system_of_a_long_name", 0, 0.5)]
    rows += [row_of("a_system_of_a_long_name", 1, None, error="\nno luck\n  again")]
    rows += [row_of("broken", s, None, error="R is missing.\n  expected: R") for s in (0, 1)]
    return comparison_table(rows, ["ours", "broken", "a_system_of_a_long_name"])


def test_names_stand_to_the_left_and_numbers_to_the_right(lines):
    head, ours, broken, long, _ = lines
    start = len("a_system_of_a_long_name  ")
    assert head[start:].startswith("Seeds  ")
    assert [line[start:].lstrip()[:3] for line in (ours, broken, long)] == ["3/3", "0/2", "1/2"]
    # Above the last place, that of the mark of the best, ends the head.
    for name in ("Macro F1", "Weighted F1", "Accuracy"):
        end = head.index(name) + len(name)
        assert ours[:end].endswith("  0.900 ±0.100*")
        assert long[:end].endswith("  0.500 ")
    assert len(head) == len(ours.rstrip()) + 1


def test_numbers_are_rounded_for_their_column(lines):
    assert "1,234.6 ±0.0" in lines[1]
    assert "2,000 ±0" in lines[1]
    assert "3/3" in lines[1] and "1/2" in lines[3]


def test_one_seed_shows_no_spread_and_a_missing_score_no_zero(lines):
    assert "±" not in lines[3]
    assert lines[3].count("no value") == 3  # silhouette, mixing, calibration
    assert "0.000" not in lines[3]


def test_a_failed_system_says_why_in_one_line(lines):
    assert lines[2].split(maxsplit=2) == ["broken", "0/2", "failed: R is missing."]
    assert lines[4] == "a_system_of_a_long_name, seed 1, failed: no luck"


def test_a_system_without_rows_has_its_line():
    _, line = comparison_table([], ["later"])
    assert line.split()[:2] == ["later", "0/0"]
    assert line.count("no value") == len(COLUMNS)


def test_without_atac_labels_nothing_is_best_by_f1():
    lines = comparison_table([row_of("a", 0, None, 0.4), row_of("b", 0, None, 0.6)], ["a", "b"])
    assert lines[1].count("no value") == lines[2].count("no value") == 5
    assert "0.600*" in lines[2] and "*" not in lines[1]
