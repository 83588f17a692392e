"""Paths, and files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PART = re.compile(r"\.part-[0-9a-f]{32}-.+")


def at_home(path: str | Path) -> Path:
    """The path; what begins with ~ is of a user's home, or is called so where no such user is."""
    path = Path(path)
    with suppress(RuntimeError):
        return path.expanduser()
    return path


def is_there(path: str | Path) -> bool:
    """Whether such a file or folder exists; what is too long for a name is none."""
    try:
        return at_home(path).exists()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
    return False


def same_file(one: str | Path, other: str | Path) -> bool:
    """Whether both are there and are one and the same, whatever links lead to it."""
    return is_there(one) and is_there(other) and os.path.samefile(at_home(one), at_home(other))


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Lend a path to write to, and give the file its own name once it is whole.

    The lent path lies in the same folder, which is made if missing, since only a rename within one
    file system is atomic; it keeps the suffixes, since many a writer goes by them. When the block
    fails, an older file stays as it was and nothing else is left behind.

    Yields
    ------
    Path to write to; it does not exist yet.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".part-{uuid.uuid4().hex}-{path.name}")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_whole(path: str | Path, content: bytes) -> Path:
    """Write a file whole or not at all, in a folder that is made if missing.

    Returns
    -------
    Path of the file.
    """
    with whole_file(path) as part:
        part.write_bytes(content)
    return Path(path)


def check_room(folder: Path, size: int) -> None:
    """Fails if a file of so many bytes cannot be written in a folder.

    Raises
    ------
    OSError : the disk is full, or a quota is used up.
    """
    if hasattr(os, "posix_fallocate"):  # not on macOS
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, size)


def unfinished(folder: Path) -> list[Path]:
    """What killed writers left in a folder and in those within, and what others write just now."""
    found = [*folder.glob(".part-*"), *folder.glob("*/.part-*")]
    return [path for path in found if _PART.fullmatch(path.name)]


def unwritable(folder: Path) -> str:
    """Why nothing can be written in a folder, which may have to be made; '' where it can."""
    absolute = folder.absolute()
    existing = next(path for path in (absolute, *absolute.parents) if path.exists())
    if not existing.is_dir():
        return f"{existing} is a file"
    return "" if os.access(existing, os.W_OK) else f"{existing} is read-only"
