"""The folder that 10x Genomics' Cell Ranger writes: matrix.mtx, barcodes.tsv and features.tsv.

Covers gzipped and plain files, the ``genes.tsv`` of Cell Ranger 2, the ``peaks.bed`` of Cell Ranger
ATAC, and prefixed names as in GEO downloads.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np
import pandas as pd

from scadv_tf.data.readable import readable
from scadv_tf.data.spill import ENTRIES_AT_ONCE, Entries
from scadv_tf.data.stored_cells import Asked, StoredCells, no_table
from scadv_tf.data.stored_matrices import UnsortedEntries
from scadv_tf.data.tables import StoredText
from scadv_tf.data.text_blocks import is_gzipped, open_text
from scadv_tf.errors import InputError

if TYPE_CHECKING:
    import h5py


def read_10x_mtx(asked: Asked, file: h5py.File | None) -> StoredCells | None:
    """The cells of a 10x mtx folder, or of the matrix.mtx in one; None where the path is neither.

    Raises
    ------
    InputError : one of the three files is missing, or their sizes disagree.
    """
    path = asked.path
    if file is not None or not (
        path.is_dir() or path.name.casefold().endswith(("matrix.mtx", "matrix.mtx.gz"))
    ):
        return None
    matrix_path = path if path.is_file() else _find(path, "*matrix.mtx")
    folder, prefix = matrix_path.parent, matrix_path.name.partition("matrix.mtx")[0]
    features = (prefix + name for name in ("features.tsv", "genes.tsv", "peaks.bed"))
    barcodes = _find(folder, f"{prefix}barcodes.tsv")
    return stored_mtx(asked, matrix_path, barcodes, _find(folder, *features))


def stored_mtx(asked: Asked, matrix_path: Path, barcodes: Path, features: Path) -> StoredCells:
    """The cells of the three files, whatever they are called; but peaks are in a .bed.

    Raises
    ------
    InputError : their sizes disagree, or those of the names cannot be read.
    """
    with readable(barcodes, "barcodes.tsv"):
        cell_names = _table(barcodes)[0].to_numpy(dtype=str)
    names = StoredText(np.char.encode(cell_names, "utf-8"))  # a quarter of the memory
    with readable(features, "features.tsv or peaks.bed"):
        var = _features(features)
    cells = len(names)
    turned = _cells_are_columns(_shape(matrix_path), cells, len(var), matrix_path.parent)

    def entries() -> Iterator[Entries]:
        for rows, columns, values in mtx_entries(matrix_path):
            yield (columns, rows, values) if turned else (rows, columns, values)

    matrix = UnsortedEntries(entries, (cells, len(var)), asked.scratch)
    return StoredCells("10x mtx", matrix, names, var, no_table(cells), from_10x=True)


def _cells_are_columns(shape: tuple[int, int], cells: int, features: int, folder: Path) -> bool:
    """Whether a mtx matrix is features x cells, as usual, or the other way round.

    Raises
    ------
    InputError : it is neither.
    """
    if tuple(shape) == (features, cells):
        return True
    if tuple(shape) == (cells, features):
        return False
    raise InputError(
        what=f"the files in {folder} do not belong together",
        expected=f"a matrix of {features} features x {cells} cells",
        received=f"{shape[0]} x {shape[1]}",
        advice="check that matrix, barcodes and features come from the same run",
    )


def _find(folder: Path, *names: str) -> Path:
    found = [p for name in names for end in ("", ".gz") for p in sorted(folder.glob(name + end))]
    if len(found) == 1:
        return found[0]
    present = found or sorted(folder.iterdir())[:20]
    raise InputError(
        what=f"{folder} is not one 10x mtx folder",
        expected=f"exactly one file {' or '.join(names)} (.gz or not)",
        received=", ".join(p.name for p in present) or "an empty folder",
        advice="give the folder with matrix.mtx, barcodes.tsv and features.tsv (or genes.tsv, "
        "peaks.bed); where a folder holds several samples, the path of one sample's matrix.mtx",
    )


def _table(path: Path, **options: str) -> pd.DataFrame:
    # na_filter: there are genes whose symbol reads as a missing value.
    return pd.read_csv(
        path, sep="\t", header=None, dtype=str, na_filter=False, quoting=csv.QUOTE_NONE,
        compression="gzip" if is_gzipped(path) else None, **options,
    )  # fmt: skip


def _features(path: Path) -> pd.DataFrame:
    if "peaks.bed" in path.name:
        table = _table(path, comment="#")
        names = table[0] + ":" + table[1] + "-" + table[2]
        return pd.DataFrame({"feature_types": "Peaks"}, index=names.to_numpy())
    table = _table(path)
    names = table[min(1, table.shape[1] - 1)].to_numpy()
    var = pd.DataFrame({"gene_ids": table[0].to_numpy()}, index=names)
    if table.shape[1] > 2:
        var["feature_types"] = table[2].to_numpy()
    return var


def _shape(path: Path) -> tuple[int, int]:
    """Rows and columns of a MatrixMarket file, gzipped or not."""
    with open_text(path) as file:
        return _head(file)[:2]


def mtx_entries(path: Path) -> Iterator[Entries]:
    """Rows, columns (from 0) and values of a MatrixMarket file, gzipped or not.

    Raises
    ------
    ValueError : it is not a plain matrix of numbers, or has another number of entries than it says.
    """
    with open_text(path) as file:
        _, _, expected, kinds = _head(file)
        found = 0
        if expected:
            tables = pd.read_csv(
                file, sep=r"\s+", header=None, names=list(kinds), dtype=kinds, comment="%",
                na_filter=False, chunksize=ENTRIES_AT_ONCE,
            )  # fmt: skip
            for table in tables:
                found += len(table)
                values = table["value"] if "value" in table else np.ones(len(table))
                places = (table[name].to_numpy() - 1 for name in ("row", "column"))
                yield *places, np.asarray(values)
        if found != expected:
            raise ValueError(f"{path.name} says it has {expected} entries, and has {found}")


def _head(file: TextIO) -> tuple[int, int, int, dict[str, type]]:
    """Reads to the end of the line of sizes: rows, columns, entries, and what a line then holds."""
    kind = file.readline().casefold().split()
    known = kind[:3] == ["%%matrixmarket", "matrix", "coordinate"]
    if not (known and kind[3] in ("integer", "real", "pattern") and kind[4] == "general"):
        raise ValueError(f"'{' '.join(kind)}' is no general coordinate matrix of numbers")
    line = file.readline()
    while line.startswith("%") or (line and not line.strip()):
        line = file.readline()
    rows, columns, entries = map(int, line.split())
    kinds: dict[str, type] = {"row": np.int64, "column": np.int64}
    if kind[3] != "pattern":  # which has places alone
        kinds["value"] = np.float64
    return rows, columns, entries, kinds
