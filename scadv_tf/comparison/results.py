"""The pictures of a comparison and the page that shows them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scadv_tf.comparison.figures import ladder, per_type_f1, score_bars
from scadv_tf.comparison.report import ComparisonContent, write_comparison_report
from scadv_tf.comparison.store import Row
from scadv_tf.comparison.summary import MACRO_F1, WEIGHTED_F1, finished, values_of
from scadv_tf.data.labels import HEADLINE
from scadv_tf.data.pairing import AtacTruth, PairedData
from scadv_tf.evaluation.figures import learning_curves
from scadv_tf.evaluation.style import call_query, save, series_colors
from scadv_tf.evaluation.umap_figures import umap_grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REPORT = "report.html"
STEPS = ("ce", "ce_nce", "ce_nce_adv", "ce_nce_adv_cyc", "ce_nce_adv_cyc_ict", "scadv")
F1_SCORES = (MACRO_F1, WEIGHTED_F1)
BARS = (*F1_SCORES, "silhouette_umap", "modality_mixing")
CAPTIONS = {
    "ladder": "What each loss adds, in the order of the steps",
    "scores": "Scores by system; the whisker is the standard deviation over the seeds",
    "learning_curves": "Macro F1 after each epoch (dashed: systems without epochs)",
    "per_type_f1": "F1 of each cell type by system, mean over the seeds",
    "umap": "UMAP of the cells of both modalities by system, at the first seed",
}
NOTES = (
    "Each system ran alone in a fresh process, whose peak memory is given, or that of R, if it "
    "needed more; a process begins with Python and a copy of the input.",
    "Seconds are those of preprocessing (shared by the systems of a seed, counted for each), of "
    "the process and its imports, of the system, of its UMAP and of its scores.",
    "All seeds see the same cells, read at the first seed.",
    "Cells without data are unknown to each system and count as errors; a training leaves them out "
    "of its scores.",
)


def write_comparison(
    folder: Path, content: dict, rows: list[Row], data: PairedData, truth: AtacTruth | None
) -> Path:
    """Writes pictures and report.

    Parameters
    ----------
    content : of ``comparison.json``.

    Returns
    -------
    Path of the report.
    """
    pictures = write_pictures(folder / "figures", content["systems"], rows, data, truth)
    notes, once = list(NOTES), content["first_seed_only"]
    if once and len(content["seeds"]) > 1:
        notes.append(f"Nothing in {', '.join(once)} is random: run at the first seed only.")
    return write_comparison_report(
        folder / REPORT,
        ComparisonContent(
            dataset=content["dataset"],
            definitions=content["definitions"],
            rows=content["rows"],
            settings=content["config"],
            versions=content["versions"],
            figures=pictures,
            notes=notes,
            query=data.measure.name,
        ),
    )


def write_pictures(
    folder: Path, systems: list[str], rows: list[Row], data: PairedData, truth: AtacTruth | None
) -> list[tuple[str, Path]]:
    """Draws every picture that the finished rows allow.

    Parameters
    ----------
    folder : of the pictures; older ones of these names go, so that none outlives its rows.
    systems : their names in order.

    Returns
    -------
    Captions and paths.
    """
    rows = [row for row in rows if row.content["error"] is None]
    contents = [row.content for row in rows]
    drawn = {
        "ladder": _ladder([name for name in STEPS if name in systems], contents),
        "scores": _bars(systems, contents),
        "learning_curves": _curves(systems, rows),
        "per_type_f1": _per_type(systems, contents),
        "umap": _umaps(systems, rows, data, truth),
    }
    paths = []
    for name, figure in drawn.items():
        path = folder / f"{name}.png"
        path.unlink(missing_ok=True)
        if figure is not None:
            save(call_query(figure, data.measure.name), path)
            paths.append((CAPTIONS[name], path))
    return paths


def _scores_of(systems: list[str], contents: list[dict], scores: tuple[str, ...]) -> dict:
    """System -> {score: a value a seed}, of the systems that have any."""
    found = {
        system: {
            score.removeprefix(f"{HEADLINE}."): values_of(contents, system, score)
            for score in scores
        }
        for system in systems
    }
    return {system: values for system, values in found.items() if any(values.values())}


def _ladder(systems: list[str], contents: list[dict]) -> Figure | None:
    found = _scores_of(systems, contents, F1_SCORES)
    return ladder(found) if len(found) > 1 else None


def _bars(systems: list[str], contents: list[dict]) -> Figure | None:
    found = _scores_of(systems, contents, BARS)
    return score_bars(found, colors=series_colors(systems)) if found else None


def _per_type(systems: list[str], contents: list[dict]) -> Figure | None:
    found = {name: [row[HEADLINE] for row in finished(contents, name)] for name in systems}
    found = {name: scores for name, scores in found.items() if any(scores)}
    return per_type_f1(found) if found else None


def _curves(systems: list[str], rows: list[Row]) -> Figure | None:
    curves: dict[str, list[np.ndarray]] = {}
    for row in rows:
        if row.macro_f1 is not None:
            curves.setdefault(row.content["system"], []).append(row.macro_f1)
    if not curves:
        return None
    curves = {name: curves[name] for name in systems if name in curves}
    contents = [row.content for row in rows]
    scores = {name: values_of(contents, name, MACRO_F1) for name in systems}
    flat = {
        name: float(np.mean(values))
        for name, values in scores.items()
        if name not in curves and values
    }
    return learning_curves(curves, flat, colors=series_colors(systems))


def _umaps(
    systems: list[str], rows: list[Row], data: PairedData, truth: AtacTruth | None
) -> Figure | None:
    first: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: row.content["seed"]):
        if row.umap is not None:
            first.setdefault(row.content["system"], row)
    if not first:
        return None
    shown = [name for name in systems if name in first]
    rna_types = np.array(data.types)[data.rna_labels]
    if truth is None:
        types = {name: np.concatenate([rna_types, first[name].predicted]) for name in shown}
        title = "ATAC types: predicted by each system"
    else:
        known = np.concatenate([truth.coarsen(rna_types), truth.labels])
        types, title = dict.fromkeys(shown, known), "ATAC types: known"
    modality = np.repeat(["rna", "atac"], [len(data.rna_cells), len(data.atac_cells)])
    return umap_grid({name: first[name].umap for name in shown}, types, modality, title)
