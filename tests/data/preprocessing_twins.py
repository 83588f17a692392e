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
}


def settings(**changed) -> PreprocessingConfig:
    return PreprocessingConfig(**(SETTINGS | changed))


def without_peaks(data):
    return dataclasses.replace(data, peaks=None)


def logged(counts) -> np.ndarray:
    """Dense log(1 + counts per 10,000), in double precision."""
    counts = counts.toarray().astype(float)
    return np.log1p(1e4 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-12))


def scaled(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Z-scores by the columns of the reference, cut as the package does."""
    deviation = reference.std(axis=0)
    deviation[deviation < 1e-6] = 1
    return np.clip((values - reference.mean(axis=0)) / deviation, -LARGEST_VALUE, LARGEST_VALUE)


def averaging(neighbors: np.ndarray, columns: int) -> np.ndarray:
    weights = np.zeros((len(neighbors), columns))
    for row, found in enumerate(neighbors):
        for column in found:
            weights[row, column] += 1 / len(found)
    return weights
