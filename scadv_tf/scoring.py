"""Routes of label transfer from what a model says of the cells, and the scores of any system.

The known labels of ATAC cells come in here and nowhere before: they score, they never teach.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scadv_tf.baselines.transfer import HEADLINE
from scadv_tf.config import RunConfig
from scadv_tf.data.pairing import AtacTruth, PairedData
from scadv_tf.data.preprocessing import MODALITIES
from scadv_tf.evaluation import (
    expected_calibration_error,
    knn_transfer,
    label_scores,
    modality_mixing,
    silhouette,
    svm_transfer,
)


def learning_curve_hook(types: tuple[str, ...], truth: AtacTruth) -> Callable:
    """A hook that logs the classifier's macro F1 after each epoch; it only watches."""

    def log(epoch, probabilities, logs):
        logs["macro_f1"] = epoch_macro_f1(probabilities.argmax(axis=1), types, truth)

    return log


def epoch_macro_f1(codes: np.ndarray, types: tuple[str, ...], truth: AtacTruth) -> float:
    """Macro F1 of predicted type codes [A]."""
    return label_scores(truth.labels, truth.coarsen(np.array(types)[codes]))["macro_f1"]


def transfer(
    encoded: dict,
    probabilities: np.ndarray,
    types: tuple[str, ...],
    rna_labels: np.ndarray,
    config: RunConfig,
) -> dict[str, np.ndarray]:
    """Route -> types of the ATAC cells [A].

    ``label_transfer``, the headline, is the classifier joined by the vote of each cell's
    neighbours; ``classifier`` is the classifier alone; ``svm`` and ``knn`` learn on the latent
    vectors of the RNA cells.

    Parameters
    ----------
    encoded : modality -> latent vectors and the classifier's probabilities (`fitting.Encoded`).
    probabilities : of the headline route [A, K].
    types : the K names of the types.
    rna_labels : type codes of the RNA cells [R].
    """
    names = np.array(types)
    rna, atac = (encoded[name].latent for name in MODALITIES)
    rna_types = names[rna_labels]
    return {
        HEADLINE: names[probabilities.argmax(axis=1)],
        "classifier": names[encoded["atac"].probabilities.argmax(axis=1)],
        "svm": svm_transfer(rna, rna_types, atac, config.training.seed),
        "knn": knn_transfer(rna, rna_types, atac, config.evaluation.knn_neighbors),
    }


def score(
    routes: dict[str, np.ndarray],
    probabilities: np.ndarray | None,
    latent: np.ndarray | None,
    umap: np.ndarray | None,
    data: PairedData,
    truth: AtacTruth | None,
    seed: int,
) -> dict:
    """All scores of one system, whatever it can give.

    Parameters
    ----------
    routes : route -> predicted types of the ATAC cells [A], any routes; ``label_transfer`` is
        the headline.
    probabilities : of the headline [A, K]; None for a system without.
    latent, umap : RNA cells first, [R + A, Z] and [R + A, 2]; None for a system without.
    truth : None where the labels of the ATAC cells are not known.
    seed : of the subsamples.

    Returns
    -------
    Route -> its `label_scores`; silhouettes, mixing and calibration error. None stands for what
    the system, or the lack of ATAC labels, leaves unknown.
    """
    names = ("silhouette_umap", "silhouette_latent", "calibration_error")
    metrics = dict.fromkeys([*routes, *names, "modality_mixing", "silhouette_modality"])
    if truth is not None:
        metrics |= _against_truth(routes, probabilities, truth, data.types)
        known = np.concatenate([truth.coarsen(np.array(data.types)[data.rna_labels]), truth.labels])
        for name, space in (("silhouette_umap", umap), ("silhouette_latent", latent)):
            if space is not None:
                metrics[name] = silhouette(space[known != ""], known[known != ""], seed)
    if latent is not None:
        modality = np.repeat(MODALITIES, [len(data.rna_cells), len(data.atac_cells)])
        metrics["modality_mixing"] = modality_mixing(latent, modality, seed=seed)
        metrics["silhouette_modality"] = silhouette(latent, modality, seed)
    return metrics


def _against_truth(
    routes: dict, probabilities: np.ndarray | None, truth: AtacTruth, types: tuple[str, ...]
) -> dict:
    coarse = {name: truth.coarsen(labels) for name, labels in routes.items()}
    found = {name: label_scores(truth.labels, labels) for name, labels in coarse.items()}
    if probabilities is not None:
        answered = truth.labels != ""
        found["calibration_error"] = expected_calibration_error(
            truth.confidence(probabilities, types)[answered],
            (coarse[HEADLINE] == truth.labels)[answered],
        )
    return found
