"""Large tables of text, plain or gzipped, read in blocks of whole lines."""

from __future__ import annotations

import gzip
from codecs import BOM_UTF8
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TextIO

from isal import igzip, isal_zlib  # thrice as fast as Python's own

BLOCK_BYTES = 1 << 20  # of text: the tables that it becomes stay in the cache of a processor
ENCODING = "utf-8-sig"  # Windows puts a mark at the beginning
_PIECE_BYTES = 1 << 18  # of the file
_BEGINNING_BYTES = 1 << 16  # enough for all lines of comments
GZIP = b"\x1f\x8b"  # how such a file begins


def blocks_of_lines(path: Path) -> Iterator[bytes]:
    """The text in blocks of whole lines, each of some megabytes; the last line gets its end.

    A block is read and inflated, by a second thread, while the one before is worked on.

    Raises
    ------
    EOFError : a gzipped file is cut short.
    isal_zlib.error : it is damaged.
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
    except (OSError, EOFError, isal_zlib.error):
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
    with (igzip.open if is_gzipped(path) else open)(path, "rb") as file:
        text = iter(lambda: file.read(_PIECE_BYTES), b"")
        yield next(text, b"").removeprefix(BOM_UTF8)  # of what Windows has saved
        yield from text
