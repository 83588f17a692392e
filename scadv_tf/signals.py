"""Signals that ask a process to end: it cleans up as after any error, and ends in time."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

# Ctrl-C; what Slurm, Kubernetes and `kill` send; a terminal that is gone.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 25.0  # seconds from the signal to the end; Slurm and Kubernetes wait for 30


class Stopped(KeyboardInterrupt):
    """A signal has asked the process to end. Those who keep something say so in a note.

    Parameters
    ----------
    number : of the signal.
    """

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


_raised: list[Stopped] = []


def raised() -> Stopped | None:
    """What a signal has raised in this process, if one has.

    Native code that calls back into Python makes an error of another kind of what is raised there.
    """
    return _raised[0] if _raised else None


@contextlib.contextmanager
def noted(note: Callable[[], str]) -> Iterator[None]:
    """If a signal ends the block, the user is told what `note` gives, whatever it was made into."""
    try:
        yield
    except BaseException as error:
        stop = error if isinstance(error, KeyboardInterrupt) else raised()
        if stop is not None:
            stop.add_note(note())
        raise


def heed(give_up: Callable[[], None] = lambda: None) -> None:
    """From now on the first such signal raises `Stopped` in the main thread; others do nothing.

    Call it in the main thread. A signal that is ignored already, as by nohup, stays so. Long
    computations in native code hear no signal until they are done: a thread ends the process
    when `PATIENCE` is over, after it has called `give_up`.
    """
    heard = [number for number in ENDING if signal.getsignal(number) != signal.SIG_IGN]

    def stop(number: int, _: FrameType | None) -> None:
        for each in heard:
            signal.signal(each, _nothing)
        _raised.append(Stopped(number))
        raise _raised[0]

    for number in heard:
        signal.signal(number, stop)
    heard_there, told_here = os.pipe()
    os.set_blocking(told_here, False)
    # The interpreter writes the number of each signal there, whatever the main thread is at.
    signal.set_wakeup_fd(told_here, warn_on_full_buffer=False)
    threading.Thread(target=_end_in_time, args=(heard_there, give_up), daemon=True).start()


def _nothing(*_: object) -> None:
    """The process ends already. A handler, since a child would inherit that it is ignored."""


def _end_in_time(signals: int, give_up: Callable[[], None]) -> None:
    number = 0
    while number not in ENDING:
        number = os.read(signals, 1)[0]
    time.sleep(PATIENCE)
    print(
        f"ended {PATIENCE:.0f} s after {signal.Signals(number).name}", file=sys.stderr, flush=True
    )
    try:
        give_up()
    finally:
        os._exit(128 + number)
