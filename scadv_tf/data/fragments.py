"""ATAC fragments as cells: how many fragments of each cell overlap each peak or window.

A fragment counts once for each interval that it overlaps by a base or more, whatever the number of
its reads, which is that of PCR copies. Signac counts so (FeatureMatrix); Cell Ranger counts cut
sites, two a fragment, and gets about twice as much.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scadv_tf.data.barcodes import cells_with_fragments, listed_cells
from scadv_tf.data.fragment_table import BEGINS, FragmentTable
from scadv_tf.data.gene_coordinates import chromosomes
from scadv_tf.data.genome_fit import genome_of_fragments
from scadv_tf.data.interval_index import IntervalIndex
from scadv_tf.data.spill import Entries
from scadv_tf.data.stored_cells import Asked, StoredCells
from scadv_tf.data.stored_matrices import UnsortedEntries
from scadv_tf.data.tables import StoredText
from scadv_tf.data.text_blocks import beginning
from scadv_tf.errors import InputError

if TYPE_CHECKING:
    import h5py

logger = logging.getLogger(__name__)

FORMAT = "fragments"
BUCKET_CELLS = 256  # a cell has tens of thousands of fragments


def read_fragments(asked: Asked, file: h5py.File | None) -> StoredCells | None:
    """The cells of a fragment file, counted as it is asked for; None where it is none.

    Raises
    ------
    InputError : they are asked for as RNA; it is not said where fragments are counted; the peaks
        or the barcodes share nothing with them; a line is no fragment.
    """
    if file is not None or not are_fragments(asked.path):
        return None
    if asked.modality == "rna":
        raise InputError(
            what=f"{asked.called.what} is a table of ATAC fragments",
            expected="cells x genes of RNA",
            received=str(asked.path),
            advice="fragments are ATAC: give them by --atac, or --modality=atac; if RNA and ATAC "
            "are of one experiment, its counts of genes are in filtered_feature_bc_matrix.h5",
        )
    intervals = _intervals(asked)
    folder = asked.scratch()
    logger.info("reading the fragments of %s …", asked.path.name)
    table = FragmentTable(asked.path, folder)
    logger.info("%s fragments", f"{int(table.fragments.sum()):,}")
    names, codes = _cells(asked, table)
    counted = CountedFragments(table, intervals, codes)
    if not counted.index.known.any():
        raise _no_common_chromosome(table, intervals)
    genes = asked.choices.counting.genes
    better = None if genes is None else genome_of_fragments(table, genes())
    if asked.choices.counting.drop_empty:
        intervals = intervals[counted.reached()]
        counted = CountedFragments(table, intervals, codes)
    matrix = UnsortedEntries(
        counted.entries, counted.shape, lambda: Path(tempfile.mkdtemp(dir=folder)),
        BUCKET_CELLS, in_memory=False,
    )  # fmt: skip
    var = pd.DataFrame(index=intervals.index)
    encoded = StoredText(np.char.encode(names, "utf-8"))  # a quarter of the memory
    return StoredCells(FORMAT, matrix, encoded, var, better_genome=better)


class CountedFragments:
    """The counts of fragments, in the order of the fragments.

    Parameters
    ----------
    table : the fragments.
    intervals : where they are counted [P], as from `read_peaks`.
    codes : of the barcodes that are cells [cells]; -1 for a cell without fragments.
    """

    def __init__(self, table: FragmentTable, intervals: pd.DataFrame, codes: np.ndarray):
        self.shape = len(codes), len(intervals)
        names = chromosomes(pd.Series(table.chromosomes, dtype=object))
        self.index = IntervalIndex(intervals, names)
        self._table = table
        self._row = np.full(len(table.barcodes) + 1, -1, np.int32)  # the last is that of code -1
        self._row[codes] = np.arange(len(codes))
        self._row[-1] = -1

    def reached(self) -> np.ndarray:
        """Which intervals have a fragment of a cell, bool [P]."""
        found = np.zeros(self.shape[1], bool)
        for _, intervals, _ in self.entries():
            found[intervals] = True
        return found

    def entries(self) -> Iterator[Entries]:
        """Cells, intervals and ones, in pieces; see `UnsortedEntries`."""
        for records in self._table.records():
            rows = self._row[records["barcode"]]
            wanted = (rows >= 0) & self.index.known[records["chrom"]]
            rows, records = rows[wanted], records[wanted]
            places = (records[name] for name in ("chrom", "start", "end"))
            fragment, interval = self.index.overlaps(*places)
            yield rows[fragment], interval, np.ones(len(fragment), np.float32)


def are_fragments(path: Path) -> bool:
    """By how the file begins; or by its name, so that its faults are told as those of fragments."""
    if not path.is_file():
        return False
    name = path.name.casefold()
    named = "fragments" in name and name.endswith((".tsv", ".tsv.gz", ".bed", ".bed.gz"))
    return named or BEGINS.match(beginning(path)) is not None


def _intervals(asked: Asked) -> pd.DataFrame:
    if asked.choices.counting.intervals is not None:
        return asked.choices.counting.intervals()
    raise InputError(
        what=f"it is not known where the fragments of {asked.path.name} are to be counted",
        expected="peaks, or a genome to cut into windows",
        received="neither",
        advice="give --peaks=FILE.bed, or --genome; to Python, a `Counting`",
    )


def _cells(asked: Asked, table: FragmentTable) -> tuple[np.ndarray, np.ndarray]:
    """Names of the cells [cells], text, and their codes; without a list, in the order of names."""
    if asked.choices.counting.barcodes:
        return listed_cells(asked.choices.counting.barcodes, table.barcodes)
    codes = cells_with_fragments(table.fragments, asked.choices.counting.min_fragments)
    names = np.array([table.barcodes[code] for code in codes], dtype=str)
    order = np.argsort(names)
    return names[order], codes[order]


def _no_common_chromosome(table: FragmentTable, intervals: pd.DataFrame) -> InputError:
    places = intervals.index.astype(str).str.rpartition(":").get_level_values(0).unique()
    return InputError(
        what="the peaks are on no chromosome of the fragments",
        expected="peaks and fragments of one genome, with the same names of chromosomes",
        received=f"fragments on {', '.join(table.chromosomes[:3])}; peaks on "
        f"{', '.join(places[:3])}",
        advice="give peaks, or --genome or --genes, of the genome that the fragments were aligned "
        "to (chr1 and 1 are the same)",
    )
