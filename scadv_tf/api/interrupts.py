"""Ctrl-C in a notebook: it ends the work between TensorFlow's own steps, not in their midst.

There it can crash the kernel, or become a SystemError. The command line has `scadv_tf.signals`.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from scadv_tf.signals import AGAIN, FRAGILE

PATIENCE = 5.0  # seconds to wait for the end of a step


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C in the block raises KeyboardInterrupt, as soon as no fragile library is at work.

    At the latest at the end of the block, or after `PATIENCE`; and whatever native code has made of
    it. In another thread than the main one, or where the user has a handler of their own, nothing
    is changed.
    """
    former = signal.getsignal(signal.SIGINT)
    if (
        threading.current_thread() is not threading.main_thread()
        or former is not signal.default_int_handler
    ):
        yield
        return
    here = threading.get_ident()
    since: list[float] = []  # when it was asked for
    waits, over = threading.Event(), threading.Event()

    def ask(_: int, at: FrameType | None) -> None:
        since.append(time.monotonic())
        library = "" if at is None else at.f_globals.get("__name__", "").partition(".")[0]
        if library in FRAGILE and since[-1] < since[0] + PATIENCE:
            waits.set()
            return
        waits.clear()
        raise KeyboardInterrupt

    def ask_again() -> None:
        while not over.wait(AGAIN):
            if waits.is_set():
                signal.pthread_kill(here, signal.SIGINT)

    asking = threading.Thread(target=ask_again, daemon=True)
    signal.signal(signal.SIGINT, ask)
    try:
        asking.start()
        yield
    except Exception as error:
        if since:
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGINT, former)
        over.set()
        asking.join()
    if since:  # and not raised yet, or dropped by a library
        raise KeyboardInterrupt
