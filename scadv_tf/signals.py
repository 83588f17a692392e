"""Signals that ask a process to end: it cleans up as after any error, and ends in time.

Three things make this harder than raising an error. TensorFlow's native code does not bear one that
is raised in the midst of it: it crashes, or makes an error of its own of it. Python drops what is
raised while it deletes an object, and libraries drop errors here and there. And long computations
in native code let nothing be raised until they are done.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

# Ctrl-C; what Slurm, Kubernetes and `kill` send; a terminal that is gone.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 25.0  # seconds from the signal to the end; Slurm and Kubernetes wait for 30
AGAIN = 0.1  # seconds after which a program that still goes on is asked again
# Whose code is never interrupted; what Python imports may be any of them.
FRAGILE = ("tensorflow", "tensorflow_probability", "keras", "tf_keras", "importlib")


class Stopped(KeyboardInterrupt):
    """A signal has asked the process to end. Those who keep something say so in a note.

    Parameters
    ----------
    number : of the signal.
    """

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


_asked: list[Stopped] = []
_answered = threading.Event()
_undisturbed = threading.Event()


def asked() -> Stopped | None:
    """What a signal raises in this process, if one has come; native code may make another of it."""
    return _asked[0] if _asked else None


def due() -> None:
    """Raises `Stopped` if a signal has asked for it: called between steps of what takes long."""
    if _asked and not (_answered.is_set() or _undisturbed.is_set() or _cleans_up()):
        raise _asked[0]


def answer() -> None:
    """The program ends by itself from here on: nothing is raised any more."""
    _answered.set()


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Nothing is raised within it, but at its end: for moments in which others wait for us."""
    _undisturbed.set()
    try:
        yield
    finally:
        _undisturbed.clear()
    due()


@contextlib.contextmanager
def noted(note: Callable[[], str]) -> Iterator[None]:
    """If a signal ends the block, the user is told what `note` gives, whatever it was made into."""
    try:
        yield
    except BaseException as error:
        stop = error if isinstance(error, KeyboardInterrupt) else asked()
        if stop is not None:
            stop.add_note(note())
        raise


def heed(give_up: Callable[[], None] = lambda: None) -> None:
    """From now on such a signal raises `Stopped` in the main thread.

    It does so at once, or as soon as no fragile library is at work, or where `due` is called. It
    does so anew if the program goes on as if nothing were, but not while the main thread deals with
    it, since that is how it cleans up, and not after `answer`. A thread ends the process when
    `PATIENCE` is over, after it has called `give_up`.

    Call it in the main thread. A signal that is ignored already, as by nohup, stays so.
    """
    _forget()
    for number in ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _ask)
    sys.unraisablehook = functools.partial(_tell_unless_raised_anew, sys.unraisablehook)
    heard_there, told_here = os.pipe()
    os.set_blocking(told_here, False)
    # The interpreter writes the number of each signal there, whatever the main thread is at.
    signal.set_wakeup_fd(told_here, warn_on_full_buffer=False)
    given = heard_there, threading.get_ident(), give_up
    threading.Thread(target=_end_in_time, args=given, daemon=True).start()


def take_back() -> None:
    """Signals that native code has taken over are heard by Python's handlers again.

    TensorFlow's notice of preemption takes SIGTERM when several machines train, and never ends.
    """
    if threading.current_thread() is threading.main_thread():
        for number in ENDING:
            if (heard := signal.getsignal(number)) is not None:  # else it was never Python's
                signal.signal(number, heard)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Within it Ctrl-C is heard as in a program that heeds signals: for notebooks.

    It raises a KeyboardInterrupt, at the latest at the end of the block, whatever native code has
    made of it. Elsewhere than in the main thread, and where Ctrl-C has a meaning of its own, all
    stays as it is.
    """
    plain = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not plain or threading.current_thread() is not threading.main_thread():
        yield
        return
    _forget()
    signal.signal(signal.SIGINT, _ask)
    try:
        yield
        due()
    except Exception as error:
        if stop := asked():
            raise stop from error
        raise
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _forget()


def _forget() -> None:
    """What a program in this process was asked, and has answered, is not the next one's."""
    _asked.clear()
    _answered.clear()


def _ask(number: int, at: FrameType | None) -> None:
    if _is_within_ask(at):
        return  # that one knows what it interrupts, which may be fragile
    if not _asked:
        _asked.append(Stopped(number))
    if at is None or at.f_globals.get("__name__", "").partition(".")[0] not in FRAGILE:
        due()


def _is_within_ask(at: FrameType | None) -> bool:
    """Whether a signal came while another was heard, as reminders do on a busy machine."""
    while at is not None and at.f_code is not _ask.__code__:
        at = at.f_back
    return at is not None


def _cleans_up() -> bool:
    """Whether the stop has been raised, and the main thread is within an `except` or `finally`."""
    return _asked[0].__traceback__ is not None and sys.exception() is not None


def _tell_unless_raised_anew(
    tell: Callable[[sys.UnraisableHookArgs], Any], dropped: sys.UnraisableHookArgs
) -> None:
    if dropped.exc_type is not Stopped:
        tell(dropped)


def _end_in_time(signals: int, main_thread: int, give_up: Callable[[], None]) -> None:
    number = 0
    while number not in ENDING:
        number = os.read(signals, 1)[0]
    end = time.monotonic() + PATIENCE
    while not _answered.wait(AGAIN) and time.monotonic() < end:
        signal.pthread_kill(main_thread, number)
    time.sleep(max(0.0, end - time.monotonic()))
    print(
        f"ended {PATIENCE:.0f} s after {signal.Signals(number).name}", file=sys.stderr, flush=True
    )
    try:
        give_up()
    finally:
        os._exit(128 + number)
