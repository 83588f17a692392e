"""Marker genes: by hand, and on simulated tissues whose names are right, wrong, or of others."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from scadv_tf.data.gene_activity import DEFAULT_UPSTREAM, links_of_genes, peak_intervals
from scadv_tf.data.synthetic import simulate
from scadv_tf.evaluation import markers
from scadv_tf.evaluation.marker_findings import UNRELATED_GENES, WEAK_DIFFERENCES, WEAK_MARKERS
from scadv_tf.evaluation.markers import check_markers

GENES = np.array([f"g{number}" for number in range(6)])


@pytest.fixture(scope="module")
def tissue():
    """RNA, gene activity, names, type codes of both, types; of 600 cells in each modality."""
    rna, peaks, table = simulate(cells=600, genes=400, types=4, difficulty=0.5, seed=3)
    links, linked = links_of_genes(peak_intervals(peaks.var), table, DEFAULT_UPSTREAM)
    activity, names = sparse.csr_matrix(peaks.X @ links), linked.index.to_numpy(dtype=str)
    codes = [adata.obs["cell_type"].cat.codes.to_numpy() for adata in (rna, peaks)]
    types = tuple(rna.obs["cell_type"].cat.categories)
    return sparse.csr_matrix(rna[:, names].X), activity, names, *codes, types


def checked(tissue, order=slice(None), **changes):
    rna, atac, genes, labels, called, types = tissue
    given = {"types": types, "rna_labels": labels, "called": called} | changes
    return check_markers(rna, sparse.csr_matrix(atac[:, order]), genes, **given)


def test_markers_go_together_where_names_fit(tissue):
    found = checked(tissue)
    assert found.coactivity > 10 and found.by_type["coactivity"].min() > 2
    assert found.by_type["auroc"].min() > 0.8
    assert found.between_types > WEAK_DIFFERENCES
    assert found.by_type["cells"].tolist() == np.bincount(tissue[4]).tolist()


@pytest.mark.parametrize("seed", range(6))
def test_shuffled_names_are_at_chance_whatever_cells_are_called(tissue, seed):
    """Called so by a model that saw the shuffled names: cells that show 'its' markers most."""
    rna, atac, _, labels, *_ = tissue
    order = np.random.default_rng(seed).permutation(atac.shape[1])
    profiles = np.array([rna[labels == k].mean(axis=0).A1 for k in range(4)])
    profiles = (profiles - profiles.mean(axis=0)) / (profiles.std(axis=0) + 1e-3)
    called = np.asarray(atac[:, order] @ profiles.T).argmax(axis=1)
    found = checked(tissue, order, called=called)
    assert found.coactivity < WEAK_MARKERS / 1.5
    assert found.abundance * np.sqrt(found.genes) < UNRELATED_GENES


def test_strangers_are_at_chance(tissue):
    """Markers of one lineage's types do not go together in the cells of another lineage."""
    rna, atac, genes, labels, called, types = tissue
    a_type = np.array([name.startswith("A") for name in types])
    codes = labels[a_type[labels]]
    given = rna[a_type[labels]], atac[~a_type[called]], genes
    found = check_markers(*given, types[:3], codes, np.zeros(np.sum(~a_type[called]), dtype=int))
    assert a_type.tolist() == [True, True, True, False]
    assert abs(found.coactivity) < 4


def test_cells_of_one_type_are_liker_to_it_than_to_all_types(tissue):
    """Whatever they were called; as they are they speak for no type alone."""
    rna, atac, genes, labels, known, types = tissue
    whole = checked(tissue)
    assert whole.by_type["likeness"].max() - whole.likeness < 0.1
    for code, name in enumerate(types):
        cells = atac[known == code]
        others = np.delete(np.arange(4), code)[np.arange(cells.shape[0]) % 3]
        found = check_markers(rna, cells, genes, types, labels, others)
        assert found.by_type["likeness"].idxmax() == name
        assert found.by_type["likeness"].max() - found.likeness > 0.1
        right = check_markers(rna, cells, genes, types, labels, np.full_like(others, code))
        assert right.likeness == pytest.approx(right.by_type["likeness"][name])


def test_the_likeness_to_types_without_rna_cells_is_not_known(tissue):
    rna, atac, genes, labels, called, types = tissue
    found = check_markers(rna, atac, genes, (*types, "none"), labels, called)
    assert found.likeness == pytest.approx(checked(tissue).likeness)
    alone = found.by_type["likeness"]
    assert np.isnan(alone["none"]) and alone[: len(types)].notna().all()
    assert check_markers(rna, atac, genes, types, labels, np.full(600, -1)).likeness is None


def test_the_answer_is_the_same_each_time(tissue):
    assert checked(tissue).coactivity == checked(tissue).coactivity
    assert checked(tissue, seed=1).coactivity != checked(tissue).coactivity


def test_the_variances_of_the_scores_by_hand():
    """Two markers of a type in the same two cells of four; those of the other never together."""
    values = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0.0]])
    sets = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=np.float32)
    # Means of the sets (1, .5), (1, 0), (0, .5), (0, 0), less those of both: ± .25, .5, -.25, 0.
    expected = np.var([0.25, 0.5, -0.25, 0])
    found = markers._variances(sparse.csr_matrix(values), sets)
    assert found == pytest.approx([expected] * 3)


def test_the_area_under_the_curve_by_hand():
    scores = np.array([[3.0, 0], [2, 1], [1, 1], [0, 5]])
    # Of type 0, 3 and 1 against 2 and 0: 3 beats both, 1 beats one. Of type 1, 1 ties, 5 wins.
    found = markers._auroc(scores, np.array([0, 1, 0, 1]))
    assert found == pytest.approx([3 / 4, (1 + 0.5 + 1 + 1) / 4])
    assert np.isnan(markers._auroc(scores[:, :1], np.array([1, 1, 1, 1]))).all()


def test_random_genes_have_about_the_abundance_of_those_that_they_stand_for():
    abundance = np.random.default_rng(0).permutation(1000).astype(float)
    order = markers._swapped(abundance, np.random.default_rng(1))
    assert sorted(order) == list(range(1000)) and np.any(order != np.arange(1000))
    assert np.abs(abundance[order] - abundance).max() < 1000 / markers.TENTHS


def test_types_of_few_cells_are_not_drawn_where_others_have_more():
    """The mean of a handful lies far out, and would be the end of each gene's scale."""
    random = np.random.default_rng(0)
    counts = sparse.csr_matrix(random.poisson(2, (60, 8)).astype(np.float32))
    genes, types = np.array([f"g{i}" for i in range(8)]), ("x", "y", "z")
    given = np.repeat([0, 1, 2], 20)
    for cells, drawn in (([30, 20, 10], "xyz"), ([30, 21, 9], "xy"), ([51, 5, 4], "xyz")):
        called = np.repeat([0, 1, 2], cells)
        dots = check_markers(counts, counts, genes, types, given, called).dots
        assert "".join(dict.fromkeys(dots["cells"])) == drawn
        assert set(dots["type"]) <= set(drawn)


def test_the_dots_are_the_shares_and_means_of_the_called_cells():
    rna = sparse.csr_matrix(np.array([[9, 1, 1, 1, 0, 1], [1, 9, 1, 1, 0, 1]] * 5, dtype=float))
    atac = sparse.csr_matrix(np.array([[2, 0, 1, 1, 1, 0], [2, 2, 0, 0, 0, 0]] * 4, dtype=float))
    called = np.array([0, 1] * 4)
    found = check_markers(rna, atac, GENES, ("x", "y"), np.array([0, 1] * 5), called)
    assert found.genes == 4  # one without a count in RNA, one without in ATAC
    assert found.by_type["markers"].tolist() == ["g0", "g1"]
    dots = found.dots.set_index(["gene", "cells"])
    assert dots["open"].to_dict() == {
        ("g0", "x"): 1, ("g1", "x"): 0, ("g0", "y"): 1, ("g1", "y"): 1
    }  # fmt: skip
    assert dots.loc[("g0", "x"), "activity"] == pytest.approx(np.log1p(1e4 * 2 / 4), rel=1e-5)


def test_without_types_abundances_alone_are_compared(tissue):
    found = check_markers(*tissue[:3])
    assert found.coactivity is None and found.by_type is None
    assert found.abundance == pytest.approx(checked(tissue).abundance)


def test_types_that_no_cell_is_of_are_no_error(tissue):
    rna, atac, genes, labels, called, types = tissue
    kept, unsure = labels != 3, np.where(called == 0, -1, called)
    found = check_markers(rna[kept], atac, genes, types, labels[kept], unsure)
    assert np.isfinite(found.coactivity) and found.by_type["cells"].iloc[0] == 0
    assert np.isnan(found.by_type["auroc"].iloc[0])
    assert found.by_type["markers"].iloc[3] == ""
