"""What a trained model says of the training cells, and the fit of its readout to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scadv_tf.config import RunConfig
from scadv_tf.data.preprocessing import MODALITIES, TrainingCells
from scadv_tf.models.confidence import fit_temperature, type_spread, unknown_threshold
from scadv_tf.models.readout import KNOTS, sharpened
from scadv_tf.models.scadv import ScAdv
from scadv_tf.models.soft_labels import final_probabilities, neighbor_mean
from scadv_tf.models.type_maps import fit_type_maps

PREDICTION_BATCH = 2048


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


def _batches(cells: TrainingCells, modality: str) -> Iterator[np.ndarray]:
    for start in range(0, cells.cells(modality), PREDICTION_BATCH):
        yield cells.batch(modality, slice(start, start + PREDICTION_BATCH))


def encode(model: ScAdv, cells: TrainingCells, modality: str) -> Encoded:
    """What the model says of all training cells of a modality."""
    parts = [model.encode(batch, modality) for batch in _batches(cells, modality)]
    names = [field.name for field in dataclasses.fields(Encoded)]
    return Encoded(*(np.concatenate([part[name] for part in parts]) for name in names))


def annotate(model: ScAdv, cells: TrainingCells, config: RunConfig) -> Annotation:
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

    Parameters
    ----------
    rna_labels : type codes [R].
    held_out : rows of the RNA cells that were not trained on; without any, the probabilities stay
        as they are and no cell is unknown.
    """
    readout = model.readout
    features = [np.asarray(model.encoder.project(batch)) for batch in _batches(cells, "rna")]
    spread = type_spread(np.concatenate(features), rna_labels, readout.types)
    _assign((readout.centers, readout.variances), spread)
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
        shares = np.eye(readout.types)[rna_labels], np.asarray(sharpened(atac.probabilities))
        maps = fit_type_maps(rna.latent, shares[0], atac.latent, shares[1])
        _assign((readout.matrices, readout.offsets), maps)


def _quantiles(values: np.ndarray) -> np.ndarray:
    return np.quantile(values, np.linspace(0, 1, KNOTS))


def _assign(states: tuple, values: tuple) -> None:
    for state, value in zip(states, values, strict=True):
        state.assign(value)
