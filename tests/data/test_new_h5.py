"""A full disk is told by an error, and not by the end of the process."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

from scadv_tf.data.new_h5 import _Disk, new_h5


def fill(file, number=50):
    for i in range(number):
        array = file.create_dataset(f"x{i}", shape=(1000,), chunks=(100,), compression="gzip")
        array[:] = np.arange(1000) % (i + 2)


def test_a_file_is_what_hdf5_writes(tmp_path):
    with new_h5(tmp_path / "a.h5") as (file, check):
        fill(file)
        check()
    with h5py.File(tmp_path / "a.h5") as file:
        assert len(file) == 50
        np.testing.assert_array_equal(file["x7"][:], np.arange(1000) % 9)


def test_an_error_of_the_block_stays_what_it_is(tmp_path):
    with pytest.raises(KeyError, match="mine"), new_h5(tmp_path / "a.h5") as (file, _):
        fill(file, 1)
        raise KeyError("mine")


FULL = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from test_new_h5 import fill, new_h5
# No file may grow beyond it, as on a full disk.
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
checks = sys.argv[3] == "True"
try:
    with new_h5("a.h5") as (file, check):
        for _ in range(2):
            fill(file)
            if checks:
                check()
            for name in list(file):
                del file[name]
except OSError as error:
    print(error.errno)
"""


@pytest.mark.slow
@pytest.mark.parametrize("checks", [True, False])
@pytest.mark.parametrize("size", [0, 100, 5_000, 40_000])
def test_a_full_disk_is_an_error_and_no_crash(tmp_path, request, size, checks):
    words = [request.path.parent, size, checks]
    done = subprocess.run(
        # -B, since bytecode would be cut at that size, too, and stay.
        [sys.executable, "-B", "-c", FULL, *map(str, words)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout == f"{errno.EFBIG}\n"


class Small(io.BytesIO):
    """A file that takes ten bytes."""

    def write(self, content) -> int:
        room = 10 - self.tell()
        if room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(content[:room])


def test_what_the_disk_refused_is_read_again_as_it_was_written():
    """HDF5 does so, and would end the process by what it finds there otherwise."""
    disk, expected = _Disk(Small()), io.BytesIO()
    for place, content in (
        (0, b"abcdef"),
        (4, b"ghijklmnop"),
        (20, b"qrs"),
        (2, b"tu"),
        (21, b"v"),
    ):
        for file in (disk, expected):
            file.seek(place)
            assert file.write(content) == len(content)
            assert file.tell() == place + len(content)
    whole = expected.getvalue()
    assert disk.seek(0, os.SEEK_END) == len(whole) == 23
    for start, size in ((0, 23), (3, 5), (9, 4), (12, 11), (20, 9)):
        found = bytearray(b"x" * size)
        disk.seek(start)
        count = disk.readinto(found)
        assert found[:count] == whole[start : start + size] and disk.tell() == start + count
    with pytest.raises(OSError, match="No space"):
        disk.check()
