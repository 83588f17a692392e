"""Small tables of text about cells, whatever program and system they were saved by."""

from __future__ import annotations

import csv
import gzip
import io
import logging
import re
import zlib
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from pathlib import Path

import pandas as pd

from scadv_tf.data.text_blocks import GZIP

logger = logging.getLogger(__name__)

_MARKS = "\t,; "
_END = "end_of_table"  # a line that is read as such where no quotation mark is open
_SPREADSHEETS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_QUOTED = r"^'(.*)'$"
_BRACKETS = re.compile(r"\s*(?:[\w.]*\()?[\[{(]")


def read_rows(path: Path) -> pd.DataFrame:
    """The fields of a table, as text without quotes; where a row has fewer, ''.

    Columns are set apart by tabs, semicolons, commas or spaces. Where R has written no heading
    above the names of the rows, that is ''.

    Parameters
    ----------
    path : text in UTF-8, UTF-16 or the code page of Western Windows; gzipped or not.

    Raises
    ------
    OSError, EOFError, ValueError : there is no such file, or it is no such table.
    """
    text = _text(path)
    if _BRACKETS.match(text):
        raise ValueError(f"it begins with {text.strip()[0]}, as a list of Python or JSON does")
    rows = _rows(text)
    if not rows:
        raise ValueError("it is empty")
    if len(rows) > 1 and all(len(row) == len(rows[0]) + 1 for row in rows[1:]):
        ends = any(row[-1].strip() for row in rows[1:])  # without any, a mark ends each line
        rows[0] = ["", *rows[0]] if ends else [*rows[0], ""]
    _check_widths(rows)
    table = pd.DataFrame(rows, dtype=object).fillna("")
    return table.apply(lambda column: column.str.strip().str.replace(_QUOTED, r"\1", regex=True))


def _check_widths(rows: list[list[str]]) -> None:
    """ValueError where a row has more fields than the first: what it names would be cut."""
    width = len(rows[0])
    for row in rows if width > 1 else ():
        if any(field.strip() for field in row[width:]):
            raise ValueError(
                f"'{' | '.join(row)[:80]}' has {len(row)} fields, and the first line {width}: put "
                "names that hold a comma, or what else sets columns apart, in quotes"
            )


def _text(path: Path) -> str:
    content = path.read_bytes()
    if content.startswith(GZIP):
        try:
            content = gzip.decompress(content)
        except zlib.error as error:
            raise ValueError(f"it is damaged: {error}") from error
    if content.startswith(_SPREADSHEETS):
        raise ValueError("it is a spreadsheet, not text: save it as .csv")
    if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return content.decode("utf-16")
    if b"\0" in content:
        raise ValueError("it is no text")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        logger.warning("%s is no text in UTF-8, and was read as one of Western Windows", path.name)
        return content.decode("cp1252", "replace")


def _rows(text: str) -> list[list[str]]:
    """The fields of each row that is not empty, set apart by the first mark that fits all rows.

    The headings of R may lack one; spaces must not be those within a label.
    """
    found = {mark: _split(text, mark) for mark in _MARKS}
    if '"' not in text and any(len(row) > 2 for row in found[" "] or ()):
        del found[" "]
    for first in (0, 1):
        for rows in found.values():
            if rows and rows[first:] and all(len(row) > 1 for row in rows[first:]):
                return rows
    lines = _split(text, "\n")
    if lines is None or None in found.values():
        raise ValueError("one of its quotation marks opens, and none closes it")
    return [[field] for field, *_ in lines]


def _split(text: str, mark: str) -> list[list[str]] | None:
    """The fields; None where what a quotation mark opens does not end."""
    lines = io.StringIO(f"{text}\n{_END}", newline=None)  # all ends of lines are one
    rows = csv.reader(lines, delimiter=mark, skipinitialspace=True)
    try:
        *found, last = [row for row in rows if any(field.strip() for field in row)]
    except csv.Error:  # a field is far too long
        return None
    return found if last == [_END] else None
