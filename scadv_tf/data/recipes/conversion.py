"""Some cells of a file, written as an .h5ad of its own, block by block."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from scadv_tf.data.cell_files import CellFile
from scadv_tf.data.h5ad_parts import start_h5ad, write_counts
from scadv_tf.data.new_h5 import new_h5
from scadv_tf.data.readable import readable
from scadv_tf.data.stored_cells import Asked, Called, StoredCells
from scadv_tf.data.writers import CELLS_AT_ONCE, COMPRESSION
from scadv_tf.errors import InputError


def cells_in(
    path: Path, modality: str, scratch: Path, read: Callable[[Asked], StoredCells]
) -> CellFile:
    """The cells of a file in a format that `open_cells` does not look for.

    Parameters
    ----------
    scratch : an empty folder, for what is sorted by cell.
    read : what makes cells of the file.

    Raises
    ------
    InputError : the file is damaged, or of another format.
    """
    asked = Asked(path, modality, "", Called(f"the file {path.name}"), lambda: scratch)
    with readable(path, path.suffix):
        return CellFile(asked, read(asked), contextlib.ExitStack())


def write_cells(
    path: Path, source: CellFile, rows: np.ndarray, obs: pd.DataFrame, notes: dict[str, str]
) -> int:
    """Writes some cells of a file with a table of their own.

    Parameters
    ----------
    rows : numbers of the cells [n], rising.
    obs : their table [n], indexed by the names that they get.
    notes : text by name, which goes to ``uns``.

    Returns
    -------
    n.
    """
    from anndata.io import write_elem

    with new_h5(path) as (file, check):
        start_h5ad(file, source.var.index, notes, **COMPRESSION)
        for name, table in {"var": source.var, "obs": obs}.items():
            del file[name]
            write_elem(file, name, table, dataset_kwargs=COMPRESSION)
        shape = len(rows), len(source.var)
        write_counts(file, "X", _blocks(source, rows, check), shape, **COMPRESSION)
    return len(rows)


def _blocks(
    source: CellFile, rows: np.ndarray, check: Callable[[], None]
) -> Iterator[sparse.csr_matrix]:
    for start in range(0, source.cells, CELLS_AT_ONCE):
        stop = min(start + CELLS_AT_ONCE, source.cells)
        wanted = rows[(rows >= start) & (rows < stop)] - start
        if len(wanted):
            yield source.counts(start, stop)[wanted]
        check()


def check_any(rows: np.ndarray, source: CellFile, table: Path, named: pd.Index) -> None:
    """Fails if a table describes none of the cells of a file.

    Parameters
    ----------
    rows : numbers of the cells that it describes.
    named : the names in the table.
    """
    if len(rows):
        return
    raise InputError(
        what=f"{table.name} names none of the cells of {source.path.name}",
        expected=f"names such as {', '.join(source.names(0, min(3, source.cells)))}",
        received=f"names such as {', '.join(map(str, named[:3]))}",
        advice=f"these files are of different experiments: remove them from {table.parent}, and "
        "they are downloaded again",
    )
