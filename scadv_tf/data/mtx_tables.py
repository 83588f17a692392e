"""The tables beside a matrix.mtx, which name its cells and its features, as text.

With a line of headings or without, set apart by tabs, commas or spaces, as programs, R, Python and
spreadsheets save them; gzipped or not.
"""

from __future__ import annotations

import csv
import itertools
import re
from pathlib import Path

import numpy as np
import pandas as pd

from scadv_tf.data.features import KIND_COLUMN
from scadv_tf.data.text_blocks import ENCODING, is_gzipped, open_text

_HEADING = re.compile(
    r"unnamed: 0|(?:\w+_)?(?:names?|ids?|index|symbols?|barcodes?)|bc_wells?"
    r"|cells?|genes?|features?|peaks?|regions?|#?chr(?:om(?:osome)?)?|seqnames"
)
# What R and pandas call columns without a name.
_NO_HEADING = re.compile(r"x|v?\d+|")
_CELL = re.compile(r"(?:cell_?)?barcodes?|cells?|cell_?(?:ids?|names?)|bc_wells?")
_GENE = re.compile(r"(?:gene_?|feature_?)(?:names?|symbols?|short_name)|symbols?")
_QUOTED = r'^"(.*)"$'


def read_lines(path: Path) -> pd.DataFrame:
    """The fields of a table, as text without quotes; '' where a line has fewer.

    Raises
    ------
    OSError, EOFError, ValueError : the table cannot be read.
    """
    comments, *lines = _beginning(path)
    mark = _mark(path, "".join(lines))
    # Elsewhere a gene's name may have a quotation mark.
    quoting = csv.QUOTE_MINIMAL if mark == "," else csv.QUOTE_NONE
    widths = [len(re.split(mark, line)) for line in lines]
    table = pd.read_csv(
        # na_filter: there are genes whose symbol reads as a missing value.
        path, sep=mark, header=None, names=range(max(widths)), dtype=str, na_filter=False,
        quoting=quoting, compression="gzip" if is_gzipped(path) else None, skiprows=comments,
        encoding=ENCODING,
    ).fillna("")  # fmt: skip
    if widths[1] == widths[0] + 1:  # R writes no heading above the names of the rows
        table.iloc[0] = ["", *table.iloc[0, :-1]]
    table = table.apply(lambda texts: texts.str.strip())
    if '"' in "".join(lines):
        table = table.apply(lambda texts: texts.str.replace(_QUOTED, r"\1", regex=True))
    return table


def sizes_of(table: pd.DataFrame) -> tuple[int, ...]:
    """How many names a table may have: one less if its first line looks like headings."""
    first = table.iloc[0].str.casefold()
    headed = any(map(_HEADING.fullmatch, first)) or all(map(_NO_HEADING.fullmatch, first))
    return (len(table), len(table) - 1) if headed else (len(table),)


def cells_of(table: pd.DataFrame, size: int) -> pd.DataFrame:
    """The names of the cells as index; columns where the table has headings.

    Parameters
    ----------
    table : as from `read_lines`.
    size : one of `sizes_of`, which tells whether there are headings.
    """
    table, headed = _columns(table, size)
    names = _first_called(table, _CELL) if headed else 0
    columns = table.drop(columns=names) if headed else table[[]]
    return columns.set_axis(pd.Index(table[names], dtype=object))


def features_of(table: pd.DataFrame, size: int) -> pd.DataFrame:
    """The names of the features as index, and what else the table has.

    An interval for each feature (chromosome, start, end) makes them peaks. Otherwise names are in
    the column of symbols, or in the second; before it identifiers, and behind it, where there are
    no headings, the types of features of 10x.

    Parameters : see `cells_of`.
    """
    table, headed = _columns(table, size)
    if _are_intervals(table):
        chrom, start, end = (table[name] for name in table.columns[:3])
        names = chrom + ":" + start + "-" + end
        return pd.DataFrame({KIND_COLUMN: "Peaks"}, index=names.to_numpy(dtype=object))
    second = table.columns[min(1, table.shape[1] - 1)]
    if headed:
        column = _first_called(table, _GENE, second)
        return table.drop(columns=column).set_axis(pd.Index(table[column], dtype=object))
    of_10x = {"gene_ids": 0, KIND_COLUMN: 2}
    found = {name: table[n].to_numpy() for name, n in of_10x.items() if n in table}
    return pd.DataFrame(found, index=pd.Index(table[second], dtype=object))


def _columns(table: pd.DataFrame, size: int) -> tuple[pd.DataFrame, bool]:
    """The table without numbers of the rows, and whether its columns are called by headings.

    Without any, columns are numbered from 0.
    """
    headed = len(table) != size
    if headed:
        called = [name or f"column {n}" for n, name in enumerate(table.iloc[0])]
        table = table.iloc[1:].set_axis(called, axis=1)
        table = table.loc[:, ~table.columns.duplicated()]
    if table.shape[1] > 1 and _are_row_numbers(table.iloc[:, 0]):
        table = table.iloc[:, 1:]
        table = table if headed else table.set_axis(range(table.shape[1]), axis=1)
    return table, headed


def _mark(path: Path, text: str) -> str:
    """What sets the columns apart; names of cells may have commas, and those of genes spaces."""
    ending = path.name.casefold().removesuffix(".gz").rpartition(".")[2]
    return "\t" if "\t" in text else {"csv": ",", "bed": r"\s+"}.get(ending, "\t")


def _beginning(path: Path) -> tuple[int, str, str]:
    """How many lines of comments come first, and the two lines behind them."""
    with open_text(path) as file:
        comments = 0
        for line in file:
            if not line.startswith("# ") and line.strip() != "#":
                rest = [line, *itertools.islice(file, 1), ""]
                return comments, rest[0].rstrip("\r\n"), rest[1].rstrip("\r\n")
            comments += 1
    raise ValueError(f"{path.name} has no names")


def _first_called(table: pd.DataFrame, kind: re.Pattern, otherwise: str = "") -> str:
    """The first column with such a heading; without one, the other, or the first of all."""
    called = (name for name in table.columns if kind.fullmatch(name.casefold()))
    return next(called, otherwise or table.columns[0])


def _are_row_numbers(column: pd.Series) -> bool:
    """Whether a column counts the rows, from 0 or from 1."""
    return any(
        column.iloc[0] == str(start) and column.iloc[-1] == str(len(column) - 1 + start)
        for start in (0, 1)
    ) and bool(np.char.isdigit(column.to_numpy(dtype=str)).all())


def _are_intervals(table: pd.DataFrame) -> bool:
    """Whether the first columns are a chromosome, a start and an end."""
    return table.shape[1] > 2 and all(
        np.char.isdigit(table.iloc[:, column].to_numpy(dtype=str)).all() for column in (1, 2)
    )
