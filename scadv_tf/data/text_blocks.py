"""Large tables of text, plain or gzipped, read in blocks of whole lines."""

from __future__ import annotations

import gzip
from codecs import BOM_UTF8
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TextIO

try:
    from isal import isal_zlib as zlib  # three times as fast
except ImportError:
    import zlib

BLOCK_BYTES = 1 << 20  # of text: the tables that it becomes stay in the cache of a processor
ENCODING = "utf-8-sig"  # Windows puts a mark at the beginning
_PIECE_BYTES = 1 << 18  # of the file
_BEGINNING_BYTES = 1 << 16  # enough for all lines of comments
GZIP = b"\x1f\x8b"  # how such a file begins
_WITH_HEADER = 31  # to zlib: the data have the header and the checksum of gzip


def blocks_of_lines(path: Path) -> Iterator[bytes]:
    """The text in blocks of whole lines, each of some megabytes; the last line gets its end.

    A block is read and inflated, by a second thread, while the one before is worked on.

    Raises
    ------
    EOFError : a gzipped file is cut short.
    zlib.error, or isal's : it is damaged.
    """
    blocks = _blocks(path)
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, blocks, None)
        while (block := coming.result()) is not None:
            coming = reader.submit(next, blocks, None)
            yield block


def is_gzipped(path: Path) -> bool:
    """Whether a file is, whatever it is called."""
    with open(path, "rb") as file:
        return file.read(2) == GZIP


def open_text(path: Path) -> TextIO:
    """Text in UTF-8, gzipped or not."""
    return (gzip.open if is_gzipped(path) else open)(path, "rt", encoding=ENCODING)


def beginning(path: Path) -> bytes:
    """The first bytes of a file's text; of a damaged or cut one, what can be had of them."""
    found = b""
    try:
        for piece in _text(path):
            found += piece
            if len(found) >= _BEGINNING_BYTES:
                break
    except (OSError, EOFError, zlib.error):
        pass
    return found[:_BEGINNING_BYTES]


def _blocks(path: Path) -> Iterator[bytes]:
    held: list[bytes] = []
    size = 0
    for piece in _text(path):
        held.append(piece)
        size += len(piece)
        if size >= BLOCK_BYTES and b"\n" in piece:
            whole, end, rest = b"".join(held).rpartition(b"\n")
            yield whole + end
            held, size = [rest], len(rest)
    last = b"".join(held)
    if last:
        yield last if last.endswith(b"\n") else last + b"\n"


def _text(path: Path) -> Iterator[bytes]:
    zipped = is_gzipped(path)
    with open(path, "rb") as file:
        pieces = iter(lambda: file.read(_PIECE_BYTES), b"")
        text = filter(None, _inflated(pieces) if zipped else pieces)
        yield next(text, b"").removeprefix(BOM_UTF8)  # of what Windows has saved
        yield from text


def _inflated(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The text of a gzipped file, which may have many members, as bgzip writes them.

    Python's own `gzip` reads 8 kB at a time, which takes three times as long.
    """
    member = zlib.decompressobj(_WITH_HEADER)
    for piece in pieces:
        while piece:
            if member.eof:
                piece = piece.lstrip(b"\0")  # padding between members is allowed
                if not piece:
                    break
                member = zlib.decompressobj(_WITH_HEADER)
            yield member.decompress(piece)
            piece = member.unused_data
    if not member.eof:
        raise EOFError("the gzipped file ends before the mark of its end")
