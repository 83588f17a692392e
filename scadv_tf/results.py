"""What a run found, and the files and pictures that tell of it."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd

from scadv_tf.config import RunConfig
from scadv_tf.data.pairing import AtacTruth, PairedData
from scadv_tf.data.writers import write_integrated
from scadv_tf.evaluation import figures
from scadv_tf.evaluation.advice import plain_warnings
from scadv_tf.evaluation.metrics import confusion
from scadv_tf.evaluation.report import ReportContent, write_report
from scadv_tf.files import write_whole

PACKAGES = (
    "scadv_tf",
    "tensorflow",
    "keras",
    "tensorflow-probability",
    "numpy",
    "anndata",
    "scikit-learn",
    "umap-learn",
)
FILES = {
    "metrics.json": "all scores, seconds by stage, peak memory",
    "config.json": "every setting of the run",
    "history.csv": "losses and scores after each epoch",
    "predictions.csv": "labels and confidence of the ATAC cells",
    "integrated.h5ad": "both modalities with latent vectors, UMAP and labels, for scanpy",
    "checkpoints/": "the whole model's weights and the preprocessing",
    "figures/": "the pictures of this page",
}


@dataclass(frozen=True, eq=False)
class Results:
    """Everything that is written about a run.

    Attributes
    ----------
    routes : route of label transfer -> predicted types of the ATAC cells [A].
    probabilities : of the headline route for the ATAC cells [A, K].
    rna_probabilities : the classifier's for the RNA cells [R, K].
    latent, umap : RNA cells first, [R + A, Z] and [R + A, 2].
    history : a row an epoch.
    metrics : the content of metrics.json.
    export : folder of the exported encoder.
    """

    config: RunConfig
    data: PairedData
    truth: AtacTruth | None
    routes: dict[str, np.ndarray]
    probabilities: np.ndarray
    rna_probabilities: np.ndarray
    latent: np.ndarray
    umap: np.ndarray
    history: pd.DataFrame
    metrics: dict
    export: Path

    @property
    def confidence(self) -> np.ndarray:
        """Probability of the headline label of each ATAC cell [A]."""
        return self.probabilities.max(axis=1)


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


def write_results(folder: Path, results: Results) -> None:
    """Writes the tables, pictures and the report; `metrics.json` last, as the sign of the end."""
    write_whole(folder / "config.json", results.config.to_json().encode())
    write_whole(folder / "history.csv", results.history.to_csv(index=False).encode())
    write_whole(folder / "predictions.csv", predictions(results).to_csv(index=False).encode())
    types = np.array(results.data.types)
    rna_probabilities = results.rna_probabilities
    write_integrated(
        folder / "integrated.h5ad",
        results.data,
        {
            "rna": types[rna_probabilities.argmax(axis=1)],
            "atac": results.routes["label_transfer"],
        },
        {"rna": rna_probabilities.max(axis=1), "atac": results.confidence},
        results.latent,
        results.umap,
    )
    pictures = write_figures(folder / "figures", results)
    write_report(folder / "report.html", report_content(results, pictures))


def predictions(results: Results) -> pd.DataFrame:
    """A row an ATAC cell: label, confidence, runner-up, and the labels of the other routes."""
    types, probabilities = np.array(results.data.types), results.probabilities
    order = np.argsort(-probabilities, axis=1, kind="stable")
    table = {
        "cell": results.data.atac_cells,
        "label": results.routes["label_transfer"],
        "confidence": results.confidence.round(6),
        "second_label": types[order[:, 1]],
        "second_confidence": np.take_along_axis(probabilities, order, axis=1)[:, 1].round(6),
    }
    table |= {name: labels for name, labels in results.routes.items() if name != "label_transfer"}
    if results.truth is not None:
        coarse = results.truth.coarsen(table["label"])
        if np.any(coarse != table["label"]):
            table["coarse_label"] = coarse
    return pd.DataFrame(table)


def shown_types(results: Results) -> tuple[np.ndarray, str]:
    """Types of all cells for pictures, RNA first, and where the ATAC cells' come from."""
    rna = np.array(results.data.types)[results.data.rna_labels]
    if results.truth is None:
        return np.concatenate([rna, results.routes["label_transfer"]]), "predicted"
    known = np.where(results.truth.labels == "", "unlabelled", results.truth.labels)
    return np.concatenate([results.truth.coarsen(rna), known]), "known"


def write_figures(folder: Path, results: Results) -> list[tuple[str, Path]]:
    """Draws every picture; returns captions and paths."""
    rna_count = len(results.data.rna_cells)
    modality = np.repeat(["RNA", "ATAC"], [rna_count, len(results.latent) - rna_count])
    types, source = shown_types(results)
    label = np.array(results.data.types)[results.data.rna_labels]
    labels = np.concatenate([label, results.routes["label_transfer"]])
    drawn = [
        (
            f"UMAP of the integrated cells, by type (ATAC: {source}) and by modality",
            "umap",
            figures.umap_panels(results.umap, types, modality, f"ATAC types: {source}"),
        ),
        (
            "UMAP by the types of the RNA cells and those predicted for the ATAC cells",
            "umap_predicted",
            figures.umap_panels(results.umap, labels, modality, "ATAC types: predicted"),
        ),
        ("Losses, mean of each epoch", "losses", figures.loss_curves(_losses(results.history))),
        ("Confidence of the predicted labels", "confidence", _confidence(results)),
    ]
    if results.truth is not None:
        counts = confusion(results.truth.labels, results.routes["label_transfer"])
        drawn.insert(
            2,
            (
                "Known against predicted types of the ATAC cells",
                "confusion_matrix",
                figures.confusion_matrix(counts),
            ),
        )
        curve = {"classifier": results.history["macro_f1"].to_numpy()}
        drawn.insert(
            3,
            (
                "Macro F1 of the classifier on the ATAC cells after each epoch",
                "learning_curve",
                figures.learning_curve(curve),
            ),
        )
    paths = []
    for caption, name, figure in drawn:
        figures.save(figure, folder / f"{name}.png")
        paths.append((caption, folder / f"{name}.png"))
    return paths


def _losses(history: pd.DataFrame) -> pd.DataFrame:
    others = ("macro_f1", "atac_label_change")
    return history.drop(columns=[name for name in others if name in history])


def _confidence(results: Results):
    if results.truth is None:
        return figures.confidence_histogram(results.confidence)
    labelled = results.truth.labels != ""
    coarse = results.truth.coarsen(results.routes["label_transfer"])
    confidence = results.truth.confidence(results.probabilities, results.data.types)
    correct = coarse == results.truth.labels
    return figures.confidence_histogram(confidence[labelled], correct[labelled])


def warnings_of(results: Results) -> list[str]:
    """What a user should know before trusting the run."""
    matching = results.data.matching.to_dict()
    rna_types = np.array(results.data.types)[results.data.rna_labels]
    found = plain_warnings(
        results.metrics,
        matching,
        rna_types,
        results.routes["label_transfer"],
        results.confidence,
    )
    return found + [text for text in matching["warnings"] if text not in found]


def report_content(results: Results, pictures: list[tuple[str, Path]]) -> ReportContent:
    """The content of the report page."""
    data = results.data
    name = results.config.data.dataset or "custom"
    summary = [
        f"{len(data.rna_cells):,} RNA cells of {len(data.types)} types were integrated with "
        f"{len(data.atac_cells):,} ATAC cells over {len(data.genes):,} shared genes.",
        f"Half of the ATAC cells have a label with a confidence over "
        f"{np.median(results.confidence):.2f}.",
    ]
    if results.truth is None:
        summary.append("No ATAC labels were given, so nothing can be said about accuracy.")
    files = FILES | {str(results.export): "the exported encoder (SavedModel)"}
    return ReportContent(
        title="RNA and ATAC integration",
        dataset=name,
        summary=summary,
        scores=results.metrics,
        matching=data.matching.to_dict(),
        matching_lines=data.matching.text().splitlines(),
        settings=results.config.to_dict(),
        figures=pictures,
        warnings=warnings_of(results),
        versions=versions(),
        files=files,
    )
