"""Pieces of an .h5ad that are written some cells at a time.

anndata writes each piece without rows, which gives it all marks of the format; then it gets the
length that it will have and is filled.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from scadv_tf.data.rows import Rows, blocks

if TYPE_CHECKING:
    import h5py

ENTRIES_A_CHUNK = 1 << 16


def start_h5ad(file: h5py.File, genes: pd.Index, uns: dict, **settings: object) -> None:
    """Writes ``var`` without columns, ``uns``, and the rest without content; but no ``X``."""
    from anndata.io import write_elem

    file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    for name in ("layers", "obsm", "obsp", "varm", "varp"):
        write_elem(file, name, {})
    write_elem(file, "var", pd.DataFrame(index=genes), dataset_kwargs=settings)
    write_elem(file, "uns", uns)
    write_elem(file, "obs", pd.DataFrame(index=pd.Index([], dtype=object)))


def lengthened(
    group: h5py.Group, name: str, shape: tuple[int, ...], **settings: object
) -> h5py.Dataset:
    """A longer array of the same kind in place of an empty one.

    Parameters
    ----------
    settings : of the array, as for ``create_dataset``; such as ``compression``.
    """
    kind, attributes = group[name].dtype, dict(group[name].attrs)
    del group[name]
    array = group.create_dataset(name, shape, dtype=kind, **settings)
    array.attrs.update(attributes)
    return array


def write_rows(group: h5py.Group, name: str, rows: Rows, **settings: object) -> None:
    """Writes numbers [N, width] as float32, block by block."""
    from anndata.io import write_elem

    write_elem(group, name, np.empty((0, *rows.shape[1:]), dtype=np.float32))
    array = lengthened(group, name, rows.shape, **settings)
    for start, block in blocks(rows):
        array[start : start + len(block)] = block


def write_counts(
    group: h5py.Group,
    name: str,
    parts: Iterable[sparse.csr_matrix],
    shape: tuple[int, int],
    **settings: object,
) -> None:
    """Writes a CSR matrix that comes as parts of consecutive rows.

    Raises
    ------
    ValueError : the parts have another number of rows than `shape` says.
    """
    from anndata.io import write_elem

    write_elem(group, name, sparse.csr_matrix((0, shape[1]), dtype=np.float32))
    matrix = group[name]
    matrix.attrs["shape"] = np.array(shape)
    options = {"maxshape": (None,), "chunks": (ENTRIES_A_CHUNK,), **settings}
    arrays = {key: lengthened(matrix, key, (0,), **options) for key in ("data", "indices")}
    rows, entries = 0, 0
    pointers = np.zeros(shape[0] + 1, dtype=np.int64)
    for part in parts:
        pointers[rows + 1 : rows + 1 + part.shape[0]] = part.indptr[1:].astype(np.int64) + entries
        rows, entries = rows + part.shape[0], entries + part.nnz
        for key, array in arrays.items():
            array.resize(entries, axis=0)
            array[entries - part.nnz :] = getattr(part, key)
    if rows != shape[0]:
        raise ValueError(f"expected {shape[0]} rows; received {rows}")
    if entries <= np.iinfo(np.int32).max:  # as SciPy would have it in memory
        pointers = pointers.astype(np.int32)
    del matrix["indptr"]
    matrix.create_dataset("indptr", data=pointers, maxshape=(None,), **settings)
