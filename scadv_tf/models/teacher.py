"""The teacher of interpolation consistency: encoder and classifier, a moving average behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

from scadv_tf.models.networks import DenseNetwork, Encoder, built

if TYPE_CHECKING:
    from scadv_tf.models.scadv import ScAdv


def new_teacher(model: ScAdv) -> dict:
    """Two networks that equal the model's; no gradient moves them."""
    new = Encoder(model.network.encoder_sizes, name="teacher_encoder")
    encoder = built(new, model.feature_size)
    classifier = built(DenseNetwork(model.types, name="teacher_classifier"), model.latent_size)
    encoder.trainable = classifier.trainable = False
    for teacher, student in _pairs(model, encoder, classifier):
        teacher.assign(student)
    return {"teacher_encoder": encoder, "teacher_classifier": classifier}


def taught(model: ScAdv, features: tf.Tensor, modality: str) -> tf.Tensor:
    """The teacher's probabilities [B, K] of cells [B, D]."""
    latent = model.teacher_encoder.encode(features, modality)
    return tf.nn.softmax(model.teacher_classifier(latent))


def follow(model: ScAdv) -> None:
    """Moves the teacher; its momentum warms up, so it is never far behind a young student."""
    steps = tf.cast(model.steps_done, "float32")
    momentum = tf.minimum(1 - 1 / (steps + 1), model.loss_config.teacher_momentum)
    for old, new in _pairs(model, model.teacher_encoder, model.teacher_classifier):
        # In this form equal weights stay equal to the last bit.
        old.assign_add((1 - momentum) * (new - old))


def _pairs(model: ScAdv, encoder: Encoder, classifier: DenseNetwork) -> zip:
    """Each variable of the teacher with the student's; the teacher needs no projection."""
    student = model.encoder.trained_weights() + model.classifier.weights
    return zip(encoder.trained_weights() + classifier.weights, student, strict=True)
