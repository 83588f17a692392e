"""UMAP panels show every cell, in its colour, and hide none."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgba

from scadv_tf.errors import InputError
from scadv_tf.evaluation import style, umap_figures


@pytest.fixture
def tissue():
    random = np.random.default_rng(0)
    types = np.array(["T", "B", "NK", ""])[np.arange(400) % 4]
    coordinates = random.normal(size=(400, 2)) + 10 * (np.arange(400) % 4)[:, None]
    return coordinates, types, random.choice(["rna", "atac"], 400)


def test_umap_colors_every_cell_by_its_type_and_by_its_modality(tissue, legend_of):
    coordinates, types, modality = tissue
    figure = umap_figures.umap_panels(coordinates, types, modality, "Title")
    by_type, by_modality = figure.axes
    colors = style.type_colors(types)
    of_modality = {"rna": style.PALETTE[0], "atac": style.PALETTE[5]}
    for ax, expected in (
        (by_type, [colors[name] for name in types]),
        (by_modality, [of_modality[name] for name in modality]),
    ):
        (points,) = ax.collections
        drawn = {
            tuple(place): to_hex(color)
            for place, color in zip(points.get_offsets(), points.get_facecolors(), strict=True)
        }
        assert drawn == dict(zip(map(tuple, coordinates), expected, strict=True))
        assert points.get_rasterized()
    assert legend_of(by_type) == ["1  B", "2  NK", "3  T", "no label"]
    assert legend_of(by_modality) == ["ATAC", "RNA"]
    assert figure.get_suptitle() == "Title"


def test_umap_draws_the_modalities_in_a_random_order(tissue):
    coordinates, types, _ = tissue
    modality = np.repeat(["rna", "atac"], 200)
    figure = umap_figures.umap_panels(coordinates, types, modality, "")
    drawn = figure.axes[1].collections[0].get_facecolors()
    last = np.all(drawn[200:] == to_rgba(style.PALETTE[5]), axis=1).mean()
    assert 0.4 < last < 0.6


def test_umap_numbers_stand_on_their_clusters(tissue, texts_of):
    coordinates, types, modality = tissue
    ax = umap_figures.umap_panels(coordinates, types, modality, "").axes[0]
    assert sorted(texts_of(ax)) == ["1", "2", "3"]
    for text in ax.texts:
        name = {"1": "B", "2": "NK", "3": "T"}[text.get_text()]
        center = coordinates[types == name].mean(axis=0)
        assert np.linalg.norm(np.array(text.xy) - center) < 2


def test_the_number_of_a_split_type_is_on_one_of_its_parts():
    parts = np.concatenate([np.zeros((60, 2)), np.full((40, 2), 10.0)])
    parts += np.random.default_rng(0).normal(scale=0.2, size=parts.shape)
    assert np.linalg.norm(umap_figures._densest_place(parts)) < 1


def test_points_shrink_as_cells_grow():
    def size(cells):
        names = np.repeat("a", cells)
        ax = umap_figures.umap_panels(np.zeros((cells, 2)), names, names, "").axes[0]
        return ax.collections[0].get_sizes()[0]

    assert size(100) > size(5000) > size(30_000) > 0


def test_umap_shades_numbers_and_greys_what_is_missing(tissue):
    coordinates, types, modality = tissue
    confidence = np.where(modality == "atac", 0.8, np.nan)
    figure = umap_figures.umap_panels(coordinates, types, modality, "", confidence, "Confidence")
    grey, shaded = figure.axes[2].collections
    assert figure.axes[2].get_title() == "Confidence"
    assert len(grey.get_offsets()) == np.sum(modality == "rna")
    np.testing.assert_allclose(shaded.get_array(), 0.8)
    assert shaded.get_clim() == (0, 1)


def test_numbers_that_are_no_shares_are_shaded_from_the_least_to_the_most(tissue):
    coordinates, types, modality = tissue
    counts = np.where(modality == "atac", np.arange(len(types)) + 10.0, np.nan)
    figure = umap_figures.umap_panels(coordinates, types, modality, "", counts, "Counts")
    _, shaded = figure.axes[2].collections
    assert shaded.get_clim() == (np.nanmin(counts), np.nanmax(counts))


@pytest.mark.parametrize(("extra", "has_legend"), [(["T", "B"], False), (["T", "C"], True)])
def test_a_second_panel_of_types_has_a_legend_only_for_new_ones(tissue, extra, has_legend):
    coordinates, types, modality = tissue
    predicted = np.resize(extra, 400)
    ax = umap_figures.umap_panels(coordinates, types, modality, "", predicted, "Predicted").axes[2]
    assert (ax.get_legend() is not None) == has_legend


def test_umap_takes_many_types_and_odd_names(tmp_path, legend_of):
    names = np.array([f"$type_{{{i}}}^$ & <b>" for i in range(40)])
    figure = umap_figures.umap_panels(np.random.rand(40, 2), names, ["rna", "atac"] * 20, "$")
    assert style.save(figure, tmp_path / "odd.png").stat().st_size > 10_000
    assert len(legend_of(figure.axes[0])) == 40


def test_umap_refuses_arrays_of_different_cells():
    with pytest.raises(InputError, match="coordinates: 3, types: 2"):
        umap_figures.umap_panels(np.zeros((3, 2)), ["a", "b"], ["rna"] * 3, "")


def grid_of(tissue, systems):
    coordinates, types, modality = tissue
    places = {f"system {i}": coordinates + i for i in range(systems)}
    return umap_figures.umap_grid(places, types, modality, "Title")


def test_the_grid_has_two_panels_a_system_and_hides_no_cell(tissue):
    coordinates, types, modality = tissue
    figure = umap_figures.umap_grid(
        {"one": coordinates, "failed": None, "two": -coordinates}, types, modality, "Title"
    )
    assert [ax.get_title("left") for ax in figure.axes] == [
        "one", "by modality", "two", "by modality",
    ]  # fmt: skip
    colors = style.type_colors(types)
    of_modality = {"rna": style.PALETTE[0], "atac": style.PALETTE[5]}
    for ax, sign, expected in (
        (figure.axes[2], -1, [colors[name] for name in types]),
        (figure.axes[3], -1, [of_modality[name] for name in modality]),
        (figure.axes[0], 1, [colors[name] for name in types]),
    ):
        (points,) = ax.collections
        drawn = dict(
            zip(map(tuple, sign * points.get_offsets()), points.get_facecolors(), strict=True)
        )
        assert [to_hex(drawn[tuple(place)]) for place in coordinates] == expected
        assert points.get_rasterized()
    by_type, by_modality = figure.legends
    assert [t.get_text() for t in by_type.get_texts()] == ["1  B", "2  NK", "3  T", "no label"]
    assert [t.get_text() for t in by_modality.get_texts()] == ["ATAC", "RNA"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("systems", "across", "down"), [(1, 1, 1), (3, 1, 3), (4, 2, 2), (10, 2, 5), (13, 3, 5)]
)
def test_the_grid_wraps(tissue, systems, across, down):
    figure = grid_of(tissue, systems)
    places = [ax.get_subplotspec() for ax in figure.axes]
    assert places[0].get_gridspec().get_geometry() == (down, 2 * across)
    found = [(place.rowspan.start, place.colspan.start) for place in places]
    pairs = [divmod(i, across) for i in range(systems)]
    assert found == [(row, 2 * column + i) for row, column in pairs for i in (0, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("systems", [1, 3, 4])
@pytest.mark.parametrize("types", [3, 30])
def test_the_legend_of_the_grid_is_clear_of_title_and_panels(systems, types):
    names = np.array([f"a type of a long name {i}" for i in range(types)])[np.arange(90) % types]
    coordinates = np.random.default_rng(0).normal(size=(90, 2))
    places = dict.fromkeys([f"system {i}" for i in range(systems)], coordinates)
    figure = umap_figures.umap_grid(places, names, ["rna", "atac"] * 45, "A title of some length")
    figure.draw_without_rendering()
    by_type, by_modality = (legend.get_window_extent() for legend in figure.legends)
    others = [ax.get_tightbbox() for ax in figure.axes] + [figure._suptitle.get_window_extent()]
    assert not [box for box in others if box.overlaps(by_type) or box.overlaps(by_modality)]
    assert not by_type.overlaps(by_modality)
    assert by_type.x1 <= figure.bbox.x1 and by_type.y0 >= 0


def test_each_system_of_the_grid_may_have_its_own_types(tissue):
    coordinates, types, modality = tissue
    own = {"one": types, "two": np.where(types == "T", "new", types), "gone": types}
    figure = umap_figures.umap_grid(
        {"one": coordinates, "two": coordinates, "gone": None}, own, modality, ""
    )
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert shown == ["1  B", "2  NK", "3  T", "4  new", "no label"]


def test_a_grid_of_nothing_is_a_picture(tissue, tmp_path):
    assert style.save(grid_of(tissue, 0), tmp_path / "f.png").exists()


def test_the_grid_refuses_arrays_of_different_cells(tissue):
    coordinates, types, modality = tissue
    with pytest.raises(InputError, match="coordinates: 399, types: 400"):
        umap_figures.umap_grid({"a": coordinates[1:]}, types, modality, "")


def test_pictures_of_the_same_data_are_the_same_bytes(tmp_path, tissue):
    first, second = (
        style.save(umap_figures.umap_panels(*tissue, "t"), tmp_path / name).read_bytes()
        for name in ("1.png", "2.png")
    )
    assert first == second


def test_of_very_many_cells_a_sample_of_every_type_is_drawn(tissue, legend_of, monkeypatch):
    coordinates, types, modality = tissue
    types = np.where(np.arange(400) == 7, "rare", types)
    shade = np.arange(400.0)
    monkeypatch.setattr(umap_figures, "DRAWN", 80)
    figure = umap_figures.umap_panels(coordinates, types, modality, "", shade, "Shade")
    points = [ax.collections[-1].get_offsets() for ax in figure.axes[:3]]
    assert 76 <= len(points[0]) <= 81
    np.testing.assert_array_equal(points[0], points[1])
    assert set(map(tuple, points[0])) < set(map(tuple, coordinates))
    assert "4  rare" in legend_of(figure.axes[0])
    found = figure.axes[2].collections[-1]
    by_place = dict(zip(map(tuple, coordinates), shade, strict=True))
    drawn = [by_place[tuple(place)] for place in found.get_offsets()]
    np.testing.assert_array_equal(found.get_array(), drawn)
    grid = umap_figures.umap_grid({"a": coordinates, "b": coordinates}, types, modality, "")
    for ax in grid.axes:
        assert set(map(tuple, ax.collections[0].get_offsets())) == set(map(tuple, points[0]))
