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
from scadv_tf.data.antibodies import as_genes
from scadv_tf.data.gene_matching import GeneMatch, match_features
from scadv_tf.data.labels import (
    UNKNOWN,
    UNLABELLED,
    CellChoice,
    choose_cells,
    label_level,
    labels_of,
    without_unknown,
)
from scadv_tf.data.matching_report import MatchingReport
from scadv_tf.data.measures import Measure
from scadv_tf.data.readers import StoredModality
from scadv_tf.data.stored_counts import StoredCounts, look_through
from scadv_tf.errors import InputError
from scadv_tf.naming import named

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

Counts: TypeAlias = sparse.csr_matrix | StoredCounts  # in memory or on disk

RARE_TYPE_CELLS = 10
MOST_NAMES = 5  # in a sentence


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


@dataclass(frozen=True, eq=False)
class AtacTruth:
    """Known labels of the ATAC cells: for evaluation only.

    Attributes
    ----------
    labels : text [A]; '' for a cell without label.
    level : RNA type -> its name among the ATAC labels, which may be coarser.
    """

    labels: np.ndarray
    level: dict[str, str]

    @property
    def names(self) -> list[str]:
        """The different labels, sorted."""
        return [name for name in np.unique(self.labels).tolist() if name != UNLABELLED]

    @property
    def known(self) -> bool:
        """Whether there are labels, and any of them names an RNA type, where there are types."""
        types = set(self.level.values())
        return bool(self.names) and (not types or not types.isdisjoint(self.names))

    def of_cells(self, kept: np.ndarray) -> AtacTruth:
        """Of the kept cells alone, bool [A]."""
        return replace(self, labels=self.labels[kept])

    def coarsen(self, predicted_types: Sequence[str] | np.ndarray) -> np.ndarray:
        """RNA types [A] named at the level of the ATAC labels; other names stay as they are."""
        names = map(str, predicted_types)
        return np.array([self.level.get(name, name) for name in names], dtype=str)

    def confidence(self, probabilities: np.ndarray, types: Sequence[str]) -> np.ndarray:
        """Probability [A] of the predicted label's name at the level of the ATAC labels.

        The most probable type decides the label; the probabilities of all types [A, K] that share
        its coarse name add up.
        """
        names = self.coarsen(types)
        same = names[:, None] == names[None, :]
        return np.take_along_axis(
            probabilities @ same, probabilities.argmax(axis=1)[:, None], axis=1
        )[:, 0]


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
    rna, atac : counts and gene activity, as from `read_modality` and `gene_activity`.
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
    truth_key = atac_label_key or (label_key if label_key in atac.obs else "")
    if not supervised and label_key not in rna.obs:
        label_key = ""
    rna_labels = labels_of(rna.obs, label_key, "rna")
    atac_labels = labels_of(atac.obs, truth_key, "atac")
    level = label_level(rna.obs, rna_labels, truth_key)
    taught = supervised and bool(label_key)
    cells = choose_cells(rna_labels, atac_labels, level, drop_types, labelled=taught)
    rna_labels = without_unknown(rna_labels[cells.rna])
    atac_labels = without_unknown(atac_labels[cells.atac])
    types = _types_of(rna_labels, label_key) if taught else ()
    left = set(np.unique(rna_labels).tolist())
    truth = AtacTruth(atac_labels, {name: level[name] for name in level if name in left})

    measure, atac_var, antibodies = measure or Measure(), atac.var, None
    if measure.is_protein:
        atac_var, antibodies = as_genes(atac_var, rna.var)
    match = match_features(rna.var, atac_var, min_shared_genes, summed=not measure.is_levels)
    rna_counts = _summed(rna.X, cells.rna, match.rna_sum)
    atac_counts = _summed(atac.X, cells.atac, match.atac_sum)
    peaks = None if peaks is None else _rows(peaks, cells.atac)
    look_through([c for c in (rna_counts, atac_counts, peaks) if isinstance(c, StoredCounts)])
    with_data = emptiness.with_data(emptiness.opened(rna_counts, atac_counts, peaks))
    of_rna = rna_labels[with_data["rna"]]
    if taught:
        _check_types_with_data(of_rna, len(rna_labels))
    warnings = [
        *(_label_warnings(of_rna, truth, cells) if supervised else ()),
        *_vocabulary_warnings(truth, truth_key),
        *emptiness.warnings(with_data),
        *match.warnings("check that both modalities are of the same species"),
        *(antibodies.warnings() if antibodies else ()),
    ]
    report = MatchingReport(
        peaks=None if peaks is None else peaks.shape[1],
        peaks_in_genes=peaks_in_genes,
        warnings=[named(text, measure.name) for text in warnings],
        query=measure.name,
        kind=measure.kind,
        names=antibodies.lines() if antibodies else [],
        **_account_of_cells(rna_labels, of_rna, types, cells),
        **_account_of_genes(match),
    )
    for warning in report.warnings:
        logger.warning(warning)
    paired = PairedData(
        rna=rna_counts,
        atac=atac_counts,
        genes=match.genes,
        types=types,
        rna_labels=np.searchsorted(types, rna_labels).astype(np.int32) if taught else None,
        rna_cells=np.asarray(rna.obs_names, dtype=str)[cells.rna],
        atac_cells=np.asarray(atac.obs_names, dtype=str)[cells.atac],
        rna_obs=rna.obs.iloc[cells.rna].copy(),
        atac_obs=atac.obs.iloc[cells.atac].copy(),
        peaks=peaks,
        matching=report,
        rna_known=None if taught else rna_labels,
        rows={"rna": cells.rna, "atac": cells.atac},
        measure=measure,
    )
    return paired, truth if truth.known else None


def _types_of(rna_labels: np.ndarray, label_key: str) -> tuple[str, ...]:
    types = tuple(str(name) for name in np.unique(rna_labels) if name != UNLABELLED)
    if len(types) < 2:
        raise InputError(
            what="the RNA cells have fewer than two cell types",
            expected=f"at least two types in the column '{label_key}'",
            received=", ".join(types) or "none",
            advice="check --label_key and --drop_types: with one type there is nothing to transfer "
            "(--mode=unsupervised needs no types)",
        )
    return types


def _check_types_with_data(rna_labels: np.ndarray, cells: int) -> None:
    """Refuses RNA cells of which those with data, of these labels, are of one type or none."""
    types = np.unique(rna_labels).tolist()
    if len(types) < 2:
        raise InputError(
            what="the RNA cells with data are of fewer than two cell types",
            expected="at least two types with counts in the shared genes",
            received=f"{', '.join(types) or 'none'}; {cells - len(rna_labels):,} of {cells:,} "
            "cells are empty or nearly empty there",
            advice="check that the file holds raw counts of the labelled cells, and that both "
            "modalities are of the same species and genome",
        )


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


def _account_of_cells(
    rna_labels: np.ndarray, with_data: np.ndarray, types: tuple[str, ...], cells: CellChoice
) -> dict:
    """Of the labels of the RNA cells, and of those with data."""
    of_all, taught = (
        {name: int(np.sum(labels == name)) for name in types} for labels in (rna_labels, with_data)
    )
    return {
        "rna_cells": len(cells.rna),
        "atac_cells": len(cells.atac),
        "rna_types": of_all,
        "rare_types": {name: n for name, n in taught.items() if n < RARE_TYPE_CELLS},
        "cells_without_label": cells.without_label,
        "dropped_cells": cells.dropped,
    }


def _account_of_genes(match: GeneMatch) -> dict:
    rna_names_from, atac_names_from = match.names_from
    return {
        "rna_genes": match.rna_sum.shape[0],
        "atac_genes": match.atac_sum.shape[0],
        "shared_genes": len(match.genes),
        "matched_how": match.matched_how,
        "duplicates_summed": match.duplicates_summed,
        "rna_names_from": rna_names_from,
        "atac_names_from": atac_names_from,
    }


def _label_warnings(rna_labels: np.ndarray, truth: AtacTruth, cells: CellChoice) -> list[str]:
    """What to tell of labels, `rna_labels` being those of the cells with data."""
    warnings = []
    if cells.without_label:
        warnings.append(f"{cells.without_label:,} RNA cells without a label were left out")
    if cells.called_unknown:
        warnings[-1] += (
            f", {cells.called_unknown:,} of them because '{UNKNOWN}' names no type: "
            "give it another name if they are one"
        )
    types, numbers = np.unique(rna_labels[rna_labels != UNLABELLED], return_counts=True)
    rare = [f"{t} ({n})" for t, n in zip(types, numbers, strict=True) if n < RARE_TYPE_CELLS]
    empty = [name for name in truth.level if name not in types]
    if empty:
        warnings.append(
            "no RNA cell of these types has data, so that none can be learned: " + ", ".join(empty)
        )
    if rare:
        warnings.append(
            f"types with fewer than {RARE_TYPE_CELLS} RNA cells can hardly be learned: "
            + ", ".join(rare)
        )
    unknown = sorted({*truth.names} - {*truth.level.values()})
    if unknown and truth.level and truth.known:
        warnings.append(
            f"no RNA type stands for these ATAC labels, which count as errors: {', '.join(unknown)}"
        )
    return warnings


def _vocabulary_warnings(truth: AtacTruth, key: str) -> list[str]:
    if truth.known or not truth.names:
        return []
    types = sorted(set(truth.level.values()))
    return [
        f"the ATAC labels in the column '{key}' ({_first(truth.names)}) share no name with the RNA "
        f"types ({_first(types)}): they count as not known, and there are no scores. For scores "
        "name them as the types, or give the RNA cells a column of that name with the ATAC label "
        "of each type"
    ]


def _first(names: Sequence[str]) -> str:
    """The first of many names."""
    return ", ".join(names[:MOST_NAMES]) + (", …" if len(names) > MOST_NAMES else "")
