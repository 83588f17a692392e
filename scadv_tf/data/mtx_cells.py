"""A matrix in MatrixMarket form with the names of its cells and features in files beside it.

As 10x Genomics' Cell Ranger, STARsolo, kallisto|bustools, alevin-fry and split-pipe write it, cells
in columns or in rows, gzipped or not; see `scadv_tf.data.mtx_files` for the names of the files.
"""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np
import pandas as pd

from scadv_tf.data.mtx_files import MtxFiles, is_mtx, mtx_files
from scadv_tf.data.mtx_tables import cells_of, features_of, read_lines, sizes_of
from scadv_tf.data.readable import readable
from scadv_tf.data.spill import ENTRIES_AT_ONCE, Entries
from scadv_tf.data.stored_cells import Asked, StoredCells
from scadv_tf.data.stored_matrices import UnsortedEntries
from scadv_tf.data.tables import StoredText
from scadv_tf.data.text_blocks import open_text
from scadv_tf.errors import InputError

if TYPE_CHECKING:
    import h5py

logger = logging.getLogger(__name__)

FORMAT = "mtx"
# What a line holds of the place of its value.
_FORMS = {"coordinate": ("row", "column"), "array": ()}
_NUMBERS = ("integer", "unsigned-integer", "real", "double", "pattern")
_NOT_A_NUMBER = ("nan", "NaN", "-nan", "NA")  # as C, R and Python write it
# Programs that have cells in rows: kallisto|bustools, alevin-fry and split-pipe.
_BY_CELL = re.compile(r"(?i)cells_x_|quants_mat|cell_metadata")


def read_mtx(asked: Asked, file: h5py.File | None) -> StoredCells | None:
    """The cells of a folder with one matrix, or of the matrix in one; None where it is neither.

    Raises
    ------
    InputError : one of the three files is missing, or their sizes disagree.
    """
    if file is not None or not (asked.path.is_dir() or is_mtx(asked.path)):
        return None
    return stored_mtx(asked, mtx_files(asked.path))


def stored_mtx(asked: Asked, files: MtxFiles) -> StoredCells:
    """The cells of three files, whatever they are called.

    Raises
    ------
    InputError : their sizes disagree, or those of the names cannot be read.
    """
    with readable(files.cells, "table of cells, such as barcodes.tsv"):
        cells = read_lines(files.cells)
    with readable(files.features, "table of features, such as features.tsv or peaks.bed"):
        features = read_lines(files.features)
    sizes, turned = _sizes(_shape(files.matrix), sizes_of(cells), sizes_of(features), files)
    table, var = cells_of(cells, sizes[0]), features_of(features, sizes[1])
    names = StoredText(np.char.encode(table.index.to_numpy(dtype=str), "utf-8"))  # a quarter

    def entries() -> Iterator[Entries]:
        for rows, columns, values in mtx_entries(files.matrix):
            yield (columns, rows, values) if turned else (rows, columns, values)

    matrix = UnsortedEntries(entries, sizes, asked.scratch)
    obs = table.set_axis(pd.RangeIndex(len(table)))
    return StoredCells(FORMAT, matrix, names, var, obs.copy, from_10x=True)


def _sizes(
    shape: tuple[int, int], cells: tuple[int, ...], features: tuple[int, ...], files: MtxFiles
) -> tuple[tuple[int, int], bool]:
    """How many cells and features there are, and whether the matrix has features in its rows.

    Parameters
    ----------
    cells, features : how many each table may name, see `sizes_of`.

    Raises
    ------
    InputError : the matrix has another size.
    """
    if shape[0] == shape[1] and shape[0] in cells and shape[0] in features:
        by_cell = any(_BY_CELL.search(path.name) for path in (files.matrix, files.cells))
        logger.warning(
            "%s has as many rows as columns: its %s are taken for the cells, as programs that use "
            "these names of files write it",
            files.matrix.name, "rows" if by_cell else "columns",
        )  # fmt: skip
        return shape, not by_cell
    for sizes in itertools.product(cells, features):
        if sizes in (shape, shape[::-1]):
            return sizes, sizes != shape
    raise InputError(
        what=f"the files in {files.matrix.parent} do not belong together",
        expected=f"a matrix of {features[-1]} features x {cells[-1]} cells, as "
        f"{files.features.name} and {files.cells.name} name them",
        received=f"{shape[0]} x {shape[1]} in {files.matrix.name}",
        advice="check that matrix, cells and features come from the same run",
    )


def _shape(path: Path) -> tuple[int, int]:
    """Rows and columns of a MatrixMarket file, gzipped or not."""
    with open_text(path) as file:
        head = _head(file)
    return head.rows, head.columns


def mtx_entries(path: Path) -> Iterator[Entries]:
    """Rows, columns (from 0) and values of a MatrixMarket file, gzipped or not.

    Raises
    ------
    ValueError : it is not a plain matrix of numbers, or has another number of entries than it says.
    """
    with open_text(path) as file:
        head = _head(file)
        found = 0
        if head.entries:
            tables = pd.read_csv(
                file, sep=r"\s+", header=None, names=list(head.fields), dtype=head.fields,
                comment="%", keep_default_na=False, na_values={"value": _NOT_A_NUMBER},
                chunksize=ENTRIES_AT_ONCE,
            )  # fmt: skip
            for table in tables:
                values = table["value"].to_numpy() if "value" in table else np.ones(len(table))
                if "row" in table:
                    rows, columns = (table[name].to_numpy() - 1 for name in ("row", "column"))
                else:  # every value, column by column
                    columns, rows = np.divmod(np.arange(found, found + len(table)), head.rows)
                found += len(table)
                kept = values != 0
                yield rows[kept], columns[kept], values[kept]
        if found != head.entries:
            raise ValueError(f"{path.name} says it has {head.entries} entries, and has {found}")


@dataclass(frozen=True)
class _Head:
    """Rows, columns and entries of a matrix, and what a line of it holds."""

    rows: int
    columns: int
    entries: int
    fields: dict[str, type]


def _head(file: TextIO) -> _Head:
    """Reads to the end of the line of sizes.

    Raises
    ------
    InputError : it is another matrix than of counts.
    """
    line = file.readline()
    words = line.casefold().split()[1:5]  # behind %%MatrixMarket
    if len(words) < 4 or words[0] != "matrix" or words[1] not in _FORMS:
        raise ValueError(f"'{line.strip()}' is no head of a matrix")
    _, form, numbers, symmetry = words
    if numbers not in _NUMBERS or symmetry != "general":
        raise InputError(
            what=f"the Matrix Market file is not one of counts, but {numbers} and {symmetry}",
            expected=f"a general matrix of one of {', '.join(_NUMBERS)}",
            received=line.strip(),
            advice="give the matrix of cells and features, not one of distances or neighbours; if "
            "it is that, write it again, e.g. with scipy.io.mmwrite(path, X, symmetry='general')",
        )
    line = file.readline()
    while line.startswith("%") or (line and not line.strip()):
        line = file.readline()
    fields: dict[str, type] = {name: np.int64 for name in _FORMS[form]}
    if numbers != "pattern":  # which has places alone
        fields["value"] = np.float64
    rows, columns, *entries = map(int, line.split())
    if len(entries) != (form == "coordinate"):
        raise ValueError(f"'{line.strip()}' are no sizes of a matrix of the form {form}")
    return _Head(rows, columns, entries[0] if entries else rows * columns, fields)
