"""Pictures of the cells on a UMAP.

Cell types are told apart by a number on their cluster as well as by colour, since no 30 colours
suit every eye.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from scadv_tf.evaluation.labelled_cells import (
    Labels,
    as_text,
    check_finite,
    check_lengths,
    stratified_sample,
)
from scadv_tf.evaluation.style import (
    NO_LABEL,
    NO_LABEL_COLOR,
    PALETTE,
    in_house_style,
    legend_outside,
    new_figure,
    type_colors,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

DRAWN = 200_000  # points; more take long and hide each other
PANEL, SMALL_PANEL = 4.4, 2.5  # inches; the small ones are those of the grid


@in_house_style
def umap_panels(
    coordinates: np.ndarray,
    types: Labels | None,
    modality: Labels,
    title: str,
    extra: Labels | np.ndarray | None = None,
    extra_title: str = "",
) -> Figure:
    """Draw the cells by type and by modality, side by side.

    Above 200,000 cells, so many random ones are drawn, each type in its own share.

    Parameters
    ----------
    coordinates : [N, 2].
    types : [N] names; '' and 'unknown' are drawn in grey. None: only the modality is drawn.
    modality : [N] 'rna' or 'atac', in upper or lower case.
    title : says where the types of the ATAC cells come from.
    extra : [N] a third panel: text is drawn as types, numbers (such as the confidence) as shades,
        with NaN in grey.
    extra_title : title of the third panel.
    """
    without_types = types is None
    types = np.repeat("", len(modality)) if without_types else as_text(types)
    check_lengths("umap_panels", coordinates=coordinates, types=types, modality=modality)
    coordinates = np.asarray(coordinates)
    check_finite("The coordinates", coordinates)
    drawn = _drawn(types)
    coordinates, types, modality = coordinates[drawn], types[drawn], _upper(modality, drawn)
    extra = None if extra is None else np.asarray(extra)[drawn]
    if without_types:
        return _modality_panel(coordinates, modality, title)
    shades = extra is not None and np.issubdtype(np.asarray(extra).dtype, np.number)
    others = types[:0] if extra is None or shades else as_text(extra)
    new_types = set(others) - set(types)  # else the legend of the first panel serves both
    colors, modality_colors = type_colors([*types, *others]), _modality_colors(modality)
    panels = 2 if extra is None else 3
    columns = _legend_columns(types) + (_legend_columns(others) if new_types else 0)
    room = columns * (0.7 + 0.085 * max(len(name) for name in colors))
    figure = new_figure(PANEL * panels + 0.9 + room, 4.9, title)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    _draw_types(axes[0], "Cell type", coordinates, types, colors)
    _draw_types(axes[1], "Modality", coordinates, modality, modality_colors)
    legends = [_legend(types, colors), _legend(modality, modality_colors)]
    if shades:
        _draw_shades(axes[2], extra_title, coordinates, np.asarray(extra, dtype=float))
    elif extra is not None:
        _draw_types(axes[2], extra_title, coordinates, others, colors)
        legends += [_legend(others, colors)] if new_types else []
    for ax, legend in zip(axes, legends, strict=False):
        legend_outside(ax, list(legend.values()), list(legend), _legend_columns(legend))
    return figure


def _modality_panel(coordinates: np.ndarray, modality: np.ndarray, title: str) -> Figure:
    figure = new_figure(PANEL + 1.6, 4.9, title)
    ax, colors = figure.subplots(), _modality_colors(modality)
    _draw_types(ax, "Modality", coordinates, modality, colors)
    legend = _legend(modality, colors)
    legend_outside(ax, list(legend.values()), list(legend))
    return figure


@in_house_style
def umap_grid(
    coordinates: Mapping[str, np.ndarray | None],
    types: Labels | Mapping[str, Labels],
    modality: Labels,
    title: str,
) -> Figure:
    """Draw the UMAP of each system twice, by type and by modality, with one legend for all.

    Up to three systems stand one below the other; more wrap to two, above twelve to three, in a
    row. Above 200,000 cells, so many random ones are drawn, each type of the first system in its
    own share.

    Parameters
    ----------
    coordinates : system -> [N, 2] of the same cells in the same order; None is left out.
    types : [N] names; '' and 'unknown' are drawn in grey. Or those of each system.
    modality : [N] 'rna' or 'atac', in upper or lower case.
    title : says where the types of the ATAC cells come from.
    """
    there = {
        system: np.asarray(found) for system, found in coordinates.items() if found is not None
    }
    named = types if isinstance(types, Mapping) else dict.fromkeys(there, types)
    named = {system: as_text(named[system]) for system in there}
    drawn = _drawn(next(iter(named.values()), modality))
    for system, found in there.items():
        check_lengths("umap_grid", coordinates=found, types=named[system], modality=modality)
    named = {system: names[drawn] for system, names in named.items()}
    modality = _upper(modality, drawn)
    shown = {name for names in named.values() for name in names}
    colors, modality_colors = type_colors(shown), _modality_colors(modality)
    figure, places, options = _new_grid(len(there), colors, title)
    for (system, found), (left, right) in zip(there.items(), places, strict=True):
        check_finite(f"The coordinates of {system}", found)
        found = found[drawn]
        _draw_types(left, "", found, named[system], colors, small=True)
        _draw_types(right, "", found, modality, modality_colors, small=True)
        left.set_title(system, loc="left", fontsize=10)
        right.set_title("by modality", loc="left", fontsize=9, weight="normal")
    by_type, by_modality = _legend(shown, colors), _legend(modality, modality_colors)
    figure.legend(by_type.values(), by_type, title="Cell type", **options)
    below = {"ncols": 2, "loc": "outside lower left", "handletextpad": 0.4}
    figure.legend(by_modality.values(), by_modality, **below)
    return figure


def _new_grid(
    systems: int, colors: Mapping[str, str], title: str
) -> tuple[Figure, list[tuple[Axes, Axes]], dict]:
    """Return a figure, two axes a system, and the options of a legend to their right."""
    across = 1 + (systems > 3) + (systems > 12)
    down = max(1, -(-systems // across))
    height = (SMALL_PANEL + 0.15) * down + 0.9
    columns = 1 + len(colors) // int(height / 0.22)
    legend = columns * (0.95 + 0.085 * max(map(len, colors)))
    width = max(SMALL_PANEL * 2 * across + legend, 0.5 + 0.12 * len(title))
    figure = new_figure(width, height, title)
    # The panels leave room for the legend, which starts below the title.
    figure.get_layout_engine().set(rect=(0, 0, 1 - legend / width, 1))
    grid = figure.add_gridspec(down, 2 * across)
    places = [(place // across, 2 * (place % across)) for place in range(systems)]
    axes = [
        (figure.add_subplot(grid[row, column]), figure.add_subplot(grid[row, column + 1]))
        for row, column in places
    ]
    legends = {
        "loc": "upper left", "bbox_to_anchor": (1 - legend / width, 1 - 0.45 / height),
        "ncols": columns, "alignment": "left", "handletextpad": 0.4, "columnspacing": 1.0,
    }  # fmt: skip
    return figure, axes, legends


def _drawn(labels: Labels) -> np.ndarray | slice:
    """The cells to draw."""
    return slice(None) if len(labels) <= DRAWN else stratified_sample(labels, DRAWN, seed=0)


def _upper(modality: Labels, cells: np.ndarray | slice) -> np.ndarray:
    return np.char.upper(as_text(modality)[cells].astype(str))


def _modality_colors(modality: np.ndarray) -> dict[str, str]:
    return type_colors(modality) | {"RNA": PALETTE[0], "ATAC": PALETTE[5]}


def _draw_cells(
    ax: Axes, title: str, coordinates: np.ndarray, small: bool = False
) -> tuple[np.ndarray, dict]:
    """Prepare an empty UMAP panel; return the order of drawing and the options of a scatter."""
    ax.set(title=title, xticks=[], yticks=[])
    if not small:
        ax.set(xlabel="UMAP 1", ylabel="UMAP 2")
    ax.set_box_aspect(1)
    # A random order, so that neither the last type nor the last modality hides the others.
    order = np.random.default_rng(0).permutation(len(coordinates))
    size = float(np.clip(30_000 / max(1, len(coordinates)), 0.6, 24))
    if small:
        size *= (SMALL_PANEL / PANEL) ** 2
    return order, {"s": size, "linewidths": 0, "rasterized": True}


def _legend_columns(names: Iterable[str]) -> int:
    return 1 + (len(set(names)) - 1) // 18


def _draw_types(
    ax: Axes,
    title: str,
    coordinates: np.ndarray,
    names: np.ndarray,
    colors: Mapping[str, str],
    small: bool = False,
) -> None:
    from matplotlib.patheffects import withStroke

    order, options = _draw_cells(ax, title, coordinates, small)
    ax.scatter(*coordinates[order].T, c=[colors[name] for name in names[order]], **options)
    halo = [withStroke(linewidth=2 if small else 2.5, foreground="white")]
    number_of = _numbers(colors)
    for name in sorted(set(names) & set(number_of)):
        # Beside its place, since a number on a tight cluster of few cells would hide it.
        ax.annotate(
            number_of[name], _densest_place(coordinates[names == name]), (4, 4),
            textcoords="offset points", weight="bold", path_effects=halo,
            fontsize=7.5 if small else None,
        )  # fmt: skip


def _numbers(colors: Mapping[str, str]) -> dict[str, str]:
    """Number the names, if they are more than two."""
    names = sorted(set(colors) - set(NO_LABEL))
    return {name: str(i) for i, name in enumerate(names, start=1)} if len(names) > 2 else {}


def _legend(names: Iterable[str], colors: Mapping[str, str]) -> dict[str, Line2D]:
    """Return text -> mark of each name; the numbers are those on the clusters."""
    from matplotlib.lines import Line2D

    number_of = _numbers(colors)
    legend = {}
    for name in sorted(set(names), key=lambda name: (name in NO_LABEL, name)):
        mark = Line2D([], [], marker="o", ls="", ms=7, mew=0, color=colors[name])
        number = f"{number_of[name]}  " if name in number_of else ""
        legend[number + (name or "no label")] = mark
    return legend


def _draw_shades(ax: Axes, title: str, coordinates: np.ndarray, values: np.ndarray) -> None:
    order, options = _draw_cells(ax, title, coordinates)
    known = np.isfinite(values)
    grey, shaded = order[~known[order]], order[known[order]]
    ax.scatter(*coordinates[grey].T, c=NO_LABEL_COLOR, **options)
    shown = values[shaded]
    # Shares and confidences are comparable between pictures; other values have bounds of their own.
    bounds = (0, 1) if np.all((shown >= 0) & (shown <= 1)) else (shown.min(), shown.max())
    limits = dict(zip(("vmin", "vmax"), bounds, strict=True))
    points = ax.scatter(*coordinates[shaded].T, c=shown, cmap="viridis", **limits, **options)
    bar = ax.figure.colorbar(points, ax=ax, shrink=0.5, aspect=14, pad=0.02)
    bar.outline.set_visible(False)


def _densest_place(coordinates: np.ndarray) -> np.ndarray:
    """Mean of the cells in the fullest of 12 x 12 squares, which lies on a cluster.

    The mean of all cells need not: the cells of a type may fall into two groups.
    """
    if len(coordinates) < 3:
        return coordinates[0]
    x, y = coordinates.T
    counts, *edges = np.histogram2d(x, y, bins=12)
    square = np.unravel_index(counts.argmax(), counts.shape)
    inside = np.ones(len(coordinates), dtype=bool)
    for axis in (0, 1):
        low, high = edges[axis][square[axis]], edges[axis][square[axis] + 1]
        inside &= (coordinates[:, axis] >= low) & (coordinates[:, axis] <= high)
    return coordinates[inside].mean(axis=0) if inside.any() else coordinates.mean(axis=0)
