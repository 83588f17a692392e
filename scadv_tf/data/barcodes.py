"""Which barcodes of a fragment file are cells: those of a list, or those with enough fragments."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from scadv_tf.data.name_tables import read_rows
from scadv_tf.errors import InputError
from scadv_tf.files import at_home

logger = logging.getLogger(__name__)

_HEADINGS = {"barcode", "barcodes", "cell", "cells", "cell_id", "cellid", "cell_barcode"}
# Whether a barcode is a cell: singlecell.csv of Cell Ranger ATAC, and where there are two genomes;
# per_barcode_metrics.csv of Cell Ranger ARC.
_IS_CELL = re.compile(r"is_(\w*_cell_barcode|cell)")
# The bases in a name such as sample1#AAACGAAAGACCGTTC-1, and what stands around them.
BASES = re.compile(r"(.*?)([ACGTN]{8,})((?![A-Za-z]).*)")


def cells_with_fragments(fragments: np.ndarray, minimum: int) -> np.ndarray:
    """Codes of the barcodes with so many fragments or more.

    Parameters
    ----------
    fragments : [barcodes], how many each has.

    Raises
    ------
    InputError : none has.
    """
    found = np.flatnonzero(fragments >= minimum)
    if not len(found):
        raise InputError(
            what="no barcode has enough fragments to be taken for a cell",
            expected=f"barcodes with --min_fragments={minimum} or more",
            received=f"{len(fragments):,} barcodes, of which the richest has {fragments.max():,}",
            advice="lower --min_fragments, or name the cells by --barcodes=FILE",
        )
    logger.info(
        "%s of %s barcodes have %s fragments or more (--min_fragments): they are the cells",
        f"{len(found):,}", f"{len(fragments):,}", f"{minimum:,}",
    )  # fmt: skip
    return found


def listed_cells(path: str, barcodes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The cells of a list, and which barcodes of the fragments they are.

    Parameters
    ----------
    path : of the list: one cell a line, with or without a line of headings, in the column
        'barcode', else in that with most of the barcodes. Where a column tells which are cells, as
        in Cell Ranger's singlecell.csv and per_barcode_metrics.csv, those alone.
    barcodes : of the fragments, all different.

    Returns
    -------
    Names [cells], text, as in the list; and codes of barcodes [cells], -1 where one has no
    fragment.

    Raises
    ------
    InputError : the list cannot be read, or shares no name with the fragments.
    """
    known = pd.Index(barcodes, dtype=object)
    listed = _read(path, known)
    codes = known.get_indexer(listed)
    if np.all(codes < 0):
        codes = by_bases(listed, known)
    if np.all(codes < 0):
        raise InputError(
            what="--barcodes names none of the barcodes of the fragments",
            expected=f"names such as {', '.join(known[:3])}",
            received=f"names such as {', '.join(listed[:3])}",
            advice="name the cells as in the fragments, with endings such as -1",
        )
    logger.info("%s cells are listed in --barcodes", f"{len(listed):,}")
    without = int(np.sum(codes < 0))
    if without:
        logger.warning("%s of the %s cells of --barcodes have no fragment",
                       f"{without:,}", f"{len(listed):,}")  # fmt: skip
    return listed.to_numpy(dtype=str), codes


def by_bases(listed: pd.Index, known: pd.Index) -> np.ndarray:
    """Codes by the bases alone, where on either side all names have the same around them.

    So AAAC is AAAC-1, and s1_AAAC-1 is AAAC-1; of several samples it is not known which is which.
    Where it is not certain, codes are -1.
    """
    sides = [names.to_series().str.extract(f"^{BASES.pattern}$") for names in (listed, known)]
    alike = all(len(side[[0, 2]].drop_duplicates()) == 1 for side in sides)
    if not alike or any(side[1].isna().any() or side[1].duplicated().any() for side in sides):
        return np.full(len(listed), -1)
    codes = pd.Index(sides[1][1]).get_indexer(pd.Index(sides[0][1]))
    if np.any(codes >= 0):
        first = int(np.argmax(codes >= 0))
        logger.info("%s of the list is taken for the cell %s, and so on",
                    listed[first], known[codes[first]])  # fmt: skip
    return codes


def _read(path: str, known: pd.Index) -> pd.Index:
    try:
        table = read_rows(at_home(path))
    except (OSError, EOFError, ValueError) as error:
        raise _no_list(path, f"{type(error).__name__}: {error}") from error
    in_row = int(table.iloc[0].isin(known).sum())
    if len(table) == 1 and in_row > 1:
        raise _no_list(path, f"{in_row} barcodes in one line")
    headings = table.iloc[0].str.casefold()
    column = column_of_names(table, known)
    names = table[column]
    if headings[column] in _HEADINGS:
        is_cell = headings.str.fullmatch(_IS_CELL.pattern)
        table, names = table.iloc[1:], names.iloc[1:]
        if is_cell.any():
            said = table.loc[:, is_cell].apply(lambda column: column.str.casefold())
            names = names[said.isin(["1", "1.0", "true"]).any(axis=1)]
    elif table.iloc[0, 0] == "" or _is_heading(names):
        names = names.iloc[1:]
    found = pd.Index(names[names != ""].unique(), dtype=object)
    if not len(found):
        raise _no_list(path, "no name of a cell")
    return found


def column_of_names(table: pd.DataFrame, known: pd.Index) -> int:
    """The column that names cells, known ones or others by their bases.

    One whose heading says so, before that with most different names: numbers of rows or clusters
    may be names of cells, too.
    """
    headed = table.columns[table.iloc[0].str.casefold().isin(_HEADINGS)]
    for columns in (headed, table.columns):
        for is_name in (lambda column: column.isin(known), lambda c: c.str.fullmatch(BASES)):
            names = {c: table.loc[is_name(table[c]), c].nunique() for c in columns}
            if any(names.values()):
                return max(names, key=names.__getitem__)
    return int(headed[0]) if len(headed) else 0


def _is_heading(names: pd.Series) -> bool:
    """Whether the first name alone has no bases, whatever it is called."""
    with_bases = names.str.fullmatch(BASES)
    return len(names) > 1 and not with_bases.iloc[0] and bool(with_bases.iloc[1:].all())


def _no_list(path: str, received: str) -> InputError:
    return InputError(
        what="the list of --barcodes could not be read",
        expected="one barcode a line, or a singlecell.csv or per_barcode_metrics.csv of Cell "
        "Ranger",
        received=f"{path}: {received}",
        advice="write it again as such, or leave --barcodes out for the cells with enough "
        "fragments",
    )
