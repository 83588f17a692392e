"""What every baseline gives back, and the space that some of them start from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scadv_tf.data.labels import HEADLINE
from scadv_tf.errors import InputError
from scadv_tf.evaluation.label_transfer import knn_transfer, svm_transfer

if TYPE_CHECKING:
    import pandas as pd

    from scadv_tf.data.rows import Rows
    from scadv_tf.data.training_cells import TrainingCells


@dataclass(frozen=True, eq=False)
class Transfer:
    """Types for the A ATAC cells, and the space that a method found for both modalities.

    Attributes
    ----------
    routes : route -> predicted types [A], text; 'label_transfer' is the method's headline.
    probabilities : of the headline [A, K], columns sorted by name of type, rows sum to 1; None if
        the method has none.
    latent : [R + A, Z], RNA cells first; None if the method has no joint space.
    history : a row an epoch, with its ``seconds``; None without epochs.
    unknown : bool [A], cells that resemble no type; None if the method does not say.
    epoch_codes : predicted type codes after each epoch [epochs, A]; None without epochs.
    """

    routes: dict[str, np.ndarray]
    probabilities: np.ndarray | None
    latent: Rows | None
    history: pd.DataFrame | None = None
    unknown: np.ndarray | None = None
    epoch_codes: np.ndarray | None = None

    def __post_init__(self) -> None:
        if HEADLINE not in self.routes:
            raise ValueError(f"Expected a route '{HEADLINE}'; received routes={list(self.routes)}")


def cells_on_components(cells: TrainingCells) -> np.ndarray:
    """All cells on the principal components of both modalities, nothing corrected.

    Parameters
    ----------
    cells : preprocessed with a projection (see `Preprocessor.components`).

    Returns
    -------
    float32 [R + A, D], RNA cells first.

    Raises
    ------
    InputError : if no components were learned.
    """
    if cells.preprocessor.components is None:
        raise InputError(
            what="The cells were preprocessed without joint principal components.",
            expected="components [G, D] in the preprocessor",
            received="None",
            advice="Preprocess with a projection_size above 0, for example 50.",
        )
    return np.concatenate([cells.features["rna"], cells.features["atac"]])


def latent_routes(latent: np.ndarray, rna_types: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Types [A] of the ATAC cells by the two routes 'svm' and 'knn' through a latent space.

    Parameters
    ----------
    latent : [R + A, Z], RNA cells first.
    rna_types : [R] text.
    seed : see `svm_transfer`.
    """
    rna, atac = latent[: len(rna_types)], latent[len(rna_types) :]
    return {
        "svm": svm_transfer(rna, rna_types, atac, seed),
        "knn": knn_transfer(rna, rna_types, atac),
    }
