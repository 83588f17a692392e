"""The contrastive loss on RNA copies: what goes in, and which networks it moves."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from steps import losses_of

NOISELESS = {"noise": 0.0, "temperature": 0.3}


def latent_of(model, cells, modality):
    return model.encoder.encode(cells, modality, training=True, update_statistics=False).numpy()


def nt_xent(first, second, temperature):
    """By its formula, a cell at a time."""
    copies = np.concatenate([first, second]).astype(float)
    # ReLU leaves some latent vectors without any length.
    copies /= np.maximum(np.linalg.norm(copies, axis=1, keepdims=True), 1e-12)
    cells, values = len(first), []
    for own in range(2 * cells):
        similar = np.exp(copies @ copies[own] / temperature)
        partner = (own + cells) % (2 * cells)
        values.append(-np.log(similar[partner] / (similar.sum() - similar[own])))
    return np.mean(values)


def test_the_loss_is_that_of_each_rna_cell_with_its_own_copy(make_model, make_batch):
    model, batch = make_model(("contrastive_rna",), **NOISELESS), make_batch()
    values = losses_of(model, "representation", batch)
    latent = latent_of(model, batch["rna"], "rna")
    assert values.keys() == {"contrastive_rna"}
    np.testing.assert_allclose(values["contrastive_rna"], nt_xent(latent, latent, 0.3), rtol=1e-4)


def test_the_copies_are_drawn_apart(make_model, make_batch):
    """Copies with the same noise would find each other as easily as copies without any."""
    batch, found = make_batch(cells=64), {}
    for noise in (0.0, 5.0):
        model = make_model(("contrastive_rna",), noise=noise, temperature=0.3)
        found[noise] = float(losses_of(model, "representation", batch)["contrastive_rna"])
    assert found[5.0] > found[0.0] + 0.5


@pytest.mark.parametrize("name", ["contrastive", "contrastive_rna"])
def test_each_modality_has_its_own_loss(make_model, make_batch, name):
    batch = make_batch()
    modality = "rna" if name == "contrastive_rna" else "atac"
    other = "atac" if modality == "rna" else "rna"
    model = make_model((name,), **NOISELESS)
    before = float(losses_of(model, "representation", batch)[name])
    changed = {key: value + 1 for key, value in batch.items() if key.startswith(other)}
    assert float(losses_of(model, "representation", batch | changed)[name]) == pytest.approx(before)
    cells = tf.constant(np.random.default_rng(9).normal(size=batch[modality].shape), tf.float32)
    assert float(losses_of(model, "representation", batch | {modality: cells})[name]) != before


def test_copies_leave_no_trace_in_the_statistics(make_model, make_batch):
    batch, kept = make_batch(), []
    for names in (("contrastive_rna",), ("contrastive",)):
        model = make_model(names, noise=3.0)
        losses_of(model, "representation", batch)
        kept.append([layer.moving_mean.numpy() for layer in model.encoder.normalizations])
    for first, second in zip(*kept, strict=True):
        np.testing.assert_array_equal(first, second)


def test_only_the_encoder_gets_a_gradient(make_model, make_batch):
    model, batch = make_model(("contrastive_rna",)), make_batch()
    (phase,) = model.phases
    variables = model.variables_of(phase)
    assert {id(v) for v in variables} == {id(v) for v in model.encoder.trainable_variables}
    with tf.GradientTape() as tape:
        value = losses_of(model, "representation", batch)["contrastive_rna"]
    gradients = tape.gradient(value, model.trainable_variables)
    reached = {
        id(variable)
        for variable, gradient in zip(model.trainable_variables, gradients, strict=True)
        if gradient is not None
    }
    assert reached == {id(v) for v in variables}
    assert all(np.any(tape_free != 0) for tape_free in gradients if tape_free is not None)
