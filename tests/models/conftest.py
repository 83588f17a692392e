"""Small models and batches, with every number that a test relies on given in the open."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from one_model import Kept

from scadv_tf.config import LossConfig, NetworkConfig
from scadv_tf.models.scadv import ScAdv

# The first layer is narrow enough to be normalised by its weights, the second is not.
GENES, TYPES, LATENT, PROJECTION, HIDDEN = 6, 3, 4, 5, 24
LOSSES = LossConfig.weight_names()
NETWORKS = (
    "encoder",
    "classifier",
    "modality_discriminator",
    "atac_discriminator",
    "generator",
    "teacher_encoder",
    "teacher_classifier",
)


@pytest.fixture
def loss_config():
    """A maker of loss settings with the named losses alone: loss_config(('cycle',), noise=0.0)."""

    def make(names=LOSSES, **settings) -> LossConfig:
        return LossConfig(**{name: float(name in names) for name in LOSSES} | settings)

    return make


@pytest.fixture
def new_model(loss_config):
    """A maker of small compiled models: see `make_model`."""

    def make(
        names,
        *,
        condition="types",
        projection_size=PROJECTION,
        total_steps=100,
        reversal_strength=1.0,
        rate=0.1,
        seed=0,
        steps_per_execution=1,
        noise_seed=0,
        **loss_settings,
    ) -> ScAdv:
        keras.utils.set_random_seed(seed)
        network = NetworkConfig(
            encoder_sizes=(HIDDEN, LATENT),
            modality_discriminator_sizes=(5,),
            atac_discriminator_sizes=(5,),
            generator_sizes=(5,),
            discriminator_condition=condition,
        )
        model = ScAdv(
            GENES,
            TYPES,
            network,
            loss_config(names, **loss_settings),
            projection_size=projection_size,
            total_steps=total_steps,
            reversal_strength=reversal_strength,
            seed=noise_seed,
        )
        model.compile(
            keras.optimizers.SGD(rate),
            keras.optimizers.SGD(rate),
            jit_compile=False,
            steps_per_execution=steps_per_execution,
        )
        return model

    return make


# What no test has at the time, by its settings: to make a model takes longer than most that is
# done with one.
FREE: dict[tuple, list[Kept]] = {}


@pytest.fixture
def make_model(new_model):
    """A maker of small compiled models: make_model(losses, reversal_strength=…, noise=…).

    Each is an object of its own in a test, but an earlier test may have had it.
    """
    lent = []

    def make(names=LOSSES, **settings) -> ScAdv:
        free = FREE.setdefault((names, *sorted(settings.items())), [])
        kept = free.pop() if free else Kept(new_model(names, **settings))
        lent.append((free, kept))
        keras.utils.set_random_seed(settings.get("seed", 0))
        return kept.as_made()

    yield make
    for free, kept in lent:
        free.append(kept)


@pytest.fixture
def make_batch():
    """A maker of random batches of features, with every key: make_batch(cells=8, seed=0)."""

    def make(cells=8, seed=0, width=PROJECTION) -> dict:
        random = np.random.default_rng(seed)
        values = {
            "rna": random.normal(size=(cells, width)),
            "atac": random.normal(1.0, 2.0, size=(cells, width)),
            "atac_partner": random.normal(1.0, 2.0, size=(cells, width)),
            "atac_soft_label": random.dirichlet(np.ones(TYPES), size=cells),
            "mixing_weight": random.uniform(size=(cells, 1)),
        }
        batch = {name: tf.constant(value, tf.float32) for name, value in values.items()}
        return batch | {"rna_label": tf.constant(np.arange(cells) % TYPES, tf.int32)}

    return make


@pytest.fixture
def make_dataset(make_batch):
    """A maker of an epoch's data: `steps` batches for each phase of the model."""

    def make(model, steps=2, cells=8) -> tf.data.Dataset:
        width = model.feature_size
        batches = [make_batch(cells, seed, width) for seed in range(steps)] * len(model.phases)
        stacked = {name: tf.stack([batch[name] for batch in batches]) for name in batches[0]}
        return tf.data.Dataset.from_tensor_slices(stacked)

    return make


@pytest.fixture
def weights_of():
    """A function that copies a model's weights: network -> arrays."""

    def copy(model) -> dict[str, list[np.ndarray]]:
        return {
            name: getattr(model, name).get_weights() for name in NETWORKS if hasattr(model, name)
        }

    return copy


@pytest.fixture
def moved():
    """A function that names the networks whose weights differ: moved(before, after)."""

    def names(before, after) -> set[str]:
        return {
            name
            for name in before
            if any((a != b).any() for a, b in zip(before[name], after[name], strict=True))
        }

    return names
