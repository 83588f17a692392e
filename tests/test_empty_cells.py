"""Cells without data, from files to results: unknown, and without a say in any other's answer.

Beside them, what a run of cells that are not held in memory gives.
"""

from __future__ import annotations

import json

import anndata
import numpy as np
import pandas as pd
import pytest
from left_out import without_pictures
from one_model import alike, fit_alike
from scipy import sparse

from scadv_tf import RunConfig
from scadv_tf.annotate import annotate_file
from scadv_tf.annotation import annotate_cells
from scadv_tf.data import preprocessing
from scadv_tf.data.datasets import DatasetSource, assemble
from scadv_tf.data.synthetic import simulate
from scadv_tf.labelling import AnnotateConfig

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("loaded_once")]

CELLS, TYPES = 600, 3
EMPTY = {"rna": 75, "atac": 500}
HELD = 200  # cells in memory of a run that streams the others
RESULTS = {
    *("metrics.json", "config.json", "history.csv", "predictions.csv", "integrated.h5ad"),
    *("report.html", "report.json", "figures", "checkpoints"),
}
SMALL = {
    "neighbors": 5,
    "lsi_size": 6,
    "projection_size": 8,
    "encoder_sizes": (32, 16),
    "generator_sizes": (16,),
    "atac_discriminator_sizes": (16,),
    "batch_size": 64,
    "epochs": 2,
}


def with_empty(cells: anndata.AnnData, number: int) -> anndata.AnnData:
    """The same cells, and among them others with no count, or one."""
    random = np.random.default_rng(number)
    counts = sparse.lil_matrix((number, cells.n_vars), dtype=np.float32)
    for row in range(0, number, 2):
        counts[row, random.integers(cells.n_vars)] = 1
    obs = pd.DataFrame({"cell_type": "kind0"}, index=[f"empty{i}" for i in range(number)])
    obs["cell_type"] = cells.obs["cell_type"].iloc[0]
    empty = anndata.AnnData(counts.tocsr(), obs=obs, var=cells.var)
    joined = anndata.concat([cells, empty])
    joined.var = cells.var
    joined = joined[random.permutation(joined.n_obs)].copy()
    # In their old order, so that the same cells are drawn.
    names = joined.obs_names.to_numpy(dtype=str, copy=True)
    full = ~np.char.startswith(names, "empty")
    names[full] = cells.obs_names
    return joined[names].copy()


@pytest.fixture(scope="module")
def tissue():
    """RNA cells, peaks and a table of genes; with the empty cells and without."""
    rna, peaks, table = simulate(CELLS, 200, types=TYPES, difficulty=0.2)
    mixed = with_empty(rna, EMPTY["rna"]), with_empty(peaks, EMPTY["atac"])
    return (rna, peaks, table), (*mixed, table)


def answered(rna, peaks, table):
    """Paired data, and what a training says of all cells."""
    config = RunConfig.of(**SMALL)
    data, truth = assemble(rna, peaks, DatasetSource(label_key="cell_type"), table)
    cells = preprocessing.fit(data, config.preprocessing)
    model, history = fit_alike(cells, data.rna_labels, len(data.types), config)
    return data, history, annotate_cells(model, cells, config, data.types).of_all(cells.with_data)


def test_cells_without_data_change_no_other_answer(tissue):
    (_, history, expected), (data, longer, found) = (answered(*given) for given in tissue)
    losses = [t.drop(columns=["seconds", "step_seconds"]).to_numpy() for t in (history, longer)]
    np.testing.assert_allclose(*losses, rtol=1e-4, atol=1e-5)
    empty = np.char.startswith(data.atac_cells, "empty")
    assert empty.sum() == EMPTY["atac"]
    for name in ("probabilities", "novelty", "unknown"):
        ours, theirs = getattr(found.voted, name)[~empty], getattr(expected.voted, name)
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4, err_msg=name)
    voted = found.voted
    np.testing.assert_array_equal(voted.probabilities[empty], np.float32(1 / TYPES))
    assert voted.unknown[empty].all() and (voted.novelty[empty] == 1).all()
    assert (voted.label[empty] == data.types[0]).all()
    assert (voted.accepted_label[empty] == "unknown").all()
    assert all((labels[empty] == "unknown").all() for labels in voted.other_routes.values())
    of_rna = np.char.startswith(data.rna_cells, "empty")
    np.testing.assert_array_equal(found.rna.unknown, of_rna)
    np.testing.assert_array_equal(found.rna.probabilities[of_rna], np.float32(1 / TYPES))
    latent = found.latent[:]
    places = np.concatenate([of_rna, empty])
    assert not latent[places].any() and latent[~places].any(axis=1).all()
    np.testing.assert_allclose(latent[~places], expected.latent, rtol=1e-3, atol=1e-3)


# The main job.


FILES = "--rna=rna.h5ad", "--atac=atac.h5ad", "--genes=genes.bed", "--dataset=mixed"
QUICK = "--epochs=3", "--modality_adversarial=0", "--encoder_sizes=64,32"


def run_on(tissue, folder, train_here, *flags):
    """What a run said and its folder, where the input lies, too."""
    rna, peaks, table = tissue[1]
    columns = ["chrom", "start", "end", "gene"]
    table[columns].to_csv(folder / "genes.bed", sep="\t", header=False, index=False)
    rna.write_h5ad(folder / "rna.h5ad")
    peaks = peaks.copy()
    peaks.X = peaks.X.tocsc()  # is sorted by cell first, where it is streamed
    peaks.write_h5ad(folder / "atac.h5ad")
    with alike():
        done = train_here(folder, *FILES, *QUICK, *flags)
    assert done.returncode == 0, done.stderr
    return done, folder


@pytest.fixture(scope="module")
def held(tissue, train_here, tmp_path_factory):
    """Of which no picture is looked at."""
    with pytest.MonkeyPatch.context() as patch:
        without_pictures(patch)
        return run_on(tissue, tmp_path_factory.mktemp("held"), train_here)


@pytest.fixture(scope="module")
def streamed(tissue, train_here, tmp_path_factory):
    folder = tmp_path_factory.mktemp("streamed")
    return run_on(tissue, folder, train_here, f"--memory_cells={HELD}")


@pytest.fixture(params=["held", "streamed"])
def run(request):
    return request.getfixturevalue(request.param)


def test_the_tables_of_a_run_have_the_cells_without_data_as_unknown(run):
    _, folder = run
    results = folder / "runs" / "mixed"
    table = pd.read_csv(results / "predictions.csv", index_col="cell")
    known = anndata.read_h5ad(folder / "atac.h5ad").obs["cell_type"].astype(str)
    assert table.index.tolist() == known.index.tolist()
    empty = table.index.str.startswith("empty")
    assert (table["accepted_label"][empty] == "unknown").all()
    np.testing.assert_allclose(table["confidence"][empty], 1 / TYPES, atol=1e-6)
    assert (table["novelty"][empty] == 1).all() and table["label"].isin(known).all()
    assert np.mean(table["label"][~empty] == known[~empty]) > 0.95
    assert (table["accepted_label"][~empty] != "unknown").mean() > 0.5
    joint = anndata.read_h5ad(results / "integrated.h5ad")
    assert joint.n_obs == 2 * CELLS + sum(EMPTY.values())
    empty = joint.obs["cell"].astype(str).str.startswith("empty").to_numpy()
    assert joint.obs["scadv_unknown"][empty].all()
    np.testing.assert_allclose(joint.obs["scadv_confidence"][empty], 1 / TYPES, rtol=1e-6)
    assert np.isfinite(joint.obsm["X_scadv"]).all() and not joint.obsm["X_scadv"][empty].any()
    np.testing.assert_array_equal(np.isnan(joint.obsm["X_umap"]).all(axis=1), empty)
    metrics = json.loads((results / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["label_transfer"]["macro_f1"] > 0.95  # of the cells with data
    assert metrics["unknown_share"] == pytest.approx((table["accepted_label"] == "unknown").mean())


def test_log_and_report_name_the_likely_cause(run):
    done, folder = run
    text = "500 of 1,100 ATAC cells are empty or nearly empty"
    page = (folder / "runs" / "mixed" / "report.html").read_text(encoding="utf-8")
    for said in (done.stderr, page):
        assert text in said and "unfiltered matrix of barcodes" in said


@pytest.mark.parametrize("modality", ["rna", "atac"])
def test_the_export_calls_the_same_cells_unknown(run, modality, tmp_path):
    _, folder = run
    output, model = tmp_path / "again.csv", str(folder / "savedmodels" / "mixed")
    given = str(folder / f"{modality}.h5ad")
    summary = annotate_file(AnnotateConfig(model, given, modality, str(output)))
    assert summary.empty == EMPTY[modality]
    assert any("unfiltered matrix of barcodes" in line for line in summary.lines())
    table = pd.read_csv(output, index_col="cell")
    empty = table.index.str.startswith("empty")
    assert empty.sum() == EMPTY[modality]
    assert (table["accepted_label"][empty] == "unknown").all()
    np.testing.assert_allclose(table["confidence"][empty], 1 / TYPES, rtol=1e-4)
    assert (table["novelty"][empty] == 1).all() and (table["novelty"][~empty] < 1).mean() > 0.9


# What else a run of streamed cells must give.


def test_all_files_of_a_streamed_run_are_there_and_nothing_else_is_left(streamed):
    done, folder = streamed
    results = folder / "runs" / "mixed"
    assert {path.name for path in results.iterdir()} == RESULTS
    names = {path.name for path in folder.iterdir()}
    assert names == {"rna.h5ad", "atac.h5ad", "genes.bed", "runs", "savedmodels"}
    for told in ("675 cells of RNA are streamed", "1,100 cells of ATAC are streamed"):
        assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_the_integrated_file_has_the_counts_of_all_streamed_cells(streamed):
    _, folder = streamed
    joint = anndata.read_h5ad(folder / "runs" / "mixed" / "integrated.h5ad")
    rna = anndata.read_h5ad(folder / "rna.h5ad")
    np.testing.assert_array_equal(
        joint.X[: rna.n_obs].toarray(), rna[:, joint.var_names].X.toarray()
    )
    assert joint.obs_names[: rna.n_obs].tolist() == [f"{name}-rna" for name in rna.obs_names]


def test_the_export_has_the_answers_of_the_cells_that_it_keeps(streamed, tmp_path):
    """The sample's rows are not the first ones: the wrong cells would outvote the right label."""
    _, folder = streamed
    model, output = str(folder / "savedmodels" / "mixed"), tmp_path / "again.csv"
    annotate_file(AnnotateConfig(model, str(folder / "atac.h5ad"), "atac", str(output)))
    again, once = pd.read_csv(output), pd.read_csv(folder / "runs" / "mixed" / "predictions.csv")
    full = ~once["cell"].str.startswith("empty")
    again, once = again[full], once[full]
    assert np.mean(again["label"] == once["label"]) > 0.97
    assert np.corrcoef(again["novelty"], once["novelty"])[0, 1] > 0.8
    np.testing.assert_allclose(again["confidence"], once["confidence"], atol=0.2)


def test_a_negative_value_deep_in_a_file_ends_the_run_with_advice(train_here, streamed, tmp_path):
    _, folder = streamed
    rna = anndata.read_h5ad(folder / "rna.h5ad")
    rna.X[550, 3] = -2
    rna.write_h5ad(tmp_path / "bad.h5ad")
    files = "--rna=bad.h5ad", f"--atac={folder / 'atac.h5ad'}", f"--genes={folder / 'genes.bed'}"
    done = train_here(tmp_path, *files, f"--memory_cells={HELD}")
    assert done.returncode == 2 and "negative values" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"bad.h5ad"}
