"""How a served graph makes raw numbers of cells comparable, as `scadv_tf.data.measures` does."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from scadv_tf.data.levels import NONE
from scadv_tf.data.measures import Measure
from scadv_tf.data.normalization import COUNTS_PER_CELL
from scadv_tf.not_none import not_none
from scadv_tf.serving.arrays import constant


def log_normalized(counts: tf.Tensor) -> tf.Tensor:
    """log(1 + counts per 10,000) [B, G]; cells without counts stay zero."""
    depth = tf.maximum(tf.reduce_sum(counts, axis=1, keepdims=True), 1e-12)
    return tf.math.log1p(counts * (COUNTS_PER_CELL / depth))


def centred_log_ratio(counts: tf.Tensor) -> tf.Tensor:
    """log(1 + count) less its mean over the cell [B, G]."""
    logs = tf.math.log1p(counts)
    return logs - tf.reduce_mean(logs, axis=1, keepdims=True)


class Deviations(tf.Module):
    """Held levels less those expected, and less the mean of that over the cell [B, G]."""

    def __init__(self, measure: Measure):
        super().__init__()
        self.expected = constant(not_none(measure.expected))

    def __call__(self, held: tf.Tensor) -> tf.Tensor:
        """0 where nothing was covered."""
        covered = tf.cast(held > 0, tf.float32)
        found = covered * (NONE - held - self.expected)
        number = tf.maximum(tf.reduce_sum(covered, axis=1, keepdims=True), 1.0)
        return found - covered * tf.reduce_sum(found, axis=1, keepdims=True) / number


def comparable(measure: Measure) -> Callable:
    """The transformation of a measure."""
    if measure.is_levels:
        return Deviations(measure)
    return centred_log_ratio if measure.is_protein else log_normalized
