"""The adversary pulls the other way: exactly, and through every network before it."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from steps import losses_of


def gradients(model, name, batch):
    """Gradients of one loss of alignment: network -> arrays, None where none flows."""
    networks = ("encoder", "generator", "modality_discriminator", "atac_discriminator")
    with tf.GradientTape() as tape:
        value = losses_of(model, "alignment", batch)[name]
    return tape.gradient(value, {n: getattr(model, n).trainable_variables for n in networks})


@pytest.mark.parametrize("condition", ["none", "types"])
@pytest.mark.parametrize(
    "name, fooling, discriminator",
    [
        ("modality_adversarial", ("encoder",), "modality_discriminator"),
        ("atac_adversarial", ("encoder", "generator"), "atac_discriminator"),
    ],
)
def test_reversal_turns_the_gradient_round_for_all_but_the_discriminator(
    make_model, make_batch, monkeypatch, condition, name, fooling, discriminator
):
    model = make_model((name,), condition=condition, reversal_strength=0.5)
    model.steps_done.assign(50)
    with_reversal = gradients(model, name, make_batch())
    monkeypatch.setattr(
        type(model.reversal), "__call__", lambda self, values, strength: tf.identity(values)
    )
    without = gradients(model, name, make_batch())
    for network in fooling:
        for reversed_gradient, gradient in zip(
            with_reversal[network], without[network], strict=True
        ):
            expected = -0.5 * 0.98661430 * gradient.numpy()
            np.testing.assert_allclose(reversed_gradient, expected, rtol=1e-4, atol=1e-7)
    assert max(np.abs(g).max() for network in fooling for g in without[network]) > 1e-4
    for one, other in zip(with_reversal[discriminator], without[discriminator], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-8)
        assert np.abs(other).max() > 1e-4
