"""Pictures of a run's training and labels, fit for a slide. Each function returns a Figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scadv_tf.evaluation.heat_map import new_heat_map, number
from scadv_tf.evaluation.labelled_cells import check_lengths
from scadv_tf.evaluation.style import (
    PALETTE,
    in_house_style,
    legend_outside,
    new_axes,
    new_figure,
    series_colors,
    title_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

NUMBERED_CELLS = 20  # a larger matrix has no room for numbers


@in_house_style
def confusion_matrix(counts: pd.DataFrame) -> Figure:
    """Draw which share of each true type (row) was given each label (column).

    Parameters
    ----------
    counts : cells of each pair, as from `metrics.confusion`; need not be square.
    """
    rows, columns = counts.shape
    cells = counts.to_numpy(dtype=float)
    shares = cells / np.maximum(cells.sum(axis=1, keepdims=True), 1)
    names = [
        f"{name} ({int(total):,})"
        for name, total in zip(counts.index, cells.sum(axis=1), strict=True)
    ]
    title = "Predicted against true types"
    ax = new_heat_map(shares, names, counts.columns, title, "% of the true type")
    ax.set(xlabel="Predicted type", ylabel="True type (cells)")
    if max(rows, columns) <= NUMBERED_CELLS:
        for (row, column), share in np.ndenumerate(shares):
            if share >= 0.005:
                number(ax, row, column, share, f"{100 * share:.0f}")
    return ax.figure


def _lines(ax: Axes, values: pd.Series, color: str, label: str | None = None) -> Line2D:
    from matplotlib.ticker import MaxNLocator

    few = len(values) <= 30
    (line,) = ax.plot(
        values.index, values, color=color, lw=1.8, marker="o" if few else "", ms=3.5, label=label
    )
    ax.grid(axis="y")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    ax.set_xlabel("Epoch")
    return line


@in_house_style
def learning_curve(scores: Sequence[float] | np.ndarray) -> Figure:
    """Draw the macro F1 after each epoch, the first of which is epoch 1."""
    ax = new_axes(7.2, 4.2, "Learning curve")
    values = _by_epoch(scores)
    _lines(ax, values, PALETTE[0])
    if len(values):
        ax.annotate(
            f"{values.iloc[-1]:.2f}", (values.index[-1], values.iloc[-1]), (6, 0),
            textcoords="offset points", va="center", color=PALETTE[0], weight="bold",
        )  # fmt: skip
    ax.set(ylim=(0, 1.02), ylabel="Macro F1 on ATAC cells")
    return ax.figure


@in_house_style
def learning_curves(
    curves: Mapping[str, Sequence[Sequence[float] | np.ndarray]],
    flat: Mapping[str, float | None] | None = None,
    colors: Mapping[str, str] | None = None,
) -> Figure:
    """Draw the macro F1 by epoch of each system: the mean over seeds, in a band from least to most.

    The legend names the systems in the order in which they end, with the last value of each.

    Parameters
    ----------
    curves : system -> a curve a seed, from epoch 1 on. Where seeds have different epochs, the mean
        is over those that have the epoch.
    flat : system without epochs -> its score, drawn as a dashed line; None is left out.
    colors : system -> colour, so that pictures agree; by default in the order given.
    """
    flat = {name: value for name, value in (flat or {}).items() if value is not None}
    colors = series_colors([*curves, *flat]) | dict(colors or {})
    ax = new_axes(7.6, max(4.2, 1.2 + 0.24 * (len(curves) + len(flat))), "Learning curves")
    drawn = []  # last value, line
    for name, seeds in curves.items():
        table = pd.DataFrame(dict(enumerate(map(_by_epoch, seeds)))).dropna(how="all")
        if table.empty:
            continue
        if table.shape[1] > 1:
            band = table.min(axis=1), table.max(axis=1)
            ax.fill_between(table.index, *band, color=colors[name], alpha=0.2, lw=0)
        mean = table.mean(axis=1)
        drawn.append((mean.iloc[-1], _lines(ax, mean, colors[name], name)))
    for name, value in flat.items():
        line = ax.axhline(value, color=colors[name], lw=1.4, ls=(0, (5, 2)), label=name)
        drawn.append((value, line))
    ax.set(ylim=(0, 1.02), ylabel="Macro F1 of the classifier on ATAC cells")
    drawn.sort(key=lambda pair: -pair[0])
    labels = [f"{line.get_label()}  {value:.2f}" for value, line in drawn]
    legend_outside(ax, [line for _, line in drawn], labels)
    return ax.figure


def _by_epoch(values: Sequence[float] | np.ndarray) -> pd.Series:
    """Return the values that exist by their epoch, counted from 1."""
    return pd.Series(values, index=range(1, len(values) + 1), dtype=float).dropna()


@in_house_style
def loss_curves(history: pd.DataFrame) -> Figure:
    """Draw one small panel a loss.

    Parameters
    ----------
    history : a row an epoch and a column a loss. The epochs are in a column 'epoch' or else counted
        from 1; columns that are not numbers or hold none are left out.
    """
    epochs = history["epoch"] if "epoch" in history else np.arange(1, len(history) + 1)
    losses = history.drop(columns="epoch", errors="ignore").select_dtypes("number")
    losses = losses.set_axis(pd.Index(epochs)).dropna(axis=1, how="all")
    columns = max(1, min(3, losses.shape[1]))
    rows = max(1, -(-losses.shape[1] // columns))
    figure = new_figure(3.5 * columns, 0.5 + 2.3 * rows, "Losses by epoch")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, name in zip(axes, losses, strict=False):
        _lines(ax, losses[name].dropna(), PALETTE[0])
        ax.set_title(title_of(name), loc="left", fontsize=10)
    for ax in axes[losses.shape[1] :]:
        ax.set_axis_off()
    return figure


@in_house_style
def confidence_histogram(confidence: np.ndarray, correct: np.ndarray | None = None) -> Figure:
    """Draw how sure the labels are, split into right and wrong ones where that is known.

    Parameters
    ----------
    confidence : [A] in [0, 1].
    correct : [A] bool, or None without truth.
    """
    confidence = np.asarray(confidence, dtype=float)
    ax = new_axes(7.2, 3.8, "Confidence of the labels given to ATAC cells")
    groups, colors, names = [confidence], [PALETTE[0]], None
    if correct is not None:
        check_lengths("confidence_histogram", confidence=confidence, correct=correct)
        correct = np.asarray(correct, dtype=bool)
        groups, colors = [confidence[correct], confidence[~correct]], [PALETTE[0], PALETTE[5]]
        names = [f"right ({correct.sum():,})", f"wrong ({(~correct).sum():,})"]
    bins = np.linspace(0, 1, 26)
    ax.hist(groups, bins, stacked=True, color=colors, label=names, edgecolor="white", linewidth=0.6)
    ax.set(xlim=(0, 1), xlabel="Confidence (probability of the label given)", ylabel="ATAC cells")
    ax.grid(axis="y")
    if names:
        legend_outside(ax, *ax.get_legend_handles_labels())
    return ax.figure


@in_house_style
def type_shares(shares: pd.DataFrame) -> Figure:
    """Draw the shares of each type in both modalities, the largest at the top.

    Parameters
    ----------
    shares : [types, (rna, atac)] in [0, 1].
    """
    shares = shares.loc[shares.max(axis=1).sort_values().index]
    ax = new_axes(7.2, 1.5 + 0.36 * len(shares), "Share of each type")
    places, height = np.arange(len(shares)), 0.38
    series = {"RNA cells": ("rna", PALETTE[0]), "ATAC cells, estimated": ("atac", PALETTE[5])}
    for side, (name, (column, color)) in zip((0.5, -0.5), series.items(), strict=True):
        ax.barh(places + side * height, 100 * shares[column], height, color=color, label=name)
    ax.set_yticks(places, shares.index)
    ax.set(xlim=(0, None), xlabel="% of the cells")
    ax.grid(axis="x")
    legend_outside(ax, *ax.get_legend_handles_labels())
    return ax.figure
