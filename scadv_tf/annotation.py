"""What a trained model says of the training cells, and the fit of its readout to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scadv_tf.config import RunConfig
from scadv_tf.data.answers import CellAnswers, most_probable
from scadv_tf.data.linear_guess import VIEW_SHARES
from scadv_tf.data.neighbor_lists import neighbor_mean
from scadv_tf.data.paired_labels import RARE_TYPE_CELLS
from scadv_tf.data.rows import (
    DiskRows,
    JoinedRows,
    Rows,
    blocks,
    some_of_all_types,
    some_rows,
    take,
)
from scadv_tf.data.training_cells import TrainingCells
from scadv_tf.modalities import MODALITIES
from scadv_tf.models.confidence import fit_temperature, type_spread, unknown_threshold
from scadv_tf.models.readout import quantile_knots
from scadv_tf.models.scadv import ScAdv
from scadv_tf.models.soft_labels import final_probabilities
from scadv_tf.not_none import not_none

CELLS_AT_ONCE = 2048
READOUT_CELLS = 50_000  # more move neither quantiles nor covariances
NUMBERS = ("uncertainty", "distance", "novelty")


@dataclass(frozen=True, eq=False)
class Annotation:
    """What a trained model says of the cells of both modalities.

    Attributes
    ----------
    rna : the RNA cells, each by itself. They have labels of their own: those with data are never
        called unknown.
    atac : the ATAC cells, each by itself.
    voted : the same with the vote of their neighbours, which is the answer.
    """

    rna: CellAnswers
    atac: CellAnswers
    voted: CellAnswers

    @property
    def answers(self) -> dict[str, CellAnswers]:
        """Modality -> the answer for its cells."""
        return {"rna": self.rna, "atac": self.voted}

    @property
    def latent(self) -> Rows:
        """RNA cells first [R + A, Z]."""
        parts = self.rna.latent, self.atac.latent
        held = [part for part in parts if isinstance(part, np.ndarray)]
        return np.concatenate(held) if len(held) == len(parts) else JoinedRows(*parts)

    def of_all(self, with_data: dict[str, np.ndarray]) -> Annotation:
        """Also of the cells without data: see `CellAnswers.of_all`, `TrainingCells.with_data`."""
        kept = with_data["atac"]
        return Annotation(
            self.rna.of_all(with_data["rna"]), self.atac.of_all(kept), self.voted.of_all(kept)
        )


def answers(model: ScAdv, features: Rows, modality: str) -> Iterator[tuple[slice, dict]]:
    """Which cells, and what the model says of them, some cells at a time."""
    for start, block in blocks(features, CELLS_AT_ONCE):
        answer = model.encode(block, modality)
        yield slice(start, start + len(block)), {k: v.numpy() for k, v in answer.items()}


def probabilities(model: ScAdv, features: Rows, modality: str) -> np.ndarray:
    """Of the types [cells, K], of each cell by itself."""
    found = np.empty((features.shape[0], model.types), dtype=np.float32)
    for start, block in blocks(features, CELLS_AT_ONCE):
        found[start : start + len(block)] = model.classify(block, modality)
    return found


def encode(
    model: ScAdv,
    features: Rows,
    modality: str,
    latent: DiskRows | np.ndarray | None = None,
    types: tuple[str, ...] = (),
) -> CellAnswers:
    """What the model says of cells, each by itself.

    Parameters
    ----------
    features : [cells, D], see `TrainingCells`.
    latent : where the latent vectors [cells, Z] go; None for an array.
    types : names of the K types; without, there are no labels.
    """
    cells = features.shape[0]
    if latent is None:
        latent = np.empty((cells, model.latent_size), dtype=np.float32)
    each: dict[str, Any] = {
        name: np.empty((cells, *shape), dtype=np.float32)
        for name, shape in {"probabilities": (model.types,), **dict.fromkeys(NUMBERS, ())}.items()
    }
    for part, answer in answers(model, features, modality):
        latent[part] = answer["latent"]
        for name, values in each.items():
            values[part] = answer[name]
    unknown = each["novelty"] > float(model.readout.unknown_threshold)
    label = most_probable(each["probabilities"], types)
    return CellAnswers(latent, unknown=unknown, label=label, **each)


def annotate_cells(
    model: ScAdv, cells: TrainingCells, config: RunConfig, types: tuple[str, ...] = ()
) -> Annotation:
    """The answer for the training cells, those of the data that have data.

    ``annotate_cells(…).of_all(cells.with_data)`` is that for all cells of the data.

    Parameters
    ----------
    types : names of the K types; without, there are no labels.
    """

    def encoded(modality: str) -> CellAnswers:
        latent = cells.table(f"{modality}_latent", cells.cells(modality), model.latent_size)
        return encode(model, cells.features[modality], modality, latent, types)

    rna, atac = (encoded(modality) for modality in MODALITIES)
    rna = replace(rna, unknown=np.zeros_like(rna.unknown))
    return Annotation(rna, atac, _voted(atac, model, cells, config, types))


def _voted(
    alone: CellAnswers,
    model: ScAdv,
    cells: TrainingCells,
    config: RunConfig,
    types: tuple[str, ...],
) -> CellAnswers:
    """The ATAC cells with the vote of their neighbours; `linear` is the linear guess of them."""
    vote, neighbors = config.evaluation.neighbor_vote, cells.neighbors
    probabilities = final_probabilities(not_none(alone.probabilities), neighbors, vote)
    novelty = neighbor_mean(not_none(alone.novelty), neighbors)
    unknown = novelty > float(model.readout.unknown_threshold)
    routes = {}
    if types and cells.balance is not None:
        linear = cells.balance.guess.voted(cells.features["atac"], neighbors)
        routes["linear"] = np.asarray(most_probable(linear, types), dtype=object)
    label = most_probable(probabilities, types)
    return CellAnswers(alone.latent, probabilities, novelty, unknown, label, routes)


def join_linear(model: ScAdv, cells: TrainingCells, config: RunConfig) -> None:
    """Lets the linear guess take part in the model's answers.

    Of those that it learns from, too: soft labels are its answers, and a network that learns from
    its own alone can drift with them (see docs/decisions.md).
    """
    if cells.balance is not None and config.training.supervised:
        parts = cells.balance.guess.parts
        kernels, biases = [part.coefficients for part in parts], [part.offsets for part in parts]
        shares = config.evaluation.linear_share * np.array(VIEW_SHARES)
        model.readout.set_linear(kernels, biases, shares)


def fit_readout(
    model: ScAdv,
    cells: TrainingCells,
    rna_labels: np.ndarray,
    held_out: np.ndarray,
    config: RunConfig,
) -> None:
    """Fits the model's readout: temperature, novelty and its threshold, maps of latent vectors.

    Starts from a readout that says nothing, so that a second fit gives what the first one gave. Of
    each modality, and of the held-out cells, `READOUT_CELLS` random ones are looked at, and some of
    each RNA type.

    Parameters
    ----------
    rna_labels : type codes [R] of the training cells.
    held_out : rows of the RNA cells that were not trained on, ascending; without any, the
        probabilities stay as they are and no cell is unknown.
    """
    readout, seed = model.readout, config.training.seed
    readout.reset()
    join_linear(model, cells, config)
    rows = {
        "rna": some_of_all_types(rna_labels, READOUT_CELLS, seed, RARE_TYPE_CELLS),
        "atac": some_rows(cells.cells("atac"), READOUT_CELLS, seed),
    }
    features = {name: take(cells.features[name], rows[name]) for name in MODALITIES}
    labels = rna_labels[rows["rna"]]
    held_out = held_out[some_rows(len(held_out), READOUT_CELLS, seed)]
    held_out_features = take(cells.features["rna"], held_out)
    centers, variances = type_spread(features["rna"], labels, readout.types)
    readout.centers.assign(centers)
    readout.variances.assign(variances)
    logits = [answer["logits"] for _, answer in answers(model, held_out_features, "rna")]
    temperature = fit_temperature(np.concatenate(logits), rna_labels[held_out]) if logits else 1.0
    readout.temperature.assign(temperature)
    rna, atac = (encode(model, features[name], name) for name in MODALITIES)
    reference = encode(model, held_out_features, "rna") if len(held_out) else rna
    readout.uncertainty_knots.assign(quantile_knots(not_none(reference.uncertainty)))
    distances = [quantile_knots(not_none(found.distance)) for found in (rna, atac)]
    readout.distance_knots.assign(distances)
    novelty = encode(model, held_out_features, "rna").novelty
    share = config.evaluation.unknown_share
    readout.unknown_threshold.assign(unknown_threshold(not_none(novelty), share))
    if config.evaluation.align_latent:
        weights = tuple(cells.weights(name, rows[name]) for name in MODALITIES)
        spaces = rna.latent, labels, atac.latent, atac.probabilities
        readout.alignment.fit(*spaces, seed, weights)
