"""What a run found, and the files that tell of it."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scadv_tf.config import RunConfig
from scadv_tf.data.answers import DIGITS
from scadv_tf.data.datasets import CUSTOM
from scadv_tf.data.emptiness import scatter
from scadv_tf.data.labels import HEADLINE
from scadv_tf.data.pairing import AtacTruth, PairedData
from scadv_tf.data.spreadsheets import write_rows
from scadv_tf.data.writers import write_integrated
from scadv_tf.evaluation.collapse import collapse_warnings
from scadv_tf.evaluation.diagnosis import Diagnosis
from scadv_tf.evaluation.findings import calibration_warning, untold_by_findings
from scadv_tf.evaluation.report import CONTENT, FIGURES, ReportContent, read_content, write_report
from scadv_tf.evaluation.report_first import cell_points
from scadv_tf.files import whole_file, write_whole
from scadv_tf.naming import named
from scadv_tf.not_none import not_none
from scadv_tf.run_figures import write_figures
from scadv_tf.scoring import at_level

if TYPE_CHECKING:
    from scadv_tf.annotation import Annotation
    from scadv_tf.data.answers import CellAnswers

PACKAGES = (
    "scadv_tf",
    "tensorflow",
    "keras",
    "tensorflow-probability",
    "numpy",
    "anndata",
    "scikit-learn",
    "umap-learn",
    "harmonypy",
)
ROWS_AT_ONCE = 100_000  # of predictions.csv
METRICS = "metrics.json"
CONFIG = "config.json"
REPORT = "report.html"
FILES = {
    METRICS: "all scores, seconds and memory by stage, peak memory",
    CONFIG: "every setting of the run",
    "history.csv": "losses and scores after each epoch",
    "predictions.csv": "labels and confidence of the ATAC cells",
    "integrated.h5ad": "both modalities with latent vectors, UMAP and labels, for scanpy",
    "checkpoints/": "the whole model's weights, the discriminators' too, and the settings",
    "figures/": "the pictures of this page",
    CONTENT: "what this page says, by which `scadv report` writes it anew",
}


@dataclass(frozen=True, eq=False)
class Results:
    """Everything that is written about a run, of the cells that have data.

    Attributes
    ----------
    annotation : what the model says of all cells; without labels in the unsupervised mode.
    umap : RNA cells first [R + A, 2].
    history : a row an epoch.
    metrics : the content of metrics.json.
    diagnosis : whether to trust all that; None where nobody looked.
    export : folder of the exported encoder; None where it was not exported.
    """

    config: RunConfig
    data: PairedData
    truth: AtacTruth | None
    annotation: Annotation
    umap: np.ndarray
    history: pd.DataFrame
    metrics: dict
    diagnosis: Diagnosis | None = None
    export: Path | None = None

    @property
    def answers(self) -> CellAnswers:
        """What is said of the ATAC cells."""
        return self.annotation.voted

    @property
    def routes(self) -> dict[str, np.ndarray]:
        """Route of label transfer -> types of the ATAC cells [A]; empty if unsupervised."""
        return self.answers.routes

    @cached_property
    def warnings(self) -> list[str]:
        """What a user should know before trusting the run. It takes a pass over latent vectors."""
        latents = {name: found.latent for name, found in self.annotation.answers.items()}
        labels = (self.data.known_rna_types(), self.routes[HEADLINE]) if self.routes else ()
        collapsed = collapse_warnings(self.history, latents, *labels)
        return [
            *(named(text, self.data.measure.name) for text in collapsed),
            *not_none(self.diagnosis).texts,
            *calibration_warning(self.metrics.get("calibration_error")),
            *untold_by_findings(self.data.matching.warnings),
        ]

    def of_all(
        self, data: PairedData, truth: AtacTruth | None, with_data: dict[str, np.ndarray]
    ) -> Results:
        """Also of the cells without data, which have no place on the UMAP; see `CellAnswers`."""
        places = np.concatenate([with_data["rna"], with_data["atac"]])
        annotation, umap = self.annotation.of_all(with_data), scatter(self.umap, places, np.nan)
        return replace(self, data=data, truth=truth, annotation=annotation, umap=umap)


def versions() -> dict[str, str]:
    """Package -> version, of those that a result depends on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def write_json(path: Path, content: dict) -> None:
    """Strict JSON, whole or not at all; a number that is not finite is refused."""
    write_whole(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def write_results(folder: Path, results: Results, of_all: Results) -> None:
    """Writes the tables, pictures and the report; `metrics.json` last, as the sign of the end.

    Parameters
    ----------
    of_all : the same of all cells, those without data too, for the tables of cells.
    """
    write_whole(folder / CONFIG, results.config.to_json().encode())
    write_whole(folder / "history.csv", results.history.to_csv(index=False).encode())
    if of_all.data.types:
        write_predictions(folder / "predictions.csv", of_all)
    else:  # those of an earlier run in the same folder would not be of these cells
        (folder / "predictions.csv").unlink(missing_ok=True)
    found = of_all.annotation.answers
    notes = {"diagnosis": not_none(results.diagnosis).to_uns()}
    write_integrated(folder / "integrated.h5ad", of_all.data, found, of_all.umap, notes)
    pictures = write_figures(folder / FIGURES, results)
    write_json(folder / CONTENT, report_content(results, pictures).to_dict())
    write_report(folder / REPORT, read_content(folder))


def write_predictions(path: Path, results: Results, rows_at_once: int = ROWS_AT_ONCE) -> None:
    """Writes `predictions` as .csv, some rows at a time, whole or not at all; see `write_rows`."""
    with whole_file(path) as part, open(part, "w", encoding="utf-8", newline="") as file:
        # At least once, since a file without cells has its head all the same.
        for start in range(0, max(1, len(results.data.atac_cells)), rows_at_once):
            rows = predictions(results, slice(start, start + rows_at_once))
            write_rows(rows, file, head=start == 0)


def predictions(results: Results, rows: slice = slice(None)) -> pd.DataFrame:
    """A row an ATAC cell: the columns of the answers, runner-up, the labels of the other routes.

    Parameters
    ----------
    rows : the cells that are wanted; the columns are the same for any.
    """
    answers = results.answers
    probabilities = not_none(answers.probabilities)[rows]
    second = np.argsort(-probabilities, axis=1, kind="stable")[:, 1:2]
    second_confidence = np.take_along_axis(probabilities, second, axis=1)[:, 0]
    table = {
        "cell": results.data.atac_cells[rows],
        **answers.table(rows),
        "second_label": not_none(answers.label).categories[second[:, 0]],
        "second_confidence": second_confidence.round(DIGITS),
        **{name: labels[rows] for name, labels in answers.other_routes.items()},
    }
    if results.truth is not None:
        label = not_none(answers.label)
        names = np.asarray(label.categories, dtype=object)
        coarse = at_level(results.truth, names)
        given = np.bincount(label.codes, minlength=len(names)) > 0
        if np.any((coarse != names) & given):
            table["coarse_label"] = coarse[label.codes[rows]]
    return pd.DataFrame(table)


def report_content(results: Results, pictures: list[tuple[str, Path]]) -> ReportContent:
    """The content of the report page."""
    data = results.data
    name, query = results.config.data.dataset or CUSTOM, data.measure.name
    files = FILES | {str(results.export): "the exported encoder (SavedModel)"}
    if not results.routes:
        files.pop("predictions.csv")
        files["integrated.h5ad"] = "both modalities with latent vectors and UMAP, for scanpy"
    return ReportContent(
        title=named("RNA and ATAC integration", query),
        dataset=name,
        summary=[named(text, query) for text in _summary(results)],
        scores=results.metrics,
        matching=data.matching.to_dict(),
        matching_lines=data.matching.text().splitlines(),
        settings=results.config.to_dict(),
        figures=pictures,
        warnings=results.warnings,
        diagnosis=not_none(results.diagnosis).to_dict(),
        cells=_cell_points(results),
        versions=versions(),
        files={name: named(text, query) for name, text in files.items()},
        transferred=bool(results.routes),
        query=query,
    )


def _cell_points(results: Results) -> dict:
    data, routes = results.data, results.routes
    names = np.concatenate([data.rna_cells, data.atac_cells])
    atac = routes.get(HEADLINE, np.full(len(data.atac_cells), ""))
    types = np.concatenate([data.known_rna_types(), atac])
    confidence = results.answers.confidence if routes else None
    query = data.measure.name
    return cell_points(results.umap, names, len(data.rna_cells), types, confidence, query)


def _summary(results: Results) -> list[str]:
    data = results.data
    types = f" of {len(data.types)} types" if data.types else ""
    summary = [
        f"{len(data.rna_cells):,} RNA cells{types} were integrated with "
        f"{len(data.atac_cells):,} ATAC cells over {len(data.genes):,} shared genes."
    ]
    if not results.routes:
        return [
            *summary,
            "No label was taught (--mode=unsupervised): none was transferred, so there is no "
            "predictions.csv. Known types, where there are some, are shown but were not used.",
            "Nothing but shared genes ties the modalities together here. Before you read a cluster "
            "as one type, check that its RNA and ATAC cells have the same marker genes.",
        ]
    summary.append(
        f"Half of the ATAC cells have a label with a confidence over "
        f"{np.median(results.answers.confidence):.2f}."
    )
    if results.truth is None:
        summary.append("No ATAC labels were given, so nothing can be said about accuracy.")
    return summary
