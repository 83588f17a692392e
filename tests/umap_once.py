"""Imports umap-learn, which a fresh environment compiles for seconds: by one process at a time.

The others then find it compiled.
"""

import fcntl
import tempfile

with open(f"{tempfile.gettempdir()}/.umap_once", "w") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    import umap  # noqa: F401
