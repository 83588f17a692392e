"""The cells of a file some at a time, so that memory does not grow with their number.

The formats and checks are those of `scadv_tf.data.readers`. What is stored by cell (CSR and dense
matrices of .h5ad and .h5mu, 10x .h5) is read in place; what is not (CSC, 10x mtx) is sorted by cell
on disk first. Of all cells at once only the barcodes of a mtx folder are held.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from scadv_tf.data import scverse, tenx
from scadv_tf.data.readers import (
    check_finite,
    existing,
    feature_names,
    features_of,
    format_of,
    negative,
    no_counts,
    plain_counts,
    readable,
    tell_of_empty_cells,
)
from scadv_tf.data.spill import SortedOnDisk, csc_entries, mtx_entries, mtx_shape

if TYPE_CHECKING:
    import h5py

logger = logging.getLogger(__name__)

NAMES_AT_ONCE = 100_000


@dataclass(frozen=True)
class Called:
    """What messages call a file, and the flags that name it and its layer."""

    what: str = "the input"
    flag: str = "--input"
    layer_flag: str = "--layer"


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some cells: their names [n], text, and counts, float32 CSR [n, features], checked."""

    cells: np.ndarray
    counts: sparse.csr_matrix


@dataclass(frozen=True, eq=False)
class CellFile:
    """The cells of one modality of an open file.

    Attributes
    ----------
    path : the file or folder.
    cells : their number.
    var : the table of the modality's features; names may repeat.
    obs : the HDF5 group of the table of cells; None where there are only names.
    format : of the file.
    """

    path: Path
    cells: int
    var: pd.DataFrame
    obs: h5py.Group | None
    format: str
    _layer: str
    _layer_flag: str
    _others: tuple[str, ...]
    _wanted: np.ndarray
    _names: Callable[[int, int], np.ndarray]
    _rows: Callable[[int, int], object]

    def chunks(self, size: int) -> Iterator[Chunk]:
        """All cells in their order, `size` at a time.

        Raises
        ------
        InputError : a value is negative or not finite, all are zero, or the file is damaged.
        """
        entries = without = 0
        for start in range(0, self.cells, size):
            stop = min(start + size, self.cells)
            chunk = Chunk(self.names(start, stop), self.counts(start, stop))
            entries += chunk.counts.nnz
            without += int(np.sum(np.diff(chunk.counts.indptr) == 0))
            yield chunk
        if not entries:
            raise no_counts(self.path, (self.cells, len(self.var)))
        tell_of_empty_cells(self.path, without)

    def names(self, start: int, stop: int) -> np.ndarray:
        """Of the cells from `start` up to `stop`, text."""
        with readable(self.path, self.format):
            starts = range(start, stop, NAMES_AT_ONCE)
            parts = [self._names(first, min(first + NAMES_AT_ONCE, stop)) for first in starts]
            return np.concatenate(parts) if parts else np.empty(0, dtype=str)

    def counts(self, start: int, stop: int) -> sparse.csr_matrix:
        """Of the same cells, float32 CSR [stop - start, features], checked; for any thread.

        Raises
        ------
        InputError : a value is negative or not finite, or the file is damaged.
        """
        with readable(self.path, self.format):
            counts = plain_counts(self._rows(start, stop))
        if not self._wanted.all():
            counts = counts[:, self._wanted]
        if not np.isfinite(counts.data).all():
            check_finite(counts, self.path, self.names(start, stop), feature_names(self.var))
        if counts.nnz and counts.data.min() < 0:
            raise negative(counts, self.path, self._layer, self._layer_flag, self._others)
        return counts


@dataclass(frozen=True, eq=False)
class _Opened:
    """What the formats differ in.

    `reader` makes ready and returns a function (start, stop) -> all features of some cells; what is
    not stored by cell is sorted then.
    """

    shape: tuple[int, int]
    var: pd.DataFrame
    names: Callable[[int, int], np.ndarray]
    reader: Callable[[], Callable[[int, int], object]]
    obs: h5py.Group | None = None
    others: tuple[str, ...] = ()


@contextlib.contextmanager
def open_cells(
    path: str | Path,
    modality: str,
    layer: str = "",
    scratch: str | Path | None = None,
    called: Called = Called(),
) -> Iterator[CellFile]:
    """Opens a file or 10x folder to read cells in chunks.

    Parameters
    ----------
    path, modality, layer : see `scadv_tf.data.readers.read_modality`.
    scratch : folder for what has to be sorted by cell first, 12 bytes for each entry that is not
        zero; None for the system's folder of temporary files.
    called : what error messages call the file.

    Raises
    ------
    InputError : as `read_modality`; what concerns values comes with the chunk that they are in.
    """
    path, file_format = _format_of(path, layer, called)
    with contextlib.ExitStack() as stack:
        with readable(path, file_format):
            opened = _OPENERS[file_format](path, modality, layer, called, scratch, stack)
            rows = opened.reader()
        if 0 in opened.shape:
            raise no_counts(path, opened.shape)
        wanted = features_of(opened.var, modality, path, strict=file_format.startswith("10x"))
        yield CellFile(
            path=path,
            cells=opened.shape[0],
            var=opened.var[wanted],
            obs=opened.obs,
            format=file_format,
            _layer=layer,
            _layer_flag=called.layer_flag,
            _others=opened.others,
            _wanted=wanted,
            _names=opened.names,
            _rows=rows,
        )


def number_of_cells(path: str | Path, modality: str, layer: str, called: Called) -> int:
    """How many cells a file has, without reading their counts; see `open_cells`."""
    path, file_format = _format_of(path, layer, called)
    with contextlib.ExitStack() as stack, readable(path, file_format):
        return _OPENERS[file_format](path, modality, layer, called, None, stack).shape[0]


def _format_of(path: str | Path, layer: str, called: Called) -> tuple[Path, str]:
    path = existing(path, called.what, called.flag)
    return path, format_of(path, called.what, layer, called.layer_flag)


def _open_scverse(path, modality, layer, called, scratch, stack) -> _Opened:
    import h5py

    file = stack.enter_context(h5py.File(path, "r"))
    is_h5mu = path.suffix.casefold() == ".h5mu"
    group = scverse.modality_group(file, path, modality) if is_h5mu else file
    where = scverse.find_matrix(group, path, layer, called.layer_flag)
    var, obs, matrix = scverse.features_table(group, where), group["obs"], group[where]
    names = obs[obs.attrs["_index"]]
    shape = _shape(matrix)
    if shape != (_length(names), len(var)):
        raise ValueError(f"X is {shape}, but obs and var are {_length(names)} and {len(var)} long")
    others = tuple(name for name, place in scverse.matrices(group).items() if place != where)

    def reader():
        return _rows_of(matrix, shape, path, scratch, stack)

    return _Opened(shape, var, lambda start, stop: _texts(names, start, stop), reader, obs, others)


def _open_10x_h5(path, modality, layer, called, scratch, stack) -> _Opened:
    import h5py

    file = stack.enter_context(h5py.File(path, "r"))
    matrix, names, var = tenx.h5_parts(file)
    features, cells = map(int, matrix["shape"][:])
    if (features, cells) != (len(var), len(names)):
        raise ValueError(f"matrix, barcodes and features differ: {features} x {cells}")
    shape = cells, features

    def reader():
        return _csr_rows(matrix, shape)

    return _Opened(shape, var, lambda start, stop: _texts(names, start, stop), reader)


def _open_mtx(path, modality, layer, called, scratch, stack) -> _Opened:
    matrix_path, barcodes, var = tenx.mtx_parts(path)
    names = np.char.encode(barcodes.to_numpy(dtype=str), "utf-8")  # a quarter of the memory
    shape = (len(names), len(var))
    turned = tenx.cells_are_columns(mtx_shape(matrix_path), *shape, matrix_path.parent)

    def reader():
        entries = mtx_entries(matrix_path)
        if turned:
            entries = ((columns, rows, values) for rows, columns, values in entries)
        return SortedOnDisk(entries, shape, _sorting(path, scratch, stack)).rows

    def some_names(start: int, stop: int) -> np.ndarray:
        return np.char.decode(names[start:stop], "utf-8")

    return _Opened(shape, var, some_names, reader)


_OPENERS = {
    ".h5ad": _open_scverse,
    ".h5mu": _open_scverse,
    "10x .h5": _open_10x_h5,
    "10x mtx": _open_mtx,
}


def _shape(matrix: h5py.Group | h5py.Dataset) -> tuple[int, int]:
    shape = matrix.attrs["shape"] if "shape" in matrix.attrs else matrix.shape
    return int(shape[0]), int(shape[1])


def _rows_of(matrix, shape, path, scratch, stack) -> Callable[[int, int], object]:
    """A function (start, stop) -> rows of a matrix as anndata stores it."""
    import h5py

    if isinstance(matrix, h5py.Dataset):
        return lambda start, stop: matrix[start:stop]
    encoding = matrix.attrs["encoding-type"]
    if encoding == "csr_matrix":
        return _csr_rows(matrix, shape)
    if encoding == "csc_matrix":
        return SortedOnDisk(csc_entries(matrix), shape, _sorting(path, scratch, stack)).rows
    raise ValueError(f"a matrix stored as {encoding} is not known")


def _csr_rows(group: h5py.Group, shape: tuple[int, int]) -> Callable:
    """A function (start, stop) -> rows of a matrix that is stored by rows."""

    def rows(start: int, stop: int) -> sparse.csr_matrix:
        pointers = group["indptr"][start : stop + 1].astype(np.int64)
        part = slice(pointers[0], pointers[-1])
        arrays = group["data"][part], group["indices"][part], pointers - pointers[0]
        found = sparse.csr_matrix(arrays, shape=(stop - start, shape[1]))
        found.check_format(full_check=True)  # a damaged index would be followed blindly
        return found

    return rows


def _sorting(path: Path, scratch: str | Path | None, stack: contextlib.ExitStack) -> Path:
    folder = tempfile.TemporaryDirectory(prefix=".scadv-sorting-", dir=scratch)
    logger.info("%s is not stored by cell: sorting it in %s …", path.name, Path(folder.name).parent)
    return Path(stack.enter_context(folder))


def _length(names: h5py.Group | h5py.Dataset) -> int:
    return _values(names).shape[0]


def _values(names: h5py.Group | h5py.Dataset) -> h5py.Dataset:
    """Text is stored as one array, or as a group of one and a mask."""
    import h5py

    return names if isinstance(names, h5py.Dataset) else names["values"]


def _texts(names: h5py.Group | h5py.Dataset, start: int, stop: int) -> np.ndarray:
    found = _values(names)[start:stop]
    texts = [name.decode() if isinstance(name, bytes) else str(name) for name in found]
    return np.array(texts, dtype=str)
