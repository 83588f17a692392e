"""Ctrl-C in a notebook, while a library works that does not bear to be interrupted."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from scadv_tf.api import interrupts
from scadv_tf.api.interrupts import interruptible
from scadv_tf.errors import InputError

LONG = 30.0  # seconds, after which the test would have failed


@pytest.fixture(autouse=True)
def python_s_own_handler():
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    changed = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, former)
    assert changed is signal.default_int_handler


def traced(done: list) -> None:
    """A step of Keras, in whose midst the user interrupts."""
    code = "raise_signal(SIGINT)\ndone.append('traced')"
    exec(code, vars(signal) | {"__name__": "keras.src", "done": done})


def test_a_fragile_step_is_ended_first():
    done, end = [], time.monotonic() + LONG
    with pytest.raises(KeyboardInterrupt), interruptible():
        traced(done)
        while time.monotonic() < end:
            time.sleep(0.01)
        done.append("all")
    assert done == ["traced"]


def test_a_step_without_end_is_interrupted(monkeypatch):
    monkeypatch.setattr(interrupts, "PATIENCE", 0.3)
    code = "raise_signal(SIGINT)\nwhile monotonic() < end: pass"
    end = time.monotonic() + LONG
    given = {"__name__": "tensorflow.python", "monotonic": time.monotonic, "end": end}
    with pytest.raises(KeyboardInterrupt), interruptible():
        exec(code, vars(signal) | given)
    assert time.monotonic() < end


def test_where_there_is_no_more_time_the_end_of_the_block_raises():
    done = []
    with pytest.raises(KeyboardInterrupt), interruptible():
        traced(done)
    assert done == ["traced"]


def test_other_code_is_interrupted_at_once_whatever_is_made_of_it():
    with pytest.raises(KeyboardInterrupt) as raised, interruptible():
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise SystemError("bad argument to internal function") from None
    assert isinstance(raised.value.__cause__, SystemError)


def test_errors_pass_and_other_threads_and_handlers_are_left_alone():
    with pytest.raises(InputError), interruptible():
        raise InputError(what="a", expected="b", received="c", advice="d")
    found = []

    def elsewhere() -> None:
        with interruptible():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with interruptible():
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    signal.signal(signal.SIGINT, signal.default_int_handler)
