"""Marker genes of the RNA types in the ATAC cells, as biologists draw them."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scadv_tf.evaluation.style import INK, in_house_style, new_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SQUARE = 0.24  # inches a gene
LARGEST = 110  # points squared, of a gene that is open in as many cells as any


@in_house_style
def marker_dots(dots: pd.DataFrame, has: str) -> Figure:
    """Draw the activity of each type's markers in the cells called each type.

    A dot is as large as the share of cells in which the gene is open, and as dark as its mean
    activity among all rows. Where labels are right, dots are dark inside of the frames.

    Parameters
    ----------
    dots : a row a marker and a called type, see `MarkerCheck.dots`.
    has : what the cells of the share are, see `scadv_tf.data.measures.Kind`.
    """
    from matplotlib.patches import Rectangle

    columns = list(dict.fromkeys(zip(dots["type"], dots["gene"], strict=True)))
    rows = list(dict.fromkeys(dots["cells"]))
    place = {column: x for x, column in enumerate(columns)}
    x = np.array([place[pair] for pair in zip(dots["type"], dots["gene"], strict=True)], dtype=int)
    y = np.array([rows.index(name) for name in dots["cells"]], dtype=int)
    left = 0.09 * max(map(len, rows), default=0)
    size = 2.6 + left + SQUARE * len(columns), 1.9 + SQUARE * 1.2 * len(rows)
    ax = new_axes(*size, "Marker genes of the RNA types in the ATAC cells")
    most = max(dots["open"].max(), 1e-9) if len(dots) else 1.0
    points = ax.scatter(
        x, y, s=LARGEST * dots["open"] / most, c=_scaled(dots["activity"], x), cmap="Blues",
        vmin=-0.15, vmax=1, edgecolors=INK, linewidths=0.4,
    )  # fmt: skip
    for row, name in enumerate(rows):
        own = [place[column] for column in columns if column[0] == name]
        if own:
            corner, width = (own[0] - 0.5, row - 0.5), len(own)
            ax.add_patch(Rectangle(corner, width, 1, fill=False, edgecolor=INK, linewidth=1.1))
    ax.set_xticks(range(len(columns)), [gene for _, gene in columns], rotation=90, fontsize=8)
    ax.set_yticks(range(len(rows)), rows)
    ax.set(xlim=(-0.7, len(columns) - 0.3), ylim=(len(rows) - 0.4, -0.6))
    ax.set(xlabel="Best markers of each type in RNA", ylabel="ATAC cells called")
    sizes = {"num": 3, "func": lambda size: 100 * size * most / LARGEST, "fmt": "{x:.0f}"}
    handles, labels = points.legend_elements("sizes", **sizes)
    ax.legend(
        handles, labels, title=textwrap.fill(f"% of cells {has}", 13), loc="upper left",
        bbox_to_anchor=(1.01, 1.0), borderaxespad=0.2,
    )  # fmt: skip
    return ax.figure


def _scaled(activity: pd.Series, column: np.ndarray) -> np.ndarray:
    """Each gene from its lowest (0) to its highest (1) mean; 0 where all are alike."""
    by_gene = activity.astype(float).groupby(column)
    low, high = by_gene.transform("min"), by_gene.transform("max")
    return ((activity - low) / (high - low).where(high > low, np.inf)).to_numpy()
