"""All pictures share one look, and are written whole or not at all."""

from __future__ import annotations

import matplotlib
import pytest

from scadv_tf.evaluation import figures, style


def test_figures_leave_the_settings_alone():
    before = {name: matplotlib.rcParams[name] for name in style.STYLE}
    assert before != style.STYLE
    figures.learning_curve([0.1, 0.2])
    assert {name: matplotlib.rcParams[name] for name in style.STYLE} == before


def test_colors_depend_on_the_set_of_types_only():
    colors = style.type_colors(["b", "a", "b", ""])
    assert colors["a"] == style.PALETTE[0]
    assert colors["b"] == style.PALETTE[1]
    assert colors[""] == colors["unknown"] == style.NO_LABEL_COLOR
    assert len(set(style.PALETTE)) == 32
    many = style.type_colors([f"{i:02}" for i in range(40)])
    assert many["32"] == many["00"] != many["33"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("macro_f1", "Macro F1"), ("silhouette_umap", "Silhouette UMAP"), ("knn", "kNN"), ("", "")],
)
def test_names_are_made_readable(name, expected):
    assert style.title_of(name) == expected


@pytest.mark.parametrize(
    ("suffix", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")]
)
def test_the_suffix_decides_the_format(tmp_path, suffix, start):
    path = tmp_path / "new folder" / f"curve.{suffix}"
    assert style.save(figures.learning_curve([0.5]), path) == path
    assert path.read_bytes().startswith(start)
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_a_picture_that_cannot_be_drawn_leaves_nothing_behind(tmp_path):
    with pytest.raises(ValueError, match="nonsense"):
        style.save(figures.learning_curve([0.5]), tmp_path / "curve.nonsense")
    assert list(tmp_path.iterdir()) == []
