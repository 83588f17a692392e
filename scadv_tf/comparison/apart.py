"""A function in a fresh process of its own: its memory is counted alone, its death is survived."""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

from scadv_tf import signals
from scadv_tf.errors import InputError
from scadv_tf.libraries import end_at_once, quiet_start
from scadv_tf.memory import peak_memory_mb, peak_memory_of_children_mb

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

logger = logging.getLogger(__name__)

PATIENCE = 8.0  # seconds that a process has to end by itself, thrice at most


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of a function that ran apart.

    Attributes
    ----------
    value : what it returned; None if it failed.
    error : why it failed; None if it did not.
    seconds : of the function.
    outside_seconds : of all else: the start of the process, imports, handing over.
    peak_memory_mb : of the process, or of one that it started, if that needed more.
    """

    value: Any = None
    error: str | None = None
    seconds: float = 0.0
    outside_seconds: float = 0.0
    peak_memory_mb: float = 0.0


def run_apart(function: Callable, *arguments: Any, imports: Sequence[str] = ()) -> Outcome:
    """Call a function of a module in a fresh process and wait for it.

    The process is not forked, so it inherits no memory, no threads and no library's state.
    Arguments and result are copied.

    Parameters
    ----------
    imports : modules to import first, so that their import is not counted as the function's.

    Returns
    -------
    The outcome, also if the function raises or its process dies.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    start = time.perf_counter()
    process = context.Process(target=_serve, args=(theirs,))
    _start_unheeding(process)
    theirs.close()
    try:
        ours.send(tuple(imports))
        ours.send((function, arguments))
        outcome = ours.recv()
    except (EOFError, OSError):
        process.join(PATIENCE)
        return Outcome(error=_last_words(process.exitcode))
    except BaseException:
        process.terminate()
        raise
    finally:
        ours.close()
        _end(process)
    passed = time.perf_counter() - start
    return Outcome(**outcome, outside_seconds=max(0.0, passed - outcome["seconds"]))


def _start_unheeding(process: SpawnProcess) -> None:
    """Starts a process that does not hear Ctrl-C, which its terminal sends to all: we end it."""
    resource_tracker.ensure_running()  # its start would let the signal through again
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with signals.undisturbed():  # or it would wait in vain for what it starts from
            process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)


def _serve(connection: Connection) -> None:
    """In the new process: import, receive, call, answer."""
    # So that what the function cleans up at its end, it also cleans up when it is told to end.
    signals.heed()
    end_at_once()
    try:
        _quiet_libraries()
        with quiet_start():
            for name in connection.recv():
                importlib.import_module(name)
        function, arguments = connection.recv()
        connection.send(called(function, arguments))
    except BrokenPipeError:
        sys.exit(1)  # nobody waits for the answer any more
    except signals.Stopped as stop:
        signals.answer()
        sys.exit(stop.exit_code)


def _quiet_libraries() -> None:
    """Of the libraries only errors are shown, as in the programs themselves."""
    from absl import logging as absl_logging

    absl_logging.set_verbosity(absl_logging.ERROR)


def called(function: Callable, arguments: tuple) -> dict:
    """What came of a call, by the names of `Outcome`; memory is that of all this process did."""
    start = time.perf_counter()
    answer: dict[str, Any] = {"value": None, "error": None}
    try:
        answer["value"] = function(*arguments)
    except InputError as error:
        answer["error"] = str(error)
    except Exception as error:
        if stop := signals.asked():  # of which native code has made it
            raise stop from error
        answer["error"] = f"{type(error).__name__}: {error}"
        print(traceback.format_exc(), file=sys.stderr, flush=True)
    peak = max(peak_memory_mb(), peak_memory_of_children_mb())
    return answer | {"seconds": time.perf_counter() - start, "peak_memory_mb": peak}


def _last_words(exit_code: int | None) -> str:
    """Why a process gave no answer."""
    if exit_code is None or exit_code >= 0:
        return f"Its process ended without an answer (exit code {exit_code})."
    name = signal.Signals(-exit_code).name
    reason = ", most often for lack of memory" if name == "SIGKILL" else ""
    return f"Its process was ended by {name}{reason}."


def _end(process: SpawnProcess) -> None:
    """See to it that the process is gone."""
    for step in (lambda: None, process.terminate, process.kill):
        step()
        process.join(PATIENCE)
        if process.exitcode is not None:
            break
