"""Functions in processes of their own: what they return, and how they may die."""

from __future__ import annotations

import os
import signal
import sys
import time

import numpy as np
import pytest

from scadv_tf.comparison.apart import run_apart
from scadv_tf.errors import InputError

pytestmark = pytest.mark.slow

MEGABYTE = 1024**2


def double(values: np.ndarray) -> tuple:
    return 2 * values, os.getpid(), "scipy.stats" in sys.modules


def hold(megabytes: int) -> int:
    return len(bytearray(os.urandom(MEGABYTE) * megabytes))


def fail(kind: type, text: str):
    if kind is InputError:
        raise InputError(what=text, expected="e", received="r", advice="a")
    raise kind(text)


def die(how: int):
    os.kill(os.getpid(), how)
    time.sleep(60)


def leave():
    os._exit(3)


def test_the_answer_comes_from_another_process_with_the_imports_made():
    outcome = run_apart(double, np.arange(3), imports=["scipy.stats"])
    values, process, imported = outcome.value
    assert values.tolist() == [0, 2, 4] and process != os.getpid() and imported
    assert outcome.error is None
    assert 0 <= outcome.seconds < outcome.outside_seconds


def test_memory_is_that_of_the_function_and_not_of_the_caller():
    held = bytearray(os.urandom(MEGABYTE) * 600)
    small, large = run_apart(hold, 1), run_apart(hold, 300)
    assert len(held) == large.value * 2
    assert small.peak_memory_mb < 400
    assert large.peak_memory_mb > small.peak_memory_mb + 250


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (InputError, "too few\n  expected: e\n  received: r\n  what to do: a"),
        (MemoryError, "MemoryError: too few"),
    ],
)
def test_an_exception_is_told(kind, error):
    outcome = run_apart(fail, kind, "too few")
    assert outcome.error == error and outcome.value is None


@pytest.mark.parametrize(
    ("death", "told"),
    [
        ((die, signal.SIGKILL), "ended by SIGKILL, most often for lack of memory"),
        ((die, signal.SIGABRT), "ended by SIGABRT."),
        ((leave,), "without an answer (exit code 3)"),
    ],
)
def test_a_death_is_survived_and_told(death, told):
    assert told in run_apart(*death).error
