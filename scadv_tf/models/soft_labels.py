"""Soft labels of the ATAC cells, made from the model's own predictions once an epoch.

NumPy and SciPy only: nothing here is differentiated.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse


def neighbor_mean(
    probabilities: np.ndarray, neighbor_weights: sparse.csr_matrix | None
) -> np.ndarray:
    """Mean probabilities of each cell's neighbours [A, K]; unchanged if there are none.

    Parameters
    ----------
    probabilities : [A, K].
    neighbor_weights : CSR [A, A], rows sum to 1; or None.
    """
    if neighbor_weights is None:
        return probabilities
    return np.asarray(neighbor_weights @ probabilities, dtype=probabilities.dtype)


def soft_labels(
    probabilities: np.ndarray,
    neighbor_weights: sparse.csr_matrix | None,
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
    neighbor_weights : CSR [A, A], rows sum to 1; or None.
    rna_shares : share of each type among the RNA cells [K].
    prior_power : 0 leaves the predicted shares, 1 corrects for them in full.
    sharpening : 1 leaves the labels as soft as they are.
    """
    labels = neighbor_mean(probabilities, neighbor_weights)
    predicted_shares = np.maximum(labels.mean(axis=0), 1e-4)
    labels = labels * (rna_shares / predicted_shares) ** prior_power
    # Relative to the largest, so that no power makes a whole row vanish.
    labels = (labels / labels.max(axis=1, keepdims=True)) ** sharpening
    return (labels / labels.sum(axis=1, keepdims=True)).astype(np.float32)


def final_probabilities(
    probabilities: np.ndarray, neighbor_weights: sparse.csr_matrix | None, vote: float
) -> np.ndarray:
    """The answer for ATAC cells [A, K]: ``(1 - vote) * own + vote * mean of neighbours``."""
    return (1 - vote) * probabilities + vote * neighbor_mean(probabilities, neighbor_weights)
