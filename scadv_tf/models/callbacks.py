"""What happens between epochs: one prediction of all ATAC cells, and those who use it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from scadv_tf.models.soft_labels import soft_labels

if TYPE_CHECKING:
    from scadv_tf.data.neighbor_lists import NeighborLists

# A hook gets the number of the finished epoch (from 1), the predicted probabilities [A, K] and the
# epoch's logs, to which it may add.
Hook = Callable[[int, np.ndarray, dict], None]


class AtacPredictions(keras.callbacks.Callback):
    """Predicts all ATAC cells once after each epoch and hands the result to hooks.

    Parameters
    ----------
    predict : returns probabilities [A, K].
    hooks : called in order.
    """

    def __init__(self, predict: Callable[[], np.ndarray], hooks: list[Hook]):
        super().__init__()
        self.predict = predict
        self.hooks = hooks

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Predicts and calls the hooks, which add to the logs."""
        probabilities = self.predict()
        for hook in self.hooks:
            hook(epoch + 1, probabilities, logs)


class EpochSeconds(keras.callbacks.Callback):
    """Logs the seconds of each epoch, with what the callbacks before this one do at its end.

    ``step_seconds`` are those of its steps alone.
    """

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Starts the clock."""
        self.start, self.in_steps = time.perf_counter(), 0.0

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Starts that of the step."""
        self.step_start = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Adds the step."""
        self.in_steps += time.perf_counter() - self.step_start

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Adds ``seconds`` and ``step_seconds`` to the logs."""
        logs["seconds"] = round(time.perf_counter() - self.start, 3)
        logs["step_seconds"] = round(self.in_steps, 3)


class SoftLabelUpdate:
    """A hook that refreshes the soft labels in place once the warm-up is over.

    Parameters
    ----------
    labels : the array [A, K] that batches are made from; zeros mean no label.
    neighbors : of the A cells, or None.
    shares : expected share of each type among the ATAC cells [K].
    warmup_epochs : epochs without soft labels.
    """

    def __init__(
        self,
        labels: np.ndarray,
        neighbors: NeighborLists | None,
        shares: np.ndarray,
        warmup_epochs: int,
        prior_power: float,
        sharpening: float,
    ):
        self.labels = labels
        self.neighbors = neighbors
        self.shares = shares
        self.warmup_epochs = warmup_epochs
        self.settings = prior_power, sharpening

    def __call__(self, epoch: int, probabilities: np.ndarray, logs: dict) -> None:
        if epoch >= self.warmup_epochs:
            self.labels[:] = soft_labels(probabilities, self.neighbors, self.shares, *self.settings)


class LabelChange:
    """A hook that logs the share of ATAC cells whose predicted type changed, and may stop.

    The rule needs no ATAC label: a training is over when its answers no longer change.

    Parameters
    ----------
    model : gets ``stop_training`` set.
    patience : stop after so many epochs in a row below `threshold`; 0 never stops.
    threshold : the share of cells that counts as almost none.
    """

    def __init__(self, model: keras.Model, patience: int = 0, threshold: float = 0.0):
        self.model = model
        self.patience = patience
        self.threshold = threshold
        self.last: np.ndarray | None = None
        self.calm_epochs = 0

    def __call__(self, epoch: int, probabilities: np.ndarray, logs: dict) -> None:
        types = probabilities.argmax(axis=1)
        change = math.nan if self.last is None else float(np.mean(types != self.last))
        self.last = types
        logs["atac_label_change"] = change
        self.calm_epochs = self.calm_epochs + 1 if change <= self.threshold else 0
        if self.patience and self.calm_epochs >= self.patience:
            self.model.stop_training = True
