"""Preprocessing of stored cells: what the sample teaches, and how the others follow from it."""

from __future__ import annotations

import collections
import dataclasses

import numpy as np
import pytest
from preprocessing_twins import logged, settings, without_peaks
from scipy import sparse

from scadv_tf.data import readers, streaming
from scadv_tf.data.cell_files import open_cells
from scadv_tf.data.datasets import DatasetSource, assemble, load
from scadv_tf.data.neighbors import weights_of_new
from scadv_tf.data.normalization import LARGEST_VALUE, dense
from scadv_tf.data.preprocessing import MODALITIES, fit
from scadv_tf.data.rows import DiskRows
from scadv_tf.data.stored_counts import StoredCounts
from scadv_tf.data.synthetic import simulate
from scadv_tf.errors import InputError

SAMPLE = 40
SOURCE = DatasetSource(label_key="cell_type", min_shared_genes=1)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(streaming, "CELLS_AT_ONCE", 13)


@pytest.fixture(scope="session")
def both(tmp_path_factory):
    """The same cells held and stored: 90 RNA cells, 70 ATAC cells with peaks, 120 genes."""
    folder = tmp_path_factory.mktemp("stored")
    rna, peaks, table = simulate(90, 120, types=4, difficulty=0.3, atac_cells=70)
    for name, adata in (("rna", rna), ("atac", peaks)):
        adata.write_h5ad(folder / f"{name}.h5ad")
    stored = [readers.stored(open_cells(folder / f"{name}.h5ad", name)) for name in MODALITIES]
    return assemble(rna, peaks, SOURCE, table)[0], assemble(*stored, SOURCE, table)[0]


@pytest.fixture
def held(both):
    return both[0]


@pytest.fixture
def stored(both):
    return both[1]


def part_of(data, rows: dict):
    """Held cells, only these rows of them."""
    chosen = {name: getattr(data, name)[rows[name]] for name in rows}
    if "atac" in rows and data.peaks is not None:
        chosen["peaks"] = data.peaks[rows["atac"]]
    return dataclasses.replace(data, **chosen)


def same_cells(found, expected) -> None:
    for name in MODALITIES:
        features, others = found.features[name], expected.features[name]
        np.testing.assert_allclose(features[:], others[:], atol=1e-4)
    if expected.neighbors is None:
        assert found.neighbors is None
        return
    for name in ("reference", "rows", "weights"):
        ours, theirs = getattr(found.neighbors, name), getattr(expected.neighbors, name)
        np.testing.assert_allclose(ours[:], theirs[:], atol=1e-6)


def test_stored_data_are_paired_as_held_data(held, stored):
    assert all(isinstance(getattr(stored, n), StoredCounts) for n in (*MODALITIES, "peaks"))
    for name in (*MODALITIES, "peaks"):
        np.testing.assert_array_equal(
            getattr(stored, name)[:].toarray(), getattr(held, name).toarray()
        )
    assert stored.matching.to_dict() == held.matching.to_dict()
    np.testing.assert_array_equal(stored.rna_labels, held.rna_labels)
    np.testing.assert_array_equal(stored.atac_cells, held.atac_cells)


@pytest.mark.parametrize("memory_cells", [0, 90, 1000])
def test_a_sample_of_all_cells_is_the_preprocessing_in_memory(held, stored, memory_cells):
    found = fit(stored, settings(), memory_cells=memory_cells)
    same_cells(found, fit(held, settings()))
    assert found.scratch is None and isinstance(found.features["rna"], np.ndarray)


def test_a_sample_of_all_cells_is_weighed_as_in_memory(held, stored):
    config = settings(balance=True, neighbors=0)
    found, expected = fit(stored, config), fit(held, config)
    same_cells(found, expected)
    for name in MODALITIES:
        np.testing.assert_allclose(found.weights(name), expected.weights(name), rtol=1e-5)
        assert np.ptp(found.weights(name)) > 0.01  # not all alike
    ours, theirs = found.balance, expected.balance
    np.testing.assert_allclose(ours.composition.atac_shares, theirs.composition.atac_shares)
    for one, other in zip(ours.guess.parts, theirs.guess.parts, strict=True):
        np.testing.assert_allclose(one.coefficients, other.coefficients, atol=1e-5)


@pytest.fixture(scope="session")
def unlike(both):
    """The cells held and stored, labelled so that the composition of the RNA cells is another."""
    labels = both[0].rna_labels.copy()
    labels[np.flatnonzero(labels == 1)[4:]] = 0
    return tuple(dataclasses.replace(data, rna_labels=labels) for data in both)


@pytest.mark.parametrize("options", [{}, {"neighbors": 1}, {"smoothing_hops": 0}], ids=str)
def test_all_cells_are_weighed_by_what_the_sample_taught(unlike, options, tmp_path):
    held, stored = unlike
    config = settings(balance=True, **options)
    rows = streaming.sampled_rows(stored, SAMPLE, seed=3)
    found = fit(stored, config, 3, tmp_path, SAMPLE)
    sample = part_of(held, rows)
    alone = fit(dataclasses.replace(sample, rna_labels=held.rna_labels[rows["rna"]]), config)
    balance, expected = found.balance, alone.balance
    np.testing.assert_allclose(
        balance.composition.atac_shares, expected.composition.atac_shares, rtol=1e-5
    )
    for one, other in zip(balance.guess.parts, expected.guess.parts, strict=True):
        np.testing.assert_allclose(one.coefficients, other.coefficients, atol=1e-4)
    for name in MODALITIES:
        np.testing.assert_allclose(
            found.features[name][:][rows[name]], alone.features[name], atol=1e-3
        )
        assert found.weights(name).shape == (found.cells(name),)
        assert found.weights(name).mean() == pytest.approx(1, rel=1e-5)
    factors = balance.composition.rna_factors[held.rna_labels]
    np.testing.assert_allclose(found.weights("rna"), factors / factors.mean(), rtol=1e-5)
    guessed = balance.guess(found.features["atac"])
    if found.neighbors is not None:
        guessed = found.neighbors.matrix() @ guessed
    factors = guessed @ balance.composition.atac_factors
    np.testing.assert_allclose(found.weights("atac"), factors / factors.mean(), rtol=1e-5)
    assert np.ptp(found.weights("atac")) > 0.005


@pytest.mark.parametrize("name", MODALITIES)
def test_one_stored_modality_is_weighed_with_the_other(unlike, name, tmp_path):
    held, stored = unlike
    names = [name] if name == "rna" else ["atac", "peaks"]
    mixed = dataclasses.replace(held, **{n: getattr(stored, n) for n in names})
    found = fit(mixed, settings(balance=True), 0, tmp_path, SAMPLE)
    for modality in MODALITIES:
        assert found.weights(modality).shape == (found.cells(modality),)
        assert found.weights(modality).mean() == pytest.approx(1, rel=1e-5)


OPTIONS = [
    {},
    {"smoothing_hops": 0},
    {"smoothing_hops": 1},
    {"projection_size": 0},
    {"neighbors": 1},
    {"variable_genes": 60},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_sample_is_preprocessed_as_if_it_were_all(held, stored, options, tmp_path):
    config = settings(**options)
    rows = streaming.sampled_rows(stored, SAMPLE, seed=3)
    found = fit(stored, config, 3, tmp_path, SAMPLE)
    alone = fit(part_of(held, rows), config)
    np.testing.assert_array_equal(found.preprocessor.genes, alone.preprocessor.genes)
    for name in MODALITIES:
        assert isinstance(found.features[name], DiskRows)
        assert found.features[name].shape == (getattr(held, name).shape[0], alone.feature_size)
        np.testing.assert_allclose(
            found.features[name][:][rows[name]], alone.features[name], atol=1e-4
        )
    assert found.scratch == tmp_path and not found.values
    if config.neighbors > 1:
        np.testing.assert_array_equal(found.neighbors.reference, rows["atac"])
        np.testing.assert_array_equal(found.neighbors.rows[:][rows["atac"]], alone.neighbors.rows)
        np.testing.assert_array_equal(
            found.neighbors.weights[:][rows["atac"]], alone.neighbors.weights
        )


def twin(preprocessor, counts, peaks, hops: int):
    """Features, neighbours and weights of new ATAC cells in dense double precision, from sets."""
    neighborhood, scale = preprocessor.neighborhood, preprocessor.scales["atac"]
    reference = neighborhood.features["genes" if peaks is None else "peaks"].astype(float)
    values = logged(counts)
    queries = neighborhood.features_of(sparse.csr_matrix(values.astype(np.float32)), peaks)
    lengths = np.linalg.norm(reference, axis=1)
    cosine = queries @ reference.T / lengths
    count = neighborhood.neighbors.shape[1]
    near = np.argsort(-cosine, axis=1, kind="stable")[:, : count - 1]
    lists = [set(row) for row in neighborhood.neighbors.tolist()]
    weights = np.zeros(near.shape)
    for row, own in enumerate(near.tolist()):
        for place, cell in enumerate(own):
            shared = len(set(own) & lists[cell])
            weights[row, place] = shared / (2 * count - shared)
    own = 1 / (1 + weights.sum(axis=1, keepdims=True))
    weights *= own
    for level in neighborhood.levels:
        others = np.stack([w @ dense(level)[n] for w, n in zip(weights, near, strict=True)])
        values = own * values + others
    scaled = (values - scale.mean) / scale.deviation
    if not hops:
        scaled = np.clip(scaled, -LARGEST_VALUE, LARGEST_VALUE)
    components = preprocessor.components
    return scaled if components is None else scaled @ components, near, weights


@pytest.mark.parametrize("with_peaks", [True, False])
@pytest.mark.parametrize("options", [o for o in OPTIONS if "neighbors" not in o], ids=str)
def test_the_other_atac_cells_are_averaged_with_the_sample(
    held, stored, options, with_peaks, tmp_path
):
    if not with_peaks:
        held, stored = without_peaks(held), without_peaks(stored)
    config = settings(**options)
    found = fit(stored, config, 3, tmp_path, SAMPLE)
    others = np.setdiff1d(np.arange(70), found.neighbors.reference)
    genes = np.isin(held.genes, found.preprocessor.genes)
    counts, peaks = held.atac[others][:, genes], held.peaks[others] if with_peaks else None
    features, near, weights = twin(found.preprocessor, counts, peaks, config.smoothing_hops)
    order = np.argsort(near, axis=1)
    theirs = np.argsort(found.neighbors.rows[:][others], axis=1)
    full = np.asarray(counts.sum(axis=1)).ravel() > 0
    if with_peaks:
        full &= np.asarray(peaks.sum(axis=1)).ravel() > 0
    for ours, expected in ((found.neighbors.rows, near), (found.neighbors.weights, weights)):
        np.testing.assert_allclose(
            np.take_along_axis(ours[:][others], theirs, axis=1)[full],
            np.take_along_axis(expected, order, axis=1)[full],
            atol=1e-5,
        )
    np.testing.assert_allclose(found.features["atac"][:][others][full], features[full], atol=2e-3)
    assert np.isfinite(found.features["atac"][:]).all()


def test_the_other_rna_cells_are_scaled_by_the_sample(held, stored, tmp_path):
    found = fit(stored, settings(), 3, tmp_path, SAMPLE)
    scale = found.preprocessor.scales["rna"]
    scaled = np.clip((logged(held.rna) - scale.mean) / scale.deviation, -10, 10)
    expected = scaled @ found.preprocessor.components
    np.testing.assert_allclose(found.features["rna"][:], expected, atol=1e-3)


def test_the_matrix_of_weights_has_each_cell_and_rows_that_sum_to_one(stored, tmp_path):
    weights = fit(stored, settings(), 3, tmp_path, SAMPLE).neighbors.matrix()
    assert weights.shape == (70, 70)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)
    assert np.all(weights.diagonal() > 0)


@pytest.mark.parametrize("name", MODALITIES)
def test_one_modality_alone_may_be_stored(held, stored, name, tmp_path):
    names = [name] if name == "rna" else ["atac", "peaks"]
    mixed = dataclasses.replace(held, **{n: getattr(stored, n) for n in names})
    rows = streaming.sampled_rows(mixed, SAMPLE, 0)
    assert list(rows) == [name]
    found = fit(mixed, settings(), 0, tmp_path, SAMPLE)
    alone = fit(part_of(held, rows), settings())
    other = next(n for n in MODALITIES if n != name)
    assert isinstance(found.features[name], DiskRows) and list(found.values) == [other]
    np.testing.assert_allclose(found.features[other], alone.features[other], atol=1e-4)
    np.testing.assert_allclose(found.features[name][:][rows[name]], alone.features[name], atol=1e-4)
    assert found.neighbors.cells == 70


def test_samples_are_drawn_by_the_seed_without_repeats(stored):
    first, again, other = (streaming.sampled_rows(stored, SAMPLE, seed) for seed in (0, 0, 1))
    for name in MODALITIES:
        assert len(np.unique(first[name])) == SAMPLE and np.all(np.diff(first[name]) > 0)
        np.testing.assert_array_equal(first[name], again[name])
        assert np.any(first[name] != other[name])
    drawn = collections.Counter()
    for seed in range(200):
        drawn.update(streaming.sampled_rows(stored, SAMPLE, seed)["atac"].tolist())
    assert len(drawn) == 70 and max(drawn.values()) < 1.5 * 200 * SAMPLE / 70


def test_new_cells_weights_by_hand():
    # Lists of 3. The cell's neighbours are 0 and 2; the list of 0 has 0 and 2, that of 2 has 2.
    lists = np.array([[0, 1, 2], [1, 0, 3], [2, 1, 3], [3, 1, 0]])
    found = weights_of_new(np.array([[0, 2]]), lists)
    jaccard = np.array([2 / 4, 1 / 5])
    np.testing.assert_allclose(found, [jaccard / (1 + jaccard.sum())], rtol=1e-6)


# Errors.


def test_without_a_folder_it_says_what_to_give(stored):
    with pytest.raises(InputError, match="More cells") as error:
        fit(stored, settings(), memory_cells=SAMPLE)
    assert "scratch" in error.value.expected


def test_a_full_disk_is_told_before_any_work(stored, tmp_path, monkeypatch):
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(streaming.shutil, "disk_usage", lambda folder: usage(1, 1, 1000))
    with pytest.raises(InputError, match="no room") as error:
        fit(stored, settings(), 0, tmp_path, SAMPLE)
    assert "--output_dir" in error.value.advice and not list(tmp_path.iterdir())


# The user's files.


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    rna, peaks, genes = simulate(80, 120, types=3, difficulty=0.1, atac_cells=60)
    genes[["chrom", "start", "end", "gene"]].to_csv(
        folder / "genes.bed", sep="\t", header=False, index=False
    )
    rna.write_h5ad(folder / "rna.h5ad")
    peaks.write_h5ad(folder / "atac.h5ad")
    names = {"rna": "rna.h5ad", "atac": "atac.h5ad", "genes": "genes.bed"}
    return {name: str(folder / file) for name, file in names.items()}


@pytest.mark.parametrize(
    ("most", "stored_ones"),
    [(0, ()), (1000, ()), (80, ()), (79, ("rna",)), (59, ("rna", "atac"))],
)
def test_each_modality_is_streamed_if_it_is_too_large(files, most, stored_ones):
    source = DatasetSource(**files, label_key="cell_type", memory_cells=most)
    data, truth = load(source)
    assert isinstance(data.rna, StoredCounts) == ("rna" in stored_ones)
    assert isinstance(data.atac, StoredCounts) == ("atac" in stored_ones)
    assert isinstance(data.peaks, StoredCounts) == ("atac" in stored_ones)
    whole, expected = load(dataclasses.replace(source, memory_cells=0))
    for name in (*MODALITIES, "peaks"):
        np.testing.assert_array_equal(
            getattr(data, name)[:].toarray(), getattr(whole, name).toarray()
        )
    np.testing.assert_array_equal(truth.labels, expected.labels)
    np.testing.assert_array_equal(data.intervals.peaks, whole.intervals.peaks)


def test_peaks_of_a_second_file(files, tmp_path):
    import anndata

    peaks = anndata.read_h5ad(files["atac"])
    whole, _ = load(DatasetSource(**files, label_key="cell_type", memory_cells=0))
    activity = anndata.AnnData(whole.atac, obs=whole.atac_obs)
    activity.var_names = whole.genes
    activity[10:].write_h5ad(tmp_path / "activity.h5ad")
    paths = files | {"atac": str(tmp_path / "activity.h5ad"), "atac_peaks": files["atac"]}
    source = DatasetSource(**paths, label_key="cell_type", memory_cells=20)
    data, _ = load(source)
    np.testing.assert_array_equal(data.peaks[:].toarray(), whole.peaks[10:].toarray())
    peaks[::-1].write_h5ad(tmp_path / "turned.h5ad")
    with pytest.raises(InputError, match="another order"):
        load(dataclasses.replace(source, atac_peaks=str(tmp_path / "turned.h5ad")))
