"""Confidence that means something: a temperature, and the novelty from which a cell is unknown.

Both are fitted on RNA cells that were held out of the training. NumPy and SciPy only.
"""

from __future__ import annotations

import numpy as np

from scadv_tf.data.linear_guess import type_means
from scadv_tf.data.temperature import most_probable_temperature

FAR_AWAY = 1e6  # where centres lie that no cell is of


def held_out_rows(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """A random `share` of the cells of each type, sorted rows; none of a type too small for one."""
    random = np.random.default_rng(seed)
    rows = [
        random.choice(cells, int(share * len(cells)), replace=False)
        for cells in (np.flatnonzero(labels == code) for code in np.unique(labels))
    ]
    return np.sort(np.concatenate(rows)).astype(np.int64)


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The most probable temperature T of ``softmax(logits / T)``; 1 without cells.

    Parameters
    ----------
    logits : [N, K] of held-out cells.
    labels : type codes [N].
    """
    from scipy.special import logsumexp

    if not len(labels):
        return 1.0
    logits = np.asarray(logits, np.float64)
    own = logits[np.arange(len(labels)), labels]
    return most_probable_temperature(
        lambda temperature: np.sum(own / temperature - logsumexp(logits / temperature, axis=1))
    )


def type_spread(features: np.ndarray, labels: np.ndarray, types: int) -> tuple:
    """Mean features of each type [K, D], and the variances within types, pooled [D].

    A type without a cell lies far from all of them: nothing is near to it.

    Parameters
    ----------
    features : [N, D].
    labels : type codes [N].
    """
    centers = type_means(features, labels, types)
    centers[np.bincount(labels, minlength=types) == 0] = FAR_AWAY
    variances = np.square(features - centers[labels]).mean(axis=0)
    return centers, np.maximum(variances, 1e-6)


def unknown_threshold(held_out_novelty: np.ndarray, share: float) -> float:
    """The novelty above which a `share` of held-out cells of known types lies; 1 without cells.

    So `share` is the chance that a cell of a known type is called unknown, were it measured as the
    held-out cells were: of n of them, another one is above the k-th smallest with the chance
    1 - k / (n + 1), as it is equally often in each place among them. Where these are too few for
    the share, it is the largest.
    """
    if not len(held_out_novelty):
        return 1.0
    return float(np.quantile(held_out_novelty, 1 - share, method="weibull"))
