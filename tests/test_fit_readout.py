"""A readout that is fitted again gives the same answers: what an earlier fit left has no say."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from tiny_training import TINY, tissue_for

from scadv_tf import RunConfig
from scadv_tf.annotation import annotate_cells, fit_readout
from scadv_tf.fitting import build_model
from scadv_tf.models.confidence import held_out_rows
from scadv_tf.models.readout import Readout

pytestmark = pytest.mark.slow

CONFIG = RunConfig.of(**TINY)


@pytest.fixture(scope="module")
def untrained():
    """An untrained model, which is far from calibrated, its cells and their labels."""
    data, cells = tissue_for(CONFIG, cells=150, difficulty=0.5)
    return build_model(cells, len(data.types), CONFIG), cells, data.rna_labels


def state_after(untrained, held_out, **evaluation) -> dict:
    """Name -> value of each part of the readout after one more fit."""
    model, cells, labels = untrained
    config = dataclasses.replace(
        CONFIG, evaluation=dataclasses.replace(CONFIG.evaluation, **evaluation)
    )
    fit_readout(model, cells, labels, held_out, config)
    return {weight.path: weight.numpy() for weight in model.readout.weights}


def assert_same(first: dict, second: dict) -> None:
    assert list(first) == list(second)
    for name in first:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-6, atol=1e-7, err_msg=name)


def test_a_second_fit_changes_nothing(untrained):
    model, cells, labels = untrained
    held_out = held_out_rows(labels, 0.3, 0)
    first, answer = state_after(untrained, held_out), annotate_cells(model, cells, CONFIG)
    assert float(model.readout.temperature) != pytest.approx(1, abs=0.05)
    assert not np.allclose(model.readout.alignment.type_maps[0][0], np.eye(16), atol=0.05)
    assert_same(first, state_after(untrained, held_out))
    again = annotate_cells(model, cells, CONFIG)
    np.testing.assert_allclose(again.latent, answer.latent, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        again.voted.probabilities, answer.voted.probabilities, rtol=1e-5, atol=1e-6
    )


def test_a_fit_with_other_settings_keeps_nothing_of_the_one_before(untrained):
    model, _, labels = untrained
    none = np.array([], np.int64)
    plain = state_after(untrained, none, align_latent=False)
    state_after(untrained, held_out_rows(labels, 0.3, 0))
    assert_same(plain, state_after(untrained, none, align_latent=False))
    assert model.readout.temperature == 1 and model.readout.unknown_threshold == 1


def test_a_reset_readout_is_a_new_one():
    readouts = [Readout(3, 4, 5, name="one") for _ in range(2)]
    for readout in readouts:
        readout.build()
    changed = readouts[0]
    random = np.random.default_rng(0)
    changed.set_weights([random.normal(size=w.shape) for w in changed.weights])
    changed.reset()
    for weight, new in zip(*(readout.get_weights() for readout in readouts), strict=True):
        np.testing.assert_array_equal(weight, new)
