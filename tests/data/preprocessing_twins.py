"""The steps of the preprocessing in dense NumPy and double precision, for the tests of it."""

from __future__ import annotations

import dataclasses

import numpy as np

from scadv_tf.config import PreprocessingConfig
from scadv_tf.data.normalization import LARGEST_VALUE

# No defaults here, so that a better default breaks no test.
SETTINGS = {
    "variable_genes": 0,
    "neighbors": 5,
    "smoothing_hops": 2,
    "lsi_size": 6,
    "neighbor_pca_size": 8,
    "projection_size": 7,
    "balance": False,
}


def settings(**changed) -> PreprocessingConfig:
    return PreprocessingConfig(**(SETTINGS | changed))


def without_peaks(data):
    return dataclasses.replace(data, peaks=None)


def logged(counts) -> np.ndarray:
    """Dense log(1 + counts per 10,000), in double precision."""
    counts = counts.toarray().astype(float)
    return np.log1p(1e4 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-12))


def scaled(values: np.ndarray, reference: np.ndarray, largest=LARGEST_VALUE) -> np.ndarray:
    """Z-scores by the columns of the reference, cut as the package does for single cells."""
    deviation = reference.std(axis=0)
    deviation[deviation < 1e-6] = 1
    return np.clip((values - reference.mean(axis=0)) / deviation, -largest, largest)


def jaccard(first: set, second: set) -> float:
    return len(first & second) / len(first | second)


def averaging(neighbors: np.ndarray) -> np.ndarray:
    """The weights [A, A] of training cells and their neighbours, from Python sets."""
    sets = [set(row) for row in neighbors.tolist()]
    weights = np.zeros((len(sets), len(sets)))
    for row, own in enumerate(sets):
        for column in own:
            weights[row, column] = jaccard(own, sets[column])
    return weights / weights.sum(axis=1, keepdims=True)
