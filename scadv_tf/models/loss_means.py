"""The means of an epoch's losses, kept where the training runs."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf


class LossMeans(keras.metrics.Metric):
    """Means of several losses over the steps since the last reset, in one variable.

    Parameters
    ----------
    names : of the losses.
    """

    def __init__(self, names: Sequence[str], **kwargs):
        super().__init__(**kwargs)
        self.names = tuple(names)
        # The last number counts the steps.
        self.sums = self.add_variable(
            (len(self.names) + 1,),
            initializer="zeros",
            name="sums",
            aggregation="only_first_replica",
        )

    def update_state(self, values: dict) -> None:
        """Adds the losses of a step: name -> scalar."""
        self.sums.assign_add(tf.stack([*(values[name] for name in self.names), 1.0]))

    def result(self) -> dict:
        """Name -> mean; 0 before the first step."""
        means = self.sums[:-1] / tf.maximum(self.sums[-1], 1.0)
        return dict(zip(self.names, tf.unstack(means), strict=True))
