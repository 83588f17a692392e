"""Labels of cells in a table of their own, as Loupe and spreadsheets export them."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from scadv_tf.data.barcodes import BASES, by_bases
from scadv_tf.data.name_tables import read_rows
from scadv_tf.errors import InputError

logger = logging.getLogger(__name__)

_NO_LETTERS = r"[\W_]+"  # between the words of headings
_LABELS = "celltype|label|annot"  # in those of columns with labels

Names: TypeAlias = Sequence[str] | np.ndarray | pd.Index


def labels_from(path: str, cells: Names, flag: str, key: str = "") -> pd.Categorical:
    """The labels of cells by a table of cell,label; missing where it has none.

    Parameters
    ----------
    path : see `read_rows`; with a line of headings or without. Cells are named in the column with
        most of their names; their labels are in the column `key`, in one whose heading speaks of
        labels, or in that behind the names. Where no name is the same, see `by_bases`.
    cells : names [N] in the order in which labels are wanted.
    flag : that names the table, for messages.
    key : heading of the labels, whatever its case and its signs between words, where there are
        several columns.

    Raises
    ------
    InputError : it is no such table, names none of the cells, or gives a cell two labels.
    """
    table = _read(path, cells, flag, key)
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
    if found.isna().all():
        found = _by_bases(labels, pd.Index(cells, dtype=object))
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


def _by_bases(labels: pd.Series, cells: pd.Index) -> pd.Series:
    """The labels of the cells by the bases in their names, if that is certain; else none."""
    named = labels[labels.index.str.fullmatch(BASES)]
    codes = by_bases(named.index, cells)
    return named[codes >= 0].set_axis(codes[codes >= 0]).reindex(range(len(cells)))


def _read(
    path: str, cells: Sequence[str] | np.ndarray | pd.Index, flag: str, key: str
) -> pd.DataFrame:
    """Names and labels, columns 0 and 1."""
    try:
        table = read_rows(Path(path).expanduser())
        if table.shape[1] == 1:
            raise ValueError("it has one column")
    except (OSError, EOFError, ValueError) as error:
        raise InputError(
            what=f"the table of {flag} could not be read",
            expected="a .csv or .tsv whose first two columns are cell,label",
            received=f"{path}: {type(error).__name__}: {error}",
            advice=f"write it again as such, or leave {flag} out",
        ) from error
    names = int(table.apply(lambda column: column.isin(cells).sum()).idxmax())
    others = table.columns.drop(names)
    headings = table.loc[0, others].map(_plain)
    called = others[(headings == _plain(key)) & (key != "")]
    alike = others[headings.str.contains(_LABELS)]
    labels = [*called, *alike, *others[others > names], *others][0]
    if len(others) > 1:
        level = logging.INFO if labels in (*called, *alike) else logging.WARNING
        logger.log(
            level, "%s: labels are taken from column %d, '%s'",
            flag, labels + 1, table.loc[0, labels],
        )  # fmt: skip
    return table[[names, labels]].set_axis([0, 1], axis=1)


def _plain(heading: str) -> str:
    return re.sub(_NO_LETTERS, "", heading.casefold())
