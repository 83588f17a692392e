"""The benchmark programs run, and say what their docstrings promise, on a tiny simulated tissue."""

from __future__ import annotations

import functools
import json
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import anndata
import numpy as np
import pytest
from forked import finished
from in_process import run_here
from one_model import set_back

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parent / "benchmarks"
# Small networks, and no adversary: half as many losses take half as long to trace.
SMALL = ["--encoder_sizes=32,16", "--generator_sizes=8", "--modality_adversarial=0"]
TINY = ["--dataset=synthetic", "--synthetic_cells=90", "--synthetic_difficulty=0", "--epochs=2"]
TINY += SMALL
STAGES = {"read", "preprocess", "train", "umap", "score", "export", "write"}


def lines_of(program: str, *flags: str, job: list[str] = TINY, apart: bool = False) -> list[dict]:
    """What a program prints; `apart` where it looks at its memory or hands on its pipes."""
    if apart:
        done = finished(FOLDER, *job, *flags, program=FOLDER / program)
    else:
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(str(FOLDER))
            script = functools.partial(runpy.run_path, str(FOLDER / program), None, "__main__")
            done = run_here(script, FOLDER, *job, *flags)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def of_any_seed(*shape_and_config):
    """The model of the first seed for each: that of its shape and losses is traced once."""
    *shape, config = shape_and_config
    return set_back(*shape, replace(config, training=replace(config.training, seed=0)))


def test_bench_settings_prints_a_line_a_run_and_a_summary_a_variation(monkeypatch):
    monkeypatch.setattr("scadv_tf.fitting.new_model", of_any_seed)
    only_labels = "centroid=0 align_latent=false"
    job = [*TINY, "--variable_genes=500"]  # the same number at each seed
    given = "--seeds=2", "--vary=", f"--vary={only_labels}"
    found = lines_of("bench_settings.py", *given, job=job)
    assert [line.get("seed") for line in found] == [0, 1, None, 0, 1, None]
    first = found[0]["label_transfer"]["macro_f1"], found[1]["label_transfer"]["macro_f1"]
    mean, spread = found[2]["mean_and_spread"]["macro_f1"]
    assert abs(mean - sum(first) / 2) < 1e-3 and abs(spread - abs(first[0] - first[1]) / 2) < 1e-3
    # The variation must really change the run.
    assert found[0]["modality_mixing"] != found[3]["modality_mixing"]


def test_bench_shift_prints_a_line_a_row_and_takes_up_what_is_finished(tmp_path):
    given = ["--rows=none,atac_half", "--systems=linear,svm", "--seeds=1", "--noapart"]
    given.append(f"--output_dir={tmp_path}")
    found = lines_of("bench_shift.py", *given)
    rows, systems = ["none", "atac_half_5%"], ["linear", "svm"]
    assert [(line["row"], line.get("system")) for line in found] == [
        (row, system) for row in rows for system in (*systems, None)
    ]
    assert found[0]["atac_cells"] == 90 > found[3]["atac_cells"]
    assert found[0]["rna_cells"] == found[3]["rna_cells"] == 90
    assert found[2]["mean_macro_f1"] == {s: found[i]["macro_f1"] for i, s in enumerate(systems)}
    table = (tmp_path / "table.md").read_text(encoding="utf-8").splitlines()
    first = [line.split("|")[1].strip() for line in table if line.startswith("|")]
    assert first == ["perturbation", "-" * len("perturbation"), *rows, "worst", "mean"]
    content = json.loads((tmp_path / "shift.json").read_text(encoding="utf-8"))
    assert len(content["rows"]) == 4 and content["rows"][0]["silhouette_umap"] is None
    # The seconds are the same to the hundredth: nothing ran again.
    assert lines_of("bench_shift.py", *given) == found


def test_bench_shift_has_other_rows_in_place_of_the_grid_and_parts_count_as_their_type(tmp_path):
    given = ["--odd", "--lineages", "--rows=rna_split,atac_only", "--systems=guess", "--seeds=1"]
    found = lines_of("bench_shift.py", *given, "--noapart", f"--output_dir={tmp_path}")
    names = list(dict.fromkeys(line["row"] for line in found))
    assert names[-1] == "rna_split_4" and {name[:10] for name in names[:-1]} == {"atac_only:"}
    split = found[-2]
    # Of parts of a type that are drawn at random, a quarter can be named rightly.
    assert split["accuracy"] > 0.5 and split["types_gone"] == []


def test_bench_modalities_prints_a_line_a_system_and_the_means():
    found = lines_of("bench_modalities.py", "--modalities=protein", "--systems=guess", job=[])
    assert [(line["modality"], line.get("system")) for line in found] == [
        ("protein", "guess"), ("protein", None)
    ]  # fmt: skip
    assert found[0]["genes"] == 24 and found[0]["macro_f1"] > 0.6
    assert found[1]["mean"]["accuracy"]["guess"] == round(found[0]["accuracy"], 3)
    assert len(found[0]["confused"]) == 4


def test_bench_new_cells_compares_trained_and_new_cells():
    found = lines_of("bench_new_cells.py", "--seeds=1")
    scores = found[0]["macro_f1"]
    names = {"trained_atac", "new_atac_by_genes", "new_atac_by_peaks", "new_rna"}
    assert set(scores) == names
    assert found[-1]["mean_macro_f1"] == scores


def test_bench_start_tells_of_help_the_first_step_and_imports():
    found = lines_of("bench_start.py", "--runs=1", "--libraries=numpy,pandas")
    assert [line["what"] for line in found] == ["help"] * 3 + ["first_step", "imports"]
    assert {line["program"] for line in found[:3]} == {
        "train_main.py", "scadv_tf.compare", "scadv_tf.annotate"
    }  # fmt: skip
    parts = found[3]["parts"]
    assert list(parts)[0] == "program" and list(parts)[-2:] == ["build", "trace"]
    assert {"read", "start", "preprocess"} < set(parts) and min(parts.values()) > 0
    assert sum(parts.values()) == pytest.approx(found[3]["seconds"], abs=0.1)
    assert found[4]["modules"].keys() == {"numpy", "pandas"}
    assert min(found[4]["modules"].values()) > 0


@pytest.fixture
def job_once(monkeypatch):
    """Forks the main job of the benchmarks, and once for the same flags; a dictionary of these."""
    monkeypatch.syspath_prepend(str(FOLDER))
    import main_job

    ran = {}

    def run(words, stdout):
        _, _, *flags, output, export = map(str, words)
        results = Path(output.removeprefix("--output_dir="))
        if tuple(flags) in ran:
            results.mkdir(parents=True)
            for name, content in ran[tuple(flags)].items():
                (results / name).write_bytes(content)
            return subprocess.CompletedProcess(words, 0)
        done = finished(FOLDER, *flags, output, export)
        assert done.returncode == 0, done.stderr[-2000:]
        kept = "metrics.json", "history.csv"
        ran[tuple(flags)] = {name: (results / name).read_bytes() for name in kept}
        return done

    monkeypatch.setattr(main_job, "subprocess", SimpleNamespace(run=run))
    return ran


def test_bench_scale_and_bench_stages_tell_of_a_job(tmp_path, job_once):
    given = ["--cells=100", "--genes=100", "--epochs=2", f"--folder={tmp_path}"]
    job = [*SMALL, "--min_shared_genes=50", "--nobalance"]
    (line,) = lines_of("bench_scale.py", *given, job=job)
    assert line["cells"] == line["genes"] == 100
    assert line["cells_per_second"] == pytest.approx(200 / line["seconds"], rel=0.02)
    assert line["stage_seconds"].keys() == line["stage_memory_mb"].keys() >= STAGES
    assert line["seconds"] < line["stage_seconds"]["train"]
    assert line["peak_memory_trained_mb"] == line["stage_memory_mb"]["train"]
    assert line["peak_memory_mb"] == max(line["stage_memory_mb"].values())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["atac_100.h5ad", "rna_100.h5ad"]
    (flags,) = job_once
    *found, whole = lines_of("bench_stages.py", job=flags)
    assert {line["stage"] for line in found} >= STAGES and whole["stage"] == "all"
    assert {line["stage"]: line["seconds"] for line in found} == line["stage_seconds"]
    (train,) = [line for line in found if line["stage"] == "train"]
    assert 0 < train["steps_seconds"] < train["seconds"] and train["ratio_to_steps"] > 1
    peaks = np.array([line["peak_memory_mb"] for line in [*found, whole]])
    held = np.array([line["memory_mb"] for line in found])
    rough = 10  # megabytes that the kernel's account may be wrong by
    assert (np.diff(peaks) > -rough).all() and (held < peaks[:-1] + rough).all()
    assert peaks[0] < peaks[-1] == peaks.max()
    assert whole["seconds"] == pytest.approx(sum(line["seconds"] for line in found), abs=0.01)


def test_ratios_of_the_costs_of_more_cells(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    from bench_scale import ratios

    few = {"cells": 100, "cells_per_second": 50, "peak_memory_mb": 1000.0}
    many = {"cells": 1000, "cells_per_second": 40, "peak_memory_mb": 1200.0}
    found = ratios(few, many)
    assert found == {"cells": [100, 1000], "cost_a_cell_ratio": 1.25, "peak_memory_ratio": 1.2}


@pytest.fixture
def scale_files(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import scale_files

    return scale_files


def test_simulated_files_are_written_in_blocks_and_used_again(scale_files, tmp_path, monkeypatch):
    monkeypatch.setattr("scadv_tf.data.synthetic._CELLS_AT_ONCE", 300)
    paths = scale_files.write_pair(tmp_path, 1000, 400)
    rna, atac = (anndata.read_h5ad(paths[modality]) for modality in ("rna", "atac"))
    assert list(rna.var_names) == list(atac.var_names) and rna.obs_names.is_unique
    for cells in (rna, atac):
        counts = cells.X
        assert cells.shape == (1000, 400) and counts.dtype == np.float32
        assert 0.08 < counts.nnz / 400_000 < 0.13
        assert np.array_equal(counts.data, counts.data.round()) and counts.data.min() >= 1
        assert (
            set(cells.obs["cell_type"]) == set(rna.obs["cell_type"]) and not counts[999:].nnz == 0
        )
    times = [path.stat().st_mtime_ns for path in paths.values()]
    scale_files.write_pair(tmp_path, 1000, 400)
    assert [path.stat().st_mtime_ns for path in paths.values()] == times
    scale_files.write_pair(tmp_path, 1000, 401)
    assert anndata.read_h5ad(paths["rna"]).shape == (1000, 401)


def test_simulated_types_are_alike_in_both_modalities_and_in_files_of_any_length(
    scale_files, tmp_path
):
    def profiles(path) -> np.ndarray:
        cells = anndata.read_h5ad(path)
        types = cells.obs["cell_type"].to_numpy()
        sums = np.stack([cells.X[types == name].sum(axis=0).A1 for name in sorted(set(types))])
        logs = np.log(sums / sums.sum(axis=1, keepdims=True) + 1e-4)
        return logs - logs.mean(axis=0)

    def own_is_nearest(first: np.ndarray, second: np.ndarray) -> float:
        alike = np.corrcoef(first, second)[:12, 12:]
        return np.mean(alike.argmax(axis=1) == np.arange(12))

    short, long = (scale_files.write_pair(tmp_path, cells, 300) for cells in (2000, 3000))
    assert own_is_nearest(profiles(long["rna"]), profiles(short["rna"])) == 1
    assert own_is_nearest(profiles(long["rna"]), profiles(long["atac"])) > 0.8


def test_bench_steps_prints_a_line_a_phase():
    found = lines_of(
        "bench_steps.py", "--genes=40", "--batch=8", "--projection=6", "--repeats=2", job=[]
    )
    assert [line["phase"] for line in found] == ["representation", "alignment"]
    for line in found:
        assert line["ratio"] == pytest.approx(line["ms"] / line["floor_ms"], rel=0.02, abs=0.02)


def test_bench_steps_compares_steps_with_and_without_the_check():
    flags = "--genes=40", "--batch=8", "--projection=6", "--repeats=2", "--check"
    found = lines_of("bench_steps.py", *flags, job=[])
    assert [line["phase"] for line in found] == ["representation", "alignment"]
    for line in found:
        expected = line["ten_steps_ms"] / line["unchecked_ms"]
        assert line["ratio"] == pytest.approx(expected, rel=0.02, abs=0.02)


def test_the_floor_has_the_products_of_dense_layers():
    """Two layers by hand: forward, to the weights, and to the inputs of all but the first."""
    sys.path.insert(0, str(FOLDER))
    from bench_steps import Products

    found = Products()
    found.network(8, [5, 7, 3], to_inputs=False)
    assert found.shapes == [(8, 5, 7), (5, 8, 7), (8, 7, 3), (7, 8, 3), (8, 3, 7)]
    learned, fixed = Products(), Products()
    learned.dense(8, 5, 7)
    assert learned.shapes == [(8, 5, 7), (5, 8, 7), (8, 7, 5)]
    fixed.network(8, [5, 7, 3], train=False, to_inputs=False)
    assert fixed.shapes == [(8, 5, 7), (8, 7, 3)]


def test_bench_fragments_counts_them_and_says_how_fast():
    (found,) = lines_of("bench_fragments.py", "--fragments=20000", "--rounds=1", job=[], apart=True)
    assert found["fragments"] == 20_000 and found["cells"] > 1000 and found["counts"] > 100
    rate = found["fragments"] / (found["read"] + found["count"])
    assert abs(found["fragments_a_second"] / rate - 1) < 0.1
    # What the libraries take depends on the process that it was forked from.
    assert 0 <= found["peak_memory_mb"] - found["memory_before_mb"] < 250


def test_crossed_pairs_have_the_groups_that_both_sides_know(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import crossed_pairs

    for path, column, names in (
        ("pbmc/rna", "cell_type", ["FCGR3A+ Mono", "CD8 T", "NK"]),
        ("pbmc/atac_peaks", "cell_type_broad", ["T/NK", "B", "Myeloid"]),
        ("pbmc_nuclei/rna", "cell_type", ["CD8 Naive", "cDC", "Memory B"]),
        ("pbmc_nuclei/atac_gene_activity", "cell_type", ["CD8 Naive", "CD8 TEM_1", "pDC"]),
        ("bone_marrow/atac_peaks", "cell_type", ["B", "novel: 01_HSC", "NK"]),
    ):
        file = (tmp_path / "data" / path).with_suffix(".h5ad")
        file.parent.mkdir(parents=True, exist_ok=True)
        cells = anndata.AnnData(np.ones((3, 2), np.float32))
        cells.obs[column] = names
        cells.write_h5ad(file)
    crossed_pairs.write_pairs(tmp_path / "data", tmp_path / "pairs")
    found = {
        path.stem: anndata.read_h5ad(path).obs["group"].tolist()
        for path in (tmp_path / "pairs").iterdir()
    }
    assert found == {
        "nuclei_pbmc_rna": ["T/NK", "Myeloid", "B"],
        "nuclei_pbmc_atac": ["T/NK", "B", "Myeloid"],
        "nuclei_marrow_rna": ["CD8 T", "DC", "B"],
        "nuclei_marrow_atac": ["B", "NK"],
        "pbmc_nuclei_rna": ["CD16 Mono", "CD8 T", "NK"],
        "pbmc_nuclei_atac": ["", "CD8 T", ""],
    }
