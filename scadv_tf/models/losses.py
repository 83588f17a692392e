"""The losses, one pure function each: network outputs in, a scalar tensor out.

B cells in a batch, G genes, Z latent width, K types. Every loss is a mean over cells, so its
weight means the same for all batch sizes.
"""

from __future__ import annotations

import tensorflow as tf


def cross_entropy(labels, logits, label_smoothing: float = 0.0):
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


def contrastive(first, second, temperature: float = 0.1):
    """NT-Xent: two copies of a cell find each other among all copies (Chen et al. 2020).

    ``l(i, j) = -log(exp(cos(z_i, z_j) / t) / sum_{k != i} exp(cos(z_i, z_k) / t))``, the standard
    form of the document's Eq. 1, averaged over the 2B copies, as one product of unit vectors.

    Parameters
    ----------
    first, second : latent vectors [B, Z] of the two copies of the same cells.
    temperature : t.
    """
    copies = tf.math.l2_normalize(tf.concat([first, second], axis=0), axis=1)
    similarity = tf.matmul(copies, copies, transpose_b=True) / temperature
    cells = tf.shape(first)[0]
    similarity = tf.linalg.set_diag(similarity, tf.fill([2 * cells], similarity.dtype.min))
    partner = tf.concat([tf.range(cells, 2 * cells), tf.range(cells)], axis=0)
    return tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels=partner, logits=similarity)
    )


def interpolation(probabilities, target):
    """Interpolation consistency (Verma et al. 2019): mean squared error of probabilities.

    Parameters
    ----------
    probabilities : the student's on mixed cells [B, K].
    target : the teacher's mixed probabilities [B, K]; it gets no gradient.
    """
    return tf.reduce_mean(tf.math.squared_difference(probabilities, tf.stop_gradient(target)))


def adversarial(positive_logits, negative_logits):
    """Binary cross-entropy of a discriminator, both sides weighing the same.

    Parameters
    ----------
    positive_logits : logits [B, 1] of the side whose target is 1 (RNA, or real ATAC).
    negative_logits : logits [B, 1] of the side whose target is 0 (ATAC, or generated ATAC).
    """
    positive = tf.reduce_mean(tf.nn.softplus(-positive_logits))
    negative = tf.reduce_mean(tf.nn.softplus(negative_logits))
    return (positive + negative) / 2


def cycle(cycled_latent, latent):
    """Mean squared error of ``z' = E(G(z))`` and ``z``, both [B, Z].

    No gradient goes through `latent`: otherwise a shrinking z would lower the loss.
    """
    return tf.reduce_mean(tf.math.squared_difference(cycled_latent, tf.stop_gradient(latent)))


def center(latent, type_weights, centers):
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
    return total / tf.maximum(tf.reduce_sum(takes_part), 1.0)


def centroid(rna_centroids, atac_centroids, present):
    """Mean squared distance of the modalities' centroids over the types that both have.

    Parameters
    ----------
    rna_centroids, atac_centroids : [K, Z].
    present : [K], 1 for types whose centroids are known in both modalities, else 0.
    """
    distance = tf.reduce_mean(tf.math.squared_difference(rna_centroids, atac_centroids), axis=1)
    return tf.reduce_sum(present * distance) / tf.maximum(tf.reduce_sum(present), 1.0)


def type_means(latent, type_weights):
    """Weighted mean latent vector of each type [K, Z], and each type's weight [K].

    Parameters
    ----------
    latent : [B, Z].
    type_weights : [B, K], labels as one-hot rows, or soft labels.
    """
    weight = tf.reduce_sum(type_weights, axis=0)
    total = tf.matmul(type_weights, latent, transpose_a=True)
    return total / tf.maximum(weight, 1e-6)[:, None], weight
