"""The page that sets systems side by side."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scadv_tf.comparison.summary import (
    COLUMNS,
    MACRO_F1,
    Column,
    failed,
    routes_of,
    standings,
    summarize,
)
from scadv_tf.evaluation.html_parts import (
    bullets,
    figure,
    page,
    pairs,
    section,
    settings_tables,
    table,
)
from scadv_tf.evaluation.report import ROUTES
from scadv_tf.evaluation.style import title_of
from scadv_tf.files import write_whole
from scadv_tf.naming import ATAC, named

READING_NOTES = (
    "Labels of the ATAC cells are used for scores only: no system sees them.",
    "Mixing and silhouette do not follow accuracy: modalities can mix perfectly while types are "
    "confused, and labels can be right while the modalities lie apart. Read them beside F1, never "
    "in its place.",
    "Silhouette is that of the types on the UMAP, calibration the gap between confidence and "
    "accuracy, memory the peak. Mixing is best at 1 and calibration at 0; of the other scores "
    "more is better.",
    "Macro F1 counts every type alike, weighted F1 every cell: a system that misses the rare types "
    "loses macro F1 first.",
    "A number is the mean over the seeds that finished; ± is their standard deviation (divisor "
    "n - 1), which a single seed does not have. 'no value' means that the system has no such "
    "score; it is never counted as 0.",
)
NO_TRUTH = (
    "The ATAC cells came without labels, or no system finished, so there is no F1 and no accuracy."
)


@dataclass(frozen=True)
class ComparisonContent:
    """What the page of a comparison tells.

    Parameters
    ----------
    dataset : name.
    definitions : system -> one sentence that says what it is; its order is that of the tables.
    rows : one a system and seed, as in comparison.json.
    settings : of the run; may be nested.
    versions : package -> version.
    figures : (caption, path of a PNG); the caption is also the text for those who cannot see it.
    notes : sentences on how to read this comparison, beside those that always hold.
    query : what the ATAC cells are called.
    """

    dataset: str
    definitions: Mapping[str, str]
    rows: Sequence[Mapping]
    settings: Mapping = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    figures: Sequence[tuple[str, Path]] = ()
    notes: Sequence[str] = ()
    query: str = ATAC


def write_comparison_report(path: str | Path, content: ComparisonContent) -> Path:
    """Write one self-contained HTML page, whole or not at all.

    It needs no script, no network and no other file; pictures are inside. All text is escaped.

    Returns
    -------
    Path of the page.

    Raises
    ------
    InputError : if a picture is not a PNG.
    """
    # In the order of their definitions, then those that only have rows.
    systems = list(dict.fromkeys([*content.definitions, *(row["system"] for row in content.rows)]))
    query = html.escape(content.query)
    what = section("What each system is", pairs(content.definitions, "System", "What it is"))
    found = (
        section("Systems", _table_of_systems(content.rows, systems)),
        _failures(content.rows, systems),
        section("Routes of label transfer", _table_of_routes(content.rows, systems)),
        section("How to read this page", bullets([*READING_NOTES, *content.notes])),
    )
    sections = [
        *(named(text, query) for text in found),
        section("Pictures", "".join(figure(*item) for item in content.figures)),
        named(what, query),
        section("Settings", settings_tables(content.settings)),
        section("Versions", pairs(content.versions, "Package", "Version")),
    ]
    seeds = sorted({row["seed"] for row in content.rows})
    summary = [f"Systems: {len(systems)}. Seeds: {', '.join(map(str, seeds)) or 'none'}."]
    return write_whole(path, page("Systems side by side", content.dataset, summary, sections))


def _table_of_systems(rows: Sequence[Mapping], systems: Sequence[str]) -> str:
    if not systems:
        return ""
    summary = summarize(rows, systems)
    done = {}
    for system in systems:
        ended = summary[system]["rows"]
        done[system] = f"{ended} of {ended + len(failed(rows, system))}"
    caption = "Means over seeds; the best of each score is bold."
    has_truth = any(found[MACRO_F1]["mean"] is not None for found in summary.values())
    no_truth = "" if has_truth else f"<p>{NO_TRUTH}</p>"
    return f'<div class="dense">{_estimates(summary, COLUMNS, caption, done)}</div>{no_truth}'


def _table_of_routes(rows: Sequence[Mapping], systems: Sequence[str]) -> str:
    found = routes_of(rows)
    routes = [route for route in ROUTES if route in found]
    routes += [route for route in found if route not in ROUTES]
    if not routes:
        return ""
    columns = [Column(f"{route}.macro_f1", title_of(route)) for route in routes]
    summary = summarize(rows, systems, [column.score for column in columns])
    caption = (
        "Macro F1 by each way to label the ATAC cells; 'Label transfer' is the headline. The best "
        "of each route is bold."
    )
    return _estimates(summary, columns, caption)


def _estimates(
    summary: Mapping[str, Mapping],
    columns: Sequence[Column],
    caption: str,
    done: Mapping[str, str] | None = None,
) -> str:
    """Render a row a system and a column a score, after the number of seeds where given."""
    rows = [
        [system, *([done[system]] if done else []), *found]
        for system, found in standings(summary, columns).items()
    ]
    heads = ["System", *(["Seeds"] if done else []), *(column.head for column in columns)]
    return table(heads, rows, caption)


def _failures(rows: Sequence[Mapping], systems: Sequence[str]) -> str:
    """Tell why runs failed, once for all seeds of a system that failed alike."""
    seeds_of: dict[tuple[str, str], list[str]] = {}
    for system in systems:
        for row in failed(rows, system):
            seeds_of.setdefault((system, str(row["error"])), []).append(str(row["seed"]))
    body = "".join(
        f"<h3>{html.escape(system)}, seed{'s' * (len(seeds) > 1)} {', '.join(seeds)}</h3>"
        f"<pre>{html.escape(error)}</pre>"
        for (system, error), seeds in seeds_of.items()
    )
    return section("Runs that failed", body)
