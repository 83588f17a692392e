"""Processes that are forked begin as those that Python has just started, but for their imports."""

from __future__ import annotations

import json

import forked
import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
import json, os, sys
print(json.dumps({
    "imported": sorted(sys.modules), "words": sys.argv[1:], "folder": os.getcwd(),
    "environment": dict(os.environ),
}))
sys.exit(7)
"""


def test_a_program_finds_its_libraries_imported_and_all_else_as_its_starter_has_it(
    tmp_path, monkeypatch
):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    forked.forks()
    monkeypatch.setenv("SAID_AFTER_THE_FIRST_START", "yes")
    ended = forked.finished(tmp_path, "a", "b c", program=program)
    assert (ended.returncode, ended.stderr) == (7, "")
    told = json.loads(ended.stdout)
    assert {"tensorflow", "umap", "scadv_tf.training"} <= set(told["imported"])
    assert told["words"] == ["a", "b c"] and told["folder"] == str(tmp_path)
    assert told["environment"]["SAID_AFTER_THE_FIRST_START"] == "yes"
    assert str(forked.TESTS) not in told["environment"].get("PYTHONPATH", "")
