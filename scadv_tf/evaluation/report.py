"""The page that tells a user how a run went."""

from __future__ import annotations

import contextlib
import html
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from scadv_tf.data.labels import HEADLINE
from scadv_tf.errors import InputError
from scadv_tf.evaluation.html_parts import (
    NO_VALUE,
    bullets,
    data_block,
    figure,
    folded,
    is_missing,
    page,
    pairs,
    section,
    settings_tables,
    table,
)
from scadv_tf.evaluation.report_first import diagnosis_box, types_section, untold_by_diagnosis
from scadv_tf.evaluation.style import title_of
from scadv_tf.files import write_whole
from scadv_tf.naming import ATAC, named

CONTENT, FIGURES = "report.json", "figures"  # what a page is made of, in the folder of a run
ROUTES = {
    HEADLINE: "Label transfer (headline)",
    "classifier": "Network and linear guess, each cell by itself",
    "svm": "SVM on the latent space",
    "knn": "k nearest neighbours on the latent space",
    "linear": "Linear guess (discriminant analysis), without the network",
}
MEANINGS = {
    "silhouette_umap": "how well the types are apart on the UMAP, from -1 to 1 (best)",
    "silhouette_latent": "how well the types are apart in the latent space, from -1 to 1 (best)",
    "silhouette_modality": "how far the modalities are apart, from -1 to 1; best is 0 or less",
    "modality_mixing": "neighbours of the other modality over chance: 0 apart, 1 perfectly mixed",
    "calibration_error": "mean gap between confidence and accuracy; 0 is best",
    "unknown_share": "share of the ATAC cells called unknown: too unlike every type of the RNA",
    "accuracy_of_known": "accuracy of the headline among the ATAC cells not called unknown",
    "peak_memory_mb": "largest memory in use, MB",
}
# These mean nothing where no label was transferred.
OF_LABELS = ("calibration_error", "unknown_share", "accuracy_of_known")
# Of the matching: the warnings head the page, types and names stand in the lines above the table, a
# better genome is a finding, and the query and its kind say what the whole page is about.
TOLD_ELSEWHERE = ("warnings", "rna_types", "query", "kind", "names", "better_genome")


@dataclass(frozen=True)
class ReportContent:
    """What a report tells.

    Parameters
    ----------
    title, dataset : heading of the page.
    summary : sentences under the heading.
    scores : the content of metrics.json.
    matching : the account of what matched between the modalities, name -> value; those that other
        parts of the page tell are not shown again, see TOLD_ELSEWHERE.
    matching_lines : the same as plain lines.
    settings : the run's configuration; may be nested.
    figures : (caption, path of a PNG); the caption is also the text for those who cannot see it.
    warnings : plain sentences; those that the diagnosis has are not shown again.
    diagnosis : whether to trust all that, see `Diagnosis.to_dict`; empty where nobody looked.
    cells : some cells on the UMAP, see `cell_points`; empty for none.
    versions : package -> version.
    seconds : stage -> seconds; when empty, those of the scores.
    files : name of a written file -> what it is.
    transferred : whether labels were transferred; if not, nothing is said of their scores.
    query : what the ATAC cells are called.
    """

    title: str
    dataset: str
    summary: Sequence[str] = ()
    scores: Mapping = field(default_factory=dict)
    matching: Mapping = field(default_factory=dict)
    matching_lines: Sequence[str] = ()
    settings: Mapping = field(default_factory=dict)
    figures: Sequence[tuple[str, Path]] = ()
    warnings: Sequence[str] = ()
    diagnosis: Mapping = field(default_factory=dict)
    cells: Mapping = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    transferred: bool = True
    query: str = ATAC

    def to_dict(self) -> dict:
        """Plain values for JSON, of figures captions and names; see `read_content`."""
        return asdict(self) | {"figures": [(text, path.name) for text, path in self.figures]}


def read_content(folder: Path) -> ReportContent:
    """The content that a run wrote to its folder, with the figures that are there.

    Raises
    ------
    InputError : it is not there, or damaged.
    """
    path = folder / CONTENT
    if not path.is_file():
        raise InputError(
            what="There is no finished run in this folder.",
            expected=f"a folder of results with {CONTENT}, as `scadv train` writes it",
            received=f"{folder}, which " + ("lacks it" if folder.is_dir() else "is no folder"),
            advice="Give the --output_dir of a run, such as runs/pbmc. Runs of older versions have "
            "no such file, and comparisons neither: the same command writes their page anew.",
        )
    with told_if_damaged(folder):
        # It was written without NaN and Infinity, which are no JSON.
        found = json.loads(path.read_text("utf-8"), parse_constant=_refused)
        _check_kinds(found)
        figures = [(text, folder / FIGURES / Path(name).name) for text, name in found["figures"]]
        content = ReportContent(**found | {"figures": figures})
    missing = [path.name for _, path in figures if not path.is_file()]
    if missing:
        raise InputError(
            what="Pictures of the report are missing.",
            expected=f"all of them in {folder / FIGURES}",
            received=f"no {', '.join(missing)}",
            advice="Put them back, or run `scadv train` again.",
        )
    return content


@contextlib.contextmanager
def told_if_damaged(folder: Path) -> Iterator[None]:
    """A block that makes something of the content of a run's folder.

    Raises
    ------
    InputError : it came upon what no run wrote.
    """
    try:
        yield
    except InputError:
        raise
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise InputError(
            what=f"{folder / CONTENT} is damaged.",
            expected="the file as the run wrote it",
            received=f"{type(error).__name__}: {error}",
            advice="Run `scadv train` again.",
        ) from error


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def _check_kinds(found: dict) -> None:
    """A text in place of a list would be taken for a list of letters."""
    kinds = json.loads(json.dumps(ReportContent("", "").to_dict()))
    for name, value in found.items():
        if type(value) is not type(kinds[name]):
            raise TypeError(f"{name} is of the type {type(value).__name__}")


def write_report(path: str | Path, content: ReportContent) -> Path:
    """Write one self-contained HTML page, whole or not at all.

    It needs no network and no other file; pictures are inside. All text is escaped. Scripts may be
    off: then tables do not sort, and the UMAP is a mere picture.

    Returns
    -------
    Path of the page.
    """
    query = html.escape(content.query)
    lead = named(diagnosis_box(content.diagnosis), query) if content.diagnosis else ""
    found = (
        _cards(content.scores, content.transferred),
        _warnings(untold_by_diagnosis(content.warnings, content.diagnosis), bool(lead)),
        _scores(content.scores, content.transferred),
        types_section(content.diagnosis, content.scores),
        _cells(content.cells),
    )
    sections = [
        *(named(text, query) for text in found),
        section("Pictures", "".join(figure(*item) for item in content.figures)),
        named(folded("What was matched", _matching(content)), query),
        folded("Time", _seconds(content.seconds or content.scores.get("seconds") or {})),
        folded("Settings", settings_tables(content.settings)),
        folded("Files", pairs(content.files, "File", "What it is")),
        folded("Versions", pairs(content.versions, "Package", "Version")),
    ]
    data = data_block("cell-data", content.cells) if content.cells else ""
    head = content.title, content.dataset, content.summary
    return write_whole(path, page(*head, sections, lead, data))


def _cells(cells: Mapping) -> str:
    """Where the script draws the cells; not there without scripts."""
    if not cells:
        return ""
    shown, total = len(cells["x"]), cells["of"]
    some = f"{shown:,} of {total:,} cells, drawn at random, " if shown < total else "All cells "
    text = f"{some}on the UMAP. RNA cells have the types given, ATAC cells those predicted."
    title = f'<h2>Cell by cell</h2><p class="soft">{text}</p>'
    return f'<section id="cells" hidden>{title}</section>'


def _cards(scores: Mapping, transferred: bool) -> str:
    """Render the numbers that most readers look for, as large figures."""
    headline = scores.get(HEADLINE) or {}
    values = {
        "Modality mixing": scores.get("modality_mixing"),
        "UMAP silhouette": scores.get("silhouette_umap"),
    }
    if transferred:
        names = ("macro_f1", "accuracy", "weighted_f1")
        values = {title_of(name): headline.get(name) for name in names} | values
    if not scores:
        return ""
    cards = []
    for name, value in values.items():
        shown = (
            f'<dd class="none">{NO_VALUE}</dd>' if is_missing(value) else f"<dd>{value:.2f}</dd>"
        )
        cards.append(f'<div class="card"><dt>{html.escape(name)}</dt>{shown}</div>')
    return f'<dl class="cards">{"".join(cards)}</dl>'


def _warnings(warnings: Sequence[str], diagnosed: bool) -> str:
    if not warnings and diagnosed:
        return ""
    if not warnings:
        return '<p class="fine">Nothing in this run calls for a warning.</p>'
    return (
        '<section class="warnings" aria-labelledby="warnings"><h2 id="warnings">Please note</h2>'
        f"{bullets(warnings)}</section>"
    )


def _scores(scores: Mapping, transferred: bool) -> str:
    """Render the table of the routes, of the other numbers, and of the F1 a type."""
    if not scores:
        return ""
    columns = ("macro_f1", "weighted_f1", "accuracy")
    known = {route: scores[route] for route in ROUTES if scores.get(route)}
    places = list(known)
    routes = table(
        ["Route", *map(title_of, columns)],
        (
            [ROUTES[route], *(f"{row[name]:.3f}" for name in columns)]
            for route, row in known.items()
        ),
        "Agreement with the known labels of the ATAC cells, which training never sees.",
        places.index(HEADLINE) if HEADLINE in places else -1,
    )
    if not routes and transferred:
        routes = (
            "<p>The ATAC cells came without labels, so how many predictions are right is not "
            "known. Look at the confidence, the marker genes and the pictures instead.</p>"
        )
    others = table(
        ["Number", "Value", "What it says"],
        (
            [title_of(name), _rounded(scores[name]), MEANINGS[name]]
            for name in MEANINGS
            if name in scores and (transferred or name not in OF_LABELS)
        ),
    )
    return section("Scores", routes + others + _per_type(scores.get(HEADLINE)))


def _rounded(value: float | None) -> str | None:
    """Two decimals for a score, none for megabytes."""
    if value is None or is_missing(value):
        return None
    return f"{value:.2f}" if abs(value) < 100 else f"{value:,.0f}"


def _per_type(scores: Mapping | None) -> str:
    columns = ("f1", "precision", "recall")
    types = (scores or {}).get("per_type") or {}
    order = sorted(types, key=lambda name: (-types[name]["cells"], name))
    rows = [
        [name, types[name]["cells"], *(f"{types[name][column]:.3f}" for column in columns)]
        for name in order
    ]
    by_type = table(["Type", "ATAC cells", *map(title_of, columns)], rows)
    return f"<h3>By cell type (headline)</h3>{by_type}" if by_type else ""


def _matching(content: ReportContent) -> str:
    shown = {
        title_of(name): value
        for name, value in content.matching.items()
        if name not in TOLD_ELSEWHERE
    }
    return bullets(content.matching_lines, "summary") + pairs(shown, "What", "Value")


def _seconds(seconds: Mapping[str, float]) -> str:
    rows = [[title_of(stage), f"{taken:,.1f}"] for stage, taken in seconds.items()]
    if len(rows) > 1:
        rows.append(["All stages", f"{sum(seconds.values()):,.1f}"])
    return table(["Stage", "Seconds"], rows)
