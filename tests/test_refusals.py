"""No space, no memory and numbers that are too large are told in four parts, not by a traceback."""

from __future__ import annotations

import errno
import subprocess
import sys

import pytest

from scadv_tf.refusals import is_full_disk, refusal


class ResourceExhaustedError(Exception):
    """As TensorFlow calls it."""


@pytest.mark.parametrize(
    "error, what",
    [
        (OSError(errno.ENOSPC, "No space left on device"), "The disk is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "The disk is full"),
        (RuntimeError("Can't write (errno = 28, 'No space left on device')"), "The disk is full"),
        (ResourceExhaustedError("a/variables; No space left on device"), "The disk is full"),
        (ResourceExhaustedError("OOM when allocating tensor"), "not enough memory"),
        (MemoryError(), "not enough memory"),
        (ImportError("libx.so.2: failed to map segment from shared object"), "not enough memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "not enough memory"),
        (RuntimeError("can't start new thread"), "not enough memory"),
        (OverflowError("int too large to convert"), "number is too large"),
        (PermissionError(errno.EACCES, "Permission denied", "run"), "cannot be read or written"),
        (OSError(errno.ENAMETOOLONG, "File name too long"), "cannot be read or written"),
        (DeprecationWarning("np.bool is deprecated"), "taken for an error"),
    ],
)
def test_the_machine_or_its_settings_are_to_blame(error, what):
    told = refusal(error)
    assert what in told.what and type(error).__name__ in told.received
    assert is_full_disk(error) == ("disk is full" in told.what)


@pytest.mark.parametrize("error", [KeyError("a"), RuntimeError("b"), ValueError("c")])
def test_a_fault_of_the_program_is_none_of_these(error):
    assert refusal(error) is None


PROGRAM = """
import sys
from scadv_tf import console
def main():
    raise eval(sys.argv[0])
sys.argv = sys.argv[1:]
console.run_app(main)
"""


@pytest.mark.slow
@pytest.mark.parametrize("error", ["MemoryError()", "OSError(28, 'No space left')"])
def test_a_program_ends_with_exit_code_2(error):
    done = subprocess.run([sys.executable, "-c", PROGRAM, error], capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n  ") == 3
