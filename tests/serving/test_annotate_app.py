"""`python -m scadv_tf.annotate`: new cells in any format, labelled by an export, file to file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import anndata
import h5py
import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from in_process import run_here
from same_answers import assert_close
from scipy import sparse
from scipy.io import mmwrite

import scadv_tf
from scadv_tf import InputError
from scadv_tf.annotate import annotate_file, start
from scadv_tf.client.exported import ExportedModel
from scadv_tf.data import annotated_files
from scadv_tf.data.gene_activity import peak_intervals
from scadv_tf.data.synthetic import simulate
from scadv_tf.labelling import AnnotateConfig
from scadv_tf.progress import CellProgress

pytestmark = pytest.mark.usefixtures("loaded_once")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def model(exported) -> ExportedModel:
    return ExportedModel(exported.version)


@pytest.fixture(scope="module")
def simulated():
    """RNA cells and ATAC cells with peaks that the model has not seen."""
    rna, atac, _ = simulate(90, 120, types=4, difficulty=0.3, atac_cells=80)
    return {"rna": rna, "atac": atac}


@pytest.fixture(scope="module")
def expected(model, simulated, new_tissue):
    """What the model says of them, asked without any file; see test_exported."""
    atac = simulated["atac"]
    rows = np.arange(1, 80)  # new_tissue has emptied the first cell
    answer = model.annotate(new_tissue.atac[rows], "atac", new_tissue.peaks[rows])
    simulated["atac"] = atac[rows].copy()
    return {"rna": model.annotate(new_tissue.rna, "rna"), "atac": answer}


@pytest.fixture
def ask(exported, tmp_path):
    """A maker of annotated cells: ask(input, modality, **settings) -> AnnData or table."""

    def annotated(source, modality="rna", output="out.h5ad", folder=exported.version, **settings):
        output = tmp_path / output
        given = {"model": str(folder), "input": str(source), "output": str(output)}
        annotate_file(AnnotateConfig(modality=modality, **given, **settings))
        return pd.read_csv(output) if output.suffix == ".csv" else anndata.read_h5ad(output)

    return annotated


def assert_answer(found: AnnData, answer, exactly=False):
    compare = np.testing.assert_array_equal if exactly else assert_close
    compare(found.obsm["X_scadv"], answer.latent)
    for name in ("confidence", "novelty"):
        compare(found.obs[f"scadv_{name}"], getattr(answer, name))
    assert found.obs["scadv_label"].tolist() == answer.label.tolist()
    assert found.obs["scadv_unknown"].tolist() == answer.unknown.tolist()
    accepted = np.where(answer.unknown, "unknown", answer.label)
    assert found.obs["scadv_accepted_label"].tolist() == accepted.tolist()


# Formats.


def write_h5ad(form):
    def write(adata, path):
        AnnData(form(adata.X), obs=adata.obs, var=adata.var).write_h5ad(path)
        return path

    return write


def write_raw(adata, path):
    scaled = AnnData(adata.X.toarray()[:, :5] - 1, obs=adata.obs, var=adata.var.iloc[:5])
    scaled.raw = adata
    scaled.write_h5ad(path)
    return path


def write_layer(adata, path):
    AnnData(-adata.X, obs=adata.obs, var=adata.var, layers={"n": adata.X}).write_h5ad(path)
    return path


def write_h5mu(adata, path):
    path = path.with_suffix(".h5mu")
    modality = "atac" if peak_intervals(adata.var) is not None else "rna"
    mudata.MuData({modality: adata, "other": adata[:, :3].copy()}).write_h5mu(path)
    return path


def kind_of(adata):
    return "Gene Expression" if peak_intervals(adata.var) is None else "Peaks"


def write_10x_h5(adata, path):
    path = path.with_suffix(".h5")
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        for part in ("data", "indices", "indptr"):
            group[part] = getattr(adata.X, part)
        group["shape"] = np.array(adata.shape[::-1], dtype=np.int32)
        group["barcodes"] = adata.obs_names.to_numpy(dtype="S")
        group["features/id"] = group["features/name"] = adata.var_names.to_numpy(dtype="S")
        group["features/feature_type"] = np.array([kind_of(adata)] * adata.n_vars, "S")
    return path


def write_10x_mtx(adata, path):
    path = path.with_suffix("")
    path.mkdir()
    mmwrite(path / "matrix.mtx", sparse.coo_matrix(adata.X.T.astype(int)))
    (path / "barcodes.tsv").write_text("".join(f"{name}\n" for name in adata.obs_names))
    lines = [f"{name}\t{name}\t{kind_of(adata)}\n" for name in adata.var_names]
    (path / "features.tsv").write_text("".join(lines))
    return path


def write_zarr(adata, path):
    path = path.with_suffix(".zarr")
    adata.write_zarr(path)
    return path


WRITERS = {
    "zarr": (write_zarr, ""),
    "csr": (write_h5ad(sparse.csr_matrix), ""),
    "csc": (write_h5ad(sparse.csc_matrix), ""),
    "dense": (write_h5ad(lambda matrix: matrix.toarray()), ""),
    "raw": (write_raw, "raw"),
    "layer": (write_layer, "n"),
    "h5mu": (write_h5mu, ""),
    "10x h5": (write_10x_h5, ""),
    "10x mtx": (write_10x_mtx, ""),
}


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("modality", ["rna", "atac"])
@pytest.mark.parametrize("form", WRITERS)
def test_every_format_gives_what_the_model_says(ask, expected, simulated, tmp_path, form, modality):
    write, layer = WRITERS[form]
    path = write(simulated[modality], tmp_path / "in.h5ad")
    found = ask(path, modality, layer=layer, batch_size=33)
    assert found.obs_names.tolist() == simulated[modality].obs_names.tolist()
    assert_answer(found, expected[modality])
    kept = "cell_type" in found.obs
    assert kept != form.startswith("10x")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([path.name, "out.h5ad"])


def test_fragments_are_counted_in_the_peaks_of_the_training(ask, expected, simulated, tmp_path):
    atac = simulated["atac"]
    counts = atac.X.tocoo()
    peaks = peak_intervals(atac.var).iloc[np.repeat(counts.col, counts.data.astype(int))]
    cells = np.repeat(atac.obs_names[counts.row], counts.data.astype(int))
    table = pd.DataFrame({"c": peaks["chrom"], "s": peaks["start"], "e": peaks["start"] + 1})
    table = table.assign(cell=cells).sample(frac=1, random_state=0)
    table.to_csv(tmp_path / "fragments.tsv.gz", sep="\t", header=False, index=False)
    (tmp_path / "cells.txt").write_text("\n".join(atac.obs_names))
    given = {"barcodes": str(tmp_path / "cells.txt"), "batch_size": 33}
    found = ask(tmp_path / "fragments.tsv.gz", "atac", **given)
    assert found.obs_names.tolist() == atac.obs_names.tolist()
    assert_answer(found, expected["atac"])
    depth = np.asarray(atac.X.sum(axis=1)).ravel()
    rich = depth >= np.median(depth)
    richest = ask(
        tmp_path / "fragments.tsv.gz", "atac", min_fragments=int(np.median(depth))
    ).obs_names
    assert 0 < rich.sum() < len(rich)
    assert richest.tolist() == sorted(atac.obs_names[rich])
    with pytest.raises(InputError, match="is a table of ATAC fragments"):
        ask(tmp_path / "fragments.tsv.gz", "rna")


@pytest.mark.parametrize("modality", ["rna", "atac"])
def test_the_order_of_genes_leaves_no_trace(ask, simulated, tmp_path, modality):
    adata = simulated[modality]
    order = np.random.default_rng(0).permutation(adata.n_vars)
    answers = []
    for number, cells in enumerate((adata, adata[:, order].copy())):
        cells.write_h5ad(tmp_path / f"{number}.h5ad")
        answers.append(ask(tmp_path / f"{number}.h5ad", modality))
    np.testing.assert_array_equal(answers[0].obsm["X_scadv"], answers[1].obsm["X_scadv"])
    pd.testing.assert_frame_equal(answers[0].obs, answers[1].obs)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_size_of_chunks_does_not_matter(ask, expected, simulated, tmp_path, size):
    for modality, adata in simulated.items():
        adata.write_h5ad(tmp_path / "in.h5ad")
        found = ask(tmp_path / "in.h5ad", modality, batch_size=size)
        answer = expected[modality]
        assert_close(found.obsm["X_scadv"], answer.latent)
        assert found.obs["scadv_label"].tolist() == answer.label.tolist()


def test_missing_genes_count_as_0_and_their_share_is_told(ask, simulated, tmp_path, caplog):
    rna = simulated["rna"]
    values = rna.X.toarray()
    values[:, 30:60] = 0
    emptied = AnnData(sparse.csr_matrix(values), obs=rna.obs, var=rna.var)
    emptied.write_h5ad(tmp_path / "zeros.h5ad")
    rna[:, [*range(30), *range(60, 120)]].copy().write_h5ad(tmp_path / "missing.h5ad")
    assert_answer(ask(tmp_path / "missing.h5ad"), of(ask(tmp_path / "zeros.h5ad")), exactly=True)
    assert [r.message for r in caplog.records if "are not in the input" in r.message] == [
        "25.0 % of the model's genes (30 of 120) are not in the input and count as 0"
        ": check the names and the species"
    ]


def test_values_of_another_kind_than_those_of_the_training_are_told(
    ask, exported, simulated, tmp_path, caplog
):
    counts = simulated["rna"]
    logs = AnnData(counts.X.log1p(), obs=counts.obs, var=counts.var)
    counts.write_h5ad(tmp_path / "counts.h5ad")
    logs.write_h5ad(tmp_path / "logs.h5ad")
    of_logs = tmp_path / "model" / "7"
    shutil.copytree(exported.version, of_logs)
    path = of_logs / "assets" / "manifest.json"
    path.write_text(path.read_text().replace('"rna": true', '"rna": false'))
    older = tmp_path / "older" / "1"
    shutil.copytree(exported.version, older)
    manifest = json.loads((older / "assets" / "manifest.json").read_text())
    del manifest["trained_on_counts"]
    (older / "assets" / "manifest.json").write_text(json.dumps(manifest))
    wanted = {
        ("counts", exported.version): "",
        ("logs", exported.version): "trained on counts, and the input has values that are no",
        ("counts", of_logs): "trained on values that are no counts, as log-normalised ones, and",
        ("logs", of_logs): "",
        ("logs", older): "",
    }
    for (name, folder), text in wanted.items():
        caplog.clear()
        ask(tmp_path / f"{name}.h5ad", folder=folder)
        told = [r.message for r in caplog.records if "was trained on" in r.message]
        assert len(told) == bool(text) and text in "".join(told)


@pytest.mark.parametrize("value, cause", [(np.nan, "finite"), (-1, "negative"), (0, "no counts")])
def test_no_counts_are_refused_by_their_cause(ask, simulated, tmp_path, caplog, value, cause):
    counts = simulated["rna"].copy()
    counts.X = counts.X.toarray()
    counts.X[0 if value else ...] = value
    counts.write_h5ad(tmp_path / "bad.h5ad")
    with pytest.raises(InputError, match=cause):
        ask(tmp_path / "bad.h5ad")
    assert "log-normalised" not in caplog.text


def of(found: AnnData) -> SimpleNamespace:
    names = ("label", "confidence", "novelty", "unknown")
    answer = {name: found.obs[f"scadv_{name}"].to_numpy() for name in names}
    return SimpleNamespace(latent=found.obsm["X_scadv"], **answer)


def test_the_route_of_peaks(ask, expected, simulated, model, new_tissue, tmp_path, caplog):
    """Shifted a little they are as good as the training's; gene activity goes by genes."""
    caplog.set_level("INFO")
    atac = simulated["atac"]
    shifted = atac.copy()
    places = peak_intervals(atac.var)
    moved = places["start"].add(7).astype(str) + "-" + places["end"].add(7).astype(str)
    shifted.var_names = (places["chrom"] + ":" + moved).to_numpy()
    shifted.write_h5ad(tmp_path / "shifted.h5ad")
    assert_answer(ask(tmp_path / "shifted.h5ad", "atac"), expected["atac"])
    assert "100.0 % of the training's" in caplog.text
    var = pd.DataFrame(index=new_tissue.genes)
    activity = AnnData(new_tissue.atac[1:], obs=atac.obs, var=var)
    activity.write_h5ad(tmp_path / "activity.h5ad")
    by_genes = model.annotate(new_tissue.atac[1:], "atac")
    assert_answer(ask(tmp_path / "activity.h5ad", "atac"), by_genes)
    assert "neighbours are found by genes" in caplog.text


# Outputs.


def test_an_h5ad_keeps_the_table_of_cells_and_can_be_annotated_again(ask, model, tmp_path):
    rna, _, _ = simulate(30, 120, types=4, difficulty=0.3, seed=1)
    rna.obs["donor"] = pd.Categorical(["d1", "d2", None] * 10)
    rna.obs["age"] = np.arange(30.0)
    rna.obs["scadv_label"] = "an older one"
    rna.obs["scadv_confidence"] = pd.Categorical(["high"] * 30)
    rna.write_h5ad(tmp_path / "in.h5ad")
    found = ask(tmp_path / "in.h5ad")
    old = ["cell_type", "donor", "age"]
    pd.testing.assert_frame_equal(found.obs[old], anndata.read_h5ad(tmp_path / "in.h5ad").obs[old])
    new = ["label", "confidence", "accepted_label", "novelty", "unknown"]
    assert found.obs.columns.tolist() == [*old, *(f"scadv_{name}" for name in new)]
    assert found.obs["scadv_label"].cat.categories.tolist() == [*model.types]
    assert found.obs["scadv_accepted_label"].cat.categories.tolist() == [*model.types, "unknown"]
    kinds = [str(found.obs[f"scadv_{name}"].dtype) for name in ("confidence", "novelty", "unknown")]
    assert kinds == ["float32", "float32", "bool"]
    assert found.X is None and found.obsm["X_scadv"].dtype == np.float32
    assert found.uns["scadv"].items() >= (model.identity | {"modality": "rna"}).items()
    found.write_h5ad(tmp_path / "copy.h5ad")  # other tools can go on with it


@pytest.mark.filterwarnings("ignore:Element")
def test_the_table_of_cells_of_an_older_anndata(ask, simulated, tmp_path):
    """Its columns of categories refer to a group beside them."""
    path = tmp_path / "in.h5ad"
    simulated["rna"].write_h5ad(path)
    with h5py.File(path, "r+") as file:
        obs = file["obs"]
        codes, categories = (obs["cell_type"][name][:] for name in ("codes", "categories"))
        del obs["cell_type"]
        obs["__categories/cell_type"] = categories
        obs["cell_type"] = codes
        obs["cell_type"].attrs["categories"] = obs["__categories/cell_type"].ref
        obs.attrs["encoding-version"] = "0.1.0"
    found = ask(path)
    assert found.obs["cell_type"].tolist() == simulated["rna"].obs["cell_type"].tolist()


def test_a_csv_says_the_same(ask, expected, simulated, tmp_path):
    simulated["atac"].write_h5ad(tmp_path / "in.h5ad")
    found = ask(tmp_path / "in.h5ad", "atac", output="out.csv", batch_size=20)
    columns = ["cell", "label", "confidence", "accepted_label", "novelty", "unknown"]
    assert found.columns.tolist() == columns
    answer = expected["atac"]
    assert found["cell"].tolist() == simulated["atac"].obs_names.tolist()
    assert found["label"].tolist() == answer.label.tolist()
    unknown = found["accepted_label"] == "unknown"
    assert unknown.tolist() == answer.unknown.tolist() and 0 < unknown.mean() < 1
    assert found["unknown"].tolist() == unknown.tolist()
    assert_close(found["confidence"], answer.confidence)
    assert_close(found["novelty"], answer.novelty)


def test_a_model_without_types_embeds(ask, without_types, simulated, tmp_path):
    simulated["rna"].write_h5ad(tmp_path / "in.h5ad")
    given = {"folder": without_types.version, "batch_size": 40}
    found = ask(tmp_path / "in.h5ad", **given)
    assert not [name for name in found.obs if name.startswith("scadv")]
    table = ask(tmp_path / "in.h5ad", output="out.csv", **given)
    assert table.columns.tolist() == ["cell", *(f"scadv_{i}" for i in range(1, 10))]
    np.testing.assert_allclose(table.to_numpy()[:, 1:].astype(float), found.obsm["X_scadv"])


def test_a_model_without_types_tells_of_cells_without_data(without_types, simulated, tmp_path):
    cells = simulated["rna"].copy()
    cells.X = sparse.csr_matrix(cells.X.toarray() * (np.arange(cells.n_obs) >= 9)[:, None])
    cells.write_h5ad(tmp_path / "in.h5ad")
    files = str(without_types.version), str(tmp_path / "in.h5ad"), "rna", str(tmp_path / "out.h5ad")
    summary = annotate_file(AnnotateConfig(*files))
    assert summary.empty == 9
    assert any(
        "9 of them are empty or nearly empty, and have a" in each for each in summary.lines()
    )


# What goes wrong leaves nothing, and an older output as it was.


def spoil_value(path):
    with h5py.File(path, "r+") as file:
        file["X/data"][-1] = -3


def spoil_file(path):
    path.write_bytes(path.read_bytes()[:-3000])


def spoil_index(path):
    with h5py.File(path, "r+") as file:
        file["X/indices"][-1] = 10_000


def spoil_obs(path):
    with h5py.File(path, "r+") as file:
        del file["obs"][file["obs"].attrs["_index"]]


def of_another_format(folder):
    path = folder / "assets" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))


FAULTS = {
    "a negative count in the last chunk": (spoil_value, None, {}, "negative values"),
    "a file that was cut short": (spoil_file, None, {}, "could not be read"),
    "a damaged index in the last chunk": (spoil_index, None, {}, "could not be read"),
    "a damaged table of cells": (spoil_obs, None, {}, "could not be read"),
    "no such input": (os.remove, None, {}, "the input does not exist"),
    "no such layer": (None, None, {"layer": "x"}, "has no x"),
    "no model": (None, shutil.rmtree, {}, "no exported model"),
    "another format": (None, of_another_format, {}, "another version of scadv_tf"),
    "another modality": (None, None, {"modality": "atac"}, "holds no ATAC features"),
}


@pytest.mark.parametrize("older", [True, False], ids=["older output", "no output"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_leaves_no_half_output(exported, ask, simulated, tmp_path, fault, older):
    on_input, on_model, settings, message = FAULTS[fault]
    path, folder = tmp_path / "in.h5ad", exported.version
    rna = simulated["rna"].copy()
    if settings.get("modality"):
        path = write_10x_h5(rna, path)
    else:
        rna.write_h5ad(path)
    if on_input:
        on_input(path)
    if on_model:
        folder = Path(shutil.copytree(folder, tmp_path / "1"))
        on_model(folder)
    if older:
        (tmp_path / "out.h5ad").write_text("older")
    before = sorted(entry.name for entry in tmp_path.iterdir())
    with pytest.raises(InputError, match=message):
        ask(path, folder=folder, batch_size=20, **settings)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == before
    assert not older or (tmp_path / "out.h5ad").read_text() == "older"


@pytest.mark.parametrize(
    "error, told",
    [
        (OSError(28, "No space left"), InputError),
        (RuntimeError("Can't write (errno = 28, 'No space left on device')"), InputError),  # HDF5
        (RuntimeError("of something else"), RuntimeError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_a_full_disk_other_errors_and_an_interrupt(
    ask, simulated, tmp_path, monkeypatch, error, told
):
    def fail(*arguments):
        raise error

    write_h5ad(sparse.csc_matrix)(simulated["rna"], tmp_path / "in.h5ad")
    if told is KeyboardInterrupt:
        monkeypatch.setattr(CellProgress, "update", fail)
    else:
        monkeypatch.setattr(annotated_files.AnnotatedH5ad, "write", fail)
    with pytest.raises(told) as caught:
        ask(tmp_path / "in.h5ad", output="new/folder/out.h5ad")
    assert told is not InputError or "No space left" in caught.value.received
    assert [entry.name for entry in tmp_path.iterdir()] == ["in.h5ad"]


@pytest.mark.parametrize("link", [False, True])
def test_the_output_is_not_the_input(exported, simulated, tmp_path, link):
    path = target = tmp_path / "in.h5ad"
    simulated["rna"].write_h5ad(path)
    if link:
        target = tmp_path / "link.h5ad"
        target.symlink_to(path)
    before = path.read_bytes()
    with pytest.raises(InputError, match="output is the input"):
        annotate_file(AnnotateConfig(str(exported.version), str(path), "rna", str(target)))
    assert path.read_bytes() == before
    cells = tmp_path / "cells.csv"
    cells.write_text("AAAC-1\n")
    with pytest.raises(InputError, match="output is the input"):
        annotate_file(
            AnnotateConfig(
                str(exported.version), str(path), "atac", str(cells), barcodes=str(cells)
            )
        )
    assert cells.read_text() == "AAAC-1\n"


@pytest.mark.parametrize(
    "output, message",
    [
        ("out.txt", "format of the output"),
        ("folder.h5ad", "output is a folder"),
        ("file/out.h5ad", "cannot be written"),
    ],
)
def test_an_output_that_cannot_be(exported, tmp_path, output, message):
    (tmp_path / "folder.h5ad").mkdir()
    (tmp_path / "file").touch()
    path = str(tmp_path / output)
    with pytest.raises(InputError, match=message):
        annotate_file(AnnotateConfig(str(exported.version), "in.h5ad", "rna", path))


# From outside.


def run(folder, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_the_program(exported, simulated, expected, tmp_path):
    """For one in a process of its own see test_main_job."""
    simulated["rna"].write_h5ad(tmp_path / "in.h5ad")
    model = f"--model={exported.version.parent}"
    flags = (model, "--input=in.h5ad", "--modality=rna", "--output=new/out.h5ad")
    done = run_here(start, tmp_path, *flags)
    assert done.returncode == 0, done.stderr
    assert_answer(anndata.read_h5ad(tmp_path / "new" / "out.h5ad"), expected["rna"])
    first, second, *types, last = done.stdout.splitlines()
    assert first.startswith("90 cells in ")
    number = expected["rna"].unknown.sum()
    assert second == f"{number} of them ({100 * number / 90:.1f} %) resemble no known type"
    found = {line.split()[0]: int(line.split()[1]) for line in types}
    assert found == pd.Series(expected["rna"].label).value_counts().to_dict()
    assert last.startswith("diagnosis: ")
    assert str(exported.version) in done.stderr and "output: new/out.h5ad" in done.stderr


GIVEN = ["--model=m", "--input=i", "--modality=rna", "--output=o.h5ad"]


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (GIVEN[1:], "--model is missing"),
        (GIVEN[:3], "--output is missing"),
        ([*GIVEN, "--modality=dna"], "no such modality"),
        ([*GIVEN, "--batch_size=0"], "batch_size is out of range"),
        ([*GIVEN, "word"], "words that are no flags"),
        (GIVEN, "no exported model"),
    ],
)
def test_bad_flags_get_one_clear_message(tmp_path, flags, text):
    done = run_here(start, tmp_path, *flags)
    assert done.returncode == 2 and text in done.stderr and "Traceback" not in done.stderr
    for part in ("error: ", "expected: ", "received: ", "what to do: "):
        assert done.stderr.count(part) == 1
    assert not list(tmp_path.iterdir())


def test_help_tells_all_flags(tmp_path):
    done = run(tmp_path, "-m", "scadv_tf.annotate", "--help")
    for name in ("model", "input", "modality", "output", "layer", "batch_size"):
        assert f"--{name}:" in done.stdout
    assert "rna or atac" in done.stdout and "obsm['X_scadv']" in done.stdout


def test_the_program_and_the_function_have_names_of_their_own():
    assert callable(scadv_tf.annotate_cells) and "annotate" not in dir(scadv_tf)


GROWTH = """
    import functools
    import sys

    from scadv_tf.annotate import annotate_file
    from scadv_tf.labelling import AnnotateConfig
    from scadv_tf.memory import peak_memory_mb
    from scadv_tf.client import exported

    # Loaded once, since it is its number of cells that is looked at.
    exported.ExportedModel = functools.cache(exported.ExportedModel)
    model, *sources = sys.argv[1:]
    for source in sources:
        annotate_file(AnnotateConfig(model, source, "rna", "out.h5ad"))
        print(peak_memory_mb())
    ours = [name for name in sys.modules if name.startswith(("scadv_tf.models", "tf_keras"))]
    print(len(ours))
"""


def write_in_pieces(path, cells, genes, features=300, piece=1000):
    """A file of counts that never is in memory: every feature of every cell has one."""
    empty = AnnData(
        sparse.csr_matrix((0, features), dtype=np.float32),
        var=pd.DataFrame(index=[*genes, *(f"other{i}" for i in range(features - len(genes)))]),
    )
    empty.write_h5ad(path)
    random = np.random.default_rng(0)
    with h5py.File(path, "r+") as file:
        matrix, obs = file["X"], file["obs"]
        for name in ("data", "indices", "indptr"):
            del matrix[name]
        del obs["_index"]
        matrix.attrs["shape"] = np.array([cells, features])
        matrix["indptr"] = np.arange(0, cells * features + 1, features)
        data = matrix.create_dataset("data", cells * features, dtype="f4")
        indices = matrix.create_dataset("indices", cells * features, dtype="i4")
        names = obs.create_dataset("_index", cells, dtype=h5py.string_dtype())
        for start in range(0, cells, piece):
            part = slice(start * features, (start + piece) * features)
            data[part] = random.poisson(2, piece * features) + 1
            indices[part] = np.tile(np.arange(features), piece)
            names[start : start + piece] = [f"cell{i}" for i in range(start, start + piece)]
    return str(path)


def test_memory_does_not_grow_with_the_number_of_cells(exported, model, tmp_path):
    """The larger file holds 36 MB of counts more than the smaller one."""
    sources = [
        write_in_pieces(tmp_path / f"{cells}.h5ad", cells, model.genes) for cells in (2_000, 17_000)
    ]
    program = tmp_path / "growth.py"
    program.write_text(textwrap.dedent(GROWTH))
    done = run(tmp_path, str(program), str(exported.version), *sources)
    assert done.returncode == 0, done.stderr
    small, large, ours = map(float, done.stdout.split())
    assert large - small < 15
    assert ours == 0  # no training code is needed
    assert anndata.read_h5ad(tmp_path / "out.h5ad").n_obs == 17_000
