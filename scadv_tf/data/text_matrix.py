"""Counts as one table of text, features x cells with all their zeros, as GEO has them.

The first line names the cells, and each further one a feature, before its count in every cell. Such
a table is many times as large as its counts: it is read line by line.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from scadv_tf.data.spill import ENTRIES_AT_ONCE, Entries
from scadv_tf.data.stored_cells import Asked, StoredCells
from scadv_tf.data.stored_matrices import UnsortedEntries
from scadv_tf.data.tables import StoredText
from scadv_tf.data.text_blocks import open_text

SEPARATOR = "\t"


def stored_text_matrix(asked: Asked) -> StoredCells:
    """The cells of such a table, gzipped or not.

    It is read once for the names, and again for the counts, which are sorted by cell in the
    scratch folder.

    Raises
    ------
    ValueError : it is no such table.
    """
    with open_text(asked.path) as file:
        head = file.readline().rstrip("\r\n").split(SEPARATOR)
        features, width = [], 0
        for line in file:
            features.append(_unquoted(line.partition(SEPARATOR)[0]))
            width = width or line.count(SEPARATOR)
    # R writes no name above the features.
    cells = [_unquoted(name) for name in (head if len(head) == width else head[1:])]
    if not features or not width or len(cells) != width:
        raise ValueError(f"{len(cells)} cells are named, and lines have {width} counts")
    shape = len(cells), len(features)
    matrix = UnsortedEntries(lambda: _entries(asked.path, len(cells)), shape, asked.scratch)
    names = StoredText(np.char.encode(np.array(cells, dtype=str), "utf-8"))
    var = pd.DataFrame(index=pd.Index(features, dtype=object))
    return StoredCells("table of text", matrix, names, var)


def _unquoted(name: str) -> str:
    return name.strip().strip('"')


def _entries(path: Path, cells: int) -> Iterator[Entries]:
    """What is not zero: numbers of cells and features, and counts, some at a time."""
    parts: list[Entries] = []
    held = 0
    with open_text(path) as file:
        file.readline()
        for feature, line in enumerate(file):
            counts = _counts(line, cells)
            found = np.flatnonzero(counts)
            parts.append((found, np.full(len(found), feature), counts[found]))
            held += len(found)
            if held >= ENTRIES_AT_ONCE:
                yield _one(parts)
                parts, held = [], 0
    if parts:
        yield _one(parts)


def _one(parts: list[Entries]) -> Entries:
    rows, columns, counts = map(np.concatenate, zip(*parts, strict=True))
    return rows, columns, counts


def _counts(line: str, cells: int) -> np.ndarray:
    """The counts of one feature, float32 [cells]."""
    name, _, text = line.partition(SEPARATOR)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # NumPy warns of what is no number, and stops there
        try:
            counts = np.fromstring(text, dtype=np.float32, sep=SEPARATOR)
        except (DeprecationWarning, ValueError) as error:
            raise ValueError(f"the counts of {name} are not all numbers") from error
    if len(counts) != cells:
        raise ValueError(f"{name} has {len(counts)} counts, for {cells} cells")
    return counts
