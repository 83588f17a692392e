"""The means of an epoch's losses, and its first step that went wrong, kept where it trains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

GRADIENT = "the gradient's norm"


class LossMeans(keras.metrics.Metric):
    """Means of several losses over the steps since the last reset, in one variable.

    The numbers of the first step in which a loss or the gradient's norm was not finite are kept.

    Parameters
    ----------
    names : of the losses.
    """

    def __init__(self, names: Sequence[str], **kwargs: Any):
        super().__init__(**kwargs)
        self.names = tuple(names)
        state = {"initializer": "zeros", "aggregation": "only_first_replica"}
        # The last number counts the steps.
        self.sums = self.add_variable((len(self.names) + 1,), name="sums", **state)
        # The number of the step, from 1, or 0 for none; its losses; the norm.
        self.first_bad = self.add_variable((len(self.names) + 2,), name="first_bad", **state)

    def update_state(self, values: dict, gradient_norm: tf.Tensor | float = 0.0) -> None:
        """Adds the losses of a step: name -> scalar; the norm of its gradient is looked at."""
        losses = [values[name] for name in self.names]
        self.sums.assign_add(tf.stack([*losses, 1.0]))
        numbers = tf.stack([*losses, gradient_norm])
        # The sum is finite only if all of them are.
        bad = ~tf.math.is_finite(tf.reduce_sum(numbers)) & (self.first_bad[0] == 0.0)
        now = tf.concat([self.sums[-1:], numbers], axis=0)
        self.first_bad.assign(tf.where(bad, now, self.first_bad))

    def result(self) -> dict:
        """Name -> mean; 0 before the first step."""
        means = self.sums[:-1] / tf.maximum(self.sums[-1], 1.0)
        return dict(zip(self.names, tf.unstack(means), strict=True))

    def failure(self) -> tuple[int, dict[str, float]] | None:
        """The first step since the reset, from 1, that was not finite, and which numbers were not.

        Reading it waits for the steps that the device has to do. Where each number is finite and
        only their sum is not, all are named.
        """
        step, *numbers = self.first_bad.numpy().tolist()
        if not step:
            return None
        named = dict(zip((*self.names, GRADIENT), numbers, strict=True))
        bad = {name: value for name, value in named.items() if not math.isfinite(value)}
        return int(step), bad or named
