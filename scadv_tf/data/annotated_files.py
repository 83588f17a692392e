"""Files of annotated cells that are written some cells at a time: .h5ad and .csv."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd

from scadv_tf.data.h5ad_parts import lengthened, start_h5ad
from scadv_tf.data.labels import UNKNOWN
from scadv_tf.data.tables import is_current, names_of, read_table

if TYPE_CHECKING:
    import h5py

DIGITS = 6  # of numbers in a table


class AnnotatedFile(Protocol):
    """A file that is open for the answers of a model; to be used in a with statement."""

    def write(self, cells: np.ndarray, answer: dict[str, np.ndarray]) -> None:
        """Adds cells: their names [n], and ``latent`` [n, Z] and, of a model that knows types,
        ``label``, ``confidence``, ``novelty`` and ``unknown`` [n]."""

    def __enter__(self) -> AnnotatedFile: ...

    def __exit__(self, *error) -> None: ...


def accepted_label(answer: dict[str, np.ndarray]) -> np.ndarray:
    """The labels [n], text, 'unknown' where a cell resembles no known type."""
    return np.where(answer["unknown"], UNKNOWN, answer["label"])


class AnnotatedTable:
    """A .csv: cell, label, confidence, accepted_label, novelty; or the latent vectors, scadv_1, ….

    The latter is for models that know no types.
    """

    def __init__(self, path: Path):
        self._file = open(path, "w", encoding="utf-8", newline="")
        self._head = True

    def write(self, cells: np.ndarray, answer: dict[str, np.ndarray]) -> None:
        """See `AnnotatedFile`."""
        table = {"cell": cells}
        if "label" in answer:
            table |= {
                "label": answer["label"],
                "confidence": answer["confidence"].round(DIGITS),
                "accepted_label": accepted_label(answer),
                "novelty": answer["novelty"].round(DIGITS),
            }
        else:
            columns = enumerate(answer["latent"].T, start=1)
            table |= {f"scadv_{number}": values for number, values in columns}
        pd.DataFrame(table).to_csv(self._file, header=self._head, index=False)
        self._head = False

    def __enter__(self) -> AnnotatedTable:
        return self

    def __exit__(self, *error) -> None:
        self._file.close()


class AnnotatedH5ad:
    """An .h5ad without X: ``obsm['X_scadv']``, the input's ``obs``, and the answers in it.

    These are ``scadv_label`` and ``scadv_accepted_label`` (categories), ``scadv_confidence``,
    ``scadv_novelty`` and ``scadv_unknown``; older columns of these names give way. Every array is
    made as long as it will be and filled in part by part.

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
        import h5py

        self._file = h5py.File(path, "w")
        self._cells, self._written = cells, 0
        self._labels = pd.Index([*types, *({UNKNOWN} - set(types))], dtype=object)
        try:
            self._arrays = self._skeleton(types, latent_size, notes, obs)
        except BaseException:
            self._file.close()
            raise

    def write(self, cells: np.ndarray, answer: dict[str, np.ndarray]) -> None:
        """See `AnnotatedFile`."""
        part = slice(self._written, self._written + len(cells))
        values = {"latent": answer["latent"], "cell": cells.astype(object)}
        if "label" in answer:
            values |= {name: answer[name] for name in ("confidence", "novelty", "unknown")}
            values["label"] = self._labels.get_indexer(answer["label"])
            values["accepted_label"] = self._labels.get_indexer(accepted_label(answer))
        for name, array in self._arrays.items():
            array[part] = values[name]
        self._written = part.stop

    def __enter__(self) -> AnnotatedH5ad:
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if kind is None and self._written != self._cells:
            raise ValueError(f"expected {self._cells} cells; received {self._written}")

    def _skeleton(self, types, latent_size, notes, obs) -> dict[str, h5py.Dataset]:
        """Writes all but the answers; returns the arrays that these go to."""
        from anndata.io import write_elem

        start_h5ad(self._file, pd.Index([], dtype=object), {"scadv": dict(notes)})
        arrays = {}
        if obs is None:
            index = self._file["obs"].attrs["_index"]
            arrays["cell"] = lengthened(self._file["obs"], index, (self._cells,))
        else:
            del self._file["obs"]
            _copy_obs(obs, self._file)
        obs = self._file["obs"]
        if types:
            empty = pd.Categorical.from_codes([], self._labels)
            for name in ("label", "accepted_label"):
                column = _new_column(obs, name, empty)
                arrays[name] = lengthened(column, "codes", (self._cells,))
            for name, kind in (("confidence", "f4"), ("novelty", "f4"), ("unknown", bool)):
                _new_column(obs, name, np.empty(0, dtype=kind))
                arrays[name] = lengthened(obs, f"scadv_{name}", (self._cells,))
        obsm = self._file["obsm"]
        write_elem(obsm, "X_scadv", np.empty((0, latent_size), dtype=np.float32))
        arrays["latent"] = lengthened(obsm, "X_scadv", (self._cells, latent_size))
        return arrays


def _copy_obs(obs: h5py.Group, file: h5py.File) -> None:
    from anndata.io import write_elem

    if is_current(obs):
        file.copy(obs, file, name="obs")
    else:
        write_elem(file, "obs", read_table(obs).set_axis(pd.Index(names_of(obs)[:], dtype=object)))


def _new_column(obs: h5py.Group, name: str, empty) -> h5py.Group | h5py.Dataset:
    """Adds a column without rows, as anndata writes it, in place of an older one."""
    from anndata.io import write_elem
    from h5py import string_dtype

    name = f"scadv_{name}"
    if name in obs:
        del obs[name]
    write_elem(obs, name, empty)
    order = [text for text in obs.attrs["column-order"] if text != name]
    obs.attrs["column-order"] = np.array([*order, name], dtype=string_dtype())
    return obs[name]
