"""The two formats of the scverse: .h5ad (one modality) and .h5mu (several)."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pandas as pd

from scadv_tf.data.stored_cells import Asked, FileFormat, StoredCells
from scadv_tf.data.stored_matrices import StoredMatrix, stored_matrix
from scadv_tf.data.tables import names_of, read_table
from scadv_tf.errors import InputError

if TYPE_CHECKING:
    import h5py

_MODALITY_KEYS = {
    "rna": ("rna", "gex", "gene expression"),
    "atac": ("atac", "peaks", "gene activity"),
}


class _OneAnnData:
    """The HDF5 group of one AnnData, of which one matrix is asked for."""

    def __init__(self, asked: Asked, group: h5py.Group):
        self._asked, self._group = asked, group
        self._check_layout()
        self._places = _matrices(group)
        self._place = self._chosen()
        self.obs, self.names = group["obs"], names_of(group["obs"])
        table = group["raw/var" if self._place == "raw/X" else "var"]
        self.var = read_table(table).set_axis(pd.Index(names_of(table)[:], dtype=object))

    def cells(self, table) -> StoredCells:
        """What the format gives; `table` reads the table of cells."""
        matrix, sizes = self._matrix(self._place), (len(self.names), len(self.var))
        if matrix.shape != sizes:
            raise ValueError(f"X is {matrix.shape}, but obs and var are {sizes}")
        return StoredCells(matrix, self.names, self.var, table, self.obs, self._others)

    def _matrix(self, place: str) -> StoredMatrix:
        sizes = len(self.names), len(self.var)
        return stored_matrix(self._group[place], sizes, self._asked.scratch)

    def _others(self) -> dict[str, StoredMatrix]:
        found = {}
        for name, place in self._places.items():
            with contextlib.suppress(ValueError):  # of a kind that is not known
                found |= {name: self._matrix(place)} if place != self._place else {}
        return found

    def _check_layout(self) -> None:
        import h5py

        if isinstance(self._group["obs"], h5py.Dataset):
            raise InputError(
                what=f"{self._asked.path.name} has the layout of anndata before 0.7",
                expected="a file written by anndata 0.7 or newer",
                received="obs as one compound table",
                advice="rewrite it: anndata.read_h5ad(old).write_h5ad(new)",
            )

    def _chosen(self) -> str:
        """Where the chosen matrix is: 'X', 'raw/X' or 'layers/…'."""
        layer = self._asked.layer or "X"
        if layer in self._places:
            return self._places[layer]
        raise InputError(
            what=f"{self._asked.path.name} has no {layer}",
            expected="one of: " + (", ".join(self._places) or "nothing, as it has no matrix"),
            received=layer,
            advice=f"choose one with {self._asked.called.layer_flag} (leave it out for X)",
        )


def _read_h5ad(asked: Asked, file: h5py.File) -> StoredCells:
    found = _OneAnnData(asked, file)
    return found.cells(lambda: read_table(found.obs))


def _read_h5mu(asked: Asked, file: h5py.File) -> StoredCells:
    found = _OneAnnData(asked, _modality_group(asked, file))

    def table() -> pd.DataFrame:
        """With the columns of the file-wide table of cells that the modality lacks."""
        own = read_table(found.obs)
        if "obs" not in file:
            return own
        shared = read_table(file["obs"]).set_axis(names_of(file["obs"])[:])
        joined = _join(own.set_axis(found.names[:]), shared, asked.modality, list(file["mod"]))
        return joined.set_axis(own.index)

    return found.cells(table)


H5AD = FileFormat(".h5ad", lambda path, file: "obs" in (file or ()), _read_h5ad)
H5MU = FileFormat(".h5mu", lambda path, file: "mod" in (file or ()), _read_h5mu)


def _matrices(group: h5py.Group) -> dict[str, str]:
    """The matrices of an AnnData group: what the user calls them -> where they are."""
    found = {name: f"layers/{name}" for name in group.get("layers", ())}
    found |= {"X": "X", "raw": "raw/X"}
    return {name: place for name, place in found.items() if place in group}


def _modality_group(asked: Asked, file: h5py.File) -> h5py.Group:
    keys = _MODALITY_KEYS[asked.modality]
    found = {key.casefold(): key for key in file["mod"]}
    for key in keys:
        if key in found:
            return file["mod"][found[key]]
    raise InputError(
        what=f"{asked.path.name} has no {asked.modality.upper()} modality",
        expected=f"one of the modalities {', '.join(keys)}",
        received=", ".join(file["mod"]),
        advice=f"rename the modality to '{asked.modality}' and write the file again",
    )


def _join(
    obs: pd.DataFrame, shared: pd.DataFrame, modality: str, modalities: list[str]
) -> pd.DataFrame:
    """Add the shared columns that the modality lacks; 'rna:cell_type' counts as 'cell_type'."""
    if not shared.index.is_unique:
        return obs
    rows = shared.reindex(obs.index)
    joined = obs.copy()
    for column in shared.columns:
        owner, _, name = str(column).rpartition(":")
        if owner and owner in modalities and owner.casefold() not in _MODALITY_KEYS[modality]:
            continue
        name = name if owner in modalities else column
        if name not in joined:
            joined[name] = rows[column]
    return joined
