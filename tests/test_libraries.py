"""What is kept back while libraries are loaded, and how a program leaves them."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import scadv_tf
from scadv_tf.libraries import hush_libraries, quiet_libraries, quiet_start

CHILD = """
import os
from scadv_tf.libraries import quiet_start
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


def test_threads_that_start_libraries_at_once_leave_all_as_it_was(monkeypatch):
    """As the first requests of a server do: what one has set aside is not the next one's."""
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    error, before = os.fstat(2), threading.Barrier(4)
    failed = []

    def start() -> None:
        before.wait()
        try:
            for _ in range(20):
                with quiet_start():
                    time.sleep(0.001)
        except Exception as failure:
            failed.append(failure)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and "KERAS_BACKEND" not in os.environ and gc.isenabled()
    assert os.fstat(2).st_ino == error.st_ino


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


@pytest.mark.slow
def test_keras_works_by_tensorflow_whatever_file_and_environment_say(tmp_path):
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text('{"backend": "torch"}')
    said = fresh_process(
        """
import os
from scadv_tf.libraries import quiet_start
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
    ends = "from scadv_tf.libraries import end_at_once\nend_at_once()\n"
    assert fresh_process(ends + program + "del left").stdout == ""


def test_what_is_closed_too_late_is_no_traceback_of_a_program():
    """As TensorFlow's open buffers are, where a signal has come midway."""
    program = """
import builtins
class Left:
    def __del__(self):
        raise ValueError("too late")
builtins.left = Left()
"""
    assert "too late" in fresh_process(program).stderr
    ends = "from scadv_tf.libraries import end_at_once\nend_at_once()\n"
    assert fresh_process(ends + program).stderr == ""


def fresh_process(program: str, **environment: str) -> subprocess.CompletedProcess:
    root = str(Path(scadv_tf.__file__).parents[1])
    return subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": root} | environment,
        capture_output=True,
        text=True,
    )
