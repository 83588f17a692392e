"""The five networks: encoder, classifier, two discriminators and the generator."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from scadv_tf.models.layers import ModalityBatchNormalization

_register = keras.saving.register_keras_serializable(package="scadv_tf")


@_register
class FixedDense(keras.layers.Dense):
    """A dense layer whose weights no training moves, not even that of a loaded SavedModel.

    ``trainable=False`` tells Keras alone: a SavedModel keeps what each variable was made with.
    """

    def add_weight(self, *args, **settings):
        """A weight that is not trainable."""
        return super().add_weight(*args, **settings | {"trainable": False})


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

    def __init__(self, sizes: Sequence[int] = (1024, 128), projection_size: int = 0, **kwargs):
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

    def build(self, input_shape):
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

    def project(self, expression):
        """The fixed components [B, D] that the trained layers start from, or the genes [B, G]."""
        return expression if self.projection is None else self.projection(expression)

    def call(self, expression, modality, training=False, update_statistics=True):
        """Latent vectors [B, Z] of one modality's cells; for `modality` see the normalisation."""
        return self.encode(self.project(expression), modality, training, update_statistics)

    def encode(self, projected, modality, training=False, update_statistics=True):
        """Latent vectors [B, Z] from what `project` gives [B, D]: the trained layers alone."""
        values = projected
        for dense, normalization in zip(self.denses, self.normalizations, strict=True):
            values = normalization(
                dense(values),
                modality=modality,
                training=training,
                update_statistics=update_statistics,
            )
            values = keras.ops.relu(values)
        return values

    def get_config(self):
        """The arguments of `__init__`."""
        own = {"sizes": self.sizes, "projection_size": self.projection_size}
        return {**super().get_config(), **own}


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

    def __init__(self, outputs: int, hidden: Sequence[int] = (), **kwargs):
        super().__init__(**kwargs)
        self.outputs_width = outputs
        self.hidden = tuple(hidden)
        self.denses = [
            keras.layers.Dense(size, name=f"dense_{number}")
            for number, size in enumerate((*self.hidden, outputs))
        ]

    def build(self, input_shape):
        """Builds each layer from the width of the input."""
        width = input_shape[-1]
        for dense in self.denses:
            dense.build((None, width))
            width = dense.units
        self.built = True

    def call(self, inputs):
        """The linear output [B, outputs]."""
        values = inputs
        for dense in self.denses[:-1]:
            values = keras.ops.leaky_relu(dense(values), negative_slope=0.2)
        return self.denses[-1](values)

    def get_config(self):
        """The arguments of `__init__`."""
        own = {"outputs": self.outputs_width, "hidden": self.hidden}
        return {**super().get_config(), **own}
