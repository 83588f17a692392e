"""The losses of representation learning: labelled RNA, ATAC structure and type-wise agreement."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import tensorflow as tf

from scadv_tf.models import losses
from scadv_tf.models.layers import View
from scadv_tf.models.phases import Loss, Phase, Step
from scadv_tf.models.replicas import replica_number
from scadv_tf.models.teacher import follow, new_teacher, taught

if TYPE_CHECKING:
    from scadv_tf.models.scadv import ScAdv

STUDENT = ("encoder", "classifier")
CENTER_RATE = 0.5  # share of the way to a batch's mean that centres move (Wen et al. 2016)


def _cross_entropy(step: Step) -> tf.Tensor:
    logits = step.model.classifier(step.latents["rna"])
    smoothing = step.model.loss_config.label_smoothing
    return losses.cross_entropy(step.batch["rna_label"], logits, smoothing)


# Contrastive pairs.


def _atac_copies(model: ScAdv, batch: dict) -> dict[str, View]:
    partner = batch.get("atac_partner", batch["atac"])
    return {"contrastive": View(_copies(model, batch["atac"], partner, 0), "atac", False)}


def _rna_copies(model: ScAdv, batch: dict) -> dict[str, View]:
    copies = _copies(model, batch["rna"], batch["rna"], 1)
    return {"contrastive_rna": View(copies, "rna", False)}


def _copies(model: ScAdv, cells: tf.Tensor, partners: tf.Tensor, stream: int) -> tf.Tensor:
    """Cells and their partners, both [B, D], with noise each: [2B, D].

    The noise follows from the seed, the step, the replica and the number of the stream.
    """
    copies = tf.concat([cells, partners], axis=0)
    first = model.seed + tf.cast(2 * replica_number() + stream, "int64") * 2**32
    seed = tf.stack([first, tf.convert_to_tensor(model.steps_done)])
    # White noise on the genes is white noise on their orthonormal components too.
    return copies + model.loss_config.noise * tf.random.stateless_normal(tf.shape(copies), seed)


def _contrastive(view: str) -> Callable[[Step], tf.Tensor]:
    def compute(step: Step) -> tf.Tensor:
        first, second = tf.split(step.latents[view], 2)
        return losses.contrastive(first, second, step.model.loss_config.temperature)

    return compute


# Interpolation consistency.


def _mixed_cells(model: ScAdv, batch: dict) -> dict[str, View]:
    share = batch["mixing_weight"]
    return {"mixed": View(share * batch["rna"] + (1 - share) * batch["atac"], None)}


def _interpolation(step: Step) -> tf.Tensor:
    model, batch = step.model, step.batch
    rna, atac, share = batch["rna"], batch["atac"], batch["mixing_weight"]
    if model.loss_config.interpolation_target == "scaled_input":
        target = taught(model, share * rna, "rna") + taught(model, (1 - share) * atac, "atac")
    else:
        target = share * taught(model, rna, "rna") + (1 - share) * taught(model, atac, "atac")
    probabilities = tf.nn.softmax(model.classifier(step.latents["mixed"]))
    span = max(model.loss_config.interpolation_rampup, 1e-6)
    rampup = tf.minimum(1.0, model.training_fraction() / span)
    return losses.interpolation(probabilities, target) * rampup


# Agreement of the modalities, type by type.


def _new_centroids(model: ScAdv) -> dict:
    shape = 2, model.types, model.latent_size
    return {
        "centroids": model.new_state(shape, "centroids"),
        "centroids_known": model.new_state(shape[:2], "centroids_known"),
    }


def _centroid(step: Step) -> tf.Tensor:
    groups = [
        (step.latents["rna"], _rna_types(step)),
        (step.latents["atac"], step.batch["atac_soft_label"]),
    ]
    means = losses.means_by_type(groups)
    (rna, rna_known), (atac, atac_known) = (
        _running_centroids(step.model, side, *pair) for side, pair in enumerate(means)
    )
    return losses.centroid(rna, atac, rna_known * atac_known)


def _running_centroids(
    model: ScAdv, side: int, means: tf.Tensor, weight: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Old centroids mixed with the batch's, whose part carries the gradient."""
    seen = tf.cast(weight > 0.5, means.dtype)
    old, known = model.centroids[side], model.centroids_known[side]
    keep = tf.where(known > 0, model.loss_config.centroid_momentum, 0.0)
    rate = ((1 - keep) * seen)[:, None]
    mixed = (1 - rate) * old + rate * means
    known = tf.maximum(known, seen)
    side_row = tf.one_hot(side, 2)
    detached = tf.stop_gradient(mixed)
    model.centroids.assign_add(side_row[:, None, None] * (detached - old))
    model.centroids_known.assign_add(side_row[:, None] * (known - model.centroids_known[side]))
    return mixed, known


def _new_centers(model: ScAdv) -> dict:
    return {"centers": model.new_state((model.types, model.latent_size), "centers")}


def _center(step: Step) -> tf.Tensor:
    model, rna_types = step.model, _rna_types(step)
    rna_latent, atac_latent = step.latents["rna"], step.latents["atac"]
    means, weight = losses.type_means(rna_latent, rna_types)
    present = tf.cast(weight > 0, means.dtype)[:, None]
    model.centers.assign_add(CENTER_RATE * present * (tf.stop_gradient(means) - model.centers))
    probabilities = tf.stop_gradient(tf.nn.softmax(model.classifier(atac_latent)))
    sure = tf.reduce_max(probabilities, axis=1) > model.loss_config.center_confidence
    atac_types = tf.one_hot(tf.argmax(probabilities, axis=1), model.types)
    atac_types *= tf.cast(sure, "float32")[:, None]
    centers = tf.identity(model.centers)
    return losses.center(rna_latent, rna_types, centers) + losses.center(
        atac_latent, atac_types, centers
    )


def _rna_types(step: Step) -> tf.Tensor:
    return tf.one_hot(step.batch["rna_label"], step.model.types)


REPRESENTATION = Phase(
    "representation",
    "optimizer",
    # Without the ATAC pass the normalisation would have no statistics of real ATAC cells.
    ("rna", "atac"),
    (
        Loss("cross_entropy", STUDENT, _cross_entropy),
        Loss("contrastive", ("encoder",), _contrastive("contrastive"), _atac_copies),
        Loss("contrastive_rna", ("encoder",), _contrastive("contrastive_rna"), _rna_copies),
        Loss("interpolation", STUDENT, _interpolation, _mixed_cells, new_teacher, follow),
        Loss("centroid", ("encoder",), _centroid, state=_new_centroids),
        Loss("center", ("encoder",), _center, state=_new_centers),
    ),
)
