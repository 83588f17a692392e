"""What is learned from cells, against numbers worked out by hand and dense NumPy."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from preprocessing_twins import averaging, logged, scaled, settings, without_peaks
from scipy import sparse
from threadpoolctl import threadpool_info, threadpool_limits

from scadv_tf.data import normalization, preprocessing
from scadv_tf.data.normalization import (
    LARGEST_VALUE,
    Scale,
    dense,
    joint_components,
    log_normalize,
    signed,
    unit_rows,
    variable_genes,
)
from scadv_tf.data.preprocessing import fit
from scadv_tf.data.preprocessor import Preprocessor
from scadv_tf.data.rows import DiskRows
from scadv_tf.errors import InputError
from scadv_tf.modalities import MODALITIES


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


@pytest.mark.parametrize("count", [0, 1, 17, 150, 1000])
@pytest.mark.parametrize("modality", [0, 1])
def test_genes_without_counts_in_one_modality_are_left_out(count, modality):
    counts = [planted(seed, np.arange(5)).tolil() for seed in range(2)]
    counts[modality][:, 100:130] = 0
    found = variable_genes(*(each.tocsr() for each in counts), count)
    assert len(set(found)) == min(count or 170, 170)
    assert not set(found) & set(range(100, 130))


def test_genes_of_one_modality_alone_change_nothing(tissue, caplog):
    """Neither what the cells look like, nor what new ones are asked for."""
    before = fit(tissue, settings())
    random = np.random.default_rng(0)
    further = sparse.csr_matrix(random.poisson(2.0, size=(tissue.rna.shape[0], 60)), dtype="f4")
    nothing = sparse.csr_matrix((tissue.atac.shape[0], 60), dtype="f4")
    wider = dataclasses.replace(
        tissue,
        genes=np.concatenate([tissue.genes, [f"further{i}" for i in range(60)]]),
        rna=sparse.hstack([tissue.rna, further], format="csr"),
        atac=sparse.hstack([tissue.atac, nothing], format="csr"),
    )
    with caplog.at_level("WARNING"):
        after = fit(wider, settings())
    assert "60 of" in caplog.text and "left out" in caplog.text
    np.testing.assert_array_equal(after.preprocessor.genes, before.preprocessor.genes)
    for modality in ("rna", "atac"):
        np.testing.assert_array_equal(after.features[modality], before.features[modality])


def test_no_gene_of_both_modalities_is_refused(tissue):
    half = np.arange(tissue.rna.shape[1]) < tissue.rna.shape[1] // 2
    rna, atac = (
        sparse.csr_matrix(counts @ sparse.diags(np.float32(kept)))
        for counts, kept in ((tissue.rna, half), (tissue.atac, ~half))
    )
    with pytest.raises(InputError, match="Too few genes have counts in both modalities"):
        fit(dataclasses.replace(tissue, rna=rna, atac=atac, peaks=None), settings())


def test_joint_components_are_the_leading_eigenvectors_of_the_mean():
    random = np.random.default_rng(0)
    covariances = [np.cov(random.normal(size=(9, 40)) * np.arange(1, 10)[:, None]) for _ in "ab"]
    values, vectors = np.linalg.eigh((covariances[0] + covariances[1]) / 2)
    found = joint_components(covariances, 3)
    assert found.shape == (9, 3) and found.dtype == np.float32
    similarity = np.abs(found.T @ vectors[:, ::-1][:, :3])
    np.testing.assert_allclose(similarity, np.eye(3), atol=1e-4)
    np.testing.assert_array_equal(joint_components(covariances, 3), found)


def test_unit_rows_by_hand():
    found = unit_rows(np.array([[3.0, 4.0], [0.0, 0.0], [-2.0, 0.0]]))
    np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0], [-1, 0]], rtol=1e-6)
    assert found.dtype == np.float32


def test_directions_have_a_sign_by_hand():
    found = signed(np.array([[1.0, -3, 0], [-2, 2, 0]]))
    np.testing.assert_array_equal(found, [[-1, 3, 0], [2, -2, 0]])


def test_there_are_fewer_joint_components_than_genes():
    assert joint_components([np.eye(4), np.diag([4.0, 3.0, 2.0, 1.0])], 50).shape == (4, 3)


def test_the_components_of_a_fit_are_those_of_its_input(tissue):
    cells = fit(tissue, settings())
    rna, atac = (cells.genes(name).astype(float) for name in MODALITIES)
    vectors = np.linalg.eigh(rna.T @ rna / len(rna) + atac.T @ atac / len(atac))[1][:, ::-1][:, :7]
    found = cells.preprocessor.components
    np.testing.assert_allclose(found @ found.T, vectors @ vectors.T, atol=1e-4)


def test_sums_are_made_by_one_thread_whatever_is_allowed(tissue, monkeypatch):
    """Several round differently, and then cells between two types change neighbours."""
    used, learn = [], preprocessing.learn

    def watched(*given):
        pools = threadpool_info()
        used.extend(pool["num_threads"] for pool in pools if pool["user_api"] == "blas")
        return learn(*given)

    monkeypatch.setattr(preprocessing, "learn", watched)
    with threadpool_limits(2, user_api="blas"):
        fit(tissue, settings())
    assert used and set(used) == {1}


def test_both_modalities_weigh_the_same_whatever_their_numbers_of_cells(tissue):
    def components(data):
        return fit(data, settings(neighbors=1)).preprocessor.components

    rna = sparse.vstack([tissue.rna] * 5, format="csr")
    more = dataclasses.replace(tissue, rna=rna, rna_labels=np.tile(tissue.rna_labels, 5))
    found, expected = components(more), components(tissue)
    np.testing.assert_allclose(np.abs(np.sum(found * expected, axis=0)), 1, atol=1e-4)


def test_the_input_of_rna_is_its_z_scores(tissue):
    cells = fit(tissue, settings())
    values = logged(tissue.rna)
    np.testing.assert_allclose(cells.genes("rna"), scaled(values, values), rtol=1e-3, atol=1e-4)
    assert cells.cells("rna") == 90 and cells.cells("atac") == 70


@pytest.mark.parametrize("hops", [1, 2, 3])
@pytest.mark.parametrize("keep_peaks", [True, False])
def test_denoised_cells_are_averages_of_averages(tissue, hops, keep_peaks):
    data = tissue if keep_peaks else without_peaks(tissue)
    cells = fit(data, settings(smoothing_hops=hops))
    neighbors = cells.preprocessor.reference.lists
    assert neighbors.shape == (70, 5)
    np.testing.assert_array_equal(neighbors[:, 0], np.arange(70))
    weights = averaging(neighbors)
    lists = cells.neighbors
    np.testing.assert_allclose(lists.matrix().toarray(), weights, rtol=1e-5, atol=1e-7)
    expected = np.linalg.matrix_power(weights, hops) @ logged(tissue.atac)
    np.testing.assert_allclose(dense(cells.values("atac")), expected, atol=1e-4)
    genes = scaled(expected, expected, np.inf)
    np.testing.assert_allclose(cells.genes("atac"), genes, rtol=1e-3, atol=1e-3)


def test_single_cells_are_cut_and_averages_are_not(tissue):
    """What is cut could not be averaged after the projection."""
    scale = {"rna": Scale(np.zeros(3), np.full(3, 0.01)), "atac": Scale(np.zeros(3), np.ones(3))}
    for averages, largest in ((0, 10), (1, 40)):
        found = Preprocessor(np.array(["a", "b", "c"]), scale, np.eye(3), averages)
        values = np.array([[0.0, 40, -2]])
        np.testing.assert_allclose(found.scale(values, "atac"), [[0, largest, -2]])
        np.testing.assert_allclose(found.features(values, "atac"), [[0, largest, -2]])
        np.testing.assert_allclose(found.scale(values, "rna"), [[0, 10, -10]])


def test_neighbours_are_of_the_same_type(tissue):
    """The peaks tell the types apart, so that an average does not blur them."""
    types = tissue.atac_obs["cell_type"].to_numpy()
    neighbors = fit(tissue, settings()).preprocessor.reference.lists
    agreement = np.mean(types[neighbors[:, 1:]] == types[neighbors[:, :1]])
    assert agreement > 0.9 > 2 * np.mean(types[:, None] == types[None, :])


def test_wide_averages_keep_more_of_the_own_type_than_plain_ones(tissue):
    """With 20 neighbours, more than the smaller types have cells, a plain mean blurs the types."""
    types = tissue.atac_obs["cell_type"].to_numpy()
    cells = fit(tissue, settings(neighbors=20))
    plain = np.zeros((70, 70))
    np.put_along_axis(plain, cells.preprocessor.reference.lists, 1 / 20, axis=1)

    def own_type(weights):
        return np.sum(weights * (types[:, None] == types), axis=1).mean()

    weighted = cells.neighbors.matrix().toarray()
    assert own_type(weighted) > own_type(plain) + 0.05
    assert own_type(weighted @ weighted) > own_type(plain @ plain) + 0.1


@pytest.mark.parametrize("changed", [{"neighbors": 1}, {"smoothing_hops": 0}])
def test_denoising_can_be_turned_off(tissue, changed):
    cells = fit(tissue, settings(**changed))
    reference = cells.preprocessor.reference
    assert cells.preprocessor.averages == 0
    assert reference is None if "neighbors" in changed else reference.levels == ()
    values = logged(tissue.atac)
    np.testing.assert_allclose(cells.genes("atac"), scaled(values, values), rtol=1e-3, atol=1e-4)


def test_one_neighbour_is_no_neighbour(tissue):
    cells = fit(tissue, settings(neighbors=1))
    assert cells.neighbors is None and cells.preprocessor.reference is None


def test_neighbours_are_known_also_where_cells_are_not_averaged(tissue):
    """For the contrastive pairs, the soft labels and the vote: the same as with the averages."""
    found, denoised = (fit(tissue, settings(smoothing_hops=hops)) for hops in (0, 2))
    for name in ("rows", "weights"):
        lists = [getattr(cells.neighbors, name) for cells in (found, denoised)]
        np.testing.assert_array_equal(*lists)
    assert found.neighbors.rows.shape == (70, 4) and (found.neighbors.weights > 0).all()


def test_the_projection_can_be_left_out(tissue):
    assert fit(tissue, settings(projection_size=0)).preprocessor.components is None


def test_only_the_chosen_genes_are_used(tissue):
    cells = fit(tissue, settings(variable_genes=50))
    chosen = variable_genes(tissue.rna, tissue.atac, 50)
    assert len(chosen) == 50
    np.testing.assert_array_equal(cells.preprocessor.genes, tissue.genes[chosen])
    values = logged(tissue.rna[:, chosen])
    np.testing.assert_allclose(cells.genes("rna"), scaled(values, values), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("chunk", [7, 2048])
def test_features_are_the_genes_on_the_joint_components(tissue, chunk, monkeypatch):
    monkeypatch.setattr(normalization, "CHUNK", chunk)
    cells = fit(tissue, settings())
    assert cells.feature_size == 7
    for modality in MODALITIES:
        expected = cells.genes(modality).astype(float) @ cells.preprocessor.components
        found = cells.features[modality]
        assert found.dtype == np.float32 and found.shape == (cells.cells(modality), 7)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
        assert found.std(axis=0).min() > 0.1


def test_features_are_the_genes_where_there_are_no_components(tissue):
    cells = fit(tissue, settings(projection_size=0))
    assert cells.feature_size == 120
    for modality in MODALITIES:
        np.testing.assert_allclose(cells.features[modality], cells.genes(modality), atol=1e-4)
        assert cells.features[modality].dtype == np.float32


def test_a_table_has_room_in_memory_or_on_disk(tissue, tmp_path):
    cells = fit(tissue, settings())
    held = cells.table("latent", 5, 3)
    stored = dataclasses.replace(cells, scratch=tmp_path).table("latent", 5, 3)
    assert isinstance(held, np.ndarray) and isinstance(stored, DiskRows)
    values = np.arange(15, dtype=np.float32).reshape(5, 3)
    for table in (held, stored):
        table[0:5] = values
        assert table.shape == (5, 3)
        np.testing.assert_array_equal(table[1:4], values[1:4])
    assert (tmp_path / "latent").stat().st_size == 60


def test_chunks_and_density_change_nothing(tissue, monkeypatch):
    def everything():
        cells = fit(tissue, settings(smoothing_hops=3))
        return sparse.issparse(cells.values("atac")), cells.genes("atac"), cells.features["atac"]

    monkeypatch.setattr(normalization, "DENSE_SHARE", -1)
    is_sparse, *first = everything()
    assert not is_sparse
    monkeypatch.setattr(normalization, "DENSE_SHARE", 2)
    monkeypatch.setattr(normalization, "CHUNK", 7)
    is_sparse, *second = everything()
    assert is_sparse
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(np.abs(one), np.abs(other), rtol=1e-3, atol=2e-3)


def test_the_seed_decides_everything(tissue):
    first, again = (fit(tissue, settings(), seed=4) for _ in range(2))
    assert (first.neighbors.matrix() != again.neighbors.matrix()).nnz == 0
    np.testing.assert_array_equal(first.preprocessor.components, again.preprocessor.components)
    for modality in MODALITIES:
        np.testing.assert_array_equal(first.genes(modality), again.genes(modality))
        np.testing.assert_array_equal(first.features[modality], again.features[modality])


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
    np.testing.assert_allclose(cells.neighbors.matrix().toarray(), expected, rtol=1e-6)
    assert np.isfinite(cells.genes("atac")).all()
    assert np.isfinite(cells.features["atac"]).all()


@pytest.mark.parametrize("emptied", [False, True])
def test_rna_cells_of_which_each_has_its_own_type_are_refused(tissue, emptied):
    """Names of cells as labels; or one cell with data of each type."""
    size = len(tissue.rna_cells)
    labels, rna = np.arange(size), tissue.rna
    if emptied:
        labels = np.arange(size) // 2
        rna = sparse.csr_matrix(sparse.diags(np.arange(size) % 2.0) @ rna, dtype=np.float32)
    types = tuple(f"c{number:03d}" for number in range(labels[-1] + 1))
    named = dataclasses.replace(tissue, rna=rna, rna_labels=labels, types=types)
    with pytest.raises(InputError, match="a cell type of its own") as error:
        fit(named, settings(balance=True))
    assert error.value.received.startswith(f"{len(types)} types of {len(types)} cells, such as c0")
    labels[2:4] = labels[0]
    assert fit(dataclasses.replace(named, rna_labels=labels), settings(balance=True)).balance
