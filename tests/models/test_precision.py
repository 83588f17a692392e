"""What a user's keras.json or notebook has set changes no model, and stays as it was."""

from __future__ import annotations

import keras
import pytest

from scadv_tf import fitting
from scadv_tf.config import RunConfig

CASES = {
    "keras.json": ("float64", "float64", 1e-3),
    "mixed precision": ("float32", "mixed_float16", 1e-7),
}


@pytest.fixture(params=CASES)
def users(request):
    settings = keras.config
    before = settings.floatx(), settings.dtype_policy(), settings.epsilon()
    setters = settings.set_floatx, settings.set_dtype_policy, settings.set_epsilon
    for setter, value in zip(setters, CASES[request.param], strict=True):
        setter(value)
    yield CASES[request.param]
    for setter, value in zip(setters, before, strict=True):
        setter(value)


def test_models_are_of_single_precision(users):
    model = fitting.new_model(genes=6, types=2, projection_size=0, steps=1, config=RunConfig())
    layers = [each for each in model._flatten_layers() if each.weights]
    assert {layer.compute_dtype for layer in layers} == {"float32"}
    assert {w.dtype for w in model.trainable_weights} == {"float32"}
    settings = keras.config
    assert (settings.floatx(), settings.dtype_policy().name, settings.epsilon()) == users
