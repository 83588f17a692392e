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
made: dict[tuple, Kept] = {}


class Kept:
    """A model that can be had again as it was when it was made, but for what is compiled."""

    def __init__(self, model):
        self.model = model
        self.values = {path: variable.numpy() for path, variable in state(model).items()}

    def as_made(self):
        """The same object."""
        for path, variable in state(self.model).items():
            variable.assign(self.values[path])
        self.model.phase = None
        return self.model


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
        made[key] = Kept(new_model(*shape, config))
    return made[key].as_made()


def state(model) -> dict:
    """All that moves, and what else is set, by its path."""
    return model.training_state() | {variable.path: variable for variable in model.variables}
