"""Pictures that compare systems keep each number with its system."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex

from scadv_tf.comparison import figures
from scadv_tf.evaluation import metrics, style


def test_per_type_f1_puts_the_mean_of_the_seeds_in_its_square():
    truth = ["a", "b", "b", "b"]
    right, wrong = (metrics.label_scores(truth, found) for found in (truth, ["b"] * 4))
    scores = {"one": right, "two": [right, None, wrong], "none": None, "failed": [None]}
    ax = figures.per_type_f1(scores).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b (3)", "a (1)"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["one", "two"]
    # F1 of b when all is called b: 2 * 3 / (2 * 3 + 1) = 6 / 7
    np.testing.assert_allclose(ax.images[0].get_array(), [[1, (1 + 6 / 7) / 2], [1, 0.5]])
    shown = {text.get_position(): (text.get_text(), text.get_weight()) for text in ax.texts}
    assert shown == {
        (0, 0): ("1.00", "bold"), (1, 0): ("0.93", "normal"),
        (0, 1): ("1.00", "bold"), (1, 1): ("0.50", "normal"),
    }  # fmt: skip


def test_a_type_that_a_system_has_no_score_of_stays_empty(texts_of):
    scores = {"one": metrics.label_scores(["a", "b"], ["a", "b"])}
    scores["two"] = metrics.label_scores(["b"], ["b"])
    ax = figures.per_type_f1(scores).axes[0]
    assert np.isnan(ax.images[0].get_array().filled(np.nan)).tolist() == [[0, 1], [0, 0]]
    assert len(texts_of(ax)) == 3


def test_per_type_f1_of_nothing_is_a_picture(tmp_path):
    assert style.save(figures.per_type_f1({"a": None}), tmp_path / "f.png").exists()


@pytest.mark.parametrize("systems", [3, 12])
def test_the_squares_of_per_type_f1_hold_their_numbers(systems):
    types = [f"type {i}" for i in range(14)]
    scores = {f"a_long_system_{i}": metrics.label_scores(types, types) for i in range(systems)}
    figure = figures.per_type_f1(scores)
    figure.draw_without_rendering()
    ax = figure.axes[0]
    boxes = [text.get_window_extent() for text in ax.texts]
    (left, bottom), (right, top) = ax.transData.transform([(-0.5, 0.5), (0.5, -0.5)])
    assert max(box.width for box in boxes) < right - left
    assert max(box.height for box in boxes) < top - bottom
    page = figure.bbox
    for label in ax.get_xticklabels() + ax.get_yticklabels():
        box = label.get_window_extent()
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0


def test_score_bars_show_means_and_standard_deviations(texts_of):
    scores = {
        "ours": {"macro_f1": [0.4, 0.6], "silhouette_umap": -0.2},
        "theirs": {"macro_f1": 0.3, "silhouette_umap": None},
    }
    first, second = figures.score_bars(scores).axes
    assert [first.get_title("left"), second.get_title("left")] == ["Macro F1", "Silhouette UMAP"]
    assert [bar.get_width() for bar in first.patches] == pytest.approx([0.5, 0.3])
    (whisker,) = [c for c in first.collections if hasattr(c, "get_segments")]
    spread = np.std([0.4, 0.6], ddof=1)
    np.testing.assert_allclose(whisker.get_segments()[0][:, 0], [0.5 - spread, 0.5 + spread])
    assert texts_of(first) == ["0.500", "0.300"]
    assert [bar.get_width() for bar in second.patches] == [-0.2]
    assert texts_of(second) == ["-0.200", " no value"]


def test_bars_of_shares_have_no_tick_above_one():
    scores = {"a": {"macro_f1": 0.97, "modality_mixing": 1.6}}
    f1, mixing = figures.score_bars(scores).axes
    assert max(f1.get_xticks()) == 1.0
    assert f1.get_xlim()[1] > 1.05  # room for the number
    assert max(mixing.get_xticks()) > 1.4


def test_systems_keep_their_colour_when_others_are_missing():
    colors = style.series_colors(["a", "b", "c"])
    ax = figures.score_bars({"c": {"macro_f1": 1}}, colors=colors).axes[0]
    assert to_hex(ax.patches[0].get_facecolor()) == style.PALETTE[2]


@pytest.fixture
def steps():
    return {
        "ce": {"macro_f1": [0.2, 0.4], "weighted_f1": [0.6, 0.8]},
        "ce_nce": {"macro_f1": [None, 0.5], "weighted_f1": [0.6, 0.7]},
        "ce_nce_adv": {"macro_f1": [], "weighted_f1": None},
        "ours": {"macro_f1": 0.45, "weighted_f1": 0.75},
    }


def test_the_ladder_names_steps_by_what_they_add_and_leaves_out_what_failed(steps):
    macro, weighted = figures.ladder(steps).axes
    for ax in (macro, weighted):
        labels = [label.get_text() for label in ax.get_xticklabels()]
        assert labels == ["ce", "+ nce", "ours"]
    assert [macro.get_title("left"), weighted.get_title("left")] == ["Macro F1", "Weighted F1"]


def test_the_ladder_shows_means_gains_and_seeds(steps, texts_of):
    macro, weighted = figures.ladder(steps).axes
    assert texts_of(macro) == ["0.300", "0.500", "+0.200", "0.450", "-0.050"]
    assert texts_of(weighted) == ["0.700", "0.650", "-0.050", "0.750", "+0.100"]
    colors = {text.get_text(): text.get_color() for text in macro.texts}
    assert colors["+0.200"] == figures.GAIN != colors["-0.050"]
    treads = [line for line in macro.lines if line.get_linewidth() == 3]
    np.testing.assert_allclose(
        [line.get_ydata() for line in treads], [[0.3] * 2, [0.5] * 2, [0.45] * 2]
    )
    dots = [line.get_ydata().tolist() for line in macro.lines if line.get_marker() == "o"]
    assert dots == [[0.2, 0.4], [0.5], [0.45]]
    (whisker,) = [c for c in macro.collections if hasattr(c, "get_segments")]
    spread = np.std([0.2, 0.4], ddof=1)
    np.testing.assert_allclose(whisker.get_segments()[0][:, 1], [0.3 - spread, 0.3 + spread])


def test_the_gain_is_over_the_last_step_with_values(texts_of):
    scores = {"ce": {"f1": 0.25}, "ce_a": {"f1": None, "g": 1.0}, "ce_a_b": {"f1": 0.5}}
    figure = figures.ladder(scores)
    assert texts_of(figure.axes[0]) == ["0.250", "0.500", "+0.250"]


def test_numbers_on_the_ladder_do_not_overlap():
    random = np.random.default_rng(0)
    names = ["ce", "ce_nce", "ce_nce_adv", "ce_nce_adv_cyc", "ce_nce_adv_cyc_ict", "scadv"]
    scores = {name: {"macro_f1": random.normal(0.8, 0.01, 3)} for name in names}
    figure = figures.ladder(scores)
    figure.draw_without_rendering()
    ax = figure.axes[0]
    for texts in (ax.texts, ax.get_xticklabels()):
        boxes = [text.get_window_extent() for text in texts]
        assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]


def test_a_ladder_of_nothing_is_a_picture(tmp_path):
    assert style.save(figures.ladder({"ce": {}}), tmp_path / "f.png").exists()
