"""Which genome fragments are of: where many of them lie, chromatin is open, as it is in peaks.

Windows of a genome reach all that it has, so that they tell nothing; their fragments do.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from scadv_tf.data.fragment_table import FragmentTable
from scadv_tf.data.gene_coordinates import chromosomes
from scadv_tf.data.genome_fit import BetterGenome, better_genome

PLACE = 500  # base pairs: the width of a peak
# Times the mean of all places that have any: most of these have one by chance, open ones several.
MANY = 2.0
MOST_FRAGMENTS = 1_000_000  # that are looked at, of all alike


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
