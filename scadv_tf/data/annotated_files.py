"""Files of annotated cells that are written some cells at a time: .h5ad and .csv."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scadv_tf.data.answers import LATENT, PREFIX, CellAnswers, Column, obs_columns
from scadv_tf.data.column_names import is_safe, safe_columns
from scadv_tf.data.h5ad_parts import lengthened, start_h5ad
from scadv_tf.data.new_h5 import new_h5
from scadv_tf.data.spreadsheets import write_rows
from scadv_tf.data.tables import columns_of, has_column, index_of, is_current, names_of, read_table

if TYPE_CHECKING:
    import h5py

_NAME = "cell"  # of the array of names


class AnnotatedTable:
    """A .csv: the cells' names and the columns of the answers, `scadv_tf.data.answers.COLUMNS`.

    Of models that know no types, the latent vectors, scadv_1, ….
    """

    def __init__(self, path: Path):
        self._file = open(path, "w", encoding="utf-8", newline="")
        self._head = True

    def write(self, cells: np.ndarray, answers: CellAnswers) -> None:
        """Adds cells: their names [n], and what is said of them."""
        vectors = enumerate(answers.latent[:].T, start=1)
        table = answers.table() or {f"{PREFIX}{number}": values for number, values in vectors}
        write_rows(pd.DataFrame({"cell": cells} | table), self._file, self._head)
        self._head = False

    def note(self, name: str, value: object) -> None:
        """Nothing: a table has no place for what is said of all cells."""

    def __enter__(self) -> AnnotatedTable:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


class AnnotatedH5ad:
    """An .h5ad without X: ``obsm['X_scadv']``, the input's ``obs``, and the answers in it.

    These are columns such as ``scadv_label``, see `scadv_tf.data.answers`; older ones of their
    names give way. Every array is made as long as it will be and filled in part by part.

    Parameters
    ----------
    cells : number of cells N.
    types : names of the K types; without any, there are latent vectors alone.
    latent_size : Z.
    notes : what goes to ``uns['scadv']``, text by name.
    obs : the input's table of cells; None where there are only names.
    """

    def __init__(
        self,
        path: Path,
        cells: int,
        types: tuple[str, ...],
        latent_size: int,
        notes: dict[str, str],
        obs: h5py.Group | None = None,
    ):
        self._cells, self._written = cells, 0
        with ExitStack() as stack:
            self._file, self._check = stack.enter_context(new_h5(path))
            self._arrays = self._skeleton(types, latent_size, notes, obs)
            self._stack = stack.pop_all()

    def write(self, cells: np.ndarray, answers: CellAnswers) -> None:
        """Adds cells: their names [n], and what is said of them."""
        part = slice(self._written, self._written + len(cells))
        values = {_NAME: cells.astype(object), LATENT: answers.latent, **obs_columns(answers)}
        for name, array in self._arrays.items():
            found = values[name]
            array[part] = found.codes if isinstance(found, pd.Categorical) else found
        self._written = part.stop
        self._check()

    def note(self, name: str, value: object) -> None:
        """Adds to ``uns['scadv']`` what is known at the end."""
        from anndata.io import write_elem

        write_elem(self._file["uns"]["scadv"], name, value)

    def __enter__(self) -> AnnotatedH5ad:
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        if kind is None and self._written != self._cells:
            raise ValueError(f"expected {self._cells} cells; received {self._written}")

    def _skeleton(
        self,
        types: tuple[str, ...],
        latent_size: int,
        notes: dict[str, str],
        obs: h5py.Group | None,
    ) -> dict[str, h5py.Dataset]:
        """Writes all but the answers; returns the arrays that these go to."""
        from anndata.io import write_elem

        start_h5ad(self._file, pd.Index([], dtype=object), {"scadv": dict(notes)})
        nothing = CellAnswers.of_no_cells(types, latent_size)
        columns, arrays = obs_columns(nothing), {}
        if obs is None:
            index = self._file["obs"].attrs["_index"]
            arrays[_NAME] = lengthened(self._file["obs"], index, (self._cells,))
        else:
            del self._file["obs"]
            _copy_obs(obs, self._file, [*columns])
        obs = self._file["obs"]
        for name, empty in columns.items():
            column = _new_column(obs, name, empty)
            group, key = (column, "codes") if isinstance(empty, pd.Categorical) else (obs, name)
            arrays[name] = lengthened(group, key, (self._cells,))
        obsm = self._file["obsm"]
        write_elem(obsm, LATENT, nothing.latent)
        arrays[LATENT] = lengthened(obsm, LATENT, (self._cells, latent_size))
        return arrays


def _copy_obs(obs: h5py.Group, file: h5py.File, added: list[str]) -> None:
    """Copies the table of cells, so that it can have columns of these names too."""
    import h5py
    from anndata.io import write_elem

    names_apart = "/" not in index_of(obs) and index_of(obs) not in added
    copied = isinstance(obs, h5py.Group) and is_current(obs)  # what is in zarr is not
    columns = columns_of(obs)
    if copied and names_apart and all(is_safe(name) and has_column(obs, name) for name in columns):
        file.copy(obs, file, name="obs")
        return
    table = read_table(obs).set_axis(pd.Index(names_of(obs)[:], dtype=object))
    write_elem(file, "obs", table.rename(columns=safe_columns(table.columns, added)))


def _new_column(obs: h5py.Group, name: str, empty: Column) -> h5py.Group | h5py.Dataset:
    """Adds a column without rows, as anndata writes it, in place of an older one."""
    from anndata.io import write_elem
    from h5py import string_dtype

    if name in obs:
        del obs[name]
    write_elem(obs, name, empty)
    order = [text for text in columns_of(obs) if text != name]
    obs.attrs["column-order"] = np.array([*order, name], dtype=string_dtype())
    return obs[name]
