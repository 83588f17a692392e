"""The hints say what the code does: mypy finds nothing, by the settings in setup.cfg."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import scadv_tf

ROOT = Path(scadv_tf.__file__).parents[1]
# What a user may write, of which the checker must not like the lines that say so.
PROGRAM = """\
import scadv_tf

model = scadv_tf.integrate("rna.h5ad", "atac.h5ad", label_key="cell_type")
model.export(5)  # wrong
scadv_tf.load("savedmodels/pbmc").annotate("new.h5ad", "atac")
scadv_tf.load("savedmodels/pbmc").annotate("new.h5ad", layer="counts")  # wrong
scadv_tf.gene_activity("peaks.h5ad", genome=38)  # wrong


def half(number):  # wrong: without hints
    return number / 2
"""


@pytest.mark.slow
def test_every_hint_holds_and_users_are_told_of_their_own_mistakes(tmp_path):
    if not (ROOT / "setup.cfg").is_file():
        pytest.skip("the package is installed without its settings for mypy")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "scadv_tf", str(program)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    # By its name: what mypy has in its cache it tells with the folder of an earlier run.
    theirs = [line for line in errors if f"{program.name}:" in line]
    found = {int(line.split(":")[1]) for line in theirs}
    ours = [line for line in errors if line not in theirs]
    assert (ours, done.stderr) == ([], "")
    lines = enumerate(PROGRAM.splitlines(), start=1)
    assert found == {number for number, line in lines if "# wrong" in line}


def test_what_a_checker_sees_of_the_package_is_what_is_there():
    tree = ast.parse(Path(scadv_tf.__file__).read_text("utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert seen.pop("pl") == "scadv_tf"
    assert seen == scadv_tf._HOMES


def test_the_package_says_that_it_has_hints():
    assert (Path(scadv_tf.__file__).parent / "py.typed").is_file()
