"""Layers that Keras does not have: gradient reversal, batch normalisation by modality."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from scadv_tf.modalities import MODALITIES
from scadv_tf.models.replicas import all_moments
from scadv_tf.not_none import not_none

# Variables that a step sets to the same value on each replica.
STATE = {"trainable": False, "aggregation": "only_first_replica"}
_register = keras.saving.register_keras_serializable(package="scadv_tf")


@tf.custom_gradient
def reverse_gradient(values: tf.Tensor, strength: tf.Tensor) -> tuple[tf.Tensor, Callable]:
    """The identity, whose gradient is multiplied by ``-strength`` (Ganin et al. 2016).

    Parameters
    ----------
    values : tensor of any shape.
    strength : scalar; it gets no gradient.
    """

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, None]:
        return -strength * upstream, None

    return tf.identity(values), gradient


@_register
class GradientReversal(keras.layers.Layer):
    """Passes its input on and reverses the gradient, times a strength given at each call."""

    def call(self, inputs: tf.Tensor, strength: tf.Tensor | float = 1.0) -> tf.Tensor:
        """`inputs` unchanged; gradients come back times ``-strength``."""
        return reverse_gradient(inputs, tf.cast(strength, inputs.dtype))


@dataclass(frozen=True, eq=False)
class View:
    """A batch for the encoder: projected cells [B, D] and how they are normalised.

    Attributes
    ----------
    modality : 'rna', 'atac', or None for a mixture, which has no moving statistics: it is
        normalised by the batch, also at inference.
    update_statistics : False for generated cells, which must not move those of real cells.
    """

    features: tf.Tensor
    modality: str | None
    update_statistics: bool = True


@_register
class ModalityBatchNormalization(keras.layers.Layer):
    """Batch normalisation with shared weights and each modality's own moving statistics.

    ``y = gamma * (x - mean) / sqrt(variance + epsilon) + beta``. Training uses the batch's mean and
    variance, over all replicas; inference uses the modality's moving ones: one blended mean would
    shift both.

    Parameters
    ----------
    momentum : share of the old moving statistics that each training batch keeps.
    epsilon : added to the variance.
    """

    def __init__(self, momentum: float = 0.9, epsilon: float = 1e-3, **kwargs: Any):
        super().__init__(**kwargs)
        self.momentum = momentum
        self.epsilon = epsilon

    def build(self, input_shape: tuple) -> None:
        """Makes gamma, beta [D] and the moving statistics [2, D]."""
        width = input_shape[-1]
        moving = (len(MODALITIES), width)
        self.gamma = self.add_weight(shape=(width,), initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=(width,), initializer="zeros", name="beta")
        self.moving_mean = self.add_weight(
            shape=moving, initializer="zeros", name="moving_mean", **STATE
        )
        self.moving_variance = self.add_weight(
            shape=moving, initializer="ones", name="moving_variance", **STATE
        )

    def normalize(
        self, values: Sequence[tf.Tensor], views: Sequence[View], training: bool
    ) -> list[tf.Tensor]:
        """Normalises what a layer makes of several views, [B, D] each, each by itself."""
        of_batch = [partial(value_moments, value) for value in values]
        scales = [self.scale_and_shift(*pair) for pair in self.moments(views, training, of_batch)]
        return [v * scale + shift for v, (scale, shift) in zip(values, scales, strict=True)]

    def moments(
        self,
        views: Sequence[View],
        training: bool,
        of_batch: Sequence[Callable[[], tuple[tf.Tensor, tf.Tensor]]],
        kernel: tf.Tensor | None = None,
    ) -> list[tuple[tf.Tensor, tf.Tensor]]:
        """The moments that normalise each view, [D] each; moves the moving ones.

        Parameters
        ----------
        of_batch : functions that give a view's moments, or with a kernel those of its inputs.
        """
        batched = [uses_batch(view.modality, training) for view in views]
        found = all_moments([of_batch[i]() for i, own in enumerate(batched) if own])
        if kernel is not None:
            found = [moments_of_product(mean, spread, kernel) for mean, spread in found]
        remaining, moments = iter(found), []
        for view, own in zip(views, batched, strict=True):
            pair = next(remaining) if own else self.moving(not_none(view.modality))
            if own and training:
                self.update(pair, view.modality, view.update_statistics)
            moments.append(pair)
        return moments

    def moving(self, modality: str) -> tuple[tf.Tensor, tf.Tensor]:
        """Moving mean and variance [D] of a modality."""
        index = MODALITIES.index(modality)
        return self.moving_mean[index], self.moving_variance[index]

    def scale_and_shift(self, mean: tf.Tensor, variance: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """What normalises: ``x * scale + shift``, both [D]."""
        # Over replicas it is a difference, which may round to just below 0.
        scale = self.gamma * tf.math.rsqrt(tf.nn.relu(variance) + self.epsilon)
        return scale, self.beta - mean * scale

    def update(
        self, moments: tuple[tf.Tensor, tf.Tensor], modality: str | None, wanted: bool = True
    ) -> None:
        """Moves the moving statistics of a modality towards a batch's; not those of a mixture."""
        if modality is None or not wanted:
            return
        row = tf.one_hot(MODALITIES.index(modality), len(MODALITIES))[:, None] * (1 - self.momentum)
        for moving, batch in zip((self.moving_mean, self.moving_variance), moments, strict=True):
            moving.assign(moving + row * (tf.stop_gradient(batch) - moving))


def uses_batch(modality: str | None, training: bool) -> bool:
    """Whether cells are normalised by their batch, not by moving statistics."""
    return training or modality is None


def value_moments(values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and variance [D] of a batch [B, D], each as a tensor."""
    return tf.nn.moments(values, axes=[0])


def input_moments(inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean [I] and covariance [I, I] of a batch [B, I]."""
    mean = tf.reduce_mean(inputs, axis=0)
    centered = inputs - mean
    cells = tf.cast(tf.shape(inputs)[0], inputs.dtype)
    return mean, tf.matmul(centered, centered, transpose_a=True) / cells


def moments_of_product(
    mean: tf.Tensor, covariance: tf.Tensor, kernel: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """``mean(x W) = mean(x) W`` and ``var(x W) = diag(W^T cov(x) W)``, [D] each.

    Worth it where inputs x [B, I] have far fewer columns than the product: nothing [B, D] is read.
    """
    variance = tf.reduce_sum(kernel * tf.matmul(covariance, kernel), axis=0)
    return tf.matmul(mean[None], kernel)[0], variance
