"""Fitting by the Python interface, on a tiny simulated tissue."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from all_losses import ALL_LOSSES
from one_model import fit_alike

from scadv_tf import RunConfig, annotation, fit, fitting, load_dataset
from scadv_tf.annotation import annotate_cells, fit_readout
from scadv_tf.config import (
    EvaluationConfig,
    LossConfig,
    NetworkConfig,
    PreprocessingConfig,
    TrainingConfig,
)
from scadv_tf.data import preprocessing
from scadv_tf.data.answers import CellAnswers
from scadv_tf.data.datasets import DatasetSource
from scadv_tf.data.linear_guess import VIEW_SHARES
from scadv_tf.fitting import build_model
from scadv_tf.models import callbacks
from scadv_tf.models.confidence import held_out_rows

pytestmark = pytest.mark.slow

CONFIG = RunConfig(
    preprocessing=PreprocessingConfig(neighbors=5, lsi_size=4, projection_size=8),
    network=NetworkConfig(
        encoder_sizes=(32, 16), generator_sizes=(16,), atac_discriminator_sizes=(16,)
    ),
    loss=LossConfig(**ALL_LOSSES),
    training=TrainingConfig(epochs=6),
)
# Where the losses do not matter: half as many take half as long to trace.
FEW_LOSSES = dataclasses.replace(CONFIG, loss=LossConfig(modality_adversarial=0.0))


@pytest.fixture(scope="module")
def tissue():
    data, truth = load_dataset(
        "synthetic", DatasetSource(synthetic_cells=330, synthetic_difficulty=0.0, seed=3)
    )
    return data, truth, preprocessing.fit(data, CONFIG.preprocessing)


def with_training(**changes) -> RunConfig:
    training = dataclasses.replace(CONFIG.training, **changes)
    return dataclasses.replace(FEW_LOSSES, training=training)


def test_labels_of_an_easy_tissue_are_found(tissue):
    data, truth, cells = tissue
    model, history = fit(cells, data.rna_labels, len(data.types), CONFIG)
    annotation = annotate_cells(model, cells, CONFIG)
    predicted = np.array(data.types)[annotation.voted.probabilities.argmax(axis=1)]
    assert np.mean(truth.coarsen(predicted) == truth.labels) > 0.8
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    assert history["cross_entropy"].iloc[-1] < history["cross_entropy"].iloc[0] / 2
    assert annotation.atac.latent.shape == (330, 16)


def test_training_stops_early_when_no_label_changes_any_more(tissue):
    data, _, cells = tissue
    config = with_training(epochs=30, early_stopping_patience=2, early_stopping_change=0.05)
    _, history = fit_alike(cells, data.rna_labels, len(data.types), config)
    assert len(history) < 30
    assert (history["atac_label_change"].tail(2) <= 0.05).all()


def test_adam_and_a_constant_rate_train_too(tissue):
    data, _, cells = tissue
    config = with_training(optimizer="adam", learning_rate=1e-3, learning_rate_schedule="constant")
    _, history = fit_alike(cells, data.rna_labels, len(data.types), config)
    assert history["cross_entropy"].iloc[-1] < history["cross_entropy"].iloc[0]


def without_denoising(data, **changes):
    config = dataclasses.replace(CONFIG.preprocessing, **changes)
    return preprocessing.fit(data, config)


def annotated(cells, own, doubt, monkeypatch, vote):
    """The answer for ATAC cells of which the model by itself says this."""
    encoded = CellAnswers(np.zeros((330, 2)), own, novelty=doubt, unknown=doubt > 0.5)
    monkeypatch.setattr(annotation, "encode", lambda *_: encoded)
    model = SimpleNamespace(readout=SimpleNamespace(unknown_threshold=0.5), latent_size=2)
    config = dataclasses.replace(CONFIG, evaluation=EvaluationConfig(neighbor_vote=vote))
    return annotate_cells(model, cells, config).voted


@pytest.fixture
def made_up():
    random = np.random.default_rng(0)
    return random.dirichlet(np.ones(4), size=330), random.random(330)


@pytest.mark.parametrize("denoised", [True, False])
def test_the_vote_is_of_the_weighted_neighbours(tissue, made_up, denoised, monkeypatch):
    data, _, cells = tissue
    if not denoised:
        cells = without_denoising(data, smoothing_hops=0)
    own, doubt = made_up
    found = annotated(cells, own, doubt, monkeypatch, vote=0.25)
    weights = cells.neighbors.matrix().toarray().astype(float)
    expected = 0.75 * own + 0.25 * weights @ own
    np.testing.assert_allclose(found.probabilities, expected, rtol=1e-5, atol=1e-7)
    assert not np.allclose(found.probabilities, own, atol=0.05)
    np.testing.assert_allclose(found.novelty, weights @ doubt, rtol=1e-5)
    np.testing.assert_array_equal(found.unknown, found.novelty > 0.5)
    assert 0.1 < found.unknown.mean() < 0.9 and (found.unknown != (doubt > 0.5)).any()


def test_without_neighbours_there_is_no_vote(tissue, made_up, monkeypatch):
    cells = without_denoising(tissue[0], neighbors=1)
    own, doubt = made_up
    found = annotated(cells, own, doubt, monkeypatch, vote=0.25)
    np.testing.assert_allclose(found.probabilities, own, rtol=1e-12)
    np.testing.assert_array_equal(found.novelty, doubt)


@pytest.fixture
def soft_labels_of(tissue, monkeypatch):
    """A function: cells -> neighbours and shares of types that an epoch's soft labels get."""
    data, _, _ = tissue
    given = []

    def spy(probabilities, neighbors, shares, *settings):
        given.append((neighbors, shares))
        return probabilities

    monkeypatch.setattr(callbacks, "soft_labels", spy)

    def train(cells):
        # Two epochs, since others train as many: they are traced together.
        config = with_training(epochs=2, calibration_share=0.3)
        fit_alike(cells, data.rna_labels, len(data.types), config)
        assert len(given) == 2
        return given[0]

    return train


@pytest.mark.parametrize("changes", [{}, {"smoothing_hops": 0}])
def test_soft_labels_are_pulled_to_the_guessed_shares(tissue, changes, soft_labels_of):
    """Their neighbours serve them also without denoising."""
    data, _, _ = tissue
    cells = without_denoising(data, **changes)
    guessed = np.arange(1, len(data.types) + 1) / sum(range(len(data.types) + 1))
    composition = dataclasses.replace(cells.balance.composition, atac_shares=guessed)
    cells = dataclasses.replace(
        cells, balance=dataclasses.replace(cells.balance, composition=composition)
    )
    neighbors, shares = soft_labels_of(cells)
    assert neighbors is cells.neighbors
    np.testing.assert_allclose(shares, guessed)


def test_unbalanced_soft_labels_are_pulled_to_the_shares_of_the_rna(tissue, soft_labels_of):
    """And without neighbours they get those, too, of which each cell has itself."""
    data, _, _ = tissue
    cells = without_denoising(data, balance=False, neighbors=1)
    neighbors, shares = soft_labels_of(cells)
    assert neighbors is cells.neighbors
    taught = np.delete(data.rna_labels, held_out_rows(data.rna_labels, 0.3, 0))
    np.testing.assert_allclose(shares, np.bincount(taught, minlength=len(data.types)) / len(taught))


def test_the_linear_guess_takes_part_in_the_answer_where_cells_are_balanced(tissue):
    data, _, cells = tissue
    guessed = cells.balance.guess(cells.features["atac"])
    means = cells.neighbors.matrix().toarray().astype(float) @ guessed
    types = np.array(data.types)
    unweighed = without_denoising(data, balance=False)
    for given, share in ((cells, CONFIG.evaluation.linear_share), (unweighed, 0.0)):
        model = build_model(given, len(data.types), CONFIG)
        fit_readout(model, given, data.rna_labels, np.empty(0, np.int64), CONFIG)
        routes = annotate_cells(model, given, CONFIG, data.types).voted.other_routes
        assert list(routes) == (["linear"] if share else [])
        for labels in routes.values():
            np.testing.assert_array_equal(labels, types[means.argmax(axis=1)])
        readout = model.readout
        assert readout.linear_shares.numpy() == pytest.approx(share * np.array(VIEW_SHARES))
        if share:
            for i, part in enumerate(given.balance.guess.parts):
                np.testing.assert_allclose(readout.linear_kernels[i], part.coefficients, rtol=1e-5)
                np.testing.assert_allclose(readout.linear_biases[i], part.offsets, rtol=1e-5)


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_the_linear_guess_has_its_share_in_what_the_training_learns_from(tissue, share):
    data, _, cells = tissue
    guessed = cells.balance.guess(cells.features["atac"])
    watched = []
    hooks = [lambda epoch, probabilities, logs: watched.append(probabilities)]
    evaluation = dataclasses.replace(CONFIG.evaluation, linear_share=share)
    config = dataclasses.replace(with_training(epochs=2), evaluation=evaluation)
    fit_alike(cells, data.rna_labels, len(data.types), config, hooks)
    for found in watched:
        network = found - share * guessed
        np.testing.assert_allclose(network.sum(axis=1), 1 - share, atol=1e-5)
        assert network.min() > -1e-5
    moved = np.abs(watched[0] - watched[1]).max()
    assert moved < 1e-5 if share == 1 else moved > 1e-3


def test_the_last_epochs_predictions_are_the_classifiers_without_the_linear_guess(tissue):
    """What the learning curve ends with, and the route 'classifier', are of the same network."""
    data, _, cells = tissue
    evaluation = dataclasses.replace(CONFIG.evaluation, linear_share=0.0)
    config = dataclasses.replace(with_training(epochs=2), evaluation=evaluation)
    watched = []
    hooks = [lambda epoch, probabilities, logs: watched.append(probabilities.argmax(axis=1))]
    model, _ = fit_alike(cells, data.rna_labels, len(data.types), config, hooks)
    found = annotate_cells(model, cells, config).atac.probabilities.argmax(axis=1)
    np.testing.assert_array_equal(found, watched[-1])
    assert len(watched) == 2 and (watched[0] != watched[1]).any()


def test_a_training_goes_on_wherever_its_files_lie_and_however_it_is_looked_at(tissue):
    data, _, cells = tissue

    def identity(**changes) -> str:
        config = RunConfig.of(**{"rna": "a.h5ad", "atac": "b.h5ad", "genes": "g.gtf"} | changes)
        return fitting._identity(cells, data.rna_labels, len(data.types), config)

    moved = {"rna": "/data/a.h5ad", "atac_peaks": "/data/p.h5ad", "genes": "/data/g.gtf"}
    moved |= {"rna_labels": "l.csv", "atac_labels": "m.csv", "barcodes": "c.txt", "data_dir": "d"}
    looked_at = {"knn_neighbors": 7, "umap_neighbors": 8, "unknown_share": 0.3}
    looked_at |= {"align_latent": False, "neighbor_vote": 0.1}
    assert identity() == identity(**moved) == identity(**looked_at) == identity(strategy="mirrored")
    for other in ({"seed": 1}, {"label_key": "x"}, {"linear_share": 0.1}, {"epochs": 99}):
        assert identity(**other) != identity()
