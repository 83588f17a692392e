"""Lines of fragments to numbers, compiled: a sixth of a microsecond a line.

A first loop walks over the text, and a second one looks the names up: by itself it is so short that
the processor fetches many entries of the table at a time, which takes a third of the time.

Import it where it is needed: numba takes its time, and a second more to compile what is here.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

_TAB, _END, _RETURN, _COMMENT, _ZERO = map(ord, "\t\n\r#0")
_LONGEST = 2**31 - 1
# Of two hashes of a name: FNV-1a, and a polynomial.
_SEED = np.uint64(14695981039346656037)
_FACTOR, _OTHER_FACTOR = np.uint64(1099511628211), np.uint64(11400714819323198485)
_LEAST_SLOTS = 1 << 12

_SHORTEST = 8  # bytes of a fragment, with the end of its line

# A name in some text: its hashes, and where it begins and ends.
KEY = np.dtype([("hash", "<u8"), ("other_hash", "<u8"), ("start", "<i4"), ("stop", "<i4")])


class Names:
    """Names -> their codes, in the order in which they first come.

    They are told apart by 128 bits of hashes: to compare their text would double the time, and of a
    million names, two are taken for one in one file of 10^27 (the birthday bound, n^2 / 2^129).

    Attributes
    ----------
    names : text, by code.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self._uses = np.empty(0, np.int64)
        self._hashes = np.empty((0, 2), np.uint64)
        self._slots = np.empty(0, np.int32)

    @property
    def uses(self) -> np.ndarray:
        """How often each was looked up, int64 [names]."""
        return self._uses[: len(self.names)]

    def codes(self, keys: np.ndarray, text: np.ndarray) -> np.ndarray:
        """The codes of some names, int32 [n]; new ones are taken over.

        Parameters
        ----------
        keys : `KEY` [n], the names in the text.

        Raises
        ------
        UnicodeDecodeError : a new one is no text in UTF-8.
        """
        self._make_room(len(keys))
        codes, new = np.empty(len(keys), np.int32), np.empty(len(text), np.uint8)
        table = self._slots, self._hashes, self._uses
        size = _look_up(keys, text, codes, *table, len(self.names), new)
        self.names += new[:size].tobytes().decode().split("\n")[:-1]
        return codes

    def _make_room(self, more: int) -> None:
        known = len(self.names)
        if 2 * (known + more) <= len(self._slots):
            return
        size = max(_LEAST_SLOTS, 1 << (4 * (known + more)).bit_length())
        self._slots = np.full(size, -1, np.int32)
        self._uses = np.concatenate([self.uses, np.zeros(size // 2 - known, np.int64)])
        hashes = np.empty((size // 2, 2), np.uint64)
        hashes[:known] = self._hashes[:known]
        self._hashes = hashes
        _fill(self._slots, hashes, known)


def most_fragments(block: bytes) -> int:
    """What `parse` needs room for: the names of a line are kept before it is known to be whole."""
    return len(block) // _SHORTEST + 1


@numba.njit(nogil=True)
def parse(
    text: np.ndarray, columns: int, records: np.ndarray, chroms: np.ndarray, barcodes: np.ndarray
) -> tuple[int, int]:
    """Counts the fragments in some lines, each with its end, and the lines.

    Parameters
    ----------
    text : uint8.
    columns : how many a line has, 4 or more.
    records : [`most_fragments`], get start and end.
    chroms, barcodes : `KEY` [`most_fragments`], get the names.

    Returns
    -------
    Their numbers; that of the fragments is -1 where a line is none.
    """
    place, found, lines = 0, 0, 0
    while place < len(text):
        if text[place] == _COMMENT:
            while text[place] != _END:
                place += 1
        if text[place] == _RETURN:
            place += 1
        if text[place] == _END:  # of a comment, or an empty line
            place += 1
            lines += 1
            continue
        place = _name(text, place, chroms[found])
        start, place = _number(text, place)
        end, place = _number(text, place)
        if text[place] != _TAB:
            return -1, lines
        place = _name(text, place + 1, barcodes[found])
        width = 4
        while text[place] == _TAB:
            width += 1
            if width == 5:
                reads, place = _number(text, place)
                if reads < 0:
                    return -1, lines
            else:
                place += 1
                while text[place] != _TAB and text[place] != _END:
                    place += 1
        if text[place] == _RETURN:
            place += 1
        named = _is_named(chroms[found]) and _is_named(barcodes[found])
        if not named or text[place] != _END or width != columns or start < 0 or end <= start:
            return -1, lines
        records[found].start, records[found].end = start, end
        found += 1
        place += 1
        lines += 1
    return found, lines


@numba.njit(nogil=True)
def _number(text: np.ndarray, place: int) -> tuple[int | np.int64, int]:
    """The number behind a tab, -1 if there is none, and where it ends."""
    if text[place] != _TAB:
        return -1, place
    place += 1
    first, value = place, 0
    digit = np.int64(text[place]) - _ZERO
    while 0 <= digit <= 9 and value <= _LONGEST:
        value = value * 10 + digit
        place += 1
        digit = np.int64(text[place]) - _ZERO
    return (value if place > first and value <= _LONGEST else -1), place


@numba.njit(nogil=True)
def _name(text: np.ndarray, place: int, key: Any) -> int:
    """Where a name ends: before a tab, an end of the line or another control character."""
    key.start = place
    hashed = other = _SEED
    while text[place] > _RETURN:
        byte = np.uint64(text[place])
        hashed = (hashed ^ byte) * _FACTOR
        other = (other + byte) * _OTHER_FACTOR
        place += 1
    key.stop, key.hash, key.other_hash = place, hashed, other
    return place


@numba.njit(nogil=True)
def _is_named(key: Any) -> bool:
    return key.stop > key.start


@numba.njit(nogil=True)
def _look_up(
    keys: np.ndarray,
    text: np.ndarray,
    codes: np.ndarray,
    slots: np.ndarray,
    hashes: np.ndarray,
    uses: np.ndarray,
    known: int,
    new: np.ndarray,
) -> int:
    """How much of `new` was filled with the text of new names, a line each."""
    size = 0
    for number in range(len(keys)):
        key = keys[number]
        slot = _slot(slots, hashes, key.hash, key.other_hash)
        if slots[slot] < 0:
            slots[slot] = known
            hashes[known, 0], hashes[known, 1] = key.hash, key.other_hash
            known += 1
            for place in range(key.start, key.stop):
                new[size] = text[place]
                size += 1
            new[size] = _END
            size += 1
        code = slots[slot]
        uses[code] += 1
        codes[number] = code
    return size


@numba.njit(nogil=True)
def _slot(slots: np.ndarray, hashes: np.ndarray, hashed: int, other: int) -> np.int64:
    """Where a name is, or would be: the first free slot from the one that its hash names."""
    last = len(slots) - 1
    slot = np.int64(hashed >> np.uint64(24)) & last
    code = slots[slot]
    while code >= 0 and not (hashes[code, 0] == hashed and hashes[code, 1] == other):
        slot = (slot + 1) & last
        code = slots[slot]
    return slot


@numba.njit(nogil=True)
def _fill(slots: np.ndarray, hashes: np.ndarray, known: int) -> None:
    for code in range(known):
        slots[_slot(slots, hashes, hashes[code, 0], hashes[code, 1])] = code
