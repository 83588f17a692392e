"""Results back into files that scverse tools read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from scadv_tf.data.answers import LATENT, CellAnswers, obs_columns
from scadv_tf.data.h5ad_parts import start_h5ad, write_counts, write_rows
from scadv_tf.data.joint_obs import write_joint_obs
from scadv_tf.data.new_h5 import new_h5
from scadv_tf.data.pairing import PairedData
from scadv_tf.data.rows import JoinedRows
from scadv_tf.files import whole_file
from scadv_tf.modalities import MODALITIES

COMPRESSION = {"compression": "gzip"}
CELLS_AT_ONCE = 2_048  # whose counts are held


def write_integrated(
    path: str | Path,
    data: PairedData,
    answers: dict[str, CellAnswers],
    umap: np.ndarray,
    notes: dict | None = None,
) -> None:
    """Writes both modalities as one .h5ad, RNA cells first, whole or not at all.

    ``X`` holds the counts of the shared genes. ``obs`` holds ``modality``, the columns of the
    answers (see `scadv_tf.data.answers`), the cell's own name as ``cell``, and the columns of both
    inputs. Text that repeats becomes categories, as anndata makes them, unless there are more than
    100,000 of them (for ``cell``, in a file of more than 200,000 cells).

    Counts and latent vectors are written some cells at a time and ``obs`` column by column, so
    that no more is held than the inputs hold.

    Parameters
    ----------
    data : its counts may be stored: whatever gives CSR rows for a slice will do.
    answers : modality -> what is said of its cells; their columns are left out, and the latent
        vectors are not, where no label was transferred.
    umap : [R + A, 2].
    notes : what goes to ``uns['scadv']``, in values that an .h5ad can hold.
    """
    cells = {modality: data.cells(modality) for modality in MODALITIES}
    tables = {modality: data.obs(modality) for modality in MODALITIES}
    found = [answers[modality] for modality in MODALITIES]
    added = {"modality": _modality(cells), **obs_columns(*found)}
    latent = JoinedRows(*(each.latent for each in found))
    uns = {"scadv": notes} if notes else {}
    shape = sum(map(len, cells.values())), len(data.genes)
    with whole_file(path) as temporary, new_h5(temporary) as (file, check):
        start_h5ad(file, pd.Index(data.genes.astype(str)), uns, **COMPRESSION)
        write_counts(file, "X", _checked(_counts(data), check), shape, **COMPRESSION)
        write_joint_obs(file["obs"], cells, tables, added, **COMPRESSION)
        write_rows(file["obsm"], LATENT, latent, **COMPRESSION)
        write_rows(file["obsm"], "X_umap", umap, **COMPRESSION)


def _counts(data: PairedData) -> Iterator[sparse.csr_matrix]:
    for modality in MODALITIES:
        counts = data.counts(modality)
        for start in range(0, counts.shape[0], CELLS_AT_ONCE):
            yield counts[start : min(start + CELLS_AT_ONCE, counts.shape[0])]


def _checked(parts: Iterable, check: Callable[[], None]) -> Iterator:
    """The same parts; whether those before it were written is looked at before each."""
    for part in parts:
        check()
        yield part


def _modality(cells: dict[str, np.ndarray]) -> pd.Categorical:
    names = sorted(cells)
    codes = np.array([names.index(modality) for modality in cells], dtype=np.int8)
    return pd.Categorical.from_codes(np.repeat(codes, [*map(len, cells.values())]), names)
