"""Counts of one modality that stay on disk, seen as the cells and columns that a run works on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from scadv_tf.data.cell_files import CellFile
from scadv_tf.data.sound_counts import tell_of_empty_cells
from scadv_tf.progress import CellProgress

CELLS_AT_ONCE = 4096


class Account:
    """What one look at all counts tells, whatever the blocks in which they come."""

    def __init__(self) -> None:
        self._opened: list[np.ndarray] = []
        self._rows, self._columns = 0, 0
        self._parts = [hashlib.sha256() for _ in range(3)]

    def add(self, counts: sparse.csr_matrix) -> None:
        """Counts of further cells, CSR."""
        lengths = np.diff(counts.indptr)
        self._opened.append(open_features(counts).astype(np.int32))
        self._rows += counts.shape[0]
        self._columns = counts.shape[1]
        # Whether positions are held in 32 or 64 bits depends on the size alone.
        arrays = counts.data, counts.indices.astype(np.int32), lengths.astype(np.int32)
        for part, array in zip(self._parts, arrays, strict=True):
            part.update(np.ascontiguousarray(array).data)

    @property
    def opened(self) -> np.ndarray:
        """How many columns of each cell have a count, int32 [cells]."""
        return np.concatenate(self._opened) if self._opened else np.zeros(0, np.int32)

    @property
    def digest(self) -> str:
        """A hash of the counts and their places."""
        parts = "".join(part.hexdigest() for part in self._parts)
        return hashlib.sha256(f"{self._rows} {self._columns} {parts}".encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class StoredCounts:
    """Rows of an open file times a sparse matrix: like a CSR [cells, G], but read when asked for.

    It has what code for held and for stored counts may use: ``.shape``, ``[start:stop]`` and
    ``[sorted positions]``, both of which give float32 CSR. Values are checked while they are read.
    Several threads may read; HDF5 lets one at a time do so. The file stays open as long as anything
    refers to `source`, and must not change meanwhile.

    Attributes
    ----------
    source : the open file.
    rows : int64, ascending: which cells of the file.
    columns : CSR [features, G], what of the file's features adds up to each column; None for the
        features themselves.
    """

    source: CellFile
    rows: np.ndarray
    columns: sparse.csr_matrix | None = None
    _accounts: list[Account] = field(default_factory=list, repr=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Cells and columns."""
        width = len(self.source.var) if self.columns is None else self.columns.shape[1]
        return len(self.rows), width

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, cells: slice | np.ndarray) -> sparse.csr_matrix:
        if isinstance(cells, slice) and cells.step not in (None, 1):
            raise TypeError(f"expected a slice of consecutive rows; received {cells!r}")
        if not isinstance(cells, slice):
            cells = np.asarray(cells, dtype=np.int64)
        return self._seen(_read(self.source, self.rows[cells]))

    def chosen(self, cells: np.ndarray, columns: sparse.csr_matrix | None = None) -> StoredCounts:
        """Some of the cells, ascending, and sums of the columns by a matrix [G, G']."""
        if columns is None:
            combined = self.columns
        elif self.columns is None:
            combined = columns
        else:
            combined = sparse.csr_matrix(self.columns @ columns)
        return StoredCounts(self.source, self.rows[cells], _unless_identity(combined))

    @property
    def account(self) -> Account:
        """Of all counts; takes a pass over the file unless `look_through` was called."""
        if not self._accounts:
            look_through([self])
        return self._accounts[0]

    def _seen(self, counts: sparse.csr_matrix) -> sparse.csr_matrix:
        if self.columns is None:
            return counts
        found = sparse.csr_matrix(counts @ self.columns, dtype=np.float32)
        found.sort_indices()
        return found


def look_through(tables: list[StoredCounts]) -> None:
    """Reads all counts once, which checks them, and fills the accounts.

    Tables of the same cells of the same file are read together.

    Raises
    ------
    InputError : a value is not a count, or there is none at all.
    """
    while tables:
        first = tables[0]
        together = [
            table
            for table in tables
            if table.source is first.source and np.array_equal(table.rows, first.rows)
        ]
        tables = [table for table in tables if not any(table is other for other in together)]
        _look_through(together)


def _look_through(tables: list[StoredCounts]) -> None:
    source, cells = tables[0].source, len(tables[0])
    accounts, entries, empty = [Account() for _ in tables], 0, 0
    with CellProgress(cells, "checking") as progress:
        for start in range(0, cells, CELLS_AT_ONCE):
            counts = _read(source, tables[0].rows[start : start + CELLS_AT_ONCE])
            entries += counts.nnz
            empty += int(np.sum(np.diff(counts.indptr) == 0))
            for table, account in zip(tables, accounts, strict=True):
                account.add(table._seen(counts))
            progress.update(counts.shape[0])
    if not entries:
        raise source.no_counts()
    tell_of_empty_cells(source.path, empty)
    for table, account in zip(tables, accounts, strict=True):
        table._accounts[:] = [account]


def open_features(counts: sparse.csr_matrix | StoredCounts) -> np.ndarray:
    """How many features of each cell have a count, int [cells]; of stored ones, by the account."""
    if isinstance(counts, StoredCounts):
        return counts.account.opened
    return np.diff(sparse.csr_matrix(counts > 0).indptr)


def account_of(counts: sparse.csr_matrix | StoredCounts) -> Account:
    """The account of counts, held or stored; the same for the same counts."""
    if isinstance(counts, StoredCounts):
        return counts.account
    account = Account()
    account.add(counts)
    return account


def _read(source: CellFile, rows: np.ndarray) -> sparse.csr_matrix:
    """Ascending rows of a file; read by blocks, those without any skipped."""
    if np.any(rows[1:] < rows[:-1]):
        raise ValueError("the positions are not in ascending order")
    parts, start = [], 0
    while start < len(rows):
        first = int(rows[start])
        stop = int(np.searchsorted(rows, first + CELLS_AT_ONCE))
        block = source.counts(first, int(rows[stop - 1]) + 1)
        wanted = rows[start:stop] - first
        is_all = len(wanted) == block.shape[0] and wanted[-1] == len(wanted) - 1
        parts.append(block if is_all and np.all(np.diff(wanted) == 1) else block[wanted])
        start = stop
    if not parts:
        return sparse.csr_matrix((0, len(source.var)), dtype=np.float32)
    return parts[0] if len(parts) == 1 else sparse.vstack(parts, format="csr")


def _unless_identity(columns: sparse.csr_matrix | None) -> sparse.csr_matrix | None:
    if columns is None or columns.shape[0] != columns.shape[1]:
        return columns
    difference = columns - sparse.identity(columns.shape[0], dtype=columns.dtype, format="csr")
    return columns if difference.count_nonzero() else None
