"""Levels such as shares of methylated sites, where 'none' and 'not covered' are two things.

A sparse matrix of counts has no room for that: what is not stored is 0. So a level is held as a
number from 1 (level 1) to 2 (level 0), and 0 is what was not covered. All that works on counts
works on these: a cell's open features are those that were covered.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import sparse

from scadv_tf.data.stored_matrices import StoredMatrix, first_entry
from scadv_tf.errors import InputError

FULL, NONE = 1.0, 2.0  # how levels of 1 and of 0 are held
PERCENT = 100.0
ROUNDING = 1e-3  # of a full level: what lies beyond a bound by less was rounded, and is the bound
ROWS_AT_ONCE = 1024


def largest_level(matrix: StoredMatrix, wanted: np.ndarray) -> float:
    """What a full level is in a file: 1, or 100 where some value of a wanted feature is above 1.

    Parameters
    ----------
    wanted : bool [features].
    """
    parts = matrix.values() if wanted.all() else _values_of(matrix, wanted)
    return PERCENT if any(map(_are_percent, parts)) else 1.0


def _are_percent(values: np.ndarray) -> bool:
    return bool(np.any(values > 1 + ROUNDING))


def _values_of(matrix: StoredMatrix, wanted: np.ndarray) -> Iterator[np.ndarray]:
    cells = matrix.shape[0]
    for start in range(0, cells, ROWS_AT_ONCE):
        yield matrix.rows(start, min(start + ROWS_AT_ONCE, cells))[:, wanted].data


def read_levels(
    matrix: StoredMatrix, start: int, stop: int, wanted: np.ndarray
) -> sparse.csr_matrix:
    """Levels of some cells as they are stored, each covered one an entry, those of 0 too.

    In a dense matrix 0 is a level, and NaN was not covered. In a sparse one what is not stored was
    not covered, nor was NaN; a level of 0 is stored as such.

    Parameters
    ----------
    wanted : which features, bool [features].
    """
    rows = matrix.rows(start, stop)
    rows.sum_duplicates()
    rows = rows if wanted.all() else rows[:, wanted]
    if not matrix.all_stored:
        return _covered(rows)
    firsts = range(0, rows.shape[0], ROWS_AT_ONCE)
    return sparse.vstack(
        [covered_levels(rows[i : i + ROWS_AT_ONCE].toarray()) for i in firsts], format="csr"
    )


def covered_levels(levels: np.ndarray | sparse.spmatrix) -> sparse.csr_matrix:
    """The same of a matrix in memory [cells, G], float32 CSR."""
    if sparse.issparse(levels):
        return _covered(sparse.csr_matrix(levels, dtype=np.float32, copy=True))
    levels = np.asarray(levels, dtype=np.float32)
    covered = ~np.isnan(levels)
    lengths = np.concatenate([[0], covered.sum(axis=1).cumsum()])
    arrays = levels[covered], np.nonzero(covered)[1], lengths
    return sparse.csr_matrix(arrays, shape=levels.shape)


def _covered(levels: sparse.csr_matrix) -> sparse.csr_matrix:
    """Without the entries that are NaN."""
    missing = np.isnan(levels.data)
    if not missing.any():
        return levels
    rows = np.repeat(np.arange(levels.shape[0]), np.diff(levels.indptr))[~missing]
    lengths = np.concatenate([[0], np.bincount(rows, minlength=levels.shape[0]).cumsum()])
    arrays = levels.data[~missing], levels.indices[~missing], lengths
    return sparse.csr_matrix(arrays, shape=levels.shape)


def held_levels(
    levels: np.ndarray | sparse.spmatrix, largest: float | None = None, name: str = "the matrix"
) -> sparse.csr_matrix:
    """Levels as the package and its exports hold them, float32 CSR [cells, G].

    Parameters
    ----------
    levels : [cells, G]; in a dense matrix NaN was not covered, in a sparse one what is not stored.
    largest : a full level: 1, or 100 for percent; None for 100 where any value is above 1.
    name : what messages call them.

    Raises
    ------
    InputError : a value lies outside of that.
    """
    found = covered_levels(levels)
    if largest is None:
        largest = PERCENT if _are_percent(found.data) else 1.0
    for bound, beyond in ((0, found.data < 0), (largest, found.data > largest)):
        found.data[beyond & (np.abs(found.data - bound) <= ROUNDING * largest)] = bound
    wrong = ~((found.data >= 0) & (found.data <= largest))
    if wrong.any():
        cell, gene, value = first_entry(found, wrong)
        raise InputError(
            what=f"{name} has values that are no levels",
            expected="shares from 0 to 1, or percent, and NaN where nothing was covered",
            received=f"{value:.3g}, the first in row {cell}, column {gene} of those read together "
            "(counted from 0)",
            advice="give levels of the bodies of genes, methylated sites over covered ones; not "
            "counts of sites, and not normalised or scaled values",
        )
    found.data = (NONE - found.data / np.float32(largest)).astype(np.float32)
    return found


def plain_levels(held: sparse.csr_matrix) -> np.ndarray:
    """The inverse of `held_levels`: levels [cells, G], NaN where not covered."""
    dense = held.toarray()
    return np.where(dense > 0, NONE - dense, np.nan).astype(np.float32)
