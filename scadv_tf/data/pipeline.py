"""Batches for one epoch of Algorithm 1, as a tf.data data set: a pass a phase."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
import tensorflow as tf

from scadv_tf.data.neighbor_lists import partners
from scadv_tf.data.shuffling import Batch, Shard, Table
from scadv_tf.data.training_cells import TrainingCells
from scadv_tf.modalities import MODALITIES

ALONE = Shard()
SMALLEST_BATCH = 32  # fewer cells make the statistics of batch normalisation too noisy


@dataclass(frozen=True)
class Pass:
    """One pass over the cells: `steps` batches of `batch_size` cells of each modality.

    The larger modality's cells come once, but for those that fill up the last batch; the smaller
    one's are used again each time they have been used up. Of very many cells, only a part comes.
    Where cells are weighed, each comes as often as it weighs, rounded up or down at random.
    All batches have one size, so that a step is compiled once, and workers have equal parts.
    """

    steps: int
    batch_size: int

    @classmethod
    def of(
        cls, cells: int, batch_size: int, min_batches: int, workers: int = 1, most_steps: int = 0
    ) -> Pass:
        """The pass that takes batches of about `batch_size`.

        Parameters
        ----------
        cells : of the larger modality.
        min_batches : smaller batches are taken where a pass had fewer, but not below 32 cells: a
            small data set would otherwise see only a handful of steps in the whole training.
        workers : that share each batch.
        most_steps : a pass ends after so many; 0 for none.
        """
        size = min(batch_size, max(SMALLEST_BATCH, math.ceil(cells / min_batches)))
        steps = math.ceil(cells / size)
        size = workers * math.ceil(cells / steps / workers)
        return cls(min(steps, most_steps or steps), size)


class Turns:
    """Which epochs may be made by now.

    Batches are made ahead. Where one epoch follows another without a new iterator, those of the
    next would be made of soft labels that the end of this one is still to change.

    Parameters
    ----------
    first : number of the first epoch.
    """

    def __init__(self, first: int):
        self._last: float = first
        self._changed = threading.Condition()

    def next_after(self, epochs: int, *others: object) -> None:
        """So many epochs are over: the next may be made. A hook of `AtacPredictions`."""
        self._allow(epochs)

    def end(self) -> None:
        """None waits any more."""
        self._allow(math.inf)

    def _allow(self, epoch: float) -> None:
        with self._changed:
            self._last = epoch
            self._changed.notify_all()

    def wait(self, epoch: int) -> None:
        """Returns when this one may be."""
        with self._changed:
            self._changed.wait_for(lambda: epoch <= self._last)


def training_batches(
    cells: TrainingCells,
    rna_rows: np.ndarray,
    rna_labels: np.ndarray,
    atac_soft_labels: np.ndarray,
    one_pass: Pass,
    passes: int,
    seed: int,
    mixing_alpha: float = 0.0,
    with_partners: bool = False,
    shard: Shard = ALONE,
    first_epoch: int = 0,
    turns: Turns | None = None,
) -> tf.data.Dataset:
    """One epoch of batches, newly shuffled each time that the data set is iterated.

    Parameters
    ----------
    rna_rows : sorted rows of the RNA cells to train on.
    rna_labels : type codes int32 [R] of all RNA cells.
    atac_soft_labels : float32 [A, K]. Read when a batch is made, so changes between epochs count.
    passes : phases of an epoch.
    mixing_alpha : both parameters of the Beta distribution of ``mixing_weight``; 0: none is drawn.
    with_partners : whether each ATAC cell comes with one of its neighbours, drawn at random.
    shard : the part of each batch that is made.
    first_epoch : number of the epoch that is iterated first.
    turns : what each epoch waits for; None where an iterator is made for each.

    Returns
    -------
    A data set of dictionaries: ``rna`` [B, D], ``rna_label`` [B], ``atac`` [B, D],
    ``atac_soft_label`` [B, K] and, where asked for, ``atac_partner`` [B, D] and ``mixing_weight``
    [B, 1], of B = batch_size / workers cells.
    """
    source = _Source(cells, rna_rows, rna_labels, atac_soft_labels, with_partners)
    epochs = count(first_epoch)

    def batches() -> Iterator[Batch]:
        epoch = next(epochs)
        if turns:
            turns.wait(epoch)
        for number in range(passes):
            seeds = [seed, epoch, number]
            random = np.random.default_rng(seeds)
            for batch in source.batches(one_pass, seeds, shard):
                if mixing_alpha:
                    batch["mixing_seed"] = random.integers(2**31, size=2, dtype=np.int32)
                yield batch

    size = one_pass.batch_size // shard.count
    types = atac_soft_labels.shape[1]
    signature = _signature(size, cells.feature_size, types, with_partners, mixing_alpha > 0)
    dataset = tf.data.Dataset.from_generator(batches, output_signature=signature)
    if mixing_alpha:
        dataset = dataset.map(_adds_mixing_weight(mixing_alpha, size, shard))
    steps = passes * one_pass.steps
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps)).prefetch(4)
    options = tf.data.Options()
    # There is nothing to tune, and the end of an epoch would wait for the thread that tunes.
    options.autotune.enabled = False
    return dataset.with_options(options)


def _signature(size: int, width: int, types: int, partners: bool, mixing: bool) -> dict:
    """What is drawn for each batch of so many cells: with partners and mixing, or without."""
    features = tf.TensorSpec((size, width), tf.float32)
    signature = {
        "rna": features,
        "rna_label": tf.TensorSpec((size,), tf.int32),
        "atac": features,
        "atac_soft_label": tf.TensorSpec((size, types), tf.float32),
    }
    if partners:
        signature["atac_partner"] = features
    if mixing:
        signature["mixing_seed"] = tf.TensorSpec((2,), tf.int32)
    return signature


class _Source:
    """What batches are read from, and what is made of their rows then."""

    def __init__(
        self,
        cells: TrainingCells,
        rna_rows: np.ndarray,
        rna_labels: np.ndarray,
        soft_labels: np.ndarray,
        with_partners: bool,
    ):
        rna = {"features": cells.features["rna"], "label": rna_labels.astype(np.int32)}
        atac = {"features": cells.features["atac"], "soft_label": soft_labels}
        self.with_partners, self.everyone = with_partners, None
        if with_partners and cells.neighbors is not None:
            atac |= {"near": cells.neighbors.rows, "weights": cells.neighbors.weights}
            self.everyone = cells.features["atac"][:]  # a partner can be any cell
        chosen = rna_rows, np.arange(cells.cells("atac"))
        self.tables = [
            Table(columns, rows, cells.weights(name, rows))
            for columns, rows, name in zip((rna, atac), chosen, MODALITIES, strict=True)
        ]

    def batches(self, one_pass: Pass, seeds: list[int], shard: Shard) -> Iterator[Batch]:
        """Those of one pass; see `training_batches`."""
        sides = [
            table.batches(one_pass.batch_size, one_pass.steps, [*seeds, i], shard)
            for i, table in enumerate(self.tables)
        ]
        for rna, atac in zip(*sides, strict=True):
            batch = {"rna": rna["features"], "rna_label": rna["label"]}
            batch |= {"atac": atac["features"], "atac_soft_label": atac["soft_label"]}
            if self.with_partners:
                batch["atac_partner"] = self._partners(atac)
            yield batch

    def _partners(self, rows: Batch) -> np.ndarray:
        if self.everyone is None:
            return rows["features"]
        drawn = partners(rows["near"], rows["weights"], rows["uniform"])
        return np.where((drawn < 0)[:, None], rows["features"], self.everyone[drawn])


def _adds_mixing_weight(alpha: float, size: int, shard: Shard) -> Callable:
    """Turns ``mixing_seed`` into ``mixing_weight`` ~ Beta(alpha, alpha), one a cell."""
    import tensorflow_probability as tfp

    beta = tfp.distributions.Beta(alpha, alpha)

    def add(batch: dict) -> dict:
        seed = batch.pop("mixing_seed")
        # All workers draw for all cells: so the weights do not depend on how many there are.
        return batch | {"mixing_weight": beta.sample((shard.count, size, 1), seed)[shard.index]}

    return add
