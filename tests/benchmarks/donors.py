"""Simulated batches: which cells are whose, and what a donor or technology does to their counts.

Pure functions of paired data and a random generator.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
from scipy import sparse
from shifts import activity_links

from scadv_tf.data.pairing import AtacTruth, PairedData
from scadv_tf.modalities import MODALITIES

PROGRAMME_SHARE = 0.7  # correlation of an effect with the difference of two types
UNLIKE = 0.7  # concentration of the Dirichlet distribution that the shares of a type are drawn from
PSEUDO_COUNT = 0.5  # per 10,000


def drawn_batches(
    data: PairedData, truth: AtacTruth, number: int, unlike: bool, rng: np.random.Generator
) -> dict[str, pd.Categorical]:
    """Batches of all cells: of like composition, or with shares of their own of each type.

    Unlike ones lack a type: none of the first type's cells, by name, is in the first batch.
    """
    labels = {"rna": truth.coarsen(data.known_rna_types()), "atac": truth.labels}
    names = [f"donor {i + 1}" for i in range(number)]
    return {
        name: pd.Categorical.from_codes(_codes(labels[name], number, unlike, rng), names)
        for name in MODALITIES
    }


def _codes(labels: np.ndarray, number: int, unlike: bool, rng: np.random.Generator) -> np.ndarray:
    codes = rng.integers(number, size=len(labels))
    for i, label in enumerate(np.unique(labels) if unlike else ()):
        shares = rng.dirichlet(np.full(number, UNLIKE))
        if i == 0:
            shares[0] = 0
        of_type = labels == label
        codes[of_type] = rng.choice(number, of_type.sum(), p=shares / shares.sum())
    return codes


def with_effect(
    data: PairedData,
    batches: dict[str, pd.Categorical],
    deviation: float,
    programme: bool,
    rng: np.random.Generator,
) -> PairedData:
    """The same cells, the counts of each batch times log-normal factors of the genes.

    The factor of a peak is the geometric mean of its genes'; peaks without a gene have their own.

    Parameters
    ----------
    deviation : of the logarithms of the factors.
    programme : whether they follow, by a correlation of 0.7, the difference of two types of RNA,
        as an activation or a stress does; else all genes are drawn alone.
    """
    effects = {
        name: np.stack([_effect(data, deviation, programme, rng) for _ in batches[name].categories])
        for name in MODALITIES
    }
    counts = {"rna": _times(data.rna, batches["rna"].codes, np.exp(effects["rna"]), rng)}
    codes, links = batches["atac"].codes, activity_links(data)
    if data.peaks is not None:
        of_peaks = _of_peaks(effects["atac"], data.peaks.shape[1], links, deviation, rng)
        counts["peaks"] = _times(data.peaks, codes, np.exp(of_peaks), rng)
    if links is None:
        counts["atac"] = _times(data.atac, codes, np.exp(effects["atac"]), rng)
    else:
        counts["atac"] = sparse.csr_matrix(counts["peaks"] @ links, dtype=np.float32)
        counts["atac"].sort_indices()
    return dataclasses.replace(data, **counts)


def _effect(
    data: PairedData, deviation: float, programme: bool, rng: np.random.Generator
) -> np.ndarray:
    """Logarithms of the factors of the genes [G]."""
    found = rng.normal(size=len(data.genes))
    if programme:
        first, second = rng.choice(len(data.types), 2, replace=False)
        sums = [
            np.asarray(data.rna[data.rna_labels == t].sum(axis=0)).ravel() for t in (first, second)
        ]
        levels = [np.log(1e4 * total / total.sum() + PSEUDO_COUNT) for total in sums]
        along = levels[0] - levels[1]
        rest = np.sqrt(1 - PROGRAMME_SHARE**2)
        found = PROGRAMME_SHARE * along / along.std() + rest * found
    return deviation * found


def _of_peaks(
    of_genes: np.ndarray, peaks: int, links, deviation: float, rng: np.random.Generator
) -> np.ndarray:
    """Logarithms of the factors of the peaks [batches, P]."""
    found = deviation * rng.normal(size=(len(of_genes), peaks))
    if links is not None:
        linked = (links > 0).astype(np.float64)
        genes = np.asarray(linked.sum(axis=1)).ravel()
        found = np.where(genes > 0, (linked @ of_genes.T).T / np.maximum(genes, 1), found)
    return found


def _times(
    counts: sparse.csr_matrix, codes: np.ndarray, factors: np.ndarray, rng: np.random.Generator
) -> sparse.csr_matrix:
    """Counts times the factors [batches, features]; whole numbers stay whole, at random."""
    entries = counts.tocoo()
    values, of_entry = entries.data, factors[codes[entries.row], entries.col]
    if np.array_equal(values, np.rint(values)):
        whole = np.floor(of_entry)
        values = values * whole + rng.binomial(values.astype(np.int64), of_entry - whole)
    else:
        values = values * of_entry
    places = entries.row, entries.col
    found = sparse.csr_matrix((values.astype(np.float32), places), shape=counts.shape)
    found.eliminate_zeros()
    return found
