"""A full disk is told by an error, and not by the end of the process."""

from __future__ import annotations

import errno
import resource
import subprocess
import sys

import h5py
import numpy as np
import pytest

from scadv_tf.data.new_h5 import new_h5


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
import sys
sys.path.insert(0, sys.argv[1])
from test_new_h5 import fill, new_h5
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
    def limited():  # no file may grow beyond it, as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    words = [request.path.parent, size, checks]
    done = subprocess.run(
        [sys.executable, "-c", FULL, *map(str, words)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        preexec_fn=limited,
    )
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout == f"{errno.EFBIG}\n"
