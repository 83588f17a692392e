"""Routes of label transfer from what a model says of the cells, and the scores of any system.

The known labels of ATAC cells come in here and nowhere before: they score, they never teach.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from scadv_tf.config import RunConfig
from scadv_tf.data.answers import CellAnswers
from scadv_tf.data.labels import HEADLINE
from scadv_tf.data.pairing import AtacTruth, PairedData
from scadv_tf.data.rows import Rows
from scadv_tf.evaluation.label_transfer import knn_transfer, svm_transfer
from scadv_tf.evaluation.labelled_cells import coded
from scadv_tf.evaluation.metrics import (
    expected_calibration_error,
    label_scores,
    modality_mixing,
    silhouette,
)
from scadv_tf.modalities import MODALITIES
from scadv_tf.not_none import not_none

if TYPE_CHECKING:  # it imports TensorFlow, which scores do not need
    from scadv_tf.annotation import Annotation

ROUTES = (HEADLINE, "classifier", "svm", "knn")
SCORES = (
    "silhouette_umap",
    "silhouette_latent",
    "modality_mixing",
    "silhouette_modality",
    "calibration_error",
    "unknown_share",
    "accuracy_of_known",
)


def learning_curve_hook(types: tuple[str, ...], truth: AtacTruth) -> Callable:
    """A hook that logs the classifier's macro F1 after each epoch; it only watches."""

    def log(epoch: int, probabilities: np.ndarray, logs: dict) -> None:
        logs["macro_f1"] = epoch_macro_f1(probabilities.argmax(axis=1), types, truth)

    return log


def epoch_macro_f1(codes: np.ndarray, types: tuple[str, ...], truth: AtacTruth) -> float | None:
    """Macro F1 of predicted type codes of the ATAC cells; None if none of them has a label."""
    scores = label_scores(truth.labels, truth.coarsen(types)[codes])
    return None if scores is None else scores["macro_f1"]


def transfer(annotation: Annotation, rna_labels: np.ndarray, config: RunConfig) -> CellAnswers:
    """The answer for the ATAC cells with the types of all routes, objects of str: 8 bytes a cell.

    ``label_transfer``, the headline, is the classifier joined by the vote of each cell's
    neighbours; ``classifier`` is the model without that vote; ``svm`` and ``knn`` learn on the
    latent vectors of the RNA cells; ``linear``, where cells were balanced, is the linear guess with
    the vote, without the network.

    Parameters
    ----------
    annotation : with labels.
    rna_labels : type codes of the RNA cells [R].
    """
    voted, alone, seed = annotation.voted, annotation.atac, config.training.seed
    rna_types = np.asarray(not_none(voted.label).categories, dtype=object)[rna_labels]
    given = annotation.rna.latent, rna_types, alone.latent
    neighbors = config.evaluation.knn_neighbors
    routes = {
        "classifier": np.asarray(alone.label, dtype=object),
        "svm": _few_texts(svm_transfer(*given, seed)),
        "knn": _few_texts(knn_transfer(*given, neighbors, seed)),
    }
    return replace(voted, other_routes=routes | voted.other_routes)


def type_shares(answers: CellAnswers, rna_labels: np.ndarray) -> dict[str, dict[str, float]]:
    """Type -> its share of the RNA cells, and what is estimated of the ATAC cells."""
    types = not_none(answers.label).categories
    rna = np.bincount(rna_labels, minlength=len(types)) / len(rna_labels)
    atac = not_none(answers.probabilities).mean(axis=0, dtype=np.float64)
    return {
        name: {"rna": round(float(r), 6), "atac": round(float(a), 6)}
        for name, r, a in zip(types, rna, atac, strict=True)
    }


def agreement(routes: dict[str, np.ndarray]) -> dict[str, float]:
    """Route -> the share of ATAC cells to which it gives the headline's type."""
    headline = routes[HEADLINE]
    others = {name: labels for name, labels in routes.items() if name != HEADLINE}
    return {name: float(np.mean(labels == headline)) for name, labels in others.items()}


def _few_texts(labels: np.ndarray) -> np.ndarray:
    """The same labels, each name once in memory."""
    names, (codes,) = coded(labels)
    return names[codes]


def at_level(truth: AtacTruth, labels: np.ndarray) -> np.ndarray:
    """Labels [cells] named at the level of the ATAC labels, objects of str: 8 bytes a cell."""
    names, (codes,) = coded(labels)
    return truth.coarsen(names).astype(object)[codes]


def known_types(data: PairedData, truth: AtacTruth | None) -> np.ndarray:
    """Known types of all cells, RNA first [R + A], at the level of the ATAC labels; '' for none.

    Objects of str: 8 bytes a cell.
    """
    rna = data.known_rna_types()
    if truth is None:
        return np.concatenate([_few_texts(rna), np.full(len(data.atac_cells), "", dtype=object)])
    return np.concatenate([at_level(truth, rna), _few_texts(truth.labels)])


def score(
    routes: dict[str, np.ndarray],
    probabilities: np.ndarray | None,
    latent: np.ndarray | Rows | None,
    umap: np.ndarray | None,
    data: PairedData,
    truth: AtacTruth | None,
    seed: int,
    unknown: np.ndarray | None = None,
    without_data: int = 0,
) -> dict:
    """All scores of one system, whatever it can give.

    Parameters
    ----------
    routes : route -> predicted types of the ATAC cells [A], any routes; ``label_transfer`` is
        the headline. Empty where no label was transferred.
    probabilities : of the headline [A, K]; None for a system without.
    latent, umap : RNA cells first, [R + A, Z] and [R + A, 2]; None for a system without. Of latent
        vectors on disk, such as `JoinedRows`, only samples are held.
    truth : None where the labels of the ATAC cells are not known.
    seed : of the subsamples.
    unknown : bool [A], ATAC cells that resemble no known type; None for a system without.
    without_data : number of further ATAC cells, which have no data, and are unknown for that.

    Returns
    -------
    Route -> its `label_scores`; silhouettes, mixing, and that by type of the RNA cells and of the
    headline where these are many, calibration error, the share of unknown cells
    and the accuracy of the headline among the others. None stands for what
    the system, or the lack of ATAC labels, leaves unknown.
    """
    metrics = dict.fromkeys([*(routes or ROUTES), *SCORES])
    if truth is not None and routes:
        metrics |= _against_truth(routes, probabilities, unknown, truth, data.types)
    if truth is not None and np.any(data.known_rna_types() != ""):
        known = known_types(data, truth)
        for name, space in (("silhouette_umap", umap), ("silhouette_latent", latent)):
            if space is not None:
                metrics[name] = silhouette(space, known, seed)
    if unknown is not None:
        cells = len(unknown) + without_data
        metrics["unknown_share"] = (int(unknown.sum()) + without_data) / cells
    if latent is not None:
        modality = np.repeat(MODALITIES, [len(data.rna_cells), len(data.atac_cells)])
        types = np.concatenate([data.known_rna_types(), routes[HEADLINE]]) if routes else None
        mixing, by_type = modality_mixing(latent, modality, types, seed=seed)
        metrics["modality_mixing"] = mixing
        if by_type:
            metrics["mixing_by_type"] = by_type
        metrics["silhouette_modality"] = silhouette(latent, modality, seed)
    return metrics


def _against_truth(
    routes: dict,
    probabilities: np.ndarray | None,
    unknown: np.ndarray | None,
    truth: AtacTruth,
    types: tuple[str, ...],
) -> dict:
    coarse = {name: at_level(truth, labels) for name, labels in routes.items()}
    found: dict[str, Any] = {
        name: label_scores(truth.labels, labels) for name, labels in coarse.items()
    }
    labelled, right = truth.labels != "", coarse[HEADLINE] == truth.labels
    if probabilities is not None:
        found["calibration_error"] = expected_calibration_error(
            truth.confidence(probabilities, types)[labelled], right[labelled]
        )
    if unknown is not None and np.any(labelled & ~unknown):
        found["accuracy_of_known"] = float(right[labelled & ~unknown].mean())
    return found
