"""A training that diverges: seen at the step, by losses and gradients that are not finite."""

from __future__ import annotations

import keras
import numpy as np

# Steps between two looks; each waits for the device, and nothing is lost, since the step is kept.
STEPS_BETWEEN_LOOKS = 10


class Diverged(Exception):
    """A loss, a gradient or a prediction is not finite.

    Parameters
    ----------
    numbers : name -> value of what is not finite.
    place : the epoch and step, for people.
    """

    def __init__(self, numbers: dict[str, float], place: str):
        self.place = place
        self.numbers = ", ".join(f"{name} = {value:g}" for name, value in numbers.items())
        super().__init__(f"{self.numbers} in {place}")


class WatchesNumbers(keras.callbacks.Callback):
    """Raises `Diverged` soon after a step that is not finite, and before the epoch ends."""

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Keeps the number of the epoch."""
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Looks every few steps."""
        if (batch + 1) % STEPS_BETWEEN_LOOKS == 0:
            self._look()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Looks at the last steps."""
        self._look()

    def _look(self) -> None:
        for phase in self.model.phases:  # the first one goes first
            if failure := self.model.means[phase.name].failure():
                step, numbers = failure
                raise Diverged(numbers, f"epoch {self.epoch + 1}, step {step} of {phase.name}")

    def checked(self, probabilities: np.ndarray) -> np.ndarray:
        """Predictions at the end of the epoch, as they are.

        Raises
        ------
        Diverged : some are not finite: weights went astray in the very last step.
        """
        if not np.isfinite(probabilities).all():
            numbers = {"a predicted probability": float("nan")}
            raise Diverged(numbers, f"epoch {self.epoch + 1}, after its last step")
        return probabilities
