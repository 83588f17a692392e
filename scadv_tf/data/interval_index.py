"""Which of many intervals a stretch of the genome overlaps; the intervals may overlap each other.

All chromosomes lie on one line, one behind the other. The bounds of the intervals cut it into
segments, of which each lies in the same intervals from end to end. What a stretch overlaps is what
lies over its first base, and what begins further on in it: two searches in sorted bounds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd


class IntervalIndex:
    """Intervals by place.

    Parameters
    ----------
    intervals : [P] chrom, start, end, 0-based and half-open; of no length: nothing overlaps them.
    chromosomes : the names that codes of chromosomes stand for, in the same form as `chrom`.

    Attributes
    ----------
    known : bool [chromosomes], which of them have intervals.
    """

    def __init__(self, intervals: pd.DataFrame, chromosomes: Sequence[str]):
        columns = [intervals[name].to_numpy() for name in ("start", "end", "chrom")]
        real = np.flatnonzero(columns[1] > columns[0])
        start, end, chrom = (values[real] for values in columns)
        codes, names = pd.factorize(chrom)
        lengths = np.zeros(len(names), np.int64)
        np.maximum.at(lengths, codes, end)
        # One base lies between two chromosomes, so that what is beyond the last interval of the
        # one overlaps none of the other.
        offsets = np.concatenate([[0], np.cumsum(lengths + 1)])[:-1]
        place = pd.Index(names).get_indexer(pd.Index(chromosomes, dtype=object))
        self.known = place >= 0
        self._offsets, self._lengths = (
            np.where(self.known, values[place], 0) if len(names) else np.zeros(len(place), np.int64)
            for values in (offsets, lengths)
        )
        start, end = start + offsets[codes], end + offsets[codes]
        by_start = np.argsort(start, kind="stable")
        self._by_start = real[by_start]
        cuts = np.sort(np.concatenate([start, end]))
        self._cuts = cuts[np.diff(cuts, prepend=-1) > 0]
        # Segment i ends at cut i; the first lies before all cuts, in no interval.
        self._started = np.searchsorted(start[by_start], self._cuts, side="right")
        self._started = np.concatenate([[0], self._started])
        first, beyond = (np.searchsorted(self._cuts, bound) + 1 for bound in (start, end))
        over, segments = ranges(first, beyond)
        by_segment = np.argsort(segments, kind="stable")
        self._over = real[over[by_segment]]
        self._over_from = np.searchsorted(segments[by_segment], np.arange(len(self._cuts) + 2))

    def overlaps(
        self, chrom: np.ndarray, start: np.ndarray, end: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Each overlap, by a base or more, of some stretches [n] and the intervals, once.

        Parameters
        ----------
        chrom : codes of chromosomes, all `known`.
        start, end : 0-based and half-open, start < end.

        Returns
        -------
        Positions of stretches, and of intervals, int64 [overlaps] each.
        """
        offset, length = self._offsets[chrom], self._lengths[chrom]
        low, high = (np.minimum(bound, length) + offset for bound in (start, end))
        first = np.searchsorted(self._cuts, low, side="right")
        last = np.searchsorted(self._cuts, high, side="left")
        over, place = ranges(self._over_from[first], self._over_from[first + 1])
        begun, later = ranges(self._started[first], self._started[np.maximum(last, first)])
        return (
            np.concatenate([over, begun]),
            np.concatenate([self._over[place], self._by_start[later]]),
        )


def ranges(starts: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All numbers from each start up to its stop: of which range they are, and the numbers."""
    sizes = stops - starts
    of = np.repeat(np.arange(len(sizes)), sizes)
    before = np.cumsum(sizes) - sizes
    return of, np.arange(len(of)) + np.repeat(starts - before, sizes)
