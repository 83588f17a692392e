"""Seurat's transfer from scRNA-seq to scATAC-seq (Stuart et al. 2019), run by R (`seurat.R`).

R is another process: matrices go there and come back as plain binary files in a folder that is
gone afterwards.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy import sparse

from scadv_tf.baselines.transfer import Transfer, latent_routes
from scadv_tf.data.labels import HEADLINE
from scadv_tf.data.measures import SAME
from scadv_tf.data.pairing import PairedData
from scadv_tf.errors import InputError

SEEDED = False  # Seurat seeds itself; the seed given only starts two SVDs that converge anyway

logger = logging.getLogger(__name__)

_SCRIPT = Path(__file__).with_name("seurat.R")
_ALONE = "--vanilla"  # without the user's profile and stored workspace, which could change all
_LINES_QUOTED = 15
_MOST_VALUES = 2**31 - 1  # that a sparse matrix of R holds


def seurat(data: PairedData, seed: int) -> Transfer:
    """Transfer labels through anchors between RNA and gene activity, found by CCA.

    Seurat chooses among all shared genes; ATAC cells are weighted among the anchors by CCA (the
    headline, which needs no peaks) and, where there are peaks, by LSI of the peaks (the route
    'seurat_lsi'). The latent space is Seurat's co-embedding: a PCA of the measured expression of
    RNA cells and the expression that ATAC cells got by transfer (weighted by LSI, or by CCA where
    there are no peaks); 'svm' and 'knn' are routes through it.

    Parameters
    ----------
    data : R labelled RNA cells, A ATAC cells.
    seed : of R; it hardly changes a digit.

    Returns
    -------
    Transfer, whose probabilities are Seurat's prediction scores by CCA.

    Raises
    ------
    InputError : if R or Seurat is missing or fails; RNA has no labels, or less of the query means
        more.
    """
    if data.rna_labels is None:
        raise InputError(
            what="Seurat needs labels to transfer.",
            expected="RNA cells with a label",
            received="none",
            advice="Give the column of the cell types by --label_key.",
        )
    if data.measure.is_levels or data.measure.direction != SAME:
        raise InputError(
            what="Seurat's anchors are of counts of which more means more expression.",
            expected="--query_kind=accessibility, expression or protein",
            received=f"--query_kind={data.measure.kind}",
            advice="Leave 'seurat' out of --systems.",
        )
    rscript = check_installed()
    with TemporaryDirectory(prefix="scadv_tf-seurat-") as name:
        folder = Path(name)
        _write_input(folder, data)
        arguments = [str(folder), str(seed), str(len(data.types))]
        _run([rscript, _ALONE, str(_SCRIPT), *arguments], folder)
        by_cca = _read_rows(folder / "scores_cca", data.atac.shape[0])
        by_lsi = _read_rows(folder / "scores_lsi", data.atac.shape[0]) if _has_peaks(data) else None
        latent = _read_rows(folder / "latent", data.rna.shape[0] + data.atac.shape[0])
    types = np.array(data.types, dtype=str)
    routes = {HEADLINE: types[by_cca.argmax(axis=1)]}
    if by_lsi is not None:
        routes["seurat_lsi"] = types[by_lsi.argmax(axis=1)]
    routes |= latent_routes(latent, types[data.rna_labels], seed)
    # Seurat's scores may miss 1 by a rounding error.
    return Transfer(routes, by_cca / by_cca.sum(axis=1, keepdims=True), latent.astype(np.float32))


def check_installed() -> str:
    """Refuse to go on without R or without its package Seurat; the path of Rscript.

    Raises
    ------
    InputError : if one of them is missing.
    """
    rscript = shutil.which("Rscript")
    if rscript is not None and installed_version():
        return rscript
    raise InputError(
        what="The baseline 'seurat' needs R and its package Seurat.",
        expected="Rscript on the PATH and an installed Seurat, version 4 or 5",
        received=f"{rscript}, which has no package Seurat" if rscript else "no Rscript",
        advice="On Debian or Ubuntu: apt-get install r-base-core r-cran-seurat; elsewhere install "
        "R, then in R: install.packages('Seurat'). Or leave 'seurat' out.",
    )


def installed_version() -> str | None:
    """The versions of Seurat and of the R that finds it; None if one is missing."""
    rscript = shutil.which("Rscript")
    if rscript is None:
        return None
    # This does not load Seurat, so is quick.
    code = "cat('Seurat', as.character(packageVersion('Seurat')), as.character(getRversion()))"
    command = [rscript, _ALONE, "-e", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    words = done.stdout.split()[-3:]
    if done.returncode or words[:1] != ["Seurat"]:
        return None
    return f"{words[1]} (R {words[2]})"


def _has_peaks(data: PairedData) -> bool:
    """Whether LSI has a component besides the first, which follows the depth."""
    return data.peaks is not None and min(data.peaks.shape) > 2


def _write_input(folder: Path, data: PairedData) -> None:
    _write_matrix(folder, "rna", data.rna)
    _write_matrix(folder, "activity", data.atac)
    if _has_peaks(data):
        _write_matrix(folder, "peaks", data.peaks)
    np.asarray(data.rna_labels, dtype="<i4").tofile(folder / "labels.codes")


def _write_matrix(folder: Path, name: str, matrix: sparse.csr_matrix) -> None:
    """Write a matrix in parts that R reads with readBin."""
    if matrix.nnz > _MOST_VALUES:
        raise InputError(
            what=f"The matrix of {name} is too large for R.",
            expected=f"at most {_MOST_VALUES:,} values that are not zero",
            received=f"{matrix.nnz:,}",
            advice="Leave 'seurat' out, or give it fewer cells.",
        )
    matrix = matrix.sorted_indices()  # R refuses columns that are not in order
    parts = {"shape": matrix.shape, "indptr": matrix.indptr, "indices": matrix.indices}
    for part, values in parts.items():
        np.asarray(values, dtype="<i4").tofile(folder / f"{name}.{part}")
    np.asarray(matrix.data, dtype="<f4").tofile(folder / f"{name}.data")


def _read_rows(path: Path, rows: int) -> np.ndarray:
    return np.fromfile(path, dtype="<f8").reshape(rows, -1)


def _run(command: list[str], folder: Path) -> None:
    """Run R in the folder, or say in R's own words why it failed."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    logger.debug("R said:\n%s", done.stderr)
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-_LINES_QUOTED:])
        raise InputError(
            what="Seurat failed.",
            expected="R to finish without an error",
            received=f"exit status {done.returncode}; R's last words:\n{last}",
            advice="If R ran out of memory, give fewer cells; else leave 'seurat' out.",
        )
