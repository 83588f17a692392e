"""The .h5 of 10x Genomics' Cell Ranger 2 and newer, and of what writes the like, as CellBender."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from scadv_tf.data.stored_cells import Asked, FileFormat, StoredCells
from scadv_tf.data.stored_matrices import SparseRows
from scadv_tf.data.tables import StoredText
from scadv_tf.errors import InputError

if TYPE_CHECKING:
    import h5py

MATRIX = "matrix"  # since Cell Ranger 3; before, the name of the genome


def _fits(path: Path, file: h5py.File | None) -> bool:
    return file is not None and (MATRIX in file or bool(_genomes(file)))


def _genomes(file: h5py.File) -> list[str]:
    """The groups that hold a matrix of Cell Ranger 2."""
    return [name for name, group in file.items() if hasattr(group, "keys") and "barcodes" in group]


def _read(asked: Asked, file: h5py.File) -> StoredCells:
    if MATRIX in file:
        group, names = file[MATRIX], "features/name"
        columns = {"gene_ids": "features/id", "feature_types": "features/feature_type"}
        columns |= {"interval": "features/interval"}
    else:
        genome = _only_genome(asked, file)
        group, columns, names = file[genome], {"gene_ids": "genes"}, "gene_names"
    found = {name: StoredText(group[where])[:] for name, where in columns.items() if where in group}
    table = {name: values.astype(object) for name, values in found.items()}
    var = pd.DataFrame(table, index=StoredText(group[names])[:].astype(object))
    barcodes = StoredText(group["barcodes"])
    features, cells = map(int, group["shape"][:])
    if (features, cells) != (len(var), len(barcodes)):
        raise ValueError(f"matrix, barcodes and features differ: {features} x {cells}")
    matrix = SparseRows(group, (cells, features))  # features x cells by columns is cells by rows
    return StoredCells(matrix, barcodes, var, lambda: pd.DataFrame(index=pd.RangeIndex(cells)))


TENX_H5 = FileFormat("10x .h5", _fits, _read, from_10x=True)


def _only_genome(asked: Asked, file: h5py.File) -> str:
    genomes = _genomes(file)
    if len(genomes) == 1:
        return genomes[0]
    raise InputError(
        what=f"{asked.path.name} holds the cells of several genomes, a matrix for each",
        expected="the matrix of one genome",
        received=", ".join(genomes),
        advice="write one of them to a file of its own, e.g. with "
        f"scanpy.read_10x_h5(file, genome='{genomes[0]}').write_h5ad(new)",
    )
