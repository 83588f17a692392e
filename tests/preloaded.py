"""What takes seconds to import, before a process of the tests is forked.

umap-learn, which a fresh environment compiles for seconds, is imported by one process at a time:
the others then find it compiled. What is imported lasts: no process looks through it for garbage,
which would also copy the memory that it shares with the first.
"""

import contextlib
import fcntl
import gc

gc.disable()

with open(__file__) as file:
    with contextlib.suppress(OSError):  # some network file systems have no locks
        fcntl.flock(file, fcntl.LOCK_EX)
    import umap  # noqa: F401

import anndata  # noqa: E402, F401
import keras  # noqa: E402, F401
import matplotlib.pyplot  # noqa: E402, F401
import sklearn.cluster  # noqa: E402, F401
import tensorflow  # noqa: E402, F401

import scadv_tf.run_figures  # noqa: E402, F401
import scadv_tf.serving.export  # noqa: E402, F401
import scadv_tf.team  # noqa: E402, F401
import scadv_tf.training  # noqa: E402, F401

gc.freeze()
gc.enable()
