"""Harmony (Korsunsky et al. 2019), by the package harmonypy, on the joint PCA."""

from __future__ import annotations

import logging
from importlib import metadata
from typing import Any

import numpy as np
import pandas as pd

from scadv_tf.baselines.transfer import Transfer, cells_on_components, latent_routes
from scadv_tf.data.labels import HEADLINE
from scadv_tf.data.training_cells import TrainingCells
from scadv_tf.errors import InputError
from scadv_tf.evaluation.labelled_cells import check_lengths

SEEDED = True


def harmony(cells: TrainingCells, rna_types: np.ndarray, seed: int) -> Transfer:
    """Correct the joint PCA for the modality, then transfer the labels there.

    All settings are the defaults of the installed harmonypy, so its version matters: from 2 on it
    estimates the penalty of the correction, which mixes the modalities less than the fixed 1 of
    earlier ones. Harmony labels no cells by itself: the headline is the SVM on the corrected
    components, which is also the route 'svm'; beside it 'knn'.

    Parameters
    ----------
    cells : R RNA and A ATAC cells, preprocessed with a projection.
    rna_types : [R] text.
    seed : of Harmony's clustering.

    Raises
    ------
    InputError : if harmonypy is not installed, `rna_types` has not R entries, or there are no
        components.
    """
    check_installed()
    check_lengths("harmony", rna=range(cells.cells("rna")), rna_types=rna_types)
    modality = np.repeat(["rna", "atac"], [cells.cells("rna"), cells.cells("atac")])
    latent = correct(cells_on_components(cells), modality, seed)
    routes = latent_routes(latent, rna_types, seed)
    return Transfer({HEADLINE: routes["svm"], **routes}, probabilities=None, latent=latent)


def correct(components: np.ndarray, modality: np.ndarray, seed: int) -> np.ndarray:
    """Components [N, D] corrected for the modality [N]; float32 [N, D]."""
    import harmonypy

    logging.getLogger("harmonypy").setLevel(logging.WARNING)  # it sets DEBUG when imported
    # Components first: this is what all versions take, also when there are as many as cells.
    result = harmonypy.run_harmony(
        np.ascontiguousarray(components.T, dtype=np.float64),
        pd.DataFrame({"modality": modality}),
        ["modality"],
        random_state=seed,
        verbose=False,
    )
    return _cells_first(result, components).astype(np.float32)


def check_installed() -> None:
    """Refuse to go on without harmonypy.

    Raises
    ------
    InputError : if it is not installed.
    """
    if installed_version() is None:
        raise InputError(
            what="The baseline 'harmony' needs the package harmonypy.",
            expected="harmonypy, which is not installed along with scadv_tf",
            received="no such package",
            advice="Run: pip install 'scadv_tf[harmony]', or leave 'harmony' out.",
        )


def installed_version() -> str | None:
    """The version of harmonypy; None if it is missing."""
    try:
        return metadata.version("harmonypy")
    except metadata.PackageNotFoundError:
        return None


def _cells_first(result: Any, components: np.ndarray) -> np.ndarray:
    """The corrected components [N, D]: up to harmonypy 0.1 they came as [D, N]."""
    corrected, original = np.asarray(result.Z_corr), np.asarray(result.Z_orig)
    if components.shape[0] == components.shape[1]:
        # The shape does not tell, but the components that went in do.
        turned = np.abs(original - components).sum() > np.abs(original.T - components).sum()
    else:
        turned = corrected.shape != components.shape
    return corrected.T if turned else corrected
