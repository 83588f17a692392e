"""What Keras is set to as a whole, which a user's keras.json or notebook may have changed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras

FLOAT, EPSILON = "float32", 1e-7  # as Keras has them by default


@contextlib.contextmanager
def single_precision() -> Iterator[None]:
    """Models are built and trained in single precision within it; after it all is as it was."""
    settings = keras.config
    before = settings.floatx(), settings.dtype_policy(), settings.epsilon()
    _set(FLOAT, FLOAT, EPSILON)
    try:
        yield
    finally:
        _set(*before)


def _set(number: str, policy: str | keras.DTypePolicy, epsilon: float) -> None:
    keras.config.set_floatx(number)
    keras.config.set_dtype_policy(policy)
    keras.config.set_epsilon(epsilon)
