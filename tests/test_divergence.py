"""A training that diverges: named at the step, taken back, given up in the end."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from tiny_training import TINY, outcome, tissue_for

from scadv_tf import InputError, RunConfig, fit
from scadv_tf.checkpoints import FILE, Checkpoints
from scadv_tf.models.phases import Phase

pytestmark = pytest.mark.slow

CONFIG = RunConfig.of(
    epochs=4,
    **TINY,
    cycle=0.1,
    # Fewer losses take less time to trace, which each training does anew here.
    contrastive=0.0,
    modality_adversarial=0.0,
)
STEPS = 7  # of a pass over 200 cells


@pytest.fixture(scope="module")
def tissue():
    return tissue_for(CONFIG)


def train(tissue, config=CONFIG, checkpoints=None):
    return outcome(tissue, config, checkpoints=checkpoints)


def spoilt(monkeypatch, name: str, step: int, times: int, gradient: bool = False) -> None:
    """Lets a loss, or its gradient alone, become infinite at a step of the training (from 0).

    It happens in the first `times` trainings: each compiles its functions anew.
    """
    values, traced = Phase.values, []

    def changed(self, model, batch):
        found = values(self, model, batch)
        if name in found:
            traced.append(name)
            if len(traced) <= times:
                now = tf.cast(model.steps_done == step, "float32")
                if gradient:  # of the square root at 0, times 0
                    weights = model.variables_of(self)[0]
                    found[name] += 1e-6 * tf.sqrt(tf.reduce_sum(weights**2) * (1 - now))
                else:
                    found[name] += 1.0 / (1.0 - now) - 1.0
        return found

    monkeypatch.setattr(Phase, "values", changed)


def with_training(**changes) -> RunConfig:
    return dataclasses.replace(CONFIG, training=dataclasses.replace(CONFIG.training, **changes))


@pytest.mark.parametrize(
    "name, step, place",
    [
        ("centroid", 2 * STEPS, "epoch 2, step 1 of representation"),
        ("cross_entropy", 5, "epoch 1, step 6 of representation"),
        ("cycle", 2 * STEPS - 1, "epoch 1, step 7 of alignment"),
    ],
)
def test_a_loss_that_is_not_finite_is_named_with_its_step(tissue, monkeypatch, name, step, place):
    spoilt(monkeypatch, name, step, times=1)
    with pytest.raises(InputError, match="diverged") as raised:
        train(tissue, with_training(divergence_retries=0))
    assert raised.value.received == f"{name} = inf in {place}"
    assert "--learning_rate" in raised.value.advice


def test_so_is_a_gradient(tissue, monkeypatch):
    spoilt(monkeypatch, "cycle", STEPS + 2, times=1, gradient=True)
    with pytest.raises(InputError, match="diverged") as raised:
        train(tissue, with_training(divergence_retries=0, gradient_clip_norm=0.0))
    expected = "the gradient's norm = nan in epoch 1, step 3 of alignment"
    assert raised.value.received == expected


def test_weights_that_go_astray_in_the_last_step(tissue):
    rates = {"learning_rate": 1e38, "alignment_learning_rate": 0.0}
    config = with_training(**rates, epochs=1, divergence_retries=0)
    with pytest.raises(InputError, match="diverged"):
        train(tissue, config)


def test_it_goes_on_from_the_last_good_epoch_at_half_the_rate(
    tissue, monkeypatch, tmp_path, caplog
):
    """As a checkpoint of that epoch does whose rates are halved: equal to the last bit."""
    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING, "scadv_tf"):
        spoilt(patched, "centroid", 2 * 2 * STEPS + 3, times=1)
        weights, history = train(tissue, checkpoints=Checkpoints(tmp_path, 1e9))
    assert "epoch 3, step 4" in caplog.text and "end of epoch 2" in caplog.text
    assert history["rate_factor"].tolist() == [1, 1, 0.5, 0.5]

    class Enough(Exception):
        pass

    def stop(epoch, probabilities, logs):
        if epoch == 3:
            raise Enough

    data, cells = tissue
    with pytest.raises(Enough):
        given = cells, data.rna_labels, len(data.types), CONFIG, [stop]
        fit(*given, checkpoints=Checkpoints(tmp_path, 0.0))
    with np.load(tmp_path / FILE) as file:
        tables = {name: file[name] for name in file.files}
    assert tables["times_lowered"] == 0 and tables["epoch"] == 2
    np.savez(tmp_path / FILE, **tables | {"times_lowered": np.array(1)})
    expected, rows = train(tissue, checkpoints=Checkpoints(tmp_path, 1e9, resume=True))
    for found, wanted in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    pd.testing.assert_frame_equal(history, rows, check_exact=True)


def test_before_the_first_epoch_is_done_it_starts_anew(tissue, monkeypatch):
    spoilt(monkeypatch, "cross_entropy", 3, times=2)
    data, cells = tissue
    config = with_training(learning_rate_schedule="constant", epochs=2)
    model, history = fit(cells, data.rna_labels, len(data.types), config)
    assert history["rate_factor"].tolist() == [0.25] * 2
    assert np.isfinite(history.drop(columns="atac_label_change")).all(axis=None)
    for optimizer in (model.optimizer, model.alignment_optimizer):
        assert float(optimizer.learning_rate) == pytest.approx(0.25 * 0.01)


def test_a_main_job_that_diverges_leaves_what_was_there(train_apart, tmp_path):
    (tmp_path / "run").mkdir()
    older = {"metrics.json": "{}", "predictions.csv": "cell,label\n"}
    older["config.json"] = RunConfig().to_json()  # by which it is known for a run's folder
    for name, text in older.items():
        (tmp_path / "run" / name).write_text(text)
    words = "--dataset=synthetic --synthetic_cells=90 --epochs=3 --learning_rate=1e30"
    words += " --gradient_clip_norm=0 --encoder_sizes=32,16 --modality_adversarial=0"
    places = "--output_dir=run", "--export_dir=served/model"
    done = train_apart(tmp_path, *words.split(), *places)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    told = done.stderr[done.stderr.index("error: ") :]
    assert "diverged" in told and "epoch 1, step" in told and "times 0.25" in told
    found = {path.name: path.read_text() for path in (tmp_path / "run").iterdir()}
    assert found == older and not (tmp_path / "served").exists()
