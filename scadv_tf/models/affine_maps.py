"""Affine maps that give groups of ATAC cells the mean and covariance of the group's RNA cells.

Correlation alignment (CORAL; Sun, Feng and Saenko 2016), group by group; groups are soft, such as
cell types or neighbourhoods. NumPy only, no label of an ATAC cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

POOLED_CELLS = 16  # weight of the covariance of all groups in that of one, in cells
LEAST_SPREAD = 0.1  # of a group's mean variance in ATAC, as a share of that in RNA
FLOOR = 0.01  # added to each direction's variance, as a share of the mean variance


@dataclass(frozen=True, eq=False)
class Moments:
    """Weighted cells of each group: their number [K], means [K, Z] and covariances [K, Z, Z]."""

    cells: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    @classmethod
    def of(
        cls, latent: np.ndarray, shares: np.ndarray, least: np.ndarray | float = 1e-12
    ) -> Moments:
        """Moments of latent vectors [N, Z] by each cell's shares of the groups [N, K].

        Covariances are about the group's own mean, and joined by that of all groups, which counts
        as `POOLED_CELLS` cells, so that small groups have one that can be inverted. What is added
        to a group's variances depends on their mean, or on `least` [K] if that is more.
        """
        latent, shares = np.asarray(latent, np.float64), np.asarray(shares, np.float64)
        cells = shares.sum(axis=0)
        means = (shares.T @ latent) / np.maximum(cells, 1e-12)[:, None]
        scatter = np.stack(
            [_scatter(latent, *group) for group in zip(means, shares.T, strict=True)]
        )
        pooled = scatter.sum(axis=0) / cells.sum()
        covariances = (scatter + POOLED_CELLS * pooled) / (cells + POOLED_CELLS)[:, None, None]
        width = latent.shape[1]
        variance = np.trace(covariances, axis1=1, axis2=2) / width
        floor = FLOOR * np.maximum(variance, least)[:, None, None] * np.eye(width)
        return cls(cells, means, covariances + floor)

    @property
    def variances(self) -> np.ndarray:
        """Mean variance of each group [K]."""
        return np.trace(self.covariances, axis1=1, axis2=2) / self.means.shape[1]


def _scatter(latent: np.ndarray, mean: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Sum over the cells [N, Z] of a group of the products of how far they are from its mean."""
    own = np.flatnonzero(share)  # a cell of a known type has no part in any other
    apart = latent[own]
    apart -= mean
    apart *= np.sqrt(share[own])[:, None]
    return apart.T @ apart  # of a matrix with itself BLAS computes one half


def fit_affine_maps(
    rna_latent: np.ndarray, rna_shares: np.ndarray, atac_latent: np.ndarray, atac_shares: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Maps ``z -> z M_k + b_k`` of ATAC cells.

    ``M_k = C_atac^(-1/2) C_rna^(1/2)``; ``b_k`` brings the mean of the ATAC cells to that of the
    RNA cells, for a group of few cells of either modality partly by the mean shift of all.

    Parameters
    ----------
    rna_latent, atac_latent : [R, Z] and [A, Z].
    rna_shares, atac_shares : each cell's shares of the groups [R, K] and [A, K], times what the
        cell weighs.

    Returns
    -------
    M [K, Z, Z] and b [K, Z], float32.
    """
    rna = Moments.of(rna_latent, rna_shares)
    # ATAC cells without any spread, such as averages over all of them, must not be blown up.
    atac = Moments.of(atac_latent, atac_shares, np.maximum(LEAST_SPREAD * rna.variances, 1e-12))
    shifts = rna.means - atac.means
    cells = np.minimum(rna.cells, atac.cells)
    common = (cells / max(cells.sum(), 1e-12)) @ shifts
    weight = (cells / (cells + POOLED_CELLS))[:, None]
    targets = atac.means + weight * shifts + (1 - weight) * common
    matrices = _power(atac.covariances, -0.5) @ _power(rna.covariances, 0.5)
    offsets = targets - np.einsum("kz,kzy->ky", atac.means, matrices)
    return matrices.astype(np.float32), offsets.astype(np.float32)


def moved(
    latent: np.ndarray, shares: np.ndarray, matrices: np.ndarray, offsets: np.ndarray
) -> np.ndarray:
    """Cells [N, Z] after their maps: ``sum_k q_k (z M_k + b_k)``, float32.

    A group at a time, where `LatentAlignment` takes all groups of a batch at once: of all training
    cells that would be too much memory.
    """
    found = np.zeros_like(latent, dtype=np.float32)
    for share, matrix, offset in zip(shares.T, matrices, offsets, strict=True):
        found += share[:, None] * (latent @ matrix + offset)
    return found


def _power(covariances: np.ndarray, exponent: float) -> np.ndarray:
    """Symmetric powers of positive definite matrices [K, Z, Z]."""
    values, vectors = np.linalg.eigh(covariances)
    return (vectors * values[:, None, :] ** exponent) @ vectors.swapaxes(1, 2)
