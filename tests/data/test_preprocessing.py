"""What is learned from cells, against numbers worked out by hand and dense NumPy."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from preprocessing_twins import averaging, logged, scaled, settings, without_peaks
from scipy import sparse

from scadv_tf.data import normalization
from scadv_tf.data.denoising import averaged_levels
from scadv_tf.data.normalization import (
    LARGEST_VALUE,
    Scale,
    dense,
    joint_components,
    log_normalize,
    variable_genes,
)
from scadv_tf.data.preprocessing import MODALITIES, fit


def test_log_normalisation_by_hand():
    counts = sparse.csr_matrix([[1.0, 0, 3], [0, 0, 0], [0, 5, 0]], dtype=np.float32)
    found = log_normalize(counts)
    expected = np.log([[2501, 1, 7501], [1, 1, 1], [1, 10001, 1]])
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-6)
    assert sparse.issparse(found) and found.dtype == np.float32
    assert counts.data.tolist() == [1, 3, 5]


def test_the_depth_of_a_cell_does_not_matter():
    counts = sparse.csr_matrix(np.random.default_rng(0).poisson(1.0, size=(6, 20)).astype(float))
    deeper = sparse.diags(np.arange(1.0, 7.0)) @ counts
    np.testing.assert_allclose(
        log_normalize(deeper).toarray(), log_normalize(counts).toarray(), rtol=1e-6
    )


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_scale_by_hand(form):
    values = form(np.array([[1.0, 5.0, 0.0], [3.0, 5.0, 0.0], [5.0, 5.0, 6.0]]))
    scale = Scale.of(values)
    np.testing.assert_allclose(scale.mean, [3, 5, 2])
    np.testing.assert_allclose(scale.deviation, [np.sqrt(8 / 3), 1, np.sqrt(8)], rtol=1e-6)
    found = scale.apply(np.array([[3.0, 5.0, 2 + np.sqrt(8)], [1000.0, 7.0, -1000.0]]))
    np.testing.assert_allclose(found, [[0, 0, 1], [LARGEST_VALUE, 2, -LARGEST_VALUE]], atol=1e-6)
    assert found.dtype == scale.mean.dtype == scale.deviation.dtype == np.float32


def planted(seed: int, varying: np.ndarray) -> sparse.csr_matrix:
    """Counts of 300 cells x 200 genes of many levels; some genes are on in half the cells only."""
    random = np.random.default_rng(seed)
    rates = np.tile(random.permutation(np.geomspace(1, 30, 200)), (300, 1))
    on = random.random((300, len(varying))) < 0.5
    rates[:, varying] *= np.where(on, 1.9, 0.1)
    return sparse.csr_matrix(random.poisson(rates).astype(np.float32))


def test_planted_variable_genes_are_found_in_their_old_order():
    varying = np.sort(np.random.default_rng(5).permutation(200)[:12])
    found = variable_genes(planted(0, varying), planted(1, varying), 12)
    np.testing.assert_array_equal(found, varying)


@pytest.mark.parametrize("seed", range(5))
def test_genes_that_vary_in_both_modalities_come_first(seed):
    both, rna_only, atac_only = np.random.default_rng(seed).permutation(200)[:24].reshape(3, 8)
    rna = planted(seed, np.concatenate([both, rna_only]))
    atac = planted(seed + 100, np.concatenate([both, atac_only]))
    found = variable_genes(rna, atac, 8)
    assert len(set(found) & set(both)) >= 6  # one modality alone would give 4
    np.testing.assert_array_equal(variable_genes(atac, rna, 8), found)


@pytest.mark.parametrize("count", [0, 200, 1000])
def test_all_genes_are_kept_where_so_many_are_asked_for(count):
    counts = planted(0, np.arange(5))
    np.testing.assert_array_equal(variable_genes(counts, counts, count), np.arange(200))


@pytest.mark.parametrize("count", [1, 17, 150])
def test_genes_without_counts_come_last(count):
    counts = planted(0, np.arange(5)).tolil()
    counts[:, 100:130] = 0
    found = variable_genes(counts.tocsr(), counts.tocsr(), count)
    assert len(set(found)) == count and not set(found) & set(range(100, 130))


def test_joint_components_are_the_leading_eigenvectors_of_the_mean():
    random = np.random.default_rng(0)
    covariances = [np.cov(random.normal(size=(9, 40)) * np.arange(1, 10)[:, None]) for _ in "ab"]
    values, vectors = np.linalg.eigh((covariances[0] + covariances[1]) / 2)
    found = joint_components(covariances, 3)
    assert found.shape == (9, 3) and found.dtype == np.float32
    similarity = np.abs(found.T @ vectors[:, ::-1][:, :3])
    np.testing.assert_allclose(similarity, np.eye(3), atol=1e-4)
    np.testing.assert_array_equal(joint_components(covariances, 3), found)


def test_there_are_fewer_joint_components_than_genes():
    assert joint_components([np.eye(4), np.diag([4.0, 3.0, 2.0, 1.0])], 50).shape == (4, 3)


def test_the_components_of_a_fit_are_those_of_its_input(tissue):
    cells = fit(tissue, settings())
    rna, atac = (cells.batch(name, slice(None)).astype(float) for name in MODALITIES)
    vectors = np.linalg.eigh(rna.T @ rna / len(rna) + atac.T @ atac / len(atac))[1][:, ::-1][:, :7]
    found = cells.preprocessor.components
    np.testing.assert_allclose(found @ found.T, vectors @ vectors.T, atol=1e-4)


def test_both_modalities_weigh_the_same_whatever_their_numbers_of_cells(tissue):
    def components(data):
        return fit(data, settings(neighbors=1)).preprocessor.components

    more = dataclasses.replace(tissue, rna=sparse.vstack([tissue.rna] * 5, format="csr"))
    found, expected = components(more), components(tissue)
    np.testing.assert_allclose(np.abs(np.sum(found * expected, axis=0)), 1, atol=1e-4)


def test_the_input_of_rna_is_its_z_scores(tissue):
    cells = fit(tissue, settings())
    values = logged(tissue.rna)
    np.testing.assert_allclose(
        cells.batch("rna", slice(None)), scaled(values, values), rtol=1e-3, atol=1e-4
    )
    assert cells.cells("rna") == 90 and cells.cells("atac") == 70


@pytest.mark.parametrize("hops", [1, 2, 3])
@pytest.mark.parametrize("keep_peaks", [True, False])
def test_denoised_cells_are_averages_of_averages(tissue, hops, keep_peaks):
    data = tissue if keep_peaks else without_peaks(tissue)
    cells = fit(data, settings(smoothing_hops=hops))
    assert cells.neighbors.shape == (70, 5)
    np.testing.assert_array_equal(cells.neighbors[:, 0], np.arange(70))
    weights = averaging(cells.neighbors, 70)
    expected = np.linalg.matrix_power(weights, hops) @ logged(tissue.atac)
    np.testing.assert_allclose(dense(cells.values["atac"]), expected, atol=1e-4)
    np.testing.assert_allclose(
        cells.batch("atac", slice(None)), scaled(expected, expected), rtol=1e-3, atol=1e-3
    )


def test_averaged_levels_by_hand():
    cells = sparse.csr_matrix(np.array([[4.0], [0.0], [8.0]], dtype=np.float32))
    levels = averaged_levels(cells, np.array([[0, 1], [1, 0], [2, 0]]), 3)
    found = [dense(level).ravel().tolist() for level in levels]
    assert found == [[4, 0, 8], [2, 2, 6], [2, 2, 4]]


def test_neighbours_are_of_the_same_type(tissue):
    """The peaks tell the types apart, so that an average does not blur them."""
    types = tissue.atac_obs["cell_type"].to_numpy()
    neighbors = fit(tissue, settings()).neighbors[:-1]  # the last cell is empty
    agreement = np.mean(types[neighbors[:, 1:]] == types[neighbors[:, :1]])
    assert agreement > 0.9 > 2 * np.mean(types[:, None] == types[None, :])


@pytest.mark.parametrize("changed", [{"neighbors": 1}, {"smoothing_hops": 0}])
def test_denoising_can_be_turned_off(tissue, changed):
    cells = fit(tissue, settings(**changed))
    assert cells.neighbors is None and cells.preprocessor.neighborhood is None
    values = logged(tissue.atac)
    np.testing.assert_allclose(
        cells.batch("atac", slice(None)), scaled(values, values), rtol=1e-3, atol=1e-4
    )
    rows = np.array([3, 1, 3])
    np.testing.assert_array_equal(cells.partners(rows, np.random.default_rng(0)), rows)


def test_the_projection_can_be_left_out(tissue):
    assert fit(tissue, settings(projection_size=0)).preprocessor.components is None


def test_only_the_chosen_genes_are_used(tissue):
    cells = fit(tissue, settings(variable_genes=50))
    chosen = variable_genes(tissue.rna, tissue.atac, 50)
    assert len(chosen) == 50
    np.testing.assert_array_equal(cells.preprocessor.genes, tissue.genes[chosen])
    values = logged(tissue.rna[:, chosen])
    np.testing.assert_allclose(
        cells.batch("rna", slice(None)), scaled(values, values), rtol=1e-3, atol=1e-4
    )


def test_a_batch_is_the_asked_rows(tissue):
    cells = fit(tissue, settings())
    for modality in MODALITIES:
        everything = cells.batch(modality, slice(None))
        rows = np.array([5, 0, 5, 69])
        np.testing.assert_array_equal(cells.batch(modality, rows), everything[rows])
        assert cells.batch(modality, rows).dtype == np.float32


def test_partners_are_neighbours_and_each_is_drawn(tissue):
    cells = fit(tissue, settings())
    rows, random = np.array([8, 2]), np.random.default_rng(0)
    drawn = np.array([cells.partners(rows, random) for _ in range(100)])
    for column, row in enumerate(rows):
        assert set(drawn[:, column]) == set(cells.neighbors[row])


@pytest.mark.parametrize("keep_peaks", [True, False])
def test_empty_cells_give_finite_numbers(tissue, new_tissue, keep_peaks):
    data = tissue if keep_peaks else without_peaks(tissue)
    assert data.atac[-1].nnz == 0
    cells = fit(data, settings())
    assert np.isfinite(cells.batch("atac", slice(None))).all()
    empty = [
        sparse.csr_matrix((2, c.shape[1]), dtype=np.float32) for c in (data.atac, tissue.peaks)
    ]
    for peaks in (empty[1] if keep_peaks else None, None):
        found = cells.preprocessor.transform(empty[0], "atac", peaks)
        assert found.shape == (2, 120) and np.isfinite(found).all()
    assert np.isfinite(cells.preprocessor.transform(empty[0], "rna")).all()


def test_a_constant_gene_is_zero_in_the_input(tissue):
    data = dataclasses.replace(tissue, rna=tissue.rna.copy(), atac=tissue.atac.copy())
    for counts in (data.rna, data.atac):
        counts.data[counts.indices == 11] = 0
    cells = fit(data, settings())
    for modality in MODALITIES:
        batch = cells.batch(modality, slice(None))
        assert np.isfinite(batch).all() and not batch[:, 11].any() and batch[:, 12].any()


def test_chunks_and_density_change_nothing(tissue, new_tissue, monkeypatch):
    def everything():
        cells = fit(tissue, settings(smoothing_hops=3))
        new = cells.preprocessor.transform(new_tissue.atac, "atac", new_tissue.peaks)
        kinds = sparse.issparse(cells.values["atac"])
        return kinds, cells.batch("atac", slice(None)), new

    monkeypatch.setattr(normalization, "DENSE_SHARE", -1)
    is_sparse, *dense = everything()
    assert not is_sparse
    monkeypatch.setattr(normalization, "DENSE_SHARE", 2)
    monkeypatch.setattr(normalization, "CHUNK", 7)
    is_sparse, *other = everything()
    assert is_sparse
    for first, second in zip(dense, other, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-3, atol=1e-3)


def test_the_seed_decides_everything(tissue):
    first, again = (fit(tissue, settings(), seed=4) for _ in range(2))
    np.testing.assert_array_equal(first.neighbors, again.neighbors)
    np.testing.assert_array_equal(first.preprocessor.components, again.preprocessor.components)
    np.testing.assert_array_equal(
        first.batch("atac", slice(None)), again.batch("atac", slice(None))
    )


def test_fitting_leaves_the_data_as_they_were(tissue):
    before = [counts.copy() for counts in (tissue.rna, tissue.atac, tissue.peaks)]
    fit(tissue, settings())
    for old, new in zip(before, (tissue.rna, tissue.atac, tissue.peaks), strict=True):
        assert (old != new).nnz == 0


@pytest.mark.parametrize("atac_cells", [1, 2, 3])
@pytest.mark.parametrize("keep_peaks", [True, False])
def test_very_few_cells_work(tissue, atac_cells, keep_peaks):
    data = dataclasses.replace(
        tissue,
        rna=tissue.rna[:3],
        atac=tissue.atac[:atac_cells],
        peaks=tissue.peaks[:atac_cells] if keep_peaks else None,
    )
    cells = fit(data, settings(projection_size=50, neighbor_pca_size=50, lsi_size=15))
    assert cells.neighbors is None or cells.neighbors.shape == (atac_cells, atac_cells)
    assert np.isfinite(cells.batch("atac", slice(None))).all()
    again = cells.preprocessor.transform(data.atac, "atac", data.peaks)
    assert again.shape == (atac_cells, 120) and np.isfinite(again).all()
