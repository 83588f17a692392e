"""Which genome peaks or fragments are of: open chromatin lies where transcription starts.

Of the peaks of five real samples 3 to 26 % lie on a transcription start of their own genome, and
some fourth to fifteenth of that share on one of another genome, or of an older assembly of theirs.
Labels made by the wrong one are worth little: on pbmc macro F1 is 0.43 (2 epochs, one
run) instead of 0.99.

Windows of a genome reach all that it has, so that they tell nothing; their fragments do: where many
of them lie, chromatin is open, as it is in peaks.
"""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scadv_tf.data.gene_activity import count_linked, overlaps
from scadv_tf.data.gene_coordinates import GENOMES, chromosomes, load_genes

if TYPE_CHECKING:
    from scadv_tf.data.fragment_table import FragmentTable

logger = logging.getLogger(__name__)

# By how much a genome must fit better, and by how many standard deviations of chance.
SURE_RATIO, SURE_DEVIATIONS = 2.5, 5.0
# So many peaks on starts are right: a wrong genome never had more than 5 %.
ENOUGH = 0.1
# Two tables are compared on the genes of both, since a short one has few starts.
LEAST_COMMON = 500
PLACE = 500  # base pairs of a place where fragments are counted: the width of a peak
# Times the mean of all places that have any: most of these have one by chance, open ones several.
MANY = 2.0
MOST_FRAGMENTS = 1_000_000  # that are looked at, of all alike


def fitting_genome(peaks: pd.DataFrame) -> str:
    """The embedded genome that surely fits peaks better than the others; '' where none does.

    Parameters
    ----------
    peaks : [P] chrom, start, end, as from `peak_intervals`.
    """
    hits = {name: _hits(peaks, _embedded(name)) for name in GENOMES}
    best, second = sorted(hits, key=lambda name: -hits[name])[:2]
    return best if _surely_more(hits[best], hits[second]) else ""


@dataclass(frozen=True)
class BetterGenome:
    """An embedded genome that surely fits peaks better than the genes that are given.

    Attributes
    ----------
    name : of it.
    peaks : how many there are.
    hits, given_hits : how many of them lie on a transcription start of it, and of the given genes.
    of : what it is the genome of: the 'peaks', or 'fragments', of which these are where many lie.
    """

    name: str
    peaks: int
    hits: int
    given_hits: int
    of: str = "peaks"

    def __str__(self) -> str:
        peaks = "peaks" if self.of == "peaks" else f"places with many {self.of}"
        return (
            f"The {self.of} are of {self.name}, and the genes are not: "
            f"{self.hits / self.peaks:.1%} of {self.peaks:,} {peaks} lie on a transcription start "
            f"of {self.name}, {self.given_hits / self.peaks:.1%} on one of the genes that are "
            "given."
        )


def better_genome(
    peaks: pd.DataFrame, genes: pd.DataFrame, of: str = "peaks"
) -> BetterGenome | None:
    """The embedded genome that fits best, if it surely fits peaks better than the given genes.

    It is told at once. Nothing is said of genes whose names the embedded ones lack.

    Parameters
    ----------
    peaks : [P] chrom, start, end, as from `peak_intervals`.
    genes : as from `load_genes`.
    of : what the peaks stand for, see `BetterGenome`.
    """
    if _hits(peaks, genes) >= ENOUGH * len(peaks):
        return None
    known, best = _named_alike(genes), None
    for name in GENOMES:
        table = _embedded(name)
        both = pd.Index(known["gene"]).intersection(pd.Index(table["gene"]))
        if len(both) < LEAST_COMMON:
            continue
        theirs, given = (_hits(peaks, each[each["gene"].isin(both)]) for each in (table, known))
        if _surely_more(theirs, given) and (best is None or theirs > best.hits):
            best = BetterGenome(name, len(peaks), theirs, given, of)
    if best is not None:
        logger.warning("%s", best)
    return best


def genome_of_fragments(table: FragmentTable, genes: pd.DataFrame) -> BetterGenome | None:
    """The embedded genome that surely fits fragments better than the genes, see `better_genome`."""
    return better_genome(busy_places(table), genes, of="fragments")


def busy_places(table: FragmentTable) -> pd.DataFrame:
    """Where fragments are many: in places of 500 bases, twice the mean of those that have any.

    Returns
    -------
    DataFrame with chrom (in normal form), start and end of each, ordered by place.
    """
    every = 1 + int(table.fragments.sum()) // MOST_FRAGMENTS
    found = []
    for records in table.records():
        some = records[::every]
        chrom, start, end = (some[name].astype(np.int64) for name in ("chrom", "start", "end"))
        found.append(chrom << 32 | (start + end) // 2 // PLACE)
    places, fragments = np.unique(np.concatenate(found), return_counts=True)
    places = places[fragments >= MANY * fragments.mean()]
    names = chromosomes(pd.Series(table.chromosomes, dtype=object)).to_numpy()
    start = (places & (2**32 - 1)) * PLACE
    return pd.DataFrame({"chrom": names[places >> 32], "start": start, "end": start + PLACE})


@functools.cache
def _embedded(name: str) -> pd.DataFrame:
    return _named_alike(load_genes(name))


def _named_alike(genes: pd.DataFrame) -> pd.DataFrame:
    """Genes of man and mouse have the same names but for upper and lower case."""
    return genes.assign(gene=genes["gene"].astype(str).str.upper())


def _hits(peaks: pd.DataFrame, genes: pd.DataFrame) -> int:
    """How many peaks lie on a transcription start; of unknown strand, on either end."""
    starts, ends = genes[genes["strand"] != "-"], genes[genes["strand"] != "+"]
    places = pd.concat([starts.assign(end=starts["start"] + 1), ends.assign(start=ends["end"] - 1)])
    return count_linked(overlaps(peaks, places))


def _surely_more(more: int, fewer: int) -> bool:
    deviation = np.sqrt(more + fewer)
    return more >= SURE_RATIO * fewer and more - fewer > SURE_DEVIATIONS * deviation
