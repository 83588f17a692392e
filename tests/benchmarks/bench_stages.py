"""Seconds and memory of each stage of the main job, as JSON lines.

python tests/benchmarks/bench_stages.py --dataset=pbmc

Takes every flag of train_main.py, which it runs in a fresh process; its results are not kept.
`memory_mb` is what was resident at the end of the stage, `peak_memory_mb` the most until then.
`steps_seconds` is what the steps of the training take, the median epoch's for all epochs.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from main_job import run_main_job, steps_of


def main() -> None:
    """Prints a line a stage, and the whole."""
    with tempfile.TemporaryDirectory() as folder:
        metrics = run_main_job(sys.argv[1:], Path(folder))
        steps = steps_of(Path(folder))
    for stage, seconds in metrics["seconds"].items():
        line = {"stage": stage, "seconds": seconds, "memory_mb": metrics["resident_mb"][stage]}
        if stage == "train":
            ratio = round(seconds / steps, 2) if steps else None
            line |= {"steps_seconds": round(steps, 2), "ratio_to_steps": ratio}
        print(json.dumps(line | {"peak_memory_mb": metrics["memory_mb"][stage]}))
    total = round(sum(metrics["seconds"].values()), 2)
    peak = max(metrics["memory_mb"].values())
    print(json.dumps({"stage": "all", "seconds": total, "peak_memory_mb": peak}))


if __name__ == "__main__":
    main()
