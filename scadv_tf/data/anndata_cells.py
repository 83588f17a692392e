"""An AnnData, in memory or backed by its file, or one modality of a MuData, as the reader's cells.

Nothing of it is changed: what is handed on is copied.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from scadv_tf.data.features import with_columns_of
from scadv_tf.data.scverse import chosen_matrix, modality_in, with_shared_columns
from scadv_tf.data.sound_counts import checked_numbers
from scadv_tf.data.spill import numbers
from scadv_tf.data.stored_cells import Asked, StoredCells
from scadv_tf.data.stored_matrices import (
    DENSE_ROWS_AT_ONCE,
    DenseRows,
    StoredMatrix,
    in_pieces,
    stacked,
    stored_matrix,
)
from scadv_tf.data.tables import StoredText
from scadv_tf.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

logger = logging.getLogger(__name__)


class HeldRows:
    """A sparse matrix in memory, in any of SciPy's formats."""

    all_stored = False

    def __init__(self, matrix: sparse.spmatrix | sparse.sparray):
        self._matrix, self.shape = matrix, matrix.shape

    def rows(self, start: int, stop: int) -> sparse.csr_matrix:
        """See `StoredMatrix`; a copy, since the reader tidies up in place."""
        part = self._by_cell[start:stop]
        arrays = numbers(part.data), part.indices, part.indptr
        return sparse.csr_matrix(arrays, shape=part.shape, copy=True)

    def values(self) -> Iterator[np.ndarray]:
        """See `StoredMatrix`."""
        return in_pieces(self._by_cell.data)

    @cached_property
    def _by_cell(self) -> sparse.csr_matrix:
        return self._matrix.tocsr()


class LazyRows:
    """A matrix of dask, of dense or sparse blocks: computed some rows at a time."""

    def __init__(self, matrix: Any):
        self._matrix, self.shape = matrix, matrix.shape

    @cached_property
    def all_stored(self) -> bool:
        """See `StoredMatrix`; of dask's own account the blocks may be of either kind."""
        return _held(self._matrix[:1].compute()).all_stored

    def rows(self, start: int, stop: int) -> sparse.csr_matrix:
        """See `StoredMatrix`."""
        blocks = self._blocks(start, stop)
        return stacked((block.rows(0, block.shape[0]) for block in blocks), self.shape[1])

    def values(self) -> Iterator[np.ndarray]:
        """See `StoredMatrix`."""
        for block in self._blocks(0, self.shape[0]):
            yield from block.values()

    def _blocks(self, start: int, stop: int) -> Iterator[StoredMatrix]:
        for first in range(start, stop, DENSE_ROWS_AT_ONCE):
            yield _held(self._matrix[first : min(first + DENSE_ROWS_AT_ONCE, stop)].compute())


def is_path(given: object) -> bool:
    """Whether what was given is the path of a file, or an object that holds cells."""
    return isinstance(given, str | os.PathLike)


def is_mudata(given: object) -> bool:
    """Whether it holds several modalities by their names; pandas' ``mod`` is no such."""
    return isinstance(getattr(given, "mod", None), Mapping)


def anndata_of(given: AnnData | MuData, modality: str) -> AnnData:
    """The AnnData itself, or that of a modality in a MuData.

    Raises
    ------
    InputError : it is neither, or the MuData has no such modality.
    """
    if is_mudata(given):
        return given.mod[modality_in(given.mod, modality, "the MuData")]
    if not all(hasattr(given, name) for name in ("obs", "var", "obsm", "uns", "layers")):
        raise InputError(
            what=f"the {modality.upper()} cells are neither a path nor an AnnData",
            expected="the path of a file, an AnnData, or a MuData",
            received=type(given).__name__,
            advice="make an AnnData of counts, cells and genes: anndata.AnnData(X, obs, var)",
        )
    if not isinstance(given.obs, pd.DataFrame):  # as read_lazy of anndata gives it
        raise InputError(
            what=f"the table of the {modality.upper()} cells is not in memory",
            expected="an AnnData whose obs is; its counts may be of dask or stay in the file",
            received=f"obs as {type(given.obs).__name__}",
            advice="give its .to_memory(), or the path of its file",
        )
    return given


def without_counts(table: pd.DataFrame, names: np.ndarray) -> AnnData:
    """Cells with their table [cells] and names [cells] alone."""
    from anndata import AnnData

    return AnnData(obs=table.set_axis(pd.Index(names, dtype=object)))


def read_anndata(asked: Asked, given: AnnData | MuData) -> StoredCells:
    """The cells of one modality, with the columns of a MuData's own table that they lack.

    Raises
    ------
    InputError : see `anndata_of`; or the layer is not there.
    """
    adata = anndata_of(given, asked.features)
    # Read when asked for: of a backed AnnData that takes time.
    places: dict[str, Callable[[], Any]] = {
        name: partial(adata.layers.__getitem__, name) for name in adata.layers
    }
    if adata.X is not None:
        places["X"] = lambda: adata.X
    if adata.raw is not None:
        places["raw"] = lambda: adata.raw.X
    chosen = chosen_matrix(asked, places, "AnnData")
    var = _features(adata.var)
    if chosen is places.get("raw"):
        var = with_columns_of(_features(adata.raw.var), var)
    names = np.asarray(adata.obs_names, dtype=object)

    def stored(place: Callable[[], Any]) -> StoredMatrix:
        return _stored(place(), asked)

    def table() -> pd.DataFrame:
        obs = _once_each(adata.obs).copy()
        if given is not adata:
            own = modality_in(given.mod, asked.features, "the MuData")
            obs = with_shared_columns(obs, given.obs, own, list(given.mod))
        return obs.set_axis(pd.RangeIndex(len(obs)))

    return StoredCells(
        "AnnData",
        _stored(checked_numbers(chosen(), "the AnnData's matrix of counts"), asked),
        StoredText(names),
        var,
        table,
        others=lambda: {n: stored(place) for n, place in places.items() if place is not chosen},
    )


def _features(var: pd.DataFrame) -> pd.DataFrame:
    return _once_each(var).set_axis(pd.Index(var.index.astype(str), dtype=object))


def _once_each(table: pd.DataFrame) -> pd.DataFrame:
    """The columns without those whose name another has before them, which is told."""
    repeated = table.columns.duplicated()
    if repeated.any():
        logger.warning(
            "of several columns of the same name, the first is taken: %s",
            ", ".join(map(str, table.columns[repeated].unique())),
        )
    return table.loc[:, ~repeated]


def _stored(matrix: Any, asked: Asked) -> StoredMatrix:
    import h5py

    if hasattr(matrix, "group"):  # sparse, in the file of a backed AnnData
        return stored_matrix(matrix.group, matrix.shape, asked.scratch)
    if hasattr(matrix, "compute"):
        return LazyRows(matrix)
    return DenseRows(matrix) if isinstance(matrix, h5py.Dataset) else _held(matrix)


def _held(matrix: Any) -> StoredMatrix:
    return HeldRows(matrix) if sparse.issparse(matrix) else DenseRows(np.asarray(matrix))
