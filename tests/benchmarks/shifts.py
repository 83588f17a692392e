"""Perturbations of paired data, in which the two modalities differ as they do in real work.

Pure functions of (PairedData, AtacTruth, rng) that return both anew. Types are named at the level
of the known ATAC labels. Cells stay in their order. `grid` names them all but those of whole
lineages, which `of_lineages` does, and those of `odd_samples.py`.

The account of what was matched (``matching``) stays that of the whole data.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from scadv_tf.data.composition import branches
from scadv_tf.data.gene_activity import links_of_genes
from scadv_tf.data.gene_matching import match_features
from scadv_tf.data.labels import UNLABELLED
from scadv_tf.data.normalization import log_normalize
from scadv_tf.data.pairing import AtacTruth, PairedData
from scadv_tf.errors import InputError

Pair = tuple[PairedData, AtacTruth]

LARGEST = 3  # types that are cut one by one
FEWEST_OF_A_TYPE = 5  # RNA cells that a cut leaves of each fine type, so that none vanishes
CUT, RARE, THINNED = 0.1, 0.05, 0.3
SIZES = (1000, 300, 100)
MOSTLY_ALIKE = 0.75  # of the cells of two lineages in both: one of them will do


@dataclass(frozen=True)
class Shift:
    """A named perturbation.

    Attributes
    ----------
    function : (data, truth, rng, *settings) -> (data, truth).
    """

    name: str
    function: Callable[..., Pair]
    settings: tuple = ()

    def apply(self, data: PairedData, truth: AtacTruth, seed: int) -> Pair:
        """The perturbed data; what is drawn depends on the name and the seed alone.

        Raises
        ------
        InputError : fewer than two RNA types are left, or no ATAC cell with a label that counts.
        """
        rng = np.random.default_rng([seed, zlib.crc32(self.name.encode())])
        changed = self.function(data, truth, rng, *self.settings)
        return _checked(self.name, *without_orphans(*changed))


def grid(data: PairedData, truth: AtacTruth) -> list[Shift]:
    """Every perturbation that the data allow; the first, `none`, changes nothing.

    A size is left out where a modality has not more cells, the absence of a type where no other
    label would be left, and the rare half where there is no second type.
    """
    names = largest_types(data, truth)
    found = [Shift("none", lambda data, truth, rng: (data, truth))]

    def add(name: str, function: Callable, *settings) -> None:
        found.append(Shift(name, function, settings))

    for name in names[:LARGEST]:
        add(f"atac_{CUT:.0%}:{name}", cut_atac, (name,), CUT)
    for name in names[:LARGEST]:
        add(f"rna_{CUT:.0%}:{name}", cut_rna, name, CUT)
    for name in names[:LARGEST] if len(names) > 1 else ():
        add(f"atac_absent:{name}", cut_atac, (name,), 0.0)
    if len(names) > 1:
        add(f"atac_half_{RARE:.0%}", cut_atac, tuple(names[1::2]), RARE)
    for cells in SIZES:
        if min(len(data.rna_cells), len(data.atac_cells)) > cells:
            add(f"cells_{cells}", sample_cells, cells)
    add(f"counts_{THINNED:.0%}", thin, THINNED)
    add("genes_50%", halve_genes)
    return found


def of_lineages(data: PairedData, truth: AtacTruth) -> list[Shift]:
    """Samples that lack a lineage in ATAC or in RNA, and sorted ones: of a lineage or type alone.

    Sorted are the lineages, and each of the three largest types.
    """
    found = []

    def add(name: str, function: Callable, *settings) -> None:
        found.append(Shift(name, function, settings))

    known = largest_types(data, truth)
    alone = {(name,): name for name in known[:LARGEST]} if len(known) > 1 else {}
    for labels in lineages(data, truth):
        name = labels[0] if len(labels) == 1 else f"{labels[0]} and {len(labels) - 1} alike"
        add(f"rna_lacks:{name}", lack_in_rna, labels)
        if set(labels) & set(known):
            alone |= {labels: name}
            if not set(known) <= set(labels):
                add(f"atac_lacks:{name}", cut_atac, labels, 0.0)
    for labels, name in alone.items():
        add(f"atac_only:{name}", sort_atac, labels)
    return found


def lineages(data: PairedData, truth: AtacTruth) -> list[tuple[str, ...]]:
    """Known ATAC labels of branches of the tree of RNA types, each by falling number of RNA cells.

    Branches are those that may be lacking, but not such as a label stands for within and outside,
    or that leave fewer than two RNA types, or have most cells in common with a larger one.
    """
    labels = truth.coarsen(data.types)
    cells = np.bincount(data.rna_labels, minlength=len(labels))
    taken: list[np.ndarray] = []
    for branch in branches(log_normalize(data.rna), data.rna_labels):
        inside = np.isin(np.arange(len(labels)), branch)
        split = np.isin(labels[inside], labels[~inside]).any()
        if not split and np.sum(~inside) > 1:
            taken.append(inside)
    found: list[np.ndarray] = []
    for inside in sorted(taken, key=lambda inside: -cells[inside].sum()):
        shared = [cells[inside & other].sum() / cells[inside | other].sum() for other in found]
        if max(shared, default=0) < MOSTLY_ALIKE:
            found.append(inside)
    return [_by_size(labels[inside], cells[inside]) for inside in found]


def _by_size(labels: np.ndarray, cells: np.ndarray) -> tuple[str, ...]:
    names = dict.fromkeys(labels.tolist())
    return tuple(sorted(names, key=lambda name: -cells[labels == name].sum()))


def largest_types(data: PairedData, truth: AtacTruth) -> list[str]:
    """Known ATAC labels that an RNA type stands for, those of the most ATAC cells first."""
    names, cells = np.unique(truth.labels, return_counts=True)
    shared = np.isin(names, truth.coarsen(data.types)) & (names != UNLABELLED)
    order = np.argsort(-cells[shared], kind="stable")
    return names[shared][order].tolist()


def orphans(data: PairedData, truth: AtacTruth) -> np.ndarray:
    """ATAC cells whose known label no RNA type stands for, bool [A]."""
    known = [UNLABELLED, *truth.coarsen(data.types)]
    return ~np.isin(truth.labels, known)


def without_orphans(data: PairedData, truth: AtacTruth) -> Pair:
    """The same cells, the labels of `orphans` taken away: no answer to them could be right."""
    labels = np.where(orphans(data, truth), UNLABELLED, truth.labels)
    return data, dataclasses.replace(truth, labels=labels)


def chosen_cells(data: PairedData, truth: AtacTruth, rna: np.ndarray, atac: np.ndarray) -> Pair:
    """Some cells, given as sorted positions; types without a cell in RNA go."""
    cells = {"rna": rna, "atac": atac}
    codes, labels = np.unique(data.rna_labels[rna], return_inverse=True)
    types = tuple(data.types[code] for code in codes)
    chosen = dataclasses.replace(
        data,
        rna=data.rna[rna],
        atac=data.atac[atac],
        types=types,
        rna_labels=labels.astype(np.int32),
        rna_cells=data.rna_cells[rna],
        atac_cells=data.atac_cells[atac],
        rna_obs=data.rna_obs.iloc[rna],
        atac_obs=data.atac_obs.iloc[atac],
        peaks=None if data.peaks is None else data.peaks[atac],
        batches={
            name: data.batches[name][rows] for name, rows in cells.items() if name in data.batches
        },
    )
    level = {name: coarse for name, coarse in truth.level.items() if name in types}
    return chosen, AtacTruth(truth.labels[atac], level)


def cut_atac(
    data: PairedData,
    truth: AtacTruth,
    rng: np.random.Generator,
    names: tuple[str, ...],
    share: float,
) -> Pair:
    """Some types with a random share of their ATAC cells, of a share above 0 at least one each."""
    kept = ~np.isin(truth.labels, names)
    for name in names:
        cells = np.flatnonzero(truth.labels == name)
        kept[_drawn(cells, share, rng)] = True
    return chosen_cells(data, truth, np.arange(len(data.rna_cells)), np.flatnonzero(kept))


def lack_in_rna(
    data: PairedData, truth: AtacTruth, rng: np.random.Generator, names: tuple[str, ...]
) -> Pair:
    """No RNA cell of some types; their ATAC cells stay, and no answer to them is right."""
    kept = ~np.isin(truth.coarsen(data.types)[data.rna_labels], names)
    return chosen_cells(data, truth, np.flatnonzero(kept), np.arange(len(data.atac_cells)))


def sort_atac(
    data: PairedData, truth: AtacTruth, rng: np.random.Generator, names: tuple[str, ...]
) -> Pair:
    """Some types alone in ATAC, as of sorted cells."""
    cells = np.flatnonzero(np.isin(truth.labels, names))
    return chosen_cells(data, truth, np.arange(len(data.rna_cells)), cells)


def cut_rna(
    data: PairedData, truth: AtacTruth, rng: np.random.Generator, name: str, share: float
) -> Pair:
    """One type with a random share of its RNA cells.

    Of each fine type in it at least five are kept, or all where it has fewer, so that none
    vanishes: these may make it more than the share.
    """
    of_type = truth.coarsen(data.types)[data.rna_labels] == name
    kept = ~of_type
    kept[_drawn(np.flatnonzero(of_type), share, rng)] = True
    for code in np.unique(data.rna_labels[of_type]):
        fine = data.rna_labels == code
        missing = min(FEWEST_OF_A_TYPE, int(fine.sum())) - int(kept[fine].sum())
        if missing > 0:
            kept[rng.choice(np.flatnonzero(fine & ~kept), missing, replace=False)] = True
    return chosen_cells(data, truth, np.flatnonzero(kept), np.arange(len(data.atac_cells)))


def sample_cells(data: PairedData, truth: AtacTruth, rng: np.random.Generator, cells: int) -> Pair:
    """So many random cells of each modality; a type may vanish from RNA thereby."""
    rna, atac = (
        np.sort(rng.choice(len(names), cells, replace=False))
        for names in (data.rna_cells, data.atac_cells)
    )
    return chosen_cells(data, truth, rna, atac)


def thin(data: PairedData, truth: AtacTruth, rng: np.random.Generator, share: float) -> Pair:
    """A shallower sequencing: each count of both modalities is kept with this probability."""
    rna = thinned(data.rna, share, rng)
    data = with_atac(data, lambda counts: thinned(counts, share, rng))
    return dataclasses.replace(data, rna=rna), truth


def with_atac(
    data: PairedData, function: Callable[[sparse.csr_matrix], sparse.csr_matrix]
) -> PairedData:
    """Other counts of the same ATAC cells: what a function makes of those there are.

    Gene activity that is the sum of the peaks is summed anew from the changed peaks; any other is
    changed by itself.
    """
    links = activity_links(data)
    peaks = None if data.peaks is None else function(data.peaks)
    if links is None:
        atac = function(data.atac)
    else:
        atac = sparse.csr_matrix(peaks @ links, dtype=np.float32)
        atac.sort_indices()
    return dataclasses.replace(data, atac=atac, peaks=peaks)


def thinned(
    counts: sparse.csr_matrix, share: float | np.ndarray, rng: np.random.Generator
) -> sparse.csr_matrix:
    """Each count kept with this probability; where they are no integers, each value as a whole.

    Parameters
    ----------
    share : of all cells, or of each [cells].
    """
    values = counts.data
    if np.ndim(share):
        share = np.repeat(share, np.diff(counts.indptr))
    if is_counts(counts):
        kept = rng.binomial(values.astype(np.int64), share)
    else:
        kept = np.where(rng.random(len(values)) < share, values, 0)
    parts = kept.astype(np.float32), counts.indices.copy(), counts.indptr.copy()
    found = sparse.csr_matrix(parts, shape=counts.shape)
    found.eliminate_zeros()
    return found


def is_counts(counts: sparse.csr_matrix) -> bool:
    """Whether all values are integers."""
    return np.array_equal(counts.data, np.rint(counts.data))


def activity_links(data: PairedData) -> sparse.csr_matrix | None:
    """Which peaks add up to the activity of which gene [P, G]; None where they do not."""
    lie = data.intervals
    if data.peaks is None or lie is None or lie.genes is None:
        return None
    links, linked = links_of_genes(lie.peaks, lie.genes, lie.upstream)
    match = match_features(pd.DataFrame(index=data.genes), linked[[]], minimum=1)
    if list(match.genes) != list(data.genes):
        return None
    links = sparse.csr_matrix(links @ match.atac_sum)
    # The activity may have come from other peaks than those beside it.
    differs = abs(sparse.csr_matrix(data.peaks @ links) - data.atac)
    return None if differs.nnz and differs.max() > 0 else links


def halve_genes(data: PairedData, truth: AtacTruth, rng: np.random.Generator) -> Pair:
    """A random half of the genes, rounded up, the same in both modalities; peaks stay."""
    genes = len(data.genes)
    kept = np.sort(rng.choice(genes, (genes + 1) // 2, replace=False))
    rna, atac = data.rna[:, kept], data.atac[:, kept]
    return dataclasses.replace(data, rna=rna, atac=atac, genes=data.genes[kept]), truth


def _drawn(cells: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """A random share of the cells; at least one of a share above 0."""
    number = max(round(share * len(cells)), int(share > 0))
    return rng.choice(cells, number, replace=False)


def _checked(name: str, data: PairedData, truth: AtacTruth) -> Pair:
    counted = int(np.sum(truth.labels != UNLABELLED))
    if len(data.types) > 1 and counted:
        return data, truth
    raise InputError(
        what=f"The row '{name}' leaves nothing to transfer.",
        expected="two RNA types or more, and ATAC cells with a label that one of them stands for",
        received=f"{len(data.types)} RNA types, {counted} such ATAC cells",
        advice="Leave this row out by --rows, or give more cells.",
    )
