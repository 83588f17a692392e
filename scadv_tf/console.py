"""What the command-line programs share: quiet libraries, plain messages, exit codes."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import select
import sys
from collections.abc import Callable

from absl import app, flags
from absl import logging as absl_logging

from scadv_tf import folders, signals
from scadv_tf.errors import BAD_INPUT, InputError
from scadv_tf.flags import asks_for_help, help_text, parsed
from scadv_tf.libraries import end_at_once, hush_libraries
from scadv_tf.refusals import refusal

logger = logging.getLogger(__name__)


def run_app(main: Callable[[], None]) -> None:
    """Parses the flags, runs `main`, and ends with exit code 2 and one message on bad input.

    So it does where disk or memory do not suffice. A signal that asks it to end makes the exit
    code 128 and its number: 130 for Ctrl-C, 143 for SIGTERM.
    """
    _open_streams()
    signals.heed(folders.give_up)
    hush_libraries()
    end_at_once()
    # umap-learn would import TensorFlow for this form of it, which no program here uses.
    sys.modules.setdefault("umap.parametric_umap", None)  # type: ignore[arg-type]
    flags.FLAGS.set_default("verbosity", 0)
    app.run(lambda arguments: sys.exit(_run(main, arguments[1:])), flags_parser=_parsed)


def _parsed(words: list[str]) -> list[str]:
    try:
        if asks_for_help(words):
            print(help_text(sys.modules["__main__"].__doc__ or ""))
            raise SystemExit
        return parsed(words)
    except InputError as error:
        sys.exit(_refused(error))
    except (SystemExit, BrokenPipeError):  # --helpfull, which absl ends as if it had failed
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.flush()
            sys.exit(0)
        _stop_printing()
        sys.exit(0)


def _open_streams() -> None:
    """Standard streams that were closed, as daemons and `ssh` commands are started, lead nowhere.

    Else the next files would get their numbers, and what libraries print would go into these.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:  # the lowest that is free
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)
    sys.stderr = sys.stderr or open(2, "w", closefd=False)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name may have letters that it lacks
        with contextlib.suppress(OSError):  # it asks some streams, in vain, where they stand
            sys.stdout.reconfigure(errors="backslashreplace")


def _nobody_reads() -> bool:
    """Whether who read the standard output, such as `head`, has seen enough and is gone."""
    output = select.poll()
    output.register(1, select.POLLOUT)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in output.poll(0))


def _stop_printing() -> None:
    """Nothing goes to the standard output any more: Python would try again at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _run(main: Callable[[], None], unknown: list[str]) -> int:
    _configure_logging(flags.FLAGS.verbosity)
    try:
        if unknown:
            raise InputError(
                what="The command line has words that are no flags.",
                expected="flags such as --dataset=pbmc",
                received=" ".join(unknown),
                advice="Put -- before each name and = before each value; see --help.",
            )
        main()
        sys.stdout.flush()
        signals.answer()
    except InputError as error:
        return _refused(error)
    except signals.Stopped as stop:
        return _stopped(stop)
    except Exception as error:
        if stop := signals.asked():
            return _stopped(stop)
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            _stop_printing()
            return 0
        told = refusal(error)
        if told is None:
            raise
        logger.debug("Where it failed:", exc_info=error)
        return _refused(told)
    return 0


def _stopped(stop: signals.Stopped) -> int:
    signals.answer()
    _tell(f"stopped by {stop}", *getattr(stop, "__notes__", ()))
    return stop.exit_code


def _refused(error: InputError) -> int:
    _tell(f"error: {error}")
    return BAD_INPUT


def _tell(*lines: str) -> None:
    """To the standard error; where nobody reads that either, the exit code says it alone."""
    with contextlib.suppress(OSError):
        print(*lines, sep="\n", file=sys.stderr, flush=True)


def _configure_logging(verbosity: int) -> None:
    """absl's --verbosity (1 debug, 0 information, -1 warnings, -2 errors) for plain lines."""
    level = {1: logging.DEBUG, 0: logging.INFO, -1: logging.WARNING}.get(verbosity, logging.ERROR)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    ours = logging.getLogger("scadv_tf")
    ours.handlers, ours.propagate = [handler], False
    ours.setLevel(level)
    # Of the libraries only what a user can act on.
    absl_logging.set_verbosity(min(verbosity, -2))
