"""What a loss and a phase of Algorithm 1 are, and the callback that alternates the phases.

A data set holds one pass of batches for each phase, so that one Keras epoch is one epoch of
Algorithm 1. Each phase has its losses, its networks, its optimizer and its own compiled function.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import keras

from scadv_tf.models.layers import View

if TYPE_CHECKING:
    import tensorflow as tf

    from scadv_tf.models.scadv import ScAdv


class Step:
    """What the losses of one step look at: a batch, and what the networks make of it, once for all.

    Attributes
    ----------
    model, batch : see `scadv_tf.data.pipeline.training_batches`.
    latents : view -> latent vectors [B, Z].
    """

    def __init__(self, model: ScAdv, batch: dict, views: dict[str, View]):
        self.model, self.batch = model, batch
        self.latents = self.encode(views)

    def encode(self, views: dict[str, View]) -> dict:
        """View -> latent vectors [B, Z], all encoded together."""
        latents = self.model.encoder.encode_views(list(views.values()))
        return dict(zip(views, latents, strict=True))

    @cached_property
    def generated(self) -> tf.Tensor:
        """ATAC features [B, D] that the generator makes of the RNA cells."""
        return self.model.generator(self.latents["rna"])


def _nothing(*_: object) -> dict:
    return {}


@dataclass(frozen=True)
class Loss:
    """A loss. Its weight is the setting of the same name in `LossConfig`.

    Attributes
    ----------
    name : in settings, logs and history.
    networks : that it moves, attributes of the model.
    compute : `Step` -> the loss, a scalar tensor.
    views : (model, batch) -> the views that it needs encoded, beside those of its phase.
    state : model -> variables and layers that it keeps from step to step, by the names of the
        model's attributes that they become.
    after_step : called with the model after each step.
    """

    name: str
    networks: tuple[str, ...]
    compute: Callable[[Step], Any]
    views: Callable[[ScAdv, dict], dict[str, View]] = _nothing
    state: Callable[[ScAdv], dict[str, Any]] = _nothing
    after_step: Callable[[ScAdv], Any] = _nothing


@dataclass(frozen=True)
class Phase:
    """A phase.

    Attributes
    ----------
    name : of the phase.
    optimizer : attribute of the model.
    modalities : that each step encodes, whatever the losses.
    losses : in the order in which they are computed.
    """

    name: str
    optimizer: str
    modalities: tuple[str, ...]
    losses: tuple[Loss, ...]

    @property
    def networks(self) -> tuple[str, ...]:
        """The networks that a step moves."""
        return tuple(dict.fromkeys(name for loss in self.losses for name in loss.networks))

    def only(self, names: Collection[str]) -> Phase:
        """The phase with these of its losses alone."""
        kept = tuple(loss for loss in self.losses if loss.name in names)
        return dataclasses.replace(self, losses=kept)

    def values(self, model: ScAdv, batch: dict) -> dict:
        """Name -> scalar of each loss."""
        views = {name: View(batch[name], name) for name in self.modalities}
        for loss in self.losses:
            views |= loss.views(model, batch)
        step = Step(model, batch, views)
        return {loss.name: loss.compute(step) for loss in self.losses}


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

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Refuses steps that are run several at a time across the border of two passes."""
        together = self.model.steps_per_execution
        if self.steps % together:
            raise ValueError(
                f"Expected steps_per_execution to divide the {self.steps} steps of a pass, or it "
                f"would mix the phases; received steps_per_execution={together}"
            )

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """The first pass of an epoch is the model's first phase, and so on."""
        self.model.phase = self.model.phases[batch // self.steps]

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Adds the epoch's mean losses to the logs."""
        means = self.model.get_metrics_result()
        logs.update({name: float(mean) for name, mean in means.items()})
