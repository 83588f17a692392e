"""The losses, one pure function each: network outputs in, a scalar tensor out.

B cells in a batch, G genes, Z latent width, K types. Every loss is a mean over cells, so its
weight means the same for all batch sizes.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from scadv_tf.models.replicas import own_first, replica_count, summed

LARGEST_EXPONENT = 40.0  # its exponential is far from the largest float32


def cross_entropy(labels: tf.Tensor, logits: tf.Tensor, label_smoothing: float = 0.0) -> tf.Tensor:
    """Mean cross-entropy of the classifier on labelled RNA cells.

    Parameters
    ----------
    labels : int [B].
    logits : float [B, K].
    label_smoothing : share of each target that is spread evenly over all K types.
    """
    types = logits.shape[-1]
    target = tf.one_hot(labels, types, dtype=logits.dtype)
    target = target * (1 - label_smoothing) + label_smoothing / types
    return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(target, logits))


def contrastive(first: tf.Tensor, second: tf.Tensor, temperature: float = 0.1) -> tf.Tensor:
    """NT-Xent: two copies of a cell find each other among all copies (Chen et al. 2020).

    ``l(i, j) = -log(exp(cos(z_i, z_j) / t) / sum_{k != i} exp(cos(z_i, z_k) / t))``, the standard
    form of the document's Eq. 1, averaged over the 2B copies. The others are those of all replicas.

    Parameters
    ----------
    first, second : latent vectors [B, Z] of the two copies of the same cells.
    temperature : t.
    """
    first, second = (tf.math.l2_normalize(copy, axis=1) for copy in (first, second))
    copies = tf.concat([first, second], axis=0) / temperature**0.5
    with_partner = tf.reduce_sum(first * second, axis=1) / temperature
    others = log_sum_of_others(copies, own_first(copies), 1 / temperature)
    return tf.reduce_mean(others) - tf.reduce_mean(with_partner)


def log_sum_of_others(rows: tf.Tensor, columns: tf.Tensor, largest: float) -> tf.Tensor:
    """``log sum_{k != i} exp(x_i . y_k)`` [M] of rows x [M, Z] and columns y [N, Z].

    Its gradient in closed form needs the matrix [M, N] of exponentials once, where automatic
    differentiation reads and writes several such matrices.

    Parameters
    ----------
    columns : the first M of them are the rows.
    largest : bound of the products; above 40, each row's largest is taken out of the exponential.
    """

    @tf.custom_gradient
    def log_sum(rows: tf.Tensor, columns: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        products = tf.matmul(rows, columns, transpose_b=True)
        shift = tf.zeros_like(rows[:, :1])
        if largest > LARGEST_EXPONENT:
            lowest = tf.fill([tf.shape(rows)[0]], products.dtype.min)
            shift = tf.reduce_max(tf.linalg.set_diag(products, lowest), axis=1, keepdims=True)
            # A cell is far nearer to itself than to any other, which must not overflow.
            products = tf.minimum(products - shift, 0.0)
        exponentials = tf.exp(products)
        exponentials = tf.linalg.set_diag(exponentials, tf.zeros_like(rows[:, 0]))
        total = tf.reduce_sum(exponentials, axis=1)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            weight = (upstream / total)[:, None]
            to_rows = weight * tf.matmul(exponentials, columns)
            return to_rows, tf.matmul(exponentials, weight * rows, transpose_a=True)

        return tf.math.log(total) + shift[:, 0], gradient

    return log_sum(rows, columns)


def interpolation(probabilities: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Interpolation consistency (Verma et al. 2019): mean squared error of probabilities.

    Parameters
    ----------
    probabilities : the student's on mixed cells [B, K].
    target : the teacher's mixed probabilities [B, K]; it gets no gradient.
    """
    return tf.reduce_mean(tf.math.squared_difference(probabilities, tf.stop_gradient(target)))


def adversarial(positive_logits: tf.Tensor, negative_logits: tf.Tensor) -> tf.Tensor:
    """Binary cross-entropy of a discriminator, both sides weighing the same.

    Parameters
    ----------
    positive_logits : logits [B, 1] of the side whose target is 1 (RNA, or real ATAC).
    negative_logits : logits [B, 1] of the side whose target is 0 (ATAC, or generated ATAC).
    """
    positive = tf.reduce_mean(tf.nn.softplus(-positive_logits))
    negative = tf.reduce_mean(tf.nn.softplus(negative_logits))
    return (positive + negative) / 2


def cycle(cycled_latent: tf.Tensor, latent: tf.Tensor) -> tf.Tensor:
    """Mean squared error of ``z' = E(G(z))`` and ``z``, both [B, Z].

    No gradient goes through `latent`: otherwise a shrinking z would lower the loss.
    """
    return tf.reduce_mean(tf.math.squared_difference(cycled_latent, tf.stop_gradient(latent)))


def center(latent: tf.Tensor, type_weights: tf.Tensor, centers: tf.Tensor) -> tf.Tensor:
    """Half the mean squared distance to the centre of a cell's type (Wen et al. 2016).

    Parameters
    ----------
    latent : [B, Z].
    type_weights : [B, K], a one-hot type, or zeros for a cell that does not take part.
    centers : [K, Z].
    """
    own_center = tf.matmul(type_weights, centers)
    distance = tf.reduce_sum(tf.math.squared_difference(latent, own_center), axis=1)
    takes_part = tf.reduce_sum(type_weights, axis=1)
    total = tf.reduce_sum(takes_part * distance) / 2
    cells = summed([tf.reduce_sum(takes_part)])[0] / replica_count()
    return total / tf.maximum(cells, 1.0 / replica_count())


def centroid(rna_centroids: tf.Tensor, atac_centroids: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    """Mean squared distance of the modalities' centroids over the types that both have.

    Parameters
    ----------
    rna_centroids, atac_centroids : [K, Z].
    present : [K], 1 for types whose centroids are known in both modalities, else 0.
    """
    distance = tf.reduce_mean(tf.math.squared_difference(rna_centroids, atac_centroids), axis=1)
    return tf.reduce_sum(present * distance) / tf.maximum(tf.reduce_sum(present), 1.0)


def type_means(latent: tf.Tensor, type_weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Weighted mean latent vector of each type [K, Z], and each type's weight [K], of all replicas.

    Parameters
    ----------
    latent : [B, Z].
    type_weights : [B, K], labels as one-hot rows, or soft labels.
    """
    return means_by_type([(latent, type_weights)])[0]


def means_by_type(groups: list) -> list:
    """`type_means` of several groups of cells: pairs of latent vectors and type weights."""
    sums = [
        part
        for latent, weights in groups
        for part in (tf.matmul(weights, latent, transpose_a=True), tf.reduce_sum(weights, axis=0))
    ]
    sums = summed(sums)
    return [
        (total / tf.maximum(weight, 1e-6)[:, None], weight)
        for total, weight in zip(sums[::2], sums[1::2], strict=True)
    ]
