"""`import scadv_tf` loads nothing heavy."""

from __future__ import annotations

import os
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


def test_nothing_heavy_is_loaded_before_it_is_needed_and_no_flag_is_defined(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, " ".join(HEAVY)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.splitlines() == ["", "", "False"]
