"""Names of columns that a table in HDF5 can hold side by side, each as an array of its own."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable

from scadv_tf.data.tables import FACTORS, INDEX_NAMES

logger = logging.getLogger(__name__)

# What HDF5 takes for a place in a file, and what readers take for the names of the rows.
_NO_NAMES = ("", ".", "..", FACTORS, INDEX_NAMES[0])


def safe_columns(columns: Iterable[str], taken: Collection[str] = ()) -> dict[str, str]:
    """Column -> its name in a file; another one only where it must be, which is told.

    To HDF5, 'CD4/CD8' is an array 'CD8' in a folder 'CD4', which cannot be a column then.

    Parameters
    ----------
    columns : all names of a table.
    taken : names of further columns, which those of the table must not get.
    """
    columns = list(dict.fromkeys(columns))
    called = {name: name for name in columns if is_safe(name)}
    used = {*called, *taken}
    for name in columns:
        if name not in called:
            called[name] = _free(name.replace("/", "_"), used)
            used.add(called[name])
            logger.warning(
                "the column '%s' of the cells is called '%s' in the result: an .h5ad cannot hold "
                "that name", name, called[name],
            )  # fmt: skip
    return called


def is_safe(column: str) -> bool:
    """Whether a table in HDF5 can hold a column of this name beside any other."""
    return "/" not in column and column not in _NO_NAMES


def _free(name: str, used: Collection[str]) -> str:
    """The name, with a number if it is in use or is none."""
    number, found = 0, name
    while found in used or not is_safe(found):
        number += 1
        found = f"{name}_{number}"
    return found
