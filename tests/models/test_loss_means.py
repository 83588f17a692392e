"""The means of an epoch's losses."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from scadv_tf.models.loss_means import GRADIENT, LossMeans

STEPS = [{"cycle": 2.0, "center": -1.0}, {"center": 5.0, "cycle": 4.0}, {"cycle": 9.0, "center": 2}]


def result_of(means) -> dict:
    return {name: float(value) for name, value in means.result().items()}


def fed(means, steps):
    for step in steps:
        means.update_state({name: tf.constant(value, tf.float32) for name, value in step.items()})
    return result_of(means)


def test_means_by_hand():
    means = LossMeans(["cycle", "center"])
    assert fed(means, STEPS) == {"cycle": 5, "center": 2}
    # The next step is a fourth one.
    assert fed(means, [{"cycle": 1.0, "center": 6.0}]) == {"cycle": 4, "center": 3}


def test_before_the_first_step_and_after_a_reset_there_is_nothing():
    means = LossMeans(["cycle", "center"])
    assert result_of(means) == {"cycle": 0, "center": 0}
    fed(means, STEPS)
    means.reset_state()
    assert result_of(means) == {"cycle": 0, "center": 0}
    assert fed(means, STEPS[:1]) == STEPS[0]


def test_a_compiled_step_adds_to_the_same_means():
    means = LossMeans(["cycle"])

    @tf.function
    def step(value):
        means.update_state({"cycle": value})
        return means.result()["cycle"]

    found = [float(step(tf.constant(value))) for value in (1.0, 2.0, 6.0)]
    assert found == [1, 1.5, 3] and result_of(means) == {"cycle": 3}


def test_a_loss_that_is_not_a_number_is_not_hidden():
    assert np.isnan(fed(LossMeans(["cycle"]), [{"cycle": 1.0}, {"cycle": np.nan}])["cycle"])


def test_a_missing_loss_is_refused():
    with pytest.raises(KeyError, match="center"):
        LossMeans(["cycle", "center"]).update_state({"cycle": tf.constant(1.0)})


BAD = [
    (3, np.inf, 1.0, 1.0, {"cycle": np.inf}),
    (2, 1.0, -np.inf, 1.0, {"center": -np.inf}),
    (1, 1.0, 1.0, np.inf, {GRADIENT: np.inf}),
    (2, 3e38, 3e38, 1.0, {"cycle": 3e38, "center": 3e38, GRADIENT: 1.0}),
]


@pytest.mark.parametrize("step, cycle, center, norm, expected", BAD)
def test_the_first_step_that_is_not_finite_is_kept_with_what_was_not(
    step, cycle, center, norm, expected
):
    means = LossMeans(["cycle", "center"])

    def take(cycle, center, norm):
        numbers = (tf.constant(number, tf.float32) for number in (cycle, center, norm))
        cycle, center, norm = numbers
        means.update_state({"cycle": cycle, "center": center}, norm)

    for _ in range(step - 1):
        take(1.0, 2.0, 3.0)
    assert means.failure() is None
    take(cycle, center, norm)
    for later in (1.0, np.nan):
        take(later, later, later)
    found, numbers = means.failure()
    assert found == step and numbers == pytest.approx(expected)
    means.reset_state()
    assert means.failure() is None
