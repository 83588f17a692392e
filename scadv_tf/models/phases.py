"""The two phases of Algorithm 1, and the callback that alternates them.

A data set holds one pass of batches for each phase, so that one Keras epoch is one epoch of
Algorithm 1. Each phase has its losses, its networks, its optimizer and its own compiled function.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras


@dataclass(frozen=True)
class Phase:
    """One phase: which losses it computes and which networks they update."""

    name: str
    losses: tuple[str, ...]
    networks: tuple[str, ...]


REPRESENTATION = Phase(
    "representation",
    ("cross_entropy", "contrastive", "contrastive_rna", "interpolation", "centroid", "center"),
    ("encoder", "classifier"),
)
ALIGNMENT = Phase(
    "alignment",
    ("modality_adversarial", "atac_adversarial", "cycle"),
    ("encoder", "modality_discriminator", "atac_discriminator", "generator"),
)
PHASES = (REPRESENTATION, ALIGNMENT)
# The losses that a network serves, where it does not serve all of a phase's.
SERVES = {
    "classifier": ("cross_entropy", "interpolation"),
    "modality_discriminator": ("modality_adversarial",),
    "atac_discriminator": ("atac_adversarial",),
    "generator": ("atac_adversarial", "cycle"),
}


class PhaseSchedule(keras.callbacks.Callback):
    """Sets the model's phase from the number of the step within the epoch.

    At the end of an epoch it logs the mean losses, which the steps leave on the device.

    Parameters
    ----------
    steps : steps of one pass over the cells.
    """

    def __init__(self, steps: int):
        super().__init__()
        self.steps = steps

    def on_train_begin(self, logs=None):
        """Refuses steps that are run several at a time across the border of two passes."""
        together = self.model.steps_per_execution
        if self.steps % together:
            raise ValueError(
                f"Expected steps_per_execution to divide the {self.steps} steps of a pass, or it "
                f"would mix the phases; received steps_per_execution={together}"
            )

    def on_train_batch_begin(self, batch, logs=None):
        """The first pass of an epoch is the model's first phase, and so on."""
        self.model.phase = self.model.phases[batch // self.steps]

    def on_epoch_end(self, epoch, logs=None):
        """Adds the epoch's mean losses to the logs."""
        means = self.model.get_metrics_result()
        logs.update({name: float(mean) for name, mean in means.items()})
