"""What follows the number of steps done: the teacher, the reversal, the ramp of interpolation."""

from __future__ import annotations

import numpy as np
import pytest
from steps import losses_of, step

from scadv_tf.models.alignment import reversal_factor


@pytest.mark.parametrize("largest, momentum", [(0.9, 1 / 2), (0.2, 0.2), (0.0, 0.0)])
def test_the_momentum_of_the_teacher_after_one_step_by_hand(
    make_model, make_batch, weights_of, largest, momentum
):
    # 1 - 1 / (1 + 1) = 1/2 after the first step, unless the largest momentum is less.
    model = make_model(teacher_momentum=largest)
    old = weights_of(model)
    step(model, "representation", make_batch())
    new = weights_of(model)
    for network in ("encoder", "classifier"):
        fixed = int(network == "encoder")  # the teacher has no projection
        for teacher, before, student in zip(
            new[f"teacher_{network}"], old[network][fixed:], new[network][fixed:], strict=True
        ):
            expected = momentum * before + (1 - momentum) * student
            np.testing.assert_allclose(teacher, expected, rtol=1e-5, atol=1e-6)


def test_the_momentum_of_the_teacher_rises_to_its_largest(make_model, make_batch, weights_of):
    model = make_model(teacher_momentum=0.8)
    for done, momentum in ((1, 1 - 1 / 3), (2, 1 - 1 / 4), (3, 0.8), (70, 0.8)):
        model.steps_done.assign(done)
        old = weights_of(model)["teacher_classifier"]
        step(model, "representation", make_batch())
        new = weights_of(model)
        for before, student, teacher in zip(
            old, new["classifier"], new["teacher_classifier"], strict=True
        ):
            expected = momentum * before + (1 - momentum) * student
            np.testing.assert_allclose(teacher, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("strength", [1.0, 0.5])
@pytest.mark.parametrize(
    "done, factor", [(0, 0.0), (25, 0.84828364), (50, 0.98661430), (100, 0.99990920)]
)
def test_the_factor_of_reversal_follows_the_share_of_training_done(
    make_model, strength, done, factor
):
    # 2 / (1 + exp(-10 p)) - 1 at p = 0, 1/4, 1/2, 1.
    model = make_model(total_steps=100, reversal_strength=strength)
    model.steps_done.assign(done)
    assert float(reversal_factor(model)) == pytest.approx(strength * factor, abs=1e-6)


@pytest.mark.parametrize(
    "span, done, factor",
    [(0.5, 0, 0.0), (0.5, 10, 0.2), (0.5, 50, 1.0), (0.5, 90, 1.0), (0.0, 1, 1.0)],
)
def test_interpolation_rises_over_its_share_of_the_training(
    make_model, make_batch, span, done, factor
):
    model = make_model(("interpolation",), total_steps=100, interpolation_rampup=span)
    batch = make_batch()
    model.steps_done.assign(100)
    full = float(losses_of(model, "representation", batch)["interpolation"])
    model.steps_done.assign(done)
    value = float(losses_of(model, "representation", batch)["interpolation"])
    assert full > 1e-4
    assert value == pytest.approx(factor * full, rel=1e-4)


def test_every_step_counts(make_model, make_batch):
    model = make_model(total_steps=8)
    for phase in model.phases:
        step(model, phase.name, make_batch())
    assert float(model.training_fraction()) == 2 / 8
