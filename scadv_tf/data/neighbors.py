"""The nearest ATAC cells of each ATAC cell."""

from __future__ import annotations

import logging

import numpy as np

from scadv_tf.data.normalization import unit_rows

# Of more cells an index finds nearly all of the nearest in a tenth of the time.
EXACT_CELLS = 50_000
# The index has 4 sqrt(A) groups of cells, and looks into so many of them for each cell: 99 % of the
# 35 nearest of 100,000 cells are found (tests/benchmarks/bench_neighbors.py).
GROUPS_SEARCHED = 64
CELLS_A_GROUP = 40  # that teach where the groups lie
CELLS_AT_ONCE = 65_536


def neighbors_with_self(vectors: np.ndarray, count: int) -> np.ndarray:
    """Each cell itself, then its `count` - 1 nearest others, int32 [A, <= count].

    Nearest by the cosine, exactly up to `EXACT_CELLS` cells. The cell comes first even where others
    have the same vector (or none at all).
    """
    cells = len(vectors)
    count = min(count, cells)
    find = _exact if cells <= EXACT_CELLS else _indexed
    found = find(_directions(vectors), count)
    others = found != np.arange(cells, dtype=np.int32)[:, None]
    # A cell that its twins pushed out of its own list drops the farthest instead.
    others[others.all(axis=1), -1] = False
    result = np.empty((cells, count), dtype=np.int32)
    result[:, 0] = np.arange(cells)
    result[:, 1:] = found[others].reshape(cells, count - 1)
    return result


def _directions(vectors: np.ndarray) -> np.ndarray:
    """Unit vectors [cells, D + 1]; vectors of zeros, which have no direction, are one of their own.

    So the cosine of those with all others is 0.
    """
    zero = ~vectors.any(axis=1, keepdims=True)
    return np.hstack([unit_rows(vectors), zero.astype(np.float32)])


def _exact(directions: np.ndarray, count: int, of: np.ndarray | None = None) -> np.ndarray:
    """The nearest cells, nearest first, of all cells or of those at `of`.

    Among vectors of length 1 the nearest have the highest cosine, and scikit-learn compares plain
    distances ten times faster than cosines.
    """
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=count, metric="euclidean", algorithm="brute")
    search.fit(directions)
    asked = directions if of is None else directions[of]
    return search.kneighbors(asked, return_distance=False).astype(np.int32)


def _indexed(directions: np.ndarray, count: int) -> np.ndarray:
    """The same, nearly, by an inverted file: cells in groups, of which the nearest are searched."""
    logging.getLogger("faiss.loader").setLevel(
        logging.WARNING
    )  # it tells which of its parts it tries
    import faiss

    cells, width = directions.shape
    groups = int(4 * np.sqrt(cells))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, groups, faiss.METRIC_INNER_PRODUCT)
    index.nprobe = GROUPS_SEARCHED
    random = np.random.default_rng(0)
    taught = random.choice(cells, min(cells, CELLS_A_GROUP * groups), replace=False)
    index.train(directions[np.sort(taught)])
    index.add(directions)
    found = np.empty((cells, count), dtype=np.int32)
    for start in range(0, cells, CELLS_AT_ONCE):
        part = slice(start, start + CELLS_AT_ONCE)
        found[part] = index.search(directions[part], count)[1]
    # The groups searched can hold too few cells where many have the same vector.
    short = np.flatnonzero((found < 0).any(axis=1))
    if len(short):
        found[short] = _exact(directions, count, short)
    return found
