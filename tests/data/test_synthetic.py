from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from scadv_tf.data.datasets import DatasetSource, load_dataset
from scadv_tf.data.gene_activity import link_peaks, peak_intervals
from scadv_tf.data.synthetic import simulate
from scadv_tf.errors import InputError


def equal(first: sparse.csr_matrix, second: sparse.csr_matrix) -> bool:
    return first.shape == second.shape and (first != second).nnz == 0


def test_the_seed_decides_everything():
    first, again, other = (simulate(100, genes=50, seed=s) for s in (1, 1, 2))
    for modality in (0, 1):
        assert equal(first[modality].X, again[modality].X)
        assert first[modality].obs.equals(again[modality].obs)
        assert not equal(first[modality].X, other[modality].X)
    assert first[2].equals(again[2])


def test_blocks_of_cells_change_nothing_but_the_stream_of_numbers(monkeypatch):
    monkeypatch.setattr("scadv_tf.data.synthetic._CELLS_AT_ONCE", 7)
    rna, _, _ = simulate(100, genes=50, seed=1)
    assert rna.shape == (100, 50)
    assert np.diff(rna.X.indptr).min() > 0


@pytest.fixture(scope="module")
def tissue():
    return simulate(600, genes=300, types=5, difficulty=0.4, seed=0, atac_cells=500)


def test_shapes_and_names(tissue):
    rna, atac, genes = tissue
    assert rna.shape == (600, 300) and atac.n_obs == 500
    assert list(rna.var_names) == list(genes["gene"])
    assert set(rna.obs["cell_type"]) == set(atac.obs["cell_type"]) == {"A1", "A2", "A3", "B1", "B2"}
    assert rna.obs_names.is_unique and atac.obs_names.is_unique and atac.var_names.is_unique
    for counts in (rna.X, atac.X):
        assert counts.dtype == np.float32 and (counts.data == np.round(counts.data)).all()


def test_each_gene_counts_its_promoter_and_body_and_no_other_peak(tissue):
    _, atac, genes = tissue
    links = link_peaks(peak_intervals(atac.var), genes, 2000).tocoo()
    counted = {
        (atac.var["gene"].iloc[p], genes["gene"].iloc[g])
        for p, g in zip(links.row, links.col, strict=True)
    }
    assert all(own == gene for own, gene in counted)
    linked = np.zeros(atac.n_vars, dtype=bool)
    linked[links.row] = True
    assert (linked == atac.var["kind"].isin(["promoter", "body"])).all()
    assert (atac.var["kind"] == "promoter").sum() == len(genes)
    assert ((atac.var["gene"] == "") == (atac.var["kind"] == "distal")).all()


def profile(adata) -> np.ndarray:
    """Log mean share of each feature in each type, centred over the types [features, K]."""
    counts, types = adata.X.toarray(), adata.obs["cell_type"]
    means = np.array([counts[types == name].sum(axis=0) for name in sorted(set(types))]).T + 1
    logs = np.log(means / means.sum(axis=0))
    return logs - logs.mean(axis=1, keepdims=True)


@pytest.mark.slow
def test_coupling_is_the_correlation_of_expression_and_accessibility():
    rna, atac, _ = simulate(4000, genes=400, difficulty=0.5, seed=1)
    body = atac.var["kind"] == "body"
    genes = atac.var["gene"][body].to_numpy()
    expression = profile(rna)[rna.var_names.get_indexer(genes)]
    accessibility = profile(atac)[body.to_numpy()]
    coupling = rna.var["coupling"].loc[genes].to_numpy()
    slopes = {
        c: np.sum(expression[coupling == c] * accessibility[coupling == c])
        / np.sum(expression[coupling == c] ** 2)
        for c in (1, 0, -1)
    }
    assert slopes[1] > 0.5 and slopes[-1] < -0.5 and abs(slopes[0]) < 0.25, slopes
    # Unrelated to expression is not the same as flat: those peaks differ between types as well.
    assert accessibility[coupling == 0].var() > 0.7 * accessibility[coupling == 1].var()


def test_distal_peaks_tell_types_apart():
    _, atac, _ = simulate(2000, genes=300, difficulty=0.3, seed=0)
    distal = atac[:, atac.var["kind"] == "distal"]
    rng = np.random.default_rng(0)
    shuffled = distal.copy()
    shuffled.obs["cell_type"] = rng.permutation(distal.obs["cell_type"])
    assert profile(distal).var() > 10 * profile(shuffled).var()


def test_rna_varies_more_than_poisson():
    rna, _, _ = simulate(3000, genes=100, types=2, seed=0)
    of_one_type = rna[rna.obs["cell_type"] == "A1"].X.toarray()
    depth = of_one_type.sum(axis=1, keepdims=True)
    scaled = of_one_type / depth * depth.mean()
    mean, variance = scaled.mean(axis=0), scaled.var(axis=0)
    frequent = mean > 5
    # NB with shape 2: variance = mean + mean^2 / 2
    ratio = (variance - mean)[frequent] / (mean**2 / 2)[frequent]
    assert 0.6 < np.median(ratio) < 1.3


@pytest.mark.parametrize("difficulty, depth", [(0, 5000), (0.5, 632), (1, 80)])
def test_depth_falls_with_difficulty(difficulty, depth):
    _, atac, _ = simulate(1500, genes=300, difficulty=difficulty, seed=0)
    assert np.median(np.asarray(atac.X.sum(axis=1))) == pytest.approx(depth, rel=0.1)


def test_proportions_are_skewed_and_differ_between_the_modalities():
    rna, atac, _ = simulate(3000, genes=50, difficulty=1, seed=0)
    of_rna, of_atac = (a.obs["cell_type"].value_counts(normalize=True) for a in (rna, atac))
    assert of_rna.max() > 3 * of_rna.min()
    assert (of_rna - of_atac.reindex(of_rna.index)).abs().sum() > 0.1


def standardised(counts: sparse.csr_matrix) -> np.ndarray:
    dense = counts.toarray()
    logs = np.log1p(dense / np.maximum(dense.sum(axis=1, keepdims=True), 1) * 1e4)
    return np.clip((logs - logs.mean(axis=0)) / (logs.std(axis=0) + 1e-6), -10, 10)


@pytest.mark.slow
def test_transfer_gets_harder_with_difficulty():
    accuracy = []
    for difficulty in (0, 0.5, 1):
        source = DatasetSource(synthetic_cells=1000, synthetic_difficulty=difficulty, seed=1)
        data, truth = load_dataset("synthetic", source)
        model = LogisticRegression(C=0.01, max_iter=100).fit(
            standardised(data.rna), data.rna_labels
        )
        predicted = np.array(data.types)[model.predict(standardised(data.atac))]
        accuracy.append(np.mean(predicted == truth.labels))
    easy, middle, hard = accuracy
    assert easy > 0.95 and easy > middle + 0.05 and middle > hard + 0.2, accuracy
    assert 0.6 < middle < 0.95 and hard > 1 / 8, accuracy


@pytest.mark.parametrize(
    "bad",
    [{"difficulty": -0.1}, {"difficulty": 1.1}, {"types": 1}, {"cells": 3}, {"atac_cells": 3}],
)
def test_numbers_out_of_range(bad):
    with pytest.raises(InputError, match="no tissue can be simulated"):
        simulate(**bad)
