"""What a request must fulfil, checked inside the graph: a bad one gets INVALID_ARGUMENT.

Each function returns its tensors unchanged; whatever is made of them waits for the check.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import tensorflow as tf

from scadv_tf.data.levels import FULL, NONE
from scadv_tf.data.sound_counts import LARGEST_COUNT

LEVELS = "2 less the level (of 0 to 1) where a gene is covered, else 0"
LARGEST_REQUEST = 8_192  # cells of a sparse request, whose size is only a number in it
LARGEST_STANDARDISED = 1e8  # the squares of so large values are numbers in single precision


def checked_dense(counts: tf.Tensor, genes: int, levels: bool) -> tf.Tensor:
    """Counts [B, G] of at least one cell, none negative, infinite or above `LARGEST_COUNT`.

    Parameters
    ----------
    levels : whether they must be levels, see `scadv_tf.data.levels`.

    Raises
    ------
    tf.errors.InvalidArgumentError : else.
    """
    what = LEVELS if levels else "raw counts"
    expected = f"expected {what}, float32 [cells, {genes}], columns in the order of genes.txt"
    # A server may pass on a list of numbers for the table; padded, its shape can be asked for too.
    shape = tf.concat([tf.shape(counts), [0, 0, 0]], axis=0)[:3]
    is_table = tf.equal(shape[1], genes) & tf.equal(shape[2], 0)
    given = tf.shape(counts)
    with _after(
        _require(is_table, f"Wrong number of genes: {expected}", given),
        _require(shape[0] > 0, f"No cell was given: {expected}, at least one row", given),
    ):
        counts = tf.reshape(counts, (shape[0], genes))
    with _after((_levels_are_sound if levels else _counts_are_sound)(counts, expected)):
        return tf.identity(counts)


def checked_standardised(values: tf.Tensor, genes: int) -> tf.Tensor:
    """Preprocessed cells [B, G], at least one, finite and of at most `LARGEST_STANDARDISED`.

    Raises
    ------
    tf.errors.InvalidArgumentError : else.
    """
    expected = (
        f"expected genes preprocessed and standardised as in training, float32 [cells, {genes}], "
        f"at least one row, values of -{LARGEST_STANDARDISED:g} to {LARGEST_STANDARDISED:g}"
    )
    values = tf.ensure_shape(values, (None, genes))
    sound = tf.abs(values) <= LARGEST_STANDARDISED  # NaN compares false
    with _after(
        _require(tf.shape(values)[0] > 0, f"No cell was given: {expected}", tf.shape(values)),
        _require_each(sound, f"A value is too large or not a number: {expected}", values),
    ):
        return tf.identity(values)


def checked_sparse(
    cells: tf.Tensor,
    features: tf.Tensor,
    values: tf.Tensor | None,
    number_of_cells: tf.Tensor,
    size: int,
    names: str,
) -> tuple[tf.Tensor | None, ...]:
    """What was given, checked: the non-zero entries of counts [number_of_cells, size].

    Parameters
    ----------
    cells, features : int64 [N].
    values : float32 [N]; None if only the presence of an entry counts.
    number_of_cells : int64 scalar.
    names : of the asset that lists the features.

    Raises
    ------
    tf.errors.InvalidArgumentError : lengths differ, an index is out of range, a value is negative,
        not finite or above `LARGEST_COUNT`, the number of cells is not in 1 … 8,192, or what is
        to be a list or a number is none.
    """
    # Servers look at the types of what they pass on, and not at its shapes.
    number_of_cells = tf.ensure_shape(number_of_cells, ())
    cells, features = (tf.ensure_shape(given, (None,)) for given in (cells, features))
    counts = []
    if values is not None:
        values = tf.ensure_shape(values, (None,))
        counts.append(_counts_are_sound(values, "expected raw counts, float32"))
    checks = [
        _require(
            (number_of_cells > 0) & (number_of_cells <= LARGEST_REQUEST),
            f"number_of_cells is out of range: expected 1 to {LARGEST_REQUEST}",
            number_of_cells,
        ),
        *(_same_length(given, cells) for given in (features, values) if given is not None),
        _inside(cells, number_of_cells, "A cell index", "number_of_cells - 1"),
        _inside(features, size, "A feature index", f"{size - 1}, in the order of {names}"),
        *counts,
    ]
    given = cells, features, values, number_of_cells
    with _after(*checks):
        return tuple(None if each is None else tf.identity(each) for each in given)


def checked_batches(batch: tf.Tensor, cells: tf.Tensor, batches: int) -> tf.Tensor:
    """1 for each cell's batch, float32 [cells, batches]; zeros for -1, a cell of none.

    Parameters
    ----------
    batch : int64 [cells].
    cells : their number, int32.

    Raises
    ------
    tf.errors.InvalidArgumentError : there is another number of them, one is out of range, or
        they are no list.
    """
    batch = tf.ensure_shape(batch, (None,))
    there = (batch >= -1) & (batch < batches)
    with _after(
        _require(
            tf.equal(tf.size(batch), cells),
            "Wrong number of batches: expected one for each cell",
            tf.size(batch),
        ),
        _require_each(
            there,
            f"A batch is out of range: expected -1 (another batch) to {batches - 1}, in the order "
            "of manifest.json",
            batch,
        ),
    ):
        return tf.one_hot(batch, batches)


def _same_length(given: tf.Tensor, cells: tf.Tensor) -> tf.Operation | None:
    return _require(
        tf.equal(tf.size(given), tf.size(cells)),
        "Lengths differ: expected one cell, one feature and one count for each entry",
        tf.size(given),
    )


def _inside(indices: tf.Tensor, size: int, what: str, largest: str) -> tf.Operation | None:
    inside = (indices >= 0) & (indices < size)
    return _require_each(inside, f"{what} is out of range: expected 0 to {largest}", indices)


def _counts_are_sound(counts: tf.Tensor, expected: str) -> tf.Operation | None:
    # One pass over the counts: NaN compares false, and infinity is above the largest.
    sound = (counts >= 0) & (counts <= LARGEST_COUNT)
    message = f"A count is negative, above {LARGEST_COUNT:g} or not a number: {expected}"
    return _require_each(sound, message, counts)


def _levels_are_sound(levels: tf.Tensor, expected: str) -> tf.Operation | None:
    sound = (levels == 0) | ((levels >= FULL) & (levels <= NONE))
    message = f"A value is no level, or a gene of a cell was given twice: {expected}"
    return _require_each(sound, message, levels)


def _require_each(sound: tf.Tensor, message: str, values: tf.Tensor) -> tf.Operation | None:
    """Tells the first values that are not sound; bool, as many."""
    wrong = tf.gather_nd(values, tf.where(~sound)[:3])
    return _require(tf.reduce_all(sound), message, wrong)


def _require(condition: tf.Tensor, message: str, received: tf.Tensor) -> tf.Operation | None:
    # By itself: what `tf.debugging.Assert` adds, a graph for either case, makes an export larger
    # and its loading slower, and spares no work here.
    data = [tf.constant(f"{message}; received"), received]
    return tf.raw_ops.Assert(condition=condition, data=data, summarize=3)


def _after(*checks: tf.Operation | None) -> AbstractContextManager:
    # Eager checks have raised already, and are None.
    return tf.control_dependencies([check for check in checks if check is not None])
