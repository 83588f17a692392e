"""Affine maps of groups: by hand, and what is true of means and covariances after them."""

from __future__ import annotations

import numpy as np
import pytest

from scadv_tf.evaluation.metrics import modality_mixing
from scadv_tf.models import affine_maps
from scadv_tf.models.affine_maps import POOLED_CELLS, Moments, fit_affine_maps, moved

CROSS = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])  # covariance I / 2


@pytest.fixture
def plain(monkeypatch):
    """Every group by itself, nothing added: the formulas of the docstring alone."""
    monkeypatch.setattr(affine_maps, "POOLED_CELLS", 1e-9)
    monkeypatch.setattr(affine_maps, "FLOOR", 1e-12)


def one_hot(labels, groups):
    return np.eye(groups)[labels]


def clouds(counts, width, seed, spread=1.0):
    """A normal cloud a group with a mean and a covariance of its own: (latent, labels)."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    means = random.normal(0, 4, size=(len(counts), width))
    mixes = random.normal(0, spread / np.sqrt(width), size=(len(counts), width, width))
    noise = random.normal(size=(len(labels), width))
    return means[labels] + np.einsum("bz,bzy->by", noise, mixes[labels]), labels


def crosses(counts, means):
    """Cells with the exact means given and equal covariances: (latent, shares); fours of cells."""
    latent = [np.tile(CROSS, (n // 4, 1)) + mean for n, mean in zip(counts, means, strict=True)]
    return np.concatenate(latent), one_hot(np.repeat(np.arange(len(counts)), counts), len(counts))


# Moments.


def test_moments_by_hand(plain):
    # Group 0 has two halves of cells at 0 and 4, group 1 the other halves and a whole cell at 10.
    latent = np.array([[0.0], [4.0], [10.0]])
    found = Moments.of(latent, np.array([[0.5, 0.5], [0.5, 0.5], [0, 1]]))
    np.testing.assert_allclose(found.cells, [1, 2])
    np.testing.assert_allclose(found.means, [[2], [6]])
    # (2^2 + 2^2) / 2 / 1, and (36 / 2 + 4 / 2 + 16) / 2.
    np.testing.assert_allclose(found.covariances, [[[4]], [[18]]], rtol=1e-6)


def test_hard_shares_give_the_mean_and_covariance_of_each_group(plain):
    latent, labels = clouds([30, 12], 3, seed=0)
    found = Moments.of(latent, one_hot(labels, 2))
    for code in (0, 1):
        own = latent[labels == code]
        np.testing.assert_allclose(found.means[code], own.mean(axis=0))
        expected = np.cov(own.T, bias=True)
        np.testing.assert_allclose(found.covariances[code], expected, rtol=1e-5, atol=1e-6)


def test_pooling_by_hand(monkeypatch):
    monkeypatch.setattr(affine_maps, "POOLED_CELLS", 4)
    monkeypatch.setattr(affine_maps, "FLOOR", 0)
    # Sums of squares 2 I and 18 I of four cells each; of all, 20 I / 8 a cell, counted four times.
    latent = np.concatenate([CROSS, 5 + 3 * CROSS])
    found = Moments.of(latent, one_hot(np.repeat([0, 1], 4), 2))
    expected = [(2 + 4 * 2.5) / 8 * np.eye(2), (18 + 4 * 2.5) / 8 * np.eye(2)]
    np.testing.assert_allclose(found.covariances, expected, atol=1e-12)


def test_the_floor_by_hand(monkeypatch):
    monkeypatch.setattr(affine_maps, "POOLED_CELLS", 0)
    monkeypatch.setattr(affine_maps, "FLOOR", 0.1)
    # All on a line of variance 8: the mean variance is 4, a tenth of it goes to each direction.
    found = Moments.of(np.array([[0.0, 8**0.5], [0.0, -(8**0.5)]]), np.ones((2, 1)))
    np.testing.assert_allclose(found.covariances, [[[0.4, 0], [0, 8.4]]], atol=1e-12)


# Maps.


def test_moved_by_hand():
    latent = np.array([[1.0, 2.0], [-1.0, 0.5]], dtype=np.float32)
    matrices = np.array([[[2, 0], [1, 1]], [[0, 1], [-1, 0]]], dtype=np.float32)
    offsets = np.array([[10, 20], [0, 1]], dtype=np.float32)
    # z M + b: (1, 2) -> (14, 22) and (-2, 2); (-1, 1/2) -> (8.5, 20.5) and (-0.5, 0).
    found = moved(latent, np.array([[1, 0], [0.25, 0.75]]), matrices, offsets)
    np.testing.assert_allclose(found, [[14, 22], [1.75, 5.125]], rtol=1e-6)
    assert found.dtype == np.float32


def test_moved_by_its_twin():
    random = np.random.default_rng(0)
    latent, shares = random.normal(size=(20, 3)), random.dirichlet(np.ones(4), size=20)
    matrices, offsets = random.normal(size=(4, 3, 3)), random.normal(size=(4, 3))
    expected = [
        sum(q * (z @ m + b) for q, m, b in zip(row, matrices, offsets, strict=True))
        for z, row in zip(latent, shares, strict=True)
    ]
    np.testing.assert_allclose(moved(latent, shares, matrices, offsets), expected, atol=1e-5)


def test_maps_of_two_groups_by_hand(plain):
    stretch = np.array([[2.0, 0.5], [3.0, 1.0]])  # RNA over ATAC, of each group and direction
    atac = np.concatenate([CROSS, [7, 0] + CROSS])
    rna = np.concatenate([[1, 1] + CROSS * stretch[0], [5, -2] + CROSS * stretch[1]])
    shares = one_hot(np.repeat([0, 1], 4), 2)
    matrices, offsets = fit_affine_maps(rna, shares, atac, shares)
    np.testing.assert_allclose(matrices, [np.diag(stretch[0]), np.diag(stretch[1])], atol=1e-5)
    # Means (1, 1) - 0, and (5, -2) - (7, 0) * stretch.
    np.testing.assert_allclose(offsets, [[1, 1], [5 - 21, -2]], atol=1e-4)
    assert matrices.dtype == offsets.dtype == np.float32


def test_after_the_map_each_group_has_the_mean_and_covariance_of_its_rna_cells(plain):
    rna, rna_labels = clouds([60, 40, 90], 5, seed=0)
    atac, atac_labels = clouds([50, 80, 30], 5, seed=1, spread=0.3)
    shares = one_hot(atac_labels, 3)
    found = moved(atac, shares, *fit_affine_maps(rna, one_hot(rna_labels, 3), atac, shares))
    for code in range(3):
        ours, theirs = found[atac_labels == code], rna[rna_labels == code]
        np.testing.assert_allclose(ours.mean(axis=0), theirs.mean(axis=0), atol=1e-4)
        expected = np.cov(theirs.T, bias=True)
        np.testing.assert_allclose(np.cov(ours.T, bias=True), expected, atol=1e-3)


def test_large_groups_come_close_to_that_with_pooling_and_floor():
    rna, rna_labels = clouds([600, 400], 5, seed=0)
    atac, atac_labels = clouds([500, 800], 5, seed=1, spread=0.3)
    shares = one_hot(atac_labels, 2)
    found = moved(atac, shares, *fit_affine_maps(rna, one_hot(rna_labels, 2), atac, shares))
    for code in range(2):
        ours, theirs = found[atac_labels == code], rna[rna_labels == code]
        distance = np.linalg.norm(atac[atac_labels == code].mean(axis=0) - theirs.mean(axis=0))
        assert np.linalg.norm(ours.mean(axis=0) - theirs.mean(axis=0)) < 0.1 * distance
        wanted, was = np.cov(theirs.T), np.cov(atac[atac_labels == code].T)
        gap = np.linalg.norm(np.cov(ours.T) - wanted) / np.linalg.norm(was - wanted)
        assert gap < 0.25


def test_a_cloud_is_left_where_it_is_if_both_modalities_share_it():
    latent, labels = clouds([40, 30, 1], 4, seed=0)
    shares = np.random.default_rng(2).dirichlet(np.ones(3), size=71) + one_hot(labels, 3)
    shares /= shares.sum(axis=1, keepdims=True)
    matrices, offsets = fit_affine_maps(latent, shares, latent, shares)
    np.testing.assert_allclose(matrices, np.tile(np.eye(4), (3, 1, 1)), atol=1e-5)
    np.testing.assert_allclose(offsets, np.zeros((3, 4)), atol=1e-4)


def test_two_samples_of_the_same_clouds_stay_near():
    latent, labels = clouds([1000, 600], 4, seed=0)
    halves = [slice(part, None, 2) for part in (0, 1)]
    (rna, atac), (rna_shares, atac_shares) = (
        [values[half] for half in halves] for values in (latent, one_hot(labels, 2))
    )
    found = moved(atac, atac_shares, *fit_affine_maps(rna, rna_shares, atac, atac_shares))
    steps = np.linalg.norm(found - atac, axis=1).mean()
    assert 0 < steps < 0.15 * np.linalg.norm(latent - latent.mean(axis=0), axis=1).mean()


@pytest.mark.parametrize("scarce", ["rna", "atac", "both"])
@pytest.mark.parametrize("cells", [4, 16, 64])
def test_the_mean_of_a_small_group_moves_in_part(cells, scarce):
    # n cells of the scarcer modality count n / (n + POOLED_CELLS), the rest is the common shift.
    shift = np.array([[0.0, 0.0], [10.0, -4.0]])
    few = {name: cells if scarce in (name, "both") else 400 for name in ("rna", "atac")}
    rna, rna_shares = crosses([300, few["rna"]], shift)
    atac, atac_shares = crosses([300, few["atac"]], 0 * shift)
    found = moved(atac, atac_shares, *fit_affine_maps(rna, rna_shares, atac, atac_shares))
    weight, common = cells / (cells + POOLED_CELLS), cells / (300 + cells) * shift[1]
    expected = weight * shift[1] + (1 - weight) * common
    step = (found - atac)[300:].mean(axis=0)
    np.testing.assert_allclose(step, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("last", [(0, 400), (400, 0)], ids=["no RNA", "no ATAC"])
def test_the_steps_of_the_means_by_hand_with_a_group_of_one_modality(last):
    assert POOLED_CELLS == 16
    # 16 cells of the scarcer modality twice: half the shift of the group, half of the common one,
    # which is the mean of (8, 0) and (0, 4). The last group has but that, however many its cells.
    rna, rna_shares = crosses([48, 16, last[0]], [[8, 0], [30, 4], [-7, -7]])
    atac, atac_shares = crosses([16, 240, last[1]], [[0, 0], [30, 0], [100, -50]])
    found = moved(atac, atac_shares, *fit_affine_maps(rna, rna_shares, atac, atac_shares))
    for group, step in enumerate([(6, 1), (2, 3), (4, 2)]):
        own = atac_shares[:, group] == 1
        if own.any():
            np.testing.assert_allclose((found - atac)[own].mean(axis=0), step, atol=1e-3)


@pytest.mark.parametrize("cells", [0, 1, 2])
@pytest.mark.parametrize("scarce", ["rna", "atac", "both"])
def test_groups_with_hardly_a_cell_have_finite_tame_maps(cells, scarce):
    width = 8
    many, few = [50, 60, 40], [50, cells, 40]
    rna, rna_labels = clouds(many if scarce == "atac" else few, width, seed=0)
    atac, atac_labels = clouds(many if scarce == "rna" else few, width, seed=1, spread=0.3)
    atac_shares = one_hot(atac_labels, 3)
    matrices, offsets = fit_affine_maps(rna, one_hot(rna_labels, 3), atac, atac_shares)
    assert np.isfinite(matrices).all() and np.isfinite(offsets).all()
    assert np.linalg.norm(matrices, ord=2, axis=(1, 2)).max() < 30
    # The small group's cells land among the others, not far out.
    found = moved(atac, atac_shares, matrices, offsets)
    assert np.abs(found).max() < 3 * max(np.abs(rna).max(), np.abs(atac).max())


def test_a_latent_space_that_collapsed_gives_finite_maps():
    random = np.random.default_rng(0)
    rna, shares = random.normal(size=(20, 4)), one_hot(np.arange(20) % 2, 2)
    for one, other in ((rna, np.zeros((20, 4))), (np.zeros((20, 4)), rna)):
        assert all(
            np.isfinite(values).all() for values in fit_affine_maps(one, shares, other, shares)
        )


def test_a_direction_that_no_cell_varies_in_is_not_blown_up():
    rna, labels = clouds([80, 60], 4, seed=0)
    atac, _ = clouds([80, 60], 4, seed=1, spread=0.3)
    rna[:, 2] = atac[:, 2] = 0.0
    shares = one_hot(labels, 2)
    matrices, offsets = fit_affine_maps(rna, shares, atac, shares)
    found = moved(atac, shares, matrices, offsets)
    np.testing.assert_allclose(found[:, 2], 0, atol=1e-3)


def test_shares_that_tell_no_groups_apart_give_one_map():
    rna, _ = clouds([40, 50], 3, seed=0)
    atac, _ = clouds([60, 20], 3, seed=1)
    even = [np.full((len(latent), 2), 0.5) for latent in (rna, atac)]
    matrices, offsets = fit_affine_maps(rna, even[0], atac, even[1])
    np.testing.assert_allclose(matrices[0], matrices[1], rtol=1e-5)
    found = moved(atac, even[1], matrices, offsets)
    np.testing.assert_allclose(found.mean(axis=0), rna.mean(axis=0), atol=1e-4)


def test_the_modalities_mix_after_the_map():
    """Groups as far apart as before; within them, modalities differ in mean and covariance."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 150)
    centers = random.normal(0, 5, size=(4, 6))
    mixes = random.normal(0, 0.4, size=(4, 6, 6))
    rna = centers[labels] + np.einsum(
        "bz,bzy->by", random.normal(size=(600, 6)), np.eye(6) + mixes[labels]
    )
    atac = (centers + random.normal(0, 0.7, size=(4, 6)))[labels]
    atac = atac + 0.3 * random.normal(size=(600, 6))
    shares = one_hot(labels, 4)
    modality = np.repeat(["rna", "atac"], 600)
    before, _ = modality_mixing(np.concatenate([rna, atac]), modality)
    found = moved(atac, shares, *fit_affine_maps(rna, shares, atac, shares))
    after, _ = modality_mixing(np.concatenate([rna, found]), modality)
    assert before < 0.5 and after > 0.8


def test_the_input_is_left_alone_and_float32_is_as_good():
    rna, rna_labels = clouds([60, 40], 5, seed=0)
    atac, atac_labels = clouds([50, 80], 5, seed=1, spread=0.3)
    given = [rna, one_hot(rna_labels, 2), atac, one_hot(atac_labels, 2)]
    copies = [values.astype(np.float32) for values in given]
    kept = [values.copy() for values in given]
    for exact, rounded in zip(fit_affine_maps(*given), fit_affine_maps(*copies), strict=True):
        np.testing.assert_allclose(rounded, exact, rtol=1e-3, atol=1e-3)
    for values, before in zip(given, kept, strict=True):
        np.testing.assert_array_equal(values, before)


def test_atac_cells_without_spread_send_no_new_cell_far_away():
    random = np.random.default_rng(0)
    rna, new = random.normal(size=(60, 3)), random.normal(size=(20, 3)).astype(np.float32)
    shares = np.ones((60, 1))
    found = moved(new, np.ones((20, 1)), *fit_affine_maps(rna, shares, np.zeros((60, 3)), shares))
    assert np.abs(found).max() < 50 * np.abs(new).max()
