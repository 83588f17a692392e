"""ATAC cells of a type that RNA lacks, called by another name, lie in clusters of their own."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from scadv_tf.data import synthetic
from scadv_tf.data.gene_activity import DEFAULT_UPSTREAM, links_of_genes, peak_intervals
from scadv_tf.evaluation.markers import check_markers
from scadv_tf.evaluation.unmarked_clusters import UnmarkedClusters, _correlation

TYPES = 6  # in lineages of three


@pytest.fixture(scope="module")
def tissue():
    """Counts of genes in RNA and in ATAC, and of peaks; genes; the codes of the types of both."""
    rna, atac, table = synthetic.simulate(900, 500, TYPES, difficulty=0.3, seed=1)
    links, linked = links_of_genes(peak_intervals(atac.var), table, DEFAULT_UPSTREAM)
    activity, genes = sparse.csr_matrix(atac.X @ links), linked.index.to_numpy(dtype=str)
    types = sorted(set(rna.obs["cell_type"]))
    codes = [np.searchsorted(types, adata.obs["cell_type"].astype(str)) for adata in (rna, atac)]
    return rna[:, genes].X, activity, atac.X, genes, *codes


def bare(tissue, kept: np.ndarray, called: np.ndarray, with_peaks: bool = True) -> UnmarkedClusters:
    rna, atac, peaks, genes, given, _ = tissue
    names = tuple(f"type {code}" for code in range(TYPES))
    of = rna[np.flatnonzero(kept)], atac, genes, names, given[kept], called
    return check_markers(*of, peaks=peaks if with_peaks else None).unmarked


@pytest.mark.parametrize("with_peaks", [True, False])
def test_of_right_labels_no_cluster_is_unmarked(tissue, with_peaks):
    given, truth = tissue[-2:]
    assert bare(tissue, given >= 0, truth, with_peaks).share < 0.02


@pytest.mark.parametrize("lost", [0, 4])
def test_cells_of_a_type_that_rna_lacks_are_found_whatever_they_are_called(tissue, lost):
    given, truth = tissue[-2:]
    other = (lost + 3) % TYPES  # of the other lineage
    called = np.where(truth == lost, other, truth)
    found = bare(tissue, given != lost, called)
    assert found.share == pytest.approx(np.mean(truth == lost), abs=0.03)
    assert found.types[0] == other


def test_cells_without_a_name_and_small_clusters_are_not_asked(tissue):
    given, truth = tissue[-2:]
    assert bare(tissue, given >= 0, np.full(len(truth), -1)) == UnmarkedClusters(0.0)
    nothing, few = sparse.csr_matrix((8, 5), dtype=np.float32), np.zeros(8, dtype=int)
    counts = sparse.csr_matrix(np.eye(8, 5, dtype=np.float32) + 1)
    assert UnmarkedClusters.of(nothing, np.ones((5, 2)), counts, few, 0) == UnmarkedClusters(0.0)


def test_the_correlation_by_hand():
    assert _correlation(np.array([1.0, 2, 3]), np.array([2.0, 4, 6])) == pytest.approx(1)
    assert _correlation(np.array([1.0, 2, 3]), np.array([1.0, 3, 2])) == pytest.approx(0.5)
    assert _correlation(np.ones(3), np.array([1.0, 3, 2])) == 0
