"""A notebook hears of the package itself alone, and `import scadv_tf` loads nothing heavy."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import scadv_tf

pytestmark = pytest.mark.slow

ROOT = Path(scadv_tf.__file__).parents[1]
HEAVY = {"tensorflow", "keras", "numpy", "pandas", "anndata", "matplotlib", "absl"}
LIGHT = """
import sys, scadv_tf
print(*sorted(set(sys.argv[1].split()) & set(sys.modules)))
scadv_tf.integrate, scadv_tf.load, scadv_tf.gene_activity, scadv_tf.pl, dir(scadv_tf)
print(*sorted({"tensorflow", "keras", "matplotlib"} & set(sys.modules)))
from absl import flags
print("epochs" in flags.FLAGS)
"""
NOTEBOOK = """
import scadv_tf
few = {"synthetic_cells": 80, "epochs": 1, "encoder_sizes": [8], "modality_adversarial": 0.0}
model = scadv_tf.integrate(dataset="synthetic", **few)
model.export("exports")
"""
NOISE = r"(?i)tensorflow|cuda|onednn|cpu_feature|xla|[IWE]0000|absl|INFO|Assets written|Traceback"


def run(folder: Path, program: str, *arguments: str) -> subprocess.CompletedProcess:
    environment = {name: v for name, v in os.environ.items() if not name.startswith("TF_")}
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=400,
    )


def test_nothing_heavy_is_loaded_before_it_is_needed_and_no_flag_is_defined(tmp_path):
    done = run(tmp_path, LIGHT, " ".join(HEAVY))
    assert done.stdout.splitlines() == ["", "", "False"]


def test_a_training_and_an_export_are_quiet(tmp_path):
    done = run(tmp_path, NOTEBOOK)
    assert not done.stdout
    assert not re.findall(NOISE, done.stderr), done.stderr
    assert (tmp_path / "exports" / "1" / "saved_model.pb").exists()
