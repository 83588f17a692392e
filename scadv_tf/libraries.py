"""Large libraries: loaded without noise, by the backend that is ours, and left without delay."""

from __future__ import annotations

import atexit
import contextlib
import gc
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Iterator

_BACKEND = "KERAS_BACKEND"
_one_at_a_time = threading.RLock()  # what `quiet_start` changes is the process'


def hush_libraries() -> None:
    """Of native libraries that are imported later, only errors are shown, unless the user chose."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    logging.getLogger("tensorflow").addFilter(_is_worth_telling)


def _is_worth_telling(record: logging.LogRecord) -> bool:
    # Each model traces its functions once; TensorFlow takes the second model for a mistake.
    return "triggered tf.function retracing" not in record.getMessage()


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """Keeps back what native libraries print to the standard error while they are loaded.

    TensorFlow tells of processors and missing graphics cards there before its log level counts.
    If the body fails, what was kept back is shown, but not if a signal ends it. Meanwhile no
    garbage is looked for among the many objects that such an import makes to last, and Keras, if it
    is imported, works by TensorFlow, whatever the environment or a keras.json says.
    """
    hush_libraries()
    if sys.stderr:  # None in processes without a console
        sys.stderr.flush()
    with _one_at_a_time, tempfile.TemporaryFile() as kept:
        saved, collects = os.dup(2), gc.isenabled()
        backend = os.environ.get(_BACKEND)
        os.environ[_BACKEND] = "tensorflow"
        gc.disable()
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except Exception:
            kept.seek(0)
            os.write(saved, kept.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            del os.environ[_BACKEND]
            if backend is not None:
                os.environ[_BACKEND] = backend
            if collects:
                gc.enable()


def end_at_once() -> None:
    """Lets this process end without a last look for garbage: after TensorFlow, it takes a second.

    For programs, whose memory goes with them; what others do at their exit is not ours to change.
    What was interrupted midway is then closed while modules are taken apart, and what it raises
    tells nobody anything.
    """
    atexit.register(_end_silently)


def _end_silently() -> None:
    sys.unraisablehook = lambda _: None
    gc.freeze()


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Lets TensorFlow's own log, in Python, and that of absl tell of errors alone.

    Nor does it leave a handler to the root logger, as absl does on the first of its words: a user's
    own `logging.basicConfig` would do nothing then.
    """
    logs, handlers = list(map(logging.getLogger, ("tensorflow", "absl"))), logging.root.handlers[:]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)
        logging.root.handlers[:] = handlers
