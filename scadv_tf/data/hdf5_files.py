"""HDF5 files, opened for reading."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import h5py

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
        if 0 < path.stat().st_size <= LARGEST:
            _check_heaps(path)
    except BaseException:
        file.close()
        raise
    return file


def _check_heaps(path: Path) -> None:
    """HDF5 1.14 goes round for ever where the length of a text leads it to no other place."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        start = content.find(HEAP)
        while 0 <= start <= len(content) - LEAST:
            end = start + _LENGTH.unpack_from(content, start)[0]
            if start + LEAST <= end <= len(content):  # else it is no heap, or HDF5 refuses it
                _check_heap(content, start + _LENGTH.size, end)
            start = content.find(HEAP, start + len(HEAP))


def _check_heap(content: mmap.mmap, place: int, end: int) -> None:
    while place + _TEXT.size <= end:
        number, length = _TEXT.unpack_from(content, place)
        # What is free has the number 0, and its length is that of both.
        whole = _TEXT.size + -(-length // STEP) * STEP if number else length
        if not 0 < whole < 2**63:
            raise OSError("a heap of its texts is damaged")
        place += whole
