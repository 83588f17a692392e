"""What a trained network says of cells: latent vectors, calibrated probabilities, novelty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from scadv_tf.data.linear_guess import DRAWS, VIEW_SHARES
from scadv_tf.modalities import MODALITIES
from scadv_tf.models.latent_alignment import LatentAlignment

KNOTS = 201  # quantiles that stand for a distribution
RESOLUTION = 0.01  # values that differ by far less get all but the same rank
VIEWS = len(VIEW_SHARES)  # features and their directions, which the linear guess looks at
LEAST_LOGIT = -1e4  # of a type without RNA cells: none, and yet a number
UNCERTAINTY_SHARE = 2 / 3  # of the uncertainty in the novelty; the rest is the distance's


@keras.saving.register_keras_serializable(package="scadv_tf")
class Readout(keras.layers.Layer):
    """Turns latent vectors and logits into the answer. Fitted after training, never trained.

    * Probabilities are ``softmax(logits / temperature)`` (Guo et al. 2017), joined by those of the
      linear guess (`scadv_tf.data.linear_guess`): it cannot follow an error of its own, as a
      network does that learns from its answers.
    * ``uncertainty`` is their entropy over log K: 0 for one sure type, 1 for a guess.
    * ``distance`` is the mean squared distance to the nearest type's RNA cells in front of the
      trained layers, each component in units of the variance within types.
    * ``novelty``, in [0, 1], joins the two as chances are joined (Fisher 1932, with weights Good
      1955): it is 1 less the weighted geometric mean of the share of RNA cells that were not
      trained on that are above the uncertainty, and of the share of the modality's training cells
      that are above the distance. So it is high where one of the two is, and higher where both
      are. It is continuous in them: roundings move it little.
      A cell is ``unknown`` if it is above `unknown_threshold`. A cell of a type that was not there
      to learn is either in doubt between the others, or surely called by the wrong one but far from
      it.
    * Latent vectors of ATAC cells are moved among those of the RNA cells: `LatentAlignment`.

    Parameters
    ----------
    types : number of types K.
    latent_size : width Z of the latent vectors.
    feature_size : number D of components (or genes) that the trained layers start from.
    """

    def __init__(self, types: int, latent_size: int, feature_size: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.types = types
        self.latent_size = latent_size
        self.feature_size = feature_size

    def build(self, input_shape: tuple | None = None) -> None:
        """Makes the state, which says nothing until it is fitted."""
        self.alignment = LatentAlignment(self.types, self.latent_size, name="alignment")
        self.alignment.build()
        self.temperature = self._state((), "temperature", "ones")
        self.linear_shares = self._state((VIEWS,), "linear_shares", "zeros")
        shape = VIEWS, DRAWS, self.feature_size, self.types
        self.linear_kernels = self._state(shape, "linear_kernels", "zeros")
        self.linear_biases = self._state((VIEWS, DRAWS, self.types), "linear_biases", "zeros")
        self.centers = self._state((self.types, self.feature_size), "centers", "zeros")
        self.variances = self._state((self.feature_size,), "variances", "ones")
        self.uncertainty_knots = self._state((KNOTS,), "uncertainty_knots", "ones")
        self.distance_knots = self._state((len(MODALITIES), KNOTS), "distance_knots", "zeros")
        self.unknown_threshold = self._state((), "unknown_threshold", "ones")
        self.built = True

    def _state(self, shape: tuple[int, ...], name: str, initializer: str) -> keras.Variable:
        return self.add_weight(shape=shape, name=name, initializer=initializer, trainable=False)

    def reset(self) -> None:
        """Back to the state before any fit."""
        fresh = type(self).from_config(self.get_config())
        fresh.build()
        self.set_weights(fresh.get_weights())

    def call(
        self, latent: tf.Tensor, logits: tf.Tensor, features: tf.Tensor, modality: str
    ) -> dict[str, tf.Tensor]:
        """The answer for cells of one modality.

        Parameters
        ----------
        latent : float [B, Z].
        logits : float [B, K].
        features : what the trained layers started from [B, D].
        modality : 'rna' or 'atac'.

        Returns
        -------
        dict of ``latent`` [B, Z], ``logits`` (divided by the temperature) and ``probabilities``
        [B, K], ``uncertainty``, ``distance`` and ``novelty`` [B], and ``unknown``, bool [B].
        """
        probabilities = self.probabilities(logits, features)
        uncertainty = self._uncertainty(probabilities)
        distance = self._distance(features)
        knots = self.distance_knots[MODALITIES.index(modality)]
        as_uncertain = share_above(self.uncertainty_knots, uncertainty) ** UNCERTAINTY_SHARE
        novelty = 1 - as_uncertain * share_above(knots, distance) ** (1 - UNCERTAINTY_SHARE)
        return {
            "latent": self.alignment(latent, probabilities) if modality == "atac" else latent,
            "logits": logits / self.temperature,
            "probabilities": probabilities,
            "uncertainty": uncertainty,
            "distance": distance,
            "novelty": novelty,
            "unknown": novelty > self.unknown_threshold,
        }

    def set_linear(
        self, kernels: Sequence[np.ndarray], biases: Sequence[np.ndarray], shares: np.ndarray
    ) -> None:
        """Sets the linear guess and its share in the answer.

        Parameters
        ----------
        kernels, biases : coefficients [2, draws, D, K] and offsets [2, draws, K] on features and
            directions.
        shares : of both in the answer [2]; the network has the rest to 1.
        """
        self.linear_kernels.assign(kernels)
        self.linear_biases.assign(np.maximum(biases, LEAST_LOGIT))
        self.linear_shares.assign(shares)

    def probabilities(self, logits: tf.Tensor, features: tf.Tensor) -> tf.Tensor:
        """The probabilities of the answer [B, K], from what `call` gets."""
        network = tf.nn.softmax(logits / self.temperature)
        views = tf.stack([features, tf.math.l2_normalize(features, axis=1, epsilon=1e-24)])
        drawn = tf.matmul(views[:, None], self.linear_kernels) + self.linear_biases[:, :, None]
        guesses = tf.reduce_mean(tf.nn.softmax(drawn), axis=1)
        linear = tf.tensordot(self.linear_shares, guesses, 1)
        return (1 - tf.reduce_sum(self.linear_shares)) * network + linear

    def _uncertainty(self, probabilities: tf.Tensor) -> tf.Tensor:
        entropy = -tf.reduce_sum(tf.math.xlogy(probabilities, probabilities), axis=1)
        return tf.minimum(entropy / np.log(max(self.types, 2)), 1.0)  # a rounding may pass 1

    def _distance(self, features: tf.Tensor) -> tf.Tensor:
        scaled, centers = (v * tf.math.rsqrt(self.variances) for v in (features, self.centers))
        # |f - c|^2 by its binomial: no [B, K, D] tensor.
        squares = tf.reduce_sum(scaled**2, axis=1, keepdims=True)
        squares += tf.reduce_sum(centers**2, axis=1) - 2 * tf.matmul(
            scaled, centers, transpose_b=True
        )
        return tf.maximum(tf.reduce_min(squares, axis=1), 0.0) / self.feature_size


def quantile_knots(values: np.ndarray) -> np.ndarray:
    """The quantiles [KNOTS] of values that are 0 or more, the least distance between them kept.

    Sure cells have all but the same uncertainty, and quantiles closer together than rounding errors
    would make ranks of these. So each lies a step above the one before at least, by which
    `share_below` is never steeper than ``1 / RESOLUTION``, and a quantile rises by about
    `RESOLUTION` at most. Above 1, both are relative to the value, as rounding errors are.
    """
    knots = np.quantile(values, np.linspace(0, 1, KNOTS))
    for i in range(1, KNOTS):
        step = RESOLUTION / (KNOTS - 1) * max(1.0, knots[i - 1])
        knots[i] = max(knots[i], knots[i - 1] + step)
    return knots


def share_below(knots: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """The share of a distribution, given by its quantiles (rising), below each value [B].

    Linear between quantiles: 0 up to the first, 1 from the last on. Of equal ones, the first says
    how much is below the value itself.
    """
    knots = tf.convert_to_tensor(knots)
    last = knots.shape[0] - 1
    upper = tf.clip_by_value(tf.searchsorted(knots, values), 1, last)
    start, end = (tf.gather(knots, rank) for rank in (upper - 1, upper))
    # Only outside of all quantiles can the two be equal, and the cut then tells 0 from 1.
    width = tf.maximum(end - start, np.finfo(np.float32).tiny)
    part = tf.clip_by_value((values - start) / width, 0.0, 1.0)
    return (tf.cast(upper - 1, values.dtype) + part) / last


def share_above(knots: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """The share of a distribution above each value [B], as `share_below`; never 0.

    At least one in `KNOTS`: that none was above is no proof that none could be.
    """
    return 1 - (1 - 1 / KNOTS) * share_below(knots, values)
