"""What replicas of a model tell each other in a step; with one replica, nothing.

Each replica has an equal share of the batch. Its losses are means over its cells, divided by the
number of replicas, so that gradients add up to those of the whole batch.
"""

from __future__ import annotations

import tensorflow as tf


def replica_count() -> int:
    """Replicas that take this step together."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def _context() -> tf.distribute.ReplicaContext | None:
    return tf.distribute.get_replica_context() if replica_count() > 1 else None


def replica_number() -> tf.Tensor | int:
    """The number of this replica, from 0."""
    context = _context()
    return 0 if context is None else context.replica_id_in_sync_group


def summed(tensors: list) -> list:
    """The sums of float tensors over all replicas, in one exchange; gradients pass."""
    context = _context()
    if context is None or not tensors:
        return tensors
    flat = tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], axis=0)
    flat = context.all_reduce(tf.distribute.ReduceOp.SUM, flat)
    parts = tf.split(flat, [tensor.shape.num_elements() for tensor in tensors])
    pairs = zip(parts, tensors, strict=True)
    return [tf.reshape(part, tensor.shape) for part, tensor in pairs]


def all_moments(moments: list) -> list:
    """Means and variances of the cells of all replicas, from those of each replica's cells.

    ``var = mean(var_r + mean_r^2) - mean(mean_r)^2``.

    Parameters
    ----------
    moments : pairs of a mean [D] and a variance [D] or a covariance [D, D].
    """
    if _context() is None:
        return moments
    parts = [part for mean, spread in moments for part in (mean, spread + _square(mean, spread))]
    parts = [part / replica_count() for part in summed(parts)]
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return [(mean, second - _square(mean, second)) for mean, second in pairs]


def _square(mean: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """The mean's square, or its product with itself where covariances are wanted."""
    return mean**2 if like.shape.rank == 1 else mean[:, None] * mean


def own_first(values: tf.Tensor) -> tf.Tensor:
    """The values [B, Z] of all replicas [N * B, Z], those of this one first."""
    context = _context()
    if context is None:
        return values
    gathered = context.all_gather(values, axis=0)
    return tf.roll(gathered, -context.replica_id_in_sync_group * tf.shape(values)[0], axis=0)
