"""Pictures that compare systems keep each number with its system."""

from __future__ import annotations

import numpy as np
import pytest

from scadv_tf.evaluation import comparison_figures, metrics


def test_per_type_f1_puts_a_mark_for_each_system_on_the_right_row(legend_of):
    truth = ["a", "b", "b", "b"]
    scores = {
        "one": metrics.label_scores(truth, ["a", "b", "b", "b"]),
        "two": metrics.label_scores(truth, ["b", "b", "b", "b"]),
        "none": None,
    }
    ax = comparison_figures.per_type_f1(scores).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b (3)", "a (1)"]
    np.testing.assert_allclose([line.get_xdata() for line in ax.lines], [[1, 1], [6 / 7, 0]])
    assert legend_of(ax) == ["one", "two"]
    assert ax.lines[0].get_marker() != ax.lines[1].get_marker()


def test_score_bars_show_means_and_standard_deviations(texts_of):
    scores = {
        "ours": {"macro_f1": [0.4, 0.6], "silhouette_umap": -0.2},
        "theirs": {"macro_f1": 0.3, "silhouette_umap": None},
    }
    first, second = comparison_figures.score_bars(scores).axes
    assert [first.get_title("left"), second.get_title("left")] == ["Macro F1", "Silhouette UMAP"]
    assert [bar.get_width() for bar in first.patches] == pytest.approx([0.5, 0.3])
    (whisker,) = [c for c in first.collections if hasattr(c, "get_segments")]
    spread = np.std([0.4, 0.6], ddof=1)
    np.testing.assert_allclose(whisker.get_segments()[0][:, 0], [0.5 - spread, 0.5 + spread])
    assert texts_of(first) == ["0.50", "0.30"]
    assert [bar.get_width() for bar in second.patches] == [-0.2]
    assert texts_of(second) == ["-0.20", " no value"]
