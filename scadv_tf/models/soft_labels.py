"""Soft labels of the ATAC cells, made from the model's own predictions once an epoch.

NumPy only: nothing here is differentiated.
"""

from __future__ import annotations

import numpy as np


def neighbor_mean(probabilities: np.ndarray, neighbors: np.ndarray | None) -> np.ndarray:
    """Mean probabilities of each cell's neighbours [A, K]; unchanged if there are none.

    Parameters
    ----------
    probabilities : [A, K].
    neighbors : int [A, k], rows of each cell's neighbours, itself included; or None.
    """
    if neighbors is None:
        return probabilities
    total = np.zeros_like(probabilities)
    for column in neighbors.T:  # one neighbour at a time: no [A, k, K] array
        total += probabilities[column]
    return total / neighbors.shape[1]


def soft_labels(
    probabilities: np.ndarray,
    neighbors: np.ndarray | None,
    rna_shares: np.ndarray,
    prior_power: float,
    sharpening: float,
) -> np.ndarray:
    """Soft labels [A, K], float32: neighbour means, pulled to the RNA's type shares, sharpened.

    ``q ~ (mean_neighbours(p) * (share_rna / share_predicted) ^ prior_power) ^ sharpening``, rows
    normalised.

    Parameters
    ----------
    probabilities : predicted p [A, K].
    neighbors : int [A, k] or None.
    rna_shares : share of each type among the RNA cells [K].
    prior_power : 0 leaves the predicted shares, 1 corrects for them in full.
    sharpening : 1 leaves the labels as soft as they are.
    """
    labels = neighbor_mean(probabilities, neighbors)
    predicted_shares = np.maximum(labels.mean(axis=0), 1e-4)
    labels = labels * (rna_shares / predicted_shares) ** prior_power
    # Relative to the largest, so that no power makes a whole row vanish.
    labels = (labels / labels.max(axis=1, keepdims=True)) ** sharpening
    return (labels / labels.sum(axis=1, keepdims=True)).astype(np.float32)


def final_probabilities(
    probabilities: np.ndarray, neighbors: np.ndarray | None, vote: float
) -> np.ndarray:
    """The answer for ATAC cells [A, K]: ``(1 - vote) * own + vote * mean of neighbours``."""
    return (1 - vote) * probabilities + vote * neighbor_mean(probabilities, neighbors)
