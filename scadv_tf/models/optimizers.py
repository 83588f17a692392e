"""Keras optimizers for gradients that the replicas have added up already.

Keras clips each replica's gradient and then adds them up. Here the sum comes first, with all that a
step exchanges, so that the norm of the whole batch's gradient is clipped, as with one replica.
"""

from __future__ import annotations

from collections.abc import Iterable

import keras

_register = keras.saving.register_keras_serializable(package="scadv_tf")


class SummedGradients:
    """Leaves out Keras' own sum over the replicas."""

    def _all_reduce_sum_gradients(self, grads_and_vars: Iterable[tuple]) -> list[tuple]:
        return list(grads_and_vars)


@_register
class SGD(SummedGradients, keras.optimizers.SGD):
    """`keras.optimizers.SGD` for summed gradients."""


@_register
class Adam(SummedGradients, keras.optimizers.Adam):
    """`keras.optimizers.Adam` for summed gradients."""
