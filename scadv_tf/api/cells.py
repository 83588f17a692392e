"""The AnnData that answers are written into, and what is said of the run in their ``uns``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scadv_tf.data.anndata_cells import anndata_of, is_path
from scadv_tf.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from scadv_tf.config import RunConfig

# Scores of each type; what the column is called where they are mere numbers.
BY_TYPE: dict[str, tuple[str, ...]] = {
    "per_type": (),
    "mixing_by_type": ("mixing",),
    "recognised": ("share",),
}


def target_of(
    given: str | os.PathLike | AnnData | MuData, modality: str, copy: bool
) -> AnnData | None:
    """The AnnData itself, or its copy in memory; None of a path, which has none.

    Parameters
    ----------
    given : a path, an AnnData, or a MuData with this modality.

    Raises
    ------
    InputError : it cannot be written into.
    """
    if is_path(given):
        return None
    adata = anndata_of(given, modality)
    if copy:
        return adata.to_memory() if adata.isbacked else adata.copy()
    if adata.isbacked and adata.is_view:
        raise InputError(
            what=f"The {modality.upper()} cells are a part of a backed AnnData, which anndata lets "
            "nobody write into.",
            expected="a whole AnnData, or one in memory",
            received=f"{adata.n_obs:,} cells of {adata.filename}",
            advice="Give its .to_memory(), or copy=True.",
        )
    return adata


def uns_of_settings(config: RunConfig) -> dict[str, object]:
    """Every setting but those of the output by its name, in values that an .h5ad can hold."""
    sections = config.to_dict()
    del sections["output"]
    settings = {name: value for part in sections.values() for name, value in part.items()}
    return {name: _storable(value) for name, value in settings.items()}


def uns_of_scores(metrics: dict) -> dict[str, object]:
    """The scores that are known; a table for each of `BY_TYPE`."""
    found = {}
    for name, value in metrics.items():
        if isinstance(value, dict):
            value = by_type(value, *BY_TYPE[name]) if name in BY_TYPE else uns_of_scores(value)
        if value is not None:
            found[name] = value
    return found


def by_type(values: dict, *column: str) -> pd.DataFrame:
    """A row a type. In a table, unlike in folders of a file, types may have any name.

    Parameters
    ----------
    values : type -> {column: number}, or with the name of their column, type -> number.
    """
    return pd.DataFrame.from_dict(values, orient="index", columns=[*column] or None)


def texts(lines: list[str]) -> np.ndarray:
    """Lines as anndata writes and reads them."""
    return np.array(lines, dtype=object)


def _storable(value: Any) -> Any:
    if not isinstance(value, tuple):
        return value
    numbers = bool(value) and not isinstance(value[0], str)
    return np.array(value) if numbers else texts([*value])
