"""The encoder in its two parts: a fixed projection, and the trained layers behind it."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from scadv_tf.models import networks
from scadv_tf.models.layers import View
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


def test_unproject_is_the_transposed_projection(expression):
    encoder = made(3)
    kernel = encoder.projection.kernel.numpy()
    features = tf.constant(np.random.default_rng(1).normal(size=(4, 3)), tf.float32)
    np.testing.assert_allclose(encoder.unproject(features), features @ kernel.T, rtol=1e-5)
    # <E x, z> = <x, E' z> for all cells and features.
    projected = tf.matmul(encoder.project(expression), features, transpose_b=True)
    unprojected = tf.matmul(expression, encoder.unproject(features), transpose_b=True)
    np.testing.assert_allclose(projected, unprojected, rtol=1e-4, atol=1e-5)
    assert made(0).unproject(features) is features


def test_orthonormal_components_are_found_again_in_unprojected_features():
    encoder = made(3)
    basis = np.linalg.qr(np.random.default_rng(2).normal(size=(GENES, 3)))[0]
    encoder.projection.set_weights([basis])
    features = tf.constant(np.random.default_rng(1).normal(size=(4, 3)), tf.float32)
    found = encoder.project(encoder.unproject(features))
    np.testing.assert_allclose(found, features, rtol=1e-4, atol=1e-5)


# Layers with few inputs, which are normalised by their weights.

VIEWS = ("rna", "atac", None, "atac")
UPDATES = (True, True, True, False)


@pytest.fixture
def batches():
    """Batches of features [B, 5] of different size, mean and spread."""
    random = np.random.default_rng(3)
    shapes = zip((12, 9, 30, 7), (0.0, 2.0, -1.0, 5.0), (1.0, 0.5, 3.0, 2.0), strict=True)
    return [tf.constant(random.normal(m, s, size=(n, 5)), tf.float32) for n, m, s in shapes]


def wide_encoder(seed: int = 0) -> Encoder:
    """An encoder [5 -> 40 -> 6] with random weights of both signs and moving statistics."""
    encoder = Encoder((40, 6))
    encoder.build((None, 5))
    random = np.random.default_rng(seed)
    for layer, normalization in zip(encoder.denses, encoder.normalizations, strict=True):
        layer.set_weights([random.normal(size=layer.kernel.shape)])
        shapes = [w.shape for w in normalization.get_weights()]
        normalization.set_weights([random.uniform(0.5, 1.5, shape) for shape in shapes])
    return encoder


def views_of(batches) -> list[View]:
    return [View(*each) for each in zip(batches, VIEWS, UPDATES, strict=True)]


def outcome(encoder, batches, training=True):
    """Latent vectors, gradients of weights and inputs, and moving statistics."""
    weights = [tf.cos(tf.range(6, dtype=tf.float32) + n) for n in range(len(batches))]
    with tf.GradientTape() as tape:
        tape.watch(batches)
        latents = encoder.encode_views(views_of(batches), training)
        total = tf.add_n([tf.reduce_sum(z**2 * w) for z, w in zip(latents, weights, strict=True)])
    gradients = tape.gradient(total, [*encoder.trainable_variables, *batches])
    moving = [weight.numpy() for weight in encoder.non_trainable_variables]
    return [z.numpy() for z in latents], [g.numpy() for g in gradients], moving


def assert_all_close(found, expected, tolerance):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * np.abs(other).max())


@pytest.mark.parametrize("training", [True, False])
def test_normalising_the_weights_is_normalising_the_products(monkeypatch, batches, training):
    found, paths = [], []
    for narrow in (0, 10**9):  # both layers by their weights, and none
        monkeypatch.setattr(networks, "NARROW", narrow)
        for name in ("_normalized", "_normalized_by_weights"):
            real = getattr(networks, name).__wrapped__ if narrow else getattr(networks, name)

            def spy(*arguments, name=name, real=real):
                paths.append(name)
                return real(*arguments)

            spy.__wrapped__ = real
            monkeypatch.setattr(networks, name, spy)
        found.append(outcome(wide_encoder(), batches, training))
    assert paths == ["_normalized_by_weights"] * 2 + ["_normalized"] * 2
    for one, other in zip(*found, strict=True):
        assert_all_close(one, other, 2e-4)
    start = [weight.numpy() for weight in wide_encoder().non_trainable_variables]
    moved = [np.abs(a - b).max() for a, b in zip(start, found[0][2], strict=True)]
    assert (min(moved) > 0.01) if training else not any(moved)


def twin(encoder, batch, statistics=None):
    """By the formulas in double precision; statistics: layer -> (mean, variance) if given."""
    values = np.asarray(batch, np.float64)
    for number, (dense, norm) in enumerate(
        zip(encoder.denses, encoder.normalizations, strict=True)
    ):
        values = values @ dense.kernel.numpy().astype(np.float64)
        own = values.mean(axis=0), values.var(axis=0)
        mean, variance = own if statistics is None else statistics[number]
        values = (values - mean) / np.sqrt(variance + norm.epsilon)
        values = np.maximum(values * norm.gamma.numpy() + norm.beta.numpy(), 0)
    return values


def test_the_encoder_by_its_formulas(batches):
    encoder = wide_encoder()
    for index, modality in enumerate(("rna", "atac")):
        moving = [
            (layer.moving_mean.numpy()[index], layer.moving_variance.numpy()[index])
            for layer in encoder.normalizations
        ]
        expected = twin(encoder, batches[0], moving)
        found = encoder.encode(batches[0], modality)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)
    for found, batch in zip(encoder.encode_views(views_of(batches)), batches, strict=True):
        np.testing.assert_allclose(found, twin(encoder, batch), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("training", [True, False])
def test_views_are_encoded_each_by_itself(batches, training):
    together, apart = wide_encoder(), wide_encoder()
    found = together.encode_views(views_of(batches), training)
    for latent, view in zip(found, views_of(batches), strict=True):
        expected = apart.encode(view.features, view.modality, training, view.update_statistics)
        np.testing.assert_allclose(latent, expected, rtol=1e-5, atol=1e-5)
    for one, other in zip(together.get_weights(), apart.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize("narrow", [0, 10**9], ids=["by weights", "by products"])
def test_views_move_the_statistics_of_their_modality_or_none(monkeypatch, batches, narrow):
    monkeypatch.setattr(networks, "NARROW", narrow)
    encoder = wide_encoder()
    layer = encoder.normalizations[0]
    expected = np.stack([layer.moving_mean, layer.moving_variance])
    for batch, modality, moves in zip(batches, VIEWS, UPDATES, strict=True):
        if modality is None or not moves:
            continue
        products = batch.numpy().astype(float) @ encoder.denses[0].kernel.numpy()
        seen = np.stack([products.mean(axis=0), products.var(axis=0)])
        row = ("rna", "atac").index(modality)
        expected[:, row] = 0.9 * expected[:, row] + 0.1 * seen
    encoder.encode_views(views_of(batches))
    found = np.stack([layer.moving_mean, layer.moving_variance])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
