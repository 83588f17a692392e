"""The route of a new ATAC cell, in dense NumPy and double precision, and ways to give cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

LARGEST_VALUE = 10.0


def logged(counts) -> np.ndarray:
    """Dense log(1 + counts per 10,000)."""
    counts = counts.toarray().astype(float)
    return np.log1p(1e4 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-12))


def standardized(values: np.ndarray, reference: np.ndarray, weights=None) -> np.ndarray:
    """Z-scores by the columns of the reference, of cells of equal or given weights."""
    mean = np.average(reference, axis=0, weights=weights)
    deviation = np.sqrt(np.average(np.square(reference - mean), axis=0, weights=weights))
    return (values - mean) / np.where(deviation < 1e-6, 1, deviation)


def cut(values: np.ndarray) -> np.ndarray:
    return np.clip(values, -LARGEST_VALUE, LARGEST_VALUE)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def semantic(index, counts) -> np.ndarray:
    """Latent semantic vectors of cells by the features that are open."""
    opened = (counts.toarray() > 0).astype(float)
    frequency = opened / np.maximum(opened.sum(axis=1, keepdims=True), 1)
    return (np.log1p(1e4 * frequency) * index.inverse_frequency) @ index.components.astype(float)


def jaccard(first: set, second: set) -> float:
    return len(first & second) / len(first | second)


def averaging(lists: np.ndarray) -> np.ndarray:
    """Weights [A, A] of training cells among themselves, by Python sets."""
    sets = [set(row) for row in lists.tolist()]
    weights = np.zeros((len(sets), len(sets)))
    for row, own in enumerate(sets):
        for column in own:
            weights[row, column] = jaccard(own, sets[column])
    return weights / weights.sum(axis=1, keepdims=True)


def averaging_of_new(nearest: np.ndarray, lists: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights of new cells: their own [B, 1], and those of the training cells [B, A]."""
    sets = [set(row) for row in lists.tolist()]
    weights = np.zeros((len(nearest), len(sets)))
    for row, found in enumerate(nearest.tolist()):
        for column in found:
            weights[row, column] = jaccard({"the new cell", *found}, sets[column])
    total = 1 + weights.sum(axis=1, keepdims=True)
    return 1 / total, weights / total


@dataclass(frozen=True)
class AtacTwin:
    """How new ATAC cells are answered, from the training counts and what was fitted to them.

    Attributes
    ----------
    trained : see conftest.
    rows : the training cells that are kept.
    """

    trained: object
    rows: np.ndarray

    @property
    def counts(self):
        """Counts of the training cells in the chosen genes [A, G]."""
        chosen = np.isin(self.trained.data.genes, self.trained.cells.preprocessor.genes)
        return self.trained.data.atac[:, chosen]

    @property
    def lists(self) -> np.ndarray:
        """Each training cell and its neighbours among all [A, k]."""
        rows = self.trained.cells.neighbors.rows
        return np.hstack([np.arange(len(rows))[:, None], rows])

    def features(self, counts, peaks) -> np.ndarray:
        """Vectors by which cells are near each other [B, F]."""
        space = self.trained.cells.preprocessor.reference.space
        training = logged(self.counts)
        components = space.gene_components.astype(float)
        projected = cut(standardized(training, training)) @ components
        joint = cut(standardized(logged(counts), training)) @ components
        joint = cut(standardized(joint, projected))
        kind, given = ("genes", counts) if peaks is None else ("peaks", peaks)
        return np.hstack([unit(semantic(space.indices[kind], given)), unit(joint)])

    def weights(self, counts, peaks) -> tuple[np.ndarray, np.ndarray]:
        """Weights of new cells [B, 1] and, of the kept training cells, [B, A]."""
        data, lists = self.trained.data, self.lists
        queries = unit(self.features(counts, peaks))
        kept = unit(self.features(self.counts, None if peaks is None else data.peaks)[self.rows])
        if len(self.rows) < len(lists):
            own = unit(self.features(self.counts, data.peaks)[self.rows])
            lists = most_similar(own, own, min(lists.shape[1], len(self.rows)))
        return averaging_of_new(most_similar(queries, kept, lists.shape[1] - 1), lists)

    def network_input(self, counts, weights) -> np.ndarray:
        """Averaged genes, standardised but not cut, on the joint components [B, D]."""
        averages = self.trained.cells.preprocessor.averages
        level, mean = logged(self.counts), averaging(self.lists)
        values = logged(counts)
        for _ in range(averages):
            values = weights[0] * values + weights[1] @ level[self.rows]
            level = mean @ level
        scaled = standardized(values, level, self.trained.cells.weights("atac"))
        if not averages:
            scaled = cut(scaled)
        components = self.trained.cells.preprocessor.components
        return scaled if components is None else scaled @ components

    def answer(self, counts, peaks=None) -> dict[str, np.ndarray]:
        """What `ServedModel.annotate` should say."""
        weights = self.weights(counts, peaks)
        found = network_answer(self.trained.served.model, self.network_input(counts, weights))
        vote, of_training = self.trained.served.neighbor_vote, self.trained.annotation.atac
        voted = weights[0] * found["probabilities"]
        voted = voted + weights[1] @ of_training.probabilities[self.rows]
        probabilities = (1 - vote) * found["probabilities"] + vote * voted
        novelty = weights[0][:, 0] * found["novelty"]
        novelty = novelty + weights[1] @ of_training.novelty[self.rows]
        answer = found | {"probabilities": probabilities, "novelty": novelty}
        return floored(self.trained, answer, self.is_empty(counts, peaks))

    def is_empty(self, counts, peaks) -> np.ndarray:
        """Whether new cells open fewer than a twentieth of a typical training cell's features."""

        def opened(*parts):
            return sum((part.toarray() > 0).sum(axis=1) for part in parts)

        averaged = self.trained.cells.preprocessor.averages > 0
        if peaks is None or not averaged:
            return opened(counts) < least_open(opened(self.counts))
        return opened(counts, peaks) < least_open(opened(self.counts, self.trained.data.peaks))


def least_open(opened: np.ndarray) -> int:
    """Of every open feature, the number in its cell; a twentieth of the larger half's least."""
    of_each = np.sort(np.repeat(opened, opened))[::-1]
    return max(1, of_each[(len(of_each) - 1) // 2] // 20)


def floored(trained, answer: dict, empty: np.ndarray) -> dict[str, np.ndarray]:
    """An answer of the trained layers as a served model gives it: empty cells are unknown."""
    names = "latent", "probabilities", "novelty"
    latent, probabilities, novelty = (answer[name].copy() for name in names)
    latent[empty], probabilities[empty], novelty[empty] = 0, 1 / len(trained.data.types), 1
    unknown = novelty > float(trained.served.model.readout.unknown_threshold)
    return {
        "latent": latent,
        "probabilities": probabilities,
        "label": np.array(trained.data.types)[probabilities.argmax(axis=1)],
        "confidence": probabilities.max(axis=1),
        "novelty": novelty,
        "unknown": unknown | empty,
    }


def most_similar(queries: np.ndarray, reference: np.ndarray, count: int) -> np.ndarray:
    """The `count` reference cells of largest cosine; no tie may decide, as rounding would."""
    similarity = queries @ reference.T
    order = np.argsort(-similarity, axis=1)
    ranked = np.take_along_axis(similarity, order, axis=1)
    told = np.abs(queries).max(axis=1) > 0
    if count < len(reference):
        assert (ranked[told, count - 1] - ranked[told, count]).min() > 1e-6
    return order[:, :count]


def network_answer(model, features: np.ndarray) -> dict[str, np.ndarray]:
    """What the trained layers and the readout say of ATAC cells in front of them [B, D]."""
    features = tf.constant(features, tf.float32)
    latent = model.encoder.encode(features, "atac")
    answer = model.readout(latent, model.classifier(latent), features, modality="atac")
    return {name: values.numpy() for name, values in answer.items()}


def training_answer(trained) -> dict[str, np.ndarray]:
    """What training said of the RNA cells, as `ServedModel.annotate` should say it."""
    known, readout = trained.annotation.rna, trained.served.model.readout
    return {
        "latent": known.latent,
        "probabilities": known.probabilities,
        "label": np.array(trained.data.types)[known.probabilities.argmax(axis=1)],
        "confidence": known.probabilities.max(axis=1),
        "novelty": known.novelty,
        "unknown": known.novelty > float(readout.unknown_threshold),
    }


def dense(counts) -> dict[str, tf.Tensor]:
    """The argument of a dense signature."""
    return {"counts": tf.constant(counts.toarray(), tf.float32)}


def entries(counts, peaks=None) -> dict[str, tf.Tensor]:
    """The arguments of a sparse signature, with open peaks where there are some."""
    matrix = counts.tocoo()
    arguments = {
        "cell_index": tf.constant(matrix.row, tf.int64),
        "gene_index": tf.constant(matrix.col, tf.int64),
        "count": tf.constant(matrix.data, tf.float32),
        "number_of_cells": tf.constant(counts.shape[0], tf.int64),
    }
    if peaks is not None:
        matrix = (peaks > 0).tocoo()
        arguments["peak_cell_index"] = tf.constant(matrix.row, tf.int64)
        arguments["peak_index"] = tf.constant(matrix.col, tf.int64)
    return arguments


def opened(peaks) -> tf.SparseTensor:
    """The open peaks of cells, as `ServedModel.annotate` takes them."""
    return tf.sparse.from_dense(tf.constant((peaks > 0).toarray(), tf.float32))


def values_of(answer: dict) -> dict[str, np.ndarray]:
    """An answer in NumPy, labels as text."""
    found = {name: np.asarray(values) for name, values in answer.items()}
    if "label" in found:
        found["label"] = np.array([label.decode() for label in found["label"]], dtype=str)
    return found
