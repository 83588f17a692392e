"""New HDF5 files that a full disk does not turn into a crash."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import h5py
    from typing_extensions import Buffer


@contextmanager
def new_h5(path: str | Path) -> Iterator[tuple[h5py.File, Callable[[], None]]]:
    """A new file, and a function that raises what the disk has refused so far.

    HDF5 cannot put away what it failed to write: it tries again when its objects go, and ends the
    process by a segmentation fault. So it is not told. Call the function now and then, so as not
    to go on in vain; it is called at the end.

    Raises
    ------
    OSError : the disk is full, or refuses to write for another reason.
    """
    import h5py

    with open(path, "w+b", buffering=0) as raw:
        disk = _Disk(raw)
        try:
            with h5py.File(disk, "w") as file:
                yield file, disk.check
        except Exception:
            disk.check()  # it is the cause, if it has refused anything
            raise
        disk.check()


class _Disk:
    """A file as h5py takes it, that holds the first error of writing back.

    From then on it keeps in memory what it is given, since HDF5 reads again what it wrote, and
    would take whatever lies there for its own.
    """

    def __init__(self, raw: FileIO):
        self._raw = raw
        self._error: OSError | None = None
        self._kept: list[tuple[int, bytes]] = []  # where, and what, since the error
        # `read` is what h5py knows a file by.
        self.read, self.tell = raw.read, raw.tell

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        place = self._raw.seek(place, whence)
        if whence == os.SEEK_END:
            ends = [start + len(content) for start, content in self._kept]
            place = self._raw.seek(max([place, *ends]))
        return place

    def readinto(self, buffer: Buffer) -> int:
        if self._error is None:
            return self._raw.readinto(buffer)
        view, start = memoryview(buffer).cast("B"), self.tell()
        size = self._raw.readinto(view)
        view[size:] = bytes(len(view) - size)
        for place, content in self._kept:
            first, last = max(start, place), min(start + len(view), place + len(content))
            if first < last:
                view[first - start : last - start] = content[first - place : last - place]
                size = max(size, last - start)
        self._raw.seek(start + size)
        return size

    def write(self, content: Buffer) -> int:
        left, start = memoryview(content).cast("B"), self.tell()
        if not self._try(lambda: self._write_all(left)):
            self._kept.append((start, bytes(left)))
            self._raw.seek(start + len(left))
        return len(left)

    def truncate(self, size: int) -> int:
        self._try(lambda: self._raw.truncate(size))
        return size

    def flush(self) -> None:
        """Nothing is held back: the file is not buffered."""

    def check(self) -> None:
        """Raises the first error, if there was one."""
        if self._error is not None:
            raise self._error

    def _write_all(self, left: memoryview) -> None:
        while left:
            left = left[self._raw.write(left) :]

    def _try(self, step: Callable[[], object]) -> bool:
        """Whether it was done."""
        if self._error is None:
            try:
                step()
            except OSError as error:
                self._error = error
        return self._error is None
