"""Pictures that set systems side by side: the F1 of each type, and scores over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from scadv_tf.evaluation.style import (
    INK,
    PALETTE,
    in_house_style,
    legend_outside,
    new_axes,
    new_figure,
    readable,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "oDs^vPX<>p"


@in_house_style
def per_type_f1(scores: Mapping[str, dict | None], title: str = "F1 of each cell type") -> Figure:
    """Draw the F1 of each type, one mark a system; the types with most cells come first.

    Parameters
    ----------
    scores : system -> its `metrics.label_scores`; None is left out.
    title : of the figure.
    """
    scores = {system: found["per_type"] for system, found in scores.items() if found}
    cells = {name: row["cells"] for found in scores.values() for name, row in found.items()}
    types = sorted(cells, key=lambda name: (-cells[name], name))
    ax = new_axes(7.6, 1.5 + 0.33 * max(2, len(types)), title)
    for i, (system, found) in enumerate(scores.items()):
        f1 = [found[name]["f1"] if name in found else np.nan for name in types]
        ax.plot(
            f1, range(len(types)), MARKERS[i % len(MARKERS)], ms=7.5, mec="white", mew=0.7,
            color=PALETTE[i % len(PALETTE)], label=system, clip_on=False, zorder=3,
        )  # fmt: skip
    ax.set_yticks(range(len(types)), [f"{name} ({cells[name]:,})" for name in types])
    ax.set(xlim=(0, 1), ylim=(len(types) - 0.5, -0.5), xlabel="F1", ylabel="True type (cells)")
    ax.grid(axis="both")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    if len(scores) > 1:
        legend_outside(ax, *ax.get_legend_handles_labels())
    return ax.figure


@in_house_style
def score_bars(
    scores: Mapping[str, Mapping[str, float | Sequence[float] | None]],
    title: str = "Systems side by side",
) -> Figure:
    """Draw the mean of each score by system; the whisker is the standard deviation over seeds.

    Parameters
    ----------
    scores : system -> {score: its value, or one value a seed; None where it has none}.
    title : of the figure.
    """
    systems = list(scores)
    names = list(dict.fromkeys(name for found in scores.values() for name in found))
    width = 1.4 + 0.08 * max((len(system) for system in systems), default=0)
    figure = new_figure(width + 2.9 * max(1, len(names)), 1.3 + 0.42 * len(systems), title)
    axes = figure.subplots(1, max(1, len(names)), sharey=True, squeeze=False)[0]
    for ax, name in zip(axes, names, strict=False):
        for place, system in enumerate(systems):
            _draw_bar(ax, place, scores[system].get(name), PALETTE[place % len(PALETTE)])
        ax.set_title(readable(name), loc="left", fontsize=10)
        ax.axvline(0, color="#7b8794", lw=0.8)
        ax.margins(x=0.28)
        ax.grid(axis="x")
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
    axes[0].set_yticks(range(len(systems)), systems)
    axes[0].set_ylim(len(systems) - 0.4, -0.6)
    return figure


def _draw_bar(ax: Axes, place: int, values: float | Sequence[float] | None, color: str) -> None:
    values = np.atleast_1d(np.asarray([] if values is None else values, dtype=float))
    values = values[np.isfinite(values)]
    if not len(values):
        ax.text(0, place, " no value", va="center", color="#7b8794", fontsize=9)
        return
    mean = values.mean()
    ax.barh(place, mean, height=0.62, color=color)
    reach = max(mean, 0)
    if len(values) > 1:
        spread = values.std(ddof=1)
        ax.errorbar(mean, place, xerr=spread, color=INK, lw=1.3, capsize=3)
        ax.plot(values, np.full(len(values), place), "o", ms=3, mfc="white", mec=INK, mew=0.8)
        reach = max(reach, mean + spread, values.max())
    ax.annotate(
        f"{mean:.2f}", (reach, place), (5, 0), textcoords="offset points", va="center", fontsize=9
    )
