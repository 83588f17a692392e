"""The main job end to end, in a process of its own: real cells, and few cells without labels.

That on real cells is started by the command of a wheel, outside of the repository.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from left_out import without_export, without_pictures

import scadv_tf
from scadv_tf.config import RunConfig
from scadv_tf.data.datasets import load_dataset
from scadv_tf.data.synthetic import simulate

pytestmark = pytest.mark.slow

ROOT = Path(scadv_tf.__file__).parents[1]
EPOCHS = 4
TIMES = ["seconds", "step_seconds"]
ROUTES = ("label_transfer", "classifier", "svm", "knn", "linear")
SILHOUETTES = ("silhouette_umap", "silhouette_latent")
RESULTS = {
    "metrics.json",
    "config.json",
    "history.csv",
    "predictions.csv",
    "integrated.h5ad",
    "report.html",
    "report.json",
    "figures",
    "checkpoints",
}
PICTURES = {"umap", "umap_predicted", "marker_dots", "losses", "confidence", "type_shares"}
PICTURES_WITH_TRUTH = PICTURES | {"confusion_matrix", "learning_curve"}
CHECKPOINT = {"model.weights.h5", "config.json"}


def names_in(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def strict_json(path) -> dict:
    def refuse(constant):
        raise ValueError(f"{constant} is not JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def check_pictures(folder, expected: set[str]) -> None:
    assert names_in(folder) == {f"{name}.png" for name in expected}
    for path in folder.iterdir():
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG\r\n\x1a\n") and len(content) > 5000, path.name


def check_self_contained(page: str, pictures: int) -> None:
    """Nothing is loaded from elsewhere: each source is inside the page."""
    loaded = re.findall(r"""\b(?:src|srcset|href|data|action|poster)\s*=\s*["']([^"']*)""", page)
    assert all(source.startswith(("data:", "#")) for source in loaded)
    assert not re.search(r"url\(\s*[\"']?(?!data:)|@import|<script[^>]*\ssrc|<link|<iframe", page)
    assert len(page) < 5_000_000
    assert len(re.findall(r'src="data:image/png;base64,', page)) == pictures


def check_progress(done) -> None:
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and not done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder that a wheel of the package was installed to, apart from the repository."""
    if not (ROOT / "setup.cfg").is_file():
        pytest.skip("there is no source to build a wheel of")
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # a build leaves its own files beside the source
    shutil.copytree(ROOT / "scadv_tf", source / "scadv_tf")
    for name in ("setup.cfg", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]
    build = [*pip, "wheel", str(source), "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run(build, check=True, capture_output=True, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    target = folder / "installed"
    subprocess.run(
        [*pip, "install", "--no-deps", "--no-index", "--target", str(target), str(wheel)],
        check=True, capture_output=True, cwd=folder,
    )  # fmt: skip
    return target


@pytest.fixture(scope="module")
def scadv(installed):
    """A function (folder, *words) -> the finished command of the wheel, in a fresh process."""

    def run(folder: Path, *words: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, str(installed / "bin" / "scadv"), *words],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(installed)},
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )

    return run


@pytest.fixture(scope="module")
def pbmc(scadv, tmp_path_factory):
    """A shortened run on the embedded real cells: (process, its folder)."""
    folder = tmp_path_factory.mktemp("pbmc")
    done = scadv(folder, "train", "--dataset=pbmc", f"--epochs={EPOCHS}", "--seed=3")
    assert done.returncode == 0, done.stderr
    return done, folder


@pytest.fixture(scope="module")
def truth():
    """The paired input and the known ATAC labels, as the run read them."""
    return load_dataset("pbmc")


def test_pbmc_writes_everything_and_nothing_else(pbmc):
    done, folder = pbmc
    check_progress(done)
    assert names_in(folder) == {"runs", "savedmodels"}
    results = folder / "runs" / "pbmc"
    assert names_in(results) == RESULTS
    assert names_in(results / "checkpoints") == CHECKPOINT
    check_pictures(results / "figures", PICTURES_WITH_TRUTH)
    assert names_in(folder / "savedmodels" / "pbmc") == {"1"}
    version = folder / "savedmodels" / "pbmc" / "1"
    assert {"saved_model.pb", "variables", "assets"} <= names_in(version)


def test_pbmc_tells_how_far_it_is_and_where_the_results_are(pbmc):
    told = pbmc[0].stderr
    assert f"epoch {EPOCHS}/{EPOCHS}" in told and "cross_entropy" in told and "s left" in told
    assert "shared genes" in told and "macro F1" in told
    assert "report: runs/pbmc/report.html" in told and "export: savedmodels/pbmc/1" in told
    assert told.splitlines()[-1].startswith(("diagnosis: GREEN. ", "diagnosis: AMBER. "))


def test_pbmc_metrics(pbmc):
    metrics = strict_json(pbmc[1] / "runs" / "pbmc" / "metrics.json")
    for route in ROUTES:
        scores = metrics[route]
        assert {"accuracy", "macro_f1", "weighted_f1", "per_type"} <= set(scores)
        assert all(0 <= scores[name] <= 1 for name in ("accuracy", "macro_f1", "weighted_f1"))
    for name in (*SILHOUETTES, "silhouette_modality"):
        assert -1 <= metrics[name] <= 1
    assert metrics["modality_mixing"] >= 0 and 0 <= metrics["calibration_error"] <= 1
    assert 0 < metrics["unknown_share"] < 1 and 0 <= metrics["accuracy_of_known"] <= 1
    assert metrics["seconds"]["train"] > 0 and all(s >= 0 for s in metrics["seconds"].values())
    assert metrics["peak_memory_mb"] > 100
    assert metrics["diagnosis"]["color"] != "red"
    assert metrics["diagnosis"]["markers"]["coactivity"] > 20
    assert metrics["epochs_trained"] == EPOCHS and metrics["export"] == "savedmodels/pbmc/1"


def test_pbmc_shares_of_the_types(pbmc, truth):
    data, _ = truth
    shares = strict_json(pbmc[1] / "runs" / "pbmc" / "metrics.json")["type_shares"]
    assert list(shares) == list(data.types)
    cells = np.bincount(data.rna_labels) / len(data.rna_labels)
    np.testing.assert_allclose([share["rna"] for share in shares.values()], cells, atol=1e-6)
    assert math.isclose(sum(share["atac"] for share in shares.values()), 1, abs_tol=1e-4)


def test_pbmc_labels_are_right(pbmc):
    metrics = strict_json(pbmc[1] / "runs" / "pbmc" / "metrics.json")
    assert metrics["label_transfer"]["accuracy"] > 0.9
    assert metrics["label_transfer"]["macro_f1"] > 0.9
    assert metrics["accuracy_of_known"] > 0.9 and metrics["unknown_share"] < 0.3


def test_pbmc_modalities_are_aligned(pbmc):
    metrics = strict_json(pbmc[1] / "runs" / "pbmc" / "metrics.json")
    assert metrics["modality_mixing"] > 0.7 and metrics["silhouette_modality"] < 0.05


def test_pbmc_predictions_are_those_that_were_scored(pbmc, truth):
    data, known = truth
    table = pd.read_csv(pbmc[1] / "runs" / "pbmc" / "predictions.csv")
    assert list(table.columns[:3]) == ["cell", "label", "confidence"]
    assert table["cell"].tolist() == data.atac_cells.tolist()
    assert set(table["label"]) | set(table["second_label"]) <= set(data.types)
    assert table["confidence"].between(1 / len(data.types), 1).all()
    assert (table["second_confidence"] <= table["confidence"]).all()
    assert (table["second_label"] != table["label"]).all()
    assert table["coarse_label"].tolist() == known.coarsen(table["label"]).tolist()
    metrics = strict_json(pbmc[1] / "runs" / "pbmc" / "metrics.json")
    columns = dict(zip(ROUTES, ("label", *ROUTES[1:]), strict=True))
    for route, column in columns.items():
        accuracy = np.mean(known.coarsen(table[column]) == known.labels)
        assert math.isclose(metrics[route]["accuracy"], accuracy, abs_tol=1e-9)
    assert set(metrics["agreement"]) == set(ROUTES[1:])
    for route, share in metrics["agreement"].items():
        assert math.isclose(share, np.mean(table[route] == table["label"]), abs_tol=1e-9)


def test_pbmc_unknown_cells_are_the_most_novel_and_keep_their_label_beside(pbmc, truth):
    table = pd.read_csv(pbmc[1] / "runs" / "pbmc" / "predictions.csv")
    metrics = strict_json(pbmc[1] / "runs" / "pbmc" / "metrics.json")
    unknown = table["accepted_label"] == "unknown"
    assert (table["accepted_label"] == table["label"])[~unknown].all()
    assert table["novelty"].between(0, 1).all()
    assert table["novelty"][unknown].min() >= table["novelty"][~unknown].max()
    assert math.isclose(metrics["unknown_share"], unknown.mean())
    right = truth[1].coarsen(table["label"]) == truth[1].labels
    assert math.isclose(metrics["accuracy_of_known"], right[~unknown].mean())
    cells = anndata.read_h5ad(pbmc[1] / "runs" / "pbmc" / "integrated.h5ad")
    marked = cells.obs["scadv_unknown"].to_numpy()
    assert not marked[: -len(table)].any()
    np.testing.assert_array_equal(marked[-len(table) :], unknown)


def test_pbmc_settings_are_those_of_the_command(pbmc):
    for folder in ("runs/pbmc", "runs/pbmc/checkpoints"):
        config = RunConfig.from_json((pbmc[1] / folder / "config.json").read_text())
        expected = RunConfig().to_dict()
        expected["data"]["dataset"] = "pbmc"
        expected["training"] |= {"epochs": EPOCHS, "seed": 3}
        assert config.to_dict() == expected


def test_pbmc_history_has_a_row_an_epoch(pbmc):
    history = pd.read_csv(pbmc[1] / "runs" / "pbmc" / "history.csv")
    assert history["epoch"].tolist() == list(range(1, EPOCHS + 1))
    assert {"cross_entropy", "macro_f1", "atac_label_change"} <= set(history.columns)
    assert history.drop(columns="atac_label_change").notna().all(axis=None)
    assert history["cross_entropy"].iloc[-1] < history["cross_entropy"].iloc[0]
    metrics = strict_json(pbmc[1] / "runs" / "pbmc" / "metrics.json")
    # The network's alone, without the regression that has its share in the route.
    gap = history["macro_f1"].iloc[-1] - metrics["classifier"]["macro_f1"]
    assert abs(gap) < 0.1


def test_pbmc_integrated_cells(pbmc, truth):
    data, _ = truth
    results = pbmc[1] / "runs" / "pbmc"
    cells = anndata.read_h5ad(results / "integrated.h5ad")
    rna, atac = len(data.rna_cells), len(data.atac_cells)
    assert cells.shape == (rna + atac, len(data.genes))
    assert cells.obs["modality"].tolist() == ["rna"] * rna + ["atac"] * atac
    for name, width in (("X_scadv", RunConfig().network.encoder_sizes[-1]), ("X_umap", 2)):
        assert cells.obsm[name].shape == (rna + atac, width)
        assert np.isfinite(cells.obsm[name]).all() and cells.obsm[name].std(axis=0).max() > 0
    table = pd.read_csv(results / "predictions.csv")
    assert cells.obs["scadv_label"].tolist()[rna:] == table["label"].tolist()
    assert cells.obs["scadv_accepted_label"].tolist()[rna:] == table["accepted_label"].tolist()
    assert cells.obs["scadv_unknown"].tolist()[rna:] == table["unknown"].tolist()
    for name in ("confidence", "novelty"):
        np.testing.assert_allclose(cells.obs[f"scadv_{name}"][rna:], table[name], atol=1e-5)
    known = cells.obs["cell_type"][:rna].astype(str)
    assert np.mean(known == cells.obs["scadv_label"][:rna].astype(str)) > 0.8
    np.testing.assert_array_equal(cells.X[:5].toarray(), data.rna[:5].toarray())
    np.testing.assert_array_equal(cells.X[-5:].toarray(), data.atac[-5:].toarray())


def test_pbmc_report_is_one_page(pbmc, truth):
    page = (pbmc[1] / "runs" / "pbmc" / "report.html").read_text(encoding="utf-8")
    check_self_contained(page, len(PICTURES_WITH_TRUTH))
    metrics = strict_json(pbmc[1] / "runs" / "pbmc" / "metrics.json")
    assert f"{metrics['label_transfer']['accuracy']:.3f}"[:4] in page
    assert f"{len(truth[0].genes):,}" in page and "encoder_sizes" in page.replace(" ", "_")


def test_a_wheel_holds_every_file_of_the_package(installed):
    def files(folder: Path) -> set[str]:
        found = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
        return {str(path) for path in found if "__pycache__" not in path.parts}

    assert files(installed / "scadv_tf") == files(ROOT / "scadv_tf")


def test_the_command_of_a_wheel_annotates_outside_of_the_repository(
    installed, scadv, pbmc, tmp_path
):
    rna = installed / "scadv_tf" / "data" / "assets" / "pbmc" / "rna.h5ad"
    model = f"--model={pbmc[1] / 'savedmodels' / 'pbmc'}"
    given = model, f"--input={rna}", "--modality=rna", "--output=labels.csv"
    annotated = scadv(tmp_path, "annotate", *given)
    assert annotated.returncode == 0, annotated.stderr
    for noise in ("TensorFlow/", "oneDNN", "cuda", "Warning", "Traceback"):
        assert noise not in annotated.stderr
    cells = anndata.read_h5ad(rna, backed="r").obs_names
    assert pd.read_csv(tmp_path / "labels.csv")["cell"].tolist() == cells.tolist()


def test_the_command_of_a_wheel_writes_a_report_anew(scadv, pbmc):
    page = pbmc[1] / "runs" / "pbmc" / "report.html"
    before = page.read_bytes()
    page.unlink()
    reported = scadv(pbmc[1], "report", "runs/pbmc")
    assert reported.returncode == 0, reported.stderr
    assert reported.stdout.splitlines()[-1] == "report: runs/pbmc/report.html"
    assert page.read_bytes() == before


@pytest.fixture(scope="module")
def few_cells(tmp_path_factory):
    """Files of 60 labelled RNA and 45 ATAC cells without labels: fewer than a batch."""
    folder = tmp_path_factory.mktemp("few")
    rna, atac, genes = simulate(60, genes=150, types=3, difficulty=0.2, atac_cells=45)
    atac.obs = atac.obs[[]]
    rna.write_h5ad(folder / "rna.h5ad")
    atac.write_h5ad(folder / "atac.h5ad")
    columns = genes.assign(score=0)[["chrom", "start", "end", "gene", "score", "strand"]]
    columns.to_csv(folder / "genes.bed", sep="\t", header=False, index=False)
    return folder


@pytest.fixture(scope="module")
def run_few(few_cells):
    """A function (main job, name, *arguments) -> (what it said, results, exports)."""

    def run(train, name, *arguments):
        done = train(
            few_cells,
            "--rna=rna.h5ad",
            "--atac=atac.h5ad",
            "--genes=genes.bed",
            "--dataset=few",
            f"--output_dir={name}/results",
            f"--export_dir={name}/exports",
            "--epochs=3",
            "--encoder_sizes=32,16",
            "--modality_adversarial=0",
            "--batch_size=256",
            "--umap_neighbors=200",
            "--knn_neighbors=200",
            *arguments,
        )
        assert done.returncode == 0, done.stderr
        return done, few_cells / name / "results", few_cells / name / "exports"

    return run


@pytest.fixture(scope="module")
def without_labels(run_few, train_apart):
    return run_few(train_apart, "first", "--verbosity=-2")


@pytest.fixture(scope="module")
def again(run_few, train_here):
    """The same in another process, watched by TensorBoard, which must not change a number."""
    with pytest.MonkeyPatch.context() as patch:
        without_pictures(patch)
        without_export(patch)
        return run_few(train_here, "again", "--tensorboard")


def test_without_labels_nothing_is_scored_and_all_else_is_there(without_labels):
    done, results, exports = without_labels
    check_progress(done)
    assert names_in(results) == RESULTS
    assert names_in(results / "checkpoints") == CHECKPOINT
    check_pictures(results / "figures", PICTURES)
    metrics = strict_json(results / "metrics.json")
    for name in (*ROUTES, *SILHOUETTES, "calibration_error"):
        assert metrics[name] is None
    assert metrics["modality_mixing"] >= 0 and metrics["accuracy_of_known"] is None
    assert 0 <= metrics["unknown_share"] <= 1
    history = pd.read_csv(results / "history.csv")
    assert "macro_f1" not in history and len(history) == 3
    check_self_contained((results / "report.html").read_text(encoding="utf-8"), len(PICTURES))
    assert (exports / "1" / "saved_model.pb").stat().st_size > 0
    assert not (results.parents[1] / "runs").exists()
    assert not (results.parents[1] / "savedmodels").exists()


def test_without_labels_every_cell_gets_one(without_labels):
    _, results, _ = without_labels
    table = pd.read_csv(results / "predictions.csv")
    assert table["cell"].tolist() == [f"atac_{number:06d}" for number in range(1, 46)]
    assert set(table["label"]) <= {"A1", "A2", "A3"} and "coarse_label" not in table
    cells = anndata.read_h5ad(results / "integrated.h5ad")
    assert cells.n_obs == 105 and cells.obsm["X_scadv"].shape == (105, 16)
    assert np.isfinite(cells.obsm["X_umap"]).all()


def test_verbosity_silences_information(without_labels, pbmc):
    assert "Reading pbmc" in pbmc[0].stderr
    for silenced in ("Reading", "epoch", "warning", "report:"):
        assert silenced not in without_labels[0].stderr


def test_tensorboard_logs_are_written_where_asked_for(again):
    _, results, _ = again
    assert names_in(results) == RESULTS | {"tensorboard"}
    assert list((results / "tensorboard").rglob("events.out.tfevents.*"))


def test_the_same_seed_gives_the_same_predictions(without_labels, again):
    first, second = (run[1] / "predictions.csv" for run in (without_labels, again))
    assert first.read_bytes() == second.read_bytes()
    first, second = (pd.read_csv(run[1] / "history.csv") for run in (without_labels, again))
    pd.testing.assert_frame_equal(
        first.drop(columns=TIMES), second.drop(columns=TIMES), check_exact=True
    )
