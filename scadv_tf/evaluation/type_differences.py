"""What tells the called ATAC cells apart: what tells RNA types apart, or what varies within one?

Where ATAC cells are of the types that they are called, they differ from each other by what these
types differ by in RNA. Cells of other types are still called something, and differ from each other
by what else they differ by: some of it is what varies among the RNA cells of one type, such as
their states. No known label of an ATAC cell is needed, and no measure of how closely ATAC follows
RNA at all: both parts are of what RNA explains.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from scadv_tf.data.linear_guess import type_means
from scadv_tf.data.normalization import moments
from scadv_tf.data.paired_labels import RARE_TYPE_CELLS

STATES = 20  # components of what varies within RNA types
SPARE, POWERS = 10, 6  # of the random subspace that they are found in
TINY = 1e-6  # a component of cells that are alike within their types
HALVINGS = 5  # of the ATAC cells at random, to be averaged over


def share_between_types(
    expressed: sparse.csr_matrix,
    active: sparse.csr_matrix,
    labels: np.ndarray,
    called: np.ndarray,
    types: int,
    seed: int = 0,
) -> float | None:
    """Of what tells called ATAC cells apart, in directions that RNA varies in: between RNA types.

    Differences between the means of called types are split, over the genes, into what lies in the
    span of the differences between the RNA types' means, what lies in the `STATES` largest
    components of RNA cells within their types, at right angles to it, and the rest. All are
    products of the differences as two halves of the ATAC cells have them, so that noise adds
    nothing; and what as many directions of the rest would have is taken off the first two.

    Parameters
    ----------
    expressed, active : log-normalised values of the same genes [R, G] and [A, G], CSR.
    labels : type codes of the RNA cells [R].
    called : type codes of the ATAC cells [A]; below 0 for none.
    types : their number K.
    seed : of the halves, and of where the search for components begins.

    Returns
    -------
    About 1 where only types tell them apart, below 0 or above 1 by chance; None where fewer than
    two types have ten ATAC cells called so, or two RNA cells, or where RNA explains nothing.
    """
    many = np.flatnonzero(_counts(called, types) >= RARE_TYPE_CELLS)
    taught = np.flatnonzero(_counts(labels, types) > 1)
    if min(len(many), len(taught)) < 2:
        return None
    rng = np.random.default_rng(seed)
    expressed, active = _over_deviation(expressed), _over_deviation(active)
    between = _span(_means(expressed, labels, types)[taught])
    within = _states(expressed, labels, between, rng)
    weights = np.sqrt(_counts(called, types)[many])[:, None]
    found = np.zeros(3)
    for _ in range(HALVINGS):
        first, second = (
            weights * _centered(_means(active, half, types)[many], weights[:, 0] ** 2)
            for half in _halves(called, rng)
        )
        of_types, of_states = (
            np.sum((first @ part.T) * (second @ part.T)) for part in (between, within)
        )
        found += of_types, of_states, np.sum(first * second) - of_types - of_states
    sizes = np.array([len(between), len(within)])
    by_chance = found[2] / max(1, expressed.shape[1] - 1 - sizes.sum())  # of a direction
    of_types, of_states = found[:2] - by_chance * sizes
    both = of_types + of_states
    return float(of_types / both) if both > 0 else None


def _over_deviation(values: sparse.csr_matrix) -> sparse.csr_matrix:
    deviation = moments(values)[1]
    return values @ sparse.diags(1 / np.where(deviation > 0, deviation, np.inf), format="csr")


def _counts(codes: np.ndarray, types: int) -> np.ndarray:
    return np.bincount(codes[codes >= 0], minlength=types)


def _means(values: sparse.csr_matrix, codes: np.ndarray, types: int) -> np.ndarray:
    """Of each type [K, G], less the mean of all genes; 0 without cells. Codes below 0 are left."""
    known = codes >= 0
    means = type_means(values[known], codes[known], types)
    return means - means.mean(axis=1, keepdims=True)  # depth raises all genes


def _centered(means: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return means - np.average(means, axis=0, weights=weights)


def _span(means: np.ndarray) -> np.ndarray:
    """Directions [K - 1, G] at right angles in which the means differ."""
    differences = means - means.mean(axis=0)
    return np.linalg.svd(differences, full_matrices=False)[2][: len(means) - 1]


def _states(
    values: sparse.csr_matrix, labels: np.ndarray, between: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The largest components [S, G] within types, at right angles to `between` and to depth.

    Found by powers of the matrix on a random subspace (Halko et al. 2011), which stays sparse.
    """
    genes = values.shape[1]
    known = np.append(between, np.full((1, genes), genes**-0.5), axis=0)
    types = labels.max() + 1

    def within(columns: np.ndarray) -> np.ndarray:
        return columns - type_means(columns, labels, types)[labels]

    def beside(columns: np.ndarray) -> np.ndarray:
        return columns - known.T @ (known @ columns)

    width = min(STATES + SPARE, max(0, genes - len(known)), len(labels))
    basis = beside(rng.normal(size=(genes, width)))
    for _ in range(POWERS):
        basis = beside(values.T @ within(values @ np.linalg.qr(basis)[0]))
    basis = np.linalg.qr(basis)[0]
    _, lengths, directions = np.linalg.svd(within(values @ beside(basis)), full_matrices=False)
    found = (directions @ basis.T)[:STATES]
    return found[lengths[:STATES] > TINY]


def _halves(called: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Codes of a random half of each type's cells, and of the other; -1 for those not in it."""
    order = rng.permutation(len(called))
    order = order[np.argsort(called[order], kind="stable")]
    chosen = np.zeros(len(called), dtype=bool)
    chosen[order[::2]] = True
    return [np.where(half, called, -1) for half in (chosen, ~chosen)]
