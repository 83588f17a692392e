"""Arrays that a served graph holds once, however many signatures use them."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from scadv_tf.data.normalization import LARGEST_VALUE, Scale


def constant(values: np.ndarray) -> tf.Variable:
    """A float32 variable that no training moves; a `tf.constant` would be copied to each graph."""
    return tf.Variable(np.asarray(values, dtype=np.float32), trainable=False)


def without_offsets(
    values: tf.Tensor, members: tf.Tensor | None, offsets: tf.Tensor | None
) -> tf.Tensor:
    """Values [B, W] less the offset [batches, W] of each cell's batch; unchanged without any."""
    return values if members is None or offsets is None else values - members @ offsets


class FixedScale(tf.Module):
    """Mean and deviation of each column, see `scadv_tf.data.normalization.Scale`."""

    def __init__(self, scale: Scale):
        super().__init__()
        self.mean, self.deviation = constant(scale.mean), constant(scale.deviation)

    def apply(self, values: tf.Tensor) -> tf.Tensor:
        """Standardised values [B, W], cut as in training."""
        return tf.clip_by_value(self.uncut(values), -LARGEST_VALUE, LARGEST_VALUE)

    def uncut(self, values: tf.Tensor) -> tf.Tensor:
        """Standardised values [B, W], however large."""
        return (values - self.mean) / self.deviation

    def undo(self, scaled: tf.Tensor) -> tf.Tensor:
        """The values of standardised ones [B, W]."""
        return scaled * self.deviation + self.mean
