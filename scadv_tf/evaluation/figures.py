"""Pictures of a run, fit for a slide. Each function returns a matplotlib Figure.

Every picture of the package can be had from here: those of one run's training and labels, which
are drawn in this module, the UMAP panels, and those that compare systems.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scadv_tf.evaluation.comparison_figures import per_type_f1, score_bars
from scadv_tf.evaluation.metrics import check_lengths
from scadv_tf.evaluation.style import (
    INK,
    PALETTE,
    in_house_style,
    legend_outside,
    new_axes,
    new_figure,
    readable,
    save,
    type_colors,
)
from scadv_tf.evaluation.umap_figures import umap_panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "confidence_histogram",
    "confusion_matrix",
    "learning_curve",
    "loss_curves",
    "per_type_f1",
    "readable",
    "save",
    "score_bars",
    "type_colors",
    "umap_panels",
]

NUMBERED_CELLS = 20  # a larger matrix has no room for numbers


@in_house_style
def confusion_matrix(counts: pd.DataFrame, title: str = "Predicted against true types") -> Figure:
    """Draw which share of each true type (row) was given each label (column).

    Parameters
    ----------
    counts : cells of each pair, as from `metrics.confusion`; need not be square.
    title : of the figure.
    """
    rows, columns = counts.shape
    cells = counts.to_numpy(dtype=float)
    shares = cells / np.maximum(cells.sum(axis=1, keepdims=True), 1)
    names = [
        f"{name} ({int(total):,})"
        for name, total in zip(counts.index, cells.sum(axis=1), strict=True)
    ]
    left, below = (0.09 * max(map(len, texts), default=0) for texts in (names, counts.columns))
    ax = new_axes(2.0 + left + 0.46 * columns, 1.2 + 0.75 * below + 0.46 * rows, title)
    image = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    ax.set_yticks(range(rows), names)
    ax.set_xticks(range(columns), counts.columns, rotation=45, ha="right", rotation_mode="anchor")
    ax.set(xlabel="Predicted type", ylabel="True type (cells)")
    ax.set_xticks(np.arange(columns + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(rows + 1) - 0.5, minor=True)
    ax.grid(which="minor", color="white", linewidth=1.5)
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_visible(False)
    if max(rows, columns) <= NUMBERED_CELLS:
        for (row, column), share in np.ndenumerate(shares):
            if share >= 0.005:
                ink = "white" if share > 0.55 else INK
                text = f"{100 * share:.0f}"
                ax.text(column, row, text, ha="center", va="center", color=ink, fontsize=9)
    # The bar lives in the axes' own height, which a colorbar beside them would not keep to.
    place = ax.inset_axes([1 + 0.25 / columns, 0, 0.35 / columns, 1])
    bar = ax.figure.colorbar(image, cax=place, label="% of the true type", ticks=[0, 0.5, 1])
    bar.ax.set_yticklabels(["0", "50", "100"])
    bar.outline.set_visible(False)
    return ax.figure


def _lines(ax: Axes, values: pd.Series, color: str, label: str | None = None) -> None:
    from matplotlib.ticker import MaxNLocator

    few = len(values) <= 30
    ax.plot(
        values.index, values, color=color, lw=1.8, marker="o" if few else "", ms=3.5, label=label
    )
    ax.grid(axis="y")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    ax.set_xlabel("Epoch")


@in_house_style
def learning_curve(
    curves: Mapping[str, Sequence[float] | pd.Series] | pd.DataFrame,
    title: str = "Learning curve",
    score: str = "Macro F1 on ATAC cells",
) -> Figure:
    """Draw a score by epoch, one line a named curve.

    Parameters
    ----------
    curves : name -> score of each epoch. A list starts at epoch 1; a Series brings its epochs.
    title : of the figure.
    score : what is on the vertical axis.
    """
    ax = new_axes(7.2, 4.2, title)
    for i, name in enumerate(curves):
        values = curves[name]
        if not isinstance(values, pd.Series):
            values = pd.Series(values, index=range(1, len(values) + 1), dtype=float)
        values = values.dropna()
        _lines(ax, values, PALETTE[i % len(PALETTE)], name)
        if len(curves) == 1 and len(values):
            ax.annotate(
                f"{values.iloc[-1]:.2f}", (values.index[-1], values.iloc[-1]), (6, 0),
                textcoords="offset points", va="center", color=PALETTE[0], weight="bold",
            )  # fmt: skip
    ax.set(ylim=(0, 1.02), ylabel=score)
    if len(curves) > 1:
        legend_outside(ax, *ax.get_legend_handles_labels())
    return ax.figure


@in_house_style
def loss_curves(history: pd.DataFrame, title: str = "Losses by epoch") -> Figure:
    """Draw one small panel a loss.

    Parameters
    ----------
    history : a row an epoch and a column a loss. The epochs are in a column 'epoch' or else counted
        from 1; columns that are not numbers or hold none are left out.
    title : of the figure.
    """
    epochs = history["epoch"] if "epoch" in history else np.arange(1, len(history) + 1)
    losses = history.drop(columns="epoch", errors="ignore").select_dtypes("number")
    losses = losses.set_axis(pd.Index(epochs)).dropna(axis=1, how="all")
    columns = max(1, min(3, losses.shape[1]))
    rows = max(1, -(-losses.shape[1] // columns))
    figure = new_figure(3.5 * columns, 0.5 + 2.3 * rows, title)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, name in zip(axes, losses, strict=False):
        _lines(ax, losses[name].dropna(), PALETTE[0])
        ax.set_title(readable(name), loc="left", fontsize=10)
    for ax in axes[losses.shape[1] :]:
        ax.set_axis_off()
    return figure


@in_house_style
def confidence_histogram(
    confidence: np.ndarray,
    correct: np.ndarray | None = None,
    title: str = "Confidence of the labels given to ATAC cells",
) -> Figure:
    """Draw how sure the labels are, split into right and wrong ones where that is known.

    Parameters
    ----------
    confidence : [A] in [0, 1].
    correct : [A] bool, or None without truth.
    title : of the figure.
    """
    confidence = np.asarray(confidence, dtype=float)
    ax = new_axes(7.2, 3.8, title)
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
