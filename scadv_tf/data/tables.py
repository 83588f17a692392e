"""Tables of cells and features in HDF5, as anndata, MuData, SeuratDisk and sceasy write them; or
in zarr.

Columns are what anndata makes of them where they carry its marks. Others hold plain numbers or
text, or the codes of a factor whose names lie beside it, in ``__categories``.
"""

from __future__ import annotations

import logging
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
import pandas as pd

from scadv_tf.data.zarr_stores import lacks_chunks

if TYPE_CHECKING:
    import h5py

logger = logging.getLogger(__name__)

FACTORS = "__categories"  # of anndata before 0.8, and of SeuratDisk
# Of columns, as anndata writes them.
_ENCODINGS = (
    *("array", "string-array", "categorical"),
    *("nullable-integer", "nullable-boolean", "nullable-string-array"),
)
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


def is_group(element: object) -> TypeGuard[h5py.Group]:
    """Whether an element of HDF5 or zarr holds others; else it is an array."""
    return hasattr(element, "keys")


def element_in(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | None:
    """What is called so; None where nothing is, or only a link that leads nowhere."""
    try:
        return group[name]
    except (KeyError, RuntimeError):  # which HDF5 raises where links go round
        return None


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
    """The columns of a table; rows are numbered, see `names_of` for their names.

    Those that are stored in a way that is not known, or are no columns, are left out, and told.
    """
    rows, values = len(names_of(table)), {}
    for name in columns_of(table):
        column = _column(table, name)
        if column is None or np.shape(column) != (rows,):
            logger.warning("the column '%s' of %s is stored in a way that is not known here, and "
                           "is left out", name, table.name.strip("/"))  # fmt: skip
        else:
            values[name] = column
    return pd.DataFrame(values, index=pd.RangeIndex(rows))


def columns_of(table: h5py.Group) -> list[str]:
    """The names of the columns that a table has, in its order."""
    if "column-order" in table.attrs:
        told = _texts(np.ravel(table.attrs["column-order"])).tolist()
        return [name for name in told if name in table]
    return [name for name in table if name not in (index_of(table), FACTORS)]


def is_current(table: h5py.Group) -> bool:
    """Whether a table is stored as anndata does today, each column by itself with its marks."""
    return table.attrs.get("encoding-version") == "0.2.0"


def has_column(table: h5py.Group, name: str) -> bool:
    """Whether a current table has this column, stored as anndata stores columns today."""
    element = element_in(table, name)
    if element is None or element.attrs.get("encoding-type") not in _ENCODINGS:
        return False
    return is_group(element) or _is_row(element)


def index_of(table: h5py.Group) -> str:
    """Where a table has the names of its rows."""
    if "_index" in table.attrs:
        return str(_texts(np.ravel(table.attrs["_index"]))[0])
    return next((name for name in INDEX_NAMES if name in table), INDEX_NAMES[0])


def _column(table: h5py.Group, name: str) -> Any:
    """The values; None where there is no array of them, or a newer program has its own way."""
    from anndata.io import read_elem

    element, factor = element_in(table, name), f"{FACTORS}/{name}"
    if element is None or not (is_group(element) or _is_row(element)):
        return None
    if "encoding-type" in element.attrs:
        try:
            return read_elem(element)
        except Exception as error:
            if type(error).__name__ != "IORegistryError":  # which anndata does not export
                raise
            return None
    if is_group(element):
        if not {"codes", "categories"}.issubset(element):
            return None
        return _factor(element["codes"][:], element["categories"])
    values = _plain(element)
    if factor in table and getattr(values.dtype, "kind", "") in "iuf":
        return _factor(values, table[factor])
    return values


def _is_row(array: h5py.Dataset) -> bool:
    """Whether an array has one dimension, and holds no records; one of HDF5 may have no shape."""
    return len(array.shape or ()) == 1 and array.dtype.kind != "V"


def _factor(codes: np.ndarray, categories: h5py.Dataset) -> pd.Categorical:
    """Missing values have negative codes, in R the lowest of all integers, or none."""
    codes = np.maximum(np.nan_to_num(codes, nan=-1).astype(np.int64), -1)
    return pd.Categorical.from_codes(codes, _plain(categories))


def _plain(array: h5py.Dataset) -> np.ndarray | pd.Categorical:
    """Numbers, or text as objects; names in place of their numbers, as rhdf5 stores factors."""
    values = array[:]
    named = (getattr(array.dtype, "metadata", None) or {}).get("enum")
    if named:
        places = pd.Index(named.values()).get_indexer(values)
        return pd.Categorical.from_codes(places, list(named))
    return _texts(values).astype(object) if values.dtype.kind in "OSUT" else values


def _texts(values: np.ndarray) -> np.ndarray:
    texts = [n.decode("utf-8", "replace") if isinstance(n, bytes) else str(n) for n in values]
    return np.array(texts, dtype=str)
