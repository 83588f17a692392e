"""Throughput of two workers of one core each against one process of two cores, as JSON lines.

python tests/benchmarks/bench_workers.py --batch=512,2048

All train the same cells with the same batches of all workers together, in turns, so that a busy
machine slows both. A step counts from its start until its losses are there; ``throughput`` is one
process's median step over that of two workers. Between epochs (prediction of the ATAC cells, new
batches) two workers need some seconds more, which `epoch_throughput` counts, too: epochs are short
here.
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

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "team")]

flags.DEFINE_list("batch", ["512", "2048"], "Cells of each modality in a batch of all workers.")
flags.DEFINE_integer("cells", 8192, "Cells of each modality.")
flags.DEFINE_integer("epochs", 3, "Epochs of a run.")
flags.DEFINE_integer("repeats", 2, "Runs of each kind.")


def seconds_of(folder: Path, batch: int, workers: int) -> tuple[np.ndarray, np.ndarray]:
    """Seconds of each step, and of each epoch; the first epoch, which compiles, is left out."""
    from team.conftest import Members

    members, given = Members(folder), flags.FLAGS
    settings = [f"cells={given.cells}", f"epochs={given.epochs}", f"batch_size={batch}"]
    settings.append("min_batches=1")
    if workers == 1:
        members.start(*settings, "cores=2")
    else:
        members.start_workers(*settings, own=(["processor=0"], ["processor=1"]))
    for code, output in members.wait():
        if code:
            raise subprocess.CalledProcessError(code, "train.py", output)
    found = members.results()
    steps = found["step_seconds"].reshape(given.epochs, -1)
    return steps[1:].ravel(), found["seconds"][1:]


def main(_) -> None:
    """A line a batch size."""
    given = flags.FLAGS
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for batch in map(int, given.batch):
        found = {1: [], 2: []}
        for _ in range(given.repeats):
            for workers, kept in found.items():
                with tempfile.TemporaryDirectory() as folder:
                    kept.append(seconds_of(Path(folder), batch, workers))
        one, two = (
            [float(np.median(np.concatenate(parts))) for parts in zip(*found[n], strict=True)]
            for n in (1, 2)
        )
        line = {"batch": batch, "cells": given.cells, "ms_one_process": round(1000 * one[0], 1)}
        line |= {"ms_two_workers": round(1000 * two[0], 1), "throughput": round(one[0] / two[0], 3)}
        line |= {"epoch_throughput": round(one[1] / two[1], 3)}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    app.run(main)
