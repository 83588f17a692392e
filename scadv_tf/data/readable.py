"""What the many kinds of errors in reading a file mean to the user."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scadv_tf.errors import InputError


@dataclass(frozen=True)
class _Cause:
    """Why a file cannot be read, and what HDF5 or the system says then."""

    says: str
    what: str
    expected: str
    advice: str


_CAUSES = (
    _Cause(
        r"unable to lock file|already open for write|different access mode",
        "is in use by another program",
        "a file that no other program holds open for writing",
        "close it there, or end that program, such as a notebook's kernel; on a file system that "
        "knows no locks, set HDF5_USE_FILE_LOCKING=FALSE",
    ),
    _Cause(
        r"required filter|can't open directory",
        "is compressed by a plug-in of HDF5 that is missing here",
        "compression by gzip or lzf, or none",
        "install the plug-ins, hdf5plugin: pip install 'scadv_tf[compressed]'; or write the file "
        "again, e.g. with write_h5ad(path, compression='gzip')",
    ),
    _Cause(
        r"['\"]pickle['\"]",
        "holds pickled objects, which could run any program when they are read",
        "numbers and text",
        "if you trust who made it, write the cells again, e.g. with write_zarr of anndata",
    ),
    _Cause(
        r"[Uu]nknown codec|codec not available",
        "is compressed in a way that is not known here",
        "a codec of the installed zarr and numcodecs",
        "install newer ones: pip install -U zarr numcodecs; or write the store again",
    ),
    _Cause(
        r"No space left on device|[Qq]uota exceeded",
        "could not be sorted by cell: the disk is full",
        "room for a temporary copy of the counts",
        "make room where the results go, or give another folder for them",
    ),
    _Cause(
        r"Permission denied",
        "may not be read",
        "a file that you may read",
        "ask its owner for the permission, or take a copy",
    ),
)
_DAMAGED = "the file is damaged, cut short or of another kind: make or download it again"


@contextlib.contextmanager
def readable(path: Path, file_format: str) -> Iterator[None]:
    """Tells the user why a file could not be read.

    Raises
    ------
    InputError : in place of any error that reading raises.
    """
    try:
        yield
    except (InputError, MemoryError):
        raise
    except ImportError as error:
        raise InputError(
            what=f"{path} could not be read, as a package that reads it does not load",
            expected="installed packages of versions that fit each other",
            received=f"{type(error).__name__}: {error}",
            advice="pip install -U anndata zarr numcodecs h5py, or install scadv_tf anew",
        ) from error
    except Exception as error:  # HDF5, zlib and anndata raise many kinds
        received = f"{type(error).__name__}: {error}"
        for cause in _CAUSES:
            if re.search(cause.says, str(error)):
                what, expected, advice = f"{path} {cause.what}", cause.expected, cause.advice
                break
        else:
            what, advice = f"{path} could not be read", _DAMAGED
            expected = f"a complete {file_format} file"
        raise InputError(what=what, expected=expected, received=received, advice=advice) from error


@contextlib.contextmanager
def passed_over() -> Iterator[None]:
    """What cannot be read, and is not asked for, is passed over; want of memory is no damage.

    As in `readable`, any error may be one of HDF5, zlib or anndata.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception:
        return
