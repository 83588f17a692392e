"""Soft labels of the ATAC cells, made from the model's own predictions once an epoch.

NumPy only: nothing here is differentiated.
"""

from __future__ import annotations

import numpy as np

from scadv_tf.data.neighbor_lists import NeighborLists, neighbor_mean


def soft_labels(
    probabilities: np.ndarray,
    neighbors: NeighborLists | None,
    shares: np.ndarray,
    prior_power: float,
    sharpening: float,
) -> np.ndarray:
    """Soft labels [A, K], float32: neighbour means, pulled to expected shares, sharpened.

    ``q ~ (mean_neighbours(p) * (share / share_predicted) ^ prior_power) ^ sharpening``, rows
    normalised.

    Parameters
    ----------
    probabilities : predicted p [A, K].
    neighbors : of the A cells, or None.
    shares : expected share of each type among the ATAC cells [K]. They hold a network that learns
        from its own answers, and would let a type grow and grow.
    prior_power : 0 leaves the predicted shares, 1 corrects for them in full.
    sharpening : 1 leaves the labels as soft as they are.
    """
    labels = neighbor_mean(probabilities, neighbors)
    predicted_shares = np.maximum(labels.mean(axis=0, dtype=np.float64), 1e-4)
    factors = (shares / predicted_shares) ** prior_power
    labels = labels * factors.astype(np.float32)
    # Relative to the largest, so that no power makes a whole row vanish.
    labels /= labels.max(axis=1, keepdims=True)
    if sharpening != 1:
        labels **= sharpening
    labels /= labels.sum(axis=1, keepdims=True)
    return labels.astype(np.float32, copy=False)


def final_probabilities(
    probabilities: np.ndarray, neighbors: NeighborLists | None, vote: float
) -> np.ndarray:
    """The answer for ATAC cells [A, K]: ``(1 - vote) * own + vote * mean of neighbours``."""
    return (1 - vote) * probabilities + vote * neighbor_mean(probabilities, neighbors)
