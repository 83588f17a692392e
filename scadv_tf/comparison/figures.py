"""Pictures that set systems side by side: scores, the F1 of each type, the ladder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from scadv_tf.comparison.summary import NO_SCORE
from scadv_tf.evaluation.heat_map import new_heat_map, number
from scadv_tf.evaluation.style import (
    INK,
    PALETTE,
    in_house_style,
    new_figure,
    series_colors,
    title_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Values = float | Sequence[float] | None  # a score, or one a seed; None where there is none
GREY = "#7b8794"
GAIN, LOSS = "#00704f", "#b34700"
STEP = 0.38  # half the width of a step of the ladder; systems are 1 apart


def _values(values: Values) -> np.ndarray:
    """Return the values that exist, [seeds]."""
    values = np.atleast_1d(np.asarray([] if values is None else values, dtype=float))
    return values[np.isfinite(values)]


@in_house_style
def per_type_f1(scores: Mapping[str, dict | Sequence[dict | None] | None]) -> Figure:
    """Draw the F1 of each type (row) by system (column), the mean over seeds; the best is bold.

    The types with most cells come first.

    Parameters
    ----------
    scores : system -> its `metrics.label_scores`, or those of each seed; None is left out.
    """
    f1: dict[str, dict[str, list[float]]] = {}
    cells: dict[str, int] = {}
    for system, found in scores.items():
        seeds = [found] if isinstance(found, Mapping) else found or ()
        for name, row in (item for seed in seeds if seed for item in seed["per_type"].items()):
            f1.setdefault(system, {}).setdefault(name, []).append(row["f1"])
            cells[name] = row["cells"]
    types = sorted(cells, key=lambda name: (-cells[name], name))
    means = [[np.mean(f1[system].get(name, np.nan)) for system in f1] for name in types]
    means = np.asarray(means, dtype=float).reshape(len(types), len(f1))
    names = [f"{name} ({cells[name]:,})" for name in types]
    ax = new_heat_map(means, names, list(f1), "F1 of each cell type", "F1")
    ax.set_ylabel("True type (cells)")
    for (row, column), mean in np.ndenumerate(means):
        if np.isfinite(mean):
            best = len(f1) > 1 and round(mean, 2) == round(np.nanmax(means[row]), 2) > 0
            weight = "bold" if best else "normal"
            number(ax, row, column, mean, f"{mean:.2f}", weight=weight)
    return ax.figure


@in_house_style
def score_bars(
    scores: Mapping[str, Mapping[str, Values]], colors: Mapping[str, str] | None = None
) -> Figure:
    """Draw the mean of each score by system; the whisker is the standard deviation over seeds.

    Parameters
    ----------
    scores : system -> {score: its value, or one value a seed; None where it has none}.
    colors : system -> colour, so that pictures agree; by default in the order given.
    """
    systems = list(scores)
    names = list(dict.fromkeys(name for found in scores.values() for name in found))
    width = 1.4 + 0.08 * max((len(system) for system in systems), default=0)
    size = width + 2.9 * max(1, len(names)), 1.3 + 0.42 * len(systems)
    figure = new_figure(*size, "Systems side by side")
    axes = figure.subplots(1, max(1, len(names)), sharey=True, squeeze=False)[0]
    colors = series_colors(systems) | dict(colors or {})
    for ax, name in zip(axes, names, strict=False):
        for place, system in enumerate(systems):
            _draw_bar(ax, place, _values(scores[system].get(name)), colors[system])
        ax.set_title(title_of(name), loc="left", fontsize=10)
        ax.axvline(0, color=GREY, lw=0.8)
        ax.margins(x=0.28)
        if ax.dataLim.xmax <= 1:  # such as F1, which has no 1.2
            low, high = ax.get_xlim()
            ax.set_xticks([tick for tick in ax.get_xticks() if low <= tick <= min(1, high)])
        ax.grid(axis="x")
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
    axes[0].set_yticks(range(len(systems)), systems)
    axes[0].set_ylim(len(systems) - 0.4, -0.6)
    return figure


def _draw_bar(ax: Axes, place: int, values: np.ndarray, color: str) -> None:
    if not len(values):
        ax.text(0, place, f" {NO_SCORE}", va="center", color=GREY, fontsize=9)
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
        f"{mean:.3f}", (reach, place), (5, 0), textcoords="offset points", va="center", fontsize=9
    )


@in_house_style
def ladder(scores: Mapping[str, Mapping[str, Values]]) -> Figure:
    """Draw systems as steps, each named by what it adds to the one before, with its gain.

    A step stands at the mean over seeds, which is written above it; its gain over the step before
    is written below. The dots are the seeds, the whisker is their standard deviation.

    Parameters
    ----------
    scores : system -> {score: its value, or one value a seed}, in the order of the steps, as for
        `score_bars`; one panel a score. Systems without any value are left out.
    """
    scores = {
        system: found
        for system, found in scores.items()
        if any(len(_values(values)) for values in found.values())
    }
    names = list(dict.fromkeys(name for found in scores.values() for name in found))
    panels = max(1, len(names))
    width = (1.1 + 0.85 * max(3, len(scores))) * panels
    figure = new_figure(width, 4.2, "What each added loss gives")
    for ax, name in zip(figure.subplots(1, panels, squeeze=False)[0], names, strict=False):
        steps = [_values(found.get(name)) for found in scores.values()]
        _draw_steps(ax, steps, PALETTE[names.index(name) % len(PALETTE)])
        ax.set_title(title_of(name), loc="left", fontsize=10)
        ax.set_xticks(range(len(scores)), _step_names(list(scores)))
        ax.set_xlim(-0.6, len(scores) - 0.4)
        ax.margins(y=0.15)
        ax.grid(axis="y")
    return figure


def _step_names(systems: Sequence[str]) -> list[str]:
    """Return '+ nce' for 'ce_nce' after 'ce': what a system adds to the one before it."""
    names = list(systems[:1])
    for before, system in zip(systems, systems[1:], strict=False):
        added = system.removeprefix(f"{before}_")
        names.append(f"+ {added}" if added != system else system)
    return names


def _draw_steps(ax: Axes, steps: Sequence[np.ndarray], color: str) -> None:
    """Draw one panel; the gain under a step is over the last step that has values."""
    before = None
    for place, values in enumerate(steps):
        if not len(values):
            continue
        mean = values.mean()
        spread = values.std(ddof=1) if len(values) > 1 else 0.0
        ax.plot([place - STEP, place + STEP], [mean, mean], color=color, lw=3, zorder=3)
        if len(values) > 1:
            ax.errorbar(place, mean, yerr=spread, color=INK, lw=1.3, capsize=3, zorder=4)
        shift = np.linspace(-0.2, 0.2, len(values)) if len(values) > 1 else np.zeros(1)
        ax.plot(place + shift, values, "o", ms=4.5, mfc="white", mec=INK, mew=0.9, zorder=5)
        top, bottom = max(values.max(), mean + spread), min(values.min(), mean - spread)
        beside = {"textcoords": "offset points", "ha": "center", "fontsize": 9}
        ax.annotate(f"{mean:.3f}", (place, top), (0, 6), va="bottom", **beside)
        if before is not None:
            last, last_mean = before
            gain = mean - last_mean
            ax.plot([last + STEP, place - STEP], [last_mean, mean], color=color, lw=1.2, zorder=2)
            ax.annotate(
                f"{gain:+.3f}", (place, bottom), (0, -6), va="top", weight="bold",
                color=GAIN if gain >= 0 else LOSS, **beside,
            )  # fmt: skip
        before = place, mean
