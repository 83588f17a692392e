"""Scores of a label transfer and of a latent space, as plain numbers.

Cells whose true label is '' (or missing) have no truth; they are left out, never guessed.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from scadv_tf.data.rows import Rows, take
from scadv_tf.errors import InputError
from scadv_tf.evaluation.labelled_cells import (
    Labels,
    as_text,
    check_finite,
    check_lengths,
    coded,
    stratified_sample,
)

ROUNDING = 1e-5
# Neighbours of a million cells among a million take an hour, and a score needs not so many.
SEARCHED = 100_000
SOME_DISTANCES = 64  # MB
FEWEST_OF_A_TYPE = 10  # cells of either modality, of which mixing is told


def label_scores(truth: Labels, predicted: Labels) -> dict | None:
    """Accuracy and F1 scores of predicted labels.

    Macro F1 is the mean over the types that occur in the truth. A prediction outside of them
    counts as a miss of the true type; it adds no term of its own, since the recall of a type with
    no cells is undefined. Weighted F1 weights the same types by their number of cells.

    Parameters
    ----------
    truth : [A] true labels; cells with '' are left out.
    predicted : [A] predicted labels.

    Returns
    -------
    dict with accuracy, macro_f1, weighted_f1 and per_type = {type: {f1, precision, recall, cells}},
    all but cells in [0, 1]; None when no cell has a true label.

    Raises
    ------
    InputError : if the lengths differ.
    """
    from sklearn.metrics import precision_recall_fscore_support

    check_lengths("label_scores", truth=truth, predicted=predicted)
    names, truth, predicted = _known(truth, predicted)
    if not len(truth):
        return None
    types = np.unique(truth)
    precision, recall, f1, cells = precision_recall_fscore_support(
        truth, predicted, labels=types, zero_division=0
    )
    per_type = {
        name: {
            "f1": float(f1[i]),
            "precision": float(precision[i]),
            "recall": float(recall[i]),
            "cells": int(cells[i]),
        }
        for i, name in enumerate(names[types])
    }
    return {
        "accuracy": float(np.mean(truth == predicted)),
        "macro_f1": float(f1.mean()),
        "weighted_f1": float(np.average(f1, weights=cells)),
        "per_type": per_type,
    }


def confusion(truth: Labels, predicted: Labels) -> pd.DataFrame:
    """Count the cells of each pair of true and predicted label.

    When most predicted types also occur in the truth, the two speak of the same level: the columns
    then begin with the types of the truth, so that right answers lie on the diagonal. Otherwise
    (the truth is a coarser grouping) the columns follow the row that holds most of their cells.

    Parameters
    ----------
    truth : [A] true labels; cells with '' are left out.
    predicted : [A] predicted labels.

    Returns
    -------
    DataFrame of int64, rows = types of the truth, columns = predicted types.

    Raises
    ------
    InputError : if the lengths differ.
    """
    check_lengths("confusion", truth=truth, predicted=predicted)
    names, truth, predicted = _known(truth, predicted)
    pairs = np.bincount(truth * len(names) + predicted, minlength=len(names) ** 2)
    counts = pd.DataFrame(pairs.reshape(len(names), -1), index=names, columns=names)
    rows, columns = names[np.unique(truth)].tolist(), names[np.unique(predicted)].tolist()
    counts = counts.loc[rows, columns]
    if 2 * len(set(rows) & set(columns)) >= len(columns):
        order = rows + [name for name in columns if name not in set(rows)]
    else:
        home = counts.to_numpy().argmax(axis=0)
        order = [columns[i] for i in np.argsort(home, kind="stable")]
    return (
        counts.reindex(columns=order, fill_value=0)
        .rename_axis("truth")
        .rename_axis("predicted", axis=1)
    )


def _known(truth: Labels, predicted: Labels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the names, and the codes of both labels of the cells whose truth is known."""
    names, (truth, predicted) = coded(truth, predicted)
    known = (names != "")[truth]
    return names, truth[known], predicted[known]


def silhouette(
    coordinates: np.ndarray | Rows, labels: Labels, seed: int, max_cells: int = 10_000
) -> float | None:
    """Mean silhouette width (Rousseeuw 1987) of labelled cells, Euclidean.

    Parameters
    ----------
    coordinates : [N, D] positions, for example a UMAP or a latent space; of `Rows` on disk, only
        the cells that are looked at are held.
    labels : [N]; cells with '' are left out.
    seed : of the stratified subsample that is taken above `max_cells`, because the time grows with
        the square of the cells.
    max_cells : see seed.

    Returns
    -------
    float in [-1, 1]; None when there are fewer than two labels, or no label with two cells.

    Raises
    ------
    InputError : if the lengths differ or the coordinates are not finite.
    """
    from sklearn import config_context
    from sklearn.metrics import silhouette_score

    check_lengths("silhouette", coordinates=coordinates, labels=labels)
    coordinates, labels = check_finite("The coordinates", coordinates), as_text(labels)
    known = np.flatnonzero(labels != "")
    cells = known[stratified_sample(labels[known], max_cells, seed)]
    if not 2 <= len(set(labels[cells])) < len(cells):
        return None
    # Of a sample, not all distances at once, which would be 400 MB.
    megabytes = SOME_DISTANCES if len(cells) < len(known) else None
    with config_context(working_memory=megabytes):
        return float(silhouette_score(take(coordinates, cells), labels[cells]))


def modality_mixing(
    latent: np.ndarray | Rows,
    modality: Labels,
    types: Labels | None = None,
    k: int = 30,
    max_cells: int = 20_000,
    seed: int = 0,
    searched: int = SEARCHED,
) -> tuple[float, dict[str, float]]:
    """Share of other-modality cells among the k nearest neighbours, over what chance gives.

    For a cell of modality m, chance is the share of the other modality among all other cells. The
    ratio is averaged over the cells of each modality and then over the modalities, so that
    unequal sizes do not matter. Of a type by itself chance is its share in that type, so a type of
    which the modalities have unlike shares can mix perfectly, too.

    Parameters
    ----------
    latent : [N, Z] cells of both modalities, Euclidean.
    modality : [N] name of each cell's modality, two different ones.
    types : [N] known or given; cells with '' are left out, as are types with fewer than 10 cells
        of a modality. None for no types.
    k : neighbours; at most all other cells are used.
    max_cells : neighbours are looked up for at most so many random cells.
    seed : of both choices, and of the order in which cells at equal distance are taken.
    searched : above so many cells, all is told of so many random ones, each modality in its own
        share: the neighbours are those among them, hence of a wider neighbourhood.

    Returns
    -------
    float of all cells: 0 = separated, 1 = perfectly mixed. Not clipped: up to the mean over the
    modalities of (N - 1) / (cells of the other), about 2 for equal sizes, if every neighbour is of
    the other. And the same of each type by itself.

    Raises
    ------
    InputError : if the lengths differ, a value is not finite, or there are not two modalities.
    """
    from sklearn.neighbors import NearestNeighbors

    check_lengths("modality_mixing", latent=latent, modality=modality)
    latent = check_finite("The latent space", latent)
    names, (codes,) = coded(modality)
    if len(names) != 2:
        raise InputError(
            what="Mixing needs cells of two modalities.",
            expected="two different names",
            received=names.tolist(),
            advice="Pass the RNA and the ATAC cells together.",
        )
    cells = stratified_sample(codes, searched, seed)
    # A random order breaks ties fairly; else a collapsed latent space would seem half separated.
    order = np.random.default_rng(seed).permutation(len(cells))
    latent, codes = take(latent, cells)[order], codes[cells][order]
    k = min(k, len(codes) - 1)
    half = max(1, max_cells // 2)
    queries = np.sort(np.concatenate([np.flatnonzero(codes == code)[:half] for code in (0, 1)]))
    index = NearestNeighbors(n_neighbors=k + 1, algorithm="brute").fit(latent)
    neighbours = index.kneighbors(latent[queries], return_distance=False)
    other = codes[_without_self(neighbours, queries)] != codes[queries, None]
    everyone = np.ones(len(codes), dtype=bool)
    overall, by_type = _over_chance(other, queries, codes, everyone), {}
    if types is not None:
        names, (given,) = coded(types)
        given = given[cells][order]
        for number, name in enumerate(names):
            inside = given == number
            asked = codes[queries[inside[queries]]]
            if name != "" and np.bincount(asked, minlength=2).min() >= FEWEST_OF_A_TYPE:
                by_type[str(name)] = _over_chance(other, queries, codes, inside)
    return overall, by_type


def _over_chance(
    other: np.ndarray, queries: np.ndarray, codes: np.ndarray, inside: np.ndarray
) -> float:
    """Share of other-modality neighbours over that among the cells inside, mean of modalities.

    Parameters
    ----------
    other : whether each neighbour is of the other modality [Q, k].
    queries : positions of those cells [Q].
    codes : modality of all cells [N].
    inside : of which cells it is told, bool [N].
    """
    ratios = []
    for code in (0, 1):
        expected = np.sum(codes[inside] != code) / (inside.sum() - 1)
        asked = (codes[queries] == code) & inside[queries]
        ratios.append(other[asked].mean() / expected)
    return float(np.mean(ratios))


def _without_self(neighbours: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Drop each query from its k + 1 neighbours (or the last, where twins crowded it out)."""
    is_self = neighbours == queries[:, None]
    is_self[~is_self.any(axis=1), -1] = True
    return neighbours[~is_self].reshape(len(queries), -1)


def expected_calibration_error(
    confidence: np.ndarray, correct: np.ndarray, bins: int = 15
) -> float | None:
    """Mean gap between confidence and accuracy (Guo et al. 2017, equal-width bins).

    sum over bins b of n_b / n * |accuracy_b - mean confidence_b|.

    Parameters
    ----------
    confidence : [N] in [0, 1], which a sum of probabilities may miss by a rounding error.
    correct : [N] whether the prediction was right.
    bins : bins of equal width over [0, 1].

    Returns
    -------
    float in [0, 1], 0 = a confidence of 0.8 is right in 80 % of the cells; None without cells.

    Raises
    ------
    InputError : if the lengths differ or a confidence is outside of [0, 1].
    """
    check_lengths("expected_calibration_error", confidence=confidence, correct=correct)
    confidence = np.asarray(confidence, dtype=float)
    if not len(confidence):
        return None
    if not ((confidence >= -ROUNDING) & (confidence <= 1 + ROUNDING)).all():
        raise InputError(
            what="A confidence is not a probability.",
            expected="numbers in [0, 1]",
            received=f"{np.nanmin(confidence)} to {np.nanmax(confidence)}, "
            f"{int(np.isnan(confidence).sum())} NaN",
            advice="Pass the largest probability of each cell, not its logits.",
        )
    # Bins are closed on the right, as in the paper; 0 joins the first one.
    bin_of = np.digitize(confidence, np.linspace(0, 1, bins + 1)[1:-1], right=True)
    gap = np.asarray(correct, dtype=float) - confidence
    return float(np.abs(np.bincount(bin_of, weights=gap, minlength=bins)).sum() / len(gap))
