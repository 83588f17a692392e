"""The two formats of the scverse: .h5ad (one modality) and .h5mu (several).

Only what is needed is read: one matrix, ``obs`` and ``var`` of one modality.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from scipy import sparse

from scadv_tf.errors import InputError

if TYPE_CHECKING:
    import h5py
    from anndata import AnnData

_MODALITY_KEYS = {
    "rna": ("rna", "gex", "gene expression"),
    "atac": ("atac", "peaks", "gene activity"),
}
_DENSE_ROWS_AT_ONCE = 4096


def read_h5ad(path: Path, modality: str, layer: str) -> AnnData:
    """Read one matrix of an .h5ad ('' or 'X', 'raw', or a layer) with obs and var, unchecked."""
    import h5py

    with h5py.File(path, "r") as file:
        return _read_group(file, path, modality, layer)


def read_h5mu(path: Path, modality: str, layer: str) -> AnnData:
    """Read one modality of an .h5mu; columns of the file-wide obs are joined in where missing."""
    import h5py
    from anndata.io import read_elem

    with h5py.File(path, "r") as file:
        adata = _read_group(modality_group(file, path, modality), path, modality, layer)
        if "obs" in file:
            adata.obs = join_global(adata.obs, read_elem(file["obs"]), modality, list(file["mod"]))
    return adata


def usable_matrices(path: Path, modality: str) -> list[str]:
    """Names of the matrices in the file that have no negative and no missing value."""
    import h5py

    if path.suffix.casefold() not in (".h5ad", ".h5mu"):
        return []
    with h5py.File(path, "r") as file:
        group = modality_group(file, path, modality) if "mod" in file else file
        values = {n: _read_matrix(group[where]).data for n, where in matrices(group).items()}
    return [name for name, data in values.items() if data.size and data.min() >= 0]


def modality_group(file: h5py.File, path: Path, modality: str) -> h5py.Group:
    """The HDF5 group of one modality of an .h5mu."""
    found = {key.casefold(): key for key in file["mod"]}
    for key in _MODALITY_KEYS[modality]:
        if key in found:
            return file["mod"][found[key]]
    raise InputError(
        what=f"{path.name} has no {modality.upper()} modality",
        expected=f"one of the modalities {', '.join(_MODALITY_KEYS[modality])}",
        received=", ".join(file["mod"]),
        advice=f"rename the modality to '{modality}' and write the file again",
    )


def join_global(
    obs: pd.DataFrame, shared: pd.DataFrame, modality: str, modalities: list[str]
) -> pd.DataFrame:
    """Add the file-wide columns that the modality lacks; 'rna:cell_type' counts as 'cell_type'."""
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


def _read_group(group: h5py.Group, path: Path, modality: str, layer: str) -> AnnData:
    """Read X or a layer, obs and var of the HDF5 group of one AnnData, and nothing more."""
    from anndata import AnnData
    from anndata.io import read_elem

    where = find_matrix(group, path, layer, f"--{modality}_layer")
    var = features_table(group, where)
    obs = read_elem(group["obs"])
    obs.index = obs.index.astype(str)
    matrix = _read_matrix(group[where])
    if matrix.shape != (len(obs), len(var)):
        raise ValueError(f"X is {matrix.shape}, but obs and var are {len(obs)} and {len(var)} long")
    with warnings.catch_warnings():
        # Repeated names are dealt with by the caller.
        warnings.filterwarnings("ignore", message=".*names are not unique.*")
        return AnnData(matrix, obs=obs, var=var)


def find_matrix(group: h5py.Group, path: Path, layer: str, layer_flag: str) -> str:
    """Where in the HDF5 group of one AnnData the chosen matrix is: 'X', 'raw/X' or 'layers/…'."""
    import h5py

    if isinstance(group["obs"], h5py.Dataset):
        raise InputError(
            what=f"{path.name} has the layout of anndata before 0.7",
            expected="a file written by anndata 0.7 or newer",
            received="obs as one compound table",
            advice="rewrite it: anndata.read_h5ad(old).write_h5ad(new)",
        )
    where = matrices(group).get(layer or "X")
    if where is None:
        raise InputError(
            what=f"{path.name} has no {layer or 'X'}",
            expected="one of: " + (", ".join(matrices(group)) or "nothing, as it has no matrix"),
            received=layer or "X",
            advice=f"choose one with {layer_flag} (leave it out for X)",
        )
    return where


def features_table(group: h5py.Group, where: str) -> pd.DataFrame:
    """The table of the features of a matrix, from `find_matrix`."""
    from anndata.io import read_elem

    var = read_elem(group["raw/var" if where == "raw/X" else "var"])
    var.index = var.index.astype(str)
    return var


def matrices(group: h5py.Group) -> dict[str, str]:
    """The matrices of an AnnData group: what the user calls them -> where they are."""
    found = {name: f"layers/{name}" for name in group.get("layers", ())}
    found |= {"X": "X", "raw": "raw/X"}
    return {name: where for name, where in found.items() if where in group}


def _read_matrix(element: h5py.Group | h5py.Dataset) -> sparse.csr_matrix:
    """Read a stored matrix as CSR; a dense one by blocks of rows, so that it never is in memory."""
    import h5py
    from anndata.io import read_elem

    if isinstance(element, h5py.Dataset):
        starts = range(0, max(len(element), 1), _DENSE_ROWS_AT_ONCE)
        blocks = [sparse.csr_matrix(element[i : i + _DENSE_ROWS_AT_ONCE]) for i in starts]
        return sparse.vstack(blocks, format="csr")
    return sparse.csr_matrix(read_elem(element))
