"""Which files belong to a matrix.mtx: those that name its cells and its features.

Every program has its own names for them: 10x Genomics' Cell Ranger and STARsolo (``barcodes.tsv``,
``features.tsv``, ``genes.tsv``, ``peaks.bed``), kallisto|bustools (``cells_x_genes.barcodes.txt``),
alevin-fry (``quants_mat_rows.txt``), split-pipe (``cell_metadata.csv``, ``all_genes.csv``), R, and
GEO, which puts a sample's name before each. So words in the names decide.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scadv_tf.data.text_blocks import beginning
from scadv_tf.errors import InputError

_MATRIX = re.compile(r"(?i)\.mtx(?:\.gz)?$")
_OTHERS = re.compile(r"(?i)\.(?:h5|h5ad|h5mu|zarr|zarr\.zip)$|fragments\.tsv(?:\.gz)?$")
_HEAD = b"%%MatrixMarket"
_TABLE = re.compile(r"(?i)\.(?:tsv|txt|csv|bed)(?:\.gz)?$")
# Words for what a table names, those first that say it best. alevin-fry has cells in rows, R in
# columns.
_CELLS = ("barcodes?", "cells?|rows|colnames|obs", "meta(?:data)?")
_FEATURES = ("features?", "genes?|peaks?|regions?|cols|rownames|var")
_NAMES = {"names", "symbols"}  # cells_x_genes.genes.names.txt, beside identifiers
_MOST_SHOWN = 20


@dataclass(frozen=True)
class MtxFiles:
    """A matrix, the table that names its cells, and that of its features."""

    matrix: Path
    cells: Path
    features: Path


def is_mtx(path: Path) -> bool:
    """Whether a file is a matrix in MatrixMarket form, by its name or by how it begins."""
    return path.is_file() and bool(_MATRIX.search(path.name) or beginning(path).startswith(_HEAD))


def mtx_files(path: Path) -> MtxFiles:
    """The files of a folder with one matrix, or those around a matrix that is given itself.

    Raises
    ------
    InputError : one of them is missing, or it is not certain which it is.
    """
    matrix = path if path.is_file() else _matrix_in(path)
    tables = _files(matrix.parent, _TABLE)
    return MtxFiles(
        matrix,
        _table(tables, matrix, _CELLS, "the cells, such as barcodes.tsv"),
        _table(tables, matrix, _FEATURES, "the features, such as features.tsv or peaks.bed"),
    )


def _matrix_in(folder: Path) -> Path:
    found = _files(folder, _MATRIX)
    of_10x = [path for path in found if "matrix" in _words(path)]
    if len(found) == 1 or len(of_10x) == 1:
        return (of_10x or found)[0]
    within = [path.parent.name for path in sorted(folder.glob("*/*")) if _MATRIX.search(path.name)]
    others = [*dict.fromkeys(within), *filter(_OTHERS.search, sorted(os.listdir(folder)))]
    if found:
        advice = "of several samples, give the path of one's matrix.mtx"
    elif others:
        advice = f"give one of these, which are in it: {', '.join(others)}"
    else:
        advice = "give the folder with matrix.mtx, barcodes.tsv and features.tsv (or peaks.bed)"
    raise _refused(
        f"{folder} is not a folder of one matrix",
        "exactly one matrix.mtx (.gz or not)",
        found or sorted(folder.iterdir()),
        advice,
    )


def _table(tables: list[Path], matrix: Path, kinds: Sequence[str], of_what: str) -> Path:
    """The table with the best word for what it names, and most in common with the matrix's name."""
    own = Counter(_words(matrix))
    ranks: dict[Path, tuple] = {}
    for path in tables:
        words = Counter(_words(path))
        said = [*(words - own or words)]
        fit = [n for n, kind in enumerate(kinds) if any(re.fullmatch(kind, word) for word in said)]
        if fit:
            shared = sum((words & own).values())
            ranks[path] = fit[0], -shared, not _NAMES.intersection(said), len(said)
    best = [path for path in ranks if ranks[path] == min(ranks.values())]
    if len(best) == 1:
        return best[0]
    called = of_what.partition(",")[0]
    raise _refused(
        f"several files beside {matrix.name} may name {called}"
        if best
        else f"no file beside {matrix.name} names {called}",
        f"exactly one that names {of_what} (.gz or not)",
        best or tables or [matrix],
        "put the three files of one sample into a folder of their own, with names such as "
        "matrix.mtx, barcodes.tsv and features.tsv",
    )


def _files(folder: Path, named: re.Pattern) -> list[Path]:
    """Those so named, each once: a file and what gzip made of it are the same. No hidden ones."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if named.search(path.name) and not path.name.startswith(".") and path.is_file():
            found.setdefault(path.name.casefold().removesuffix(".gz"), path)
    return [*found.values()]


def _words(path: Path) -> list[str]:
    """The words of a file's name, without its endings."""
    name = _TABLE.sub("", _MATRIX.sub("", path.name))
    return [word for word in re.split(r"[\W_]+", name.casefold()) if word]


def _refused(what: str, expected: str, present: Sequence[Path], advice: str) -> InputError:
    shown = ", ".join(path.name for path in present[:_MOST_SHOWN])
    return InputError(
        what=what, expected=expected, received=shown or "an empty folder", advice=advice
    )
