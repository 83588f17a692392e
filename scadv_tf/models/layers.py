"""Layers that Keras does not have: gradient reversal, batch normalisation by modality."""

from __future__ import annotations

import keras
import tensorflow as tf

MODALITIES = ("rna", "atac")
_register = keras.saving.register_keras_serializable(package="scadv_tf")


@tf.custom_gradient
def reverse_gradient(values, strength):
    """The identity, whose gradient is multiplied by ``-strength`` (Ganin et al. 2016).

    Parameters
    ----------
    values : tensor of any shape.
    strength : scalar; it gets no gradient.
    """

    def gradient(upstream):
        return -strength * upstream, None

    return tf.identity(values), gradient


@_register
class GradientReversal(keras.layers.Layer):
    """Passes its input on and reverses the gradient, times a strength given at each call."""

    def call(self, inputs, strength=1.0):
        """`inputs` unchanged; gradients come back times ``-strength``."""
        return reverse_gradient(inputs, tf.cast(strength, inputs.dtype))


@_register
class ModalityBatchNormalization(keras.layers.Layer):
    """Batch normalisation with shared weights and each modality's own moving statistics.

    ``y = gamma * (x - mean) / sqrt(variance + epsilon) + beta``. Training uses the batch's mean and
    variance; inference uses the modality's moving ones: one blended mean would shift both.

    Parameters
    ----------
    momentum : share of the old moving statistics that each training batch keeps.
    epsilon : added to the variance.
    """

    def __init__(self, momentum: float = 0.9, epsilon: float = 1e-3, **kwargs):
        super().__init__(**kwargs)
        self.momentum = momentum
        self.epsilon = epsilon

    def build(self, input_shape):
        """Makes gamma, beta [D] and the moving statistics [2, D]."""
        width = input_shape[-1]
        moving = (len(MODALITIES), width)
        self.gamma = self.add_weight(shape=(width,), initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=(width,), initializer="zeros", name="beta")
        self.moving_mean = self.add_weight(
            shape=moving, initializer="zeros", trainable=False, name="moving_mean"
        )
        self.moving_variance = self.add_weight(
            shape=moving, initializer="ones", trainable=False, name="moving_variance"
        )

    def call(self, inputs, modality, training=False, update_statistics=True):
        """Normalises a batch [B, D] of one modality.

        Parameters
        ----------
        modality : 'rna', 'atac', or None for a mixture, which has no moving statistics: it is
            normalised by the batch, also at inference.
        update_statistics : False for generated cells, which must not move those of real cells.
        """
        if training or modality is None:
            mean, variance = tf.nn.moments(inputs, axes=[0])
        else:
            index = MODALITIES.index(modality)
            mean, variance = self.moving_mean[index], self.moving_variance[index]
        if training and update_statistics and modality is not None:
            self._update(MODALITIES.index(modality), mean, variance)
        scale = self.gamma * tf.math.rsqrt(variance + self.epsilon)
        return (inputs - mean) * scale + self.beta

    def _update(self, index, mean, variance):
        row = tf.one_hot(index, len(MODALITIES))[:, None] * (1 - self.momentum)
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving + row * (tf.stop_gradient(batch) - moving))

    def get_config(self):
        """The arguments of `__init__`."""
        return {**super().get_config(), "momentum": self.momentum, "epsilon": self.epsilon}
