"""Which rows of a comparison run and which are kept; the systems themselves are stand-ins."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from scadv_tf.comparison.contestant import given_to
from scadv_tf.comparison.rows import MEASURES, RowRunner, failed_row
from scadv_tf.comparison.run import at_seed, run, run_rows
from scadv_tf.comparison.store import Row, RowStore
from scadv_tf.comparison.systems import ComparisonConfig, settings_of
from scadv_tf.config import DataConfig, OutputConfig, RunConfig
from scadv_tf.errors import InputError

CHOSEN = ComparisonConfig(systems=("ce", "harmony", "svm"), seeds=2)
ALL = [("ce", 5), ("harmony", 5), ("svm", 5), ("ce", 6), ("harmony", 6)]


class StandIn:
    """Runs nothing: notes what was asked for, fails or is interrupted where told to."""

    asked: list[tuple[str, int]] = []
    fails: tuple[str, ...] = ()
    interrupted_at: tuple[str, int] | None = None

    def __init__(self, data, truth):
        pass

    def run(self, system, config):
        seed = config.training.seed
        if (system, seed) == self.interrupted_at:
            raise KeyboardInterrupt
        self.asked.append((system, seed))
        if system in self.fails:
            return failed_row(system, seed, "it failed\n  expected: more")
        content = {"system": system, "seed": seed, "error": None} | dict.fromkeys(MEASURES)
        content |= {"modality_mixing": seed / 10, "seconds": {"total": 1.0}}
        return Row(content, np.array(["A1", "B"]), np.full((4, 2), seed, np.float32), np.ones(3))


@pytest.fixture
def stand_in(monkeypatch):
    fresh = type("Fresh", (StandIn,), {"asked": []})
    monkeypatch.setattr("scadv_tf.comparison.run.RowRunner", fresh)
    return fresh


@pytest.fixture
def compare(cells, stand_in, tmp_path):
    """A function (changes of the flags) -> (what ran, rows) in one folder."""

    def run(chosen=CHOSEN, **sections):
        config = RunConfig(data=DataConfig(dataset="synthetic"), **sections)
        stand_in.asked.clear()
        seeds = [at_seed(config, 5 + i) for i in range(chosen.seeds)]
        rows, _ = run_rows(*cells, chosen, seeds, tmp_path)
        return list(stand_in.asked), rows

    return run


def written(folder) -> dict:
    return json.loads((folder / "comparison.json").read_text(encoding="utf-8"))


def test_all_systems_run_at_a_seed_before_the_next_and_what_draws_nothing_once(compare, tmp_path):
    assert compare()[0] == ALL
    found = written(tmp_path)
    assert found["systems"] == ["ce", "harmony", "svm"] and found["seeds"] == [5, 6]
    assert found["first_seed_only"] == ["svm"]
    assert [(row["system"], row["seed"]) for row in found["rows"]] == sorted(ALL)
    assert found["summary"]["ce"]["modality_mixing"]["mean"] == pytest.approx(0.55)


def test_finished_rows_are_taken_up_as_they_were(compare):
    _, first = compare()
    asked, second = compare()
    assert asked == []
    for before, after in zip(first, second, strict=True):
        assert before.content == after.content
        for name in ("predicted", "umap", "macro_f1"):
            np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
            assert getattr(before, name).dtype == getattr(after, name).dtype


@pytest.mark.parametrize("name", ["report.html", "comparison.json"])
def test_files_that_no_comparison_has_written_stay(tmp_path, name):
    """Such as the report of a run, in whose folder a comparison would be written."""
    (tmp_path / name).write_text("{}")
    config = RunConfig.of(dataset="synthetic", output_dir=str(tmp_path))
    with pytest.raises(InputError, match=f"other files(.|\n)*holds {name}, and no comparison"):
        run(config, ComparisonConfig(systems=("svm",)))
    assert (tmp_path / name).read_text() == "{}" and len([*tmp_path.iterdir()]) == 1


def test_rerun_forgets_the_rows_asked_for_and_no_others(compare):
    compare()
    only = ComparisonConfig(systems=("harmony",), seeds=1, rerun=True)
    assert compare(only)[0] == [("harmony", 5)]
    assert compare()[0] == []


def test_a_changed_setting_reruns_the_systems_that_read_it(compare):
    compare()
    training = dataclasses.replace(RunConfig().training, epochs=3)
    assert compare(training=training)[0] == [("ce", 5), ("ce", 6)]
    preprocessing = dataclasses.replace(RunConfig().preprocessing, variable_genes=99)
    assert compare(training=training, preprocessing=preprocessing)[0] == ALL
    output = OutputConfig(output_dir="elsewhere")
    assert compare(training=training, preprocessing=preprocessing, output=output)[0] == []


def test_a_failed_row_is_told_keeps_the_rest_and_runs_again(compare, stand_in, tmp_path):
    stand_in.fails = ("harmony",)
    _, rows = compare()
    assert len(rows) == len(ALL)
    found = written(tmp_path)
    errors = {row["system"]: row["error"] for row in found["rows"]}
    assert errors == {"ce": None, "harmony": "it failed\n  expected: more", "svm": None}
    assert found["summary"]["harmony"]["rows"] == 0
    stand_in.fails = ()
    assert compare()[0] == [("harmony", 5), ("harmony", 6)]


def test_settings_that_no_system_can_run_with_fail_its_row_alone(compare):
    loss = dataclasses.replace(RunConfig().loss, cross_entropy=0.0)
    asked, rows = compare(loss=loss)
    assert asked == [row for row in ALL if row[0] != "ce"]
    assert "No loss has a weight" in rows[0].content["error"]


def test_an_interrupted_comparison_goes_on_where_it_was(compare, stand_in, tmp_path):
    stand_in.interrupted_at = ("svm", 5)
    with pytest.raises(KeyboardInterrupt):
        compare()
    assert [row["system"] for row in written(tmp_path)["rows"]] == ["ce", "harmony"]
    stand_in.interrupted_at = None
    assert compare()[0] == ALL[2:]


@pytest.mark.parametrize("suffix", ["json", "npz"])
@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_a_damaged_row_runs_again(compare, tmp_path, suffix, damage):
    compare()
    path = tmp_path / "rows" / f"harmony_seed6.{suffix}"
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-30] if damage == "cut" else b"[]")
    assert compare()[0] == [("harmony", 6)]


def test_a_row_is_refused_if_it_would_have_to_be_unpickled(tmp_path):
    store = RowStore(tmp_path)
    content = {"system": "svm", "seed": 0, "fingerprint": "f"}
    store.write(Row(content, np.array(["A", None], dtype=object)))
    assert store.read("svm", 0, "f") is None


@pytest.mark.parametrize("system", ["scadv", "seurat", "harmony"])
def test_no_system_gets_a_known_label_of_atac(cells, system):
    data, truth = cells
    assert "cell_type" in data.atac_obs  # what must not be handed over
    given = given_to(system, data, None)
    assert given.raw is None or (given.raw.atac_obs.shape[1], given.raw.rna_obs.shape[1]) == (0, 0)
    assert not any(part is truth for part in vars(given).values())


@pytest.mark.slow
def test_a_runner_without_a_umap_leaves_out_its_silhouette_and_nothing_else(cells, monkeypatch):
    monkeypatch.setattr("scadv_tf.comparison.rows.umap_2d", None)  # whoever calls it fails
    config = settings_of("linear", RunConfig())
    row = RowRunner(*cells, umap=False).run("linear", config)
    assert row.content["error"] is None and row.umap is None
    assert row.content["silhouette_umap"] is None and row.content["seconds"]["umap"] == 0
    for name in ("label_transfer", "silhouette_latent", "modality_mixing", "calibration_error"):
        assert row.content[name] is not None
    assert "TypeError" in RowRunner(*cells).run("linear", config).content["error"]


def test_where_preprocessing_draws_cells_each_seed_counts(compare, monkeypatch):
    monkeypatch.setattr("scadv_tf.comparison.run.TAUGHT_CELLS", 10)
    asked, _ = compare()
    assert asked == [*ALL, ("svm", 6)]
