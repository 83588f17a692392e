"""Folders that a run works in: one run at a time in each, and nothing of a killed one stays."""

from __future__ import annotations

import contextlib
import datetime
import errno
import fcntl
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from scadv_tf.errors import InputError
from scadv_tf.files import unfinished

logger = logging.getLogger(__name__)

LOCK = ".scadv-lock"
SCRATCH = ".scadv-"  # what the names of scratch folders begin with
_NO_LOCKS = {errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK}  # of some network file systems


# What this process holds locked, and removes at its end.
_held: set[Path] = set()


def give_up() -> None:
    """Removes all that is this process's own, where it ends without coming to the end of it."""
    for path in list(_held):
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


@contextlib.contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """A folder that is made if missing; new ones that are empty in the end go again.

    Raises
    ------
    OSError : it cannot be made.
    """
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for path in new:
            with contextlib.suppress(OSError):  # it is not empty
                path.rmdir()


@contextlib.contextmanager
def one_run(folder: Path) -> Iterator[None]:
    """Keeps a folder for this process, and removes what a killed run left in it.

    The kernel holds the lock for the process, so that none outlives it; what stands in the file
    is for people.

    Raises
    ------
    InputError : another run works in the folder.
    """
    with _own_file(folder / LOCK) as mark:
        now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        os.truncate(mark, 0)
        os.write(mark, f"process {os.getpid()} on {socket.gethostname()} since {now}\n".encode())
        remove_leftovers(folder, SCRATCH)
        for path in unfinished(folder):
            if path.parent == folder or not (path.parent / LOCK).exists():  # another's own
                path.unlink(missing_ok=True)
        yield


@contextlib.contextmanager
def scratch_folder(folder: Path, prefix: str = SCRATCH) -> Iterator[Path]:
    """A new folder within a folder, which goes at the end; those of killed processes go first.

    It is locked while it is in use, so that nobody takes it for left.

    Parameters
    ----------
    folder : that exists.
    prefix : of the new folder's name.
    """
    remove_leftovers(folder, prefix)
    with contextlib.ExitStack() as stack:
        made = None
        while made is None:  # another process may take it for left before it is locked
            made = _new(folder, prefix, stack)
        yield made


def remove_leftovers(folder: Path, prefix: str) -> None:
    """Removes the scratch folders in a folder that no process uses any more."""
    for path in folder.iterdir():
        if not path.name.startswith(prefix) or path.is_symlink() or not path.is_dir():
            continue
        with contextlib.suppress(OSError):  # it is in use, or not ours, or gone
            with _open(path, os.O_RDONLY) as mark:
                if _lock(mark):
                    shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def in_turn(place: Path) -> Iterator[None]:
    """Waits until no other process is in such a block with the same place.

    Parameters
    ----------
    place : a folder, or a file that is made if missing; network file systems lock files alone.
    """
    with _open(place, os.O_RDONLY if place.is_dir() else os.O_RDWR | os.O_CREAT) as mark:
        _lock(mark, fcntl.LOCK_EX)
        yield


def _new(folder: Path, prefix: str, stack: contextlib.ExitStack) -> Path | None:
    """A new folder, locked until the stack is closed, which removes it; None if it is gone."""
    made = Path(tempfile.mkdtemp(prefix=prefix, dir=folder))
    try:
        mark = stack.enter_context(_open(made, os.O_RDONLY))
        _lock(mark)
    except (BlockingIOError, FileNotFoundError):
        return None
    if not _stands(mark, made):
        return None
    _held.add(made)
    stack.callback(_held.discard, made)
    stack.callback(shutil.rmtree, made, ignore_errors=True)
    return made


@contextlib.contextmanager
def _own_file(path: Path) -> Iterator[int]:
    """The descriptor of a file that is this process's alone, and goes at the end."""
    while True:
        with _open(path, os.O_RDWR | os.O_CREAT) as mark:
            try:
                if not _lock(mark):
                    logger.warning("%s knows no locks: start no second run there", path.parent)
            except BlockingIOError as error:
                raise _in_use(path) from error
            if not _stands(mark, path):
                continue
            _held.add(path)
            try:
                yield mark
            finally:
                path.unlink(missing_ok=True)
                _held.discard(path)
            return


@contextlib.contextmanager
def _open(path: Path, flags: int) -> Iterator[int]:
    """A descriptor; closing it gives its lock back."""
    mark = os.open(path, flags, 0o666)
    try:
        yield mark
    finally:
        os.close(mark)


def _lock(mark: int, how: int = fcntl.LOCK_EX | fcntl.LOCK_NB) -> bool:
    """Locks a file or folder; whether its file system knows locks.

    Raises
    ------
    BlockingIOError : another process has the lock.
    """
    try:
        fcntl.flock(mark, how)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return False
        raise
    return True


def _stands(mark: int, path: Path) -> bool:
    """Whether what is locked is still there: its holder before may have removed it, between its
    opening and its locking."""
    try:
        return os.path.samestat(os.fstat(mark), path.stat())
    except FileNotFoundError:
        return False


def _in_use(path: Path) -> InputError:
    try:
        holder = path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        holder = ""
    return InputError(
        what="Another run works in this folder.",
        expected="one run at a time in a folder of results",
        received=f"{path.parent}, used by {holder or 'a process that has just begun'}",
        advice="Wait until it is done, end it, or give another --output_dir.",
    )
