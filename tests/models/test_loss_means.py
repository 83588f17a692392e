"""The means of an epoch's losses."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from scadv_tf.models.loss_means import LossMeans

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
