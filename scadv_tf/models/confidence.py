"""Confidence that means something: a temperature, and the novelty from which a cell is unknown.

Both are fitted on RNA cells that were held out of the training. NumPy and SciPy only.
"""

from __future__ import annotations

import numpy as np

# From 1 on: that a network is too modest about RNA cells is no reason to be surer of ATAC cells.
TEMPERATURES = (1.0, 20.0)
# Standard deviation of log T before any cell is seen, about that of trainings on hundreds of cells.
SPREAD = 0.25


def held_out_rows(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """A random `share` of the cells of each type, sorted rows; none of a type too small for one."""
    random = np.random.default_rng(seed)
    rows = [
        random.choice(cells, int(share * len(cells)), replace=False)
        for cells in (np.flatnonzero(labels == code) for code in np.unique(labels))
    ]
    return np.sort(np.concatenate(rows)).astype(np.int64)


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The most probable temperature T of ``softmax(logits / T)``.

    Temperature scaling (Guo et al. 2017): one number that changes no label. Beforehand log T is
    normal around 0 with the deviation `SPREAD`, which counts where cells are few: were four all
    wrong, their likelihood alone would be sure of nothing. At least 1, as without cells.

    Parameters
    ----------
    logits : [N, K] of held-out cells.
    labels : type codes [N].
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    if not len(labels):
        return 1.0
    logits = np.asarray(logits, np.float64)
    own = logits[np.arange(len(labels)), labels]

    def loss(log_temperature: float) -> float:
        temperature = np.exp(log_temperature)
        likelihood = np.sum(logsumexp(logits / temperature, axis=1) - own / temperature)
        return float(likelihood + (log_temperature / SPREAD) ** 2 / 2)

    return float(np.exp(minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded").x))


def type_spread(features: np.ndarray, labels: np.ndarray, types: int) -> tuple:
    """Mean features of each type [K, D], and the variances within types, pooled [D].

    Parameters
    ----------
    features : [N, D].
    labels : type codes [N].
    """
    members = np.eye(types)[labels]
    centers = members.T @ features / np.maximum(members.sum(axis=0), 1)[:, None]
    variances = np.square(features - centers[labels]).mean(axis=0)
    return centers, np.maximum(variances, 1e-6)


def unknown_threshold(held_out_novelty: np.ndarray, share: float) -> float:
    """The novelty above which a `share` of held-out cells of known types lies; 1 without cells.

    So `share` is the chance that a cell of a known type is called unknown, were it measured as the
    held-out cells were.
    """
    if not len(held_out_novelty):
        return 1.0
    return float(np.quantile(held_out_novelty, 1 - share))
