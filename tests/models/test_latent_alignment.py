"""The alignment after training: two sets of maps by hand, and what their fit reaches."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import softmax

from scadv_tf.evaluation.metrics import modality_mixing
from scadv_tf.models import latent_alignment
from scadv_tf.models.affine_maps import fit_affine_maps, moved
from scadv_tf.models.latent_alignment import (
    CELLS_OF_A_CLUSTER,
    CLUSTERS,
    FAR_AWAY,
    SHARPNESS,
    WIDTH,
    LatentAlignment,
    sharpened,
)

STATES = {
    "type_matrices": (2, 3, 3),
    "type_offsets": (2, 3),
    "cluster_centers": (CLUSTERS, 3),
    "cluster_width": (),
    "cluster_matrices": (CLUSTERS, 3, 3),
    "cluster_offsets": (CLUSTERS, 3),
}


def made(types, latent_size):
    alignment = LatentAlignment(types, latent_size)
    alignment.build()
    return alignment


def assign(states, *values):
    for state, value in zip(states, values, strict=True):
        state.assign(value)


def random_state(types, latent_size):
    """An alignment with maps of every kind, none of them the identity."""
    random = np.random.default_rng(0)
    alignment = made(types, latent_size)
    for state in alignment.weights:
        state.assign(random.normal(size=state.shape))
    alignment.width.assign(6.0)
    return alignment


def some_cells(count, types, latent_size, seed=0):
    """Latent vectors and probabilities."""
    random = np.random.default_rng(seed)
    latent = random.normal(0, 1.5, size=(count, latent_size)).astype(np.float32)
    return latent, random.dirichlet(np.ones(types), size=count).astype(np.float32)


def twin_moved(latent, shares, matrices, offsets):
    """``sum_k q_k (z M_k + b_k)``, cell by cell."""
    return np.array(
        [
            sum(q * (z @ m + b) for q, m, b in zip(row, matrices, offsets, strict=True))
            for z, row in zip(latent, shares, strict=True)
        ]
    )


def twin_memberships(alignment, latent):
    centers = np.asarray(alignment.centers, np.float64)
    squares = ((np.asarray(latent, np.float64)[:, None] - centers) ** 2).sum(axis=2)
    return softmax(-squares / float(alignment.width), axis=1)


def twin_shares(probabilities):
    squared = np.asarray(probabilities, np.float64) ** 2
    return squared / squared.sum(axis=1, keepdims=True)


def after_type_maps(alignment, latent, probabilities):
    maps = [np.asarray(state) for state in alignment.type_maps]
    return moved(latent, twin_shares(probabilities), *maps)


# At the start.


@pytest.mark.parametrize("types", [1, 2, 7])
def test_at_the_start_no_cell_moves(types):
    latent, probabilities = some_cells(20, types, 3)
    found = made(types, 3)(latent, probabilities)
    np.testing.assert_allclose(found, latent, rtol=1e-5, atol=1e-6)


def test_nothing_of_it_is_trained():
    alignment = made(2, 3)
    assert alignment.trainable_weights == []
    assert {weight.name: tuple(weight.shape) for weight in alignment.weights} == STATES


# By hand.


@pytest.mark.parametrize("as_given", [np.asarray, tf.constant], ids=["array", "tensor"])
def test_sharpened_by_hand(as_given):
    found = sharpened(as_given(np.array([[0.8, 0.2], [0.5, 0.5], [1.0, 0.0]])))
    assert SHARPNESS == 2
    np.testing.assert_allclose(found, [[16 / 17, 1 / 17], [0.5, 0.5], [1, 0]], rtol=1e-12)


def test_the_maps_of_the_types_by_hand():
    alignment = made(2, 2)
    matrices, offsets = [[[2, 0], [1, 1]], [[0, 1], [-1, 0]]], [[10, 20], [0, 1]]
    assign(alignment.type_maps, matrices, offsets)
    latent = np.array([[1, 2], [-1, 0.5], [0, 0]], dtype=np.float32)
    probabilities = np.array([[0.8, 0.2], [0.5, 0.5], [0.25, 0.75]], dtype=np.float32)
    # z M + b: (1, 2) -> (14, 22) and (-2, 2); (-1, 1/2) -> (8.5, 20.5) and (-0.5, 0);
    # (0, 0) -> (10, 20) and (0, 1). Shares are squared: 16 : 1, 1 : 1, 1 : 9.
    expected = [[222 / 17, 354 / 17], [4, 10.25], [1, 2.9]]
    np.testing.assert_allclose(alignment(latent, probabilities), expected, rtol=1e-5)


@pytest.fixture
def two_clusters(monkeypatch):
    """One dimension, centres 0 and 4; a step of the difference of squares by 8 triples the odds."""
    monkeypatch.setattr(latent_alignment, "CLUSTERS", 2)
    alignment = made(2, 1)
    alignment.centers.assign([[0], [4]])
    alignment.width.assign(8 / np.log(3))
    return alignment


def test_memberships_by_hand(two_clusters):
    # Differences of the squares 16, 8, 0 and -16: odds 9, 3, 1 and 1/9.
    found = two_clusters.memberships(np.array([[0], [1], [2], [4]], dtype=np.float32))
    expected = [[0.9, 0.1], [0.75, 0.25], [0.5, 0.5], [0.1, 0.9]]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_memberships_by_their_twin():
    alignment = random_state(2, 5)
    latent, _ = some_cells(40, 2, 5)
    found = np.asarray(alignment.memberships(latent))
    np.testing.assert_allclose(found, twin_memberships(alignment, latent), rtol=1e-4, atol=1e-6)
    assert (found.max(axis=1) < 0.9).any() and (found.max(axis=1) > 1.5 / CLUSTERS).all()


def test_memberships_far_from_every_centre_are_finite():
    alignment = random_state(2, 3)
    far = np.array([[1e6, 0, 0], [0, -1e6, 1e6]], dtype=np.float32)
    for width in (1e-7, 1.0):
        alignment.width.assign(width)
        found = np.asarray(alignment.memberships(far))
        np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)


def test_both_sets_of_maps_by_hand(two_clusters):
    assign(two_clusters.type_maps, [[[2]], [[-1]]], [[1], [0]])
    assign(two_clusters.cluster_maps, [[[3]], [[1]]], [[0], [10]])
    # 1/2 -> 2, shares 1 : 1 of 6 and 12; 0 -> 0, shares 9 : 1 of 0 and 10;
    # 11/17 by 9 : 1 of 39/17 and -11/17 -> 2 again; 1 by 1 : 1 of 3 and -1 -> 1, 3 : 1 of 3 and 11.
    latent = np.array([[1 / 2], [0], [11 / 17], [1]], dtype=np.float32)
    probabilities = np.array([[1, 0], [0, 1], [0.75, 0.25], [0.5, 0.5]], dtype=np.float32)
    found = two_clusters(latent, probabilities)
    np.testing.assert_allclose(found, [[9], [1], [9], [5]], rtol=1e-5)


def test_everything_by_its_twin():
    alignment = random_state(4, 3)
    latent, probabilities = some_cells(50, 4, 3)
    halfway = twin_moved(latent, twin_shares(probabilities), *map(np.asarray, alignment.type_maps))
    expected = twin_moved(
        halfway, twin_memberships(alignment, halfway), *map(np.asarray, alignment.cluster_maps)
    )
    np.testing.assert_allclose(alignment(latent, probabilities), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("count", [0, 1, 50])
def test_a_graph_gives_what_eager_execution_gives(count):
    alignment = random_state(4, 3)
    cells = some_cells(count, 4, 3)
    specs = [tf.TensorSpec((None, width), tf.float32) for width in (3, 4)]
    graph = tf.function(lambda *given: alignment(*given), specs)
    assert graph(*cells).shape == (count, 3)
    np.testing.assert_allclose(graph(*cells), alignment(*cells), rtol=1e-5, atol=1e-5)


# The fit.


def tissue(counts=(120, 80), seed=0):
    """Up to four types, 10 apart, of which the ATAC cells lie closer together, and elsewhere.

    Returns RNA latent vectors and codes, ATAC latent vectors and probabilities, ATAC codes.
    """
    random = np.random.default_rng(seed)
    codes = np.repeat(np.arange(len(counts)), counts)
    centers = 10 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]])
    rna = centers[codes] + random.normal(size=(len(codes), 3))
    atac = centers[codes] + [1.0, 0.5, -1.0] + 0.4 * random.normal(size=(len(codes), 3))
    probabilities = 0.9 * np.eye(len(counts))[codes] + 0.1 / len(counts)
    rna, atac, probabilities = (v.astype(np.float32) for v in (rna, atac, probabilities))
    return (rna, codes, atac, probabilities), codes


def fitted(cells, seed=0):
    types, latent_size = cells[3].shape[1], cells[0].shape[1]
    alignment = made(types, latent_size)
    alignment.fit(*cells, seed)
    return alignment


def test_the_first_maps_are_those_of_the_types():
    cells, _ = tissue()
    rna, codes, atac, probabilities = cells
    found = fitted(cells).type_maps
    expected = fit_affine_maps(rna, np.eye(2)[codes], atac, twin_shares(probabilities))
    for state, values in zip(found, expected, strict=True):
        np.testing.assert_allclose(state, values, rtol=1e-4, atol=1e-4)


def test_the_clusters_are_those_of_the_rna_cells_and_the_moved_atac_cells():
    cells, _ = tissue()
    alignment = fitted(cells)
    everyone = np.concatenate([cells[0], after_type_maps(alignment, *cells[2:])])
    count = min(CLUSTERS, len(everyone) // CELLS_OF_A_CLUSTER)
    assert 1 < count < CLUSTERS
    centers, others = np.split(np.asarray(alignment.centers), [count])
    assert (others == FAR_AWAY).all()
    squares = ((everyone[:, None] - centers) ** 2).sum(axis=2)
    nearest = squares.argmin(axis=1)
    assert np.bincount(nearest, minlength=count).min() > 0
    means = [everyone[nearest == code].mean(axis=0) for code in range(count)]
    np.testing.assert_allclose(centers, means, atol=1e-3)
    width = WIDTH * np.median(squares.min(axis=1))
    assert float(alignment.width) == pytest.approx(width, rel=1e-3)


def test_the_second_maps_are_those_of_the_clusters_of_the_moved_cells():
    cells, _ = tissue()
    alignment = fitted(cells)
    rna, atac = cells[0], after_type_maps(alignment, *cells[2:])
    shares = [twin_memberships(alignment, latent) for latent in (rna, atac)]
    expected = fit_affine_maps(rna, shares[0], atac, shares[1])
    for state, values in zip(alignment.cluster_maps, expected, strict=True):
        np.testing.assert_allclose(state, values, rtol=1e-2, atol=1e-2)


def test_cells_that_weigh_more_count_more_in_both_sets_of_maps():
    """A weight of 2 is a cell that is there twice; equal weights are none."""
    cells, _ = tissue()
    rna, labels, atac, probabilities = cells
    random = np.random.default_rng(1)
    weights = [random.integers(1, 4, size=len(latent)).astype(np.float32) for latent in (rna, atac)]
    alignment = made(probabilities.shape[1], rna.shape[1])
    alignment.fit(*cells, 0, tuple(weights))
    twice = [np.repeat(np.arange(len(w)), w.astype(int)) for w in weights]
    taught, shares = np.eye(probabilities.shape[1])[labels], np.asarray(sharpened(probabilities))
    repeated = [values[twice[0]] for values in (rna, taught)]
    repeated += [values[twice[1]] for values in (atac, shares)]
    for state, values in zip(alignment.type_maps, fit_affine_maps(*repeated), strict=True):
        np.testing.assert_allclose(state, values, rtol=1e-3, atol=1e-3)
    halfway = moved(atac, shares, *(state.numpy() for state in alignment.type_maps))
    groups = [
        twin_memberships(alignment, latent) * weight[:, None]
        for latent, weight in zip((rna, halfway), weights, strict=True)
    ]
    maps = fit_affine_maps(rna, groups[0], halfway, groups[1])
    for state, values in zip(alignment.cluster_maps, maps, strict=True):
        np.testing.assert_allclose(state, values, rtol=1e-3, atol=1e-3)
    plain, even = (made(probabilities.shape[1], rna.shape[1]) for _ in range(2))
    plain.fit(*cells, 0)
    even.fit(*cells, 0, (np.ones(len(rna)), np.ones(len(atac))))
    for state, same, other in zip(
        plain.type_maps, even.type_maps, alignment.type_maps, strict=True
    ):
        np.testing.assert_allclose(state, same, rtol=1e-5, atol=1e-5)
        assert np.abs(state.numpy() - other.numpy()).max() > 0.01


def test_few_of_many_cells_are_clustered_as_many_of_each_modality_from_everywhere(monkeypatch):
    # As many cells as clusters: each centre is a cell.
    monkeypatch.setattr(latent_alignment, "CELLS_OF_A_CLUSTER", 1)
    monkeypatch.setattr(latent_alignment, "CLUSTERED_CELLS", CLUSTERS // 2)
    (rna, codes, atac, probabilities), _ = tissue((120, 100, 110, 90))
    rna, codes = np.tile(rna, (4, 1)), np.tile(codes, 4)
    cells = rna, codes, atac, probabilities
    alignment = fitted(cells)
    centers = np.asarray(alignment.centers)[:, None]
    gaps = [
        np.abs(centers - latent).max(axis=2)
        for latent in (rna, after_type_maps(alignment, atac, probabilities))
    ]
    are_rna, are_atac = (gap.min(axis=1) < 1e-4 for gap in gaps)
    assert are_rna.sum() == are_atac.sum() == CLUSTERS // 2 and (are_rna ^ are_atac).all()
    for gap, chosen in zip(gaps, (are_rna, are_atac), strict=True):
        assert len(set(codes[gap.argmin(axis=1)[chosen]])) > 1


def test_whole_weights_are_repeated_cells(monkeypatch):
    # The clusters are of the cells as they are, whatever they weigh.
    centers = np.full((CLUSTERS, 3), FAR_AWAY)
    centers[:3] = [[1, 0, 0], [9, 1, 0], [5, -2, 1]]
    monkeypatch.setattr(latent_alignment, "_clusters", lambda *_: (centers, 20.0))
    (rna, codes, atac, probabilities), _ = tissue()
    random = np.random.default_rng(0)
    times = [random.integers(0, 4, len(latent)) for latent in (rna, atac)]
    repeated = [np.repeat(v, times[0], axis=0) for v in (rna, codes)]
    repeated += [np.repeat(v, times[1], axis=0) for v in (atac, probabilities)]
    found, expected, plain = made(2, 3), made(2, 3), made(2, 3)
    found.fit(rna, codes, atac, probabilities, 0, tuple(times))
    expected.fit(*repeated, 0)
    plain.fit(rna, codes, atac, probabilities, 0)
    for one, other in zip(found.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
    moved_by = [np.asarray(a(atac, probabilities)) for a in (found, expected, plain)]
    np.testing.assert_allclose(moved_by[0], moved_by[1], atol=1e-3)
    assert np.abs(moved_by[0] - moved_by[2]).max() > 0.05


def test_weights_of_one_are_none():
    (rna, codes, atac, probabilities), _ = tissue()
    expected = fitted((rna, codes, atac, probabilities))
    ones = [np.ones(len(latent), np.float32) for latent in (rna, atac)]
    for weights in ((None, None), tuple(ones), (ones[0], None), (None, ones[1])):
        found = made(2, 3)
        found.fit(rna, codes, atac, probabilities, 0, weights)
        for one, other in zip(found.get_weights(), expected.get_weights(), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_the_fit_leaves_its_input_alone():
    cells, _ = tissue()
    kept = [values.copy() for values in cells]
    fitted(cells)
    for values, before in zip(cells, kept, strict=True):
        np.testing.assert_array_equal(values, before)


def test_the_same_seed_gives_the_same_maps_to_the_last_bit():
    cells, _ = tissue()
    first, again, other = (fitted(cells, seed) for seed in (3, 3, 4))
    again.fit(*tissue(seed=9)[0], 5)
    again.fit(*cells, 3)  # what was fitted before is forgotten
    for one, two in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first.centers, other.centers)
    for one, two in zip(first.type_maps, other.type_maps, strict=True):
        np.testing.assert_array_equal(one, two)


# What the fit reaches.


def two_halves(random, half):
    """Type after type two clouds, in other numbers and narrower in the ATAC cells."""
    clouds = np.array([[0.0, 4.0, 0.0], [0.0, -4.0, 0.0]])[half]
    atac = 0.7 * clouds + 0.25 * random.normal(size=clouds.shape)
    return clouds + random.normal(size=clouds.shape), atac


def arcs(random, half):
    """Half circles, thin ones of the ATAC cells."""

    def arc(noise):
        angle = random.uniform(0, np.pi, size=len(half))
        points = np.stack([np.zeros(len(half)), np.cos(angle), np.sin(angle)], axis=1)
        return 5 * points + noise * random.normal(size=points.shape)

    return arc(0.6), 0.8 * arc(0.12)


def mixing(rna, atac):
    modality = np.repeat(["rna", "atac"], [len(rna), len(atac)])
    return modality_mixing(np.concatenate([rna, atac]), modality)[0]


@pytest.mark.parametrize("shape", [two_halves, arcs])
@pytest.mark.parametrize("types", [1, 2], ids=["unsupervised", "two types"])
def test_types_that_are_no_ellipsoids_mix_by_the_second_maps(shape, types):
    random = np.random.default_rng(0)
    codes, half = np.arange(800) % 2, (np.arange(800) // 2) % 2
    centers = np.array([[0.0, 0, 0], [14.0, 0, 0]])[codes]
    rna, atac = shape(random, half)
    rna, atac = (centers + rna).astype(np.float32), (centers + 1 + atac).astype(np.float32)
    codes = codes % types
    probabilities = np.eye(types, dtype=np.float32)[codes]
    alignment = fitted((rna, codes, atac, probabilities))
    before = mixing(rna, atac)
    by_types = mixing(rna, after_type_maps(alignment, atac, probabilities))
    after = mixing(rna, np.asarray(alignment(atac, probabilities)))
    assert before < by_types < 0.9 and after > by_types + 0.1 and after > 0.9


@pytest.mark.parametrize("types", [1, 2])
def test_types_stay_apart(types):
    cells, codes = tissue((200, 150))
    cells = cells[0], codes % types, cells[2], np.eye(types, dtype=np.float32)[codes % types]
    found = np.asarray(fitted(cells)(*cells[2:]))
    gaps = ((found[:, None] - cells[0]) ** 2).sum(axis=2)
    assert (codes[gaps.argmin(axis=1)] == codes).mean() > 0.99


def test_a_cloud_is_left_where_it_is_if_both_modalities_share_it():
    (rna, codes, _, _), _ = tissue()
    one_hot = np.eye(2, dtype=np.float32)[codes]
    found = np.asarray(fitted((rna, codes, rna, one_hot))(rna, one_hot))
    np.testing.assert_allclose(found, rna, atol=5e-3)


# Cells that are not like the others.


@pytest.mark.parametrize("counts", [(4, 4), (12, 8), (30, 20)])
def test_few_cells_are_one_cluster_and_send_no_new_cell_far_away(counts):
    (rna, codes, atac, probabilities), _ = tissue(counts)
    alignment = fitted((rna, codes, atac[:-1], probabilities[:-1]))
    assert all(np.isfinite(state).all() for state in alignment.get_weights())
    new = tissue((50, 50), seed=1)[0]
    found = np.asarray(alignment(*new[2:]))
    assert np.abs(found).max() < 3 * max(np.abs(values).max() for values in (rna, atac, new[2]))
    centers = np.asarray(alignment.centers)
    everyone = np.concatenate([rna, after_type_maps(alignment, atac, probabilities)[:-1]])
    assert (centers == FAR_AWAY).all(axis=1).sum() == CLUSTERS - max(1, len(everyone) // 50)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_latent_space_that_collapsed_gives_finite_maps():
    (rna, codes, atac, probabilities), _ = tissue()
    for one, other in ((0 * rna, 0 * atac), (rna, 0 * atac), (0 * rna, atac)):
        alignment = fitted((one, codes, other, probabilities))
        assert all(np.isfinite(state).all() for state in alignment.get_weights())
        assert np.isfinite(alignment(atac, probabilities)).all()


NOVEL = 60


def with_novel_type(probabilities):
    """Two known types and, 20 away, a cloud of ATAC cells that the RNA has nothing of."""
    (rna, codes, atac, known), _ = tissue((200, 150))
    width = len(probabilities)
    known = np.pad(known, ((0, 0), (0, width - 2)))
    random = np.random.default_rng(1)
    novel = rna.mean(axis=0) + [0, 0, 20] + 0.4 * random.normal(size=(NOVEL, 3))
    atac = np.concatenate([atac, novel]).astype(np.float32)
    probabilities = np.concatenate([known, np.tile(probabilities, (NOVEL, 1))]).astype(np.float32)
    return rna, codes, atac, probabilities


def nearest_rna(latent, rna):
    return np.sqrt(((latent[:, None] - rna) ** 2).sum(axis=2).min(axis=1))


def test_atac_cells_of_a_type_without_rna_cells_move_by_the_common_shift():
    rna, codes, atac, probabilities = cells = with_novel_type([0, 0, 1])
    steps = np.asarray(fitted(cells)(atac, probabilities)) - atac
    known = np.linalg.norm(steps[:-NOVEL].mean(axis=0))
    apart = np.linalg.norm(steps[:-NOVEL].mean(axis=0) - steps[-NOVEL:].mean(axis=0))
    assert known > 1 and apart < 0.25 * known


def test_the_second_maps_draw_no_novel_cells_to_the_rna_cells():
    rna, codes, atac, probabilities = cells = with_novel_type([0.5, 0.5])
    alignment = fitted(cells)
    halfway = after_type_maps(alignment, atac, probabilities)
    found = np.asarray(alignment(atac, probabilities))
    before, after = (nearest_rna(latent[-NOVEL:], rna) for latent in (halfway, found))
    assert np.median(after) > 0.8 * np.median(before) > 2 * np.median(nearest_rna(found, rna))
    # Their neighbours are their own.
    everyone = np.concatenate([rna, found])
    order = ((found[-NOVEL:, None] - everyone) ** 2).sum(axis=2).argsort(axis=1)
    assert (order[:, 1:11] >= len(everyone) - NOVEL).mean() > 0.95


# Files.


def test_the_config_makes_the_same_layer():
    alignment = LatentAlignment(5, 4, name="moves")
    again = LatentAlignment.from_config(alignment.get_config())
    assert (again.types, again.latent_size, again.name) == (5, 4, "moves")
    again.build()
    assert again.type_maps[0].shape == (5, 4, 4) and again.centers.shape == (CLUSTERS, 4)


def test_a_saved_layer_moves_cells_as_before(tmp_path):
    cells, _ = tissue()
    alignment = fitted(cells)
    inputs = [keras.Input((width,)) for width in (3, 2)]
    model = keras.Model(inputs, alignment(*inputs))
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    fresh = keras.Model(inputs, made(2, 3)(*inputs))
    fresh.load_weights(tmp_path / "model.weights.h5")
    expected = np.asarray(alignment(*cells[2:]))
    assert np.abs(expected - cells[2]).max() > 0.1
    for twin in (loaded, fresh):
        np.testing.assert_array_equal(twin(list(cells[2:])), expected)
