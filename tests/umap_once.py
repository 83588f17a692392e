"""Imports umap-learn, which a fresh environment compiles for seconds: by one process at a time.

The others then find it compiled.
"""

import contextlib
import fcntl

with open(__file__) as file:
    with contextlib.suppress(OSError):  # some network file systems have no locks
        fcntl.flock(file, fcntl.LOCK_EX)
    import umap  # noqa: F401
