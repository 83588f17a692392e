"""Fitting by the Python interface, on a tiny simulated tissue."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from scadv_tf import InputError, RunConfig, encode, fit, load_dataset
from scadv_tf.config import LossConfig, NetworkConfig, PreprocessingConfig, TrainingConfig
from scadv_tf.data import DatasetSource, preprocessing
from scadv_tf.fitting import atac_probabilities

CONFIG = RunConfig(
    preprocessing=PreprocessingConfig(neighbors=5, lsi_size=4, projection_size=8),
    network=NetworkConfig(
        encoder_sizes=(32, 16), generator_sizes=(16,), atac_discriminator_sizes=(16,)
    ),
    loss=LossConfig(),
    training=TrainingConfig(epochs=6),
)


@pytest.fixture(scope="module")
def tissue():
    data, truth = load_dataset("synthetic", DatasetSource(cells=330, difficulty=0.0, seed=3))
    return data, truth, preprocessing.fit(data, CONFIG.preprocessing)


def with_training(**changes) -> RunConfig:
    return dataclasses.replace(CONFIG, training=dataclasses.replace(CONFIG.training, **changes))


def test_labels_of_an_easy_tissue_are_found(tissue):
    data, truth, cells = tissue
    model, history = fit(cells, data.rna_labels, len(data.types), CONFIG)
    encoded = encode(model, cells, "atac")
    predicted = np.array(data.types)[atac_probabilities(encoded, cells, CONFIG).argmax(axis=1)]
    assert np.mean(truth.coarsen(predicted) == truth.labels) > 0.8
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    assert history["cross_entropy"].iloc[-1] < history["cross_entropy"].iloc[0] / 2
    assert encoded.latent.shape == (330, 16)


def test_a_training_that_diverges_says_what_to_do(tissue):
    data, _, cells = tissue
    config = with_training(learning_rate=1e20, gradient_clip_norm=0.0, epochs=2)
    with pytest.raises(InputError, match="diverged") as caught:
        fit(cells, data.rna_labels, len(data.types), config)
    assert "--learning_rate" in caught.value.advice


def test_training_stops_early_when_no_label_changes_any_more(tissue):
    data, _, cells = tissue
    config = with_training(epochs=30, early_stopping_patience=2, early_stopping_change=0.05)
    _, history = fit(cells, data.rna_labels, len(data.types), config)
    assert len(history) < 30
    assert (history["atac_label_change"].tail(2) <= 0.05).all()


def test_adam_and_a_constant_rate_train_too(tissue):
    data, _, cells = tissue
    config = with_training(optimizer="adam", learning_rate=1e-3, learning_rate_schedule="constant")
    _, history = fit(cells, data.rna_labels, len(data.types), config)
    assert history["cross_entropy"].iloc[-1] < history["cross_entropy"].iloc[0]
