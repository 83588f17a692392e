"""What an epoch from disk costs as cells get more, as JSON lines.

python tests/benchmarks/bench_scale.py --cells=10000,100000,1000000

Writes two .h5ad files for each number of cells (of each modality), see `scale_files.py`, and runs
the main job on them in a fresh process. A line a number of cells:

- `seconds` of an epoch, and `cells_per_second`, of both modalities; an epoch passes each cell
  through both phases of the training. With --epochs=6 the median of five: the first, in which
  functions are traced, is left out where there are others;
- `peak_memory_mb` of the whole job, and `peak_memory_trained_mb` until the end of the training;
- `macro_f1`, the F1 of the last type, which --rare_share makes rare, and the seconds and the peak
  memory at the end of each stage.

The last line gives the ratios of the largest number to the one before: cost a cell, peak memory.

The files take 1.8 bytes a cell and gene: 35 MB, 350 MB and 3.5 GB at 2,000 genes. They are kept and
used again if --folder is given. All other flags go to the main job.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from pathlib import Path

import pandas as pd
from absl import flags
from main_job import ROOT, run_app, run_main_job

sys.path.insert(0, str(ROOT))

from scale_files import LAST_TYPE, write_pair  # noqa: E402


def measure(cells: int, arguments: list[str], folder: Path) -> dict:
    """The line of one number of cells."""
    files = write_pair(folder, cells, flags.FLAGS.genes, rare_share=flags.FLAGS.rare_share)
    given = [f"--{modality}={path}" for modality, path in files.items()]
    given += [
        f"--epochs={flags.FLAGS.epochs}",
        f"--max_pass_steps={flags.FLAGS.pass_steps}",
        *arguments,
    ]
    with tempfile.TemporaryDirectory() as results:
        metrics = run_main_job(given, Path(results))
        history = pd.read_csv(Path(results) / "run" / "history.csv")
    epochs = history["seconds"]
    seconds = float((epochs[1:] if len(epochs) > 1 else epochs).median())
    return {
        "cells": cells,
        "genes": flags.FLAGS.genes,
        "seconds": round(seconds, 3),
        "cells_per_second": round(2 * cells / seconds),
        "peak_memory_mb": max(metrics["memory_mb"].values()),
        "peak_memory_trained_mb": metrics["memory_mb"]["train"],
        "macro_f1": round(metrics["label_transfer"]["macro_f1"], 4),
        "f1_of_last_type": round(metrics["label_transfer"]["per_type"][LAST_TYPE]["f1"], 4),
        "stage_seconds": metrics["seconds"],
        "stage_memory_mb": metrics["memory_mb"],
    }


def ratios(smaller: dict, larger: dict) -> dict:
    """How much more the larger costs: time a cell, and memory of the whole job."""
    return {
        "cells": [smaller["cells"], larger["cells"]],
        "cost_a_cell_ratio": round(smaller["cells_per_second"] / larger["cells_per_second"], 3),
        "peak_memory_ratio": round(larger["peak_memory_mb"] / smaller["peak_memory_mb"], 3),
    }


def main(arguments: list[str]) -> None:
    """Prints a line a number of cells, and the ratios."""
    numbers = sorted(int(number) for number in flags.FLAGS.cells)
    with contextlib.ExitStack() as stack:
        folder = flags.FLAGS.folder or stack.enter_context(tempfile.TemporaryDirectory())
        Path(folder).mkdir(parents=True, exist_ok=True)
        lines = []
        for cells in numbers:
            lines.append(measure(cells, arguments, Path(folder)))
            print(json.dumps(lines[-1]), flush=True)
    if len(lines) > 1:
        print(json.dumps(ratios(*lines[-2:])))


if __name__ == "__main__":
    flags.DEFINE_list("cells", "10000,100000,1000000", "Cells of each modality.")
    flags.DEFINE_integer("genes", 2000, "Genes.", lower_bound=100)
    flags.DEFINE_integer("epochs", 1, "Epochs of the training.", lower_bound=1)
    flags.DEFINE_integer("pass_steps", 0, "Most batches of a pass; 0: all cells.", lower_bound=0)
    flags.DEFINE_float("rare_share", 0, "Share of the last type; 0: as the tissue has it.")
    flags.DEFINE_string("folder", "", "Where to keep the files; default: nowhere.")
    run_app(main)
