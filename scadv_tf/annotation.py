"""What a trained model says of the training cells, and the fit of its readout to them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from scadv_tf.config import RunConfig
from scadv_tf.data.preprocessing import MODALITIES, TrainingCells
from scadv_tf.models.confidence import fit_temperature, type_spread, unknown_threshold
from scadv_tf.models.readout import KNOTS
from scadv_tf.models.scadv import ScAdv
from scadv_tf.models.soft_labels import final_probabilities, neighbor_mean

HAIR = 1e-4


@dataclass(frozen=True, eq=False)
class Encoded:
    """What a trained model says of each cell by itself; see `Readout`.

    Attributes
    ----------
    latent : [cells, Z].
    logits, probabilities : of the types [cells, K].
    uncertainty, distance, novelty : [cells].
    """

    latent: np.ndarray
    logits: np.ndarray
    probabilities: np.ndarray
    uncertainty: np.ndarray
    distance: np.ndarray
    novelty: np.ndarray


@dataclass(frozen=True, eq=False)
class Annotation:
    """What a trained model says of all cells, the ATAC cells with the vote of their neighbours.

    Attributes
    ----------
    rna, atac : each cell by itself.
    probabilities : of the ATAC cells [A, K], joined by their neighbours'.
    novelty : of the ATAC cells [A], the mean over their neighbours.
    unknown : bool [A], whether that is above the threshold.
    """

    rna: Encoded
    atac: Encoded
    probabilities: np.ndarray
    novelty: np.ndarray
    unknown: np.ndarray

    @property
    def latent(self) -> np.ndarray:
        """RNA cells first [R + A, Z]."""
        return np.concatenate([self.rna.latent, self.atac.latent])


def encode(model: ScAdv, cells: TrainingCells, modality: str) -> Encoded:
    """What the model says of all training cells of a modality."""
    parts = [model.encode(batch, modality) for batch in cells.batches(modality)]
    names = [field.name for field in dataclasses.fields(Encoded)]
    return Encoded(*(np.concatenate([part[name] for part in parts]) for name in names))


def annotate_cells(model: ScAdv, cells: TrainingCells, config: RunConfig) -> Annotation:
    """The answer for all training cells."""
    rna, atac = (encode(model, cells, modality) for modality in MODALITIES)
    vote, weights = config.evaluation.neighbor_vote, cells.neighbor_weights
    novelty = neighbor_mean(atac.novelty, weights)
    return Annotation(
        rna,
        atac,
        final_probabilities(atac.probabilities, weights, vote),
        novelty,
        novelty > float(model.readout.unknown_threshold),
    )


def fit_readout(
    model: ScAdv,
    cells: TrainingCells,
    rna_labels: np.ndarray,
    held_out: np.ndarray,
    config: RunConfig,
) -> None:
    """Fits the model's readout: temperature, novelty and its threshold, maps of latent vectors.

    Starts from a readout that says nothing, so that a second fit gives what the first one gave.

    Parameters
    ----------
    rna_labels : type codes [R].
    held_out : rows of the RNA cells that were not trained on; without any, the probabilities stay
        as they are and no cell is unknown.
    """
    readout = model.readout
    readout.reset()
    features = [np.asarray(model.encoder.project(batch)) for batch in cells.batches("rna")]
    centers, variances = type_spread(np.concatenate(features), rna_labels, readout.types)
    readout.centers.assign(centers)
    readout.variances.assign(variances)
    logits = encode(model, cells, "rna").logits
    readout.temperature.assign(fit_temperature(logits[held_out], rna_labels[held_out]))
    rna, atac = (encode(model, cells, modality) for modality in MODALITIES)
    reference = held_out if len(held_out) else slice(None)
    readout.uncertainty_knots.assign(_quantiles(rna.uncertainty[reference]))
    readout.distance_knots.assign([_quantiles(rna.distance), _quantiles(atac.distance)])
    novelty = encode(model, cells, "rna").novelty[held_out]
    share = config.evaluation.unknown_share
    readout.unknown_threshold.assign(unknown_threshold(novelty, share))
    if config.evaluation.align_latent:
        seed = config.training.seed
        readout.alignment.fit(rna.latent, rna_labels, atac.latent, atac.probabilities, seed)


def _quantiles(values: np.ndarray) -> np.ndarray:
    # Some are values of cells: a hair above these, rounding does not move the cells by a rank.
    return np.quantile(values, np.linspace(0, 1, KNOTS)) * (1 + HAIR)
