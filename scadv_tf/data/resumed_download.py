"""Downloads of large files, which go on where they were when the connection is lost."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from scadv_tf.files import check_room, write_whole

if TYPE_CHECKING:
    import requests

logger = logging.getLogger(__name__)

# How patient a download is, in seconds: before each further try, for a connection, for more data.
WAITS = (1.0, 2.0, 4.0, 8.0, 16.0)
TIMEOUTS = (15.0, 60.0)
BUSY = {429, 500, 502, 503, 504}  # what servers answer that may be better in a moment
BLOCK = 1 << 20


class Unreachable(Exception):
    """No connection was made: nothing to wait for."""


class Refused(Exception):
    """The server has no such file, or does not give it."""


class Interrupted(Exception):
    """The connection was lost, or the server was busy: the next try may go on."""


def download(address: str, part: Path) -> None:
    """Downloads a file, and goes on where an earlier try was stopped.

    A part is only continued where the server says that its file is still the same (by ``If-Range``
    with the ``ETag`` or ``Last-Modified`` of the part, which are kept beside it).

    Parameters
    ----------
    address : of the file.
    part : where it goes, and where an interrupted download of it lies.

    Raises
    ------
    Unreachable, Refused, Interrupted : it could not be done; of the last, after all tries.
    OSError : the disk is full, or the part cannot be written.
    """
    for wait in WAITS:
        try:
            return _go_on(address, part)
        except Interrupted as error:
            logger.warning("%s; goes on in %.0f s", error, wait)
            time.sleep(wait)
    return _go_on(address, part)


def _go_on(address: str, part: Path) -> None:
    """One try: adds to the part what it lacks."""
    mark = part.with_name(f"{part.name}.version")
    start, version = _begun(address, part, mark)
    # Files that are compressed must come as they are, and so that their parts can be asked for.
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": version}
    with _answer(address, headers) as answer:
        if start and _is_other(answer, start, version):
            part.unlink(missing_ok=True)
            raise Interrupted(f"{address} is not the same any more")
        _check_status(address, answer, (200, 206) if start else (200,))
        if answer.status_code == 200:
            start = 0
            mark.unlink(missing_ok=True)
            if version := _version(answer):
                write_whole(mark, f"{address}\n{version}".encode())
        _add(answer, part, start)
    mark.unlink(missing_ok=True)


def _begun(address: str, part: Path, mark: Path) -> tuple[int, str]:
    """How many bytes of a file are there, and of which version of it."""
    try:
        kept_address, _, version = mark.read_text("utf-8").partition("\n")
        size = part.stat().st_size
    except (OSError, UnicodeDecodeError):
        return 0, ""
    return (size, version) if kept_address == address and version else (0, "")


def _version(answer: requests.Response) -> str:
    """What tells the versions of the server's file apart, byte by byte; '' where nothing does."""
    tag = answer.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified", "")


@contextlib.contextmanager
def _answer(address: str, headers: dict[str, str]) -> Iterator[requests.Response]:
    """The server's answer, of which the content is still to be read."""
    import requests
    import urllib3

    try:
        with requests.get(address, headers=headers, stream=True, timeout=TIMEOUTS) as answer:
            yield answer
    except requests.ConnectionError as error:
        if error.args and isinstance(error.args[0], urllib3.exceptions.MaxRetryError):
            raise Unreachable(str(error.args[0].reason)) from error
        raise Interrupted(f"the connection to {address} was lost: {error}") from error
    except (requests.Timeout, urllib3.exceptions.HTTPError) as error:
        raise Interrupted(f"the connection to {address} was lost: {error}") from error
    except requests.RequestException as error:  # such as an address that is none
        raise Refused(f"{address}: {error}") from error


def _is_other(answer: requests.Response, start: int, version: str) -> bool:
    """Whether a server that was asked for the rest of a file has none, or that of another one."""
    if answer.status_code == 206:
        begins = answer.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        return not begins or _version(answer) not in ("", version)
    return answer.status_code == 416


def _check_status(address: str, answer: requests.Response, good: tuple[int, ...]) -> None:
    if answer.status_code in good:
        return
    said = f"{address} answered with status {answer.status_code} ({answer.reason})"
    raise (Interrupted if answer.status_code in BUSY else Refused)(said)


def _add(answer: requests.Response, part: Path, start: int) -> None:
    from tqdm import tqdm

    length = answer.headers.get("Content-Length", "")
    total = start + int(length) if length.isdecimal() else None
    if total is not None and total > start:
        check_room(part.parent, total - start)
    hidden = not logger.isEnabledFor(logging.INFO) or not sys.stderr.isatty()
    name, units = answer.url.rpartition("/")[2], {"unit": "B", "unit_scale": True}
    with (
        open(part, "ab" if start else "wb") as file,
        tqdm(total=total, initial=start, desc=name, disable=hidden, leave=False, **units) as bar,
    ):
        for block in answer.raw.stream(BLOCK, decode_content=False):
            file.write(block)
            bar.update(len(block))
    size = part.stat().st_size
    if total is not None and size != total:
        raise Interrupted(f"{answer.url} sent {size - start:,} of {total - start:,} bytes")
