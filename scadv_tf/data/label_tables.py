"""Labels of cells in a table of their own, as Loupe and spreadsheets export them."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd

from scadv_tf.data.barcodes import BASES, by_bases, column_of_names
from scadv_tf.data.name_tables import read_rows
from scadv_tf.errors import InputError
from scadv_tf.files import at_home

logger = logging.getLogger(__name__)

_NO_LETTERS = r"[\W_]+"  # between the words of headings
_LABELS = "celltype|label|annot"  # in those of columns with labels
_NAMES = 0  # the column of a table with the names of the cells; others are called by text

Names: TypeAlias = Sequence[str] | np.ndarray | pd.Index


def columns_from(
    path: str,
    cells: Names,
    flag: str,
    key: str,
    batch_key: str = "",
    other_key: str = "",
    stated: bool = False,
    labelled: bool = False,
) -> dict[str, pd.Categorical]:
    """What a table of cell,label says of cells: column -> text [N], missing where it has no cell.

    The labels are called `key`. Each other column is there that has a heading of its own, unless a
    cell has several texts in it.

    Parameters
    ----------
    path : see `read_rows`; with a line of headings or without. Cells are named in a column whose
        heading says so, or in that with most of their names; where none is the same, see
        `by_bases`. Their labels are in the column `key`, in one whose heading speaks of labels, or
        in that behind the names.
    cells : names [N] in the order in which they are wanted.
    flag : that names the table, for messages.
    key : heading of the labels, whatever its case and its signs between words, where there are
        several columns.
    batch_key, other_key : headings of batches, and of what else is no label; '' for none.
    stated : whether the user has named the key: then no other column of several stands for it.
    labelled : whether the cells have such labels already. Where they have, or the batches are
        there, labels are only in a column whose heading says so, or there are none.

    Raises
    ------
    InputError : it is no such table, names none of the cells, gives a cell two labels, or has no
        column of a stated key.
    """
    wanted = _Wanted(flag, key, {batch_key, other_key} - {""}, batch_key, stated, labelled)
    table = _read(path, cells, wanted)
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


@dataclass(frozen=True)
class _Wanted:
    """What is looked for, see `columns_from`."""

    flag: str
    key: str
    others: set[str]
    batch_key: str
    stated: bool
    labelled: bool


def _read(path: str, cells: Names, wanted: _Wanted) -> pd.DataFrame:
    """Names, in the column `_NAMES`; labels, in the column `key`; and others by their headings."""
    try:
        table = read_rows(at_home(path))
        if table.shape[1] == 1:
            raise ValueError("it has one column")
    except (OSError, EOFError, ValueError) as error:
        raise InputError(
            what=f"the table of {wanted.flag} could not be read",
            expected="a .csv or .tsv whose first two columns are cell,label",
            received=f"{path}: {type(error).__name__}: {error}",
            advice=f"write it again as such, or leave {wanted.flag} out",
        ) from error
    names = column_of_names(table, pd.Index(cells, dtype=object))
    headings = _headings(table, names, cells)
    labels = _labels(table, headings.drop(names), names, wanted)
    called = {names: _NAMES} | ({} if labels is None else {labels: wanted.key})
    more = headings[~headings.isin(["", wanted.key]) & ~headings.index.isin(called)]
    called |= more[~more.duplicated(keep=False)].to_dict()
    return table[[*called]].rename(columns=called)


def _labels(table: pd.DataFrame, headings: pd.Series, names: int, wanted: _Wanted) -> int | None:
    """The column of the labels; None where they are none of the table's.

    Parameters
    ----------
    headings : of the other columns than that of the names; '' where there are none.
    """
    plain, flag, key = headings.map(_plain), wanted.flag, wanted.key
    if any(called := plain == _plain(key)):
        return int(headings.index[called][0])
    headed = bool((headings != "").any())
    free = headings.index[~headings.isin(wanted.others)]
    scores = [column for column in free if _are_scores(table[column].iloc[1:])]
    told = free[plain[free].str.contains(_LABELS)].difference(scores, sort=False)
    has_batches = bool(wanted.batch_key) and (headings == wanted.batch_key).any()
    if not len(told) and headed and (wanted.labelled or has_batches):
        if wanted.labelled:
            logger.warning("%s has no column '%s', and the labels stay those of the file: head the "
                           "labels so if they are there", flag, key)  # fmt: skip
        return None
    if wanted.stated and headed and len(free) > 1:
        raise InputError(
            what=f"the table of {flag} has no column '{key}'",
            expected=f"a column of the labels called '{key}'",
            received=f"columns {', '.join(headings[headings != ''])}",
            advice=f"name one of them by {'--atac_label_key' if 'atac' in flag else '--label_key'}",
        )
    behind = free[free > names]
    labels = int([*told, *behind.difference(scores, sort=False), *behind, *free][0])
    if headed and len(headings) > 1 or wanted.labelled:
        logger.log(
            logging.INFO if len(told) == 1 and not wanted.labelled else logging.WARNING,
            "%s: labels are taken from column %d, '%s'%s", flag, labels + 1,
            headings[labels] or table.loc[0, labels],
            ", in place of those of the file" if wanted.labelled else "",
        )  # fmt: skip
    return labels


def _are_scores(values: pd.Series) -> bool:
    """Whether all are numbers, of which some are not whole."""
    numbers = pd.to_numeric(values.where(values != ""), errors="coerce")
    missing = numbers.isna() & (values != "")
    return bool(not missing.any() and (numbers.dropna() % 1 != 0).any())


def _headings(table: pd.DataFrame, names: int, cells: Names) -> pd.Series:
    """The first line, where it cannot be that of a cell; else nothing."""
    first = table.loc[0]
    is_cell = first[names] in cells or BASES.fullmatch(first[names])
    return first.where(~(table.loc[1:] == first).any() & (not is_cell), "")


def _plain(heading: str) -> str:
    return re.sub(_NO_LETTERS, "", heading.casefold())
