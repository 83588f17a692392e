"""Algorithm 1: in each epoch a full pass of representation learning, then one of alignment."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from scadv_tf.config import LossConfig
from scadv_tf.models.phases import PhaseSchedule
from scadv_tf.models.scadv import PHASES

STUDENT_AND_TEACHER = {"encoder", "classifier", "teacher_encoder", "teacher_classifier"}
ALIGNED = {"encoder", "modality_discriminator", "atac_discriminator", "generator"}


class Recorder(keras.callbacks.Callback):
    """Notes after each batch the model's phase, and the networks that really moved."""

    def __init__(self, weights_of, moved):
        super().__init__()
        self.weights_of, self.moved = weights_of, moved
        self.phases, self.networks = [], []

    def on_train_begin(self, logs=None):
        self.last = self.weights_of(self.model)

    def on_train_batch_end(self, batch, logs=None):
        weights = self.weights_of(self.model)
        self.phases.append(self.model.phase.name)
        self.networks.append(self.moved(self.last, weights))
        self.last = weights


@pytest.fixture
def recorder(weights_of, moved):
    return Recorder(weights_of, moved)


def fit(model, dataset, steps, epochs, *callbacks):
    return model.fit(
        dataset,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=[PhaseSchedule(steps), *callbacks],
    )


def test_each_epoch_is_a_pass_of_each_phase_in_order(make_model, make_dataset, recorder):
    model = make_model()
    fit(model, make_dataset(model, steps=3), 3, 2, recorder)
    assert recorder.phases == (["representation"] * 3 + ["alignment"] * 3) * 2
    # Not only the attribute: the compiled function of the phase moved its networks and no others.
    assert recorder.networks == ([STUDENT_AND_TEACHER] * 3 + [ALIGNED] * 3) * 2
    assert model.steps_done == 12


@pytest.mark.parametrize(
    "names, phase, networks",
    [
        (("cross_entropy",), "representation", {"encoder", "classifier"}),
        (("modality_adversarial",), "alignment", {"encoder", "modality_discriminator"}),
    ],
)
def test_a_phase_without_losses_is_left_out(
    make_model, make_dataset, recorder, names, phase, networks
):
    model = make_model(names)
    assert [p.name for p in model.phases] == [phase]
    model.steps_done.assign(50)  # at the start the reversal's factor is zero
    fit(model, make_dataset(model, steps=2), 2, 2, recorder)
    assert recorder.phases == [phase] * 4
    assert recorder.networks == [networks] * 4


def test_a_step_without_a_phase_is_refused(make_model, make_dataset):
    model = make_model()
    with pytest.raises(RuntimeError, match="PhaseSchedule"):
        model.fit(make_dataset(model), shuffle=False, verbose=0)


def test_steps_per_execution_that_does_not_divide_a_pass_is_refused(
    make_model, make_dataset, weights_of, moved
):
    model = make_model(steps_per_execution=2)
    before = weights_of(model)
    with pytest.raises(ValueError, match="divide the 3 steps .* steps_per_execution=2"):
        fit(model, make_dataset(model, steps=3), 3, 1)
    assert not moved(before, weights_of(model))


def test_steps_per_execution_that_divides_a_pass_gives_the_same_model(
    make_model, make_dataset, weights_of
):
    trained = []
    for together in (1, 2):
        # Noise, too, follows the steps. A high rate would make much of rounding.
        names = "cross_entropy", "contrastive", "modality_adversarial"
        model = make_model(names, noise=0.5, rate=0.01, steps_per_execution=together)
        fit(model, make_dataset(model, steps=4), 4, 2)
        trained.append(weights_of(model))
        assert model.steps_done == 16
    for name in trained[0]:
        for one, other in zip(trained[0][name], trained[1][name], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5, err_msg=name)


def test_every_weight_has_its_loss_in_one_phase():
    assert [loss.name for phase in PHASES for loss in phase.losses] == [*LossConfig.weight_names()]
