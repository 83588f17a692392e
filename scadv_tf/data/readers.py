"""Files in, AnnData out: .h5ad, .h5mu, 10x .h5 and 10x mtx folders.

Whatever the format, a modality arrives in one form: ``X`` is CSR float32, finite and non-negative;
the names of cells and features are unique text; ``obs`` and ``var`` are kept, all else is dropped.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from scadv_tf.data import scverse, tenx
from scadv_tf.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

MODALITIES = ("rna", "atac")
# Names as in the file, kept where they had to be made unique: the gene matching sums duplicates.
ORIGINAL_NAME = "original_name"

FORMATS = ".h5ad, .h5mu, 10x .h5, or a 10x folder with matrix.mtx, barcodes and features"
# What the column `feature_types` says, in 10x files and in those derived from them.
_FEATURE_KINDS = {
    "rna": {"gene expression", "gex", "rna"},
    "atac": {"peaks", "atac", "gene activity", "geneactivity"},
}
_OTHER_KINDS = {"antibody capture", "crispr guide capture", "multiplexing capture", "custom", "adt"}


def read_modality(path: str | Path, modality: str, layer: str = "") -> AnnData:
    """Read one modality of a file as non-negative sparse counts.

    Parameters
    ----------
    path : an .h5ad, .h5mu or 10x .h5 file, or a 10x mtx folder. A file that holds both modalities
        is split: .h5mu by its modalities, the others by ``var['feature_types']``.
    modality : 'rna' or 'atac'.
    layer : '' or 'X' for X, 'raw' for .raw.X, otherwise the name of a layer (.h5ad and .h5mu only).

    Returns
    -------
    AnnData with X as CSR float32 [cells, features], obs and var; nothing else. Values need not be
    integers. Cells without any count are kept. Where feature names repeat, they are made unique and
    ``var['original_name']`` holds them as they were.

    Raises
    ------
    InputError : the file is missing, damaged or of another format; the modality or the layer is not
        in it; the matrix is empty or has negative or non-finite values.
    """
    if modality not in MODALITIES:
        raise ValueError(f"modality must be one of {MODALITIES}; received modality={modality!r}")
    what = f"the {modality.upper()} file"
    path = existing(path, what, f"--{modality}")
    file_format = format_of(path, what, layer, f"--{modality}_layer")
    with readable(path, file_format):
        adata = _READERS[file_format](path, modality, layer)
    wanted = features_of(adata.var, modality, path, strict=file_format.startswith("10x"))
    adata = adata if wanted.all() else adata[:, wanted].copy()
    _check_values(adata, path, modality, layer)
    return _with_unique_names(adata, path)


def feature_names(var: pd.DataFrame) -> np.ndarray:
    """The names of the features as the file gave them, duplicates included ([features], text)."""
    names = var[ORIGINAL_NAME] if ORIGINAL_NAME in var else var.index
    return np.asarray(names, dtype=str)


def existing(path: str | Path, what: str, flag: str) -> Path:
    """The path of what a flag names, which must be there."""
    if str(path) and Path(path).expanduser().exists():
        return Path(path).expanduser()
    raise InputError(
        what=f"{what} does not exist",
        expected="the path of a file or folder that exists",
        received=str(path) or "nothing",
        advice=f"check {flag} for typing errors; relative paths start from {Path.cwd()}",
    )


def format_of(path: Path, what: str, layer: str, layer_flag: str) -> str:
    """'.h5ad', '.h5mu', '10x .h5' or '10x mtx'; those of 10x have no layers to choose from."""
    name, suffix = path.name.casefold(), path.suffix.casefold()
    formats = {".h5ad": ".h5ad", ".h5mu": ".h5mu", ".h5": "10x .h5", ".hdf5": "10x .h5"}
    is_mtx = path.is_dir() or name.endswith(("matrix.mtx", "matrix.mtx.gz"))
    found = "10x mtx" if is_mtx else formats.get(suffix)
    if found is None:
        raise InputError(
            what=f"the format of {what} is not known",
            expected=FORMATS,
            received=str(path),
            advice="convert it, e.g. with anndata's write_h5ad; "
            "a compressed file: decompress it first",
        )
    if layer and found.startswith("10x"):
        raise InputError(
            what=f"{path.name} has no layers",
            expected=f"no {layer_flag} for a 10x file",
            received=layer,
            advice=f"leave {layer_flag} out",
        )
    return found


@contextlib.contextmanager
def readable(path: Path, file_format: str) -> Iterator[None]:
    """Tells the user what the many kinds of errors in reading a damaged file mean."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:  # HDF5, zlib and anndata raise many kinds
        raise InputError(
            what=f"{path} could not be read",
            expected=f"a complete {file_format} file",
            received=f"{type(error).__name__}: {error}",
            advice="the file is damaged, cut short or of another kind: make or download it again",
        ) from error


def _text(index: pd.Index) -> pd.Index:
    return pd.Index([n.decode() if isinstance(n, bytes) else str(n) for n in index], dtype=object)


def features_of(var: pd.DataFrame, modality: str, path: Path, strict: bool) -> np.ndarray:
    """Which features are of one modality, bool [features]: all, unless ``feature_types`` tells."""
    everything = np.ones(len(var), dtype=bool)
    if "feature_types" not in var:
        return everything
    kinds = var["feature_types"].astype(str).str.strip().str.casefold()
    known = set().union(*_FEATURE_KINDS.values(), _OTHER_KINDS)
    wanted = kinds.isin(_FEATURE_KINDS[modality]).to_numpy()
    if wanted.all() or not kinds.isin(known).any():  # other files keep biotypes in this column
        return everything
    if wanted.any():
        logger.info("%s: %d of %d features are %s", path.name, wanted.sum(), len(wanted), modality)
        return wanted
    if modality == "atac" and not strict and kinds.isin(_FEATURE_KINDS["rna"]).all():
        return everything  # gene activity that kept the column of the table it was made with
    raise InputError(
        what=f"{path.name} holds no {modality.upper()} features",
        expected="Gene Expression" if modality == "rna" else "Peaks",
        received=", ".join(var["feature_types"].astype(str).unique()),
        advice="check that RNA and ATAC are not swapped",
    )


def _check_values(adata: AnnData, path: Path, modality: str, layer: str) -> None:
    """Make X CSR float32 in place and refuse what cannot be counts."""
    if 0 in adata.shape:
        raise no_counts(path, adata.shape)
    matrix = plain_counts(adata.X)
    if matrix.nnz == 0:
        raise no_counts(path, adata.shape)
    check_finite(matrix, path, adata.obs_names, adata.var_names)
    if matrix.data.min() < 0:
        usable = scverse.usable_matrices(path, modality)
        raise negative(matrix, path, layer, f"--{modality}_layer", usable)
    tell_of_empty_cells(path, int(np.sum(np.diff(matrix.indptr) == 0)))
    adata.X = matrix


def plain_counts(values) -> sparse.csr_matrix:
    """Any matrix of numbers as CSR float32, each entry once and none of them 0."""
    if values.dtype.kind not in "buif":
        raise ValueError(f"the matrix holds {values.dtype}, not numbers")
    with np.errstate(over="ignore"):
        matrix = sparse.csr_matrix(values, dtype=np.float32)
    # Files that grew on disk mix 32- and 64-bit positions, which SciPy itself cannot work on.
    matrix = sparse.csr_matrix((matrix.data, matrix.indices, matrix.indptr), shape=matrix.shape)
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix


def check_finite(
    matrix: sparse.csr_matrix, path: Path, cells: Sequence[str], features: Sequence[str]
) -> None:
    """Refuses NaN and infinity, and says where the first one is."""
    finite = np.isfinite(matrix.data)
    if finite.all():
        return
    cell, feature = _position(matrix, int(np.argmin(finite)))
    raise InputError(
        what=f"{path.name} has {np.sum(~finite):,} values that are not finite",
        expected="finite, non-negative numbers",
        received=f"NaN or infinity, first in cell {cells[cell]}, feature {features[feature]}",
        advice="set missing values to 0 or leave those cells out, then write the file again",
    )


def tell_of_empty_cells(path: Path, number: int) -> None:
    """Warns of cells without any count."""
    if number:
        logger.warning("%s: %s cells have no count at all (kept)", path.name, f"{number:,}")


def _position(matrix: sparse.csr_matrix, entry: int) -> tuple[int, int]:
    row = int(np.searchsorted(matrix.indptr, entry, side="right")) - 1
    return row, int(matrix.indices[entry])


def no_counts(path: Path, shape: tuple[int, int]) -> InputError:
    """The error of a matrix without cells, features or entries."""
    received = f"{shape[0]} cells x {shape[1]} features" + ("" if 0 in shape else ", all zero")
    return InputError(
        what=f"{path.name} holds no counts",
        expected="at least one cell and one feature with a count",
        received=received,
        advice="check how the file was made: a filter may have removed everything",
    )


def negative(
    matrix: sparse.csr_matrix, path: Path, layer: str, layer_flag: str, usable: Sequence[str]
) -> InputError:
    """The error of a matrix with negative values, and which others of the file have none."""
    other = f"; or choose one of these, which have none: {layer_flag}={' or '.join(usable)}"
    return InputError(
        what=f"{path.name} has negative values, as scaled or corrected data have",
        expected="counts, or other non-negative values such as gene scores",
        received=f"{np.sum(matrix.data < 0):,} negative values in {layer or 'X'}, "
        f"the lowest {matrix.data.min():.3g}",
        advice="give raw counts" + (other if usable else ""),
    )


def tell_of_repeated_names(path: Path, repeated: int) -> None:
    """Says of the names of how many cells an earlier cell has them."""
    if repeated:
        logger.warning("%s: %d cell names are repeated and got a number", path.name, repeated)


def _with_unique_names(adata: AnnData, path: Path) -> AnnData:
    from anndata.utils import make_index_unique

    cells, features = _text(adata.obs_names), _text(adata.var_names)
    tell_of_repeated_names(path, int(cells.duplicated().sum()))
    if not features.is_unique:
        adata.var[ORIGINAL_NAME] = features
    adata.obs_names, adata.var_names = make_index_unique(cells), make_index_unique(features)
    return adata


_READERS = {
    ".h5ad": scverse.read_h5ad,
    ".h5mu": scverse.read_h5mu,
    "10x .h5": lambda path, modality, layer: tenx.read_h5(path),
    "10x mtx": lambda path, modality, layer: tenx.read_mtx(path),
}
