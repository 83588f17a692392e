"""The latent vectors of ATAC cells, moved among those of the RNA cells after training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from scadv_tf.models.affine_maps import fit_affine_maps, moved
from scadv_tf.models.confidence import FAR_AWAY

SHARPNESS = 2.0  # power of the probabilities by which types move a cell: clear cells move clearly
CLUSTERS = 16  # of all cells, at most; types are split and joined by them
CELLS_OF_A_CLUSTER = 50  # on average, at least: a covariance of fewer says little
WIDTH = 0.2  # of the border between clusters, as a share of a cell's median squared distance
CLUSTERED_CELLS = 10_000  # of each modality, at most: more do not change where the clusters are


@keras.saving.register_keras_serializable(package="scadv_tf")
class LatentAlignment(keras.layers.Layer):
    """Two sets of affine maps, ``z' = sum_k q_k (z M_k + b_k)``. It starts as the identity.

    Denoised ATAC cells of a type lie closer together than its RNA cells, so that without the maps
    each modality has its own nearest neighbours although the types agree. The first maps give the
    ATAC cells of each type the mean and covariance of its RNA cells (see `fit_affine_maps`); the
    cells' shares q are their probabilities, sharpened. A large type is not one ellipsoid, so
    the second maps do the same within clusters of the moved cells of both modalities, where q falls
    off with the squared distance to the clusters' centres.

    Parameters
    ----------
    types : number of types K.
    latent_size : width Z of the latent vectors.
    """

    def __init__(self, types: int, latent_size: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.types = types
        self.latent_size = latent_size

    def build(self, input_shape: tuple | None = None) -> None:
        """Makes the state, which moves nothing until it is fitted."""
        self.type_maps = self._new_maps("type", self.types)
        self.centers = self._state((CLUSTERS, self.latent_size), "cluster_centers", "zeros")
        self.width = self._state((), "cluster_width", "ones")
        self.cluster_maps = self._new_maps("cluster", CLUSTERS)
        self.built = True

    def _new_maps(self, name: str, count: int) -> tuple[keras.Variable, keras.Variable]:
        identity = np.tile(np.eye(self.latent_size, dtype=np.float32), (count, 1, 1))
        matrices = self._state(identity.shape, f"{name}_matrices", lambda *_, **__: identity)
        return matrices, self._state((count, self.latent_size), f"{name}_offsets", "zeros")

    def _state(
        self, shape: tuple[int, ...], name: str, initializer: str | Callable
    ) -> keras.Variable:
        return self.add_weight(shape=shape, name=name, initializer=initializer, trainable=False)

    def call(self, latent: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
        """Latent vectors [B, Z] of ATAC cells, moved by their probabilities of the types [B, K]."""
        latent = _moved(latent, sharpened(probabilities), *self.type_maps)
        return _moved(latent, self.memberships(latent), *self.cluster_maps)

    def memberships(self, latent: tf.Tensor) -> tf.Tensor:
        """Shares of the clusters [B, C] of latent vectors [B, Z], after the maps of the types."""
        squares = tf.reduce_sum(latent**2, axis=1, keepdims=True)
        squares += tf.reduce_sum(self.centers**2, axis=1)
        squares -= 2 * tf.matmul(latent, self.centers, transpose_b=True)
        return tf.nn.softmax(-squares / self.width)

    def fit(
        self,
        rna_latent: np.ndarray,
        rna_labels: np.ndarray,
        atac_latent: np.ndarray,
        atac_probabilities: np.ndarray,
        seed: int,
        weights: tuple[np.ndarray | None, np.ndarray | None] = (None, None),
    ) -> None:
        """Fits both sets of maps to the training cells; no label of an ATAC cell comes in here.

        Parameters
        ----------
        rna_latent, atac_latent : [R, Z] and [A, Z], not moved.
        rna_labels : type codes [R].
        atac_probabilities : of the types [A, K].
        seed : of the clusters.
        weights : of the RNA and of the ATAC cells, [R] and [A]; None for equal ones. Where a
            cluster has several types, its mean follows their shares on each side.
        """
        shares = [np.eye(self.types)[rna_labels], np.asarray(sharpened(atac_probabilities))]
        maps = _fitted(rna_latent, atac_latent, shares, weights)
        _assign(self.type_maps, maps)
        atac_latent = moved(atac_latent, shares[1], *maps)
        _assign((self.centers, self.width), _clusters((rna_latent, atac_latent), seed))
        latents = (np.asarray(latent, np.float32) for latent in (rna_latent, atac_latent))
        shares = [np.asarray(self.memberships(latent)) for latent in latents]
        _assign(self.cluster_maps, _fitted(rna_latent, atac_latent, shares, weights))


def _fitted(rna_latent: np.ndarray, atac_latent: np.ndarray, shares: list, weights: tuple) -> tuple:
    """Maps by each cell's shares of the groups, times what it weighs."""
    rna, atac = (
        share if weight is None else share * weight[:, None]
        for share, weight in zip(shares, weights, strict=True)
    )
    return fit_affine_maps(rna_latent, rna, atac_latent, atac)


def sharpened(probabilities: tf.Tensor) -> tf.Tensor:
    """Probabilities [B, K], raised to the power `SHARPNESS` and made to sum to 1 again."""
    raised = probabilities**SHARPNESS
    return raised / tf.reduce_sum(raised, axis=1, keepdims=True)


def _moved(
    latent: tf.Tensor, shares: tf.Tensor, matrices: tf.Tensor, offsets: tf.Tensor
) -> tf.Tensor:
    by_group = tf.einsum("bz,kzy->kby", latent, matrices) + offsets[:, None]
    return tf.einsum("bk,kby->by", shares, by_group)


def _clusters(latents: tuple, seed: int) -> tuple[np.ndarray, float]:
    """Centres [C, Z] of clusters of the cells of all modalities, and the width of their borders."""
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    random = np.random.default_rng(seed)
    cells = np.concatenate([random.permutation(latent)[:CLUSTERED_CELLS] for latent in latents])
    count = max(1, min(CLUSTERS, len(cells) // CELLS_OF_A_CLUSTER))
    with threadpool_limits(1):  # sums by several threads round differently from run to run
        found = KMeans(count, n_init=1, random_state=seed).fit(cells)
    nearest = np.square(found.transform(cells).min(axis=1))
    centers = np.full((CLUSTERS, cells.shape[1]), FAR_AWAY, dtype=np.float32)
    centers[:count] = found.cluster_centers_
    return centers, WIDTH * max(np.median(nearest), 1e-6)


def _assign(states: tuple, values: tuple) -> None:
    for state, value in zip(states, values, strict=True):
        state.assign(value)
