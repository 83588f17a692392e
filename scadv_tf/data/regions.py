"""Where fragments are counted: peaks of a BED file, or windows of the genome."""

from __future__ import annotations

import logging
import re
import zlib

import numpy as np
import pandas as pd

from scadv_tf.data.bed_lines import intervals_in
from scadv_tf.data.features import interval_names
from scadv_tf.data.gene_activity import with_upstream
from scadv_tf.data.gene_coordinates import chromosomes
from scadv_tf.data.text_blocks import beginning, open_text
from scadv_tf.errors import InputError
from scadv_tf.files import at_home

logger = logging.getLogger(__name__)

WINDOW = 5000  # base pairs

# Of these there are too many to be read as peaks.
_FRAGMENT = re.compile(rb"^[^\t\n]+\t\d+\t\d+\t[^\t\n]*[ACGTN]{12}[^\t\n]*\t\d+\r?$", re.MULTILINE)


def read_peaks(path: str) -> pd.DataFrame:
    """The intervals of a BED file of --peaks, gzipped or not, in its order.

    Lines of comments, ``track`` and ``browser`` are passed over, and one line of headings. An
    interval that is there several times, as MACS writes one for each of its summits, counts once.

    Returns
    -------
    DataFrame with chrom (in normal form), start and end, and the peaks' names as index, with the
    chromosome as the file has it.

    Raises
    ------
    InputError : it cannot be read, a line is no interval, or there is none.
    """
    file = at_home(path)
    try:
        if _FRAGMENT.search(beginning(file)):
            raise _no_bed(path, "fragments, with barcodes of cells")
        with open_text(file) as text:
            lines = text.read().splitlines()
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise _no_bed(path, f"{type(error).__name__}: {error}") from error
    peaks = as_regions(_rows(lines, path))
    repeated = peaks.duplicated()
    if repeated.any():
        logger.info("%s: %s repeated peaks are counted once", file.name, f"{repeated.sum():,}")
    return peaks[~repeated]


def as_regions(rows: pd.DataFrame) -> pd.DataFrame:
    """Intervals with names such as chr1:100-200 as index, and chromosomes in normal form."""
    return rows.assign(chrom=chromosomes(rows["chrom"])).set_axis(interval_names(rows))


def windows_of(genes: pd.DataFrame, upstream: int, size: int = WINDOW) -> pd.DataFrame:
    """The chromosomes with genes, as far as these reach, cut every `size` bases and at each gene.

    Cuts are where genes begin and end, the bases `upstream` of them included, so that the windows
    within a gene add up to it exactly. They depend on the genes alone, not on any cells.

    Parameters
    ----------
    genes, upstream : see `scadv_tf.data.gene_activity.link_peaks`.

    Returns
    -------
    As `read_peaks`.
    """
    genes = with_upstream(genes, upstream)
    parts = []
    for chrom, of_chrom in genes.groupby("chrom"):
        end = int(of_chrom["end"].max())
        cuts = np.unique([*np.arange(0, end, size), *of_chrom["start"], *of_chrom["end"]])
        parts.append(pd.DataFrame({"chrom": chrom, "start": cuts[:-1], "end": cuts[1:]}))
    return as_regions(pd.concat(parts, ignore_index=True))


def _rows(lines: list[str], path: str) -> pd.DataFrame:
    try:
        intervals = intervals_in(lines, mark=None, columns=3, strict=True)
        found = [(chrom, start, end) for (chrom, *_), start, end in intervals]
    except ValueError as error:
        raise _no_bed(path, str(error)) from error
    if not found:
        raise _no_bed(path, "no interval")
    return pd.DataFrame(found, columns=["chrom", "start", "end"])


def _no_bed(path: str, received: str) -> InputError:
    return InputError(
        what=f"no peaks could be read from {path}",
        expected="a BED: chromosome, start and end, separated by tabs, with 0 <= start < end",
        received=received,
        advice="correct the file of --peaks; peaks of Cell Ranger are in peaks.bed or "
        "atac_peaks.bed",
    )
