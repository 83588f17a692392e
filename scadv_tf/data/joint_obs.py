"""The table of cells of both modalities, written to an .h5ad column by column.

As ``anndata.concat`` would join the tables and anndata write them, but of all cells no more than
one column is held beside the inputs: a million texts are some 100 MB.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd

from scadv_tf.data.column_names import safe_columns
from scadv_tf.data.h5ad_parts import lengthened

if TYPE_CHECKING:
    import h5py

    Column: TypeAlias = np.ndarray | pd.api.extensions.ExtensionArray

TEXTS_AT_ONCE = 100_000
# A column with more different texts is no category, and would take minutes to be made one.
MANY_TEXTS = 100_000


def write_joint_obs(
    obs: h5py.Group,
    cells: dict[str, np.ndarray],
    tables: dict[str, pd.DataFrame],
    added: dict[str, Column],
    **settings: object,
) -> None:
    """Fills ``obs``, which has neither rows nor columns yet.

    The index is the cells' names with their modality, ``-rna`` or ``-atac``; the names alone are
    the column ``cell``. A column whose name the file cannot hold gets another, see `safe_columns`.

    Parameters
    ----------
    cells : modality -> names [cells].
    tables : modality -> the input's table of these cells.
    added : columns of all cells; they take the place of the inputs' of the same name.
    settings : of the arrays, such as ``compression``.
    """
    from anndata.io import write_elem
    from h5py import string_dtype

    endings = [f"-{modality}" for modality in cells]
    _fill(obs, obs.attrs["_index"], list(cells.values()), endings, settings)
    first, *others = tables.values()
    names = [*first.columns, "cell", *added, *(name for table in others for name in table.columns)]
    called = safe_columns(names)
    for name, column in called.items():
        if name == "cell":
            _write_cells(obs, list(cells.values()), settings)
        else:
            values = added[name] if name in added else _joined(name, list(tables.values()))
            write_elem(obs, column, values, dataset_kwargs=settings)
    order = [called[name] for name in dict.fromkeys(names)]
    obs.attrs["column-order"] = np.array(order, dtype=string_dtype())


def _write_cells(obs: h5py.Group, cells: Sequence[np.ndarray], settings: dict) -> None:
    from anndata.io import write_elem

    if sum(map(len, cells)) <= 2 * MANY_TEXTS:
        tables = [pd.DataFrame({"cell": names.astype(object)}) for names in cells]
        write_elem(obs, "cell", _joined("cell", tables), dataset_kwargs=settings)
    else:
        write_elem(obs, "cell", np.empty(0, dtype=object))
        _fill(obs, "cell", cells, [""] * len(cells), settings)


def _fill(
    obs: h5py.Group, name: str, texts: Sequence[np.ndarray], endings: Sequence[str], settings: dict
) -> None:
    """Fills an empty column with the texts of each modality and their ending."""
    array = lengthened(obs, name, (sum(map(len, texts)),), **settings)
    row = 0
    for found, ending in zip(texts, endings, strict=True):
        for start in range(0, len(found), TEXTS_AT_ONCE):
            part = [f"{text}{ending}" for text in found[start : start + TEXTS_AT_ONCE]]
            array[row : row + len(part)] = np.array(part, dtype=object)
            row += len(part)


def _joined(name: str, tables: Sequence[pd.DataFrame]) -> Column:
    """A column of all cells in plain values; a table without it has gaps there."""
    from anndata import AnnData

    parts = [plain(table[[name]] if name in table else table[[]]) for table in tables]
    found = [part[name] for part in parts if name in part]
    if len(found) < len(parts) and all(map(pd.api.types.is_bool_dtype, found)):
        parts = [part.astype("boolean") for part in parts]  # which may have gaps
    # Text with gaps needs to become text once more: the file format wants one kind.
    joined = plain(pd.concat(parts, ignore_index=True))
    if joined[name].dtype != object or joined[name].nunique() <= MANY_TEXTS:
        AnnData().strings_to_categoricals(joined)
    column = joined[name]
    return column.to_numpy() if isinstance(column.dtype, np.dtype) else column.array


def plain(obs: pd.DataFrame) -> pd.DataFrame:
    """A copy whose columns are numbers, booleans or text."""
    obs = obs.copy()
    for name in obs.columns:
        column = obs[name]
        simple = pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)
        if not simple or isinstance(column.dtype, pd.CategoricalDtype):
            obs[name] = column.astype(object).where(column.notna(), "").astype(str)
        elif column.dtype == object:
            obs[name] = column.astype(str)
        elif isinstance(column.dtype, (pd.Float32Dtype, pd.Float64Dtype)):  # anndata writes none
            obs[name] = column.to_numpy(dtype=float, na_value=np.nan)
    return obs
