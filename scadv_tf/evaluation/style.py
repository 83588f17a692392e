"""The look that all pictures share: colours, type, empty figures, legends, and saving.

Figures are made without pyplot, so no window, global state or display is needed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scadv_tf.files import whole_file
from scadv_tf.naming import ATAC, named

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# Six colours of Okabe and Ito, then each the farthest (in Oklab) from all before it to the normal,
# the deuteranope and the protanope eye, the worst of the three.
# fmt: off
PALETTE = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7a1429", "#00f5c2",
    "#5c0a8f", "#8f7aff", "#a33370", "#cce05c", "#994714", "#8fc28f", "#66e0ff", "#523db8",
    "#7a1f66", "#f55c70", "#29cccc", "#4766e0", "#7a8fd6", "#b85247", "#85708f", "#853d47",
    "#703d8f", "#f5703d", "#85e08f", "#990a00", "#e0c200", "#ff99c2", "#8f5299", "#ff9966",
)
# fmt: on
CAPITALS = {word: word.upper() for word in "atac cca f1 lsi mb rna svm umap".split()}
CAPITALS["knn"] = "kNN"
NO_LABEL = ("", "unknown")
NO_LABEL_COLOR = "#c9ccd1"
INK, RULE = "#1f2933", "#d9dde2"
DPI = 150

STYLE = {
    "font.family": "DejaVu Sans",  # ships with matplotlib, so pictures are alike everywhere
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,  # a '$' in a type's name is a dollar
    "axes.labelcolor": INK,
    "axes.edgecolor": "#7b8794",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": False,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.titlesize": 13,
    "figure.titleweight": "bold",
    "figure.constrained_layout.h_pad": 0.1,
    "figure.constrained_layout.w_pad": 0.1,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
}


def in_house_style(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in the house style and leave matplotlib's settings as they were."""

    @functools.wraps(draw)
    def styled(*arguments: Any, **options: Any) -> Figure:
        import matplotlib

        with matplotlib.rc_context(STYLE):
            return draw(*arguments, **options)

    return styled


def new_figure(width: float, height: float, title: str = "") -> Figure:
    """Return an empty figure; width and height are in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    if title:
        figure.suptitle(title)
    return figure


def new_axes(width: float, height: float, title: str) -> Axes:
    """Return the only axes of a new figure; width and height are in inches."""
    ax = new_figure(width, height).subplots()
    ax.set_title(title, loc="left", fontsize=STYLE["figure.titlesize"], pad=10)
    return ax


def legend_outside(ax: Axes, handles: list, labels: list[str], columns: int = 1) -> None:
    """Put a legend outside, to the right of the axes."""
    place = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0.2}
    ax.legend(handles, labels, ncols=columns, handletextpad=0.4, columnspacing=1.0, **place)


def title_of(name: str) -> str:
    """Return 'Macro F1' for 'macro_f1': the name of a score or loss as a reader would write it."""
    words = " ".join(CAPITALS.get(word, word) for word in str(name).split("_"))
    return words[:1].upper() + words[1:] if words.split(" ")[0] != "kNN" else words


def save(figure: Figure, path: str | Path) -> Path:
    """Write the figure whole or not at all; the suffix (.png, .pdf, .svg) says how."""
    suffix = Path(path).suffix.lstrip(".") or "png"
    with whole_file(path) as part:
        figure.savefig(part, format=suffix, dpi=DPI, facecolor="white")
    return Path(path)


def call_query(figure: Figure, name: str) -> Figure:
    """The same figure, in whose texts the query cells have their name."""
    from matplotlib.text import Text

    for text in figure.findobj(Text) if name != ATAC else ():
        text.set_text(named(text.get_text(), name))
    return figure


def type_colors(types: Iterable[str]) -> dict[str, str]:
    """Colour of each type, in sorted order; grey for '' and 'unknown'. After 32 they recur."""
    named = sorted(set(types) - set(NO_LABEL))
    colors = {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(named)}
    return colors | dict.fromkeys(NO_LABEL, NO_LABEL_COLOR)


def series_colors(names: Iterable[str]) -> dict[str, str]:
    """Colour of each line or bar, in the order given. After 32 they recur."""
    return {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(dict.fromkeys(names))}
