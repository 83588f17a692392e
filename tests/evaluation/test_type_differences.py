"""What tells called cells apart is split between RNA types and states: numbers known beforehand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from scadv_tf.evaluation import type_differences
from scadv_tf.evaluation.type_differences import STATES, share_between_types

GENES, CELLS = 1500, 400


def direction(first: int) -> np.ndarray:
    """Forty genes of which every other one is up, the others down: depth has no part in it."""
    found = np.zeros(GENES)
    found[first : first + 40] = np.tile([1.0, -1.0], 20)
    return found


TYPE, STATE, OTHER = direction(0), direction(40), direction(80)
LABELS = np.repeat([0, 1], CELLS // 2)
SIGNS = np.array([1.0, -1.0])[LABELS]


def rna(rng: np.random.Generator) -> sparse.csr_matrix:
    """Types differ by TYPE, and either has cells of two states, which differ by STATE."""
    states = np.tile([1.0, -1.0], CELLS // 2)
    noise = 0.5 * rng.normal(size=(CELLS, GENES))
    return sparse.csr_matrix(np.outer(SIGNS, TYPE) + np.outer(states, STATE) + noise)


def atac(
    rng: np.random.Generator, of_type: float, of_state: float, other: float = 0.0
) -> sparse.csr_matrix:
    """Cells called by `LABELS` that differ by so much of each; the noise is of deviation 1."""
    profile = of_type * TYPE + of_state * STATE + other * OTHER
    return sparse.csr_matrix(np.outer(SIGNS, profile) + rng.normal(size=(CELLS, GENES)))


@pytest.mark.parametrize(
    ("of_type", "of_state", "share"),
    [(0.4, 0.0, 1.0), (0.0, 0.4, 0.0), (0.3, 0.3, 0.5), (0.4, 0.2, 0.8)],  # a² / (a² + b²)
)
@pytest.mark.parametrize("other", [0.0, 1.2])
def test_the_share_is_that_of_the_squares(of_type, of_state, share, other):
    """What else the cells differ by, and RNA does not, counts for neither: by chance it lies in

    19 / 1500 in components of RNA's noise, which are 0.018 beside the 0.16 of a type.
    """
    rng = np.random.default_rng(1)
    given = rna(rng), atac(rng, of_type, of_state, other), LABELS, LABELS
    assert share_between_types(*given, types=2) == pytest.approx(share, abs=0.05)


def test_states_that_differ_by_chance_are_no_difference():
    """Cells of either state at random: means of 200 differ in it by 0.2 with deviation 0.2."""
    rng = np.random.default_rng(2)
    found = []
    for _ in range(8):
        states = np.outer(rng.choice([-2.0, 2.0], CELLS), STATE)
        given = sparse.csr_matrix(atac(rng, 0.1, 0.0).toarray() + states)
        found.append(share_between_types(rna(rng), given, LABELS, LABELS, 2))
    assert np.mean(found) == pytest.approx(1, abs=0.1)  # of one half alone 0.8


def test_too_little_to_tell_of():
    rng = np.random.default_rng(3)
    given = rna(rng), atac(rng, 0.4, 0.4), LABELS
    nobody, one = np.full(CELLS, -1), np.zeros(CELLS, dtype=int)
    nine = np.where(np.arange(CELLS) < 9, 1, 0)
    for called in (nobody, one, nine):
        assert share_between_types(*given, called, types=3) is None
    ten = np.where(np.arange(CELLS) < 10, 1, 0)
    assert share_between_types(given[0], atac(rng, 1, 1), LABELS, ten, types=2) is not None
    assert share_between_types(given[0], given[1], one, LABELS, types=2) is None


def test_cells_that_are_alike_within_their_types_have_no_states():
    rng = np.random.default_rng(4)
    alike = sparse.csr_matrix(np.outer(SIGNS, TYPE))
    assert share_between_types(alike, atac(rng, 0.4, 0.4), LABELS, LABELS, 2) == 1


def test_the_states_are_the_largest_components_beside_types_and_depth():
    rng = np.random.default_rng(5)
    values = rng.poisson(1.0, size=(CELLS, GENES)) * 0.98 ** np.arange(GENES)
    means = type_differences._means(sparse.csr_matrix(values), LABELS, 2)
    between = type_differences._span(means)
    states = type_differences._states(sparse.csr_matrix(values), LABELS, between, rng)
    known = np.vstack([between, np.full((1, GENES), GENES**-0.5)])
    assert states @ np.vstack([states, known]).T == pytest.approx(np.eye(STATES, STATES + 2))
    residual = values - np.array([values[LABELS == k].mean(axis=0) for k in (0, 1)])[LABELS]
    residual -= residual @ known.T @ known
    most = np.square(np.linalg.svd(residual, compute_uv=False)[:STATES]).sum()
    assert 0.97 * most < np.square(residual @ states.T).sum() <= most * (1 + 1e-9)


def test_halves_have_half_of_each_type_and_no_cell_twice():
    called = np.repeat([0, 1, 2, -1], [10, 21, 4, 3])
    first, second = type_differences._halves(called, np.random.default_rng(6))
    assert np.all((first == called) ^ (second == called) | (called < 0))
    for k, cells in enumerate([10, 21, 4]):
        numbers = np.sum(first == k), np.sum(second == k)
        assert sum(numbers) == cells and abs(np.diff(numbers)) <= 1
