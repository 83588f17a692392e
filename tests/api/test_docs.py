"""The example of docs/python.md runs as printed, on some of the embedded cells."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import anndata
import pytest

import scadv_tf
from scadv_tf.data.datasets import ASSETS

ROOT = Path(scadv_tf.__file__).parents[1]
PAGE = ROOT / "docs" / "python.md"


# What the example has to have come to, in its own process.
CHECKS = """
assert atac.obs["scadv_label"].isin(model.types).all()
assert new_cells.obsm["X_scadv"].shape[0] == 100
"""
NOISE = r"(?i)tensorflow|cuda|onednn|cpu_feature|xla|[IWE]0000|absl|INFO|Assets written|Traceback"


@pytest.mark.slow
def test_the_example_runs_as_printed_and_says_nothing_but_what_it_prints(tmp_path):
    """In a fresh process, as a notebook has one: at its start TensorFlow would be heard of."""
    if not PAGE.is_file():
        pytest.skip("the package is installed without its documentation")
    example, _ = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    for name in ("rna.h5ad", "atac_peaks.h5ad"):
        cells = anndata.read_h5ad(ASSETS / "pbmc" / name)
        cells[::8].copy().write_h5ad(tmp_path / name)
    environment = {name: v for name, v in os.environ.items() if not name.startswith("TF_")}
    done = subprocess.run(
        [sys.executable, "-c", example + CHECKS],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    assert "scadv_accepted_label" in done.stdout
    assert not re.findall(NOISE, done.stdout + done.stderr), done.stdout + done.stderr
    assert (tmp_path / "umap.png").stat().st_size > 5000
    assert (tmp_path / "savedmodels" / "blood" / "1" / "saved_model.pb").exists()


def test_every_function_of_the_page_exists():
    text = PAGE.read_text("utf-8")
    for name in set(re.findall(r"scadv_tf\.(\w+)", text)) - {"data", "pl"}:
        assert hasattr(scadv_tf, name), name
    for name in re.findall(r"^\| `(\w+)\(", text.split("## Pictures")[1], re.MULTILINE):
        assert hasattr(scadv_tf.pl, name), name
