"""The two formats of the scverse: .h5ad (one modality) and .h5mu (several); either as zarr."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import pandas as pd

from scadv_tf.data import zarr_stores
from scadv_tf.data.features import with_columns_of
from scadv_tf.data.readable import passed_over
from scadv_tf.data.stored_cells import Asked, StoredCells
from scadv_tf.data.stored_matrices import StoredMatrix, stored_matrix
from scadv_tf.data.tables import element_in, is_group, names_of, read_table
from scadv_tf.errors import InputError

if TYPE_CHECKING:
    import h5py

logger = logging.getLogger(__name__)

Place = TypeVar("Place")

# What modalities are called: by which names, and, where none has such a one, by names like which.
_MODALITY_KEYS = {
    "rna": ("rna", "gex", "gene expression"),
    "atac": ("atac", "peaks", "gene activity"),
    "protein": ("prot", "protein", "adt", "antibody capture"),
    "methylation": ("methylation", "met", "mc"),
}
_MODALITIES_LIKE = {
    "rna": r"(?:.+_)?(?:s[cn]|m)?(?:rna|gex)(?:_?seq)?(?:_.+)?|(?:gene_?)?expression|transcript\w*",
    "atac": r"(?:.+_)?(?:s[cn])?atac(?:_?seq)?(?:_.+)?|peak\w*|chromatin\w*|accessibility"
    r"|gene_?(?:activity|scores?)",
}


_OF_SNAPATAC2 = ("fragment_paired", "fragment_single", "insertion", "contact")


def read_h5ad(asked: Asked, file: h5py.File | None) -> StoredCells | None:
    """The cells of an .h5ad; None where the file is none."""
    if file is None or "obs" not in file:
        return None
    return _cells(asked, file, _format(file, ".h5ad"))


def read_h5mu(asked: Asked, file: h5py.File | None) -> StoredCells | None:
    """The cells of one modality of an .h5mu, with the columns of the file-wide table that they
    lack; None where the file is none."""
    if file is None or "mod" not in file:
        return None
    key = modality_in(file["mod"], asked.features, asked.path.name)
    group = file["mod"][key]
    found = _cells(asked, group, _format(file, ".h5mu"))

    def table() -> pd.DataFrame:
        own = read_table(found.obs)
        if "obs" not in file:
            return own
        shared = read_table(file["obs"]).set_axis(names_of(file["obs"])[:])
        cells = own.set_axis(found.names[:])
        joined = with_shared_columns(cells, shared, key, list(file["mod"]))
        return joined.set_axis(own.index)

    return replace(found, table=table)


def _format(file: h5py.File, of_hdf5: str) -> str:
    return of_hdf5 if hasattr(file, "filename") else zarr_stores.FORMAT


def _cells(asked: Asked, group: h5py.Group, file_format: str) -> StoredCells:
    """Those of the group of one AnnData, by the matrix that is asked for."""
    _check_layout(asked, group)
    places = _matrices(group)
    if asked.layer in ("", "X"):
        _refuse_fragments_of_snapatac2(asked, group)
    chosen = chosen_matrix(asked, places, file_format)
    names, var = names_of(group["obs"]), _features(group["var"])
    if chosen == "raw/X":
        var = with_columns_of(_features(group["raw/var"]), var)
    sizes = len(names), len(var)

    def others() -> dict[str, StoredMatrix]:
        found = {}
        for name in places:
            with passed_over():
                found[name] = stored_matrix(group[places[name]], sizes, asked.scratch)
        return {name: matrix for name, matrix in found.items() if places[name] != chosen}

    matrix = stored_matrix(group[chosen], sizes, asked.scratch)
    if matrix.shape != sizes:
        raise _other_size(asked, chosen, matrix.shape, sizes)
    return StoredCells(
        file_format, matrix, names, var, lambda: read_table(group["obs"]), group["obs"], others
    )


def _features(table: h5py.Group) -> pd.DataFrame:
    return read_table(table).set_axis(pd.Index(names_of(table)[:], dtype=object))


def _check_layout(asked: Asked, group: h5py.Group) -> None:
    if not is_group(group["obs"]):
        raise InputError(
            what=f"{asked.path.name} has the layout of anndata before 0.7",
            expected="a file written by anndata 0.7 or newer",
            received="obs as one compound table",
            advice="rewrite it: anndata.read_h5ad(old).write_h5ad(new)",
        )
    if "var" not in group:
        raise InputError(
            what=f"{asked.path.name} does not name its features",
            expected="the tables obs (cells) and var (features) of an AnnData",
            received=", ".join(sorted(group)),
            advice="write the file again, e.g. with write_h5ad of anndata",
        )


def _other_size(
    asked: Asked, place: str, shape: tuple[int, ...], sizes: tuple[int, int]
) -> InputError:
    turned = tuple(shape) == sizes[::-1]
    return InputError(
        what=f"{place} of {asked.path.name} does not fit its tables of cells and features",
        expected=f"{sizes[0]} cells x {sizes[1]} features, as in obs and var",
        received=" x ".join(map(str, shape)) + (", features in rows" if turned else ""),
        advice="write the file again, with cells in rows: anndata.AnnData(X.T, obs, var)"
        if turned
        else "write the file again, from a matrix and tables that belong together",
    )


def _refuse_fragments_of_snapatac2(asked: Asked, group: h5py.Group) -> None:
    """It keeps fragments in obsm, and X has no features until it has counted them."""
    kept = [name for name in _OF_SNAPATAC2 if f"obsm/{name}" in group]
    if not kept or ("X" in group and len(names_of(group["var"]))):
        return
    raise InputError(
        what=f"{asked.path.name} holds fragments of SnapATAC2, which are not counted yet",
        expected="an X of cells x peaks, or cells x tiles",
        received=f"obsm/{kept[0]}, and X without features",
        advice="count them in SnapATAC2: snapatac2.pp.make_peak_matrix(data, use_rep=peaks, "
        "file='peaks.h5ad'), or snapatac2.pp.add_tile_matrix(data); or give the fragment file "
        "itself as ATAC",
    )


def chosen_matrix(asked: Asked, places: Mapping[str, Place], file_format: str) -> Place:
    """Where the matrix is that is asked for, of what users call each -> where it is.

    Raises
    ------
    InputError : there is no such matrix.
    """
    layer = asked.layer or "X"
    if layer in places:
        return places[layer]
    raise InputError(
        what=f"{asked.path.name}, read as {file_format}, has no {layer}",
        expected="one of: " + (", ".join(places) or "nothing, as it has no matrix"),
        received=layer,
        advice=f"choose one with {asked.called.layer_flag} (leave it out for X)",
    )


def _matrices(group: h5py.Group) -> dict[str, str]:
    """The matrices of an AnnData group: what the user calls them -> where they are."""
    layers = element_in(group, "layers")
    found = {name: f"layers/{name}" for name in layers} if is_group(layers) else {}
    found |= {"X": "X", "raw": "raw/X"}
    return {name: place for name, place in found.items() if place in group and _holds(group, place)}


def _holds(group: h5py.Group, place: str) -> bool:
    """Whether a matrix is there: anndata 0.12.0 writes one that is none, too.

    A link that leads nowhere counts as one, and is told of when that matrix is asked for.
    """
    element = element_in(group, place)
    return element is None or element.attrs.get("encoding-type") != "null"


def modality_in(parts: Collection[str], modality: str, name: str) -> str:
    """What one modality of several is called; `name` is what messages call the whole.

    Raises
    ------
    InputError : there is none, or it is not certain which it is.
    """
    keys = _MODALITY_KEYS[modality]
    found = {key.casefold(): key for key in parts}
    for key in keys:
        if key in found:
            return found[key]
    like = _MODALITIES_LIKE.get(modality, "")
    alike = [key for key in parts if re.fullmatch(like, re.sub(r"[\W_]+", "_", key.casefold()))]
    if len(alike) == 1:
        logger.info("%s: the modality '%s' is taken for %s", name, alike[0], modality.upper())
        return alike[0]
    raise InputError(
        what=f"{name} has several modalities that may be {modality.upper()}"
        if alike
        else f"{name} has no {modality.upper()} modality",
        expected=f"one of the modalities {', '.join(keys)}",
        received=", ".join(alike or parts),
        advice=f"rename the modality to '{modality}' and write the file again",
    )


def with_shared_columns(
    obs: pd.DataFrame, shared: pd.DataFrame, modality: str, modalities: list[str]
) -> pd.DataFrame:
    """Adds the shared columns that the modality lacks; 'rna:cell_type' counts as 'cell_type'.

    Parameters
    ----------
    modality, modalities : what it and all are called.
    """
    if not shared.index.is_unique:
        return obs
    rows = shared.reindex(obs.index)
    joined = obs.copy()
    for column in shared.columns:
        owner, _, name = str(column).rpartition(":")
        if owner and owner in modalities and owner != modality:
            continue
        name = name if owner in modalities else column
        if name not in joined:
            joined[name] = rows[column]
    return joined
