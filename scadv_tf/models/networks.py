"""The five networks: encoder, classifier, two discriminators and the generator."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from scadv_tf.models.layers import ModalityBatchNormalization, View, input_moments

NARROW = 4  # a layer with so many times fewer inputs than outputs is normalised by its weights
_register = keras.saving.register_keras_serializable(package="scadv_tf")


@_register
class FixedDense(keras.layers.Dense):
    """A dense layer whose weights no training moves, not even that of a loaded SavedModel.

    ``trainable=False`` tells Keras alone: a SavedModel keeps what each variable was made with.
    """

    def add_weight(self, *args: Any, **settings: Any) -> keras.Variable:
        """A weight that is not trainable."""
        return super().add_weight(*args, **settings | {"trainable": False})


def built(layer: keras.layers.Layer, inputs: int) -> keras.layers.Layer:
    """The layer, its weights made for inputs [B, inputs]."""
    layer.build((None, inputs))
    return layer


@_register
class Encoder(keras.layers.Layer):
    """E: genes [B, G] to latent vectors [B, Z], one encoder for both modalities.

    An optional fixed projection on joint principal components, then for each width a dense layer,
    batch normalisation by modality and ReLU.

    Parameters
    ----------
    sizes : widths of the layers; the last one is Z.
    projection_size : width D of the fixed projection; 0 leaves it out.
    """

    def __init__(self, sizes: Sequence[int] = (1024, 128), projection_size: int = 0, **kwargs: Any):
        super().__init__(**kwargs)
        self.sizes = tuple(sizes)
        self.projection_size = projection_size
        self.projection = None
        if projection_size:
            self.projection = FixedDense(
                projection_size, use_bias=False, trainable=False, name="projection"
            )
        # No bias: batch normalisation would take it out again.
        self.denses = [
            keras.layers.Dense(size, use_bias=False, name=f"dense_{number}")
            for number, size in enumerate(self.sizes)
        ]
        self.normalizations = [
            ModalityBatchNormalization(name=f"normalization_{number}")
            for number in range(len(self.sizes))
        ]

    def build(self, input_shape: tuple) -> None:
        """Builds each layer from the number of genes."""
        width = input_shape[-1]
        if self.projection is not None:
            self.projection.build((None, width))
            width = self.projection_size
        for dense, normalization in zip(self.denses, self.normalizations, strict=True):
            dense.build((None, width))
            width = dense.units
            normalization.build((None, width))
        self.built = True

    def trained_weights(self) -> list:
        """All variables but the fixed projection."""
        layers = zip(self.denses, self.normalizations, strict=True)
        return [variable for pair in layers for layer in pair for variable in layer.weights]

    def project(self, expression: tf.Tensor) -> tf.Tensor:
        """The fixed components [B, D] that the trained layers start from, or the genes [B, G]."""
        return expression if self.projection is None else self.projection(expression)

    def unproject(self, features: tf.Tensor) -> tf.Tensor:
        """Genes [B, G] that have these components [B, D]: the nearest in their space."""
        if self.projection is None:
            return features
        return tf.matmul(features, self.projection.kernel, transpose_b=True)

    def call(
        self,
        expression: tf.Tensor,
        modality: str | None,
        training: bool = False,
        update_statistics: bool = True,
    ) -> tf.Tensor:
        """Latent vectors [B, Z] of one modality's cells; for `modality` see the normalisation."""
        return self.encode(self.project(expression), modality, training, update_statistics)

    def encode(
        self,
        projected: tf.Tensor,
        modality: str | None,
        training: bool = False,
        update_statistics: bool = True,
    ) -> tf.Tensor:
        """Latent vectors [B, Z] from what `project` gives [B, D]: the trained layers alone."""
        return self.encode_views([View(projected, modality, update_statistics)], training)[0]

    def encode_views(self, views: Sequence[View], training: bool = True) -> list:
        """Latent vectors [B, Z] of several batches, each normalised by itself.

        Their statistics are exchanged together where there are replicas.
        """
        values = [view.features for view in views]
        for dense, normalization in zip(self.denses, self.normalizations, strict=True):
            narrow = NARROW * dense.kernel.shape[0] <= dense.units
            layer = _normalized_by_weights if narrow else _normalized
            values = layer(values, dense.kernel, normalization, views, training)
        return values


def _normalized(
    values: list[tf.Tensor],
    kernel: tf.Tensor,
    normalization: ModalityBatchNormalization,
    views: Sequence[View],
    training: bool,
) -> list[tf.Tensor]:
    """Dense layer, normalisation and ReLU, one after the other."""
    products = [tf.matmul(value, kernel) for value in values]
    return [tf.nn.relu(value) for value in normalization.normalize(products, views, training)]


def _normalized_by_weights(
    values: list[tf.Tensor],
    kernel: tf.Tensor,
    normalization: ModalityBatchNormalization,
    views: Sequence[View],
    training: bool,
) -> list[tf.Tensor]:
    """The same, the normalisation put into the weights: nothing [B, D] is read for it."""
    kernel = tf.convert_to_tensor(kernel)
    # Those of data need no gradient, which spares replicas an exchange.
    of_batch = [partial(input_moments, value) for value in values]
    pairs = normalization.moments(views, training, of_batch, kernel)
    outputs = []
    for value, pair in zip(values, pairs, strict=True):
        scale, shift = normalization.scale_and_shift(*pair)
        outputs.append(tf.nn.relu(linear(value, kernel * scale, shift)))
    return outputs


def linear(values: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """``values @ kernel + bias``, in the form that TensorFlow takes in one pass."""
    return tf.nn.bias_add(tf.matmul(values, kernel), bias)


@_register
class DenseNetwork(keras.layers.Layer):
    """Dense layers with leaky ReLU between them and a linear output.

    With no hidden layer it is C (latent to logits [B, K]); with some it is D_rna (latent to one
    logit, RNA = 1), D_atac (genes to one logit, real = 1) or G (latent to genes [B, G]).

    Parameters
    ----------
    outputs : width of the output.
    hidden : widths of the hidden layers.
    """

    def __init__(self, outputs: int, hidden: Sequence[int] = (), **kwargs: Any):
        super().__init__(**kwargs)
        self.outputs_width = outputs
        self.hidden = tuple(hidden)
        self.denses = [
            keras.layers.Dense(size, name=f"dense_{number}")
            for number, size in enumerate((*self.hidden, outputs))
        ]

    def build(self, input_shape: tuple) -> None:
        """Builds each layer from the width of the input."""
        width = input_shape[-1]
        for dense in self.denses:
            dense.build((None, width))
            width = dense.units
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """The linear output [B, outputs]."""
        values = inputs
        for dense in self.denses[:-1]:
            values = linear(values, dense.kernel, dense.bias)
            values = tf.nn.leaky_relu(values, alpha=0.2)
        dense = self.denses[-1]
        return linear(values, dense.kernel, dense.bias)
