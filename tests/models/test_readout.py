"""The readout by hand: temperature, novelty, unknown cells; ATAC cells alone are moved."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import softmax
from scipy.stats import entropy

from scadv_tf.data.linear_guess import DRAWS
from scadv_tf.modalities import MODALITIES
from scadv_tf.models.latent_alignment import CLUSTERS
from scadv_tf.models.readout import KNOTS, RESOLUTION, Readout, quantile_knots, share_below
from scadv_tf.models.scadv import ScAdv

LATENT = np.array([[1.0, 2.0], [-1.0, 0.5], [0.0, 0.0]], dtype=np.float32)
LOGITS = np.log([[0.8, 0.2], [0.5, 0.5], [0.25, 0.75]]).astype(np.float32)
FEATURES = np.array([[3.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1.0, 6.0, 2.0]], dtype=np.float32)
TO_HUNDRED = np.linspace(0, 100, KNOTS)  # quantiles of what is even between 0 and 100


def made(types, width, features):
    readout = Readout(types, width, features)
    readout.build()
    return readout


@pytest.fixture
def readout():
    """Of two types, two dimensions and three features, as it is made."""
    return made(2, 2, 3)


@pytest.fixture
def random_state():
    """A fitted readout, and latent vectors [B, 3], logits [B, 4] and features [B, 5]."""
    random = np.random.default_rng(0)
    fitted = made(4, 3, 5)
    for state in fitted.alignment.weights:
        state.assign(random.normal(size=state.shape))
    fitted.alignment.width.assign(6.0)
    fitted.temperature.assign(1.7)
    kernels, biases = (random.normal(size=(2, DRAWS, *shape)) for shape in ((5, 4), (4,)))
    fitted.set_linear(kernels, biases, [0.2, 0.1])
    fitted.centers.assign(random.normal(size=(4, 5)))
    fitted.variances.assign(random.uniform(0.5, 2, size=5))
    fitted.uncertainty_knots.assign(np.sort(random.random(KNOTS)))
    fitted.distance_knots.assign(np.sort(random.gamma(4, 0.5, size=(2, KNOTS))))
    fitted.unknown_threshold.assign(0.8)
    cells = [random.normal(0, 1.5, size=(50, n)).astype(np.float32) for n in (3, 4, 5)]
    return fitted, cells


def each_draw(of_features, of_directions):
    """The same at each draw [2, draws, ...]."""
    return np.stack([np.stack([of_features, of_directions])] * DRAWS, axis=1)


def joined_twin(readout, logits, features):
    """Probabilities of the network, divided by its temperature, and of the linear guess."""
    network = softmax(logits.astype(np.float64) / float(readout.temperature), axis=1)
    features = features.astype(np.float64)
    views = features, features / np.linalg.norm(features, axis=1, keepdims=True)
    kernels, biases = (v.numpy() for v in (readout.linear_kernels, readout.linear_biases))
    guesses = [
        np.mean([softmax(view @ k + b, axis=1) for k, b in zip(*drawn, strict=True)], axis=0)
        for view, *drawn in zip(views, kernels, biases, strict=True)
    ]
    shares = readout.linear_shares.numpy()
    return (1 - shares.sum()) * network + np.tensordot(shares, guesses, 1)


def answer(readout, latent=LATENT, logits=LOGITS, features=FEATURES, modality="atac"):
    found = readout(*map(tf.constant, (latent, logits, features)), modality=modality)
    return {name: np.asarray(values) for name, values in found.items()}


# At the start.


@pytest.mark.parametrize("modality", MODALITIES)
def test_at_the_start_the_network_speaks_for_itself(readout, modality):
    found = answer(readout, modality=modality)
    np.testing.assert_allclose(found["latent"], LATENT, rtol=1e-6)
    np.testing.assert_array_equal(found["logits"], LOGITS)
    np.testing.assert_allclose(found["probabilities"], np.exp(LOGITS), rtol=1e-6)
    assert not found["unknown"].any()


@pytest.mark.parametrize("types", [2, 6, 7, 31])
def test_at_the_start_not_even_a_far_off_guess_is_unknown(types):
    logits = np.full((3, types), -7.0, dtype=np.float32)
    found = answer(made(types, 2, 3), logits=logits, features=1e4 + FEATURES)
    np.testing.assert_allclose(found["uncertainty"], 1, rtol=1e-6)
    assert found["novelty"].max() <= 1 and not found["unknown"].any()


def test_nothing_of_it_is_trained(readout):
    assert readout.trainable_weights == []
    assert {weight.name: tuple(weight.shape) for weight in readout.weights} == {
        "type_matrices": (2, 2, 2),
        "type_offsets": (2, 2),
        "cluster_centers": (CLUSTERS, 2),
        "cluster_width": (),
        "cluster_matrices": (CLUSTERS, 2, 2),
        "cluster_offsets": (CLUSTERS, 2),
        "temperature": (),
        "linear_shares": (2,),
        "linear_kernels": (2, DRAWS, 3, 2),
        "linear_biases": (2, DRAWS, 2),
        "centers": (2, 3),
        "variances": (3,),
        "uncertainty_knots": (KNOTS,),
        "distance_knots": (2, KNOTS),
        "unknown_threshold": (),
    }


def test_a_reset_readout_is_as_it_was_made(random_state):
    readout, _ = random_state
    readout.reset()
    for found, fresh in zip(readout.get_weights(), made(4, 3, 5).get_weights(), strict=True):
        np.testing.assert_array_equal(found, fresh)


# Temperature, and the linear guess beside it.


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_temperature_by_hand(readout, modality):
    # Odds 4 : 1, 1 : 1 and 1 : 3 to the power of 1 / 2.
    readout.temperature.assign(2.0)
    found = answer(readout, modality=modality)
    third = 1 / (1 + 3**0.5)
    expected = [[2 / 3, 1 / 3], [1 / 2, 1 / 2], [third, 1 - third]]
    np.testing.assert_allclose(found["probabilities"], expected, rtol=1e-6)
    np.testing.assert_allclose(found["logits"], LOGITS / 2, rtol=1e-6)


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_linear_guess_joins_the_network_by_hand(readout, modality):
    # Of features, each one's log odds: 3 : 1, 1 : 1, then 3^(1/3) * 4 : 1. The third cell's
    # direction is its features over the root of 41, so that of directions the odds are 4 : 1,
    # 1 : 1 and 4^(1 / root 41) : 1.
    features = np.array([[np.log(3) / 3, 0], [np.log(2) / 3, 0], [0, 0]])
    directions = np.array([[np.log(4), 0], [0, 0], [0, 0]])
    readout.set_linear(each_draw(features, directions), np.zeros((2, DRAWS, 2)), [0.15, 0.1])
    found = answer(readout, modality=modality)["probabilities"]
    odds = np.array([[3, 1, 3 ** (1 / 3) * 4], [4, 1, 4 ** (1 / 41**0.5)]])
    guesses = odds / (1 + odds)
    first = 0.75 * np.array([0.8, 0.5, 0.25]) + 0.15 * guesses[0] + 0.1 * guesses[1]
    np.testing.assert_allclose(found, np.stack([first, 1 - first], axis=1), rtol=1e-6)


def test_of_the_linear_guess_the_mean_over_the_draws_counts_by_hand(readout):
    # Odds of 9 : 1 in one draw, of 1 : 3 in the others, whatever the features.
    draws = np.array([[np.log(9), 0], *[[0, np.log(3)]] * (DRAWS - 1)])
    readout.set_linear(np.zeros((2, DRAWS, 3, 2)), [draws] * 2, [0.75, 0.25])
    expected = (9 / 10 + (DRAWS - 1) / 4) / DRAWS
    np.testing.assert_allclose(answer(readout)["probabilities"][:, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_temperature_divides_the_network_alone(readout, share):
    random = np.random.default_rng(0)
    kernel, bias = random.normal(size=(3, 2)), random.normal(size=2)
    readout.temperature.assign(2.0)
    given = each_draw(kernel, 0 * kernel), each_draw(bias, 0 * bias)
    readout.set_linear(*given, [0.75 * share, 0.25 * share])
    found = answer(readout)
    expected = (1 - share) * softmax(LOGITS / 2, axis=1)
    expected += share * (0.75 * softmax(FEATURES @ kernel + bias, axis=1) + 0.25 / 2)
    np.testing.assert_allclose(found["probabilities"], expected, rtol=1e-5)
    np.testing.assert_allclose(found["logits"], LOGITS / 2, rtol=1e-6)
    np.testing.assert_allclose(found["uncertainty"], entropy(expected.T, base=2), rtol=1e-4)


def test_a_type_without_rna_cells_gets_nothing_from_the_linear_guess(readout):
    biases = np.broadcast_to([0.0, -np.inf], (2, DRAWS, 2))
    readout.set_linear(np.zeros((2, DRAWS, 3, 2)), biases, [0.25, 0.25])
    assert np.isfinite(readout.linear_biases.numpy()).all()
    found = answer(readout)["probabilities"]
    network = np.exp(LOGITS)
    np.testing.assert_allclose(found[:, 1], network[:, 1] / 2, rtol=1e-6)
    np.testing.assert_allclose(found[:, 0], network[:, 0] / 2 + 0.5, rtol=1e-6)


def test_a_reset_readout_forgets_the_linear_guess(readout):
    biases = np.broadcast_to([0.0, 5.0], (2, DRAWS, 2))
    readout.set_linear(np.ones((2, DRAWS, 3, 2)), biases, [0.25, 0.25])
    assert np.abs(answer(readout)["probabilities"] - np.exp(LOGITS)).max() > 0.1
    readout.reset()
    np.testing.assert_allclose(answer(readout)["probabilities"], np.exp(LOGITS), rtol=1e-6)
    for state in (readout.linear_shares, readout.linear_kernels, readout.linear_biases):
        assert not state.numpy().any()


@pytest.mark.parametrize("temperature", [0.1, 0.9, 3.0, 20.0])
def test_no_temperature_changes_a_label_of_the_network_alone(random_state, temperature):
    readout, cells = random_state
    readout.linear_shares.assign([0.0, 0.0])
    readout.temperature.assign(temperature)
    found = answer(readout, *cells)["probabilities"]
    np.testing.assert_array_equal(found.argmax(axis=1), cells[1].argmax(axis=1))


# Novelty.


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_uncertainty_by_hand(readout, modality):
    # Bits of 1/5, 1/2 and 1/4.
    bits = [0.7219281, 1.0, 0.8112781]
    np.testing.assert_allclose(answer(readout, modality=modality)["uncertainty"], bits, rtol=1e-5)


def test_logits_that_leave_no_doubt_give_an_uncertainty_of_zero(readout):
    logits = np.array([[0, 500], [-1e4, 1e4], [0, -1e4]], dtype=np.float32)
    found = answer(readout, logits=logits)
    assert all(np.isfinite(values).all() for values in found.values())
    np.testing.assert_array_equal(found["uncertainty"], [0, 0, 0])


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_distance_by_hand(readout, modality):
    # Squares in units of the variances, mean of three: to (3, 0, 0) and to (1, 0, 0).
    readout.centers.assign([[3, 0, 0], [1, 0, 0]])
    readout.variances.assign([1, 4, 0.5])
    expected = [0, 1 / 3, (36 / 4 + 4 / 0.5) / 3]
    found = answer(readout, modality=modality)["distance"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_the_distance_far_from_all_types_is_not_lost_in_rounding(readout):
    # 100 away from the centre 1000: squares of 1e6 cancel.
    readout.centers.assign([[1000, 0, 0], [-1000, 0, 0]])
    features = np.array([[1100, 0, 0], [1000, 0, 0], [-1000, 3, 0]], dtype=np.float32)
    found = answer(readout, features=features)["distance"]
    np.testing.assert_allclose(found, [1e4 / 3, 0, 3], rtol=1e-3, atol=0.2)


@pytest.mark.parametrize(
    "knots, values, expected",
    [
        ([0, 1, 2, 4], [-1, 0, 0.5, 1, 3, 4, 5], [0, 0, 1 / 6, 1 / 3, 5 / 6, 1, 1]),
        ([0, 0, 0, 1, 1], [-1, 0, 0.5, 1, 2], [0, 0, 0.625, 0.75, 1]),
        ([2, 2, 2], [1, 2, 3], [0, 0, 1]),
        ([0, 0], [-1e-45, 0, 1e-30, 1e30], [0, 0, 1, 1]),
    ],
    ids=str,
)
def test_the_share_below_by_hand(knots, values, expected):
    found = share_below(*(tf.constant(numbers, tf.float32) for numbers in (knots, values)))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_share_below_is_that_of_the_values_behind_the_quantiles():
    random = np.random.default_rng(0)
    values = random.gamma(2, size=5000).astype(np.float32)
    knots = quantile_knots(values).astype(np.float32)
    asked = random.gamma(2, size=100).astype(np.float32)
    found = share_below(knots, tf.constant(asked))
    expected = (values < asked[:, None]).mean(axis=1)
    np.testing.assert_allclose(found, expected, atol=1 / KNOTS)
    expected = np.interp(asked, knots, np.linspace(0, 1, KNOTS))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


# What is ranked, from sure cells to scattered ones.
RANKED = {
    "all zero": np.zeros(300),
    "roundings": np.random.default_rng(0).exponential(1e-9, size=300),
    "sure and in doubt": np.repeat([1e-7, 0.5, 0.5 + 1e-7], 100),
    "far and the same": np.full(300, 4e5),
    "scattered": np.random.default_rng(0).gamma(2, size=5000),
}


def steepest(knots):
    """The largest slope of the share, in units of the values where these are above 1."""
    near = np.linspace(0, 2 * RESOLUTION, 1000) * np.maximum(1, knots[0])
    values = np.unique(np.float32([*knots, *(knots[0] + near), *(1.5 * knots)]))
    share = share_below(np.float32(knots), tf.constant(values)).numpy()
    slopes = np.diff(share.astype(float)) / np.diff(values.astype(float))
    return (slopes * np.maximum(1, values[:-1])).max()


@pytest.mark.parametrize("kind", RANKED)
def test_no_rounding_moves_a_rank_by_much(kind):
    plain, knots = np.quantile(RANKED[kind], np.linspace(0, 1, KNOTS)), quantile_knots(RANKED[kind])
    assert steepest(knots) < 1.01 / RESOLUTION
    assert (steepest(plain) > 10 / RESOLUTION) == (kind != "scattered")
    rise = (knots - plain) / np.maximum(1, plain)
    assert rise.min() == 0 and rise.max() < 1.01 * RESOLUTION
    if kind == "scattered":
        assert np.mean(rise == 0) > 0.95


def test_the_novelty_by_hand(readout):
    # Bits 0.722, 1 and 0.811 of 0 to 1; distances 3, 0 and 41 / 3 of 0 to 100, twice that for RNA.
    readout.uncertainty_knots.assign(TO_HUNDRED / 100)
    readout.distance_knots.assign([TO_HUNDRED / 2, TO_HUNDRED])
    bits, distances = np.array([0.7219, 1.0, 0.8113]), np.array([3, 0, 41 / 3])
    for modality, hundred in (("rna", 50), ("atac", 100)):
        found = answer(readout, modality=modality)["novelty"]
        above = 1 - 200 / 201 * np.array([bits, distances / hundred])
        expected = 1 - np.cbrt(above[0] ** 2 * above[1])
        np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("modality", MODALITIES)
def test_unknown_cells_are_those_above_the_threshold(readout, modality):
    readout.uncertainty_knots.assign(TO_HUNDRED / 100)  # novelty 0.58, 0.97, 0.69 or 0.70
    readout.distance_knots.assign([TO_HUNDRED / 2, TO_HUNDRED])
    for threshold, expected in ((0.6, [False, True, True]), (0.9, [False, True, False])):
        readout.unknown_threshold.assign(threshold)
        unknown = answer(readout, modality=modality)["unknown"]
        assert unknown.tolist() == expected and unknown.dtype == bool


def test_far_cells_and_cells_in_doubt_are_more_novel(readout):
    readout.uncertainty_knots.assign(TO_HUNDRED / 100)
    readout.distance_knots.assign([TO_HUNDRED, TO_HUNDRED])
    sure, doubtful = np.array([0.0, 6.0]), np.array([0.0, 0.5])
    logits = np.array([sure, doubtful, sure, doubtful], dtype=np.float32)
    features = np.array([1, 1, 15, 15], dtype=np.float32)[:, None] * np.ones(3, np.float32)
    near, unsure, far, both = answer(readout, np.zeros((4, 2), np.float32), logits, features)[
        "novelty"
    ]
    assert near < unsure < both and near < far < both


@pytest.mark.parametrize("modality", MODALITIES)
def test_everything_by_its_twin(random_state, modality):
    readout, (latent, logits, features) = random_state
    found = answer(readout, latent, logits, features, modality)
    joined = joined_twin(readout, logits, features)
    np.testing.assert_allclose(found["probabilities"], joined, rtol=1e-4)
    np.testing.assert_allclose(found["logits"], logits / 1.7, rtol=1e-5)  # the network's alone
    np.testing.assert_allclose(found["uncertainty"], entropy(joined.T, base=4), rtol=1e-4)
    squares = (features[:, None] - readout.centers.numpy()) ** 2 / readout.variances.numpy()
    np.testing.assert_allclose(found["distance"], squares.mean(axis=2).min(axis=1), rtol=1e-4)
    knots = readout.distance_knots.numpy()[MODALITIES.index(modality)]
    places = np.linspace(0, 1, KNOTS)
    first = np.interp(found["uncertainty"], readout.uncertainty_knots.numpy(), places)
    second = np.interp(found["distance"], knots, places)
    above = 1 - 200 / 201 * np.array([first, second])
    expected = 1 - np.cbrt(above[0] ** 2 * above[1])
    np.testing.assert_allclose(found["novelty"], expected, atol=1e-6)
    np.testing.assert_array_equal(found["unknown"], found["novelty"] > np.float32(0.8))
    assert 0 < found["unknown"].mean() < 1


# The alignment.


def test_atac_cells_are_moved_by_their_joined_and_calibrated_probabilities(random_state):
    readout, (latent, logits, features) = random_state
    found = answer(readout, latent, logits, features)["latent"]
    joined = joined_twin(readout, logits, features).astype(np.float32)
    moved = readout.alignment(latent, joined).numpy()
    np.testing.assert_allclose(found, moved, rtol=1e-4, atol=1e-4)
    for other in (logits / 1.7, logits):
        moved = readout.alignment(latent, softmax(other, axis=1)).numpy()
        assert np.abs(found - moved).max() > 0.1


def test_the_alignment_moves_no_rna_cell_and_no_probability(random_state):
    readout, cells = random_state
    rna, atac = (answer(readout, *cells, modality) for modality in MODALITIES)
    np.testing.assert_array_equal(rna["latent"], cells[0])
    assert np.abs(atac["latent"] - cells[0]).max(axis=1).min() > 0.1
    for name in ("logits", "probabilities", "uncertainty", "distance"):
        np.testing.assert_array_equal(rna[name], atac[name])


# Graphs and files.


@pytest.mark.slow
@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("count", [0, 1, 50])
def test_a_graph_gives_what_eager_execution_gives(random_state, modality, count):
    readout, cells = random_state
    specs = [tf.TensorSpec((None, width), tf.float32) for width in (3, 4, 5)]
    graph = tf.function(lambda *given: readout(*given, modality=modality), specs)
    some = [values[:count] for values in cells]
    eager, served = answer(readout, *some, modality), graph(*some)
    assert eager.keys() == served.keys()
    for name, values in eager.items():
        assert served[name].shape == values.shape and len(values) == count
        np.testing.assert_allclose(served[name], values, rtol=1e-5, atol=1e-6, err_msg=name)


def test_a_graph_follows_a_readout_that_is_fitted_later(readout):
    graph = tf.function(lambda: readout(LATENT, LOGITS, FEATURES, modality="atac"))
    before = graph()
    _, offsets = readout.alignment.type_maps
    offsets.assign([[1, 1], [1, 1]])
    readout.unknown_threshold.assign(-1)
    after = graph()
    np.testing.assert_allclose(after["latent"], before["latent"] + 1, rtol=1e-6)
    assert after["unknown"].numpy().all() and not before["unknown"].numpy().any()


@pytest.mark.slow
def test_a_saved_model_answers_as_before(make_model, make_batch, tmp_path):
    model = make_model(("cross_entropy",))
    random = np.random.default_rng(0)
    for state in model.readout.weights:
        drawn = 0.4 + random.random(state.shape)
        state.assign(np.sort(drawn) if drawn.ndim else drawn)
    cells = make_batch()["atac"]
    expected = model.encode(cells, "atac")
    model.save_weights(tmp_path / "model.weights.h5")
    model.save(tmp_path / "model.keras")
    assert model.readout.linear_shares.numpy().sum() > 0.4  # the linear guess is saved, too
    fresh = make_model(("cross_entropy",), seed=1)
    assert np.abs(fresh.encode(cells, "atac")["latent"] - expected["latent"]).max() > 0.01
    fresh.load_weights(tmp_path / "model.weights.h5")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, ScAdv)
    for twin in (fresh, loaded):
        for name, values in twin.encode(cells, "atac").items():
            np.testing.assert_array_equal(values, expected[name], err_msg=name)


def test_training_leaves_the_readout_alone(make_model, make_batch):
    model = make_model()
    start = model.readout.get_weights()
    for phase in model.phases:
        model.phase = phase
        model.train_step(make_batch())
    for before, after in zip(start, model.readout.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
