"""What counts must be: numbers from 0 to `LARGEST_COUNT`, and not all zero."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from scadv_tf.data.readable import passed_over
from scadv_tf.data.stored_cells import Asked, StoredCells
from scadv_tf.data.stored_matrices import StoredMatrix, first_entry
from scadv_tf.errors import InputError

if TYPE_CHECKING:
    from scadv_tf.data.pairing import Counts

logger = logging.getLogger(__name__)

CELLS_AT_ONCE = 1000
LARGEST_COUNT = 1e30  # so many in any number of genes add up to a number in single precision


def checked_numbers(matrix: Any, name: str = "the matrix of counts") -> Any:
    """The matrix itself, dense or sparse, in memory or a file.

    Raises
    ------
    InputError : it holds objects or text, or masked values.
    """
    kind = getattr(matrix, "dtype", None)
    if np.ma.is_masked(matrix):
        raise InputError(
            what=f"{name} has masked values",
            expected="a number for each cell and feature",
            received=f"{np.ma.count_masked(matrix):,} masked values",
            advice="say what they are, such as adata.X = adata.X.filled(0)",
        )
    if kind is None or kind.kind in "buif":
        return matrix
    raise InputError(
        what=f"{name} does not hold numbers as such",
        expected="whole or other real numbers",
        received=f"{kind}",
        advice="convert it, such as adata.X = adata.X.astype('float32')",
    )


def each_sound(values: np.ndarray) -> np.ndarray:
    """Whether each value is a number from 0 to `LARGEST_COUNT`."""
    return (values >= 0) & (values <= LARGEST_COUNT)  # NaN compares false


def all_sound(values: np.ndarray) -> bool:
    """The same of all, without a table of answers: the least and the largest tell."""
    return not len(values) or bool(each_sound(np.array([values.min(), values.max()])).all())


def plain_counts(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """The same matrix with each entry once, in order, and none of them 0; in place."""
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix


def bad_value(
    matrix: sparse.csr_matrix,
    cells: np.ndarray,
    features: np.ndarray,
    asked: Asked,
    others: Mapping[str, StoredMatrix],
) -> InputError:
    """The error of a matrix with values that are no counts; it tells where the first of them is.

    Of negative ones it also tells which other matrices of the file have none.
    """
    row, column, value = first_entry(matrix, ~each_sound(matrix.data))
    place = f"in cell {cells[row]}, feature {features[column]}"
    name = asked.path.name
    if not np.isfinite(value):
        return InputError(
            what=f"{name} has values that are not finite",
            expected="finite, non-negative numbers",
            received=f"NaN or infinity, first {place}",
            advice="set missing values to 0 or leave those cells out, then write the file again",
        )
    if value > 0:
        return InputError(
            what=f"{name} has values that are too large for counts",
            expected=f"numbers from 0 to {LARGEST_COUNT:g}, whose sums are numbers too",
            received=f"{value:.3g}, first {place}",
            advice="give raw counts" + _or_another(asked, others, "whose values are sound"),
        )
    return InputError(
        what=f"{name} has negative values, as scaled or corrected data have",
        expected="counts, or other non-negative values such as gene scores",
        received=f"{value:.3g} in {asked.layer or 'X'}, first {place}",
        advice="give raw counts" + _or_another(asked, others, "which have none"),
    )


def no_counts(
    asked: Asked, shape: tuple[int, int], others: Mapping[str, StoredMatrix] | None = None
) -> InputError:
    """The error of a matrix without cells, features or entries.

    Of one without entries it also tells which `others` of the file have some.
    """
    received = f"{shape[0]} cells x {shape[1]} features"
    received += "" if 0 in shape else f", all zero in {asked.layer or 'X'}"
    return InputError(
        what=f"{asked.path.name} holds no counts",
        expected="at least one cell and one feature with a count",
        received=received,
        advice="check how the file was made: a filter may have removed everything"
        + _or_another(asked, others or {}, "which have some"),
    )


def _or_another(asked: Asked, others: Mapping[str, StoredMatrix], which: str) -> str:
    """Advice to choose another matrix of the file, if one is sound."""
    usable = [other for other, stored in others.items() if _is_sound(stored)]
    if not usable:
        return ""
    return f"; or choose one of these, {which}: {asked.called.layer_flag}={' or '.join(usable)}"


def tell_of_empty_cells(path: Path, number: int) -> None:
    """Warns of cells without any count."""
    if number:
        logger.warning("%s: %s cells have no count at all (kept)", path.name, f"{number:,}")


def tell_of_logs(asked: Asked, stored: StoredCells) -> None:
    """Warns where X has been transformed and another matrix of the file has the counts."""
    others = stored.others() if asked.layer in ("", "X") else {}
    counted = [name for name, matrix in others.items() if looks_counted(matrix)]
    if counted and looks_transformed(stored.matrix):
        logger.warning(
            "%s: X has no whole numbers, as log-normalised or scaled data, but %s has; "
            "for raw counts give %s=%s",
            asked.path.name, " and ".join(counted), asked.called.layer_flag, " or ".join(counted),
        )  # fmt: skip


def looks_counted(matrix: StoredMatrix) -> bool:
    """Whether the first values of a matrix are whole and non-negative."""
    return _are_counts(_first_values(matrix))


def looks_transformed(matrix: StoredMatrix) -> bool:
    """Whether they are sound, but not all whole. What is not sound is refused by its own cause."""
    values = _first_values(matrix)
    return _are_sound(values) and not _are_counts(values)


def are_counted(cells: Counts) -> bool:
    """The same of checked values, held or stored."""
    parts = (cells[i : i + CELLS_AT_ONCE].data for i in range(0, cells.shape[0], CELLS_AT_ONCE))
    return _are_counts(next(filter(len, parts), np.empty(0)))


def _first_values(matrix: StoredMatrix) -> np.ndarray:
    with passed_over():
        return next((piece for piece in matrix.values() if len(piece)), np.empty(0))
    return np.empty(0)


def _are_counts(values: np.ndarray) -> bool:
    return _are_sound(values) and bool(np.all(np.rint(values) == values))


def _are_sound(values: np.ndarray) -> bool:
    return bool(len(values)) and all_sound(values)


def _is_sound(matrix: StoredMatrix) -> bool:
    """Whether a matrix has values other than 0, and all are finite and non-negative."""
    found = False
    with passed_over():
        for values in filter(len, matrix.values()):
            if not _are_sound(values):
                return False
            found = found or bool(values.any())
        return found
    return False
