"""The main job in a process of its own, as users start it."""

from __future__ import annotations

import csv
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import app, flags

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "train_main.py"


def run_main_job(flags: Sequence[str], folder: Path) -> dict:
    """Runs the main job with these flags, its results in `folder`; returns its metrics.

    What it says to the user goes to the standard error. If it fails, this program ends with its
    exit code.
    """
    places = [f"--output_dir={folder / 'run'}", f"--export_dir={folder / 'exports'}"]
    done = subprocess.run([sys.executable, PROGRAM, *flags, *places], stdout=sys.stderr)
    if done.returncode:
        sys.exit(done.returncode)
    return json.loads((folder / "run" / "metrics.json").read_text(encoding="utf-8"))


def steps_of(folder: Path) -> float:
    """Seconds that the steps of that job take, as in its median epoch: none is traced there."""
    with (folder / "run" / "history.csv").open(encoding="utf-8", newline="") as file:
        seconds = [float(row["step_seconds"]) for row in csv.DictReader(file)]
    return statistics.median(seconds) * len(seconds)


def run_app(main: Callable[[list[str]], None]) -> None:
    """Parses the flags of this program, and runs `main` with the others, which the job takes."""

    def parser(arguments: list[str]) -> list[str]:
        return flags.FLAGS(arguments, known_only=True)

    app.run(lambda arguments: main(arguments[1:]), flags_parser=parser)
