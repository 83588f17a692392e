"""Several files of query cells as one: the features that all have, and of which file a cell is."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scadv_tf.data.features import interval_names, numbered
from scadv_tf.data.gene_activity import peak_intervals
from scadv_tf.data.readers import held
from scadv_tf.errors import InputError
from scadv_tf.files import is_there

if TYPE_CHECKING:
    from anndata import AnnData

    from scadv_tf.data.cell_files import CellFile

logger = logging.getLogger(__name__)

COLUMN = "dataset"  # of obs: the file that a cell is of, the batch key by default
OWN_COLUMN = "dataset_in_file"  # one of that name that the files had
HALF = 0.5
# Peaks of one set are in all files, but for some that are filtered; of those that were called in
# each file alone, chance makes some the same to the base.
FEW_PEAKS = 0.25
_ENDINGS = (".gz", ".zip", ".tsv", ".h5ad", ".h5mu", ".zarr", ".h5", ".hdf5")


def paths_of(given: str) -> list[str]:
    """The paths in a text, separated by commas; the text alone where it is the path of a file."""
    paths = [path for part in given.split(",") if (path := part.strip())]
    return [given] if is_there(given) or not paths else paths


def together(sources: Sequence[CellFile], memory_cells: int, batch_key: str = "") -> AnnData:
    """All cells of several open files, held, with their file in ``obs['dataset']``.

    Peaks are the same where they lie at the same place, whatever they are called. Where names of
    cells repeat, each gets the name of its file before it. A column 'dataset' of the files' own
    stays where it is the batch key, and otherwise gets another name.

    Raises
    ------
    InputError : they share no feature, or hardly any peak, or features of one name are not the
        same; or they are more cells than may be held.
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
    are_peaks = _called_by_place(parts)
    if not are_peaks:
        _check_alike(parts)
    joined = anndata.concat(parts, join="inner", label=_column(parts, batch_key), merge="first")
    _check_shared(parts, joined.n_vars, are_peaks)
    return joined


def _called_by_place(parts: Mapping[str, AnnData]) -> bool:
    """Names peaks by their places; whether all features are such."""
    places = [peak_intervals(part.var) for part in parts.values()]
    if any(found is None for found in places):
        return False
    for part, found in zip(parts.values(), places, strict=True):
        assert found is not None  # by the line above
        part.var_names = numbered(interval_names(found))
    return True


def _check_alike(parts: Mapping[str, AnnData]) -> None:
    """Refuses features that have one name and are not the same by what else tells them apart."""
    (first, one), *others = parts.items()
    for name, other in others:
        shared = one.var_names.intersection(other.var_names)
        told = [key for key in _telling(one.var) if key in other.var and len(shared)]
        same = [
            _plain(one.var.loc[shared, key]) == _plain(other.var.loc[shared, key]) for key in told
        ]
        if told and all(each.mean() < HALF for each in same):
            at = shared[int(np.argmin(same[0]))]
            raise InputError(
                what=f"features of the same name are not the same in {first} and {name}",
                expected="names (var_names) that stand for one gene or peak in all files of --atac",
                received=f"'{at}' is {one.var.loc[at, told[0]]} and {other.var.loc[at, told[0]]} "
                f"by the column '{told[0]}'",
                advice=f"name the features in each file by such a column: adata.var_names = "
                f"adata.var['{told[0]}']",
            )


def _telling(var: pd.DataFrame) -> list[str]:
    """The columns of text that are another one for most features."""
    texts = var.select_dtypes(exclude=["number", "bool"])
    return [key for key in texts if texts[key].nunique() > HALF * len(var)]


def _plain(column: pd.Series) -> np.ndarray:
    """Text without the version of an identifier."""
    return column.astype(str).str.replace(r"\.\d+$", "", regex=True).to_numpy()


def _column(parts: Mapping[str, AnnData], batch_key: str) -> str | None:
    """The column of files, whose name it makes free; None where the user's own one is meant."""
    own = [part for part in parts.values() if COLUMN in part.obs]
    if len(own) == len(parts) and batch_key == COLUMN:
        return None
    for part in own:
        part.obs = part.obs.rename(columns={COLUMN: OWN_COLUMN})
    if own:
        logger.warning("obs['%s'] of the files is kept as obs['%s']", COLUMN, OWN_COLUMN)
    return COLUMN


def _check_shared(parts: Mapping[str, AnnData], shared: int, are_peaks: bool) -> None:
    """Tells of features that not all files have, and refuses too few that all have."""
    numbers = [f"{name}: {part.n_vars:,}" for name, part in parts.items()]
    share = shared / max(1, min(part.n_vars for part in parts.values()))
    if not shared or (are_peaks and share < FEW_PEAKS):
        begin = "; ".join(f"{n}: {', '.join(part.var_names[:3])}" for n, part in parts.items())
        raise InputError(
            what="the files of --atac share " + ("hardly a peak" if shared else "no feature"),
            expected="features of the same names in all of them",
            received=f"{shared:,} in common of {'; '.join(numbers)}" if shared else begin,
            advice="for peaks that were called in each file alone, count fragments in one set of "
            "--peaks, or give gene activity",
        )
    logger.log(
        logging.WARNING if share < HALF else logging.INFO,
        "%s features are in all files of --atac, of %s", f"{shared:,}", "; ".join(numbers),
    )  # fmt: skip


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
