"""The console command: its own words and its programs; for the wheel see test_main_job."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import scadv_tf
from scadv_tf import command
from scadv_tf.errors import InputError
from scadv_tf.evaluation.report import ReportContent, write_report
from scadv_tf.report import rewrite
from scadv_tf.results import write_json

ROOT = Path(scadv_tf.__file__).parents[1]
STARTED = """
import sys
from scadv_tf.command import main
code = main()
print("imported:", *sorted({"tensorflow", "keras", "pandas", "numpy"} & set(sys.modules)))
sys.exit(code)
"""


def scadv(folder: Path, *words: str, program: str = STARTED) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def told(monkeypatch, capsys):
    """What the command says to words: (exit code, standard output, standard error)."""

    def tell(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["scadv", *words])
        code = command.main()
        return code, *capsys.readouterr()

    return tell


def test_help_names_every_command_and_the_version_is_told(told):
    code, out, err = told("--help")
    assert code == 0 and not err
    assert re.findall(r"^  (\w+) ", out, re.MULTILINE) == ["train", "compare", "annotate", "report"]
    assert told("--version") == (0, f"scadv_tf {scadv_tf.__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["trian"], "Did you mean scadv train?"),
        (["--epochs=3"], "There is no such command"),
        ([], "No command is given"),
    ],
)
def test_what_is_no_command_is_told(told, words, says):
    code, out, err = told(*words)
    assert code == 2 and not out and says in err


@pytest.mark.slow
def test_help_waits_for_no_library(tmp_path):
    done = scadv(tmp_path, "--help")
    assert done.stdout.splitlines()[-1] == "imported:", done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", command.COMMANDS)
def test_each_program_calls_itself_by_the_name_that_started_it(tmp_path, name):
    done = scadv(tmp_path, name, "--help", program=STARTED.split("code")[0] + "main()")
    assert f"\nscadv {name} " in done.stdout and "\n  --output" in done.stdout
    assert "train_main" not in done.stdout and "python" not in done.stdout
    wrong = scadv(tmp_path, name, "--no_such_flag")
    assert done.returncode == 0
    assert wrong.returncode == 2 and "no_such_flag" in wrong.stderr
    assert "Traceback" not in done.stderr + wrong.stderr


def png(content):
    """What begins and ends as a picture does."""
    return b"\x89PNG\r\n\x1a\n" + content.encode() + b"\0\0\0\0IEND\xaeB`\x82"


@pytest.fixture
def run_folder(tmp_path):
    """A folder of results with what a report is made of, and the page as the run wrote it."""
    picture = tmp_path / "figures" / "umap.png"
    picture.parent.mkdir()
    picture.write_bytes(png("of the run"))
    content = ReportContent(
        title="A run",
        dataset="tissue",
        summary=["3 cells."],
        scores={"modality_mixing": 0.5, "silhouette_umap": None},
        matching={"shared_genes": 7, "rare_types": {"a/b": 1}},
        settings={"training": {"epochs": 3}, "network": {"encoder_sizes": [8, 4]}},
        figures=[("UMAP of <cells>", picture)],
        warnings=["Look at it."],
        versions={"python": "3"},
        files={"figures/": "the pictures"},
    )
    write_json(tmp_path / "report.json", content.to_dict())
    write_report(tmp_path / "report.html", content)
    return tmp_path


def test_a_report_is_written_anew_as_it_was(run_folder):
    page = run_folder / "report.html"
    before = page.read_bytes()
    page.unlink()
    assert rewrite(run_folder) == ["3 cells.", "warning: Look at it.", f"report: {page}"]
    assert page.read_bytes() == before
    (run_folder / "figures" / "umap.png").write_bytes(png("drawn again"))
    rewrite(run_folder)
    assert page.read_bytes() != before


NO_STREAMS = """
import os, sys
from pathlib import Path
from scadv_tf import console
from scadv_tf.libraries import quiet_start
def main():
    with open("result", "w") as result, quiet_start():
        os.write(1, b"of a library"), os.write(2, b"of a library")
        print("for people"), print("for people", file=sys.stderr)
        result.write("alone")
console.run_app(main)
"""


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_program_without_standard_streams_works_and_writes_its_results_alone(tmp_path, closed):
    """So `ssh`, cron and daemons start one; its files would get the numbers of the streams."""
    words = ["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, NO_STREAMS]
    done = subprocess.run(words, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0
    assert (tmp_path / "result").read_text() == "alone"


@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("joined", [True, False], ids=["2>&1", ""])
def test_who_reads_a_part_of_the_answer_is_told_of_no_failure(run_folder, unbuffered, joined):
    """As `scadv report DIR | head -1`."""
    heard, said = os.pipe()
    os.close(heard)
    (run_folder / "report.html").unlink()
    done = subprocess.run(
        [sys.executable, "-m", "scadv_tf.report", f"--output_dir={run_folder}"],
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": unbuffered},
        stdout=said, stderr=subprocess.STDOUT if joined else subprocess.PIPE,
    )  # fmt: skip
    os.close(said)
    assert (done.returncode, done.stderr or b"") == (0, b"")
    assert (run_folder / "report.html").exists()


def test_a_report_holds_no_file_from_elsewhere(run_folder):
    secret = run_folder.parent / "secret.png"
    secret.write_bytes(b"secret")
    content = json.loads((run_folder / "report.json").read_text())
    content["figures"] = [["a picture", "../../secret.png"]]
    write_json(run_folder / "report.json", content)
    with pytest.raises(InputError, match=r"no secret\.png"):
        rewrite(run_folder)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "report.json").unlink(), "no finished run"),
        (lambda folder: (folder / "report.json").write_text("{"), "is damaged"),
        (lambda folder: (folder / "report.json").write_text("[]"), "is damaged"),
        (lambda folder: (folder / "report.json").write_text("[" * 100_000), "is damaged"),
        (lambda folder: (folder / "figures" / "umap.png").unlink(), r"no umap\.png"),
        (lambda folder: (folder / "figures" / "umap.png").write_bytes(png("")[:-9]), "whole"),
    ],
)
def test_what_is_no_finished_run_is_told_and_its_page_stays(run_folder, spoil, message):
    before = (run_folder / "report.html").read_bytes()
    spoil(run_folder)
    with pytest.raises(InputError, match=message):
        rewrite(run_folder)
    assert (run_folder / "report.html").read_bytes() == before


@pytest.mark.parametrize(
    "other",
    [
        {"title": None},
        {"title": "\ud800"},
        {"summary": "three cells"},
        {"scores": {"label_transfer": {"macro_f1": 0.5}}},
        {"scores": {"svm": {"macro_f1": "high", "weighted_f1": 1.0, "accuracy": 1.0}}},
        {"scores": {"modality_mixing": float("nan")}},
        {"warnings": [["Look at it."]]},
        {"diagnosis": {"color": "red"}},
        {"cells": {"x": 1, "of": 2}},
        {"figures": [[None, "umap.png"]]},
        {"more": 1},
    ],
    ids=str,
)
def test_content_of_another_kind_is_told_and_the_page_stays(run_folder, other):
    page, content = run_folder / "report.html", run_folder / "report.json"
    before = page.read_bytes()
    content.write_text(json.dumps(json.loads(content.read_text()) | other))
    with pytest.raises(InputError, match=r"report\.json is damaged"):
        rewrite(run_folder)
    assert page.read_bytes() == before
