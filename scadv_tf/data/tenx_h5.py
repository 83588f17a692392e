"""The .h5 of 10x Genomics' Cell Ranger 2 and newer, and of what writes the like, as CellBender."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from scadv_tf.data.stored_cells import Asked, StoredCells, no_table
from scadv_tf.data.stored_matrices import SparseRows
from scadv_tf.data.tables import StoredText
from scadv_tf.errors import InputError

if TYPE_CHECKING:
    import h5py

MATRIX = "matrix"  # since Cell Ranger 3; before, the name of the genome


def read_10x_h5(asked: Asked, file: h5py.File | None) -> StoredCells | None:
    """The cells of a 10x .h5; None where the file is none."""
    genomes = _genomes(file or {})
    if MATRIX in genomes:
        group, names = file[MATRIX], "features/name"
        columns = {"gene_ids": "features/id", "feature_types": "features/feature_type"}
        columns |= {"interval": "features/interval"}
    elif genomes:
        _check_single(asked, genomes)
        group, columns, names = file[genomes[0]], {"gene_ids": "genes"}, "gene_names"
    else:
        return None
    found = {name: StoredText(group[where])[:] for name, where in columns.items() if where in group}
    table = {name: values.astype(object) for name, values in found.items()}
    var = pd.DataFrame(table, index=StoredText(group[names])[:].astype(object))
    barcodes = StoredText(group["barcodes"])
    features, cells = map(int, group["shape"][:])
    if (features, cells) != (len(var), len(barcodes)):
        raise ValueError(f"matrix, barcodes and features differ: {features} x {cells}")
    matrix = SparseRows(group, (cells, features))  # features x cells by columns is cells by rows
    return StoredCells("10x .h5", matrix, barcodes, var, no_table(cells), from_10x=True)


def _genomes(file: Mapping) -> list[str]:
    """The groups that hold a matrix with barcodes, which are called by genomes or `MATRIX`."""
    return [name for name, group in file.items() if hasattr(group, "keys") and "barcodes" in group]


def _check_single(asked: Asked, genomes: list[str]) -> None:
    if len(genomes) > 1:
        raise InputError(
            what=f"{asked.path.name} holds the cells of several genomes, a matrix for each",
            expected="the matrix of one genome",
            received=", ".join(genomes),
            advice="write one of them to a file of its own, e.g. with "
            f"scanpy.read_10x_h5(file, genome='{genomes[0]}').write_h5ad(new)",
        )
