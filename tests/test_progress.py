"""Stages and what they cost, bars, and the time left."""

from __future__ import annotations

import logging
import sys
import types

import pytest

from scadv_tf.memory import peak_memory_mb
from scadv_tf.progress import CellProgress, Stages, training_progress


def test_peak_memory_counts_what_was_held():
    before = peak_memory_mb()
    held = bytearray(200 * 1024**2)
    held[::4096] = b"x" * len(held[::4096])
    after = peak_memory_mb()
    del held
    assert after >= max(before, 200)


def test_a_stage_that_comes_twice_adds_up(monkeypatch):
    ticks = iter([10.0, 12.5, 20.0, 21.0])
    monkeypatch.setattr("scadv_tf.progress.time.perf_counter", lambda: next(ticks))
    stages = Stages()
    for _ in range(2):
        with stages.stage("write", "Writing"):
            pass
    assert stages.seconds == {"write": 3.5}


def test_stages_tell_what_is_held_and_the_most_so_far():
    stages = Stages()
    with stages.stage("fill", "Filling"):
        held = bytearray(200 * 1024**2)
        held[::4096] = b"x" * len(held[::4096])
    with stages.stage("free", "Freeing"):
        del held
    assert stages.resident_mb["fill"] > stages.resident_mb["free"] + 150
    assert stages.memory_mb["fill"] > stages.resident_mb["fill"] - 1
    assert stages.memory_mb["free"] == pytest.approx(stages.memory_mb["fill"], abs=10)


def jupyter(monkeypatch, shell: object) -> None:
    ipython = types.SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", ipython)


@pytest.mark.parametrize("level, shown", [(logging.WARNING, True), (logging.ERROR, False)])
def test_a_notebook_shows_bars_unless_warnings_are_off(monkeypatch, caplog, level, shown):
    jupyter(monkeypatch, types.SimpleNamespace(kernel=object()))
    caplog.set_level(level, "scadv_tf")
    with CellProgress(10, "annotating") as progress:
        assert progress._bar.disable != shown


@pytest.mark.parametrize("shell", [None, types.SimpleNamespace()], ids=["script", "terminal"])
def test_elsewhere_than_on_a_terminal_there_are_lines_in_place_of_a_bar(monkeypatch, caplog, shell):
    # Though Jupyter is imported, as it is in the process of tests that ran a tutorial.
    jupyter(monkeypatch, shell)
    caplog.set_level(logging.INFO, "scadv_tf")
    with CellProgress(10, "annotating") as progress:
        assert progress._bar.disable
        progress.update(5)
    assert "5 of 10 cells" in caplog.text


def test_the_time_left_of_a_resumed_training_is_told_by_its_own_epochs(monkeypatch, caplog):
    """Four of ten epochs are done before; each of the others takes two seconds."""
    caplog.set_level(logging.INFO, "scadv_tf")
    clock = iter([0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0])
    monkeypatch.setattr("scadv_tf.progress.time.perf_counter", lambda: next(clock))
    progress = training_progress(epochs=10, steps=3, first=4)
    progress.on_train_begin()
    for epoch in range(4, 10):
        progress.on_epoch_end(epoch, {"loss": 1.0})
    progress.on_train_end()
    told = [line.split(":")[0] for line in caplog.messages if "left" in line]
    assert told == [f"  epoch {done}/10, {2 * (10 - done)} s left" for done in range(5, 11)]
