"""One registry of small instances of every public layer and model, and what holds for all of them.

A new public class needs a `Case` here; until then `test_every_public_class_has_a_case` fails.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field

import keras
import numpy as np
import pytest
import tensorflow as tf

import scadv_tf.models
from scadv_tf.config import LossConfig, NetworkConfig
from scadv_tf.models.latent_alignment import LatentAlignment
from scadv_tf.models.layers import GradientReversal, ModalityBatchNormalization, View
from scadv_tf.models.networks import DenseNetwork, Encoder, FixedDense
from scadv_tf.models.readout import Readout
from scadv_tf.models.scadv import ScAdv

GENES, WIDTH = 6, 4


def called(layer, expression, **arguments) -> tf.Tensor:
    return layer(expression, **arguments)


def normalized(layer, features, modality, training) -> tf.Tensor:
    """One view, as the encoder normalises it."""
    return layer.normalize([features], [View(features, modality)], training)[0]


def read_out(layer, latent, **arguments) -> tf.Tensor:
    """All that a readout says, side by side; logits and features are the latent numbers too."""
    answer = layer(latent, latent[:, :3], latent, **arguments)
    count = tf.shape(latent)[0]
    parts = [tf.reshape(tf.cast(part, tf.float32), (count, -1)) for part in answer.values()]
    return tf.concat(parts, axis=1)


def align(layer, latent) -> tf.Tensor:
    """Moved latent vectors; the first numbers are the logits of the types too."""
    return layer(latent, tf.nn.softmax(latent[:, : layer.types]))


@dataclass(frozen=True)
class Case:
    """A maker of a small instance [B, GENES] -> [B, outputs], and how it is called."""

    name: str
    make: Callable[[], keras.layers.Layer]
    outputs: int
    arguments: dict = field(default_factory=dict)
    call: Callable[..., tf.Tensor] = called

    def output(self, layer, expression) -> tf.Tensor:
        return self.call(layer, expression, **self.arguments)


def small_model(**settings) -> ScAdv:
    network = NetworkConfig(
        encoder_sizes=(5, WIDTH),
        modality_discriminator_sizes=(3,),
        atac_discriminator_sizes=(3,),
        generator_sizes=(3,),
    )
    loss = LossConfig(interpolation=0.5, center=0.5, centroid=0.5, temperature=0.3)
    return ScAdv(GENES, 3, network, loss, total_steps=9, reversal_strength=0.7, **settings)


CASES = [
    Case("reversal", lambda: GradientReversal(name="reversal"), GENES, {"strength": 0.3}),
    *(
        Case(
            f"normalization_{modality}_{'training' if training else 'inference'}",
            lambda: ModalityBatchNormalization(momentum=0.8, epsilon=0.01),
            GENES,
            {"modality": modality, "training": training},
            normalized,
        )
        for modality in ("rna", "atac", None)
        for training in (False, True)
    ),
    Case("encoder", lambda: Encoder((5, WIDTH)), WIDTH, {"modality": "rna"}),
    Case(
        "encoder_with_projection",
        lambda: Encoder((WIDTH,), projection_size=2),
        WIDTH,
        {"modality": "atac", "training": True},
    ),
    Case("projection", lambda: FixedDense(2, use_bias=False), 2),
    Case("alignment", lambda: LatentAlignment(3, GENES), GENES, {}, align),
    Case("classifier", lambda: DenseNetwork(3), 3),
    Case("discriminator", lambda: DenseNetwork(1, (5, 3), name="discriminator"), 1),
    *(
        Case(
            f"readout_{modality}",
            lambda: Readout(3, GENES, GENES),
            GENES + 3 + 3 + 4,
            {"modality": modality},
            read_out,
        )
        for modality in ("rna", "atac")
    ),
    Case("model", small_model, 3, {"modality": "rna"}),
    Case("model_with_projection", lambda: small_model(projection_size=2), 3, {"training": True}),
]
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def public_classes() -> set[type]:
    """Every public layer and model that a module of scadv_tf.models defines."""
    names = [module.name for module in pkgutil.iter_modules(scadv_tf.models.__path__)]
    modules = [importlib.import_module(f"scadv_tf.models.{name}") for name in names]
    return {
        member
        for module in modules
        for name, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, keras.layers.Layer)
        and member.__module__ == module.__name__
        and not name.startswith("_")
    }


def built(case: Case, seed: int = 0) -> keras.layers.Layer:
    """An instance whose weights, moving statistics too, are random numbers, all above 0.5.

    They rise along the last axis, as quantiles must.
    """
    layer = case.make()
    if not layer.built:
        layer.build((None, GENES))
    random = np.random.default_rng(seed)
    drawn = [0.5 + random.random(w.shape).astype(w.dtype) for w in layer.get_weights()]
    layer.set_weights([np.sort(w) if w.ndim else w for w in drawn])
    return layer


def cells(count: int) -> tf.Tensor:
    random = np.random.default_rng(count)
    return tf.constant(random.normal(size=(count, GENES)), tf.float32)


def same_weights(first, second) -> None:
    """Asserts equal weights, and that there is the same number of them."""
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_every_public_class_has_a_case():
    assert public_classes() == {type(case.make()) for case in CASES}


@every_case
@pytest.mark.parametrize("count", [1, 5])
def test_output_shape_and_finite_values(case, count):
    output = case.output(built(case), cells(count))
    assert output.shape == (count, case.outputs)
    assert output.dtype == tf.float32
    assert np.isfinite(output).all()


@pytest.mark.slow
@every_case
@pytest.mark.parametrize("xla", [False, True], ids=["graph", "xla"])
def test_compiled_equals_eager(case, xla):
    function = tf.function(
        lambda expression, layer: case.output(layer, expression), jit_compile=xla
    )
    eager, compiled = built(case), built(case)
    np.testing.assert_allclose(
        function(cells(5), compiled), case.output(eager, cells(5)), rtol=1e-4, atol=1e-5
    )
    for one, other in zip(eager.get_weights(), compiled.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)  # statistics move alike


@pytest.mark.slow
@every_case
def test_one_graph_serves_any_number_of_cells(case):
    layer, twin = built(case), built(case)
    spec = tf.TensorSpec((None, GENES), tf.float32)
    function = tf.function(lambda expression: case.output(layer, expression), [spec])
    for count in (1, 2, 5):
        expected = case.output(twin, cells(count))
        np.testing.assert_allclose(function(cells(count)), expected, rtol=1e-4, atol=1e-5)
    assert function.experimental_get_tracing_count() == 1


@every_case
def test_config_round_trip_through_json(case):
    layer = built(case)
    config = json.loads(json.dumps(layer.get_config()))
    twin = type(layer).from_config(config)
    assert json.loads(json.dumps(twin.get_config())) == config
    if not twin.built:
        twin.build((None, GENES))
    twin.set_weights(layer.get_weights())
    np.testing.assert_array_equal(case.output(twin, cells(5)), case.output(layer, cells(5)))


@every_case
def test_keras_finds_the_class_by_its_registered_name(case):
    layer = case.make()
    twin = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(twin) is type(layer)
    assert twin.get_config() == layer.get_config()


class Holder(keras.Model):
    """Gives a layer the files of a model."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.built = True


@pytest.mark.slow
@every_case
def test_weights_round_trip_through_a_file(case, tmp_path):
    layer, twin = built(case, seed=0), built(case, seed=1)
    for number, part in enumerate((layer, twin)):
        holder = part if isinstance(part, keras.Model) else Holder(part)
        if number == 0:
            holder.save_weights(tmp_path / "part.weights.h5")
        else:
            holder.load_weights(tmp_path / "part.weights.h5")
    same_weights(layer, twin)
    np.testing.assert_array_equal(case.output(twin, cells(5)), case.output(layer, cells(5)))


@every_case
def test_a_gradient_reaches_every_trainable_variable(case):
    layer = built(case)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(case.output(layer, cells(5)) ** 2)
    served = layer.trainable_variables
    if isinstance(layer, ScAdv):  # its call needs two of its five networks
        served = layer.encoder.trainable_variables + layer.classifier.trainable_variables
    assert all(gradient is not None for gradient in tape.gradient(total, served))
