"""The .h5 of 10x Genomics' Cell Ranger 2 and newer, and of what writes the like, as CellBender."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scadv_tf.data.features import KIND_COLUMN
from scadv_tf.data.hdf5_files import open_hdf5
from scadv_tf.data.readable import passed_over
from scadv_tf.data.stored_cells import Asked, StoredCells
from scadv_tf.data.stored_matrices import SparseRows
from scadv_tf.data.tables import StoredText, element_in, is_group
from scadv_tf.errors import InputError

if TYPE_CHECKING:
    import h5py

logger = logging.getLogger(__name__)

MATRIX = "matrix"  # since Cell Ranger 3; before, the name of the genome
FORMAT, BY_GENOME = "10x .h5", "10x .h5 of Cell Ranger 2"
OF_GENOMES = "10x .h5 of several genomes"


def read_10x_h5(asked: Asked, file: h5py.File | None) -> StoredCells | None:
    """The cells of a 10x .h5; None where the file is none."""
    genomes = [] if file is None else _genomes(file)
    if file is None:
        return None
    if MATRIX in genomes:
        group, names = file[MATRIX], "features/name"
        columns = {"gene_ids": "features/id", KIND_COLUMN: "features/feature_type"}
        columns |= {"interval": "features/interval"}
    elif genomes:
        group = file[_chosen(asked, genomes)]
        columns, names = {"gene_ids": "genes"}, "gene_names"
    else:
        return None
    found = {name: StoredText(group[where])[:] for name, where in columns.items() if where in group}
    table = {name: values.astype(object) for name, values in found.items()}
    var = pd.DataFrame(table, index=StoredText(group[names])[:].astype(object))
    file_format = FORMAT if MATRIX in genomes else BY_GENOME
    if several := _genomes_of_features(group):
        file_format = OF_GENOMES
        _choose_features(asked, var, StoredText(group["features/genome"])[:], several)
    barcodes = StoredText(group["barcodes"])
    features, cells = map(int, group["shape"][:])
    if (features, cells) != (len(var), len(barcodes)):
        raise ValueError(f"matrix, barcodes and features differ: {features} x {cells}")
    matrix = SparseRows(group, (cells, features))  # features x cells by columns is cells by rows
    return StoredCells(file_format, matrix, barcodes, var, from_10x=True)


def has_genomes(path: Path) -> bool:
    """Whether a file is such a one of Cell Ranger 2, or of several genomes."""
    with passed_over(), open_hdf5(path) as file:
        genomes = _genomes(file)
        if MATRIX in genomes:
            return bool(_genomes_of_features(file[MATRIX]))
        return bool(genomes)
    return False


def _genomes_of_features(matrix: h5py.Group) -> list[str]:
    """The genomes of the features in a file since Cell Ranger 3, if there are several."""
    if "features/genome" not in matrix:
        return []
    found = sorted({*StoredText(matrix["features/genome"])[:].tolist()} - {""})
    return found if len(found) > 1 else []


def _choose_features(
    asked: Asked, var: pd.DataFrame, of_features: np.ndarray, genomes: list[str]
) -> None:
    """Marks the features of other genomes than the chosen one as of another kind."""
    chosen = asked.choices.genome_group
    if not chosen:
        logger.warning(
            "%s has features of several genomes, and all are taken: --genome_group=%s takes those "
            "of one", asked.path.name, " or ".join(genomes),
        )  # fmt: skip
    elif chosen not in genomes:
        raise _not_chosen(asked, genomes, "features of several genomes")
    else:
        others = (of_features != chosen) & (of_features != "")
        kinds = var.get(KIND_COLUMN, pd.Series(asked.features, var.index, dtype=object))
        var[KIND_COLUMN] = kinds.where(~others, "of another genome")


def _genomes(file: Mapping) -> list[str]:
    """The groups that hold a matrix with barcodes, which are called by genomes or `MATRIX`."""
    groups = {name: element_in(file, name) for name in file}
    return [name for name, group in groups.items() if is_group(group) and "barcodes" in group]


def _chosen(asked: Asked, genomes: list[str]) -> str:
    """The genome that is asked for, or the only one."""
    chosen = asked.choices.genome_group
    if chosen in genomes or (len(genomes) == 1 and not chosen):
        return chosen or genomes[0]
    several = "several genomes, a matrix for each" if len(genomes) > 1 else "one genome"
    raise _not_chosen(asked, genomes, f"the cells of {several}")


def _not_chosen(asked: Asked, genomes: list[str], content: str) -> InputError:
    chosen = asked.choices.genome_group
    return InputError(
        what=f"{asked.path.name} holds {content}",
        expected=f"--genome_group={' or '.join(genomes)}",
        received=f"--genome_group={chosen}" if chosen else "none chosen",
        advice="choose one of them by --genome_group",
    )
