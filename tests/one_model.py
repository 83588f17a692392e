"""Trainings by one model a shape, built and traced once: most of what a tiny training takes."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import pytest

from scadv_tf import fitting

# Settings of a training that its graph does not depend on, or by the number of steps alone.
OUTSIDE = {"epochs", "calibration_share", "early_stopping_patience", "early_stopping_change"}
new_model = fitting.new_model
made: dict[tuple, tuple] = {}


def fit_alike(*given, **more):
    """`fitting.fit` by a model that is set back to what it was when it was made.

    It is the same object for the same shape: what is said of it holds until the next call.
    """
    with alike():
        return fitting.fit(*given, **more)


@contextlib.contextmanager
def alike() -> Iterator[None]:
    """Whatever trains or builds a model in it, such as a whole job, does so as `fit_alike` does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "new_model", set_back)
        yield


def set_back(*shape_and_config):
    """Like `fitting.new_model`."""
    *shape, config = shape_and_config
    training = {k: v for k, v in dataclasses.asdict(config.training).items() if k not in OUTSIDE}
    key = (*shape, config.network, config.loss, *training.items())
    if key not in made:
        model = new_model(*shape, config)
        made[key] = model, {path: v.numpy() for path, v in state(model).items()}
    model, fresh = made[key]
    for path, variable in state(model).items():
        variable.assign(fresh[path])
    return model


def state(model) -> dict:
    """All that moves, and what else is set, by its path."""
    return model.training_state() | {variable.path: variable for variable in model.variables}
