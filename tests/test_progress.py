"""Stages, and what is kept back while native libraries start."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

import scadv_tf
from scadv_tf.progress import (
    CellProgress,
    Stages,
    hush_libraries,
    peak_memory_mb,
    quiet_libraries,
    quiet_start,
    training_progress,
)

CHILD = """
import os
from scadv_tf.progress import quiet_start
try:
    with quiet_start():
        os.write(2, b"native noise\\n")
        {body}
except RuntimeError:
    pass
os.write(2, b"after\\n")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "shown"), [("pass", "after\n"), ("raise RuntimeError", "native noise\nafter\n")]
)
def test_native_noise_is_shown_only_on_failure(body, shown):
    done = subprocess.run(
        [sys.executable, "-c", CHILD.format(body=body)], capture_output=True, text=True, check=True
    )
    assert done.stderr == shown


@pytest.mark.parametrize("collects", [True, False])
def test_garbage_is_looked_for_as_before(collects):
    if not collects:
        gc.disable()
    try:
        with pytest.raises(RuntimeError), quiet_start():
            assert not gc.isenabled()
            raise RuntimeError
        assert gc.isenabled() == collects
    finally:
        gc.enable()


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


def test_peak_memory_counts_what_was_held():
    before = peak_memory_mb()
    held = bytearray(200 * 1024**2)
    held[::4096] = b"x" * len(held[::4096])
    after = peak_memory_mb()
    del held
    assert after >= max(before, 200)


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


def test_a_second_model_is_not_told_to_trace_less_and_all_else_is_told(caplog):
    hush_libraries()
    hush_libraries()
    told = logging.getLogger("tensorflow")
    told.warning("5 out of the last %d calls to f triggered tf.function retracing. Tracing …", 12)
    told.warning("The shapes differ.")
    assert [record.getMessage() for record in caplog.records] == ["The shapes differ."]


def test_the_root_logger_stays_the_users(monkeypatch):
    monkeypatch.setattr(logging.root, "handlers", [])
    with quiet_libraries():
        logging.root.addHandler(logging.NullHandler())  # as absl does
    assert not logging.root.handlers


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


@pytest.mark.slow
def test_keras_works_by_tensorflow_whatever_file_and_environment_say(tmp_path):
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text('{"backend": "torch"}')
    said = fresh_process(
        """
import os
from scadv_tf.progress import quiet_start
with quiet_start():
    import keras
print(keras.config.backend(), os.environ["KERAS_BACKEND"])
""",
        HOME=str(tmp_path),
        KERAS_BACKEND="torch",
    )
    assert said.stdout.split() == ["tensorflow", "torch"], said.stderr


def test_where_no_backend_was_asked_for_none_is_afterwards(monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    with quiet_start():
        assert os.environ["KERAS_BACKEND"] == "tensorflow"
    assert "KERAS_BACKEND" not in os.environ


def test_a_program_looks_for_no_garbage_at_its_end():
    program = """
import gc
class Left:
    def __del__(self):
        print("found")
left = Left()
left.itself = left
"""
    assert fresh_process(program).stdout == "found\n"
    ends = "from scadv_tf.progress import end_at_once\nend_at_once()\n"
    assert fresh_process(ends + program + "del left").stdout == ""


def fresh_process(program: str, **environment: str) -> subprocess.CompletedProcess:
    root = str(Path(scadv_tf.__file__).parents[1])
    return subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": root} | environment,
        capture_output=True,
        text=True,
    )
