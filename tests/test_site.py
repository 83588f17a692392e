"""The pages under docs/: they build without a warning, and their tutorials run as printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import scadv_tf

ROOT = Path(scadv_tf.__file__).parents[1]
TUTORIALS = ("first", "peaks", "novel_types", "serving", "comparison")


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_every_tutorial_runs(tmp_path):
    if not (ROOT / "docs").is_dir():
        pytest.skip("the package is installed without its documentation")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "-q", "-d", tmp_path / "trees", "docs", tmp_path],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for name in TUTORIALS:
        page = (tmp_path / "tutorials" / f"{name}.html").read_text("utf-8")
        assert page.count("cell_output") >= 2
    first = (tmp_path / "tutorials" / "first.html").read_text("utf-8")
    assert float(re.search(r"([\d.]+)% of the cells are right", first)[1]) > 95
    assert "<img" in first
    flags = (tmp_path / "reference" / "flags.html").read_text("utf-8")
    assert "--label_key" in flags and "--systems" in flags and "--modality" in flags
