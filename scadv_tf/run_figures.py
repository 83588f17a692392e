"""The pictures of one run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scadv_tf.data.labels import HEADLINE
from scadv_tf.evaluation import figures
from scadv_tf.evaluation.collapse import RATE_FACTOR
from scadv_tf.evaluation.marker_figures import marker_dots
from scadv_tf.evaluation.metrics import confusion
from scadv_tf.evaluation.style import call_query, save
from scadv_tf.evaluation.umap_figures import umap_panels
from scadv_tf.naming import named
from scadv_tf.not_none import not_none
from scadv_tf.scoring import at_level, known_types

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from scadv_tf.results import Results

Picture = tuple[str, str, "Figure"]  # caption, name of the file, figure


def write_figures(folder: Path, results: Results) -> list[tuple[str, Path]]:
    """Draws every picture; returns captions and paths."""
    paths = []
    query = results.data.measure.name
    for caption, name, figure in _drawn(results):
        save(call_query(figure, query), folder / f"{name}.png")
        paths.append((named(caption, query), folder / f"{name}.png"))
    return paths


def _drawn(results: Results) -> list[Picture]:
    losses = figures.loss_curves(losses_of(results.history))
    pictures = [_umap(results), ("Losses, mean of each epoch", "losses", losses)]
    if results.routes:
        pictures[1:1] = _of_labels(results)
        confidence = "Confidence of the predicted labels", "confidence", _confidence(results)
        pictures += [confidence, _shares(results)]
    if results.diagnosis and results.diagnosis.markers and results.routes:
        caption = "Marker genes of the RNA types in the ATAC cells called each type"
        has = results.data.measure.of_kind.has
        dots = marker_dots(results.diagnosis.markers.dots, has=has)
        pictures.insert(1, (caption, "marker_dots", dots))
    return pictures


def _umap(results: Results) -> Picture:
    types, source = _shown_types(results)
    caption = "UMAP of the integrated cells, by modality"
    title = "Integrated cells"
    if types is not None:
        caption = f"UMAP of the integrated cells, by type (ATAC: {source}) and by modality"
        title = f"ATAC types: {source}"
    return caption, "umap", umap_panels(results.umap, types, _modality(results), title)


def _shown_types(results: Results) -> tuple[np.ndarray | None, str]:
    """Types of all cells, RNA first, and where the ATAC cells' come from; None if none is known."""
    known = known_types(results.data, results.truth)
    if results.truth is None and results.routes:
        rna = known[: len(results.data.rna_cells)]
        return np.concatenate([rna, results.routes[HEADLINE]]), "predicted"
    if not np.any(known != ""):
        return None, ""
    return np.where(known == "", "unlabelled", known), "known"


def _modality(results: Results) -> np.ndarray:
    cells = len(results.data.rna_cells), len(results.data.atac_cells)
    return np.repeat(["RNA", "ATAC"], cells)


def _of_labels(results: Results) -> list[Picture]:
    """The predicted labels on the UMAP, and where the true ones are known, held against them."""
    predicted = results.routes[HEADLINE]
    labels = np.concatenate([results.data.known_rna_types(), predicted])
    title = "ATAC types: predicted"
    umap = umap_panels(results.umap, labels, _modality(results), title)
    caption = "UMAP by the types of the RNA cells and those predicted for the ATAC cells"
    pictures = [(caption, "umap_predicted", umap)]
    if results.truth is not None:
        counts = figures.confusion_matrix(confusion(results.truth.labels, predicted))
        curve = figures.learning_curve(results.history["macro_f1"].to_numpy())
        caption = "Macro F1 of the classifier on the ATAC cells after each epoch"
        pictures += [
            ("Known against predicted types of the ATAC cells", "confusion_matrix", counts),
            (caption, "learning_curve", curve),
        ]
    return pictures


def _shares(results: Results) -> Picture:
    shares = pd.DataFrame.from_dict(results.metrics["type_shares"], orient="index")
    caption = "Share of each type among the RNA cells, and estimated of the ATAC cells"
    return caption, "type_shares", figures.type_shares(shares)


def losses_of(history: pd.DataFrame) -> pd.DataFrame:
    """The history without what is no loss."""
    others = ("macro_f1", "atac_label_change", "seconds", "step_seconds", RATE_FACTOR)
    return history.drop(columns=[name for name in others if name in history])


def _confidence(results: Results) -> Figure:
    if results.truth is None:
        return figures.confidence_histogram(results.answers.confidence)
    labelled = results.truth.labels != ""
    coarse = at_level(results.truth, results.routes[HEADLINE])
    confidence = results.truth.confidence(
        not_none(results.answers.probabilities), results.data.types
    )
    correct = coarse == results.truth.labels
    return figures.confidence_histogram(confidence[labelled], correct[labelled])
