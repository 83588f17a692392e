"""UMAP: repeatable, quiet, and able to take any number of cells."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from scadv_tf.data import rows
from scadv_tf.data.rows import DiskRows, JoinedRows
from scadv_tf.errors import InputError
from scadv_tf.evaluation import embedding
from scadv_tf.evaluation.embedding import umap_2d
from scadv_tf.evaluation.metrics import silhouette

pytestmark = pytest.mark.slow


def blobs(cells: int, width: int = 8) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    codes = np.arange(cells) % 3
    return 8 * np.eye(width)[codes] + random.normal(size=(cells, width)), codes.astype(str)


@pytest.fixture(scope="module")
def three_blobs():
    latent, labels = blobs(240)
    return latent, labels, umap_2d(latent, seed=0, neighbors=15)


def test_types_that_are_apart_stay_apart(three_blobs):
    _, labels, coordinates = three_blobs
    assert coordinates.shape == (240, 2)
    assert coordinates.dtype == np.float32
    assert silhouette(coordinates, labels, seed=0) > 0.7


def test_the_seed_decides_the_picture(three_blobs):
    latent, _, coordinates = three_blobs
    np.testing.assert_array_equal(umap_2d(latent, seed=0, neighbors=15), coordinates)
    assert not np.allclose(umap_2d(latent, seed=1, neighbors=15), coordinates)


def test_nothing_is_said_about_threads(three_blobs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert umap_2d(three_blobs[0][:40], seed=0).shape == (40, 2)


@pytest.fixture
def compiled(three_blobs):
    """A function that umap-learn has compiled; its import takes seconds."""
    from umap import umap_

    return umap_.smooth_knn_dist


def test_what_is_compiled_is_kept_for_the_next_process(compiled):
    kept = Path(compiled.stats.cache_path)
    assert list(kept.glob("umap_.smooth_knn_dist*.nbc"))


def test_where_nothing_can_be_kept_the_layout_is_the_same(three_blobs, compiled, monkeypatch):
    def refuse(function):
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(type(compiled), "enable_caching", refuse)
    latent, _, coordinates = three_blobs
    np.testing.assert_array_equal(umap_2d(latent, seed=0, neighbors=15), coordinates)


@pytest.mark.parametrize("cells", [4, 5, 30, 31, 32])
def test_fewer_cells_than_neighbours_work(cells):
    coordinates = umap_2d(blobs(cells)[0], seed=0, neighbors=30)
    assert coordinates.shape == (cells, 2)
    assert np.isfinite(coordinates).all()
    assert len(np.unique(coordinates, axis=0)) == cells


def test_a_collapsed_latent_space_works():
    assert np.isfinite(umap_2d(np.zeros((60, 4)), seed=0)).all()


def test_three_cells_fall_back_on_principal_components():
    latent = np.array([[0.0, 0, 0], [3, 0, 0], [0, 4, 0]])
    coordinates = umap_2d(latent, seed=0)
    # Three points lie in a plane, so that components keep the distances 3, 4 and 5.
    gaps = np.linalg.norm(coordinates[[0, 0, 1]] - coordinates[[1, 2, 2]], axis=1)
    np.testing.assert_allclose(gaps, [3, 4, 5], rtol=1e-5)


@pytest.mark.parametrize("shape", [(0, 5), (1, 5), (3, 1)])
def test_next_to_nothing_gives_zeros_where_there_is_no_second_component(shape):
    coordinates = umap_2d(np.ones(shape), seed=0)
    assert coordinates.shape == (shape[0], 2)
    np.testing.assert_array_equal(coordinates, 0)


def test_cells_beyond_the_limit_are_placed_among_their_like(three_blobs):
    latent, labels, _ = three_blobs
    coordinates = umap_2d(latent, seed=0, neighbors=15, max_cells=150)
    assert np.isfinite(coordinates).all()
    assert silhouette(coordinates, labels, seed=0) > 0.6


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match="1 of 5 cells"):
        umap_2d(np.where(np.eye(5, 3) * [0, 0, 1] > 0, np.inf, 0.0), seed=0)


def stored(tmp_path, latent):
    found = DiskRows(tmp_path / "latent", latent.shape[1])
    found[0 : len(latent)] = latent
    return found


def test_cells_beyond_the_limit_are_nearest_to_the_laid_out_cells_of_their_type(three_blobs):
    latent, labels, _ = three_blobs
    coordinates = umap_2d(latent, seed=0, neighbors=15, max_cells=90)
    chosen = np.sort(np.random.default_rng(0).choice(240, 90, replace=False))
    np.testing.assert_array_equal(coordinates[chosen], umap_2d(latent[chosen], 0, 15))
    placed = np.setdiff1d(np.arange(240), chosen)
    gaps = np.linalg.norm(coordinates[placed, None] - coordinates[None, chosen], axis=-1)
    assert np.mean(labels[chosen][gaps.argmin(axis=1)] == labels[placed]) > 0.98
    again, other = (umap_2d(latent, seed, 15, max_cells=90) for seed in (0, 1))
    np.testing.assert_array_equal(again, coordinates)
    assert not np.allclose(other, coordinates)


def test_a_placed_cell_is_the_mean_of_its_nearest_by_inverse_distance():
    random = np.random.default_rng(1)
    latent, sample = random.normal(size=(40, 6)), random.normal(size=(25, 6))
    layout = random.normal(size=(25, 2))
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (latent, sample)]
    distances = 1 - unit[0] @ unit[1].T
    expected = []
    for row in distances:
        nearest = row.argsort()[:5]
        expected.append(np.average(layout[nearest], axis=0, weights=1 / row[nearest]))
    found = embedding._placed(latent, sample, layout)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.all(found >= layout.min(axis=0)) and np.all(found <= layout.max(axis=0))


def test_a_cell_of_the_layout_itself_would_be_placed_where_it_is():
    random = np.random.default_rng(2)
    sample, layout = random.normal(size=(25, 6)), random.normal(size=(25, 2))
    found = embedding._placed(3 * sample, sample, layout)  # length does not matter
    np.testing.assert_allclose(found, layout, atol=1e-3)


def test_where_a_cell_is_placed_does_not_depend_on_the_others(monkeypatch):
    random = np.random.default_rng(3)
    latent, sample = random.normal(size=(600, 6)), random.normal(size=(50, 6))
    layout = random.normal(size=(50, 2))
    expected = embedding._placed(latent, sample, layout)
    order = random.permutation(600)
    np.testing.assert_allclose(embedding._placed(latent[order], sample, layout), expected[order])
    np.testing.assert_allclose(embedding._placed(latent[:7], sample, layout), expected[:7])
    monkeypatch.setattr(rows, "BLOCK_BYTES", 4 * 6 * 100)
    np.testing.assert_allclose(embedding._placed(latent, sample, layout), expected)


@pytest.mark.parametrize("max_cells", [150, 240])
def test_latent_vectors_on_disk_give_the_same_picture(three_blobs, tmp_path, max_cells):
    latent = three_blobs[0].astype(np.float32)
    parts = JoinedRows(latent[:70], stored(tmp_path, latent[70:]))
    expected = umap_2d(latent, 0, 15, max_cells)
    np.testing.assert_array_equal(umap_2d(parts, 0, 15, max_cells), expected)
