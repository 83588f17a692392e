"""HDF5 files, opened for reading."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import h5py

BLOCK = 2**22  # bytes that are looked through at once
LARGEST = 2**30  # bytes; texts are the smallest part of a larger file, and to look takes seconds
# A heap of texts (HDF5 File Format Specification, III.E): what it begins with, and its length. Then
# come the texts: the number of each and its length, the text, and what pads it to a step.
HEAP, LEAST = b"GCOL\1\0\0\0", 4096
_LENGTH, _TEXT, STEP = struct.Struct("<8xQ"), struct.Struct("<H6xQ"), 8


def open_hdf5(path: Path) -> h5py.File:
    """Opens a file for reading.

    Raises
    ------
    OSError : it cannot be opened, or HDF5 would not come to an end with it.
    """
    import h5py

    file = h5py.File(path, "r")
    try:
        if path.stat().st_size <= LARGEST:
            _check_heaps(path)
    except BaseException:
        file.close()
        raise
    return file


def _check_heaps(path: Path) -> None:
    """HDF5 1.14 goes round for ever where the length of a text leads it to no other place."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        for start in [place for place in _places(file, HEAP) if place + LEAST <= size]:
            file.seek(start)
            end = start + _LENGTH.unpack(file.read(_LENGTH.size))[0]
            if start + LEAST <= end <= size:  # else it is no heap, or HDF5 refuses it
                _check_heap(file, start + _LENGTH.size, end)


def _check_heap(file: BinaryIO, place: int, end: int) -> None:
    while place + _TEXT.size <= end:
        file.seek(place)
        number, length = _TEXT.unpack(file.read(_TEXT.size))
        # What is free has the number 0, and its length is that of both.
        whole = _TEXT.size + -(-length // STEP) * STEP if number else length
        if not 0 < whole < 2**63:
            raise OSError("a heap of its texts is damaged")
        place += whole


def _places(file: BinaryIO, text: bytes) -> Iterator[int]:
    """Where a text stands in a file, of which little is held."""
    before, kept = 0, b""  # the bytes before those that are looked through, and the last of these
    while block := file.read(BLOCK):
        seen = kept + block
        place = seen.find(text)
        while place >= 0:
            yield before + place
            place = seen.find(text, place + len(text))
        kept = seen[1 - len(text) :]
        before += len(seen) - len(kept)
