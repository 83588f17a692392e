"""The one reader: a file of cells, open, of which some cells or all are read at a time.

Whatever the format, counts come as CSR float32, finite and non-negative; names are text. What is
stored by cell (CSR and dense matrices of .h5ad and .h5mu, 10x .h5) is read in place; what is not
(CSC, mtx) is sorted by cell first, on disk unless all cells are read at once.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from scadv_tf.data import fragments, mtx_cells, scverse, tenx_h5
from scadv_tf.data.anndata_cells import is_path, read_anndata
from scadv_tf.data.features import feature_names, features_of, with_unique_names
from scadv_tf.data.hdf5_files import open_hdf5
from scadv_tf.data.levels import held_levels, largest_level, read_levels
from scadv_tf.data.other_files import other_file
from scadv_tf.data.readable import readable
from scadv_tf.data.sound_counts import (
    all_sound,
    bad_value,
    no_counts,
    plain_counts,
    tell_of_empty_cells,
    tell_of_logs,
)
from scadv_tf.data.stored_cells import Asked, Called, Choices, StoredCells
from scadv_tf.data.zarr_stores import is_zarr, open_zarr
from scadv_tf.errors import InputError
from scadv_tf.files import at_home, is_there
from scadv_tf.folders import scratch_folder
from scadv_tf.modalities import MODALITIES

if TYPE_CHECKING:
    import h5py
    from anndata import AnnData
    from mudata import MuData

logger = logging.getLogger(__name__)

# What an open HDF5 file, or another path, is to each format: its cells, or None.
FORMATS = (
    scverse.read_h5mu,
    scverse.read_h5ad,
    tenx_h5.read_10x_h5,
    mtx_cells.read_mtx,
    fragments.read_fragments,
)
EXPECTED = (
    ".h5ad, .h5mu, either as .zarr, 10x .h5, a folder with matrix.mtx, barcodes and features, "
    "or (ATAC) fragments.tsv.gz"
)
NAMES_AT_ONCE = 100_000
_HDF5 = (".h5ad", ".h5mu", ".h5", ".hdf5")


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some cells: their names [n], text, and counts, float32 CSR [n, features], checked."""

    cells: np.ndarray
    counts: sparse.csr_matrix


class CellFile:
    """The cells of one modality of an open file; to be used in a with statement, or kept.

    It is closed when nothing refers to it any more.

    Attributes
    ----------
    path : the file or folder.
    cells : their number.
    var : the table of the modality's features; where names repeat, they were made unique, and
        ``var['scadv_original_name']`` holds them as they were.
    stored : what the format says of the file.
    """

    def __init__(self, asked: Asked, stored: StoredCells, stack: contextlib.ExitStack):
        self.path, self.stored, self._asked = asked.path, stored, asked
        self._wanted = features_of(stored.var, asked.features, asked.path, stored.from_10x)
        self.cells = stored.matrix.shape[0]
        self.var = with_unique_names(stored.var[self._wanted])
        self._largest = largest_level(stored.matrix, self._wanted) if asked.are_levels else None
        self.close = weakref.finalize(self, stack.close)

    def __enter__(self) -> CellFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

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
            raise self.no_counts()
        tell_of_empty_cells(self.path, without)

    def names(self, start: int, stop: int) -> np.ndarray:
        """Of the cells from `start` up to `stop`, text."""
        with self.readable():
            starts = range(start, stop, NAMES_AT_ONCE)
            parts = [self.stored.names[i : min(i + NAMES_AT_ONCE, stop)] for i in starts]
            return np.concatenate(parts) if parts else np.empty(0, dtype=str)

    def counts(self, start: int, stop: int) -> sparse.csr_matrix:
        """Of the same cells, float32 CSR [stop - start, features], checked; for any thread.

        Raises
        ------
        InputError : a value is negative, too large or not a number, or the file is damaged.
        """
        if self._largest is not None:
            return self._levels(start, stop)
        with self.readable():
            counts = plain_counts(self.stored.matrix.rows(start, stop))
        if not self._wanted.all():
            counts = counts[:, self._wanted]
        if not all_sound(counts.data):
            names = self.names(start, stop), feature_names(self.var)
            raise bad_value(counts, *names, self._asked, self.stored.others())
        return counts

    def _levels(self, start: int, stop: int) -> sparse.csr_matrix:
        with self.readable():
            levels = read_levels(self.stored.matrix, start, stop, self._wanted)
        return held_levels(levels, self._largest, self.path.name)

    def no_counts(self) -> InputError:
        """The error of a matrix of zeros."""
        return no_counts(self._asked, (self.cells, len(self.var)), self.stored.others())

    def readable(self) -> contextlib.AbstractContextManager:
        """Tells why the file could not be read, where it could not."""
        return readable(self.path, self.stored.format)

    def table(self) -> pd.DataFrame:
        """The columns of the table of cells; rows are numbered, as `names` has their names."""
        if self.stored.table is None:
            return pd.DataFrame(index=pd.RangeIndex(self.cells))
        with self.readable():
            return self.stored.table()


def open_cells(
    given: str | Path | AnnData | MuData,
    modality: str,
    layer: str = "",
    scratch: str | Path | None = None,
    called: Called | None = None,
    choices: Choices | None = None,
) -> CellFile:
    """Opens a file, 10x folder or AnnData without reading its counts; of fragments, all are read.

    Parameters
    ----------
    given : the path of an .h5ad, .h5mu or 10x .h5 file, a zarr store, an mtx folder or fragments;
        or an AnnData or MuData, in memory or backed, which stays as it is. One that holds both
        modalities is split: a MuData by its modalities, others by ``var['feature_types']``.
    modality : 'rna' or 'atac'.
    layer : '' or 'X' for X, 'raw' for .raw.X, otherwise the name of a layer (of AnnData only).
    scratch : folder for what has to be sorted by cell first, 12 bytes for each entry that is not
        zero, and 16 for each fragment; None for the system's folder of temporary files.
    called : what error messages call the file; by default 'the input', as in `annotate`.
    choices : how fragments become counts, and which of several genomes is read.

    Raises
    ------
    InputError : the file is missing, damaged or of another format; the modality or the layer is
        not in it; the matrix is empty. What concerns values comes with the chunk that they are in.
    """
    if modality not in MODALITIES:
        raise ValueError(f"modality must be one of {MODALITIES}; received modality={modality!r}")
    called = called or Called()
    named = is_path(given)
    path = _existing(given, called) if named else Path(f"the {modality.upper()} AnnData")
    stack = contextlib.ExitStack()

    def folder() -> Path:
        around = Path(scratch or tempfile.gettempdir())
        # Locked, so that no other run takes it for left by a killed one.
        where = stack.enter_context(scratch_folder(around, ".scadv-sorting-"))
        logger.info("%s is not stored by cell: sorting it in %s …", path.name, where.parent)
        return where

    asked = Asked(path, modality, layer, called, folder, choices or Choices())
    try:
        with readable(path, _format_of(path) if named else "AnnData"):
            stored = _stored_in(asked, stack) if named else read_anndata(asked, given)
            cells, features = stored.matrix.shape
            if not (cells and features):
                raise no_counts(asked, (cells, features))
            if not asked.are_levels:
                tell_of_logs(asked, stored)
        return CellFile(asked, stored, stack)
    except BaseException:
        stack.close()
        raise


def _stored_in(asked: Asked, stack: contextlib.ExitStack) -> StoredCells:
    """What the file holds, which stays open until the stack is closed."""
    path = asked.path
    file = open_zarr(path, stack) if is_zarr(path) else _hdf5(path, stack)
    found = (read(asked, file) for read in FORMATS)
    stored = next((cells for cells in found if cells is not None), None)
    if stored is None:
        raise _unknown(asked, file)
    _refuse_unused(asked, stored)
    return stored


def _format_of(path: Path) -> str:
    """What a path looks like, before it is opened."""
    return "zarr" if is_zarr(path) else path.suffix or mtx_cells.FORMAT


def _existing(path: str | Path, called: Called) -> Path:
    if str(path) and is_there(path):
        return at_home(path)
    raise InputError(
        what=f"{called.what} does not exist",
        expected="the path of a file or folder that exists",
        received=str(path) or "nothing",
        advice=f"check {called.flag} for typing errors; relative paths start from {Path.cwd()}",
    )


def _hdf5(path: Path, stack: contextlib.ExitStack) -> h5py.File | None:
    """The open file; None where it is no HDF5, and not called so."""
    import h5py

    if path.is_dir() or not (h5py.is_hdf5(path) or _is_called_hdf5(path)):
        return None
    with contextlib.suppress(ImportError):
        import hdf5plugin  # noqa: F401 (those who have it have files that need it)
    return stack.enter_context(open_hdf5(path))


def _is_called_hdf5(path: Path) -> bool:
    """Whether a file that begins otherwise can only be one that is damaged."""
    return path.suffix.casefold() in _HDF5 and other_file(path, None) is None


def _content(file: h5py.File | None) -> str:
    """What is in an open file, for a message."""
    if file is None:
        return ""
    kind = "HDF5" if hasattr(file, "filename") else "a zarr store"
    return f", {kind} with {', '.join(sorted(file)) or 'nothing'}"


def _unknown(asked: Asked, file: h5py.File | None) -> InputError:
    """The error of a format that is not known, or is known as one that is not read."""
    other = other_file(asked.path, file)
    if other is not None:
        return InputError(
            what=f"{asked.called.what} is {other.what}",
            expected=EXPECTED,
            received=str(asked.path),
            advice=other.advice,
        )
    return InputError(
        what=f"the format of {asked.called.what} is not known",
        expected=EXPECTED,
        received=str(asked.path) + _content(file),
        advice="convert it, e.g. with anndata's write_h5ad; a compressed file: decompress it first",
    )


def _refuse_unused(asked: Asked, stored: StoredCells) -> None:
    """Refuses what is chosen of a file whose format leaves no such choice."""
    called, choices = asked.called, asked.choices
    if choices.counting.given and stored.format != fragments.FORMAT:
        raise InputError(
            what=f"{asked.path.name} holds no fragments",
            expected=f"a file of fragments with {' and '.join(choices.counting.given)}",
            received=stored.format,
            advice=f"leave that out, or give fragments.tsv.gz by {called.flag}",
        )
    if choices.genome_group and stored.format not in (tenx_h5.BY_GENOME, tenx_h5.OF_GENOMES):
        raise InputError(
            what=f"{asked.path.name} has no genomes to choose from",
            expected=f"a {tenx_h5.OF_GENOMES} with --genome_group={choices.genome_group}",
            received=stored.format,
            advice="leave --genome_group out",
        )
    if asked.layer and stored.obs is None:
        raise InputError(
            what=f"{asked.path.name} has no layers",
            expected=f"no {called.layer_flag} for {stored.format}",
            received=asked.layer,
            advice=f"leave {called.layer_flag} out",
        )
