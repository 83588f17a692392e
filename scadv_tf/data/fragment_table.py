"""A table of ATAC fragments, as Cell Ranger, chromap and sinto write it, made numbers on disk.

A line is a fragment: chromosome, start, end (0-based, half-open), barcode and, mostly, the number
of its reads; then maybe a strand. Lines that begin with # are comments. The order does not matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scadv_tf.data.one_line import one_line
from scadv_tf.data.text_blocks import blocks_of_lines
from scadv_tf.errors import InputError

if TYPE_CHECKING:
    from scadv_tf.data.fragment_lines import Names

FRAGMENTS_AT_ONCE = 500_000
# What a table begins with. More columns than these have peaks of MACS, and other kinds of BED.
BEGINS = re.compile(rb"(?:#.*\n|\r?\n)*[^\t\n]+\t\d+\t\d+\t[^\t\r\n]+(?:\t\d+(?:\t[+.-])?)?\r?\n")

_COLUMNS = ("chrom", "start", "end", "barcode", "reads", "strand")
_RECORD = np.dtype([(name, "<i4") for name in _COLUMNS[:4]])


class FragmentTable:
    """All fragments of a file as numbers on disk, 16 bytes each.

    Parameters
    ----------
    path : the text, gzipped or not.
    folder : where the numbers go; the caller removes it.

    Attributes
    ----------
    chromosomes, barcodes : their names by code, in the order of their first fragments.
    fragments : int64 [barcodes], how many each has.

    Raises
    ------
    InputError : a line is no fragment, or there is none.
    EOFError, isal_zlib.error : the file is cut short or damaged.
    """

    def __init__(self, path: Path, folder: Path):
        from scadv_tf.data.fragment_lines import Names

        self._path, self._records, self._columns = path, folder / "fragments", 0
        chroms, barcodes = Names(), Names()
        lines = 0
        with open(self._records, "wb") as file:
            for block in blocks_of_lines(path):
                records, more = self._parsed(block, lines, chroms, barcodes)
                file.write(records.data)
                lines += more
        self.chromosomes, self.barcodes, self.fragments = (
            chroms.names,
            barcodes.names,
            barcodes.uses,
        )
        if not len(self.fragments):
            raise InputError(
                what=f"{path.name} holds no fragments",
                expected="a line a fragment",
                received=f"{lines:,} lines, of comments or empty",
                advice="check how the file was made",
            )

    def records(self) -> Iterator[np.ndarray]:
        """All fragments, in pieces: chrom and barcode (codes), start and end, int32."""
        with open(self._records, "rb") as file:
            while len(piece := np.fromfile(file, _RECORD, FRAGMENTS_AT_ONCE)):
                yield piece

    def _parsed(
        self, block: bytes, before: int, chroms: Names, barcodes: Names
    ) -> tuple[np.ndarray, int]:
        """The fragments of a block, of which so many lines came before, and how many it has."""
        from scadv_tf.data.fragment_lines import KEY, most_fragments, parse

        self._columns = self._columns or _width(block)
        text, most = np.frombuffer(block, np.uint8), most_fragments(block)
        records, (of_chrom, of_barcode) = np.empty(most, _RECORD), np.empty((2, most), KEY)
        found, lines = parse(text, self._columns, records, of_chrom, of_barcode)
        try:
            if found < 0:
                raise ValueError("it could not be read")
            records = records[:found]
            records["chrom"] = chroms.codes(of_chrom[:found], text)
            records["barcode"] = barcodes.codes(of_barcode[:found], text)
        except ValueError as error:
            faults = _faults(block, before, self._columns)
            unknown = before + 1, block.partition(b"\n")[0], str(error)
            raise _no_fragment(self._path, next(faults, unknown)) from error
        return records, lines


def _width(block: bytes) -> int:
    """How many columns the first line that is no comment has; 0 without one."""
    lines = (line for line in block.splitlines() if line.strip() and line[:1] != b"#")
    first = next(lines, None)
    return 0 if first is None else max(4, first.count(b"\t") + 1)


def _no_fragment(path: Path, found: tuple[int, bytes, str]) -> InputError:
    number, line, fault = found
    text = one_line(line[:100].decode("utf-8", "replace"))
    return InputError(
        what=f"line {number:,} of {path.name} is no fragment: {fault}",
        expected="chromosome, start, end, barcode and maybe a count of reads, separated by tabs, "
        "with 0 <= start < end",
        received=text.replace("\t", " "),
        advice="make the file again, or take such lines out",
    )


def _faults(block: bytes, before: int, columns: int) -> Iterator[tuple[int, bytes, str]]:
    """Number, text and fault of each line that is no fragment of so many columns."""
    for number, line in enumerate(block.split(b"\n")[:-1], before + 1):
        fault = _fault(line, columns)
        if fault:
            yield number, line, fault


def _fault(line: bytes, columns: int) -> str:
    """What is wrong with a line in a table of so many columns; '' if nothing."""
    line = line.removesuffix(b"\r")
    fields = line.split(b"\t")
    if line.startswith(b"#") or not line:
        return ""
    if b"\r" in line:
        return "its ends of lines are those of an old Macintosh, CR alone"
    if re.search(rb"[\0-\x08\x0b\x0c]", line):
        return "it has a control character"
    if len(fields) < 4:
        return f"it has {len(fields)} columns"
    for name, field in zip(_COLUMNS[1:3], fields[1:3], strict=True):
        if not re.fullmatch(rb"-?\d+", field):
            return f"its {name} is no whole number"
        if len(field.lstrip(b"-0")) > 10 or int(field) > np.iinfo(np.int32).max:
            return f"its {name} is beyond any chromosome"
    start, end = map(int, fields[1:3])
    if start < 0 or end < 0:
        return "it has a negative position"
    if end <= start:
        return "its end is not behind its start"
    try:
        line.decode()
    except UnicodeDecodeError:
        return "it is no text in UTF-8"
    if not fields[0] or not fields[3]:
        return "it has no " + ("barcode" if fields[0] else "chromosome")
    if len(fields) > 4 and not re.fullmatch(rb"\d{1,9}", fields[4]):
        return "its count of reads is no whole number"
    if len(fields) != columns:
        return f"it has {len(fields)} columns, others {columns}"
    return ""
