"""What the machine or its settings refuse, told as bad input is: no space, no memory, a warning."""

from __future__ import annotations

import errno

from scadv_tf.errors import InputError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# HDF5 and TensorFlow tell of a full disk by these words alone.
_FULL_WORDS = ("no space left", "disk quota exceeded", "file too large")

# What a library says that the limits of the process leave no room to load, or to start a thread.
_MEMORY_WORDS = ("failed to map segment", "cannot allocate memory", "can't start new thread")


def refusal(error: Exception) -> InputError | None:
    """The error in four parts if the machine is to blame, or a number beyond it; else None."""
    # Of TensorFlow, which is not imported for this: it is also what a full disk raises.
    exhausted = type(error).__name__ == "ResourceExhaustedError"
    if is_full_disk(error):
        return _told(
            error,
            "The disk is full.",
            "space where the results, the export and temporary files go",
            "Make space, or give another --output_dir, --export_dir, --output or TMPDIR.",
        )
    text = str(error).casefold()
    if isinstance(error, MemoryError) or exhausted or any(words in text for words in _MEMORY_WORDS):
        return _told(
            error,
            "There is not enough memory.",
            "memory for libraries, for the cells that are held and for a batch",
            "Lower --memory_cells or --batch_size, or take a machine with more memory, or a job "
            "with higher limits.",
        )
    if isinstance(error, OverflowError):
        return _told(
            error,
            "A number is too large.",
            "numbers of at most 64 bits in the flags and in the input",
            "Look for a huge number in the flags and in the input.",
        )
    if isinstance(error, Warning):
        return _told(
            error,
            "A warning was taken for an error.",
            "warnings that end nothing: libraries warn of what only they can mend",
            "Unset PYTHONWARNINGS, or leave out -W error.",
        )
    if isinstance(error, OSError):
        return _told(
            error,
            "A file or folder cannot be read or written.",
            "files and folders that stay as they are and may be read and written",
            "Check the path, the rights and the disk.",
        )
    return None


def is_full_disk(error: BaseException) -> bool:
    """Whether it was raised for lack of space."""
    text = str(error).casefold()
    return getattr(error, "errno", None) in _FULL or any(words in text for words in _FULL_WORDS)


def _told(error: Exception, what: str, expected: str, advice: str) -> InputError:
    line = next(iter(str(error).strip().splitlines()), "")[:300]
    received = f"{type(error).__name__}: {line}" if line else type(error).__name__
    return InputError(what=what, expected=expected, received=received, advice=advice)
