"""What the main job makes of its configuration, and what says that it is done."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from left_out import without_export, without_pictures

from scadv_tf import training
from scadv_tf.config import DataConfig, OutputConfig, RunConfig
from scadv_tf.data.synthetic import simulate
from scadv_tf.errors import InputError
from scadv_tf.progress import Stages
from scadv_tf.result_folder import check_what_stands
from scadv_tf.training import dataset_name, read, run


@pytest.fixture
def files(tmp_path):
    rna, peaks, genes = simulate(cells=60, genes=120, types=3, difficulty=0.0, seed=0)
    genes[["chrom", "start", "end", "gene"]].to_csv(
        tmp_path / "genes.bed", sep="\t", header=False, index=False
    )
    peaks.obs["none"] = np.repeat("", peaks.n_obs)
    rna.write_h5ad(tmp_path / "rna.h5ad")
    peaks.write_h5ad(tmp_path / "atac.h5ad")
    names = {"rna": "rna.h5ad", "atac": "atac.h5ad", "genes": "genes.bed"}
    return {name: str(tmp_path / file) for name, file in names.items()}


def test_known_atac_labels_are_read_apart_from_the_cells(files):
    data, truth = read(RunConfig(data=DataConfig(**files)))
    assert len(truth.labels) == data.atac.shape[0]
    assert data.peaks is not None


def test_an_empty_label_column_is_no_truth(files):
    _, truth = read(RunConfig(data=DataConfig(**files, atac_label_key="none")))
    assert truth is None


def test_labels_of_cells_without_data_alone_score_nothing(files):
    everything = read(RunConfig(data=DataConfig(**files)))
    labelled = everything[1].labels == everything[1].names[0]
    with_data = {"rna": np.ones(60, bool), "atac": ~labelled}
    truth = dataclasses.replace(everything[1], labels=np.where(labelled, everything[1].labels, ""))
    for kept, known in ((with_data, False), (dict.fromkeys(with_data, np.ones(60, bool)), True)):
        _, found = training._of_cells(SimpleNamespace(with_data=kept), everything[0], truth)
        assert (found is not None) == known


def test_a_name_of_their_own_for_the_users_files(files):
    config = RunConfig(data=DataConfig(**files, dataset="my_tissue"))
    assert dataset_name(config.data) == "my_tissue"
    assert len(read(config)[0].types) == 3


def test_no_data_set_at_all_is_refused():
    with pytest.raises(InputError, match="No data set was named"):
        dataset_name(DataConfig())


def former_run(folder: Path, **settings) -> None:
    """Leaves a folder as a run does, as far as the next one asks."""
    folder.mkdir()
    (folder / "config.json").write_text(RunConfig.of(**settings).to_json())
    (folder / "metrics.json").write_text("{}")


class Interrupted(Exception):
    """What ends a run in the middle."""


@pytest.mark.slow
def test_what_says_done_goes_first_and_comes_last(tmp_path, monkeypatch):
    config = RunConfig.of(
        dataset="synthetic",
        synthetic_cells=150,
        epochs=1,
        encoder_sizes=(16,),
        modality_adversarial=0.0,
        output_dir=str(tmp_path / "run"),
        export_dir=str(tmp_path / "model"),
    )
    done = tmp_path / "run" / "metrics.json"
    former_run(done.parent)
    write_results, seen = training.write_results, []

    def interrupted(*given):
        seen.append(done.exists())
        write_results(*given)
        seen.append(done.exists())
        raise Interrupted

    monkeypatch.setattr(training, "write_results", interrupted)
    without_pictures(monkeypatch)
    without_export(monkeypatch)
    with pytest.raises(Interrupted):
        run(config)
    assert seen == [False, False] and not done.exists()


def test_keras_by_another_library_is_told(monkeypatch):
    other = SimpleNamespace(config=SimpleNamespace(backend=lambda: "torch"))
    monkeypatch.setitem(sys.modules, "keras", other)
    with pytest.raises(InputError, match=r"another library(.|\n)*received: torch"):
        training.start_tensorflow(RunConfig(), Stages())


def test_a_run_that_is_refused_leaves_the_results_of_the_last(tmp_path):
    folder = tmp_path / "run"
    former_run(folder)
    data = DataConfig(rna="no.h5ad", atac="no.h5ad")
    with pytest.raises(InputError, match="does not exist"):
        run(RunConfig(data=data, output=OutputConfig(output_dir=str(folder))))
    assert {path.name for path in folder.iterdir()} == {"config.json", "metrics.json"}


@pytest.mark.parametrize("name", ["config.json", "metrics.json", "report.html", "predictions.csv"])
def test_files_that_no_run_has_written_stay(tmp_path, name):
    """Such as those of another program, where --output_dir=. is given."""
    (tmp_path / name).write_text('{"name": "of the user"}')
    config = RunConfig.of(dataset="synthetic", output_dir=str(tmp_path))
    with pytest.raises(InputError, match=rf"other files(.|\n)*holds {name}, and no config"):
        run(config)
    assert (tmp_path / name).read_text() == '{"name": "of the user"}'


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ({"rna": "a.h5ad", "atac": "b.h5ad"}, {"rna": "a.h5ad", "atac": "c.h5ad"}, "--atac"),
        ({"rna": "a.h5ad", "atac": "b.h5ad"}, {"rna": "./a.h5ad", "atac": "../{}/b.h5ad"}, ""),
        (
            {"dataset": "pbmc"},
            {"rna": "a.h5ad", "atac": "b.h5ad"},
            "--dataset and --rna and --atac",
        ),
        ({"atac": "b.h5ad,c.h5ad"}, {"atac": "b.h5ad, ./c.h5ad"}, ""),
        ({"atac": "b.h5ad,c.h5ad"}, {"atac": "b.h5ad"}, "--atac"),
    ],
)
def test_results_of_other_cells_do_not_go_without_a_word(
    tmp_path, monkeypatch, caplog, before, now, told
):
    monkeypatch.chdir(tmp_path)
    now = {name: path.format(tmp_path.name) for name, path in now.items()}
    former_run(tmp_path / "run", **before)
    check_what_stands(DataConfig(**now), tmp_path / "run")
    words = [record.getMessage() for record in caplog.records]
    assert [f"another {told}:" in text for text in words] == ([True] if told else [])


@pytest.mark.parametrize(
    ("setting", "name", "given"),
    [
        ("rna", "integrated.h5ad", "{}"),
        ("atac", "integrated.h5ad", "other.h5ad, {}"),
        ("atac_labels", "predictions.csv", "{}"),
    ],
)
@pytest.mark.parametrize("linked", [True, False])
def test_no_result_takes_the_place_of_an_input(tmp_path, setting, name, given, linked):
    """Such as a result of a former run, or one that another program has called so."""
    folder, link = tmp_path / "run", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder)
    path = folder / name
    path.write_bytes(b"of the user")
    (tmp_path / "other.h5ad").touch()
    config = RunConfig.of(
        output_dir=str(link if linked else folder),
        **{"rna": "rna.h5ad", "atac": "atac.h5ad", setting: given.format(path)},
    )
    with pytest.raises(InputError, match=rf"place of an input(.|\n)*--{setting}=.*{name}"):
        run(config)
    assert path.read_bytes() == b"of the user" and [*folder.iterdir()] == [path]


def test_versions_that_are_used_up_are_told_before_any_work(tmp_path):
    (tmp_path / "model" / str(2**63 - 1)).mkdir(parents=True)
    output = OutputConfig(output_dir=str(tmp_path / "run"), export_dir=str(tmp_path / "model"))
    with pytest.raises(InputError, match="no version left"):
        run(RunConfig(data=DataConfig(dataset="synthetic"), output=output))
    assert not (tmp_path / "run").exists()
