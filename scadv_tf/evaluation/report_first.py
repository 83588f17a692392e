"""What a reader of a report sees first: can I trust this, which cells not, what next."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from scadv_tf.evaluation.html_parts import bullets, section, table
from scadv_tf.evaluation.labelled_cells import stratified_sample
from scadv_tf.evaluation.style import type_colors
from scadv_tf.naming import ATAC, named

# Beside the reasons, for all runs whose labels are used.
ALWAYS = (
    "Leave out the cells counted here as unknown, of low confidence or empty: keep those of "
    "obs['scadv_unknown'] == False with a scadv_confidence of 0.5 or more.",
    "Look at the dot plot of the marker genes: dark dots belong inside of the frames.",
)
POINTS = 4_000  # on the page, some 250 kB
MODALITY_COLORS = (("RNA", "#0072b2"), ("ATAC", "#d55e00"))


def diagnosis_box(diagnosis: Mapping) -> str:
    """Render the colour with its sentence, the cells that are of no use, and what to do next."""
    color, sentence = diagnosis["color"], html.escape(diagnosis["sentence"])
    verdict = (
        f'<section class="verdict {html.escape(color)}" aria-label="Can I trust this?">'
        f"<p><strong>{html.escape(color)}</strong> {sentence}</p></section>"
    )
    cells = _cells_of_no_use(diagnosis)
    return f'{verdict}<div class="first">{_next(diagnosis, bool(cells))}{cells}</div>'


def _next(diagnosis: Mapping, labelled: bool) -> str:
    items = "".join(
        f'<li class="{html.escape(reason["level"])}">{html.escape(reason["text"])} '
        f"<span>{html.escape(reason['advice'])}</span></li>"
        for reason in diagnosis["reasons"]
    )
    reasons = f'<ul class="reasons">{items}</ul>' if items else ""
    always = bullets(ALWAYS, "reasons") if labelled and diagnosis["color"] != "red" else ""
    return section("Why, and what next", reasons + always)


def _cells_of_no_use(diagnosis: Mapping) -> str:
    types = diagnosis.get("cells")
    if not types:
        return ""
    keys = ("cells", "usable", "low_confidence", "unknown")
    totals = {key: sum(row[key] for row in types.values()) for key in keys}
    empty, is_red = diagnosis["empty_cells"]["atac"], diagnosis["color"] == "red"
    of_use = "would be of use, were it not for the above" if is_red else "are of use"
    said = (
        f"{totals['usable']:,} of {totals['cells'] + empty:,} ATAC cells {of_use}; "
        f"{totals['low_confidence']:,} are of low confidence, {totals['unknown']:,} resemble no "
        f"type, {empty:,} are empty."
    )
    heads = ["ATAC cells called", "Cells", "Of use", "Low confidence", "Unknown"]
    rows = [[name, *(row[key] for key in keys)] for name, row in types.items()]
    body = f'<p>{said}</p><div class="dense">{table(heads, rows)}</div>'
    return section("Which cells not", body)


def types_section(diagnosis: Mapping, scores: Mapping) -> str:
    """Render what RNA itself, marker genes and mixing say of each type."""
    by_type = (diagnosis.get("markers") or {}).get("by_type") or {}
    mixing = scores.get("mixing_by_type") or {}
    recognised = (scores.get("rna_left_out") or {}).get("recognised", {})
    rows = [
        [
            name, _decimals(recognised.get(name), 2), _decimals(row["auroc"], 2),
            _decimals(row["coactivity"], 1), _decimals(mixing.get(name), 2), row["markers"],
        ]
        for name, row in by_type.items()
    ]  # fmt: skip
    heads = ["Type", "Known in RNA", "In its cells", "Together", "Mixing", "Best markers in RNA"]
    caption = (
        "Known in RNA: the share of its RNA cells that are called so where they were not learned "
        "from. In its cells: the chance that the markers of the "
        "type are more active in an ATAC cell called so than in another (0.5 is chance). Together: "
        "how much more the markers go together than random genes do, in standard deviations (below "
        "2 is chance), whatever cells are called. Mixing: of the RNA and ATAC cells of the type, 1 "
        "is perfect."
    )
    return section("Marker genes of each type", table(heads, rows, caption) if rows else "")


def _decimals(value: float | None, digits: int) -> str | None:
    return None if value is None else f"{value:.{digits}f}"


def untold_by_diagnosis(warnings: Sequence[str], diagnosis: Mapping) -> list[str]:
    """The warnings that the diagnosis does not tell."""
    reasons = diagnosis.get("reasons", ())
    told = {f"{reason['text']} {reason['advice']}".strip() for reason in reasons}
    return [text for text in warnings if text not in told]


def cell_points(
    umap: np.ndarray,
    names: np.ndarray,
    rna_cells: int,
    types: np.ndarray,
    confidence: np.ndarray | None,
    query: str = ATAC,
) -> dict:
    """Some cells as the page's script draws them, plain values; each type in its own share.

    Parameters
    ----------
    umap : [N, 2], the RNA cells first.
    names, types : of the cells [N], text.
    rna_cells : how many are RNA cells.
    confidence : of the labels of the ATAC cells [N - rna_cells]; None without labels.
    query : what these are called.
    """
    shown = stratified_sample(types, POINTS, seed=0)
    shown = np.random.default_rng(0).permutation(shown)  # no type is drawn over all others
    known, codes = np.unique(np.asarray(types, dtype=str)[shown], return_inverse=True)
    colors, sure = type_colors(known), np.full(len(names), np.nan)
    if confidence is not None:
        sure[rna_cells:] = confidence
    return {
        "of": len(names),
        "x": np.round(umap[shown, 0], 2).tolist(),
        "y": np.round(umap[shown, 1], 2).tolist(),
        "name": [str(names[cell]) for cell in shown],
        "type": codes.tolist(),
        "types": [[str(name), colors[str(name)]] for name in known],
        "modality": (shown >= rna_cells).astype(int).tolist(),
        "modalities": [[named(name, query), color] for name, color in MODALITY_COLORS],
        "confidence": [None if pd.isna(value) else round(float(value), 3) for value in sure[shown]],
    }
