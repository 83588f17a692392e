"""Tables of cells and features in HDF5, as anndata, MuData, SeuratDisk and sceasy write them; or
in zarr.

Columns are what anndata makes of them where they carry its marks. Others hold plain numbers or
text, or the codes of a factor whose names lie beside it, in ``__categories``.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scadv_tf.data.zarr_stores import lacks_chunks

if TYPE_CHECKING:
    import h5py

FACTORS = "__categories"  # of anndata before 0.8, and of SeuratDisk
INDEX_NAMES = ("_index", "index")  # where nothing says what the index is called


class StoredText:
    """Text that is read in parts, ``texts[start:stop]``: an array, or in HDF5 masked or categories.

    Numbers are text too; bytes that are no text leave a mark in its place.
    """

    def __init__(self, element: h5py.Group | h5py.Dataset | np.ndarray):
        self._element, self._array = element, element
        self._coded = is_group(element) and "codes" in element
        if is_group(element):
            self._array = element["codes" if self._coded else "values"]

    def __len__(self) -> int:
        return self._array.shape[0]

    def __getitem__(self, part: slice) -> np.ndarray:
        values = self._array[part]
        if not self._coded:
            return _texts(values)
        return self._categories[np.where(values < 0, -1, values)]

    @cached_property
    def _categories(self) -> np.ndarray:
        """The texts by code; that of -1, which is missing, comes last."""
        return np.append(StoredText(self._element["categories"])[:], "")


def is_group(element: object) -> bool:
    """Whether an element of HDF5 or zarr holds others; else it is an array."""
    return hasattr(element, "keys")


def names_of(table: h5py.Group) -> StoredText:
    """The names of the rows of a table.

    Raises
    ------
    KeyError : the table has none.
    ValueError : some are missing.
    """
    names = table[index_of(table)]
    if lacks_chunks(names):
        raise ValueError("chunks of the names are missing")
    return StoredText(names)


def read_table(table: h5py.Group) -> pd.DataFrame:
    """The columns of a table; rows are numbered, see `names_of` for their names."""
    values = {name: _column(table, name) for name in columns_of(table)}
    return pd.DataFrame(values, index=pd.RangeIndex(len(names_of(table))))


def columns_of(table: h5py.Group) -> list[str]:
    """The names of the columns of a table."""
    if "column-order" in table.attrs:
        return _texts(np.ravel(table.attrs["column-order"])).tolist()
    return [name for name in table if name not in (index_of(table), FACTORS)]


def is_current(table: h5py.Group) -> bool:
    """Whether a table is stored as anndata does today, each column by itself with its marks."""
    return table.attrs.get("encoding-version") == "0.2.0"


def index_of(table: h5py.Group) -> str:
    """Where a table has the names of its rows."""
    if "_index" in table.attrs:
        return str(_texts(np.ravel(table.attrs["_index"]))[0])
    return next((name for name in INDEX_NAMES if name in table), INDEX_NAMES[0])


def _column(table: h5py.Group, name: str) -> Any:
    from anndata.io import read_elem

    element, factor = table[name], f"{FACTORS}/{name}"
    if "encoding-type" in element.attrs:
        return read_elem(element)
    if is_group(element):
        return _factor(element["codes"][:], element["categories"])
    values = _plain(element)
    if factor in table and values.dtype.kind in "iuf":
        return _factor(values, table[factor])
    return values


def _factor(codes: np.ndarray, categories: h5py.Dataset) -> pd.Categorical:
    """Missing values have negative codes, in R the lowest of all integers, or none."""
    codes = np.maximum(np.nan_to_num(codes, nan=-1).astype(np.int64), -1)
    return pd.Categorical.from_codes(codes, _plain(categories))


def _plain(array: h5py.Dataset) -> np.ndarray:
    """Numbers, or text as objects."""
    values = array[:]
    return _texts(values).astype(object) if values.dtype.kind in "OSUT" else values


def _texts(values: np.ndarray) -> np.ndarray:
    texts = [n.decode("utf-8", "replace") if isinstance(n, bytes) else str(n) for n in values]
    return np.array(texts, dtype=str)
