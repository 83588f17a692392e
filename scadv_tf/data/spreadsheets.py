"""Tables of cells as .csv that a spreadsheet may open: no name of a cell or type is run there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TextIO

import pandas as pd

from scadv_tf.errors import InputError

_END = "\r\n"
# An apostrophe in front is the spreadsheets' own mark for text; one that was there gets another.
MARK = "'"
_RUN = ("=", "+", "-", "@", "\t", "\r", "\n", MARK)
_NUMBERS = re.compile(r"(second_)?confidence|novelty|unknown|scadv_\d+")  # all else is names


def write_rows(table: pd.DataFrame, file: TextIO, head: bool) -> None:
    """Writes rows of a table; text that a spreadsheet would run gets an apostrophe in front.

    Numbers stay as they are, and text that is a number too: nothing is run of it.

    Parameters
    ----------
    head : whether a line with the names of the columns comes first.
    """
    table.apply(_marked).to_csv(_Lines(file), header=head, index=False, lineterminator=_END)


def read_predictions(path: str | Path) -> pd.DataFrame:
    """The table of a ``predictions.csv``, or of a .csv of `scadv_tf.annotate`, as it was written.

    `pandas.read_csv` reads them too, but keeps the apostrophes of `write_rows`, takes a type called
    NA for missing, and cells or types called 007 for numbers.

    Raises
    ------
    InputError : there is no such table.
    """
    try:
        columns = pd.read_csv(path, nrows=0).columns
        names = {name: str for name in columns if not _NUMBERS.fullmatch(name)}
        table = pd.read_csv(path, keep_default_na=False, na_values={}, dtype=names)
    except (ValueError, TypeError, OSError) as error:
        raise InputError(
            what="This is no table of predictions that can be read.",
            expected="the path of a predictions.csv, or of a .csv of annotate",
            received=f"{path!r:.200} ({type(error).__name__}: {error})",
            advice="Give the file as it was written; of an .h5ad, the labels are in its obs.",
        ) from error
    return table.apply(_unmarked)


class _Lines:
    """A file whose lines end as everywhere here.

    Of the characters that may end a line, csv quotes those of the end that it is told of: a name
    with a carriage return would make two rows of one. It writes a row at a time.
    """

    def __init__(self, file: TextIO):
        self._file = file

    def write(self, row: str) -> None:
        self._file.write(row.removesuffix(_END) + "\n")


def _marked(column: pd.Series) -> pd.Series:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.rename_categories(_marked_text)
    return column if pd.api.types.is_numeric_dtype(column) else column.map(_marked_text)


def _unmarked(column: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column):
        return column
    return column.map(lambda text: text.removeprefix(MARK) if isinstance(text, str) else text)


def _marked_text(text: object) -> object:
    if isinstance(text, str) and text.startswith(_RUN) and not _is_number(text):
        return MARK + text
    return text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text[0] in "+-"
