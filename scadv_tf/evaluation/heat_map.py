"""A matrix of shares as shades of blue with the numbers in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scadv_tf.evaluation.style import INK, NO_LABEL_COLOR, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CELL = 0.46  # inches


def new_heat_map(
    shares: np.ndarray, rows: Sequence[str], columns: Sequence[str], title: str, bar: str
) -> Axes:
    """Draw shares from 0 (white) to 1 (dark) as squares, a row at a time from the top.

    Parameters
    ----------
    shares : [rows, columns] in [0, 1]; NaN is drawn in grey.
    rows, columns : the names beside and below.
    title : of the figure.
    bar : what a shade means, beside the bar; it counts in percent if it starts with '%'.
    """
    left, below = (0.09 * max(map(len, names), default=0) for names in (rows, columns))
    size = (2.0 + left + CELL * len(columns), 1.2 + 0.75 * below + CELL * len(rows))
    ax = new_axes(*size, title)
    ax.set_facecolor(NO_LABEL_COLOR)
    shares = shares if np.size(shares) else [[np.nan]]
    image = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    ax.set_yticks(range(len(rows)), rows)
    ax.set_xticks(range(len(columns)), columns, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_xticks(np.arange(len(columns) + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(len(rows) + 1) - 0.5, minor=True)
    ax.grid(which="minor", color="white", linewidth=1.5)
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_visible(False)
    # The bar lives in the axes' own height, which a colorbar beside them would not keep to.
    place = ax.inset_axes([1 + 0.25 / max(1, len(columns)), 0, 0.35 / max(1, len(columns)), 1])
    scale = ax.figure.colorbar(image, cax=place, ticks=[0, 0.5, 1])
    scale.set_label(bar, labelpad=8)
    scale.ax.set_yticklabels(["0", "50", "100"] if bar.startswith("%") else ["0", "0.5", "1"])
    scale.outline.set_visible(False)
    return ax


def number(ax: Axes, row: int, column: int, share: float, text: str, **options: Any) -> None:
    """Write a number into a square, in an ink that its shade lets one read."""
    ink = "white" if share > 0.55 else INK
    ax.text(column, row, text, ha="center", va="center", color=ink, fontsize=9, **options)
