"""Throughput of two workers of one core each against one process of two cores, as JSON lines.

python tests/benchmarks/bench_workers.py --batch=512,2048

All train the same cells with the same batches of all workers together. Epochs of both are taken in
turns, so that a busy machine slows both; the first epoch of each run, which compiles, is left out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from absl import app, flags

sys.path.insert(0, str(Path(__file__).parents[1]))

flags.DEFINE_list("batch", ["512", "2048"], "Cells of each modality in a batch of all workers.")
flags.DEFINE_integer("cells", 8192, "Cells of each modality.")
flags.DEFINE_integer("epochs", 4, "Epochs of a run.")
flags.DEFINE_integer("repeats", 3, "Runs of each kind.")


def seconds_of(folder: Path, batch: int, workers: int) -> np.ndarray:
    """Seconds of each epoch but the first."""
    from team.conftest import Members

    members, given = Members(folder), flags.FLAGS
    settings = [f"cells={given.cells}", f"epochs={given.epochs}", f"batch_size={batch}"]
    if workers == 1:
        members.start(*settings, "cores=2")
    else:
        members.start_workers(*settings, own=(["processor=0"], ["processor=1"]))
    for code, output in members.wait():
        if code:
            raise subprocess.CalledProcessError(code, "train.py", output)
    return members.results()["seconds"][1:]


def main(_) -> None:
    """A line a batch size."""
    given = flags.FLAGS
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for batch in map(int, given.batch):
        found = {1: [], 2: []}
        for _ in range(given.repeats):
            for workers, kept in found.items():
                with tempfile.TemporaryDirectory() as folder:
                    kept.extend(seconds_of(Path(folder), batch, workers))
        one, two = (float(np.median(found[workers])) for workers in (1, 2))
        line = {"batch": batch, "cells": given.cells, "seconds_one_process": round(one, 3)}
        line |= {"seconds_two_workers": round(two, 3), "throughput": round(one / two, 3)}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    app.run(main)
