"""What a new loss costs: a weight in the settings and a record, and nothing else."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from scadv_tf.config import LossConfig
from scadv_tf.models import scadv
from scadv_tf.models.layers import View
from scadv_tf.models.phases import Loss, PhaseSchedule
from scadv_tf.settings import option


@dataclasses.dataclass(frozen=True)
class WithSteadiness(LossConfig):
    """The settings with a further weight."""

    steadiness: float = option(0.0, "Weight of a loss of this test.", minimum=0, weight=True)


# A record that uses all that one may have: cells of its own, a running mean, a call after the step.
STEADINESS = Loss(
    "steadiness",
    ("encoder",),
    lambda step: tf.reduce_mean((step.latents["shifted"] - step.model.usual) ** 2),
    views=lambda model, batch: {"shifted": View(batch["rna"] + 1, "rna", False)},
    state=lambda model: {"usual": model.new_state((model.latent_size,), "usual")},
    after_step=lambda model: model.usual.assign_add(tf.ones_like(model.usual)),
)


@pytest.fixture
def model(monkeypatch):
    """A model that learns by this loss, and by one of modality alignment."""
    phase, alignment = scadv.PHASES
    phase = dataclasses.replace(phase, losses=(*phase.losses, STEADINESS))
    monkeypatch.setattr(scadv, "PHASES", (phase, alignment))
    off = dict.fromkeys(LossConfig.weight_names(), 0.0)
    keras.utils.set_random_seed(0)
    made = scadv.ScAdv(6, 3, loss=WithSteadiness(**off | {"steadiness": 0.5, "cycle": 1.0}))
    made.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1), jit_compile=False)
    return made


@pytest.mark.slow
def test_a_weight_and_a_record_make_a_loss(model, make_dataset, weights_of, moved):
    before = weights_of(model)
    history = model.fit(
        make_dataset(model, steps=3), shuffle=False, verbose=0, callbacks=[PhaseSchedule(3)]
    ).history
    assert history.keys() == {"steadiness", "cycle"}
    assert history["steadiness"][0] > 0
    # Kept from step to step, and called after those of its own phase alone.
    np.testing.assert_array_equal(model.usual, 3 * np.ones(model.latent_size))
    assert moved(before, weights_of(model)) == {"encoder", "generator"}


def test_the_new_loss_moves_what_it_says(model):
    networks = [(p.name, p.networks) for p in model.phases]
    assert networks == [("representation", ("encoder",)), ("alignment", ("encoder", "generator"))]
