"""The two formats that 10x Genomics' Cell Ranger writes."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from scipy import sparse

from scadv_tf.errors import InputError

if TYPE_CHECKING:
    import h5py
    from anndata import AnnData


def read_h5(path: Path) -> AnnData:
    """Read a 10x .h5 of Cell Ranger 2 or newer: all features, as stored.

    Returns
    -------
    AnnData [cells, features] with ``var['gene_ids']`` and, from Cell Ranger 3 on,
    ``var['feature_types']``. Names may repeat.
    """
    import warnings

    import scanpy

    with warnings.catch_warnings():
        # Repeated gene symbols are normal in 10x files and dealt with by the caller.
        warnings.filterwarnings("ignore", message=".*names are not unique.*")
        return scanpy.read_10x_h5(path, gex_only=False)


def h5_parts(file: h5py.File) -> tuple[h5py.Group, h5py.Dataset, pd.DataFrame]:
    """The matrix (by cell), the names of the cells and the table of features of a 10x .h5.

    The table is that of `read_h5` as far as features are told apart by it.
    """
    if "matrix" in file:  # since Cell Ranger 3
        group = file["matrix"]
        columns = {"gene_ids": "features/id", "feature_types": "features/feature_type"}
        columns |= {"interval": "features/interval"}
        names = "features/name"
    else:
        genomes = list(file)
        if len(genomes) != 1:
            raise ValueError(f"expected the matrix of one genome; received {', '.join(genomes)}")
        group, columns, names = file[genomes[0]], {"gene_ids": "genes"}, "gene_names"
    table = {name: _texts(group[where]) for name, where in columns.items() if where in group}
    return group, group["barcodes"], pd.DataFrame(table, index=_texts(group[names]))


def _texts(dataset: h5py.Dataset) -> list[str]:
    return [t.decode() if isinstance(t, bytes) else str(t) for t in dataset[:]]


def read_mtx(path: Path) -> AnnData:
    """Read a 10x mtx folder: all features, as stored.

    Covers what scanpy's reader does not: gzipped files of Cell Ranger 2, the ``peaks.bed`` of Cell
    Ranger ATAC, and prefixed names as in GEO downloads.

    Parameters
    ----------
    path : the folder, or the matrix.mtx[.gz] in it.

    Returns
    -------
    AnnData [cells, features] with ``var['gene_ids']`` and ``var['feature_types']`` if given.

    Raises
    ------
    InputError : one of the three files is missing, or their sizes disagree.
    """
    import warnings

    from anndata import AnnData
    from scipy.io import mmread

    matrix_path, barcodes, var = mtx_parts(path)
    matrix = sparse.csr_matrix(mmread(matrix_path))
    if cells_are_columns(matrix.shape, len(barcodes), len(var), matrix_path.parent):
        matrix = matrix.T.tocsr()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*names are not unique.*")
        return AnnData(matrix, obs=pd.DataFrame(index=barcodes.to_numpy()), var=var)


def mtx_parts(path: Path) -> tuple[Path, pd.Series, pd.DataFrame]:
    """The path of the matrix, the names of the cells and the table of features of a mtx folder."""
    matrix_path = path if path.is_file() else _find(path, "*matrix.mtx")
    folder, prefix = matrix_path.parent, matrix_path.name.partition("matrix.mtx")[0]
    barcodes = _table(_find(folder, f"{prefix}barcodes.tsv"))[0]
    return matrix_path, barcodes, _features(folder, prefix)


def cells_are_columns(shape: tuple[int, int], cells: int, features: int, folder: Path) -> bool:
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
        path, sep="\t", header=None, dtype=str, na_filter=False, quoting=csv.QUOTE_NONE, **options
    )


def _features(folder: Path, prefix: str) -> pd.DataFrame:
    path = _find(folder, *(prefix + name for name in ("features.tsv", "genes.tsv", "peaks.bed")))
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
