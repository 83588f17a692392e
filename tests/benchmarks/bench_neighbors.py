"""How long the search for neighbours takes, and how many of the nearest it finds, as JSON lines.

python tests/benchmarks/bench_neighbors.py --cells=100000,1000000

Made-up cells in the space that the program compares them in: 30 types of unlike shares, eight
directions in which cells of a type vary, and noise in all: harder than real cells, whose neighbours
are of lower dimension. A line a number of cells:

- `seconds` of the search, and of the weights of the lists;
- `recall`: of the 35 nearest of 500 cells by brute force, the share that was found;
- `memory_mb` that the search and the weights take beyond the vectors.
"""

from __future__ import annotations

import json
import resource
import sys
import time

import numpy as np
from absl import app, flags
from main_job import ROOT

sys.path.insert(0, str(ROOT))

from scadv_tf.data.neighbor_lists import NeighborLists  # noqa: E402
from scadv_tf.data.neighborhood_size import MOST_NEIGHBORS  # noqa: E402
from scadv_tf.data.neighbors import neighbors_with_self  # noqa: E402
from scadv_tf.data.normalization import unit_rows  # noqa: E402

flags.DEFINE_list("cells", ["100000", "1000000"], "Numbers of cells.")

TYPES, VARYING, ASKED = 30, 8, 500
PARTS = ((15, 0.5), (50, 1.0))  # width and noise of the semantic index and of the components


def made_up(cells: int, random: np.random.Generator) -> np.ndarray:
    """Vectors float32 [cells, 65]."""
    shares = 1 / np.arange(1, TYPES + 1)
    types = random.choice(TYPES, cells, p=shares / shares.sum())
    parts = []
    for width, noise in PARTS:
        centers = random.normal(size=(TYPES, width)).astype(np.float32)
        directions = 0.3 * random.normal(size=(VARYING, width)).astype(np.float32)
        values = (
            centers[types] + random.normal(size=(cells, VARYING)).astype(np.float32) @ directions
        )
        values += noise * random.standard_normal((cells, width), dtype=np.float32)
        parts.append(unit_rows(values))
    return np.hstack(parts)


def memory_mb() -> float:
    """The largest resident memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(cells: int) -> dict:
    """The line of one number of cells."""
    random = np.random.default_rng(0)
    vectors = made_up(cells, random)
    before, start = memory_mb(), time.perf_counter()
    found = neighbors_with_self(vectors, MOST_NEIGHBORS)
    searched = time.perf_counter()
    NeighborLists.of(found)
    weighed, after = time.perf_counter(), memory_mb()
    asked = random.choice(cells, min(ASKED, cells), replace=False)
    similarity = vectors[asked] @ vectors.T
    nearest = np.argpartition(-similarity, MOST_NEIGHBORS - 1)[:, :MOST_NEIGHBORS]
    hits = [len(set(ours) & set(best)) for ours, best in zip(found[asked], nearest, strict=True)]
    return {
        "cells": cells,
        "seconds": round(searched - start, 1),
        "weight_seconds": round(weighed - searched, 1),
        "recall": round(float(np.mean(hits)) / MOST_NEIGHBORS, 4),
        "memory_mb": round(after - before),
    }


def main(arguments: list[str]) -> None:
    """Prints a line a number of cells."""
    del arguments
    for cells in flags.FLAGS.cells:
        print(json.dumps(measure(int(cells))), flush=True)


if __name__ == "__main__":
    app.run(main)
