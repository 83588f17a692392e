"""Pictures of a run show what they were given."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scadv_tf.evaluation import figures, style

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_package_loads_without_heavy_libraries():
    heavy = {"anndata", "absl", "matplotlib", "sklearn", "tensorflow", "umap", "scipy"}
    rooms = ["embedding", "figures", "label_transfer", "metrics", "report"]
    code = f"import sys; from scadv_tf.evaluation import {', '.join(rooms)};"
    code += f"print({heavy!r} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


@pytest.mark.slow
def test_figures_need_no_pyplot():
    code = (
        "import sys; from scadv_tf.evaluation import figures;"
        "figures.learning_curve([0.1, 0.2]); print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_confusion_shows_row_shares_of_a_matrix_that_need_not_be_square(texts_of):
    counts = pd.DataFrame([[3, 1, 0], [0, 0, 8]], index=["B", "T"], columns=["b1", "b2", "t"])
    ax = figures.confusion_matrix(counts).axes[0]
    np.testing.assert_allclose(ax.images[0].get_array(), [[0.75, 0.25, 0], [0, 0, 1]])
    assert texts_of(ax) == ["75", "25", "100"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["B (4)", "T (8)"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["b1", "b2", "t"]


def test_a_row_without_cells_is_no_division_by_zero():
    counts = pd.DataFrame([[0, 0], [1, 1]], index=["a", "b"], columns=["a", "b"])
    with np.errstate(all="raise"):
        ax = figures.confusion_matrix(counts).axes[0]
    np.testing.assert_array_equal(ax.images[0].get_array()[0], 0)


def test_a_large_confusion_matrix_has_no_numbers(texts_of):
    names = [f"type {i}" for i in range(21)]
    ax = figures.confusion_matrix(pd.DataFrame(np.eye(21, dtype=int), names, names)).axes[0]
    assert texts_of(ax) == []


def test_learning_curve_starts_at_epoch_one_and_leaves_out_epochs_without_a_score():
    (line,) = figures.learning_curve([0.2, np.nan, 0.4]).axes[0].lines
    np.testing.assert_array_equal(line.get_xydata(), [[1, 0.2], [3, 0.4]])


def test_a_learning_curve_names_its_last_value(texts_of):
    ax = figures.learning_curve([0.2, 0.876]).axes[0]
    assert texts_of(ax) == ["0.88"]
    assert ax.get_legend() is None


def test_loss_curves_have_a_panel_for_each_loss():
    history = pd.DataFrame(
        {
            "epoch": [2, 4],
            "cross_entropy": [1.0, 0.5],
            "atac_adversarial": [0.7, 0.6],
            "never": [np.nan] * 2,
            "note": ["x", "y"],
        }
    )
    shown = [ax for ax in figures.loss_curves(history).axes if ax.lines]
    assert [ax.get_title("left") for ax in shown] == ["Cross entropy", "ATAC adversarial"]
    np.testing.assert_array_equal(shown[0].lines[0].get_xydata(), [[2, 1.0], [4, 0.5]])


def test_confidence_histogram_counts_right_and_wrong_cells(legend_of):
    confidence = np.array([0.05, 0.97, 0.98, 0.99])
    ax = figures.confidence_histogram(confidence, [False, True, True, False]).axes[0]
    right, wrong = ([bar.get_height() for bar in group] for group in ax.containers)
    assert (sum(right), right[-1]) == (2, 2)
    assert (sum(wrong), wrong[1], wrong[-1]) == (2, 1, 1)
    assert legend_of(ax) == ["right (2)", "wrong (2)"]
    alone = figures.confidence_histogram(confidence).axes[0]
    assert sum(bar.get_height() for bar in alone.patches) == 4
    assert alone.get_legend() is None


def test_learning_curves_are_means_in_a_band_named_in_the_order_of_their_ends(legend_of):
    curves = {"low": [[0.1, 0.2, 0.4], [0.3, 0.4, 0.2]], "high": [[0.5, 0.6]], "failed": []}
    ax = figures.learning_curves(curves, {"flat": 0.45, "no score": None}).axes[0]
    low, high, flat = ax.lines
    np.testing.assert_allclose(low.get_ydata(), [0.2, 0.3, 0.3])
    assert low.get_xdata().tolist() == [1, 2, 3]
    np.testing.assert_allclose(high.get_ydata(), [0.5, 0.6])
    assert set(flat.get_ydata()) == {0.45} and flat.is_dashed()
    assert legend_of(ax) == ["high  0.60", "flat  0.45", "low  0.30"]
    (band,) = ax.collections  # one curve alone has no band
    corners = {tuple(corner) for corner in band.get_paths()[0].vertices.round(6)}
    assert {(1, 0.1), (1, 0.3), (2, 0.2), (2, 0.4), (3, 0.2), (3, 0.4)} == corners


def test_learning_curves_of_different_length_meet_at_their_epochs():
    curves = [[0.2], [0.4, 0.6, np.nan], [0.6, np.nan, 0.8]]
    (line,) = figures.learning_curves({"a": curves}).axes[0].lines
    assert line.get_xdata().tolist() == [1, 2, 3]
    np.testing.assert_allclose(line.get_ydata(), [0.4, 0.6, 0.8])


def test_learning_curves_keep_the_colours_they_are_given():
    colors = style.series_colors(["gone", "a", "b"])
    lines = figures.learning_curves({"a": [[0.1]]}, {"b": 0.2}, colors=colors).axes[0].lines
    assert [line.get_color() for line in lines] == [colors["a"], colors["b"]]
