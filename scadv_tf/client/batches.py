"""Cells as the inputs of a model's signatures, a batch at a time, checked before they are sent."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd
from scipy import sparse

from scadv_tf.client.assets import OF_BATCHES, Assets
from scadv_tf.data.batch_offsets import column_of_batches
from scadv_tf.data.labels import column_texts
from scadv_tf.data.sound_counts import LARGEST_COUNT, all_sound, checked_numbers, each_sound
from scadv_tf.data.stored_matrices import first_entry
from scadv_tf.errors import InputError
from scadv_tf.modalities import MODALITIES

if TYPE_CHECKING:
    import h5py
    from anndata import AnnData
    from anndata.abc import CSCDataset, CSRDataset

logger = logging.getLogger(__name__)

BYTES_OF_VALUE = 4  # a float32
BYTES_OF_ENTRY = 8 + 8 + 4  # two int64 and a float32

Matrix: TypeAlias = (
    "np.ndarray | sparse.spmatrix | sparse.sparray | h5py.Dataset | CSRDataset | CSCDataset"
)

# Counts [B, G] and, where neighbours are found by them, positive values at open peaks [B, P].
Batch = tuple[sparse.csr_matrix, sparse.csr_matrix | None]


def dense_inputs(counts: sparse.csr_matrix) -> dict[str, np.ndarray]:
    """Counts [B, G] for ``annotate_rna``, ``annotate_atac``, ``embed_rna`` and ``embed_atac``."""
    return {"counts": counts.toarray()}


def sparse_inputs(
    counts: sparse.csr_matrix, peaks: sparse.csr_matrix | None = None
) -> dict[str, np.ndarray]:
    """Counts [B, G] for ``annotate_rna_sparse`` and ``annotate_atac_sparse``.

    With peaks [B, P], for ``annotate_atac_peaks``.
    """
    entries = counts.tocoo()
    found = {
        "cell_index": entries.row.astype(np.int64),
        "gene_index": entries.col.astype(np.int64),
        "count": entries.data,
        "number_of_cells": np.int64(counts.shape[0]),
    }
    if peaks is not None:
        opened = sparse.csr_matrix(peaks > 0)
        opened.sum_duplicates()  # each pair goes once
        entries = opened.tocoo()
        found["peak_cell_index"] = entries.row.astype(np.int64)
        found["peak_index"] = entries.col.astype(np.int64)
    return found


def check_modality(modality: str) -> None:
    """Refuses what is neither 'rna' nor 'atac'."""
    if modality not in MODALITIES:
        raise InputError(
            what="there is no such modality",
            expected=" or ".join(MODALITIES),
            received=modality,
            advice="say what the cells are",
        )


def check_signature(name: str, there: Iterable[str]) -> None:
    """Refuses to ask a model for a signature that is not among those that it has."""
    without = name.removesuffix(OF_BATCHES)
    if name != without and without in there and name not in there:
        raise InputError(
            what=f"the model has no signature {name}",
            expected="a model that was trained with batches of these cells",
            received=f"one with {', '.join(sorted(there))}",
            advice="leave the batches out, or give the genes.txt of the version that is served",
        )
    if name not in there:
        with_peaks = " and had peaks" if name.endswith("_peaks") else ""
        raise InputError(
            what=f"the model has no signature {name}",
            expected=f"a model that was taught types{with_peaks}",
            received=f"one with {', '.join(sorted(there))}",
            advice="ask for latent vectors alone, by embed_rna or embed_atac, which models trained "
            "without labels (--mode=unsupervised) give too; or take another model",
        )


def batches_asked(
    table: Callable[[], pd.DataFrame], assets: Assets, modality: str, key: str, flag: str
) -> np.ndarray | None:
    """The batch of each cell [cells], text; None where no column is named. New ones are told of.

    Parameters
    ----------
    table : gives the columns of the cells.
    key : one of them; '' for none.
    flag : that names it, for messages.

    Raises
    ------
    InputError : there is no such column, the model knows no batches of the modality, or its batches
        are not known.
    """
    if not key:
        if assets.batches.get(modality):
            logger.info("no %s: no cell is taken for one of the batches of the training", flag)
        return None
    known = _known_batches(assets, modality, flag, f"{flag}={key}")
    elsewhere = f"cells of a 10x file have none: give an AnnData or .h5ad of them with obs['{key}']"
    found = column_texts(column_of_batches(table(), key, flag, elsewhere))
    others = [name for name in np.unique(found).tolist() if name and name not in known]
    if others:
        logger.warning(
            "not among the training's batches, so not corrected for: %s", ", ".join(others[:5])
        )
    return found


def batch_codes(
    names: Sequence[str] | np.ndarray | None, cells: int, assets: Assets, modality: str
) -> np.ndarray | None:
    """Positions of the cells' batches, int64 [cells]; -1 for one that the model does not know.

    None without names.

    Raises
    ------
    InputError : there is not one name for each cell, the model knows no batches of the modality, or
        its batches are not known.
    """
    if names is None:
        return None
    named = isinstance(names, pd.Series | pd.Categorical)
    # As those of the training were read: a lane may be the number 1.
    names = column_texts(pd.Series(names if named else np.atleast_1d(names)))
    known = _known_batches(assets, modality, "batches", f"batches of {len(names):,} cells")
    if len(names) != cells:
        raise InputError(
            what="the number of batches does not fit",
            expected=f"the name of a batch for each of {cells:,} cells",
            received=f"{len(names):,}",
            advice="give one name a cell, '' for a cell of none",
        )
    return pd.Index(known).get_indexer(names).astype(np.int64)


def batch_inputs(codes: np.ndarray | None, size: int) -> Iterator[dict[str, np.ndarray]]:
    """What ``…_of_batches`` takes besides, so many cells at a time; nothing without codes."""
    if codes is None:
        return itertools.repeat({})
    return ({"batch": codes[i : i + size]} for i in range(0, len(codes), size))


def _known_batches(assets: Assets, modality: str, option: str, received: str) -> list[str]:
    """The training's batches of a modality, which are asked for by an option, as received."""
    if not assets.manifest:
        raise InputError(
            what="the model's batches are not known",
            expected="the path of its assets/genes.txt, beside which its manifest.json names them",
            received="names of genes alone",
            advice="give genes='<export>/<version>/assets/genes.txt', or leave the batches out",
        )
    known = assets.batches.get(modality, [])
    if not known:
        raise InputError(
            what=f"the model corrects for no batches of {modality.upper()} cells",
            expected=f"a model that was trained with --{modality}_batch_key and several batches",
            received=received,
            advice=f"leave {option} out",
        )
    return known


def model_batches(
    counts: Matrix, peaks: Matrix | None, assets: Assets, size: int
) -> Iterator[Batch]:
    """Cells whose columns are the model's, so many at a time; see `parts_of`.

    Parameters
    ----------
    counts : [N, G].
    peaks : [N, P], or None.

    Raises
    ------
    InputError : the shapes do not fit, or the model's peaks are not known.
    """
    _check_width(counts, "genes", len(assets.genes))
    if not counts.shape[0]:
        raise _misfit("cells", "at least one", 0)
    if peaks is None:
        return zip(parts_of(counts, size), itertools.repeat(None), strict=False)
    if not assets.peaks:
        raise InputError(
            what="the model's peaks are not known",
            expected="a model that was trained with peaks, and the path of its assets/genes.txt, "
            "beside which they stand",
            received=f"{peaks.shape[1]:,} peaks",
            advice="give genes='<export>/<version>/assets/genes.txt', or counts alone",
        )
    _check_width(peaks, "peaks", assets.peaks)
    if peaks.shape[0] != counts.shape[0]:
        raise _misfit("cells", f"{counts.shape[0]:,}", peaks.shape[0])
    return zip(parts_of(counts, size), parts_of(peaks, size), strict=True)


def _check_width(matrix: Matrix, kind: str, width: int) -> None:
    if len(matrix.shape) != 2 or matrix.shape[1] != width:
        raise _misfit(kind, f"{width:,}", matrix.shape[-1])


def _misfit(kind: str, expected: str, received: int) -> InputError:
    return InputError(
        what=f"the number of {kind} does not fit",
        expected=f"{expected} {kind}",
        received=f"{received:,}",
        advice="scadv_tf.client.input_columns brings any table of features in the model's order",
    )


def parts_of(matrix: Matrix, size: int) -> Iterator[sparse.csr_matrix]:
    """Rows of a matrix (dense, sparse, or in a file), so many at a time; float32 CSR.

    Raises
    ------
    InputError : a value is negative, above `LARGEST_COUNT` or not a number, or no value is one.
    """
    if sparse.issparse(matrix):
        matrix = sparse.csr_matrix(matrix)
    for start in range(0, matrix.shape[0], size):
        rows = matrix[start : start + size]
        with np.errstate(over="ignore"):
            if sparse.issparse(rows):
                rows = sparse.csr_matrix(rows).astype(np.float32)
            else:  # of any kind of numbers, also of 16 bits, which SciPy has no sparse ones of
                rows = sparse.csr_matrix(np.asarray(checked_numbers(rows)).astype(np.float32))
        _check_counts(rows, start)
        rows.eliminate_zeros()
        yield rows


def counts_of(adata: AnnData, layer: str | None) -> Matrix:
    """The matrix of counts [N, F] of cells, wherever it is.

    Raises
    ------
    InputError : there are no cells, no such layer, or no counts.
    """
    if layer is not None and layer not in adata.layers:
        raise InputError(
            what="the cells have no such layer",
            expected=f"one of {sorted(adata.layers)}, or None for X",
            received=layer,
            advice="name the layer that holds raw counts",
        )
    matrix = adata.X if layer is None else adata.layers[layer]
    if matrix is None or 0 in adata.shape:
        raise InputError(
            what="there are no counts to send",
            expected="at least one cell and one gene",
            received=f"{adata.n_obs} cells x {adata.n_vars} features"
            + (" without X" if matrix is None else ""),
            advice="check how the cells were chosen; layer=... takes counts from a layer",
        )
    return matrix


def _check_counts(rows: sparse.csr_matrix, start: int) -> None:
    if all_sound(rows.data):
        return
    row, column, value = first_entry(rows, ~each_sound(rows.data))
    raise InputError(
        what=f"a count is negative, above {LARGEST_COUNT:g} or not a number",
        expected="raw counts, or other values of 0 or more",
        received=f"{value:.3g} in cell {start + row}, column {column} (counted from 0)",
        advice="give raw counts, not scaled or corrected values; layer=... takes them from a layer",
    )
