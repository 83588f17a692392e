"""Labels of cells in a table of their own, as Loupe and spreadsheets export them."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import pandas as pd

from scadv_tf.data.barcodes import BASES, by_bases
from scadv_tf.data.name_tables import read_rows
from scadv_tf.errors import InputError
from scadv_tf.files import at_home

logger = logging.getLogger(__name__)

_NO_LETTERS = r"[\W_]+"  # between the words of headings
_LABELS = "celltype|label|annot"  # in those of columns with labels
_NAMES = 0  # the column of a table with the names of the cells; others are called by text

Names: TypeAlias = Sequence[str] | np.ndarray | pd.Index


def columns_from(
    path: str, cells: Names, flag: str, key: str, batch_key: str = ""
) -> dict[str, pd.Categorical]:
    """What a table of cell,label says of cells: column -> text [N], missing where it has no cell.

    The labels are called `key`. Each other column is there that has a heading of its own, unless a
    cell has several texts in it.

    Parameters
    ----------
    path : see `read_rows`; with a line of headings or without. Cells are named in the column with
        most of their names; their labels are in the column `key`, in one whose heading speaks of
        labels, or in that behind the names. Where no name is the same, see `by_bases`.
    cells : names [N] in the order in which they are wanted.
    flag : that names the table, for messages.
    key : heading of the labels, whatever its case and its signs between words, where there are
        several columns.
    batch_key : heading of the batches; '' for none. Where it is there, labels are only in a column
        whose heading says so, or there are none.

    Raises
    ------
    InputError : it is no such table, names none of the cells, or gives a cell two labels.
    """
    table = _read(path, cells, flag, key, batch_key)
    for heading in table.columns.drop(_NAMES):
        cell, texts = _several(table[[_NAMES, heading]])
        if texts and heading == key:
            raise InputError(
                what=f"a cell has several labels in {flag}",
                expected="one line a cell",
                received=f"{cell}: {', '.join(texts)}",
                advice=f"correct the table of {flag}",
            )
        if texts:
            logger.warning("%s: the column '%s' is left out, of which %s has %s",
                           flag, heading, cell, " and ".join(texts))  # fmt: skip
            table = table.drop(columns=heading)
    table = table.drop_duplicates(_NAMES).set_index(_NAMES)
    rows = _rows_of(table.index, pd.Index(cells, dtype=object))
    without = int(np.sum(rows < 0))
    if without == len(rows):
        raise InputError(
            what=f"{flag} names none of the cells",
            expected=f"names such as {', '.join(map(str, cells[:3]))}",
            received=f"names such as {', '.join(table.index[:3])}",
            advice="name the cells as in the file of counts, with endings such as -1",
        )
    if without:
        logger.warning("%s has no label for %d of %d cells", flag, without, len(rows))
    return {
        heading: pd.Categorical(texts).take(rows, allow_fill=True).remove_unused_categories()
        for heading, texts in table.items()
    }


def _several(column: pd.DataFrame) -> tuple[str, list[str]]:
    """The first cell of which a column of names and texts has several texts, and these."""
    lines = column.drop_duplicates().set_index(_NAMES)
    twice = lines.index[lines.index.duplicated()]
    return (twice[0], lines.loc[twice[0]].iloc[:, 0].tolist()) if len(twice) else ("", [])


def _rows_of(names: pd.Index, cells: pd.Index) -> np.ndarray:
    """The row [N] of each cell, -1 without; by the bases of the names if none is the same."""
    rows = names.get_indexer(cells)
    if np.all(rows < 0):
        listed = np.flatnonzero(names.str.fullmatch(BASES))
        codes = by_bases(names[listed], cells)
        rows[codes[codes >= 0]] = listed[codes >= 0]
    return rows


def _read(path: str, cells: Names, flag: str, key: str, batch_key: str) -> pd.DataFrame:
    """Names, in the column `_NAMES`; labels, in the column `key`; and others by their headings."""
    try:
        table = read_rows(at_home(path))
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
    labels = _labels(table.loc[0, others], names, key, batch_key, flag)
    called = {names: _NAMES} | ({} if labels is None else {labels: key})
    headings = _headings(table, names, cells)
    more = headings[~headings.isin(["", key]) & ~headings.index.isin(called)]
    called |= more[~more.duplicated(keep=False)].to_dict()
    return table[[*called]].rename(columns=called)


def _labels(headings: pd.Series, names: int, key: str, batch_key: str, flag: str) -> int | None:
    """The column of the labels, of those with such headings, or what else the first line says."""
    plain = headings.map(_plain)
    columns = headings.index
    called = columns[plain == _plain(key)]
    others = columns[(headings != batch_key) | (batch_key == "")]
    told = [*called, *others[plain[others].str.contains(_LABELS)]]
    if len(others) < len(columns):
        return told[0] if told else None
    labels = [*told, *columns[columns > names], *columns][0]
    if len(columns) > 1:
        logger.log(
            logging.INFO if told else logging.WARNING,
            "%s: labels are taken from column %d, '%s'", flag, labels + 1, headings[labels],
        )  # fmt: skip
    return labels


def _headings(table: pd.DataFrame, names: int, cells: Names) -> pd.Series:
    """The first line, where it cannot be that of a cell; else nothing."""
    first = table.loc[0]
    is_cell = first[names] in cells or BASES.fullmatch(first[names])
    return first.where(~(table.loc[1:] == first).any() & (not is_cell), "")


def _plain(heading: str) -> str:
    return re.sub(_NO_LETTERS, "", heading.casefold())
