"""Transfer labels from RNA to ATAC cells that share a latent space, by scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scadv_tf.data.rows import Rows, as_rows, blocks, take
from scadv_tf.errors import InputError
from scadv_tf.evaluation.labelled_cells import (
    Labels,
    as_text,
    check_finite,
    check_lengths,
    stratified_sample,
)

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

LABELLED_AT_ONCE = 1 << 15
# The time of an SVM's answers grows with the cells that it learned from: some 4 minutes a million
# cells of width 128 from 10,000, 6 from 20,000, on one core.
MANY_CELLS, LEARNED_FOR_MANY = 100_000, 10_000


def svm_transfer(
    rna_latent: np.ndarray | Rows,
    rna_labels: Labels,
    atac_latent: np.ndarray | Rows,
    seed: int,
    max_cells: int = 20_000,
) -> np.ndarray:
    """Label ATAC cells by an SVM with a radial kernel that was trained on the RNA cells.

    C = 1 and gamma = 1 / (Z x variance of the RNA cells), scikit-learn's defaults. Features are in
    common units, such as components: each standardised by itself, those in which RNA cells hardly
    differ would count as much as the first, and carry ATAC cells away from all RNA cells.

    Parameters
    ----------
    rna_latent : [R, Z], an array or on disk.
    rna_labels : [R] text; cells with '' are not trained on.
    atac_latent : [A, Z], as rna_latent.
    seed : of the stratified subsample that is trained on above `max_cells`, because the time grows
        with the square of the cells.
    max_cells : see seed; at most 10,000 where there are more than 100,000 ATAC cells to label.

    Returns
    -------
    [A] predicted labels, str.

    Raises
    ------
    InputError : if shapes disagree, values are not finite, or there are fewer than two labels.
    """
    from sklearn.svm import SVC

    atac_latent = as_rows(atac_latent)
    if atac_latent.shape[0] > MANY_CELLS:
        max_cells = min(max_cells, LEARNED_FOR_MANY)
    known = _checked(rna_latent, rna_labels, atac_latent, max_cells, seed)
    model = SVC(cache_size=500).fit(*known)
    return _predict(model, atac_latent)


def knn_transfer(
    rna_latent: np.ndarray | Rows,
    rna_labels: Labels,
    atac_latent: np.ndarray | Rows,
    k: int = 30,
    seed: int = 0,
    max_cells: int = 30_000,
) -> np.ndarray:
    """Label ATAC cells by a vote of their k nearest RNA cells.

    Nearest by cosine, the similarity that the contrastive loss trains. Votes are weighted by 1 /
    distance: a plain majority of 30 could never choose a type with fewer than 15 cells in mixed
    company.

    Parameters
    ----------
    k : neighbours; at most all labelled RNA cells vote. For the rest see `svm_transfer`.
    """
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer

    rna_latent, labels = _checked(rna_latent, rna_labels, atac_latent, max_cells, seed)
    # On unit vectors the Euclidean order is the cosine order, and its search is far faster.
    vote = KNeighborsClassifier(min(k, len(labels)), weights="distance", algorithm="brute")
    model = make_pipeline(Normalizer(), vote).fit(rna_latent, labels)
    return _predict(model, atac_latent)


def _predict(model: Pipeline, latent: np.ndarray | Rows) -> np.ndarray:
    """Predict some cells at a time; also no cells at all, which scikit-learn refuses."""
    parts = [model.predict(block) for _, block in blocks(as_rows(latent), LABELLED_AT_ONCE)]
    return np.concatenate([np.empty(0, dtype=str), *parts]).astype(str)


def _checked(
    rna_latent: np.ndarray | Rows,
    rna_labels: Labels,
    atac_latent: np.ndarray | Rows,
    max_cells: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the latent vectors and labels of the RNA cells to learn from, or refuse them all."""
    check_lengths("label transfer", rna_latent=rna_latent, rna_labels=rna_labels)
    rna_latent = check_finite("The latent space of the RNA cells", rna_latent)
    atac_latent = check_finite("The latent space of the ATAC cells", atac_latent)
    if rna_latent.shape[1] != atac_latent.shape[1]:
        raise InputError(
            what="The RNA and the ATAC cells are in different spaces.",
            expected="latent vectors of one width",
            received=f"{rna_latent.shape[1]} and {atac_latent.shape[1]}",
            advice="Encode both modalities by the same model.",
        )
    labels = as_text(rna_labels)
    known = np.flatnonzero(labels != "")
    if len(set(labels[known])) < 2:
        raise InputError(
            what="There is nothing to tell apart.",
            expected="RNA cells of at least two types",
            received=sorted(set(labels[known])),
            advice="Check the label column of the RNA data.",
        )
    cells = known[stratified_sample(labels[known], max_cells, seed)]
    return take(rna_latent, cells), labels[cells].astype(str)
