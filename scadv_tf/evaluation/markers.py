"""Marker genes of the RNA types, looked for in the ATAC cells.

Five checks. The first needs no label of an ATAC cell, given or predicted: markers of one type that
are expressed together should be active together. Where gene names do not fit, or where the ATAC
cells are of other types, they are so no more than other genes of the same abundance. The labels
themselves can not show this: a model finds the cells that look most like a type by whatever stands
under the names of its genes, right or wrong, so the cells called a type show "its" markers always.

The second is what a biologist does by hand: are the markers of a type more active in the cells
that were called so than in the others? It can fail for a type, and to pass it is weak evidence.

The third looks at all genes, see `scadv_tf.evaluation.type_differences`. The fourth looks at the
mean of all ATAC cells, which no label has a part in, see `scadv_tf.data.pseudobulk`: it speaks
for other types than most cells were called where the sample is of few of the types. The fifth looks
at clusters, see `scadv_tf.evaluation.unmarked_clusters`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from scadv_tf.data.linear_guess import type_means
from scadv_tf.data.measures import Measure, rank_correlation
from scadv_tf.data.normalization import LARGEST_VALUE, log_normalize, measured_genes, moments
from scadv_tf.data.paired_labels import RARE_TYPE_CELLS
from scadv_tf.data.pseudobulk import Pseudobulk
from scadv_tf.evaluation.type_differences import share_between_types
from scadv_tf.evaluation.unmarked_clusters import UnmarkedClusters
from scadv_tf.not_none import not_none

# More markers of a type tell more of the same tissue, and begin to fit unlike types of another.
MARKERS = 50
PANEL_MARKERS = 2  # of a panel of proteins, which has few for each type
SHOWN = 3  # of each type in the dot plot
# Genes are swapped for others of their tenth by mean activity, since abundant genes of a sparse
# assay go together by depth alone.
TENTHS = 10
DRAWS = 60
TINY = 1e-12
# Genes that hardly any RNA cell has are no markers, whatever their fold.
LEAST_EXPRESSED = 0.25


@dataclass(frozen=True, eq=False)
class MarkerCheck:
    """What the markers of the RNA types say of the ATAC cells.

    Attributes
    ----------
    genes : genes that are measured in both modalities.
    abundance : Spearman correlation over them of mean expression with mean activity.
    coactivity : how much more the markers of a type are active together than random genes of the
        same abundance, in standard deviations of these; None without types, and of a panel, which
        has no other genes.
    by_type : a row a type: ``markers`` (those that no other type has more of, the first the best,
        text), ``coactivity`` (the same of this type), ``cells`` called so, and ``auroc``: the
        chance that one of these has a higher mean activity of the markers than another cell; NaN
        where there are no cells of either; ``likeness``: of the mean ATAC cell to this type alone.
    dots : a row a marker and a called type of ten cells or more: ``type``, ``gene``, ``cells`` (the
        called type), ``open`` (share of the cells that have something of the gene, see `Kind.has`),
        ``activity`` (mean of `Measure.activity`).
    between_types : see `share_between_types`; None without types, and of a panel.
    likeness : of the mean ATAC cell to the types in the shares that were called, see `Pseudobulk`;
        None where nothing was called, and of a panel.
    unmarked : clusters of ATAC cells without the type that they were called; None of a panel.
    """

    genes: int
    abundance: float
    coactivity: float | None = None
    by_type: pd.DataFrame | None = None
    dots: pd.DataFrame | None = None
    between_types: float | None = None
    likeness: float | None = None
    unmarked: UnmarkedClusters | None = None


def check_markers(
    rna: sparse.csr_matrix,
    atac: sparse.csr_matrix,
    genes: np.ndarray,
    types: tuple[str, ...] = (),
    rna_labels: np.ndarray | None = None,
    called: np.ndarray | None = None,
    seed: int = 0,
    measure: Measure | None = None,
    peaks: sparse.csr_matrix | None = None,
) -> MarkerCheck:
    """Looks for the markers of the RNA types in ATAC cells; no known label of these is needed.

    Parameters
    ----------
    rna, atac : counts of some cells with data [R, G] and [A, G], CSR; a few thousand tell all.
    genes : names [G].
    types : names of the K types; without, abundances alone are compared.
    rna_labels : type codes [R].
    called : type codes of the ATAC cells [A]; below 0 for none.
    seed : of the random genes.
    measure : what the ATAC cells' numbers are, with a known direction; None for accessibility.
    peaks : counts of the same ATAC cells [A, P], which tell them apart; None for their genes.
    """
    distinct = atac if peaks is None else peaks
    measured = measured_genes(rna, atac)
    rna, atac = rna[:, measured], atac[:, measured]
    measure = (measure or Measure()).learned(rna, atac)
    expressed, active = log_normalize(rna), measure.activity(atac)
    means = np.asarray(expressed.mean(axis=0)).ravel()
    abundances = means, measure.mean_activity(atac)
    known = len(measured), rank_correlation(*abundances)
    if len(types) < 2 or called is None:
        return MarkerCheck(*known)
    contrast = _contrast(expressed, not_none(rna_labels), len(types))
    contrast[abundances[0] < np.quantile(abundances[0], LEAST_EXPRESSED)] = 0
    is_panel = measure.of_kind.panel
    markers = _best(contrast, PANEL_MARKERS if is_panel else MARKERS)
    scaled = _standardised(active)
    overall, each, between = None, np.full(len(types), np.nan), None
    likeness, alone, unmarked = None, each, None
    if not is_panel:
        given = expressed, active, not_none(rna_labels), called
        between = share_between_types(*given, len(types), seed)
        overall, each = _coactivity(scaled, markers, abundances[1], seed)
        profile = Pseudobulk.of(expressed, abundances[1], not_none(rna_labels), len(types))
        likeness, alone = _likenesses(profile, not_none(rna_labels), called)
        unmarked = UnmarkedClusters.of(active, contrast, distinct, called, seed)
    names = [genes[measured][found] for found in _own(contrast, markers)]
    columns = {
        "markers": [", ".join(found[:10]) for found in names],
        "coactivity": each,
        "cells": [int(np.sum(called == k)) for k in range(len(types))],
        "auroc": _auroc(_scores(scaled, markers), called),
        "likeness": alone,
    }
    by_type = pd.DataFrame(columns, index=[*types])
    own = dict(zip(types, names, strict=True))
    dots = _dots(active, measure.present(atac), genes[measured], own, called)
    return MarkerCheck(*known, overall, by_type, dots, between, likeness, unmarked)


def _likenesses(
    profile: Pseudobulk, rna_labels: np.ndarray, called: np.ndarray
) -> tuple[float | None, np.ndarray]:
    """Of the mean ATAC cell to what was called, and to each type [K], NaN without RNA cells."""
    types = len(profile.differences)
    alone = np.array([profile.likeness(only) for only in np.eye(types)])
    alone[np.bincount(rna_labels, minlength=types) == 0] = np.nan
    cells = np.bincount(called[called >= 0], minlength=types)
    return (profile.likeness(cells / cells.sum()) if cells.any() else None), alone


def _contrast(values: sparse.csr_matrix, labels: np.ndarray, types: int) -> np.ndarray:
    """Mean of each type less the mean of the others, in deviations of the gene [G, K].

    0 for a type without cells. All other types weigh the same, whatever their numbers of cells.
    """
    cells = np.bincount(labels, minlength=types)
    means = type_means(values, labels, types).T
    present = np.flatnonzero(cells)
    others = (means[:, present].sum(axis=1, keepdims=True) - means) / max(1, len(present) - 1)
    deviation = moments(values)[1][:, None]
    found = (means - others) / np.where(deviation > 0, deviation, np.inf)
    found[:, cells == 0] = 0
    return found


def _ranked(contrast: np.ndarray) -> np.ndarray:
    return np.argsort(-contrast, kind="stable")


def _best(contrast: np.ndarray, number: int = MARKERS) -> np.ndarray:
    """Zeros and ones [G, K]: so many genes of each type with the largest contrast above 0."""
    markers = np.zeros(contrast.shape, dtype=np.float32)
    for k, column in enumerate(contrast.T):
        best = _ranked(column)[:number]
        markers[best[column[best] > 0], k] = 1
    return markers


def _own(contrast: np.ndarray, markers: np.ndarray) -> list[np.ndarray]:
    """Of each type, its markers that no other type has more of: those that people look at."""
    best = contrast.argmax(axis=1)
    ranked = (_ranked(contrast[:, k]) for k in range(contrast.shape[1]))
    return [order[(markers[order, k] > 0) & (best[order] == k)] for k, order in enumerate(ranked)]


def _standardised(values: sparse.csr_matrix) -> sparse.csr_matrix:
    """Genes over their deviation, cut as in `Scale`, and not centred so that they stay sparse."""
    mean, deviation = moments(values)
    scaled = values.tocsc(copy=True)
    gene = np.repeat(np.arange(values.shape[1]), np.diff(scaled.indptr))
    bounds = (mean + side * LARGEST_VALUE * deviation for side in (-1, 1))
    scaled.data = np.clip(scaled.data, *(bound[gene] for bound in bounds))
    scaled.data /= np.where(deviation > 0, deviation, 1)[gene]
    return scaled.tocsr()


def _coactivity(
    scaled: sparse.csr_matrix, markers: np.ndarray, abundance: np.ndarray, seed: int
) -> tuple[float, np.ndarray]:
    """In deviations of random genes: of all types together, and of each [K].

    Genes that are active together make the mean of a set vary more between cells than the chance
    of each gene alone does. Logarithms of variances, since these are far from normal where a few
    groups of cells are all that differs.
    """
    rng = np.random.default_rng(seed)
    drawn = [_variances(scaled, markers[_swapped(abundance, rng)]) for _ in range(DRAWS)]
    found = np.log(np.maximum([_variances(scaled, markers), *drawn], TINY))
    deviation = found[1:].std(axis=0)
    scores = (found[0] - found[1:].mean(axis=0)) / np.where(deviation > 0, deviation, np.inf)
    return float(scores[-1]), scores[:-1]


def _variances(scaled: sparse.csr_matrix, markers: np.ndarray) -> np.ndarray:
    """Over the cells, of each type's score, and the mean of these [K + 1]."""
    each = _scores(scaled, markers).var(axis=0)
    return np.append(each, each.mean())


def _swapped(abundance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random order [G] in which each gene stands for one of about its abundance."""
    order = np.empty(len(abundance), dtype=np.intp)
    for alike in np.array_split(np.argsort(abundance, kind="stable"), TENTHS):
        order[alike] = rng.permutation(alike)
    return order


def _scores(scaled: sparse.csr_matrix, markers: np.ndarray) -> np.ndarray:
    """Mean activity of each type's markers, less that of all types' [A, K].

    Depth raises all of them alike.
    """
    means = (scaled @ markers) / np.maximum(markers.sum(axis=0), 1)
    return means - means.mean(axis=1, keepdims=True)


def _auroc(scores: np.ndarray, called: np.ndarray) -> list[float]:
    """Of each type's score [A, K], for cells called so against the others; NaN without either."""
    from scipy.stats import rankdata

    found = []
    for k, column in enumerate(scores.T):
        inside = called == k
        n, others = int(inside.sum()), int((~inside).sum())
        wins = rankdata(column)[inside].sum() - n * (n + 1) / 2
        found.append(wins / (n * others) if n and others else np.nan)
    return found


def _dots(
    active: sparse.csr_matrix,
    present: sparse.csr_matrix,
    genes: np.ndarray,
    markers: dict[str, np.ndarray],
    called: np.ndarray,
) -> pd.DataFrame:
    """The best markers of each type in the cells called each type; see `MarkerCheck.dots`."""
    place = {name: column for column, name in enumerate(genes)}
    numbers = np.bincount(called[called >= 0], minlength=len(markers))
    # Means of few cells lie far out, and each gene's scale goes from its least mean to its largest.
    fewest = RARE_TYPE_CELLS if np.sum(numbers >= RARE_TYPE_CELLS) > 1 else 1
    drawn = [k for k in range(len(markers)) if numbers[k] >= fewest]
    names = list(markers)
    shown = [(names[k], gene, place[gene]) for k in drawn for gene in markers[names[k]][:SHOWN]]
    columns = [column for *_, column in shown]
    rows = []
    for k in drawn:
        cells, part = names[k], active[called == k][:, columns]
        share = np.asarray(present[called == k][:, columns].sum(axis=0)).ravel() / part.shape[0]
        mean = np.asarray(part.mean(axis=0)).ravel()
        rows += [
            (kind, gene, cells, float(s), float(m))
            for (kind, gene, _), s, m in zip(shown, share, mean, strict=True)
        ]
    return pd.DataFrame(rows, columns=["type", "gene", "cells", "open", "activity"])
