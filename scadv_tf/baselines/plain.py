"""No integration at all: a classifier of RNA cells, applied to gene activity as if it were RNA.

Any method that integrates has to beat `svm` and `logistic`, which learn on the genes; `linear` and
`guess` learn on the input of our own network, which has to beat them. Their latent space is the
uncorrected joint PCA, so that its mixing and silhouette are those of no integration.
"""

from __future__ import annotations

import numpy as np

from scadv_tf.baselines.transfer import Transfer, cells_on_components
from scadv_tf.data.labels import HEADLINE
from scadv_tf.data.linear_guess import LinearGuess
from scadv_tf.data.rows import Rows
from scadv_tf.data.training_cells import TrainingCells
from scadv_tf.evaluation.label_transfer import svm_transfer
from scadv_tf.evaluation.labelled_cells import check_lengths

SEEDED = False
MOST_STEPS = 1000  # of the optimizer; the default of 100 stops short of the optimum
# C of `linear`. Components add up genes and so are wide; their weights are small, and C = 1 would
# hardly penalise them.
INVERSE_PENALTY = 0.1


def svm(cells: TrainingCells, rna_types: np.ndarray, seed: int) -> Transfer:
    """An SVM with a radial kernel (scikit-learn, C = 1) on the standardised chosen genes.

    Deterministic up to 20,000 RNA cells; above, it learns from a stratified subsample of so many
    (see `svm_transfer`), which is what the seed draws. There are no probabilities: those of an SVM
    (Platt 1999) take a fit five times over, and need not agree with its labels.
    """
    latent = cells_on_components(cells)
    genes = cells.genes("rna"), cells.genes("atac")
    predicted = svm_transfer(genes[0], rna_types, genes[1], seed)
    return Transfer({HEADLINE: predicted}, probabilities=None, latent=latent)


def logistic(cells: TrainingCells, rna_types: np.ndarray, seed: int) -> Transfer:
    """Multinomial logistic regression (scikit-learn, C = 1) on the standardised chosen genes.

    Deterministic: the loss is convex and its optimizer (L-BFGS) draws nothing.
    """
    del seed
    latent = cells_on_components(cells)
    genes = cells.genes("rna")
    check_lengths("logistic", rna=genes, rna_types=rna_types)
    return _regression(genes, rna_types, cells.genes("atac"), 1.0, latent)


def linear(cells: TrainingCells, rna_types: np.ndarray, seed: int) -> Transfer:
    """Multinomial logistic regression (scikit-learn, C = 0.1) on the joint components.

    These are what our network starts from, so that what the network adds is to be seen against it.
    Deterministic, as `logistic`.
    """
    del seed
    latent, rna, atac = _components("linear", cells, rna_types)
    return _regression(rna, rna_types, atac, INVERSE_PENALTY, latent)


def guess(cells: TrainingCells, rna_types: np.ndarray, seed: int) -> Transfer:
    """The linear guess that takes part in our own answer, with the vote of the neighbours.

    See `scadv_tf.data.linear_guess`; deterministic, as `logistic`.
    """
    del seed
    latent, rna, atac = _components("guess", cells, rna_types)
    names, labels = np.unique(np.asarray(rna_types, dtype=str), return_inverse=True)
    probabilities = LinearGuess.fit(rna, labels, len(names)).voted(atac, cells.neighbors)
    return Transfer({HEADLINE: names[probabilities.argmax(axis=1)]}, probabilities, latent)


def _components(name: str, cells: TrainingCells, rna_types: np.ndarray) -> tuple:
    """The joint components of all cells, of the RNA cells and of the ATAC cells."""
    latent = cells_on_components(cells)
    rna, atac = np.split(latent, [cells.cells("rna")])
    check_lengths(name, rna=rna, rna_types=rna_types)
    return latent, rna, atac


def _regression(
    rna: np.ndarray, rna_types: np.ndarray, atac: np.ndarray, inverse_penalty: float, latent: Rows
) -> Transfer:
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # sums by several threads round differently
        model = LogisticRegression(C=inverse_penalty, max_iter=MOST_STEPS)
        probabilities = model.fit(rna, np.asarray(rna_types, dtype=str)).predict_proba(atac)
    return Transfer({HEADLINE: model.classes_[probabilities.argmax(axis=1)]}, probabilities, latent)
