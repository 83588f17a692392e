"""A table of ATAC fragments, as Cell Ranger, chromap and sinto write it, made numbers on disk.

A line is a fragment: chromosome, start, end (0-based, half-open), barcode and, mostly, the number
of its reads; then maybe a strand. Lines that begin with # are comments. The order does not matter.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from scadv_tf.data.one_line import one_line
from scadv_tf.data.text_blocks import blocks_of_lines
from scadv_tf.errors import InputError

FRAGMENTS_AT_ONCE = 500_000
# What a table begins with. More columns than these have peaks of MACS, and other kinds of BED.
BEGINS = re.compile(rb"(?:#.*\n|\r?\n)*[^\t\n]+\t\d+\t\d+\t[^\t\r\n]+(?:\t\d+(?:\t[+.-])?)?\r?\n")

_COLUMNS = ("chrom", "start", "end", "barcode", "reads", "strand")
_RECORD = np.dtype([(name, "<i4") for name in _COLUMNS[:4]])
_COMMENT = re.compile(rb"^#.*\n?", re.MULTILINE)
_ARROW_BYTES = 1 << 30  # more than a block has: one table of names a block


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
    EOFError, zlib.error : the file is cut short or damaged.
    """

    def __init__(self, path: Path, folder: Path):
        self._path, self._records, self._columns = path, folder / "fragments", ()
        codes = {name: _Codes() for name in ("chrom", "barcode")}
        self.fragments = np.zeros(0, np.int64)
        lines = 0
        with open(self._records, "wb") as file:
            for block in blocks_of_lines(path):
                records = self._parsed(block, lines, codes)
                lines += block.count(b"\n")
                file.write(records.data)
                found = np.bincount(records["barcode"], minlength=len(codes["barcode"]))
                found[: len(self.fragments)] += self.fragments
                self.fragments = found
        self.chromosomes, self.barcodes = list(codes["chrom"]), list(codes["barcode"])
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

    def _parsed(self, block: bytes, line: int, codes: dict[str, _Codes]) -> np.ndarray:
        """The fragments of a block of lines, of which `line` came before."""
        import pyarrow

        text = _COMMENT.sub(b"", block) if block[:1] == b"#" or b"\n#" in block else block
        if text.isspace() or not text:
            return np.empty(0, _RECORD)
        try:
            first = text.lstrip(b"\r\n").partition(b"\n")[0]
            self._columns = self._columns or _COLUMNS[: max(4, first.count(b"\t") + 1)]
            table = _read(text, self._columns)
            records = np.empty(len(table), _RECORD)
            for name in ("start", "end"):
                records[name] = table[name].to_numpy()
            if not np.all((records["start"] >= 0) & (records["start"] < records["end"])):
                raise ValueError("a start is not before its end, or negative")
            for name, known in codes.items():
                records[name] = known.of(table[name])
        except (ValueError, pyarrow.ArrowInvalid) as error:
            faults = _faults(block, line, len(self._columns))
            raise _no_fragment(self._path, next(faults, (line + 1, text, str(error)))) from error
        return records


class _Codes(defaultdict):
    """Names -> their codes, in the order in which they are first asked for."""

    def __init__(self):
        super().__init__(self.__len__)

    def of(self, column) -> np.ndarray:
        """The codes of a column of dictionaries of Arrow, int32."""
        parts = []
        for chunk in column.chunks:
            names = chunk.dictionary.to_numpy(zero_copy_only=False)
            known = np.fromiter(map(self.__getitem__, names), np.int32, len(names))
            parts.append(known[chunk.indices.to_numpy()])
        if "" in self:
            raise ValueError("a name is empty")
        return np.concatenate(parts)


def _read(text: bytes, columns: Sequence[str]):
    """The columns of the lines as a table of Arrow."""
    import pyarrow
    from pyarrow import csv

    names = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    kinds = {name: pyarrow.int32() for name in ("start", "end", "reads")}
    kinds |= {"chrom": names, "barcode": names, "strand": names}
    return csv.read_csv(
        pyarrow.BufferReader(text),
        csv.ReadOptions(use_threads=False, column_names=columns, block_size=_ARROW_BYTES),
        csv.ParseOptions(delimiter="\t", quote_char=False),
        csv.ConvertOptions(column_types=kinds, null_values=[], strings_can_be_null=False),
    )


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
    for number, line in enumerate(block.splitlines(), before + 1):
        fault = _fault(line, columns)
        if fault:
            yield number, line, fault


def _fault(line: bytes, columns: int) -> str:
    """What is wrong with a line in a table of so many columns; '' if nothing."""
    fields = line.rstrip(b"\r").split(b"\t")
    if line.startswith(b"#") or not line.strip():
        return ""
    if len(fields) < 4:
        return f"it has {len(fields)} columns"
    for name, field in zip(_COLUMNS[1:3], fields[1:3], strict=True):
        if not re.fullmatch(rb"-?\d+", field):
            return f"its {name} is no whole number"
        if int(field) > np.iinfo(np.int32).max:
            return f"its {name} is beyond any chromosome"
    start, end = map(int, fields[1:3])
    if start < 0 or end < 0:
        return "it has a negative position"
    if end <= start:
        return "its end is not behind its start"
    if not fields[0] or not fields[3]:
        return "it has no " + ("barcode" if fields[0] else "chromosome")
    if len(fields) > 4 and not re.fullmatch(rb"\d{1,9}", fields[4]):
        return "its count of reads is no whole number"
    if len(fields) != columns:
        return f"it has {len(fields)} columns, others {columns}"
    return ""
