"""Lines of fragments to numbers, compiled: a fifth of a microsecond a line.

Import it where it is needed: numba takes its time, and a second more to compile what is here.
"""

from __future__ import annotations

import numba
import numpy as np

_TAB, _END, _RETURN, _COMMENT, _ZERO = (np.uint8(ord(mark)) for mark in "\t\n\r#0")
_LONGEST = 2**31 - 1
# Of the hash FNV-1a.
_SEED, _FACTOR = np.uint64(14695981039346656037), np.uint64(1099511628211)
_LEAST_SLOTS = 1 << 12


class Names:
    """Names -> their codes, in the order in which they first come.

    They are told apart by a hash of 64 bits: of a million names, two are taken for one in one file
    of some 37 million (the birthday bound, n^2 / 2^65).

    Attributes
    ----------
    names : text, by code.
    """

    def __init__(self):
        self.names: list[str] = []
        self._hashes = np.empty(0, np.uint64)
        self._slots = np.empty(0, np.int32)

    def ready(self, more: int) -> tuple[np.ndarray, ...]:
        """What `parse` looks names up in, with room for so many new ones."""
        known = len(self.names)
        if 2 * (known + more) > len(self._slots):
            size = max(_LEAST_SLOTS, 1 << (4 * (known + more)).bit_length())
            self._hashes = np.concatenate([self._hashes[:known], np.empty(size // 2, np.uint64)])
            self._slots = np.full(size, -1, np.int32)
            _fill(self._slots, self._hashes, known)
        self._places = np.empty((more, 2), np.int64)
        self._count = np.array([known, known])
        return self._slots, self._hashes, self._places, self._count

    def learn(self, text: bytes) -> None:
        """Takes over the names that `parse` has met first in this text."""
        new = self._places[: self._count[0] - len(self.names)]
        self.names += [text[start:stop].decode() for start, stop in new.tolist()]


@numba.njit(nogil=True)
def parse(
    text: np.ndarray, columns: int, records: np.ndarray, chroms: tuple, barcodes: tuple
) -> int:
    """The number of fragments in some lines, each with its end; -1 where a line is none.

    Parameters
    ----------
    text : uint8.
    columns : how many a line has, 4 or more.
    records : int32 [lines, 4], gets chromosome, start, end and barcode.
    chroms, barcodes : as from `Names.ready`.
    """
    place, found = 0, 0
    while place < len(text):
        if text[place] == _COMMENT:
            while text[place] != _END:
                place += 1
        if text[place] == _END or text[place] == _RETURN:  # of a comment, or an empty line
            place += 1
            continue
        chrom, place = _name(text, place, chroms)
        start, place = _number(text, place)
        end, place = _number(text, place)
        if text[place] != _TAB:
            return -1
        barcode, place = _name(text, place + 1, barcodes)
        width = 4
        while text[place] == _TAB:
            width += 1
            if width == 5:
                reads, place = _number(text, place)
                if reads < 0:
                    return -1
            else:
                place += 1
                while text[place] != _TAB and text[place] != _END:
                    place += 1
        if text[place] == _RETURN:
            place += 1
        fits = text[place] == _END and width == columns
        if not fits or chrom < 0 or barcode < 0 or start < 0 or end <= start:
            return -1
        records[found, 0], records[found, 1] = chrom, start
        records[found, 2], records[found, 3] = end, barcode
        found += 1
        place += 1
    return found


@numba.njit(nogil=True)
def _number(text, place):
    """The number behind a tab, -1 if there is none, and where it ends."""
    if text[place] != _TAB:
        return -1, place
    place += 1
    first, value = place, 0
    while _ZERO <= text[place] <= _ZERO + 9 and value <= _LONGEST:
        value = value * 10 + (text[place] - _ZERO)
        place += 1
    return (value if place > first and value <= _LONGEST else -1), place


@numba.njit(nogil=True)
def _name(text, place, names):
    """The code of a name, -1 if it is empty, and where it ends."""
    slots, hashes, places, count = names
    first, hashed = place, _SEED
    while text[place] != _TAB and text[place] != _END and text[place] != _RETURN:
        hashed = (hashed ^ np.uint64(text[place])) * _FACTOR
        place += 1
    if place == first:
        return -1, place
    slot = _slot(slots, hashes, hashed)
    if slots[slot] < 0:
        code, before = count
        slots[slot], hashes[code] = code, hashed
        places[code - before, 0], places[code - before, 1] = first, place
        count[0] += 1
    return slots[slot], place


@numba.njit(nogil=True)
def _slot(slots, hashes, hashed):
    """Where a name is, or would be: the first free slot from the one that its hash names."""
    last = len(slots) - 1
    slot = np.int64(hashed >> np.uint64(24)) & last
    while slots[slot] >= 0 and hashes[slots[slot]] != hashed:
        slot = (slot + 1) & last
    return slot


@numba.njit(nogil=True)
def _fill(slots, hashes, known):
    for code in range(known):
        slots[_slot(slots, hashes, hashes[code])] = code
