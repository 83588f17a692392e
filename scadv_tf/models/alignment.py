"""The losses of modality alignment: two discriminators, and the cycle through generated ATAC."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

from scadv_tf.models import losses
from scadv_tf.models.layers import View
from scadv_tf.models.phases import Loss, Phase, Step

if TYPE_CHECKING:
    from scadv_tf.models.scadv import ScAdv


def reversal_factor(model: ScAdv) -> tf.Tensor:
    """``2 / (1 + exp(-10 p)) - 1`` of the share p of training done (Ganin et al. 2016)."""
    return model.reversal_strength * (2.0 / (1.0 + tf.exp(-10.0 * model.training_fraction())) - 1.0)


def _atac_cells(model: ScAdv, batch: dict) -> dict[str, View]:
    return {"atac": View(batch["atac"], "atac")}


def _modality_adversarial(step: Step) -> tf.Tensor:
    logits = (_modality_logits(step.model, step.latents[name]) for name in ("rna", "atac"))
    return losses.adversarial(*logits)


def _modality_logits(model: ScAdv, latent: tf.Tensor) -> tf.Tensor:
    reversed_latent = model.reversal(latent, strength=reversal_factor(model))
    if model.network.discriminator_condition == "types":
        # The outer product with the predicted types (Long et al. 2018): a discriminator a type.
        types = tf.stop_gradient(tf.nn.softmax(model.classifier(latent)))
        outer = types[:, :, None] * reversed_latent[:, None, :]
        reversed_latent = tf.reshape(outer, (-1, model.types * latent.shape[-1]))
    return model.modality_discriminator(reversed_latent)


def _atac_adversarial(step: Step) -> tf.Tensor:
    model = step.model
    generated = model.reversal(step.generated, strength=reversal_factor(model))
    return losses.adversarial(
        model.atac_discriminator(step.batch["atac"]), model.atac_discriminator(generated)
    )


def _cycle(step: Step) -> tf.Tensor:
    cycled = step.encode({"cycled": View(step.generated, "atac", False)})["cycled"]
    return losses.cycle(cycled, step.latents["rna"])


ALIGNMENT = Phase(
    "alignment",
    "alignment_optimizer",
    ("rna",),
    (
        Loss(
            "modality_adversarial",
            ("encoder", "modality_discriminator"),
            _modality_adversarial,
            _atac_cells,
        ),
        Loss("atac_adversarial", ("encoder", "atac_discriminator", "generator"), _atac_adversarial),
        Loss("cycle", ("encoder", "generator"), _cycle),
    ),
)
