"""Preprocessing of stored cells: a sample teaches, and all are neighbours of all."""

from __future__ import annotations

import collections
import dataclasses

import numpy as np
import pytest
from preprocessing_twins import averaging, logged, scaled, settings, without_peaks

from scadv_tf.data import cell_blocks, neighborhood, readers
from scadv_tf.data.cell_files import open_cells
from scadv_tf.data.datasets import DatasetSource, assemble, load
from scadv_tf.data.neighbors import neighbors_with_self
from scadv_tf.data.normalization import log_normalize
from scadv_tf.data.preprocessing import fit
from scadv_tf.data.rows import DiskRows
from scadv_tf.data.stored_counts import StoredCounts
from scadv_tf.data.synthetic import simulate
from scadv_tf.errors import InputError
from scadv_tf.modalities import MODALITIES

pytestmark = pytest.mark.slow

HELD = 40
TAUGHT = 30
SOURCE = DatasetSource(label_key="cell_type", min_shared_genes=1)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(cell_blocks, "CELLS_AT_ONCE", 13)


@pytest.fixture
def few_teach(monkeypatch):
    monkeypatch.setattr(cell_blocks, "TAUGHT_CELLS", TAUGHT)


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


def same_cells(found, expected) -> None:
    for name in MODALITIES:
        features, others = found.features[name], expected.features[name]
        np.testing.assert_allclose(features[:], others[:], atol=1e-4)
    if expected.neighbors is None:
        assert found.neighbors is None
        return
    for name in ("rows", "weights"):
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
def test_stored_cells_that_may_be_held_are(held, stored, memory_cells):
    found = fit(stored, settings(), memory_cells=memory_cells)
    same_cells(found, fit(held, settings()))
    assert found.scratch is None and isinstance(found.features["rna"], np.ndarray)
    assert set(found.held) == set(MODALITIES)


@pytest.mark.parametrize("taught", [TAUGHT, 1000])
@pytest.mark.parametrize("memory_cells", [1, HELD, 80])
def test_what_is_held_changes_no_answer(held, stored, memory_cells, taught, monkeypatch, tmp_path):
    monkeypatch.setattr(cell_blocks, "TAUGHT_CELLS", taught)
    config = settings(balance=True, neighbors=0)
    found, expected = fit(stored, config, 0, tmp_path, memory_cells), fit(held, config)
    same_cells(found, expected)
    assert found.scratch == tmp_path and isinstance(found.features["rna"], DiskRows)
    assert isinstance(found.features["atac"], DiskRows) == (memory_cells < 70)
    for name in MODALITIES:
        np.testing.assert_allclose(found.weights(name), expected.weights(name), rtol=1e-4)
        assert np.ptp(found.weights(name)) > 0.01  # not all alike
    ours, theirs = found.balance, expected.balance
    np.testing.assert_allclose(
        ours.composition.atac_shares, theirs.composition.atac_shares, rtol=1e-4
    )
    for one, other in zip(ours.guess.parts, theirs.guess.parts, strict=True):
        np.testing.assert_allclose(one.coefficients, other.coefficients, atol=1e-4)


@pytest.fixture(scope="session")
def unlike(both):
    """The cells held and stored, labelled so that the composition of the RNA cells is another."""
    labels = both[0].rna_labels.copy()
    labels[np.flatnonzero(labels == 1)[4:]] = 0
    return tuple(dataclasses.replace(data, rna_labels=labels) for data in both)


@pytest.mark.parametrize("options", [{}, {"neighbors": 1}, {"smoothing_hops": 0}], ids=str)
def test_all_cells_are_weighed_by_what_the_sample_taught(unlike, options, few_teach, tmp_path):
    held, stored = unlike
    found = fit(stored, settings(balance=True, **options), 3, tmp_path, HELD)
    balance = found.balance
    factors = balance.composition.rna_factors[held.rna_labels]
    np.testing.assert_allclose(found.weights("rna"), factors / factors.mean(), rtol=1e-5)
    guessed = balance.guess(found.features["atac"])
    if found.neighbors is not None:
        guessed = found.neighbors.matrix() @ guessed
    factors = guessed @ balance.composition.atac_factors
    np.testing.assert_allclose(found.weights("atac"), factors / factors.mean(), rtol=1e-5)
    assert np.ptp(found.weights("atac")) > 0.005


@pytest.mark.parametrize("seed", range(4))
def test_a_rare_type_is_among_those_that_teach(both, few_teach, seed):
    """Four cells of 90, of which 30 random ones may have none."""
    labels = both[0].rna_labels.copy()
    labels[np.flatnonzero(labels == 1)[4:]] = 0
    for data in (dataclasses.replace(cells, rna_labels=labels) for cells in both):
        rows = cell_blocks.sampled_rows(data, seed)
        assert np.bincount(labels[rows["rna"]], minlength=2)[1] == 4
        assert len(rows["atac"]) == TAUGHT


@pytest.mark.parametrize("name", MODALITIES)
def test_one_stored_modality_is_weighed_with_the_other(unlike, name, tmp_path):
    held, stored = unlike
    names = [name] if name == "rna" else ["atac", "peaks"]
    mixed = dataclasses.replace(held, **{n: getattr(stored, n) for n in names})
    found = fit(mixed, settings(balance=True), 0, tmp_path, HELD)
    for modality in MODALITIES:
        assert found.weights(modality).shape == (found.cells(modality),)
        assert found.weights(modality).mean() == pytest.approx(1, rel=1e-5)


OPTIONS = [{}, {"smoothing_hops": 0}, {"smoothing_hops": 1}, {"variable_genes": 60}]


def genes_of(counts, data, found) -> np.ndarray:
    """Log-normalised chosen genes of all cells, in double precision."""
    return logged(counts[:, np.isin(data.genes, found.preprocessor.genes)])


@pytest.mark.parametrize("with_peaks", [True, False])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_neighbours_and_averages_are_among_all_cells(
    held, stored, options, with_peaks, few_teach, tmp_path
):
    if not with_peaks:
        held, stored = without_peaks(held), without_peaks(stored)
    config = settings(**options)
    found = fit(stored, config, 3, tmp_path, HELD)
    assert found.scratch == tmp_path and not found.held
    values = genes_of(held.atac, held, found)
    near = neighbors_with_self(
        found.preprocessor.reference.space.vectors(
            log_normalize(held.atac[:, np.isin(held.genes, found.preprocessor.genes)]), held.peaks
        ),
        5,
    )
    weights = averaging(near)
    np.testing.assert_allclose(found.neighbors.matrix().toarray(), weights, rtol=1e-4, atol=1e-6)
    assert isinstance(found.neighbors.rows, DiskRows) and found.neighbors.cells == 70
    for _ in range(config.smoothing_hops):
        values = weights @ values
    # What the sample teaches: how its cells vary, each averaged with its neighbours among all.
    sample = cell_blocks.sampled_rows(stored, seed=3)["atac"]
    largest = np.inf if config.smoothing_hops else 10
    scaled_values = scaled(values, values[sample], largest)
    expected = scaled_values @ found.preprocessor.components
    assert isinstance(found.features["atac"], DiskRows)
    np.testing.assert_allclose(found.features["atac"][:], expected, atol=2e-3)


@pytest.mark.parametrize("options", [*OPTIONS, {"neighbors": 1}, {"projection_size": 0}], ids=str)
def test_rna_cells_are_scaled_by_the_sample(held, stored, options, few_teach, tmp_path):
    if "projection_size" in options:
        options = options | {"smoothing_hops": 0}
    found = fit(stored, settings(**options), 3, tmp_path, HELD)
    values = genes_of(held.rna, held, found)
    sample = cell_blocks.sampled_rows(stored, seed=3)["rna"]
    expected = scaled(values, values[sample])
    if found.preprocessor.components is not None:
        expected = expected @ found.preprocessor.components
    np.testing.assert_allclose(found.features["rna"][:], expected, atol=1e-3)
    assert isinstance(found.features["rna"], DiskRows)


def test_the_reference_of_new_cells_is_a_choice_of_all(held, stored, tmp_path, monkeypatch):
    monkeypatch.setattr(neighborhood, "REFERENCE_CELLS", 30)
    found = fit(stored, settings(), 3, tmp_path, HELD)
    kept = found.preprocessor.reference
    assert len(kept.rows) == 30 and len(np.setdiff1d(kept.rows, np.arange(70))) == 0
    values = log_normalize(held.atac)
    for kind, peaks in (("genes", None), ("peaks", held.peaks)):
        expected = kept.space.vectors(values, peaks)[kept.rows]
        np.testing.assert_allclose(kept.vectors[kind], expected, atol=1e-5)
    np.testing.assert_array_equal(kept.lists, neighbors_with_self(kept.vectors["peaks"], 5))
    weights, scale = found.neighbors.matrix().toarray(), found.preprocessor.scales["atac"]
    features = (logged(held.atac) - scale.mean) / scale.deviation @ found.preprocessor.components
    for level in kept.levels:
        np.testing.assert_allclose(level, features[kept.rows], atol=2e-3)
        features = weights @ features
    assert len(kept.levels) == 2


def test_the_matrix_of_weights_has_each_cell_and_rows_that_sum_to_one(stored, tmp_path):
    weights = fit(stored, settings(), 3, tmp_path, HELD).neighbors.matrix()
    assert weights.shape == (70, 70)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)
    assert np.all(weights.diagonal() > 0)


@pytest.mark.parametrize("name", MODALITIES)
def test_one_modality_alone_may_be_stored(held, stored, name, tmp_path):
    names = [name] if name == "rna" else ["atac", "peaks"]
    mixed = dataclasses.replace(held, **{n: getattr(stored, n) for n in names})
    assert cell_blocks.streamed_modalities(mixed, HELD) == (name,)
    found = fit(mixed, settings(), 0, tmp_path, HELD)
    other = next(n for n in MODALITIES if n != name)
    assert isinstance(found.features[name], DiskRows) and list(found.held) == [other]
    assert isinstance(found.features[other], np.ndarray)
    assert found.neighbors.cells == 70


def test_samples_are_drawn_by_the_seed_without_repeats(stored, few_teach):
    cells = dataclasses.replace(stored, rna_labels=None)
    first, again, other = (cell_blocks.sampled_rows(cells, seed) for seed in (0, 0, 1))
    for name in MODALITIES:
        assert len(first[name]) == TAUGHT and np.all(np.diff(first[name]) > 0)
        np.testing.assert_array_equal(first[name], again[name])
        assert np.any(first[name] != other[name])
    drawn = collections.Counter()
    for seed in range(200):
        drawn.update(cell_blocks.sampled_rows(stored, seed)["atac"].tolist())
    assert len(drawn) == 70 and max(drawn.values()) < 1.6 * 200 * TAUGHT / 70


# Errors.


def test_without_a_folder_it_says_what_to_give(stored):
    with pytest.raises(InputError, match="More cells") as error:
        fit(stored, settings(), memory_cells=HELD)
    assert "scratch" in error.value.expected


def test_averages_of_all_genes_need_all_cells_in_memory(stored, tmp_path):
    with pytest.raises(InputError, match="all genes need all ATAC cells") as error:
        fit(stored, settings(projection_size=0), 0, tmp_path, HELD)
    assert "projection_size=0, 70 ATAC cells" in error.value.received
    assert "--memory_cells=0" in error.value.advice


def test_a_full_disk_is_told_before_any_work(stored, tmp_path, monkeypatch):
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(cell_blocks.shutil, "disk_usage", lambda folder: usage(1, 1, 1000))
    with pytest.raises(InputError, match="no room") as error:
        fit(stored, settings(), 0, tmp_path, HELD)
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
    ("most", "stored_ones"), [(0, ()), (1000, ()), (80, ()), (79, ("rna",)), (59, ("rna", "atac"))]
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
