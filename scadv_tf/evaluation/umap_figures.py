"""Pictures of the cells on a UMAP.

Cell types are told apart by a number on their cluster as well as by colour, since no 30 colours
suit every eye.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from scadv_tf.evaluation.metrics import Labels, as_text, check_finite, check_lengths
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


@in_house_style
def umap_panels(
    coordinates: np.ndarray,
    types: Labels,
    modality: Labels,
    title: str,
    extra: Labels | np.ndarray | None = None,
    extra_title: str = "",
) -> Figure:
    """Draw the cells by type and by modality, side by side.

    Parameters
    ----------
    coordinates : [N, 2].
    types : [N] names; '' and 'unknown' are drawn in grey.
    modality : [N] 'rna' or 'atac'.
    title : says where the types of the ATAC cells come from.
    extra : [N] a third panel: text is drawn as types, numbers (such as the confidence) as shades,
        with NaN in grey.
    extra_title : title of the third panel.
    """
    check_lengths("umap_panels", coordinates=coordinates, types=types, modality=modality)
    coordinates, types = check_finite("The coordinates", coordinates), as_text(types)
    modality = np.char.upper(as_text(modality).astype(str))
    shades = extra is not None and np.issubdtype(np.asarray(extra).dtype, np.number)
    others = types[:0] if extra is None or shades else as_text(extra)
    new_types = set(others) - set(types)  # else the legend of the first panel serves both
    colors = type_colors([*types, *others])
    panels = 2 if extra is None else 3
    columns = _legend_columns(types) + (_legend_columns(others) if new_types else 0)
    legends = columns * (0.7 + 0.085 * max(len(name) for name in colors))
    figure = new_figure(4.4 * panels + 0.9 + legends, 4.9, title)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    _draw_types(axes[0], "Cell type", coordinates, types, colors)
    modalities = {"RNA": PALETTE[0], "ATAC": PALETTE[5]}
    _draw_types(axes[1], "Modality", coordinates, modality, type_colors(modality) | modalities)
    if shades:
        _draw_shades(axes[2], extra_title, coordinates, np.asarray(extra, dtype=float))
    elif extra is not None:
        _draw_types(axes[2], extra_title, coordinates, others, colors, legend=bool(new_types))
    return figure


def _draw_cells(ax: Axes, title: str, coordinates: np.ndarray):
    """Prepare an empty UMAP panel; return the order of drawing and the options of a scatter."""
    ax.set(title=title, xticks=[], yticks=[], xlabel="UMAP 1", ylabel="UMAP 2")
    ax.set_box_aspect(1)
    # A random order, so that neither the last type nor the last modality hides the others.
    order = np.random.default_rng(0).permutation(len(coordinates))
    size = float(np.clip(30_000 / max(1, len(coordinates)), 0.6, 24))
    return order, {"s": size, "linewidths": 0, "rasterized": True}


def _legend_columns(names: Iterable[str]) -> int:
    return 1 + (len(set(names)) - 1) // 18


def _draw_types(
    ax: Axes,
    title: str,
    coordinates: np.ndarray,
    names: np.ndarray,
    colors: Mapping[str, str],
    legend: bool = True,
) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patheffects import withStroke

    order, options = _draw_cells(ax, title, coordinates)
    ax.scatter(*coordinates[order].T, c=[colors[name] for name in names[order]], **options)
    handles, labels = [], []
    number_of = {name: i for i, name in enumerate(sorted(set(colors) - set(NO_LABEL)), start=1)}
    numbered = len(number_of) > 2
    for name in sorted(set(names), key=lambda name: (name in NO_LABEL, name)):
        handles.append(Line2D([], [], marker="o", ls="", ms=7, mew=0, color=colors[name]))
        number = f"{number_of[name]}  " if numbered and name in number_of else ""
        labels.append(number + (name or "no label"))
        if number:
            halo = [withStroke(linewidth=2.5, foreground="white")]
            # Beside its place, since a number on a tight cluster of few cells would hide it.
            ax.annotate(
                number.strip(), _densest_place(coordinates[names == name]), (4, 4),
                textcoords="offset points", weight="bold", path_effects=halo,
            )  # fmt: skip
    if legend:
        legend_outside(ax, handles, labels, _legend_columns(names))


def _draw_shades(ax: Axes, title: str, coordinates: np.ndarray, values: np.ndarray) -> None:
    order, options = _draw_cells(ax, title, coordinates)
    known = np.isfinite(values)
    grey, shaded = order[~known[order]], order[known[order]]
    ax.scatter(*coordinates[grey].T, c=NO_LABEL_COLOR, **options)
    points = ax.scatter(
        *coordinates[shaded].T, c=values[shaded], cmap="viridis", vmin=0, vmax=1, **options
    )
    bar = ax.figure.colorbar(points, ax=ax, shrink=0.5, aspect=14, pad=0.02)
    bar.outline.set_visible(False)


def _densest_place(coordinates: np.ndarray) -> np.ndarray:
    """Mean of the cells in the fullest of 12 x 12 squares, which lies on a cluster.

    The mean of all cells need not: the cells of a type may fall into two groups.
    """
    if len(coordinates) < 3:
        return coordinates[0]
    counts, *edges = np.histogram2d(*coordinates.T, bins=12)
    square = np.unravel_index(counts.argmax(), counts.shape)
    inside = np.ones(len(coordinates), dtype=bool)
    for axis in (0, 1):
        low, high = edges[axis][square[axis]], edges[axis][square[axis] + 1]
        inside &= (coordinates[:, axis] >= low) & (coordinates[:, axis] <= high)
    return coordinates[inside].mean(axis=0) if inside.any() else coordinates.mean(axis=0)
