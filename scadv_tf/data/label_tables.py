"""Labels of cells in a table of their own, as Loupe and spreadsheets export them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from scadv_tf.errors import InputError

logger = logging.getLogger(__name__)


def labels_from(path: str, cells: Sequence[str], flag: str) -> pd.Categorical:
    """The labels of cells by a table of cell,label; missing where it has none.

    Parameters
    ----------
    path : text with commas, tabs or semicolons between the columns, gzipped or not; with a line of
        headings or without. The first column names cells, the second has their labels.
    cells : names [N] in the order in which labels are wanted.
    flag : that names the table, for messages.

    Raises
    ------
    InputError : it is no such table, names none of the cells, or gives a cell two labels.
    """
    table = _read(Path(path).expanduser(), flag)
    labels = table.drop_duplicates().set_index(0)[1]
    twice = labels.index[labels.index.duplicated()]
    if len(twice):
        raise InputError(
            what=f"a cell has several labels in {flag}",
            expected="one line a cell",
            received=f"{twice[0]}: {', '.join(labels[twice[0]])}",
            advice=f"correct the table of {flag}",
        )
    found = labels.reindex(cells)
    without = int(found.isna().sum())
    if without == len(found):
        raise InputError(
            what=f"{flag} names none of the cells",
            expected=f"names such as {', '.join(map(str, cells[:3]))}",
            received=f"names such as {', '.join(labels.index[:3])}",
            advice="name the cells as in the file of counts, with endings such as -1",
        )
    if without:
        logger.warning("%s has no label for %d of %d cells", flag, without, len(found))
    return pd.Categorical(found)


def _read(path: Path, flag: str) -> pd.DataFrame:
    options = {"header": None, "dtype": str, "na_filter": False, "encoding": "utf-8-sig"}
    try:
        tables = (pd.read_csv(path, sep=mark, **options) for mark in "\t,;")
        table = next((table for table in tables if table.shape[1] > 1), None)
        if table is None:
            raise ValueError("it has one column")
        return table[[0, 1]]
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise InputError(
            what=f"the table of {flag} could not be read",
            expected="a .csv or .tsv whose first two columns are cell,label",
            received=f"{path}: {type(error).__name__}: {error}",
            advice=f"write it again as such, or leave {flag} out",
        ) from error
