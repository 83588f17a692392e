"""Gradient reversal is exact; each modality has its own moving statistics."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from scadv_tf.modalities import MODALITIES
from scadv_tf.models.layers import (
    GradientReversal,
    ModalityBatchNormalization,
    View,
    input_moments,
    moments_of_product,
    reverse_gradient,
    uses_batch,
    value_moments,
)

VALUES = np.array([[1.0, -2.0, 0.5], [3.0, 0.0, -1.5]], dtype=np.float32)
UPSTREAM = np.array([[0.3, -1.0, 2.0], [0.0, 5.0, -0.7]], dtype=np.float32)


def reversed_output_and_gradient(values, strength):
    with tf.GradientTape() as tape:
        tape.watch(values)
        output = GradientReversal()(values, strength=strength)
    return output, tape.gradient(output, values, output_gradients=tf.constant(UPSTREAM))


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("strength", [0.0, 0.25, 1.0, 3.0])
def test_reversal_is_the_identity_and_its_gradient_is_minus_strength_times_upstream(
    compiled, strength
):
    run = tf.function(reversed_output_and_gradient) if compiled else reversed_output_and_gradient
    output, gradient = run(tf.constant(VALUES), tf.constant(strength))
    np.testing.assert_array_equal(output, VALUES)
    np.testing.assert_array_equal(gradient, np.float32(-strength) * UPSTREAM)


def test_reversal_defaults_to_strength_one():
    values = tf.Variable(VALUES)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(GradientReversal()(values) * UPSTREAM)
    np.testing.assert_array_equal(tape.gradient(total, values), -UPSTREAM)


def test_the_strength_of_a_reversal_gets_no_gradient():
    strength = tf.Variable(2.0)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(reverse_gradient(tf.constant(VALUES), strength))
    assert tape.gradient(total, strength) is None


def test_two_reversals_in_a_row_undo_each_other():
    values = tf.Variable(VALUES)
    with tf.GradientTape() as tape:
        twice = reverse_gradient(reverse_gradient(values, 2.0), 0.5)
        total = tf.reduce_sum(twice * UPSTREAM)
    np.testing.assert_array_equal(tape.gradient(total, values), UPSTREAM)


def twin(values, mean, variance, gamma, beta, epsilon):
    return gamma * (values - mean) / np.sqrt(variance + epsilon) + beta


@pytest.fixture
def cells():
    """A maker of random cells [B, 3]; each seed has a mean of its own."""

    def make(seed, count=5):
        random = np.random.default_rng(seed)
        return random.normal(seed, 1 + seed, size=(count, 3)).astype(np.float32)

    return make


@pytest.fixture
def layer():
    layer = ModalityBatchNormalization(momentum=0.75, epsilon=0.01)
    layer.build((None, 3))
    layer.gamma.assign([1.0, 2.0, -0.5])
    layer.beta.assign([0.0, -1.0, 4.0])
    return layer


def normalized(layer, batch, modality, training=False, update_statistics=True):
    """One view, as the encoder normalises it."""
    view = View(tf.convert_to_tensor(batch), modality, update_statistics)
    return layer.normalize([view.features], [view], training)[0]


def shape_of(layer):
    return layer.gamma.numpy(), layer.beta.numpy(), layer.epsilon


@pytest.mark.parametrize("modality", [*MODALITIES, None])
def test_training_normalises_by_the_batch(layer, cells, modality):
    batch = cells(1)
    output = normalized(layer, batch, modality=modality, training=True)
    expected = twin(batch, batch.mean(axis=0), batch.var(axis=0), *shape_of(layer))
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)


def test_a_batch_moves_the_statistics_of_its_own_modality_by_hand(layer):
    # Momentum 0.75: a quarter of the way from mean 0 and variance 1 to the batch's.
    batch = tf.constant([[0.0, 2.0, 4.0], [2.0, 2.0, 8.0]])
    normalized(layer, batch, modality="atac", training=True)
    np.testing.assert_allclose(layer.moving_mean, [[0, 0, 0], [0.25, 0.5, 1.5]])
    np.testing.assert_allclose(layer.moving_variance, [[1, 1, 1], [1.0, 0.75, 1.75]])


@pytest.mark.parametrize("index, modality", enumerate(MODALITIES))
def test_the_other_modality_keeps_its_statistics_exactly(layer, cells, index, modality):
    other = MODALITIES[1 - index]
    normalized(layer, cells(1), modality=other, training=True)
    before = layer.moving_mean.numpy(), layer.moving_variance.numpy()
    normalized(layer, cells(2), modality=modality, training=True)
    after = layer.moving_mean.numpy(), layer.moving_variance.numpy()
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(new[1 - index], old[1 - index])
        assert (new[index] != old[index]).all()


@pytest.mark.parametrize("index, modality", enumerate(MODALITIES))
def test_inference_uses_the_moving_statistics_of_the_modality(layer, cells, index, modality):
    for seed, name in enumerate(MODALITIES, start=1):
        normalized(layer, cells(seed), modality=name, training=True)
    batch = cells(3)
    mean, variance = layer.moving_mean.numpy()[index], layer.moving_variance.numpy()[index]
    expected = twin(batch, mean, variance, *shape_of(layer))
    output = normalized(layer, batch, modality=modality)
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)


def test_inference_moves_no_statistics(layer, cells):
    before = [weight.numpy() for weight in layer.weights]
    for modality in (*MODALITIES, None):
        normalized(layer, cells(1), modality=modality, training=False)
    for old, weight in zip(before, layer.weights, strict=True):
        np.testing.assert_array_equal(weight, old)


@pytest.mark.parametrize(
    "arguments",
    [{"modality": None}, {"modality": "atac", "update_statistics": False}],
    ids=["mixture", "generated"],
)
def test_mixed_and_generated_cells_move_no_statistics(layer, cells, arguments):
    normalized(layer, cells(1), training=True, **arguments)
    np.testing.assert_array_equal(layer.moving_mean, np.zeros((2, 3)))
    np.testing.assert_array_equal(layer.moving_variance, np.ones((2, 3)))


def test_a_mixture_is_normalised_by_its_batch_also_at_inference(layer, cells):
    batch = cells(1)
    inference, training = (normalized(layer, batch, None, flag) for flag in (False, True))
    np.testing.assert_array_equal(inference, training)


def test_moving_statistics_reach_those_of_the_data(layer, cells):
    batch = cells(2, count=50)
    for _ in range(60):
        normalized(layer, batch, modality="rna", training=True)
    inference, training = (normalized(layer, batch, "rna", flag) for flag in (False, True))
    np.testing.assert_allclose(inference, training, atol=1e-3)


def test_the_moving_statistics_are_not_trainable(layer):
    names = {weight.name for weight in layer.trainable_weights}
    assert names == {"gamma", "beta"}


def test_the_gradient_goes_through_the_statistics_of_the_batch(layer, cells):
    # Shifting all cells of a batch changes nothing, so the gradients of each column sum to zero.
    batch = tf.constant(cells(1))
    with tf.GradientTape() as tape:
        tape.watch(batch)
        total = tf.reduce_sum(normalized(layer, batch, modality="rna", training=True) ** 3)
    gradient = tape.gradient(total, batch).numpy()
    assert np.abs(gradient).max() > 0.1
    np.testing.assert_allclose(gradient.sum(axis=0), 0, atol=1e-3)


def test_an_unknown_modality_is_refused(layer, cells):
    with pytest.raises(ValueError):
        normalized(layer, cells(1), modality="protein")


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("modality", [*MODALITIES, None])
def test_the_batch_is_used_in_training_and_for_mixtures(modality, training):
    assert uses_batch(modality, training) == (training or modality is None)


# Moments.


def product_moments(inputs, kernel):
    return moments_of_product(*input_moments(inputs), kernel)


def test_product_moments_by_hand():
    # Two cells (1, 0) and (3, 4), one weight each of 1 and -1: products 1 and -1.
    mean, variance = product_moments(tf.constant([[1.0, 0.0], [3.0, 4.0]]), [[1.0], [-1.0]])
    np.testing.assert_allclose(mean, [0.0], atol=1e-6)
    np.testing.assert_allclose(variance, [1.0], rtol=1e-6)


@pytest.mark.parametrize("cells", [1, 2, 3, 40])
def test_product_moments_are_those_of_the_product(cells):
    random = np.random.default_rng(cells)
    inputs, kernel = random.normal(1, 2, size=(cells, 6)), random.normal(size=(6, 9))
    mean, variance = product_moments(tf.constant(inputs), tf.constant(kernel))
    product = inputs @ kernel
    np.testing.assert_allclose(mean, product.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(variance, product.var(axis=0), rtol=1e-8, atol=1e-12)


def test_the_gradient_of_product_moments_is_that_of_the_product():
    random = np.random.default_rng(0)
    inputs, kernel = random.normal(1, 2, size=(40, 6)), random.normal(size=(6, 9))
    weights = random.normal(size=(2, 9))

    def gradients(moments):
        given = tf.constant(inputs), tf.constant(kernel)
        with tf.GradientTape() as tape:
            tape.watch(given)
            total = tf.reduce_sum(tf.stack(moments(*given)) * weights)
        return tape.gradient(total, given)

    expected = gradients(lambda x, w: value_moments(x @ w))
    for found, exact in zip(gradients(product_moments), expected, strict=True):
        assert np.abs(exact).max() > 0.1
        np.testing.assert_allclose(found, exact, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("shift", [0.0, 30.0, 1000.0])
def test_large_means_take_nothing_from_the_variance(shift):
    """In single precision, where a mean square less a squared mean would lose all digits."""
    random = np.random.default_rng(0)
    inputs = random.normal(shift, 1, size=(256, 50)).astype(np.float32)
    kernel = random.normal(0, 0.2, size=(50, 400)).astype(np.float32)
    mean, variance = product_moments(tf.constant(inputs), tf.constant(kernel))
    product = inputs.astype(float) @ kernel.astype(float)
    np.testing.assert_allclose(mean, product.mean(axis=0), atol=1e-5 * (1 + shift))
    np.testing.assert_allclose(variance, product.var(axis=0), rtol=1e-3)
