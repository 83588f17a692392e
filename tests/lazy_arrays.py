"""Arrays as dask has them, for tests that need no dask."""

from __future__ import annotations

from types import SimpleNamespace


class Lazy:
    """As dask has it: an array of blocks that are computed when asked for; which, is noted."""

    def __init__(self, matrix, kind):
        self._matrix, self._kind, self.shape, self.computed = matrix, kind, matrix.shape, []

    def __getitem__(self, part):
        rows = self._matrix[part]
        self.computed.append(rows.shape[0])
        return SimpleNamespace(compute=lambda: self._kind(rows))

    def compute(self):
        raise AssertionError("all of it at once")

    __array__ = compute
