"""Cells as the inputs of a served model's signatures, a batch at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from scadv_tf.errors import InputError
from scadv_tf.serving.gene_order import gene_columns

if TYPE_CHECKING:
    from anndata import AnnData

BYTES_OF_VALUE = 4  # a float32
BYTES_OF_ENTRY = 8 + 8 + 4  # two int64 and a float32


def dense_inputs(counts: sparse.csr_matrix) -> dict[str, np.ndarray]:
    """Counts [B, G] for ``annotate_rna`` and ``annotate_atac``."""
    return {"counts": counts.toarray()}


def sparse_inputs(counts: sparse.csr_matrix) -> dict[str, np.ndarray]:
    """Counts [B, G] for ``annotate_rna_sparse`` and ``annotate_atac_sparse``."""
    entries = counts.tocoo()
    return {
        "cell_index": entries.row.astype(np.int64),
        "gene_index": entries.col.astype(np.int64),
        "count": entries.data,
        "number_of_cells": np.int64(counts.shape[0]),
    }


def read_genes(genes) -> np.ndarray:
    """Names [G] of a model's genes: as they are given, or the lines of its ``genes.txt``.

    Raises
    ------
    InputError : the file cannot be read, or there is no name.
    """
    received = genes
    if isinstance(genes, (str, os.PathLike)):
        try:
            genes = Path(genes).read_text(encoding="utf-8").rstrip("\n").split("\n")
        except (OSError, ValueError) as error:
            received, genes = f"{genes} ({type(error).__name__})", []
    names = np.asarray(genes, dtype=str)
    if names.ndim != 1 or not names.size or not names[0]:
        raise InputError(
            what="the model's genes are not known",
            expected="their names, or the file assets/genes.txt of the served version",
            received=received,
            advice="give genes='<export>/<version>/assets/genes.txt', a copy of it, or its lines",
        )
    return names


def version_of(genes) -> int | None:
    """The version whose ``<version>/assets/genes.txt`` was given; None if it was not."""
    if not isinstance(genes, (str, os.PathLike)):
        return None
    path = Path(genes).absolute()
    version = path.parent.parent.name
    return int(version) if path.parent.name == "assets" and version.isdecimal() else None


def batches_of(matrix, size: int) -> Iterator[sparse.csr_matrix]:
    """Rows of a matrix (dense, sparse, or in a file), so many at a time; float32 CSR.

    Raises
    ------
    InputError : a value is negative or not finite.
    """
    if sparse.issparse(matrix):
        matrix = sparse.csr_matrix(matrix)
    for start in range(0, matrix.shape[0], size):
        rows = sparse.csr_matrix(matrix[start : start + size])
        with np.errstate(over="ignore"):
            rows = rows.astype(np.float32)
        _check_counts(rows, start)
        rows.eliminate_zeros()
        yield rows


def aligned_batches(
    adata: AnnData, genes: np.ndarray, size: int, layer: str | None = None
) -> Iterator[sparse.csr_matrix]:
    """Counts of cells [B, G] in the order of the model's genes, see `gene_columns`.

    Raises
    ------
    InputError : there are no cells, no such layer, no known gene, or no counts.
    """
    matrix = _matrix(adata, layer)
    columns = gene_columns(adata.var, genes)
    # Sums in double precision, so that the order in which counts add up leaves no trace.
    return (
        sparse.csr_matrix(rows.astype(np.float64) @ columns, dtype=np.float32)
        for rows in batches_of(matrix, size)
    )


def _matrix(adata: AnnData, layer: str | None):
    if layer is not None and layer not in adata.layers:
        raise InputError(
            what="the cells have no such layer",
            expected=f"one of {sorted(adata.layers)}, or None for X",
            received=layer,
            advice="name the layer that holds raw counts",
        )
    matrix = adata.X if layer is None else adata.layers[layer]
    if matrix is None or 0 in adata.shape:
        raise InputError(
            what="there are no counts to send",
            expected="at least one cell and one gene",
            received=f"{adata.n_obs} cells x {adata.n_vars} features"
            + (" without X" if matrix is None else ""),
            advice="check how the cells were chosen; layer=... takes counts from a layer",
        )
    return matrix


def _check_counts(rows: sparse.csr_matrix, start: int) -> None:
    sound = np.isfinite(rows.data) & (rows.data >= 0)
    if sound.all():
        return
    entry = int(np.argmin(sound))
    row = int(np.searchsorted(rows.indptr, entry, side="right")) - 1
    raise InputError(
        what="a count is negative or not a finite number",
        expected="raw counts, or other values of 0 or more",
        received=f"{rows.data[entry]:.3g} in cell {start + row}, column {rows.indices[entry]} "
        "(counted from 0)",
        advice="give raw counts, not scaled or corrected values; layer=... takes them from a layer",
    )
