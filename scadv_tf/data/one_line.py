"""Names that fit on a line each, as the lists of types, genes and peaks of an export hold them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

# Soft hyphen, zero-width space, word joiner, byte order mark: spreadsheets and pages leave them.
_INVISIBLE = dict.fromkeys((0x00AD, 0x200B, 0x2060, 0xFEFF))


def one_line(name: str) -> str:
    """The name with a space for each line break, of any kind that Unicode knows.

    Letters with marks become one sign each (NFC), as most programs write them; the names of a Mac's
    files, and lists made of them, have two. Signs that nobody sees go: two names would look alike.
    """
    return unicodedata.normalize("NFC", " ".join(name.splitlines()).translate(_INVISIBLE))


def first_of(names: Sequence[str], most: int) -> str:
    """The first of many names, for a sentence."""
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
