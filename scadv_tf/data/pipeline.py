"""Batches for one epoch of Algorithm 1, as a tf.data data set: a pass a phase."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from scadv_tf.data.preprocessing import TrainingCells

SMALLEST_BATCH = 32  # fewer cells make the statistics of batch normalisation too noisy


def fitting_batch_size(cells: TrainingCells, batch_size: int, min_batches: int) -> int:
    """The batch size that gives a pass `min_batches` batches, within [32, `batch_size`].

    A small data set would otherwise see only a handful of steps in the whole training.
    """
    largest = max(cells.cells("rna"), cells.cells("atac"))
    return min(batch_size, max(SMALLEST_BATCH, math.ceil(largest / min_batches)))


def steps_of_pass(cells: TrainingCells, batch_size: int) -> int:
    """Batches that cover every cell of the larger modality once."""
    return math.ceil(max(cells.cells("rna"), cells.cells("atac")) / batch_size)


def pass_rows(
    rna_cells: int, atac_cells: int, batch_size: int, random: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Row numbers of both modalities, a pair of equally long arrays a batch.

    The larger modality is shuffled and each of its cells comes once; the smaller one is shuffled
    again each time it has been used up. Batches differ by one cell at most, so that there is never
    a last batch of one cell (batch normalisation would make all its values equal), and no cell is
    dropped.
    """
    longest = max(rna_cells, atac_cells)

    def shuffled(cells: int) -> np.ndarray:
        rounds = math.ceil(longest / cells)
        return np.concatenate([random.permutation(cells) for _ in range(rounds)])[:longest]

    batches = math.ceil(longest / batch_size)
    rna, atac = shuffled(rna_cells), shuffled(atac_cells)
    yield from zip(np.array_split(rna, batches), np.array_split(atac, batches), strict=True)


def training_batches(
    cells: TrainingCells,
    rna_labels: np.ndarray,
    atac_soft_labels: np.ndarray,
    batch_size: int,
    passes: int,
    seed: int,
    mixing_alpha: float = 0.0,
    partners: bool = False,
) -> tf.data.Dataset:
    """One epoch of batches, newly shuffled each time that the data set is iterated.

    Parameters
    ----------
    rna_labels : type codes int32 [R].
    atac_soft_labels : float32 [A, K]; read when a batch is made, so changes between epochs count.
    passes : phases of an epoch.
    mixing_alpha : both parameters of the Beta distribution of ``mixing_weight``; 0: none is drawn.
    partners : whether each ATAC cell comes with one of its neighbours, drawn at random.

    Returns
    -------
    A data set of dictionaries: ``rna`` [B, G], ``rna_label`` [B], ``atac`` [B, G],
    ``atac_soft_label`` [B, K] and, where asked for, ``atac_partner`` [B, G] and ``mixing_weight``
    [B, 1].
    """
    counts = cells.cells("rna"), cells.cells("atac")
    epochs = iter(range(1_000_000_000))

    def batches():
        random = np.random.default_rng([seed, next(epochs)])
        for _ in range(passes):
            for rna, atac in pass_rows(*counts, batch_size, random):
                batch = {
                    "rna": cells.batch("rna", rna),
                    "rna_label": rna_labels[rna],
                    "atac": cells.batch("atac", atac),
                    "atac_soft_label": atac_soft_labels[atac],
                }
                if partners:
                    batch["atac_partner"] = cells.batch("atac", cells.partners(atac, random))
                yield batch

    genes = len(cells.preprocessor.genes)
    signature = {
        "rna": tf.TensorSpec((None, genes), tf.float32),
        "rna_label": tf.TensorSpec((None,), tf.int32),
        "atac": tf.TensorSpec((None, genes), tf.float32),
        "atac_soft_label": tf.TensorSpec((None, atac_soft_labels.shape[1]), tf.float32),
    }
    if partners:
        signature["atac_partner"] = signature["atac"]
    dataset = tf.data.Dataset.from_generator(batches, output_signature=signature)
    if mixing_alpha:
        dataset = _with_mixing_weight(dataset, mixing_alpha, seed)
    steps = passes * steps_of_pass(cells, batch_size)
    return dataset.apply(tf.data.experimental.assert_cardinality(steps)).prefetch(4)


def _with_mixing_weight(dataset: tf.data.Dataset, alpha: float, seed: int) -> tf.data.Dataset:
    """Adds ``mixing_weight`` ~ Beta(alpha, alpha), one a cell, with a new seed each batch."""
    import tensorflow_probability as tfp

    beta = tfp.distributions.Beta(alpha, alpha)

    def add(seeds, batch):
        cells = tf.shape(batch["rna"])[0]
        return {**batch, "mixing_weight": beta.sample((cells, 1), seed=tf.cast(seeds, tf.int32))}

    seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2)
    seeds = seeds.map(lambda pair: tf.bitwise.bitwise_and(pair, 2**31 - 1))
    return tf.data.Dataset.zip(seeds, dataset).map(add)
