"""An interrupted training goes on where it was, and with nothing else."""

from __future__ import annotations

import dataclasses
import os
import shutil

import keras
import numpy as np
import pandas as pd
import pytest
from all_losses import ALL_LOSSES
from one_model import Kept, fit_alike
from tiny_training import TINY, outcome, tissue_for

from scadv_tf import InputError, RunConfig, fit
from scadv_tf.checkpoints import FILE, Checkpoints, Snapshot
from scadv_tf.config import LossConfig
from scadv_tf.data import preprocessing
from scadv_tf.fitting import new_model

pytestmark = pytest.mark.slow

CONFIG = RunConfig.of(epochs=5, **TINY, **ALL_LOSSES)

# Where it does not matter what is trained: half the losses, which take half as long.
QUICK = dataclasses.replace(CONFIG, loss=LossConfig(modality_adversarial=0.0))


class Interrupted(Exception):
    """What ends a training in the middle."""


class Interrupts(keras.callbacks.Callback):
    """Raises while an epoch (from 0) is trained."""

    def __init__(self, epoch: int, error: type[BaseException] = Interrupted):
        super().__init__()
        self.epoch, self.error, self.now = epoch, error, 0

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.now == self.epoch and batch == 3:
            raise self.error


@pytest.fixture(scope="module")
def tissue():
    return tissue_for(CONFIG)


def train(tissue, config=CONFIG, checkpoints=None, callbacks=(), fit=fit_alike):
    return outcome(tissue, config, fit, callbacks=callbacks, checkpoints=checkpoints)


@pytest.fixture(scope="module")
def without_a_break(tissue):
    """Weights and history of a training that nothing stops."""
    return train(tissue)


def stopped(tissue, folder, interrupts) -> str:
    """A training that a signal stops; what the user is told. No checkpoint was due before."""
    checkpoints = Checkpoints(folder)
    with pytest.raises(KeyboardInterrupt) as stop, checkpoints.through_a_stop():
        train(tissue, checkpoints=checkpoints, callbacks=[interrupts])
    (told,) = stop.value.__notes__
    return told


@pytest.fixture(scope="module")
def left_by_epoch_1(tissue, tmp_path_factory):
    """The folder of a training that was interrupted in epoch 1 (from 0)."""
    folder = tmp_path_factory.mktemp("interrupted")
    with pytest.raises(Interrupted):
        train(tissue, checkpoints=Checkpoints(folder, 0.0), callbacks=[Interrupts(1)])
    return folder


@pytest.fixture
def interrupted_early(left_by_epoch_1, tmp_path):
    """A folder of this test's own with the same checkpoint."""
    shutil.copytree(left_by_epoch_1, tmp_path, dirs_exist_ok=True)
    return tmp_path


def assert_same_training(found, expected) -> None:
    """To rounding: mostly to the last bit, but beside heavy load TensorFlow has once added in
    another order (2e-7). Another order of cells or other noise changes far more."""
    for one, other in zip(found[0], expected[0], strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-4)
    pd.testing.assert_frame_equal(found[1], expected[1], rtol=1e-3, atol=1e-4)


def test_a_training_that_goes_on_ends_where_one_without_a_break_does(
    tissue, without_a_break, interrupted_early
):
    """Weights, optimizers, soft labels, order of cells, noise, history; by a model of its own."""
    weights, history = without_a_break
    assert {path.name for path in interrupted_early.iterdir()} == {FILE}
    checkpoints = Checkpoints(interrupted_early, 0.0, resume=True)
    went_on, later = train(tissue, checkpoints=checkpoints, fit=fit)
    assert_same_training((went_on, later), (weights, history))


def test_a_stopped_training_goes_on_after_its_last_epoch(tissue, without_a_break, tmp_path):
    """Though the signal came within the next epoch."""
    weights, history = without_a_break
    assert "--resume" in stopped(tissue, tmp_path, Interrupts(3, KeyboardInterrupt))
    went_on, later = train(tissue, checkpoints=Checkpoints(tmp_path, resume=True))
    assert_same_training((went_on, later), (weights, history))


def test_a_run_that_is_stopped_after_its_training_does_not_train_again(tissue, tmp_path):
    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(KeyboardInterrupt), checkpoints.through_a_stop():
        weights, history = train(tissue, QUICK, checkpoints)
        raise KeyboardInterrupt
    went_on, later = train(tissue, QUICK, Checkpoints(tmp_path, resume=True), [Interrupts(0)])
    for found, expected in zip(went_on, weights, strict=True):
        np.testing.assert_array_equal(found, expected)
    pd.testing.assert_frame_equal(later, history, check_exact=True)


def test_a_training_that_is_stopped_in_its_first_epoch_keeps_nothing(tissue, tmp_path):
    assert "nothing is kept" in stopped(tissue, tmp_path, Interrupts(0, KeyboardInterrupt))
    assert not list(tmp_path.iterdir())


def test_without_a_checkpoint_a_training_starts_from_the_beginning(tissue, tmp_path):
    with pytest.raises(Interrupted):  # in its first epoch
        train(tissue, QUICK, Checkpoints(tmp_path, resume=True), [Interrupts(0)])
    assert not list(tmp_path.iterdir())  # a minute has not passed


def test_a_checkpoint_that_is_not_asked_for_is_not_looked_at(tissue, tmp_path):
    (tmp_path / FILE).write_bytes(b"no checkpoint")
    with pytest.raises(Interrupted):
        train(tissue, QUICK, Checkpoints(tmp_path), [Interrupts(0)])


@pytest.mark.parametrize("changed", [{"seed": 1}, {"epochs": 6}, {"learning_rate": 0.02}])
def test_the_checkpoint_of_another_training_is_refused(tissue, interrupted_early, changed):
    training = dataclasses.replace(CONFIG.training, **changed)
    other = dataclasses.replace(CONFIG, training=training)
    with pytest.raises(InputError, match="of another training"):
        train(tissue, other, Checkpoints(interrupted_early, resume=True))


def one_count_more(data):
    rna = data.rna.copy()
    rna.data[7] += 1
    return dataclasses.replace(data, rna=rna)


def two_counts_exchanged(data):
    atac = data.atac.copy()
    places = np.flatnonzero(atac.data != atac.data[0])[:1]
    atac.data[[0, *places]] = atac.data[[*places, 0]]
    return dataclasses.replace(data, atac=atac)


@pytest.mark.parametrize("change", [one_count_more, two_counts_exchanged])
def test_the_checkpoint_of_other_counts_is_refused(tissue, interrupted_early, change):
    """However little they differ: same cells, same genes, same labels."""
    data = change(tissue[0])
    other = data, preprocessing.fit(data, CONFIG.preprocessing)
    with pytest.raises(InputError, match="of another training") as raised:
        train(other, checkpoints=Checkpoints(interrupted_early, resume=True))
    assert "counts" in raised.value.expected


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_a_damaged_checkpoint_is_refused(tissue, interrupted_early, keep):
    content = (interrupted_early / FILE).read_bytes()
    (interrupted_early / FILE).write_bytes(content[: int(keep * len(content))])
    with pytest.raises(InputError, match="cannot be read"):
        train(tissue, checkpoints=Checkpoints(interrupted_early, resume=True))


def test_a_checkpoint_with_any_bit_turned_ends_in_no_other_error(tmp_path):
    """Of its archive's heads; what stands in the tables has a checksum."""
    kept = Checkpoints(tmp_path, resume=True)
    np.savez(kept.path, version=np.array("1"))
    content, refused = kept.path.read_bytes(), 0
    for place in range(len(content)):
        for bit in (0x01, 0x20):
            turned = bytes([content[place] ^ bit])
            kept.path.write_bytes(content[:place] + turned + content[place + 1 :])
            try:
                kept._read()
            except InputError:
                refused += 1
    assert refused > len(content)


def test_a_pipe_in_place_of_a_checkpoint_is_not_waited_for(tmp_path, model):
    os.mkfifo(tmp_path / FILE)
    with pytest.raises(InputError, match="cannot be read"):
        Checkpoints(tmp_path, resume=True).restore(model, "me")


def test_no_pickle_is_loaded(tmp_path, model):
    np.savez(tmp_path / FILE, identity=np.array("me"), variable_0=np.array([{}], dtype=object))
    with pytest.raises(InputError, match="cannot be read"):
        Checkpoints(tmp_path, resume=True).restore(model, "me")


@pytest.fixture(scope="module")
def made():
    return Kept(new_model(20, 3, 0, 10, CONFIG))


@pytest.fixture
def model(made):
    return made.as_made()


def test_all_that_a_training_moves_is_kept_by_a_path_of_its_own(model):
    optimizers = (model.optimizer, model.alignment_optimizer)
    variables = [v for owner in (model, *optimizers) for v in owner.variables]
    assert len(model.training_state()) == len(variables)
    assert model.training_state().keys() == new_model(20, 3, 0, 10, CONFIG).training_state().keys()


def rewritten(folder, change) -> None:
    """Writes a checkpoint anew, its tables changed."""
    with np.load(folder / FILE) as file:
        tables = {name: file[name] for name in file.files}
    change(tables)
    np.savez(folder / FILE, **tables)


def kept(folder, model, tables) -> None:
    checkpoints = Checkpoints(folder)
    checkpoints.hold(Snapshot.of(model, tables), "me")
    checkpoints.save()


THRESHOLD = "variable/readout/unknown_threshold"


@pytest.mark.parametrize(
    "change, received",
    [
        (lambda tables: tables.update(version=np.array("0.0.1")), "version 0.0.1"),
        (lambda tables: tables.pop("version"), "version unknown"),
        (lambda tables: tables.update({THRESHOLD: np.zeros(3)}), "readout/unknown_threshold"),
        (lambda tables: tables.pop(THRESHOLD), "readout/unknown_threshold"),
        (lambda tables: tables.update({"variable/readout/old": np.zeros(3)}), "readout/old"),
    ],
    ids=["other", "none", "shape", "missing", "more"],
)
def test_the_checkpoint_of_another_version_is_refused(tmp_path, model, change, received):
    kept(tmp_path, model, {})
    rewritten(tmp_path, change)
    before = model.get_weights()
    with pytest.raises(InputError, match="another version of scadv_tf") as raised:
        Checkpoints(tmp_path, resume=True).restore(model, "me")
    assert received in raised.value.received and "--resume" in raised.value.advice
    for found, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_model_is_restored_by_the_paths_of_its_variables(tmp_path, model):
    """Whatever their order in the file."""
    kept(tmp_path, model, {"more": np.arange(3)})

    def turn_round(tables):
        turned = dict(reversed(tables.items()))
        tables.clear()
        tables.update(turned)

    rewritten(tmp_path, turn_round)
    other = new_model(20, 3, 0, 10, CONFIG)
    tables = Checkpoints(tmp_path, resume=True).restore(other, "me")
    assert tables.keys() == {"more"}
    for found, expected in zip(other.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_only_the_chief_removes_the_file(tmp_path):
    (tmp_path / FILE).write_bytes(b"kept")
    Checkpoints(tmp_path, chief=False).remove()
    assert (tmp_path / FILE).exists()
    Checkpoints(tmp_path).remove()
    assert not (tmp_path / FILE).exists()
    Checkpoints(tmp_path).remove()  # nothing is there: nothing happens
