"""No integration at all: a classifier of RNA cells, applied to gene activity as if it were RNA.

Any method that integrates has to beat `svm` and `logistic`, which learn on the genes; `linear`
learns on the input of our own network, which has to beat it. Their latent space is the uncorrected
joint PCA, so that its mixing and silhouette are those of no integration.
"""

from __future__ import annotations

import numpy as np

from scadv_tf.baselines.transfer import HEADLINE, Transfer, joint_components
from scadv_tf.data.preprocessing import TrainingCells
from scadv_tf.evaluation.label_transfer import svm_transfer
from scadv_tf.evaluation.metrics import check_lengths

SEEDED = False

_MOST_STEPS = 1000  # of the optimizer; the default of 100 stops short of the optimum
# Components add up genes and so are wide; their weights are small and C = 1 hardly penalises them.
_LINEAR_C = 0.1


def svm(cells: TrainingCells, rna_types: np.ndarray, seed: int) -> Transfer:
    """An SVM with a radial kernel (scikit-learn, C = 1) on the standardised chosen genes.

    Deterministic up to 20,000 RNA cells; above, it learns from a stratified subsample of so many
    (see `svm_transfer`), which is what the seed draws. There are no probabilities: those of an SVM
    (Platt 1999) take a fit five times over, and need not agree with its labels.

    Parameters
    ----------
    cells : R RNA and A ATAC cells, preprocessed with a projection.
    rna_types : [R] text.
    seed : of the subsample.

    Raises
    ------
    InputError : if `rna_types` has not R entries or fewer than two types, or there are no
        components.
    """
    latent = joint_components(cells)
    genes = cells.genes("rna"), cells.genes("atac")
    predicted = svm_transfer(genes[0], rna_types, genes[1], seed)
    return Transfer({HEADLINE: predicted}, probabilities=None, latent=latent)


def logistic(cells: TrainingCells, rna_types: np.ndarray, seed: int) -> Transfer:
    """Multinomial logistic regression (scikit-learn, C = 1) on the standardised chosen genes.

    Deterministic: the loss is convex and its optimizer (L-BFGS) draws nothing.

    Parameters
    ----------
    cells : R RNA and A ATAC cells, preprocessed with a projection.
    rna_types : [R] text.
    seed : not used; there so that all baselines are called alike.

    Raises
    ------
    InputError : if `rna_types` has not R entries, or there are no components.
    """
    del seed
    latent = joint_components(cells)
    check_lengths("logistic", rna=range(cells.cells("rna")), rna_types=rna_types)
    return _by_regression(cells.genes("rna"), rna_types, cells.genes("atac"), latent, strength=1.0)


def linear(cells: TrainingCells, rna_types: np.ndarray, seed: int) -> Transfer:
    """Multinomial logistic regression (scikit-learn, C = 0.1) on the joint components.

    These are what our network starts from, so that what the network adds is to be seen against it.
    Deterministic, as `logistic`.

    Parameters
    ----------
    cells : R RNA and A ATAC cells, preprocessed with a projection.
    rna_types : [R] text.
    seed : not used; there so that all baselines are called alike.

    Raises
    ------
    InputError : if `rna_types` has not R entries, or there are no components.
    """
    del seed
    latent = joint_components(cells)
    rna, atac = np.split(latent, [cells.cells("rna")])
    check_lengths("linear", rna=rna, rna_types=rna_types)
    return _by_regression(rna, rna_types, atac, latent, strength=_LINEAR_C)


def _by_regression(
    rna: np.ndarray, rna_types: np.ndarray, atac: np.ndarray, latent: np.ndarray, strength: float
) -> Transfer:
    """What a logistic regression learns from RNA cells [R, D] of known types, told of ATAC cells.

    Parameters
    ----------
    strength : C of scikit-learn, the inverse of the penalty.
    """
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=strength, max_iter=_MOST_STEPS)
    model.fit(rna, np.asarray(rna_types, dtype=str))
    probabilities = model.predict_proba(atac)
    predicted = model.classes_[probabilities.argmax(axis=1)]
    return Transfer({HEADLINE: predicted}, probabilities, latent)
