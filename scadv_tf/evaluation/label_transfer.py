"""Transfer labels from RNA to ATAC cells that share a latent space, by scikit-learn."""

from __future__ import annotations

import numpy as np

from scadv_tf.errors import InputError
from scadv_tf.evaluation.metrics import (
    Labels,
    as_text,
    check_finite,
    check_lengths,
    stratified_sample,
)


def svm_transfer(
    rna_latent: np.ndarray,
    rna_labels: Labels,
    atac_latent: np.ndarray,
    seed: int,
    max_cells: int = 20_000,
) -> np.ndarray:
    """Label ATAC cells by an SVM with a radial kernel that was trained on the RNA cells.

    Features are standardised by the RNA cells; C = 1 and gamma = 1 / Z, scikit-learn's defaults
    for such features.

    Parameters
    ----------
    rna_latent : [R, Z].
    rna_labels : [R] text; cells with '' are not trained on.
    atac_latent : [A, Z].
    seed : of the stratified subsample that is trained on above `max_cells`, because the time grows
        with the square of the cells.
    max_cells : see seed.

    Returns
    -------
    [A] predicted labels, str.

    Raises
    ------
    InputError : if shapes disagree, values are not finite, or there are fewer than two labels.
    """
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    rna_latent, labels, atac_latent = _checked(rna_latent, rna_labels, atac_latent)
    cells = stratified_sample(labels, max_cells, seed)
    model = make_pipeline(StandardScaler(), SVC(cache_size=500))
    model.fit(rna_latent[cells], labels[cells])
    return _predict(model, atac_latent)


def knn_transfer(
    rna_latent: np.ndarray, rna_labels: Labels, atac_latent: np.ndarray, k: int = 30
) -> np.ndarray:
    """Label ATAC cells by a vote of their k nearest RNA cells.

    Nearest by cosine, the similarity that the contrastive loss trains. Votes are weighted by 1 /
    distance: a plain majority of 30 could never choose a type with fewer than 15 cells in mixed
    company.

    Parameters
    ----------
    rna_latent : [R, Z].
    rna_labels : [R] text; cells with '' do not vote.
    atac_latent : [A, Z].
    k : neighbours; at most all labelled RNA cells vote.

    Returns
    -------
    [A] predicted labels, str.

    Raises
    ------
    InputError : if shapes disagree, values are not finite, or there are fewer than two labels.
    """
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer

    rna_latent, labels, atac_latent = _checked(rna_latent, rna_labels, atac_latent)
    # On unit vectors the Euclidean order is the cosine order, and its search is far faster.
    vote = KNeighborsClassifier(min(k, len(labels)), weights="distance", algorithm="brute")
    model = make_pipeline(Normalizer(), vote).fit(rna_latent, labels)
    return _predict(model, atac_latent)


def _predict(model, latent: np.ndarray) -> np.ndarray:
    """Predict, also for no cells at all, which scikit-learn refuses."""
    return model.predict(latent).astype(str) if len(latent) else np.empty(0, dtype=str)


def _checked(
    rna_latent: np.ndarray, rna_labels: Labels, atac_latent: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the labelled RNA cells, their labels and the ATAC cells, or refuse them."""
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
    labels = as_text(rna_labels).astype(str)
    known = labels != ""
    if len(set(labels[known])) < 2:
        raise InputError(
            what="There is nothing to tell apart.",
            expected="RNA cells of at least two types",
            received=sorted(set(labels[known])),
            advice="Check the label column of the RNA data.",
        )
    return rna_latent[known], labels[known], atac_latent
