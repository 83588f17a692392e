"""The training's ATAC cells as a served model keeps them: what denoises and outvotes new cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from scadv_tf.data.lsi import LatentSemanticIndex
from scadv_tf.data.neighbor_space import Reference
from scadv_tf.data.normalization import unit_rows
from scadv_tf.serving.arrays import FixedScale, constant, without_offsets


@dataclass(frozen=True)
class Neighbors:
    """Training cells near new ones, and how they are averaged.

    Attributes
    ----------
    rows : int32 [B, k - 1] of the kept training cells.
    weights : float32 [B, k - 1].
    own : float32 [B], the weight of the new cell itself; it and its neighbours' sum to 1.
    """

    rows: tf.Tensor
    weights: tf.Tensor
    own: tf.Tensor

    def mean(self, own_values: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        """Weighted means [B, W] of the new cells' values [B, W] and the kept cells' [A, W]."""
        others = tf.einsum("bk,bkw->bw", self.weights, tf.gather(values, self.rows))
        return self.own[:, None] * own_values + others


class ReferenceCells(tf.Module):
    """Finds the nearest training cells of new ATAC cells, as the training found its own.

    Nearest: cosine similarity of the semantic index and of the joint components (see
    `scadv_tf.data.neighbor_space`). A new cell has no list of neighbours of its own but these, and
    a neighbour weighs the Jaccard index of both lists.

    Parameters
    ----------
    reference : the training cells that are kept.
    answers : what the model says of them by themselves: probabilities [M, K], novelty [M].
    """

    def __init__(self, reference: Reference, answers: tuple[np.ndarray, np.ndarray]):
        super().__init__()
        space = reference.space
        self.count = len(reference.rows)
        self.indices = {kind: ServedIndex(index) for kind, index in space.indices.items()}
        self.offsets = {name: constant(found) for name, found in space.offsets.items()}
        self.features = {k: constant(unit_rows(v)) for k, v in reference.vectors.items()}
        self.gene_scale = FixedScale(space.gene_scale)
        self.component_scale = FixedScale(space.component_scale)
        self.gene_components = constant(space.gene_components)
        self.lists = tf.Variable(reference.lists.astype(np.int32), trainable=False)
        self.levels = [constant(level) for level in reference.levels]
        self.probabilities, self.novelty = (constant(values) for values in answers)

    @property
    def peaks(self) -> int:
        """The number P of peaks that tell cells apart; 0 if the training had none."""
        return self.indices["peaks"].size if "peaks" in self.indices else 0

    def neighbors(
        self,
        logged: tf.Tensor,
        open_peaks: tf.SparseTensor | None = None,
        members: tf.Tensor | None = None,
    ) -> Neighbors:
        """The kept training cells nearest to new ones.

        Parameters
        ----------
        logged : log-normalised genes [B, G].
        open_peaks : sparse tensor [B, P] of ones; None to go by the genes.
        members : 1 for each cell's batch [B, batches]; None for cells of no batch.
        """
        kind = "genes" if open_peaks is None else "peaks"
        joint = self.gene_scale.apply(logged) @ self.gene_components
        joint = without_offsets(joint, members, self.offsets.get("components"))
        joint = self.component_scale.apply(joint)
        queries = _unit_rows(joint)
        if self.indices:
            semantic = self._semantic(kind, logged, open_peaks)
            semantic = without_offsets(semantic, members, self.offsets.get(kind))
            queries = tf.concat([_unit_rows(semantic), queries], axis=1)
        # The cosine but for the length of the query, which orders nothing.
        similarity = tf.matmul(queries, self.features[kind], transpose_b=True)
        length = self.lists.shape[1]
        rows = tf.math.top_k(similarity, min(length - 1, self.count)).indices
        shared = self._shared(rows)
        weights = shared / (2.0 * length - shared)
        # A cell shares all neighbours with itself: its own weight is 1 before they are scaled.
        own = 1 / (1 + tf.reduce_sum(weights, axis=1))
        return Neighbors(rows, own[:, None] * weights, own)

    def _semantic(
        self, kind: str, logged: tf.Tensor, open_peaks: tf.SparseTensor | None
    ) -> tf.Tensor:
        """Vectors of the semantic index [B, D]."""
        if open_peaks is None:
            return self.indices[kind].transform_dense(logged)
        return self.indices[kind].transform_sparse(open_peaks)

    def _shared(self, rows: tf.Tensor) -> tf.Tensor:
        """How many of a new cell's neighbours are in the list of each of them, float32 [B, k-1]."""
        cells, near = tf.unstack(tf.shape(rows))
        places = tf.stack([tf.repeat(tf.range(cells), near), tf.reshape(rows, [-1])], axis=1)
        listed = tf.scatter_nd(places, tf.ones(cells * near), (cells, self.count))
        lists = tf.gather(self.lists, rows)
        return tf.reduce_sum(tf.gather(listed, lists, batch_dims=1), axis=2)


class ServedIndex(tf.Module):
    """A latent semantic index, see `scadv_tf.data.lsi.LatentSemanticIndex`."""

    def __init__(self, index: LatentSemanticIndex):
        super().__init__()
        self.size = len(index.inverse_frequency)
        self.inverse_frequency = constant(index.inverse_frequency)
        self.components = constant(index.components)

    def transform_dense(self, values: tf.Tensor) -> tf.Tensor:
        """Vectors [B, D] of cells from counts or their logarithms [B, F]."""
        opened = tf.cast(values > 0, tf.float32)
        depth = tf.maximum(tf.reduce_sum(opened, axis=1, keepdims=True), 1.0)
        return (opened * tf.math.log1p(1e4 / depth) * self.inverse_frequency) @ self.components

    def transform_sparse(self, opened: tf.SparseTensor) -> tf.Tensor:
        """The same from a sparse tensor of ones [B, F]."""
        depth = tf.maximum(tf.sparse.reduce_sum(opened, axis=1), 1.0)
        cells, features = opened.indices[:, 0], opened.indices[:, 1]
        values = tf.gather(tf.math.log1p(1e4 / depth), cells)
        values *= tf.gather(self.inverse_frequency, features)
        weighted = tf.SparseTensor(opened.indices, values, opened.dense_shape)
        return tf.sparse.sparse_dense_matmul(weighted, self.components)


def _unit_rows(vectors: tf.Tensor) -> tf.Tensor:
    return tf.math.l2_normalize(vectors, axis=1, epsilon=1e-24)
