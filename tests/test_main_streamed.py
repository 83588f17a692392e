"""The main job on cells that are not held in memory."""

from __future__ import annotations

import json

import anndata
import numpy as np
import pandas as pd
import pytest

from scadv_tf.annotate import AnnotateConfig, annotate_file
from scadv_tf.data.synthetic import simulate

CELLS, HELD = 600, 200
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


@pytest.fixture(scope="module")
def run(train_here, tmp_path_factory):
    """What a run said and its folder, where the input lies, too."""
    folder = tmp_path_factory.mktemp("streamed")
    rna, peaks, genes = simulate(CELLS, 200, types=3, difficulty=0.2)
    genes[["chrom", "start", "end", "gene"]].to_csv(
        folder / "genes.bed", sep="\t", header=False, index=False
    )
    rna.write_h5ad(folder / "rna.h5ad")
    peaks.X = peaks.X.tocsc()  # is sorted by cell first
    peaks.write_h5ad(folder / "atac.h5ad")
    files = "--rna=rna.h5ad", "--atac=atac.h5ad", "--genes=genes.bed", "--dataset=streamed"
    quick = "--epochs=4", "--modality_adversarial=0"
    done = train_here(folder, *files, f"--memory_cells={HELD}", *quick)
    assert done.returncode == 0, done.stderr
    return done, folder


def test_all_files_are_there_and_nothing_else_is_left(run):
    done, folder = run
    results = folder / "runs" / "streamed"
    assert {path.name for path in results.iterdir()} == RESULTS
    names = {path.name for path in folder.iterdir()}
    assert names == {"rna.h5ad", "atac.h5ad", "genes.bed", "runs", "savedmodels"}
    for name in ("RNA", "ATAC"):
        assert f"600 cells of {name} are streamed" in done.stderr
    assert "Traceback" not in done.stderr


def test_all_cells_are_labelled_and_rightly(run):
    _, folder = run
    results = folder / "runs" / "streamed"
    scores = json.loads((results / "metrics.json").read_text(encoding="utf-8"))
    assert scores["label_transfer"]["macro_f1"] > 0.97
    table = pd.read_csv(results / "predictions.csv")
    known = anndata.read_h5ad(folder / "atac.h5ad").obs["cell_type"]
    assert table["cell"].tolist() == known.index.tolist()
    assert np.mean(table["label"].to_numpy() == known.astype(str).to_numpy()) > 0.97


def test_the_integrated_file_has_the_counts_of_all_cells(run):
    _, folder = run
    joint = anndata.read_h5ad(folder / "runs" / "streamed" / "integrated.h5ad")
    rna = anndata.read_h5ad(folder / "rna.h5ad")
    assert joint.n_obs == 2 * CELLS and np.isfinite(joint.obsm["X_scadv"]).all()
    genes = joint.var_names
    np.testing.assert_array_equal(joint.X[:CELLS].toarray(), rna[:, genes].X.toarray())
    assert joint.obs_names[:CELLS].tolist() == [f"{name}-rna" for name in rna.obs_names]


def test_the_export_has_the_answers_of_the_cells_that_it_keeps(run):
    """The sample's rows are not the first ones: the wrong cells would outvote the right label."""
    _, folder = run
    output = folder / "again.csv"
    model = str(folder / "savedmodels" / "streamed")
    annotate_file(AnnotateConfig(model, str(folder / "atac.h5ad"), "atac", str(output)))
    again, once = pd.read_csv(output), pd.read_csv(folder / "runs/streamed/predictions.csv")
    output.unlink()
    assert np.mean(again["label"] == once["label"]) > 0.97
    assert np.corrcoef(again["novelty"], once["novelty"])[0, 1] > 0.8
    np.testing.assert_allclose(again["confidence"], once["confidence"], atol=0.2)


def test_a_negative_value_deep_in_a_file_ends_the_run_with_advice(train_here, run, tmp_path):
    _, folder = run
    rna = anndata.read_h5ad(folder / "rna.h5ad")
    rna.X[550, 3] = -2
    rna.write_h5ad(tmp_path / "bad.h5ad")
    files = "--rna=bad.h5ad", f"--atac={folder / 'atac.h5ad'}", f"--genes={folder / 'genes.bed'}"
    done = train_here(tmp_path, *files, f"--memory_cells={HELD}")
    assert done.returncode == 2 and "negative values" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"bad.h5ad"}
