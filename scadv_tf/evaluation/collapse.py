"""Trainings that ended without an error and yet learned nothing, or only just went well."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from scadv_tf.data.rows import Rows, blocks
from scadv_tf.evaluation.labelled_cells import Labels, as_text

RATE_FACTOR = "rate_factor"  # column of the history: by what learning rates were multiplied

# The thresholds are conventions of this project. Cells that differ by less than a hundredth of the
# length of their vectors are told apart by noise.
LEAST_SPREAD = 0.01
# Guessing costs a discriminator log 2 = 0.69; this is being right with a confidence of 98 %.
SATURATED = 0.02
# A discriminator may win for some epochs; this many in a row at the end it does not come back.
SATURATED_EPOCHS = 5
DISCRIMINATORS = {
    "modality_adversarial": "RNA from ATAC cells",
    "atac_adversarial": "real from generated ATAC cells",
}
ROWS_AT_ONCE = 10_000


def collapse_warnings(
    history: pd.DataFrame,
    latents: Mapping[str, Rows],
    rna_labels: Labels | None = None,
    predicted: Labels | None = None,
) -> list[str]:
    """Say in plain language where a training collapsed, and what to do about it.

    Parameters
    ----------
    history : a row an epoch: mean losses by name, and `RATE_FACTOR` where the training diverged.
    latents : modality -> latent vectors [cells, Z].
    rna_labels : [R] types of the RNA cells; None where none were taught.
    predicted : [A] types given to the ATAC cells.

    Returns
    -------
    Sentences; none when nothing collapsed.
    """
    found = _went_back(history) + _saturated(history)
    flat = [name for name, latent in latents.items() if spread(latent) < LEAST_SPREAD]
    if flat:
        found.append(
            f"The latent vectors of all {' and all '.join(name.upper() for name in flat)} cells "
            "are nearly the same: the encoder has collapsed. Neither the integrated cells nor "
            "labels from them mean anything. Lower --learning_rate, or the weight "
            "--modality_adversarial."
        )
    if rna_labels is not None and predicted is not None and len(predicted) > 1:
        types, given = (np.unique(as_text(labels)) for labels in (rna_labels, predicted))
        if len(types[types != ""]) > 1 and len(given) == 1:
            found.append(
                f"Every ATAC cell was labelled {given[0]}. Unless the sample was sorted for this "
                "type, the training has collapsed: check that both samples are of one tissue and "
                "genome, and lower --learning_rate."
            )
    return found


def spread(latent: Rows) -> float:
    """How far vectors are from their mean, as a share of their length: from 0, all alike, to 1.

    ``sqrt(sum |x - mean|^2 / sum |x|^2)``; 1 for fewer than two vectors, which tell nothing.
    """
    if latent.shape[0] < 2:
        return 1.0
    sums, squares = np.zeros(latent.shape[1]), 0.0
    for _, block in blocks(latent, ROWS_AT_ONCE):
        values = np.asarray(block, np.float64)
        sums += values.sum(axis=0)
        squares += np.square(values).sum()
    if squares == 0:
        return 0.0
    return float(np.sqrt(max(0.0, 1 - np.square(sums).sum() / latent.shape[0] / squares)))


def _went_back(history: pd.DataFrame) -> list[str]:
    if RATE_FACTOR not in history or history[RATE_FACTOR].iloc[-1] == 1:
        return []
    return [
        (
            "The training diverged, went back and ended with its learning rates times "
            f"{history[RATE_FACTOR].iloc[-1]:g}. Lower --learning_rate and "
            "--alignment_learning_rate, or set --gradient_clip_norm, so that it need not."
        )
    ]


def _saturated(history: pd.DataFrame) -> list[str]:
    found = []
    for loss, sides in DISCRIMINATORS.items():
        last = history[loss].tail(SATURATED_EPOCHS) if loss in history else pd.Series(dtype=float)
        if len(last) == SATURATED_EPOCHS and (last < SATURATED).all():
            found.append(
                f"A discriminator told {sides} with hardly an error in each of the last "
                f"{SATURATED_EPOCHS} epochs, so nothing was learned against it. Lower "
                "--alignment_learning_rate, or narrow its layers."
            )
    return found
