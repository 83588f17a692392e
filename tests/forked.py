"""Programs in processes of their own, without the seconds in which their libraries are imported.

They are forked from a process that has imported TensorFlow and done nothing with it, so that it has
no threads: one for all tests of a worker.
"""

from __future__ import annotations

import atexit
import functools
import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from subprocess import CompletedProcess

import pytest

TESTS = Path(__file__).parent
PROGRAM = TESTS.parent / "train_main.py"


@functools.cache
def forks() -> multiprocessing.context.ForkServerContext:
    """Its first process has imported what is in preloaded.py."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["preloaded"])
    with pytest.MonkeyPatch.context() as patch:
        # Some versions of Python look for it where a new Python would, and pass over what is not
        # found there.
        patch.setenv("PYTHONPATH", str(TESTS), prepend=os.pathsep)
        forkserver.ensure_running()
    return context


def fork(target: Callable, *given: object) -> BaseProcess:
    """A process that calls it, in the environment that this process has now."""
    process = forks().Process(target=_called, args=(dict(os.environ), target, *given))
    process.start()
    return process


def _called(environment: dict[str, str], target: Callable, *given: object) -> None:
    os.environ.clear()
    os.environ.update(environment)
    target(*given)


class Forked:
    """A main job that runs: what `subprocess.Popen` has of it, both outputs in one pipe."""

    def __init__(self, folder: Path, *words: str):
        ours, theirs = multiprocessing.Pipe(duplex=False)
        self._process = fork(_heard, theirs, folder, PROGRAM, words)
        theirs.close()
        self.pid = self._process.pid
        self.stdout = os.fdopen(os.dup(ours.fileno()), encoding="utf-8")
        ours.close()

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Whatever it makes of it."""
        os.kill(self.pid, number)

    def terminate(self) -> None:
        """Asks it to end."""
        self.send_signal(signal.SIGTERM)

    def communicate(self, timeout: float) -> tuple[str, None]:
        """What it still says until it ends, in time or killed."""
        end = threading.Timer(timeout, self._process.kill)
        end.start()
        with self.stdout:
            said = self.stdout.read()
        self._process.join()
        end.cancel()
        return said, None


def finished(folder: Path, *words: str, program=PROGRAM, timeout=900) -> CompletedProcess:
    """The main job, or another program, from its start to its end."""
    with tempfile.TemporaryDirectory() as place:
        outputs = [Path(place, name) for name in ("out", "err")]
        process = started(outputs, folder, *words, program=program)
        process.join(timeout)
        process.kill()  # if it still runs
        process.join()
        said = [path.read_text("utf-8") for path in outputs]
    return CompletedProcess(words, process.exitcode, *said)


def started(outputs: list[Path], folder: Path, *words: str, program: Path):
    """The process of a program that writes its outputs into two files."""
    return fork(_written, outputs, folder, program, words)


def _heard(pipe: Connection, *given) -> None:
    output = os.dup(pipe.fileno())
    pipe.close()
    _become([output] * 2, *given)


def _written(outputs: list[Path], *given) -> None:
    _become([os.open(path, os.O_WRONLY | os.O_CREAT) for path in outputs], *given)


def _become(outputs: list[int], folder: Path, program: Path, words: tuple[str, ...]) -> None:
    """In the new process: all as where Python has just started."""
    for given, own in zip(outputs, (1, 2), strict=True):
        os.dup2(given, own)
    for given in set(outputs):
        os.close(given)
    # As in a terminal: in the background of a shell Ctrl-C would be ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.chdir(folder)
    sys.path.insert(0, str(program.parent))
    sys.argv = [str(program), *map(str, words)]
    try:
        runpy.run_path(str(program), run_name="__main__")
    finally:
        atexit._run_exitfuncs()
