"""What is fitted after the training: on held-out cells, without a change of any weight or label."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from one_model import alike, fit_alike
from scipy.special import softmax
from scipy.stats import entropy

from scadv_tf import RunConfig, annotation, fit, fitting, load_dataset
from scadv_tf.annotation import annotate_cells, encode, fit_readout
from scadv_tf.checkpoints import save_weights
from scadv_tf.config import (
    EvaluationConfig,
    LossConfig,
    NetworkConfig,
    PreprocessingConfig,
    TrainingConfig,
)
from scadv_tf.data import preprocessing
from scadv_tf.data.datasets import DatasetSource
from scadv_tf.data.rows import DiskRows
from scadv_tf.evaluation.metrics import modality_mixing
from scadv_tf.fitting import build_model
from scadv_tf.modalities import MODALITIES
from scadv_tf.models.affine_maps import fit_affine_maps, moved
from scadv_tf.models.confidence import fit_temperature, held_out_rows
from scadv_tf.models.readout import KNOTS
from scadv_tf.serving.served_model import Served, ServedModel

pytestmark = pytest.mark.slow

CONFIG = RunConfig(
    preprocessing=PreprocessingConfig(neighbors=5, lsi_size=4, projection_size=8),
    network=NetworkConfig(
        encoder_sizes=(32, 16), generator_sizes=(16,), atac_discriminator_sizes=(16,)
    ),
    loss=LossConfig(modality_adversarial=0.0),  # the fewer, the faster they are traced
    training=TrainingConfig(epochs=4, calibration_share=0.2),
    evaluation=EvaluationConfig(unknown_share=0.1),
)
SAID = ("latent", "probabilities", "uncertainty", "distance", "novelty")


@pytest.fixture(scope="module")
def tissue():
    """Paired data, its cells preprocessed, and the rows that are held out of the training."""
    data, _ = load_dataset(
        "synthetic", DatasetSource(synthetic_cells=330, synthetic_difficulty=0.6, seed=3)
    )
    held_out = held_out_rows(data.rna_labels, CONFIG.training.calibration_share, 0)
    return data, preprocessing.fit(data, CONFIG.preprocessing), held_out


@pytest.fixture(scope="module")
def trained(tissue):
    data, cells, _ = tissue
    return fit(cells, data.rna_labels, len(data.types), CONFIG)[0]


@pytest.fixture
def fitted(tissue, trained):
    """A maker of the trained model with another readout: fitted(held_out, seed=0, **evaluation).

    It is the same object for the same seed: what is said of it holds until the next call.
    """
    data, cells, _ = tissue

    def make(held_out, seed=0, **evaluation):
        evaluation = dataclasses.replace(CONFIG.evaluation, **evaluation)
        training = dataclasses.replace(CONFIG.training, seed=seed)
        config = dataclasses.replace(CONFIG, evaluation=evaluation, training=training)
        with alike():
            model = build_model(cells, len(data.types), config)
        for name in ("encoder", "classifier"):
            getattr(model, name).set_weights(getattr(trained, name).get_weights())
        fit_readout(model, cells, data.rna_labels, held_out, config)
        return model, annotate_cells(model, cells, config)

    return make


def network_alone(model, cells, modality):
    """Latent vectors and logits as trained, without the readout."""
    latent = model.encoder.encode(tf.constant(cells.features[modality]), modality)
    return latent.numpy(), model.classifier(latent).numpy()


def answered(model, cells, modality):
    """Probabilities of the network at its temperature, and of the linear guess."""
    logits = network_alone(model, cells, modality)[1] / float(model.readout.temperature)
    guess, share = cells.balance.guess, CONFIG.evaluation.linear_share
    assert share > 0
    linear = guess(cells.features[modality])
    return (1 - share) * softmax(logits, axis=1) + share * linear


# Held-out cells.


NETWORKS = ("encoder", "classifier", "generator")


@dataclasses.dataclass(frozen=True)
class Learned:
    """What a training has made of the networks, and the temperature that came after it."""

    weights: list[np.ndarray]
    temperature: float

    @classmethod
    def of(cls, model) -> Learned:
        weights = [w for name in NETWORKS for w in getattr(model, name).get_weights()]
        return cls(weights, float(model.readout.temperature))


def short(**training) -> RunConfig:
    """One epoch."""
    training = dataclasses.replace(CONFIG.training, epochs=1, learning_rate=0.05, **training)
    return dataclasses.replace(CONFIG, training=training, loss=LossConfig(cycle=0.1))


@pytest.fixture(scope="module")
def short_training(tissue):
    """A function (changed cells or labels) -> what one epoch has taught."""
    data, cells, _ = tissue

    def train(cells=cells, labels=data.rna_labels) -> Learned:
        return Learned.of(fit_alike(cells, labels, len(data.types), short())[0])

    return train


@pytest.fixture(scope="module")
def plain(short_training):
    """What one epoch on the cells as they are has taught."""
    return short_training()


def with_zeros(cells, rows):
    """The same cells, some of the RNA cells without a count."""
    rna = cells.values("rna").tolil(copy=True)
    rna[rows] = 0
    # All others as they are, to the last bit, which sums by another number of threads are not.
    features = cells.features["rna"].copy()
    features[rows] = cells.preprocessor.features(rna.tocsr(), "rna")[rows]
    assert (features != cells.features["rna"]).any(axis=1).sum() == len(rows)
    return dataclasses.replace(cells, features=cells.features | {"rna": features})


def same_networks(one: Learned, other: Learned) -> bool:
    return all(map(np.array_equal, one.weights, other.weights))


def test_the_values_of_held_out_cells_train_nothing_but_set_the_temperature(
    tissue, short_training, plain
):
    data, cells, held_out = tissue
    assert len(held_out) > 50
    changed = short_training(with_zeros(cells, held_out))
    assert same_networks(plain, changed)
    assert plain.temperature != changed.temperature
    # The same done to one cell that is not held out is noticed.
    taught = np.setdiff1d(np.arange(len(data.rna_labels)), held_out)
    assert not same_networks(plain, short_training(with_zeros(cells, taught[:1])))


def test_the_labels_of_held_out_cells_train_nothing_but_set_the_temperature(
    tissue, short_training, plain, monkeypatch
):
    data, _, held_out = tissue
    # Other labels would be held out otherwise.
    monkeypatch.setattr(fitting, "held_out_rows", lambda *_: held_out)
    wrong = data.rna_labels.copy()
    wrong[held_out] = (wrong[held_out] + 1) % len(data.types)
    changed = short_training(labels=wrong)
    assert same_networks(plain, changed)
    assert changed.temperature > 2 * plain.temperature


def test_without_a_share_every_cell_is_taught_and_nothing_is_calibrated(tissue):
    data, cells, held_out = tissue
    config = short(calibration_share=0.0)

    def train(cells):
        return fit_alike(cells, data.rna_labels, len(data.types), config)[0]

    model = train(cells)
    first = Learned.of(model)
    assert first.temperature == 1
    assert not annotate_cells(model, cells, config).voted.unknown.any()
    assert not same_networks(first, Learned.of(train(with_zeros(cells, held_out[:1]))))


# Temperature, novelty, threshold.


def test_the_temperature_is_that_of_the_held_out_cells(tissue, fitted):
    data, cells, held_out = tissue
    model, _ = fitted(held_out)
    _, logits = network_alone(model, cells, "rna")
    # Of the cells as they are labelled the network is too modest: so every third one is renamed.
    labels = data.rna_labels.copy()
    labels[::3] = (labels[::3] + 1) % len(data.types)
    surest, temperatures = np.argsort(-logits.max(axis=1)), []
    for others in (np.sort(surest[:60]), np.sort(surest[:150]), held_out):
        fit_readout(model, cells, labels, others, CONFIG)
        temperatures.append(fit_temperature(logits[others], labels[others]))
        found = float(model.readout.temperature)
        assert found == pytest.approx(temperatures[-1], rel=1e-3)
    assert min(temperatures) > 1.05 and np.ptp(temperatures) > 0.02
    for modality in MODALITIES:
        _, logits = network_alone(model, cells, modality)
        encoded = encode(model, cells.features[modality], modality)
        answer = model.encode(cells.features[modality], modality)
        np.testing.assert_allclose(answer["logits"], logits / found, rtol=1e-3, atol=1e-3)
        joined = answered(model, cells, modality)
        np.testing.assert_allclose(encoded.probabilities, joined, atol=1e-4)


def novelty_twin(trained, tissue, modality):
    """By shares above: of the uncertainty among held-out cells, squared, and of the distance."""
    data, cells, held_out = tissue
    types, distances, doubts = len(data.types), {}, {}
    rna, atac = (
        cells.genes(name).astype(np.float64) @ cells.preprocessor.components for name in MODALITIES
    )
    centers = np.array([rna[data.rna_labels == code].mean(axis=0) for code in range(types)])
    variances = ((rna - centers[data.rna_labels]) ** 2).mean(axis=0)
    for name, features in (("rna", rna), ("atac", atac)):
        squares = (features[:, None] - centers) ** 2 / variances
        distances[name] = squares.mean(axis=2).min(axis=1)
        doubts[name] = entropy(answered(trained, cells, name).T, base=types)
    doubt, distance = doubts[modality], distances[modality]
    first = (doubts["rna"][held_out] < doubt[:, None]).mean(axis=1)
    second = (distance < distance[:, None]).mean(axis=1)
    above = [1 - (1 - 1 / KNOTS) * share for share in (first, second)]
    return doubt, distance, 1 - np.cbrt(above[0] ** 2 * above[1])


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_novelty_by_its_twin(tissue, trained, modality):
    doubt, distance, novelty = novelty_twin(trained, tissue, modality)
    found = encode(trained, tissue[1].features[modality], modality)
    np.testing.assert_allclose(found.uncertainty, doubt, atol=1e-4)
    np.testing.assert_allclose(found.distance, distance, rtol=1e-3)
    # Ranks by quantiles: as fine as the knots and the 60 held-out cells allow.
    error = 2 * (2 / KNOTS + 1 / len(tissue[2]))  # the first chance is squared
    np.testing.assert_allclose((1 - found.novelty) ** 3, (1 - novelty) ** 3, atol=error)
    assert np.corrcoef(found.novelty, novelty)[0, 1] > 0.998


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_the_share_of_held_out_cells_is_above_the_threshold(tissue, fitted, share):
    _, _, held_out = tissue
    model, found = fitted(held_out, unknown_share=share)
    novelty, threshold = found.rna.novelty[held_out], float(model.readout.unknown_threshold)
    if share == 0:
        assert threshold == pytest.approx(novelty.max(), abs=1e-4)
    # Together with all cells, a held-out cell's numbers may be rounded otherwise than alone.
    assert np.mean(novelty > threshold + 1e-4) == pytest.approx(share, abs=1.1 / len(held_out))


def test_a_higher_share_calls_more_atac_cells_unknown(tissue, fitted):
    unknown = [fitted(tissue[2], unknown_share=share)[1].voted.unknown for share in (0.1, 0.3, 0.6)]
    assert 0 < unknown[0].sum() < unknown[1].sum() < unknown[2].sum() < 330
    assert all((more | ~less).all() for less, more in zip(unknown, unknown[1:], strict=False))


def test_without_held_out_cells_nothing_is_unknown(fitted):
    model, found = fitted(np.empty(0, np.int64))
    assert float(model.readout.temperature) == float(model.readout.unknown_threshold) == 1
    assert not found.voted.unknown.any()


def test_annotate_by_twins(tissue, trained):
    _, cells, _ = tissue
    found = annotate_cells(trained, cells, CONFIG)
    weights = cells.neighbors.matrix().toarray().astype(np.float64)
    rna, atac = (encode(trained, cells.features[name], name) for name in MODALITIES)
    vote = CONFIG.evaluation.neighbor_vote
    expected = (1 - vote) * atac.probabilities + vote * weights @ atac.probabilities
    voted = found.voted
    np.testing.assert_allclose(voted.probabilities, expected, atol=1e-5)
    novelty = weights @ atac.novelty
    np.testing.assert_allclose(voted.novelty, novelty, atol=1e-5)
    threshold = float(trained.readout.unknown_threshold)
    clear = np.abs(novelty - threshold) > 1e-4
    np.testing.assert_array_equal(voted.unknown[clear], (novelty > threshold)[clear])
    assert 0 < voted.unknown[clear].mean() < 1
    assert (voted.unknown != atac.unknown).any()  # neighbours have their say
    np.testing.assert_array_equal(found.latent, np.concatenate([rna.latent, atac.latent]))


# By parts.


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_size_of_the_parts_and_where_they_lie_change_nothing(
    tissue, trained, modality, monkeypatch, tmp_path
):
    features = tissue[1].features[modality]
    expected = encode(trained, features, modality)
    assert expected.latent.shape == (330, 16) and expected.novelty.shape == (330,)
    monkeypatch.setattr(annotation, "CELLS_AT_ONCE", 100)
    stored = DiskRows(tmp_path / "features", 8)
    stored[0:330] = features
    latent = DiskRows(tmp_path / "latent", 16)
    for found in (encode(trained, features, modality), encode(trained, stored, modality, latent)):
        assert isinstance(found.probabilities, np.ndarray)
        for name in SAID:
            values = getattr(expected, name)
            np.testing.assert_allclose(
                getattr(found, name)[:], values, rtol=1e-4, atol=1e-5, err_msg=name
            )
    assert found.latent is latent and latent.shape == (330, 16)
    alone = annotation.probabilities(trained, stored, modality)
    np.testing.assert_allclose(alone, expected.probabilities, rtol=1e-4, atol=1e-5)


def test_cells_on_disk_get_the_answer_of_cells_in_memory(tissue, trained, fitted, tmp_path):
    """The readout that is fitted to them, and what it says of them."""
    data, cells, held_out = tissue
    features = {}
    for name, values in cells.features.items():
        features[name] = DiskRows(tmp_path / f"{name}_features", 8)
        features[name][0:330] = values
    stored = dataclasses.replace(cells, features=features, held={}, scratch=tmp_path)
    model, expected = fitted(held_out)
    first = model.readout.get_weights()
    fit_readout(model, stored, data.rna_labels, held_out, CONFIG)
    for one, two in zip(first, model.readout.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    found = annotate_cells(model, stored, CONFIG)
    assert not isinstance(found.latent, np.ndarray) and found.latent.shape == (660, 16)
    np.testing.assert_array_equal(found.latent[300:400], expected.latent[300:400])
    for name in ("probabilities", "novelty", "unknown"):
        np.testing.assert_array_equal(getattr(found.voted, name), getattr(expected.voted, name))


def test_a_readout_of_many_cells_is_that_of_some_of_them(tissue, fitted, monkeypatch):
    _, cells, held_out = tissue
    expected = fitted(held_out)[0].readout
    temperature, variances = float(expected.temperature), expected.variances.numpy()
    seen = []
    real = annotation.encode

    def spy(model, features, *others):
        seen.append(len(features))
        return real(model, features, *others)

    monkeypatch.setattr(annotation, "READOUT_CELLS", 250)
    monkeypatch.setattr(annotation, "encode", spy)
    found, answer = fitted(held_out)
    rna, atac = seen[:2]
    assert 250 <= rna < 260 and atac == 250  # and ten of each type, of which a rare one has fewer
    assert max(seen) == 330  # all of them are answered
    assert answer.voted.probabilities.shape[0] == 330
    # As many held-out cells as before: of all cells, 250 give much the same.
    assert len(held_out) < 250
    assert float(found.readout.temperature) == temperature
    ratio = found.readout.variances.numpy() / variances
    assert (ratio != 1).all() and 0.7 < ratio.min() and ratio.max() < 1.4


# The alignment.


def test_the_alignment_is_that_of_the_labels_and_the_calibrated_probabilities(tissue, trained):
    data, cells, _ = tissue
    alignment = trained.readout.alignment
    rna, _ = network_alone(trained, cells, "rna")
    atac, _ = network_alone(trained, cells, "atac")
    squared = answered(trained, cells, "atac") ** 2
    shares = squared / squared.sum(axis=1, keepdims=True)
    weights = [cells.weights(name)[:, None] for name in MODALITIES]
    taught = np.eye(len(data.types))[data.rna_labels]
    maps = fit_affine_maps(rna, taught * weights[0], atac, shares * weights[1])
    for state, values in zip(alignment.type_maps, maps, strict=True):
        np.testing.assert_allclose(state, values, rtol=0.02, atol=0.02)
    halfway = moved(atac, shares, *(state.numpy() for state in alignment.type_maps))
    squares = [
        ((latent[:, None] - alignment.centers.numpy()) ** 2).sum(axis=2)
        for latent in (rna, halfway)
    ]
    shares = [softmax(-square / float(alignment.width), axis=1) for square in squares]
    weighed = [share * weight for share, weight in zip(shares, weights, strict=True)]
    maps = fit_affine_maps(rna, weighed[0], halfway, weighed[1])
    for state, values in zip(alignment.cluster_maps, maps, strict=True):
        np.testing.assert_allclose(state, values, rtol=0.02, atol=0.02)
    expected = moved(halfway, shares[1], *(state.numpy() for state in alignment.cluster_maps))
    found = {name: encode(trained, cells.features[name], name).latent for name in MODALITIES}
    np.testing.assert_allclose(found["atac"], expected, atol=2e-3)
    np.testing.assert_allclose(found["rna"], rna, rtol=1e-5, atol=1e-5)


def test_a_second_fit_of_the_readout_gives_what_the_first_one_gave(tissue, fitted):
    data, cells, held_out = tissue
    model, _ = fitted(held_out)
    first, temperature = model.readout.get_weights(), float(model.readout.temperature)
    fit_readout(model, cells, (data.rna_labels + 1) % len(data.types), held_out[:30], CONFIG)
    assert float(model.readout.temperature) > 1.5 * temperature
    fit_readout(model, cells, data.rna_labels, held_out, CONFIG)
    for one, two in zip(first, model.readout.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_the_seed_of_the_training_is_that_of_the_clusters(tissue, fitted):
    centers, maps = [], []
    for seed in (0, 1, 0):
        alignment = fitted(tissue[2], seed)[0].readout.alignment
        centers.append(alignment.centers.numpy())
        maps.append(alignment.type_maps[0].numpy())
    np.testing.assert_array_equal(centers[0], centers[2])
    assert not np.allclose(centers[0], centers[1])
    np.testing.assert_array_equal(maps[0], maps[1])


def test_alignment_mixes_the_modalities_and_is_nothing_but_that(tissue, fitted):
    _, cells, held_out = tissue
    (plain_model, plain), (_, aligned) = (
        fitted(held_out, align_latent=align) for align in (False, True)
    )
    for modality in MODALITIES:
        latent, _ = network_alone(plain_model, cells, modality)
        np.testing.assert_allclose(getattr(plain, modality).latent, latent, rtol=1e-5, atol=1e-5)
    modality = np.repeat(MODALITIES, 330)
    before, after = (modality_mixing(found.latent, modality)[0] for found in (plain, aligned))
    assert after > before + 0.1 and after > 0.6
    np.testing.assert_array_equal(plain.voted.probabilities, aligned.voted.probabilities)
    for name in ("probabilities", "uncertainty", "distance", "novelty"):
        one, other = (getattr(found.atac, name) for found in (plain, aligned))
        np.testing.assert_array_equal(one, other, err_msg=name)
    np.testing.assert_array_equal(plain.voted.unknown, aligned.voted.unknown)


# Files.


def test_the_checkpoint_and_what_is_served_answer_as_the_model_does(tissue, trained, tmp_path):
    data, cells, _ = tissue
    save_weights(trained, CONFIG, tmp_path / "checkpoints")
    again = build_model(cells, len(data.types), CONFIG)
    again.load_weights(tmp_path / "checkpoints" / "model.weights.h5")
    answer, vote = annotate_cells(trained, cells, CONFIG), CONFIG.evaluation.neighbor_vote
    served = Served(trained, cells.preprocessor, data.types, answer, vote)
    served = ServedModel(served)  # for an export's answers see tests/serving
    some = slice(0, 40)
    for modality in MODALITIES:
        features = cells.features[modality]
        expected = encode(trained, features, modality)
        for name in SAID:
            values = getattr(encode(again, features, modality), name)
            np.testing.assert_array_equal(values, getattr(expected, name), err_msg=name)
        expression = tf.constant(cells.genes(modality)[some])
        answer = served.encoded(expression, modality)
        for name in SAID:
            values = getattr(expected, name)[some]
            np.testing.assert_allclose(answer[name], values, rtol=1e-4, atol=1e-4)
        logits = trained.encode(features[some], modality)["logits"]
        np.testing.assert_allclose(answer["logits"], logits, rtol=1e-4, atol=1e-4)
        threshold = float(trained.readout.unknown_threshold)
        np.testing.assert_array_equal(answer["unknown"], answer["novelty"].numpy() > threshold)
