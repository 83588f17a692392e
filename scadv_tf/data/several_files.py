"""Several files of query cells as one: the features that all have, and of which file a cell is."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scadv_tf.data.readers import held
from scadv_tf.errors import InputError
from scadv_tf.files import is_there

if TYPE_CHECKING:
    from anndata import AnnData

    from scadv_tf.data.cell_files import CellFile

COLUMN = "dataset"  # of obs: the file that a cell is of, the batch key by default
_ENDINGS = (".gz", ".zip", ".tsv", ".h5ad", ".h5mu", ".zarr", ".h5", ".hdf5")


def paths_of(given: str) -> list[str]:
    """The paths in a text, separated by commas; the text alone where it is the path of a file."""
    paths = [path for part in given.split(",") if (path := part.strip())]
    return [given] if is_there(given) or not paths else paths


def together(sources: Sequence[CellFile], memory_cells: int) -> AnnData:
    """All cells of several open files, held, with their file in ``obs['dataset']``.

    Where names of cells repeat, each gets the name of its file before it.

    Raises
    ------
    InputError : they share no feature, or are more cells than may be held.
    """
    import anndata

    cells = sum(source.cells for source in sources)
    if 0 < memory_cells < cells:
        raise InputError(
            what="several files have more cells together than may be held in memory",
            expected=f"at most --memory_cells={memory_cells:,} cells, or one file",
            received=f"{cells:,} cells in {len(sources)} files",
            advice="join them by anndata.experimental.concat_on_disk(files, out, join='inner', "
            f"label='{COLUMN}') and give that file with --atac_batch_key={COLUMN}, or hold all by "
            "--memory_cells=0",
        )
    parts = dict(zip(_names([source.path for source in sources]), map(held, sources), strict=True))
    if not pd.Index(np.concatenate([part.obs_names for part in parts.values()])).is_unique:
        for name, part in parts.items():
            part.obs_names = f"{name}:" + part.obs_names
    joined = anndata.concat(parts, join="inner", label=COLUMN, merge="first")
    if not joined.n_vars:
        raise InputError(
            what="the files of --atac share no feature",
            expected="features of the same names in all of them",
            received="; ".join(
                f"{name}: {', '.join(part.var_names[:3])}" for name, part in parts.items()
            ),
            advice="for peaks that were called in each file alone, count fragments in one set of "
            "--peaks, or give gene activity",
        )
    return joined


def _names(paths: Sequence[Path]) -> list[str]:
    """A short name for each file, none twice."""
    names = []
    for path in paths:
        name = path.name
        while ending := next((e for e in _ENDINGS if name.casefold().endswith(e)), ""):
            name = name[: -len(ending)]
        names.append(name or path.name)
    found: list[str] = []
    for name in names:
        others = (f"{name}-{number}" for number in itertools.count(2))
        free = (other for other in others if other not in names and other not in found)
        found.append(next(free) if name in found else name)
    return found
