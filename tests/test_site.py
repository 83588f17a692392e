"""The pages under docs/: they build without a warning, and their tutorials run as printed."""

from __future__ import annotations

import os
import re
from pathlib import Path

import forked
import ipykernel_launcher
import pytest
from jupyter_client.provisioning import LocalProvisioner
from sphinx.cmd.build import build_main

import scadv_tf

ROOT = Path(scadv_tf.__file__).parents[1]
TUTORIALS = ("first", "peaks", "novel_types", "serving", "comparison")


class ForkedKernel:
    """A Jupyter kernel that finds its libraries imported: what `subprocess.Popen` has of it."""

    stdin = stdout = stderr = None

    def __init__(self, folder: Path, connection_file: str):
        nowhere, program = [Path(os.devnull)] * 2, Path(ipykernel_launcher.__file__)
        words = "-f", connection_file, "--matplotlib=inline"
        self._process = forked.started(nowhere, folder, *words, program=program)
        self.send_signal = lambda number: os.kill(self._process.pid, number)

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self) -> int:
        self._process.join()
        return self._process.exitcode


async def launch_forked(self: LocalProvisioner, cmd: list[str], cwd: str, **_) -> dict:
    """In place of its `launch_kernel`."""
    self.process = ForkedKernel(Path(cwd), cmd[cmd.index("-f") + 1])
    return self.connection_info


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of what the extensions of Sphinx call
def test_the_site_builds_without_a_warning_and_every_tutorial_runs(tmp_path, monkeypatch, capfd):
    if not (ROOT / "docs").is_dir():
        pytest.skip("the package is installed without its documentation")
    monkeypatch.setattr(LocalProvisioner, "launch_kernel", launch_forked)
    trees, docs, pages = (str(path) for path in (tmp_path / "trees", ROOT / "docs", tmp_path))
    code = build_main(["-W", "-q", "-d", trees, docs, pages])
    assert code == 0, capfd.readouterr().err[-3000:]
    for name in TUTORIALS:
        page = (tmp_path / "tutorials" / f"{name}.html").read_text("utf-8")
        assert page.count("cell_output") >= 2
    first = (tmp_path / "tutorials" / "first.html").read_text("utf-8")
    assert float(re.search(r"([\d.]+)% of the cells are right", first)[1]) > 95
    assert "<img" in first
    flags = (tmp_path / "reference" / "flags.html").read_text("utf-8")
    assert "--label_key" in flags and "--systems" in flags and "--modality" in flags
