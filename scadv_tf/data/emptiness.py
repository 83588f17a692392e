"""Which cells and genes have data; an empty cell teaches nothing and gets no type.

A matrix of barcodes that nobody filtered has a few thousand cells among many thousands of droplets
with a handful of stray counts each. They would be most of the statistics and of all neighbours.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd

from scadv_tf.data.rows import ScatteredRows
from scadv_tf.data.stored_counts import StoredCounts, open_features
from scadv_tf.errors import InputError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from scadv_tf.data.pairing import Counts, PairedData

logger = logging.getLogger(__name__)

# Stray counts of real droplets open 1 to 3 % of what a typical cell opens. Real cells lie above a
# tenth in all data sets at hand, and thinned to a third of the counts above a twentieth.
LEAST_SHARE = 0.05
MANY = 0.05  # of a modality's cells; some debris is in every sample
UNFILTERED = "the likely cause is an unfiltered matrix of barcodes: give the filtered one"
FEWEST_GENES = 2  # less has no direction
FEWEST_CELLS = 3  # where others are left out; a small data set of full cells is the user's choice

Record = TypeVar("Record", bound="DataclassInstance")
OpenFeatures = dict[str, np.ndarray]  # kind of features -> how many are open in each cell


def opened(rna: Counts, atac: Counts, peaks: Counts | None) -> OpenFeatures:
    """How many features of each cell have a count.

    Returns
    -------
    'rna' and 'atac' -> open genes, int [cells]; with peaks, 'peaks' -> open genes and peaks of the
    ATAC cells together: a cell with open peaks, but none in a gene, has neighbours all the same,
    and is averaged with them.
    """
    found = {"rna": open_features(rna), "atac": open_features(atac)}
    if peaks is not None:
        found["peaks"] = found["atac"] + open_features(peaks)
    return found


def least_open(opened: np.ndarray) -> int:
    """How many open features a cell needs: a twentieth of a typical cell's, and one at least.

    Half of all open features are in cells that have as many as the typical one, or more. The
    median would be an empty droplet's where most barcodes are; these have few of all features.

    Parameters
    ----------
    opened : of each cell [cells].
    """
    ranked = np.sort(opened)[::-1]
    total = np.cumsum(ranked, dtype=np.int64)
    if not len(total) or not total[-1]:
        return 1
    typical = ranked[np.searchsorted(total, total[-1] / 2)]
    return max(1, int(LEAST_SHARE * typical))


def kinds(features: dict) -> dict[str, str]:
    """Modality -> the kind of features by which its cells have data or not."""
    return {"rna": "rna", "atac": "peaks" if "peaks" in features else "atac"}


def with_data(found: OpenFeatures, least: dict[str, int] | None = None) -> dict[str, np.ndarray]:
    """Modality -> which cells have data, bool [cells].

    Parameters
    ----------
    least : kind of features -> how many must be open; None for what these cells say.
    """
    kept = {}
    for name, kind in kinds(found).items():
        bound = least_open(found[kind]) if least is None else least[kind]
        kept[name] = found[kind] >= bound
    return kept


def part_of(data: PairedData, kept: dict[str, np.ndarray]) -> PairedData:
    """The same data with these cells' counts, taught labels and batches; names and tables stay."""
    counts: dict[str, Any] = {name: rows_of(data.counts(name), kept[name]) for name in kept}
    counts["batches"] = {name: batches[kept[name]] for name, batches in data.batches.items()}
    if data.rna_labels is not None and not kept["rna"].all():
        counts["rna_labels"] = data.rna_labels[kept["rna"]]
    if data.peaks is not None:
        counts["peaks"] = rows_of(data.peaks, kept["atac"])
    return replace(data, **counts)


def rows_of(counts: Counts, kept: np.ndarray) -> Counts:
    """The kept cells, bool [cells], of counts; the counts themselves where all are."""
    if kept.all():
        return counts
    rows = np.flatnonzero(kept)
    return counts.chosen(rows) if isinstance(counts, StoredCounts) else counts[rows]


def scatter(values: Any, kept: np.ndarray, fill: object) -> Any:
    """Values of the kept cells [n, …] at their places among all cells; `fill` for the others.

    Parameters
    ----------
    values : an array; categories, and `fill` the number of one; or `Rows` on disk, and `fill` 0.
    kept : bool [all cells], n of them True.
    """
    if kept.all():
        return values
    if isinstance(values, pd.Categorical):
        return pd.Categorical.from_codes(scatter(values.codes, kept, fill), dtype=values.dtype)
    if not isinstance(values, np.ndarray):
        return ScatteredRows(values, kept)
    kind = object if values.dtype.kind == "U" else values.dtype  # a longer text would be cut
    found = np.full((len(kept), *values.shape[1:]), fill, dtype=kind)
    found[kept] = values
    return found


def scatter_fields(record: Record, kept: np.ndarray, fills: Mapping[str, object]) -> Record:
    """A record of the kept cells as one of all: `scatter` of some of its fields.

    Parameters
    ----------
    record : a dataclass whose fields are such values, dicts of them, or None.
    fills : name of a field -> what the other cells get.
    """

    def full(values: Any, fill: object) -> Any:
        if isinstance(values, dict):
            return {name: full(each, fill) for name, each in values.items()}
        return None if values is None else scatter(values, kept, fill)

    return replace(record, **{name: full(getattr(record, name), fills[name]) for name in fills})


def check_enough(kept: dict[str, np.ndarray]) -> None:
    """Refuses a modality that is all but empty.

    Raises
    ------
    InputError : fewer than 3 cells of a modality have data, and others have none.
    """
    for name, cells in kept.items():
        if cells.sum() < min(FEWEST_CELLS, len(cells)):
            raise InputError(
                what=f"Hardly any {name.upper()} cell has a count in the genes that are looked at.",
                expected=f"at least {FEWEST_CELLS} {name.upper()} cells with counts",
                received=f"{cells.sum():,} of {len(cells):,} cells",
                advice="Check that the file holds raw counts of cells, and that both modalities "
                "are of the same species and genome.",
            )


def check_genes(measured: int, genes: int, fewest: int) -> None:
    """Tells of genes that one modality alone has counts of; refuses where too few are in both.

    Parameters
    ----------
    measured : genes with a count in some cell of each modality, of so many `genes`.
    fewest : how many are asked for.

    Raises
    ------
    InputError : fewer are.
    """
    if measured < fewest:
        raise InputError(
            what="Too few genes have counts in both modalities.",
            expected=f"at least {fewest:,} genes with a count in some RNA cell and in some ATAC "
            "cell",
            received=f"{measured:,} of {genes:,} shared genes",
            advice="Check that both files hold raw counts, and that the gene activity was made of "
            "the right genome and of enough cells; or lower --min_shared_genes.",
        )
    if measured < genes:
        tell = logger.warning if measured < (1 - MANY) * genes else logger.info
        tell(
            "%s of %s shared genes have no count in any cell of one modality and are left out",
            f"{genes - measured:,}", f"{genes:,}",
        )  # fmt: skip


def warnings(cells: dict[str, np.ndarray]) -> list[str]:
    """What to tell of cells without data, in plain language; `cells` as from `with_data`."""
    found = []
    for name, kept in cells.items():
        number = int(np.sum(~kept))
        if not number:
            continue
        text = (
            f"{number:,} of {len(kept):,} {name.upper()} cells are empty or nearly empty (no count "
            "in any shared gene, or hardly one): they teach nothing and are called 'unknown'"
        )
        if number > MANY * len(kept):
            text += f"; {UNFILTERED}"
        found.append(text)
    return found
