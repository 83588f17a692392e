"""Two modalities brought to one set of genes, labels to codes, and a check of all that.

Labels of ATAC cells never enter what training sees: `pair` hands them back apart, as `AtacTruth`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd
from scipy import sparse

from scadv_tf.config import DataConfig
from scadv_tf.data import emptiness
from scadv_tf.data.antibodies import Antibodies, as_genes
from scadv_tf.data.gene_matching import GeneMatch, match_features
from scadv_tf.data.labels import UNLABELLED
from scadv_tf.data.matching_report import MatchingReport
from scadv_tf.data.measures import Measure
from scadv_tf.data.paired_labels import AtacTruth, PairedLabels
from scadv_tf.data.readers import StoredModality
from scadv_tf.data.stored_counts import StoredCounts, look_through
from scadv_tf.naming import named

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

Counts: TypeAlias = sparse.csr_matrix | StoredCounts  # in memory or on disk


@dataclass(frozen=True, eq=False)
class PairedData:
    """What training works on: R RNA cells, A ATAC cells, the same G genes.

    Attributes
    ----------
    rna, atac : float32 CSR [R, G] and [A, G], non-negative; in memory, or read when asked for.
    genes : names [G], text, in the order of RNA.
    types : the K names of the RNA cell types, sorted.
    rna_labels : int32 [R], positions in types; None without labels, or where none are taught.
    rna_cells, atac_cells : names [R] and [A], text.
    rna_obs, atac_obs : the tables of cells [R] and [A]; for the output file only.
    peaks : the same [A, P], for the neighbours of ATAC cells; None without peaks.
    matching : the account of what was matched.
    rna_known : known types [R], text, that nothing is taught; for scores and pictures only. None
        where rna_labels says them.
    intervals : where the peaks and genes lie; None without peaks.
    rows : modality -> which cells of the input these are, ascending positions.
    batches : modality -> the batch of each cell, where it is to be corrected for.
    measure : what the ATAC cells' numbers are.
    fewest_genes : how many must have a count in both modalities.
    """

    rna: Counts
    atac: Counts
    genes: np.ndarray
    types: tuple[str, ...]
    rna_labels: np.ndarray | None
    rna_cells: np.ndarray
    atac_cells: np.ndarray
    rna_obs: pd.DataFrame
    atac_obs: pd.DataFrame
    peaks: Counts | None
    matching: MatchingReport
    rna_known: np.ndarray | None = None
    intervals: Intervals | None = None
    rows: dict[str, np.ndarray] = field(default_factory=dict)
    batches: dict[str, pd.Categorical] = field(default_factory=dict)
    measure: Measure = Measure()
    fewest_genes: int = emptiness.FEWEST_GENES

    def counts(self, modality: str) -> Counts:
        """Of 'rna' or 'atac' [cells, G]."""
        return {"rna": self.rna, "atac": self.atac}[modality]

    def cells(self, modality: str) -> np.ndarray:
        """Names of the cells of 'rna' or 'atac' [cells], text."""
        return {"rna": self.rna_cells, "atac": self.atac_cells}[modality]

    def obs(self, modality: str) -> pd.DataFrame:
        """The table of the cells of 'rna' or 'atac' [cells]."""
        return {"rna": self.rna_obs, "atac": self.atac_obs}[modality]

    def of_cells(self, kept: dict[str, np.ndarray]) -> PairedData:
        """The kept cells alone, 'rna' and 'atac' -> bool [cells]."""
        if all(cells.all() for cells in kept.values()):
            return self
        rna, atac = kept["rna"], kept["atac"]
        return replace(
            emptiness.part_of(self, kept),
            rna_known=None if self.rna_known is None else self.rna_known[rna],
            rna_cells=self.rna_cells[rna],
            atac_cells=self.atac_cells[atac],
            rna_obs=self.rna_obs[rna],
            atac_obs=self.atac_obs[atac],
            rows={modality: rows[kept[modality]] for modality, rows in self.rows.items()},
        )

    def known_rna_types(self) -> np.ndarray:
        """Known types of the RNA cells, taught or not, text [R]; '' where not known."""
        if self.rna_labels is not None:
            return np.array(self.types)[self.rna_labels]
        if self.rna_known is not None:
            return self.rna_known
        return np.full(len(self.rna_cells), UNLABELLED)


@dataclass(frozen=True, eq=False)
class Intervals:
    """Where peaks and genes lie, so that further cells can be given as peaks.

    Attributes
    ----------
    peaks : [P] chrom, start, end, as from `peak_intervals`; P as in `PairedData.peaks`.
    genes : all genes, as from `load_genes`; None if gene activity was given, not made.
    upstream : base pairs before a gene that count as the gene's.
    """

    peaks: pd.DataFrame
    genes: pd.DataFrame | None
    upstream: int


def pair(
    rna: AnnData | StoredModality,
    atac: AnnData | StoredModality,
    label_key: str,
    atac_label_key: str = "",
    peaks: Counts | None = None,
    drop_types: Sequence[str] = (),
    min_shared_genes: int = DataConfig.min_shared_genes,
    peaks_in_genes: int | None = None,
    supervised: bool = True,
    measure: Measure | None = None,
) -> tuple[PairedData, AtacTruth | None]:
    """Bring two modalities to shared genes and the labels to codes.

    Parameters
    ----------
    rna, atac : counts and gene activity, as from `scadv_tf.data.readers` and `as_activity`.
    label_key : column of rna.obs with the cell types; '' for none. RNA cells without label go. The
        label 'unknown', which results give to cells that resemble no type, counts as none.
    atac_label_key : column of atac.obs with known labels; '' takes label_key if it is there.
        If they are coarser than the RNA types, rna.obs must have a column of that name too, with
        one coarse label for each type.
    peaks : counts [A, P] of the same ATAC cells.
    drop_types : types to leave out of both modalities, of ATAC where labels are known; a
        coarse label takes all its types along.
    min_shared_genes : fewer are refused.
    peaks_in_genes : how many peaks made up the gene activity; for the report only.
    supervised : whether RNA labels are taught. If not, RNA cells without label stay, the column may
        be missing, and there are no types: what is known goes to rna_known.
    measure : what the ATAC cells' numbers are; None for accessibility.

    Returns
    -------
    PairedData, and AtacTruth or None if the labels of ATAC are not known, or name none of the RNA
    types, as numbers of clusters do.

    Raises
    ------
    InputError : a missing column, an unknown type to drop, fewer than two types, an
        ambiguous level, too few shared genes, or no cell left.
    """
    labels = PairedLabels.of(rna.obs, atac.obs, label_key, atac_label_key, drop_types, supervised)
    cells, measure = labels.cells, measure or Measure()
    match, antibodies = _matched(rna.var, atac.var, min_shared_genes, measure)
    rna_counts = _summed(rna.X, cells.rna, match.rna_sum)
    atac_counts = _summed(atac.X, cells.atac, match.atac_sum)
    peaks = None if peaks is None else _rows(peaks, cells.atac)
    look_through([c for c in (rna_counts, atac_counts, peaks) if isinstance(c, StoredCounts)])
    with_data = emptiness.with_data(emptiness.opened(rna_counts, atac_counts, peaks))
    labels.check_data(with_data["rna"])
    report = replace(
        _reported(labels, with_data, match, antibodies, measure),
        peaks=None if peaks is None else peaks.shape[1],
        peaks_in_genes=peaks_in_genes,
    )
    for warning in report.warnings:
        logger.warning(warning)
    paired = PairedData(
        rna=rna_counts,
        atac=atac_counts,
        genes=match.genes,
        types=labels.types,
        rna_labels=labels.codes,
        rna_cells=np.asarray(rna.obs_names, dtype=str)[cells.rna],
        atac_cells=np.asarray(atac.obs_names, dtype=str)[cells.atac],
        rna_obs=rna.obs.iloc[cells.rna].copy(),
        atac_obs=atac.obs.iloc[cells.atac].copy(),
        peaks=peaks,
        matching=report,
        rna_known=None if labels.taught else labels.rna,
        rows={"rna": cells.rna, "atac": cells.atac},
        measure=measure,
        fewest_genes=max(min_shared_genes, emptiness.FEWEST_GENES),
    )
    return paired, labels.truth if labels.truth.known else None


def _matched(
    rna_var: pd.DataFrame, atac_var: pd.DataFrame, minimum: int, measure: Measure
) -> tuple[GeneMatch, Antibodies | None]:
    """The shared genes, and of antibodies which genes they stand for."""
    antibodies = None
    if measure.is_protein:
        atac_var, antibodies = as_genes(atac_var, rna_var)
    match = match_features(rna_var, atac_var, minimum, summed=not measure.is_levels)
    return match, antibodies


def _rows(counts: Counts, cells: np.ndarray) -> Counts:
    if isinstance(counts, StoredCounts):
        return counts.chosen(cells)
    return sparse.csr_matrix(counts[cells], dtype=np.float32)


def _summed(counts: Counts, cells: np.ndarray, columns: sparse.csr_matrix) -> Counts:
    if isinstance(counts, StoredCounts):
        return counts.chosen(cells, columns)
    summed = sparse.csr_matrix(counts[cells] @ columns, dtype=np.float32)
    summed.sort_indices()
    return summed


def _reported(
    labels: PairedLabels,
    with_data: dict[str, np.ndarray],
    match: GeneMatch,
    antibodies: Antibodies | None,
    measure: Measure,
) -> MatchingReport:
    """The account of cells, labels and genes; that of the peaks is the caller's."""
    warnings = [
        *labels.warnings(with_data["rna"]),
        *emptiness.warnings(with_data),
        *match.warnings("check that both modalities are of the same species"),
        *(antibodies.warnings() if antibodies else ()),
    ]
    rna_names_from, atac_names_from = match.names_from
    return MatchingReport(
        rna_genes=match.rna_sum.shape[0],
        atac_genes=match.atac_sum.shape[0],
        shared_genes=len(match.genes),
        matched_how=match.matched_how,
        duplicates_summed=match.duplicates_summed,
        rna_names_from=rna_names_from,
        atac_names_from=atac_names_from,
        warnings=[named(text, measure.name) for text in warnings],
        query=measure.name,
        kind=measure.kind,
        names=antibodies.lines() if antibodies else [],
        **labels.account(with_data["rna"]),
    )
