"""What the query cells are called.

The package's sentences call them ATAC, since most are. Where they are something else, their name
takes the place of that word in all that is said: log lines, errors, tables, pictures, the report.
Names of flags, files and fields stay: they are written small.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from typing import Any

from scadv_tf.errors import InputError

ATAC = "ATAC"
_WORD = re.compile(r"\b(an )?ATAC\b")
_OURS = "scadv_tf"


def named(text: str, name: str) -> str:
    """The text with a name in place of ATAC."""
    if name == ATAC:
        return text
    article = "an " if name[:1].casefold() in "aeiou" else "a "
    return _WORD.sub(lambda found: (article if found[1] else "") + name, text)


@contextlib.contextmanager
def query_called(name: str) -> Iterator[None]:
    """In what is done meanwhile, log lines and errors of the package say that name."""
    if name == ATAC:
        yield
        return
    made = logging.getLogRecordFactory()

    def record(*arguments: Any, **more: Any) -> logging.LogRecord:
        found = made(*arguments, **more)
        if found.name.partition(".")[0] == _OURS:
            found.msg, found.args = named(found.getMessage(), name), ()
        return found

    logging.setLogRecordFactory(record)
    try:
        yield
    except InputError as error:
        parts = "what", "expected", "received", "advice"
        told = {part: named(str(getattr(error, part)), name) for part in parts}
        raise InputError(**told) from error
    finally:
        logging.setLogRecordFactory(made)
