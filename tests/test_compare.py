"""`python -m scadv_tf.compare` from outside, on a few simulated cells."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from in_process import run_here

import scadv_tf
from scadv_tf import compare as program
from scadv_tf.comparison import run
from scadv_tf.comparison.systems import ComparisonConfig
from scadv_tf.config import RunConfig

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SETTINGS = {
    "dataset": "synthetic",
    "synthetic_cells": 150,
    "epochs": 2,
    "encoder_sizes": (32, 16),
    "modality_adversarial": 0.0,
    "seed": 4,
}
SMALL = [
    f"--{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}"
    for name, value in SETTINGS.items()
]
SCORES = ("silhouette_umap", "silhouette_latent", "modality_mixing", "silhouette_modality")
OF_UNKNOWN = ("unknown_share", "accuracy_of_known")
ROUTES = ("label_transfer", "classifier", "svm", "knn")


def compare(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "scadv_tf.compare", *arguments],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)} | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


def content_of(folder: Path) -> dict:
    path = folder / "runs" / "synthetic_comparison" / "comparison.json"
    return json.loads(path.read_text(encoding="utf-8"))


def row_of(content: dict, system: str, seed: int = 4) -> dict:
    (row,) = [r for r in content["rows"] if (r["system"], r["seed"]) == (system, seed)]
    return row


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """One run; without a path to R, so that Seurat fails: (process, folder)."""
    folder = tmp_path_factory.mktemp("compare")
    systems = "--systems=scadv,seurat,logistic"
    done = compare(folder, *SMALL, systems, "--seeds=1", PATH=str(folder))
    assert done.returncode == 0, done.stderr
    return done, folder


def test_everything_is_written_in_one_folder(compared):
    folder = compared[1] / "runs" / "synthetic_comparison"
    assert [path.name for path in compared[1].iterdir()] == ["runs"]  # nothing is exported
    names = {path.name for path in folder.iterdir()}
    assert names == {"comparison.json", "figures", "report.html", "rows"}
    pictures = {path.stem for path in (folder / "figures").iterdir()}
    assert pictures == {"scores", "learning_curves", "per_type_f1", "umap"}  # one step: no ladder
    rows = {path.name for path in (folder / "rows").iterdir()}
    finished = ("scadv", "logistic")
    assert rows == {f"{name}_seed4.{kind}" for name in finished for kind in ("json", "npz")}


def test_a_system_that_cannot_run_says_why_and_the_rest_runs(compared):
    done, folder = compared
    content = content_of(folder)
    error = row_of(content, "seurat")["error"]
    assert "Rscript" in error and "apt-get install" in error
    assert row_of(content, "seurat")["label_transfer"] is None
    for system in ("scadv", "logistic"):
        assert row_of(content, system)["error"] is None
        assert content["summary"][system]["rows"] == 1
    page = (folder / "runs" / "synthetic_comparison" / "report.html").read_text(encoding="utf-8")
    assert "apt-get install" in page and page.count("data:image/png;base64,") == 4
    assert "Traceback" not in done.stderr


def test_the_table_is_on_the_screen_and_the_course_beside_it(compared):
    done, _ = compared
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["scadv", "seurat", "logistic"]
    assert "[3/3] logistic, seed 4" in done.stderr and "macro F1" in done.stderr
    assert "report: runs/synthetic_comparison/report.html" in done.stderr
    for noise in ("TensorFlow", "oneDNN", "cuda", "Warning"):
        assert noise not in done.stderr


def test_rows_have_scores_seconds_and_memory_of_their_own(compared):
    content = content_of(compared[1])
    scadv, logistic = row_of(content, "scadv"), row_of(content, "logistic")
    for row in (scadv, logistic):
        assert 0 <= row["label_transfer"]["macro_f1"] <= 1
        assert all(row[name] is not None for name in SCORES)
        seconds = dict(row["seconds"])
        assert seconds.pop("total") == pytest.approx(sum(seconds.values()), abs=0.05)
        assert set(seconds) == {"prepare", "start", "fit", "umap", "score"}
    # TensorFlow is in the memory of our row and not of the next.
    assert scadv["peak_memory_mb"] > logistic["peak_memory_mb"] + 200
    for name in OF_UNKNOWN:  # only our model says which cells are unknown
        assert 0 <= scadv[name] <= 1 and logistic[name] is None
    assert 0 <= logistic["calibration_error"] <= 1


def test_kept_arrays_need_no_pickle(compared):
    rows = compared[1] / "runs" / "synthetic_comparison" / "rows"
    with np.load(rows / "scadv_seed4.npz", allow_pickle=False) as arrays:
        assert arrays["umap"].shape == (300, 2) and arrays["umap"].dtype == np.float32
        assert arrays["predicted"].shape == (150,) and arrays["predicted"].dtype.kind == "U"
        assert arrays["macro_f1"].shape == (2,)
    with np.load(rows / "logistic_seed4.npz", allow_pickle=False) as arrays:
        assert set(arrays.files) == {"umap", "predicted"}


def test_scadv_is_what_an_integration_makes_of_the_same_settings(compared):
    """Which is what the main job makes of them, see test_integrate."""
    model = scadv_tf.integrate(**SETTINGS)
    row = row_of(content_of(compared[1]), "scadv")
    for name in (*ROUTES, *SCORES, *OF_UNKNOWN, "calibration_error"):
        assert row[name] == model.metrics[name], name
    assert row["epochs_trained"] == len(model.history) == 2
    rows = compared[1] / "runs" / "synthetic_comparison" / "rows"
    with np.load(rows / "scadv_seed4.npz", allow_pickle=False) as arrays:
        np.testing.assert_allclose(arrays["macro_f1"], model.history["macro_f1"], rtol=1e-6)


def test_a_second_run_computes_only_what_is_new(compared):
    _, folder = compared
    kept = folder / "runs" / "synthetic_comparison" / "rows"
    before = {path.name: path.stat().st_mtime_ns for path in kept.iterdir()}
    words = "--systems=logistic,scadv", "--seeds=1"
    done = run_here(program.start, folder, *SMALL, *words)
    assert done.returncode == 0, done.stderr
    assert {path.name: path.stat().st_mtime_ns for path in kept.iterdir()} == before
    assert done.stderr.count("(kept)") == 2
    assert content_of(folder)["systems"] == ["logistic", "scadv"]


def test_nothing_finished_is_an_error_and_still_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    done = run_here(program.start, tmp_path, *SMALL, "--systems=seurat", "--seeds=2")
    assert done.returncode == 1 and "every system failed" in done.stderr
    assert "Rscript" in row_of(content_of(tmp_path), "seurat")["error"]
    assert "seurat" in done.stdout
    assert (tmp_path / "runs" / "synthetic_comparison" / "report.html").exists()


def test_that_nothing_will_be_scored_is_told_before_anything_runs(tmp_path, monkeypatch, caplog):
    class Begun(Exception):
        """The systems would run now."""

    def begin(*_):
        raise Begun

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "read_and_tell", lambda *_: (None, None))
    monkeypatch.setattr(run, "run_rows", begin)
    with pytest.raises(Begun):
        run.run(RunConfig.of(dataset="synthetic"), ComparisonConfig())
    assert "no known labels: all systems are run, and none is scored" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--systems=svm,glue"], "ce_nce_adv_cyc_ict"),
        (["--seeds=0"], "seeds is out of range"),
        (["--seeds=9223372036854775807"], "seeds is out of range"),
        (["--seed=4294967295", "--seeds=2"], "seed is out of range"),
        (["--epochs=0"], "epochs is out of range"),
        (["--dataset=pbcm"], "no such data set"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_bad_flags_get_one_clear_message(tmp_path, arguments, text):
    done = run_here(program.start, tmp_path, "--dataset=synthetic", *arguments)
    assert done.returncode == 2 and text in done.stderr and "Traceback" not in done.stderr
    for part in ("error: ", "expected: ", "received: ", "what to do: "):
        assert done.stderr.count(part) == 1
    assert not list(tmp_path.iterdir())


def test_help_tells_the_flags_of_both(tmp_path):
    done = compare(tmp_path, "--help")
    for flag in ("--systems:", "--seeds:", "--[no]rerun:", "--label_key:", "--epochs:"):
        assert flag in done.stdout
    assert "runs/<dataset>_comparison" in done.stdout and "harmony_denoised" in done.stdout
