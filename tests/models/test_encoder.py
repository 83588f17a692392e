"""The encoder in its two parts: a fixed projection, and the trained layers behind it."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from scadv_tf.models.networks import Encoder, FixedDense

GENES, LATENT = 6, 4


@pytest.fixture
def expression():
    return tf.constant(np.random.default_rng(0).normal(size=(9, GENES)), tf.float32)


def made(projection_size: int, seed: int = 0) -> Encoder:
    """An encoder with random weights and moving statistics."""
    encoder = Encoder((5, LATENT), projection_size)
    encoder.build((None, GENES))
    random = np.random.default_rng(seed)
    encoder.set_weights([random.uniform(0.5, 1.5, w.shape) for w in encoder.get_weights()])
    return encoder


@pytest.mark.parametrize("projection_size", [0, 3])
@pytest.mark.parametrize("modality", ["rna", "atac", None])
@pytest.mark.parametrize("training, update", [(False, True), (True, True), (True, False)])
def test_a_call_is_the_projection_and_the_trained_layers(
    expression, projection_size, modality, training, update
):
    whole, parts = made(projection_size), made(projection_size)
    settings = {"modality": modality, "training": training, "update_statistics": update}
    expected = whole(expression, **settings)
    found = parts.encode(parts.project(expression), **settings)
    np.testing.assert_array_equal(found, expected)
    assert found.shape == (9, LATENT) and np.ptp(found) > 0.1
    for first, second in zip(whole.get_weights(), parts.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)  # statistics, too, move or stay alike


def test_the_projection_is_a_product_and_nothing_else(expression):
    encoder = made(3)
    kernel = encoder.projection.kernel.numpy()
    np.testing.assert_allclose(encoder.project(expression), expression @ kernel, rtol=1e-6)
    assert made(0).project(expression) is expression


def test_averages_may_be_taken_behind_the_projection(expression):
    """What serves new ATAC cells: means of projected cells are projections of means."""
    encoder = made(3)
    weights = tf.constant(np.random.default_rng(1).dirichlet(np.ones(9), size=2), tf.float32)
    behind = encoder.encode(weights @ encoder.project(expression), "atac")
    before = encoder(weights @ expression, modality="atac")
    np.testing.assert_allclose(behind, before, rtol=1e-4, atol=1e-5)


def test_the_modality_is_that_of_the_moving_statistics(expression):
    encoder = made(3)
    rna, atac = (encoder.encode(encoder.project(expression), name) for name in ("rna", "atac"))
    assert np.abs(rna - atac).max() > 0.01


def test_no_gradient_reaches_the_projection_even_of_who_does_not_know_keras(expression):
    """TensorFlow's own variable must say so, as it is this that a SavedModel keeps."""
    encoder = made(3)
    assert all(v is not encoder.projection.kernel for v in encoder.trainable_variables)
    assert not encoder.projection.kernel.value.trainable
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(encoder(expression, modality="rna") ** 2)
    watched = {variable.name for variable in tape.watched_variables()}
    assert len(watched) == 6 and not any("projection" in name for name in watched)
    assert tape.gradient(loss, encoder.denses[0].kernel.value) is not None


def test_a_fixed_layer_has_no_trainable_weight():
    layer = FixedDense(3)
    layer.build((None, 2))
    assert len(layer.weights) == 2 and layer.trainable and not layer.trainable_variables
    np.testing.assert_allclose(layer(tf.ones((1, 2))), [layer.kernel.numpy().sum(axis=0)])
