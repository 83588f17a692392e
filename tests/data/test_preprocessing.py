"""What is learned from cells, against numbers worked out by hand and dense NumPy."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from preprocessing_twins import averaging, logged, scaled, settings, without_peaks
from scipy import sparse
from scipy.stats import chisquare

from scadv_tf.data import normalization
from scadv_tf.data.denoising import averaged_levels
from scadv_tf.data.neighbors import membership
from scadv_tf.data.normalization import (
    LARGEST_VALUE,
    Scale,
    dense,
    joint_components,
    log_normalize,
    variable_genes,
)
from scadv_tf.data.preprocessing import MODALITIES, TrainingCells, fit


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
    neighbors = cells.preprocessor.neighborhood.neighbors
    assert neighbors.shape == (70, 5)
    np.testing.assert_array_equal(neighbors[:, 0], np.arange(70))
    weights = averaging(neighbors)
    np.testing.assert_allclose(cells.neighbor_weights.toarray(), weights, rtol=1e-5)
    expected = np.linalg.matrix_power(weights, hops) @ logged(tissue.atac)
    np.testing.assert_allclose(dense(cells.values["atac"]), expected, atol=1e-4)
    np.testing.assert_allclose(
        cells.batch("atac", slice(None)), scaled(expected, expected), rtol=1e-3, atol=1e-3
    )


def test_averaged_levels_by_hand():
    cells = sparse.csr_matrix(np.array([[4.0], [0.0], [8.0]], dtype=np.float32))
    weights = sparse.csr_matrix(np.array([[0.5, 0.5, 0], [0.25, 0.75, 0], [0.25, 0, 0.75]]))
    levels = averaged_levels(cells, weights, 3)
    found = [dense(level).ravel().tolist() for level in levels]
    assert found == [[4, 0, 8], [2, 1, 7], [1.5, 1.25, 5.75]]


def test_neighbours_are_of_the_same_type(tissue):
    """The peaks tell the types apart, so that an average does not blur them."""
    types = tissue.atac_obs["cell_type"].to_numpy()
    neighbors = fit(tissue, settings()).preprocessor.neighborhood.neighbors
    neighbors = neighbors[:-1]  # the last cell is empty
    agreement = np.mean(types[neighbors[:, 1:]] == types[neighbors[:, :1]])
    assert agreement > 0.9 > 2 * np.mean(types[:, None] == types[None, :])


def test_wide_averages_keep_more_of_the_own_type_than_plain_ones(tissue):
    """With 20 neighbours, more than the smaller types have cells, a plain mean blurs the types."""
    types = tissue.atac_obs["cell_type"].to_numpy()
    cells = fit(tissue, settings(neighbors=20))
    plain = membership(cells.preprocessor.neighborhood.neighbors, 70).toarray() / 20

    def own_type(weights):
        return np.sum(weights * (types[:, None] == types), axis=1)[:-1].mean()

    weighted = cells.neighbor_weights.toarray()
    assert own_type(weighted) > own_type(plain) + 0.05
    assert own_type(weighted @ weighted) > own_type(plain @ plain) + 0.1


@pytest.mark.parametrize("changed", [{"neighbors": 1}, {"smoothing_hops": 0}])
def test_denoising_can_be_turned_off(tissue, changed):
    cells = fit(tissue, settings(**changed))
    neighborhood = cells.preprocessor.neighborhood
    assert neighborhood is None if "neighbors" in changed else neighborhood.levels == ()
    values = logged(tissue.atac)
    np.testing.assert_allclose(
        cells.batch("atac", slice(None)), scaled(values, values), rtol=1e-3, atol=1e-4
    )


def test_one_neighbour_is_no_neighbour(tissue):
    cells = fit(tissue, settings(neighbors=1))
    assert cells.neighbor_weights is None
    rows = np.array([3, 1, 3])
    np.testing.assert_array_equal(cells.partners(rows, np.random.default_rng(0)), rows)


def test_neighbours_are_known_also_where_cells_are_not_averaged(tissue):
    """For the contrastive pairs, the soft labels and the vote: the same as with the averages."""
    found, denoised = (fit(tissue, settings(smoothing_hops=hops)) for hops in (0, 2))
    assert (found.neighbor_weights != denoised.neighbor_weights).nnz == 0
    rows = np.arange(70)
    drawn, expected = (
        cells.partners(rows, np.random.default_rng(0)) for cells in (found, denoised)
    )
    np.testing.assert_array_equal(drawn, expected)
    assert (drawn != rows).any()


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


@pytest.mark.parametrize("modality", MODALITIES)
def test_batches_are_all_cells_in_their_order(tissue, modality, monkeypatch):
    cells = fit(tissue, settings())
    monkeypatch.setattr("scadv_tf.data.preprocessing.CELLS_AT_ONCE", 32)
    found = list(cells.batches(modality))
    assert {len(batch) for batch in found[:-1]} == {32} and 0 < len(found[-1]) <= 32
    np.testing.assert_array_equal(np.concatenate(found), cells.batch(modality, slice(None)))


def test_a_batch_is_the_asked_rows(tissue):
    cells = fit(tissue, settings())
    for modality in MODALITIES:
        everything = cells.batch(modality, slice(None))
        rows = np.array([5, 0, 5, 69])
        np.testing.assert_array_equal(cells.batch(modality, rows), everything[rows])
        assert cells.batch(modality, rows).dtype == np.float32


def test_partners_are_neighbours_and_each_is_drawn(tissue):
    cells = fit(tissue, settings())
    rows, random = np.array([8, 2, 69, 8, 0]), np.random.default_rng(0)
    drawn = np.array([cells.partners(rows, random) for _ in range(200)])
    assert drawn.shape == (200, 5) and drawn.dtype.kind == "i"
    for column, row in enumerate(rows):
        assert set(drawn[:, column]) == set(cells.preprocessor.neighborhood.neighbors[row])
    # The same cell draws anew each time that it is asked for.
    assert (drawn[:, 0] != drawn[:, 3]).any()


def assert_drawn_by_weight(cells: TrainingCells, row: int, random: np.random.Generator):
    """4,000 draws among others agree with the weights of the row, and not with equal ones."""
    other = np.arange(4000) % cells.neighbor_weights.shape[0]
    rows = np.column_stack([other, np.full(4000, row)]).ravel()
    times = np.bincount(cells.partners(rows, random)[1::2], minlength=len(np.unique(other)))
    weights = cells.neighbor_weights[[row]].toarray().ravel().astype(float)
    near = weights > 0
    assert times.sum() == times[near].sum() == 4000
    assert chisquare(times[near], 4000 * weights[near] / weights.sum()).pvalue > 1e-5
    assert chisquare(times[near]).pvalue < 1e-6


def test_partners_are_drawn_by_weight(tissue):
    cells, random = fit(tissue, settings()), np.random.default_rng(0)
    uneven = cells.neighbor_weights.max(axis=1).toarray().ravel() > 0.4
    rows = np.random.default_rng(1).permutation(np.flatnonzero(uneven))[:5]
    assert len(rows) == 5
    for row in rows:
        assert_drawn_by_weight(cells, row, random)


def hand_made_cells() -> TrainingCells:
    """Four cells with two neighbours and themselves, in no order within their rows.

    Their weights sum to a little less than 1, as rounding may have it.
    """
    columns, shares = [1, 0, 3, 2, 1, 0, 0, 3, 2, 3, 1, 2], [1, 6, 3, 5, 3, 2, 2, 2, 6, 7, 2, 1]
    weights = sparse.csr_matrix(
        (np.array(shares, dtype=np.float32) / 10.001, columns, [0, 3, 6, 9, 12]), shape=(4, 4)
    )
    return TrainingCells(None, {}, weights)


@pytest.mark.parametrize("row", range(4))
def test_partners_need_no_order_within_the_rows_of_weights(row):
    cells = hand_made_cells()
    assert not cells.neighbor_weights.has_sorted_indices
    assert_drawn_by_weight(cells, row, np.random.default_rng(row))


@pytest.mark.parametrize(
    "number, expected", [(0.0, [2, 1, 0, 2, 3]), (np.nextafter(1, 0), [0, 3, 2, 0, 2])]
)
def test_the_least_and_the_largest_number_draw_the_first_and_the_last(number, expected):
    class Extreme:
        def random(self, size):
            return np.full(size, number)

    found = hand_made_cells().partners(np.array([1, 0, 2, 1, 3]), Extreme())
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("keep_peaks", [True, False])
def test_empty_cells_give_finite_numbers(tissue, keep_peaks):
    data = tissue if keep_peaks else without_peaks(tissue)
    assert data.atac[-1].nnz == 0
    cells = fit(data, settings())
    assert np.isfinite(cells.batch("atac", slice(None))).all()


def test_a_constant_gene_is_zero_in_the_input(tissue):
    data = dataclasses.replace(tissue, rna=tissue.rna.copy(), atac=tissue.atac.copy())
    for counts in (data.rna, data.atac):
        counts.data[counts.indices == 11] = 0
    cells = fit(data, settings())
    for modality in MODALITIES:
        batch = cells.batch(modality, slice(None))
        assert np.isfinite(batch).all() and not batch[:, 11].any() and batch[:, 12].any()


def test_chunks_and_density_change_nothing(tissue, monkeypatch):
    def everything():
        cells = fit(tissue, settings(smoothing_hops=3))
        return sparse.issparse(cells.values["atac"]), cells.batch("atac", slice(None))

    monkeypatch.setattr(normalization, "DENSE_SHARE", -1)
    is_sparse, first = everything()
    assert not is_sparse
    monkeypatch.setattr(normalization, "DENSE_SHARE", 2)
    monkeypatch.setattr(normalization, "CHUNK", 7)
    is_sparse, second = everything()
    assert is_sparse
    np.testing.assert_allclose(first, second, rtol=1e-3, atol=1e-3)


def test_the_seed_decides_everything(tissue):
    first, again = (fit(tissue, settings(), seed=4) for _ in range(2))
    assert (first.neighbor_weights != again.neighbor_weights).nnz == 0
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
    # All are neighbours of each other and share all of them.
    expected = np.full((atac_cells, atac_cells), 1 / atac_cells)
    np.testing.assert_allclose(cells.neighbor_weights.toarray(), expected, rtol=1e-6)
    assert np.isfinite(cells.batch("atac", slice(None))).all()
