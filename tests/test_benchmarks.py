"""The benchmark programs run, and say what their docstrings promise, on a tiny simulated tissue."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / "benchmarks"
TINY = ["--dataset=synthetic", "--synthetic_cells=90", "--synthetic_difficulty=0", "--epochs=2"]
TINY += ["--encoder_sizes=32,16", "--generator_sizes=8", "--atac_discriminator_sizes=8"]


def lines_of(program: str, *flags: str) -> list[dict]:
    done = subprocess.run(
        [sys.executable, FOLDER / program, *TINY, *flags], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_bench_settings_prints_a_line_a_run_and_a_summary_a_variation():
    only_labels = "contrastive=0 interpolation=0 centroid=0 atac_adversarial=0 cycle=0"
    found = lines_of(
        "bench_settings.py", "--seeds=2", "--vary=", f"--vary={only_labels} modality_adversarial=0"
    )
    assert [line.get("seed") for line in found] == [0, 1, None, 0, 1, None]
    first = found[0]["label_transfer"]["macro_f1"], found[1]["label_transfer"]["macro_f1"]
    mean, spread = found[2]["mean_and_spread"]["macro_f1"]
    assert abs(mean - sum(first) / 2) < 1e-3 and abs(spread - abs(first[0] - first[1]) / 2) < 1e-3
    # The variation must really change the run.
    assert found[0]["modality_mixing"] != found[3]["modality_mixing"]


def test_bench_new_cells_compares_trained_and_new_cells():
    found = lines_of("bench_new_cells.py", "--seeds=1")
    scores = found[0]["macro_f1"]
    names = {"trained_atac", "new_atac_by_genes", "new_atac_by_peaks", "new_rna"}
    assert set(scores) == names
    assert found[-1]["mean_macro_f1"] == scores
