"""A program called as from a shell, in the process of the tests: without the seconds of a start."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from absl import app, flags
from absl import logging as absl_logging
from absl.testing import flagsaver

from scadv_tf import signals


@dataclass(frozen=True)
class Finished:
    """What `subprocess.run` would tell of it."""

    returncode: int
    stdout: str
    stderr: str


def run_here(start: Callable[[], None], folder: Path, *words: str) -> Finished:
    """Calls a whole program, such as `scadv_tf.train.start`, in a folder with words of a shell.

    What only a process has is left out: signals, and what native libraries print.
    """
    out, err = io.StringIO(), io.StringIO()
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["program", *words])
        patch.setattr(signals, "heed", lambda *_: None)  # those of this process are pytest's
        app.define_help_flags()  # once a process: they stay
        for before in (flagsaver.flagsaver(), _same_logging()):
            stack.enter_context(before)
        flags.FLAGS["verbosity"].unparse()  # whoever has set it before
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        code = 0
        try:
            start()
        except SystemExit as end:
            code = end.code or 0
    return Finished(code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _same_logging() -> Iterator[None]:
    """Leaves the loggers as they were."""
    loggers = [logging.getLogger(name) for name in (None, "scadv_tf")]
    before = [(each.handlers[:], each.propagate, each.level) for each in loggers]
    verbosity = absl_logging.get_verbosity()
    try:
        yield
    finally:
        for each, (handlers, propagate, level) in zip(loggers, before, strict=True):
            each.handlers[:], each.propagate = handlers, propagate
            each.setLevel(level)
        absl_logging.set_verbosity(verbosity)
