"""What the query cells are called.

The package's sentences call them ATAC, since most are. Where they are something else, their name
takes the place of that word in all that is said: log lines, errors, tables, pictures, the report.
Names of flags, files and fields stay: they are written small.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import re
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from scadv_tf.errors import InputError

ATAC = "ATAC"
# Not in paths, values of flags and what is quoted, which are the user's words.
_WORD = re.compile(r"(?<![\w/.='-])(an )?\bATAC\b(?![/\w]|\.\w)")
_OURS = "scadv_tf"
_called = ContextVar("called", default=ATAC)


def named(text: str, name: str) -> str:
    """The text with a name in place of ATAC."""
    if name == ATAC:
        return text
    article = "an " if name[:1].casefold() in "aeiou" else "a "
    return _WORD.sub(lambda found: (article if found[1] else "") + name, text)


@contextlib.contextmanager
def query_called(name: str) -> Iterator[None]:
    """In what this thread does meanwhile, log lines and errors of the package say that name."""
    if name == ATAC:
        yield
        return
    _speak_by_name()
    before = _called.set(name)
    try:
        yield
    except InputError as error:
        parts = "what", "expected", "received", "advice"
        told = {part: named(str(getattr(error, part)), name) for part in parts}
        raise InputError(**told) from error
    finally:
        _called.reset(before)


@functools.cache  # once a process: other threads may be speaking
def _speak_by_name() -> None:
    made = logging.getLogRecordFactory()

    def record(*arguments: Any, **more: Any) -> logging.LogRecord:
        found = made(*arguments, **more)
        name = _called.get()
        if name != ATAC and found.name.partition(".")[0] == _OURS:
            found.msg, found.args = named(found.getMessage(), name), ()
        return found

    logging.setLogRecordFactory(record)
