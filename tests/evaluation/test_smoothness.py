"""Averaged cells are nearly the same as their nearest; cells with noise of their own are not."""

from __future__ import annotations

import numpy as np
import pytest
from anndata import read_h5ad
from scipy import sparse

from scadv_tf.data.datasets import ASSETS
from scadv_tf.data.neighbors import neighbors_with_self
from scadv_tf.evaluation.data_findings import AVERAGED
from scadv_tf.evaluation.smoothness import likeness_of_nearest


@pytest.fixture(scope="module")
def blood() -> sparse.csr_matrix:
    """RNA counts of 600 real cells."""
    return sparse.csr_matrix(read_h5ad(ASSETS / "pbmc" / "rna.h5ad").X[:600], dtype=np.float32)


def test_counts_and_their_logarithms_are_not_averages(blood):
    logs = blood.log1p()
    assert 0.05 < likeness_of_nearest(blood) < 0.2 and 0.05 < likeness_of_nearest(logs) < 0.2


def test_cells_that_were_averaged_over_their_nearest_are(blood):
    near = neighbors_with_self(np.log1p(blood.toarray()), 5)
    averaged = np.mean([blood[column].toarray() for column in near.T], axis=0)
    assert likeness_of_nearest(sparse.csr_matrix(averaged)) > AVERAGED + 0.1


def test_by_hand():
    """Two cells of each kind, of genes that are 1 in the one kind and 0 in the other."""
    cells = sparse.csr_matrix(np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=np.float32))
    assert likeness_of_nearest(cells) == pytest.approx(1)
    assert likeness_of_nearest(cells[:1]) == 0
    assert likeness_of_nearest(sparse.csr_matrix((3, 2), dtype=np.float32)) == 0
