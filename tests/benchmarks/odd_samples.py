"""Samples that are odd in other ways than composition, as further rows beside those of `shifts.py`.

`of_odd` names them. Numbers that are no counts, as of scaled gene activity, are moved or taken away
each as a whole.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import sparse
from shifts import LARGEST, Pair, Shift, chosen_cells, is_counts, largest_types, thinned, with_atac

from scadv_tf.data.pairing import AtacTruth, PairedData

DOUBLETS, AMBIENT, MISLABELLED, SHALLOW = 0.3, 0.5, 0.2, 0.2
PARTS = 4
PART = ", part "  # between a type and the number of its part


def of_odd(data: PairedData, truth: AtacTruth) -> list[Shift]:
    """Doublets, ambient counts, wrong RNA labels, RNA types in parts, and depth by type.

    Depth is that of each of the three largest types, in one modality; of RNA also with the other
    types brought to that depth, as the diagnosis advises.
    """
    found = [
        Shift(f"atac_doublets_{DOUBLETS:.0%}", mix_in_doublets, (DOUBLETS,)),
        Shift(f"atac_ambient_{AMBIENT:.0%}", blur, (AMBIENT,)),
        Shift(f"rna_labels_{MISLABELLED:.0%}", mislabel, (MISLABELLED,)),
        Shift(f"rna_split_{PARTS}", split_types, (PARTS,)),
    ]
    names = largest_types(data, truth)[:LARGEST]
    found += [Shift(f"atac_depth:{name}", thin_atac_type, (name, SHALLOW)) for name in names]
    for kind, function in (("rna_depth", thin_rna_type), ("rna_evened", thin_rna_evenly)):
        found += [Shift(f"{kind}:{name}", function, (name, SHALLOW)) for name in names]
    return found


def mix_in_doublets(
    data: PairedData, truth: AtacTruth, rng: np.random.Generator, share: float
) -> Pair:
    """A share of the ATAC cells become the sum of themselves and another one, of any type.

    The label stays that of the first.
    """
    cells = len(data.atac_cells)
    first = rng.choice(cells, round(share * cells), replace=False)
    second = (first + rng.integers(1, cells, len(first))) % cells
    pairs = sparse.csr_matrix(
        (np.ones(len(first), np.float32), (first, second)), shape=(cells, cells)
    )
    return with_atac(data, lambda counts: _canonical(counts + pairs @ counts)), truth


def blur(data: PairedData, truth: AtacTruth, rng: np.random.Generator, share: float) -> Pair:
    """Each count of ATAC falls, with this probability, on a feature drawn from the mean profile.

    So each cell keeps its depth.
    """
    return with_atac(data, lambda counts: _blurred(counts, share, rng)), truth


def _blurred(
    counts: sparse.csr_matrix, share: float, rng: np.random.Generator
) -> sparse.csr_matrix:
    # One entry a count, or a value where they are no counts.
    times = counts.data.astype(np.int64) if is_counts(counts) else np.ones(counts.nnz, np.int64)
    values = np.repeat((counts.data / np.maximum(times, 1)).astype(np.float32), times)
    features = np.repeat(counts.indices, times)
    rows = np.repeat(np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr)), times)
    moved = np.flatnonzero(rng.random(len(values)) < share)
    profile = np.asarray(counts.sum(axis=0, dtype=np.float64)).ravel()
    features[moved] = rng.choice(counts.shape[1], len(moved), p=profile / profile.sum())
    return _canonical(sparse.csr_matrix((values, (rows, features)), shape=counts.shape))


def mislabel(data: PairedData, truth: AtacTruth, rng: np.random.Generator, share: float) -> Pair:
    """A share of the RNA cells bear the label of another type, each as likely."""
    labels, types = data.rna_labels.copy(), len(data.types)
    wrong = rng.choice(len(labels), round(share * len(labels)), replace=False)
    labels[wrong] = (labels[wrong] + rng.integers(1, types, len(wrong))) % types
    every = np.arange(len(labels)), np.arange(len(data.atac_cells))
    return chosen_cells(dataclasses.replace(data, rna_labels=labels), truth, *every)


def split_types(data: PairedData, truth: AtacTruth, rng: np.random.Generator, parts: int) -> Pair:
    """Each RNA type in so many parts at random, as by clusters too fine; a part counts as its type.

    ATAC cells keep their labels, and those of a part's type are right for it.
    """
    names = [f"{name}{PART}{part + 1}" for name in data.types for part in range(parts)]
    level = dict(zip(names, np.repeat(truth.coarsen(data.types), parts).tolist(), strict=True))
    drawn = data.rna_labels * parts + rng.integers(0, parts, len(data.rna_labels))
    types, labels = np.unique(np.array(names)[drawn], return_inverse=True)
    data = dataclasses.replace(
        data, types=tuple(types.tolist()), rna_labels=labels.astype(np.int32)
    )
    return data, AtacTruth(truth.labels, {name: level[name] for name in data.types})


def type_of(name: str) -> str:
    """The type that a part is of; any other name as it is."""
    return name.partition(PART)[0]


def thin_atac_type(
    data: PairedData, truth: AtacTruth, rng: np.random.Generator, name: str, share: float
) -> Pair:
    """The ATAC cells of one type keep each count with this probability; all others stay."""
    kept = np.where(truth.labels == name, share, 1.0)
    return with_atac(data, lambda counts: thinned(counts, kept, rng)), truth


def thin_rna_type(
    data: PairedData, truth: AtacTruth, rng: np.random.Generator, name: str, share: float
) -> Pair:
    """The RNA cells of one type keep each count with this probability; all others stay."""
    of_type = truth.coarsen(data.types)[data.rna_labels] == name
    kept = np.where(of_type, share, 1.0)
    return dataclasses.replace(data, rna=thinned(data.rna, kept, rng)), truth


def thin_rna_evenly(
    data: PairedData, truth: AtacTruth, rng: np.random.Generator, name: str, share: float
) -> Pair:
    """The same, and no RNA cell keeps more counts than a typical one of that type."""
    data, truth = thin_rna_type(data, truth, rng, name, share)
    depth = np.asarray(data.rna.sum(axis=1)).ravel()
    typical = np.median(depth[truth.coarsen(data.types)[data.rna_labels] == name])
    kept = np.minimum(1, typical / np.maximum(depth, 1))
    return dataclasses.replace(data, rna=thinned(data.rna, kept, rng)), truth


def _canonical(counts: sparse.spmatrix) -> sparse.csr_matrix:
    found = sparse.csr_matrix(counts, dtype=np.float32)
    found.sum_duplicates()
    return found
