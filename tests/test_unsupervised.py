"""The unsupervised mode: one joint embedding without labels, and nothing that is made up."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace

import anndata
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from absl import flags
from one_model import fit_alike

from scadv_tf import flags as scadv_flags
from scadv_tf import training
from scadv_tf.annotation import annotate_cells
from scadv_tf.comparison.run import run as compare
from scadv_tf.comparison.systems import ComparisonConfig
from scadv_tf.config import DataConfig, LossConfig, RunConfig, TrainingConfig
from scadv_tf.data import preprocessing
from scadv_tf.data.pairing import pair
from scadv_tf.data.synthetic import simulate
from scadv_tf.errors import InputError
from scadv_tf.evaluation.findings import Evidence, findings
from scadv_tf.evaluation.metrics import modality_mixing, silhouette
from scadv_tf.modes import UNSUPERVISED
from scadv_tf.run_figures import write_figures
from scadv_tf.scoring import known_types, score

RNA_CELLS, ATAC_CELLS = 300, 260
MODE = TrainingConfig(mode="unsupervised", **UNSUPERVISED["training"])
LABEL_LOSSES = ("cross_entropy", "interpolation", "centroid", "center")
SCORES_OF_LABELS = ("label_transfer", "classifier", "svm", "knn", "calibration_error")
SCORES_OF_LABELS += ("unknown_share", "accuracy_of_known")


# Settings.


FEW = {"neighbors": 8, "lsi_size": 4, "projection_size": 12, "encoder_sizes": (32, 16)}
FEW |= {"modality_discriminator_sizes": (8,), "atac_discriminator_sizes": (16,)}
FEW |= {"generator_sizes": (16,)}
CHOSEN = {name: value for values in UNSUPERVISED.values() for name, value in values.items()}


def flat(config: RunConfig) -> dict:
    return {name: value for values in config.to_dict().values() for name, value in values.items()}


def by_flags(**settings) -> RunConfig:
    values = flags.FlagValues()
    scadv_flags.define(values)
    values(["program", *(f"--{name}={value}" for name, value in settings.items())])
    return scadv_flags.to_config(values)


BY_NAME = pytest.mark.parametrize("make", [RunConfig.of, by_flags], ids=["python", "flags"])


def test_losses_that_need_labels_are_gone_and_those_of_both_modalities_are_there():
    loss = RunConfig(training=MODE).loss
    assert all(getattr(loss, name) == 0 for name in LABEL_LOSSES)
    assert loss.contrastive > 0 and loss.contrastive_rna > 0
    assert loss.modality_adversarial == LossConfig().modality_adversarial > 0
    # Without labels, the generator's losses are on; with them, they are not.
    for name in ("atac_adversarial", "cycle"):
        assert getattr(loss, name) == UNSUPERVISED["loss"][name] > getattr(LossConfig(), name) == 0


@BY_NAME
def test_the_mode_has_defaults_of_its_own_and_no_more(make):
    usual, found = flat(make()), flat(make(mode="unsupervised"))
    changed = {name: value for name, value in found.items() if value != usual[name]}
    gone = {name: 0.0 for name in LABEL_LOSSES if usual[name]}
    assert changed == {"mode": "unsupervised", **CHOSEN, **gone}
    assert make(mode="unsupervised") == RunConfig(training=MODE)


@BY_NAME
@pytest.mark.parametrize("name", CHOSEN)
def test_a_given_setting_wins_also_where_it_is_the_other_modes_default(make, name):
    usual = flat(RunConfig())[name]
    found = flat(make(mode="unsupervised", **{name: usual}))
    assert found[name] == usual != CHOSEN[name]
    assert found == flat(RunConfig(training=MODE)) | {name: usual}


def test_a_section_that_is_given_stays_as_it_is_but_for_losses_that_need_labels():
    chosen = LossConfig(noise=0.7, cycle=0.0, cross_entropy=2.0)
    config = RunConfig(loss=chosen, training=MODE)
    assert config.loss == dataclasses.replace(chosen, **dict.fromkeys(LABEL_LOSSES, 0.0))
    assert config.loss.contrastive == LossConfig().contrastive
    assert config.preprocessing == RunConfig(training=MODE).preprocessing


def test_a_finished_run_is_read_with_the_settings_it_had():
    config = RunConfig.of(mode="unsupervised", contrastive=0.01, smoothing_hops=2)
    assert RunConfig.from_json(config.to_json()) == config
    assert dataclasses.replace(config) == config == RunConfig(**vars(config))


def test_a_setting_that_does_not_exist_is_named():
    with pytest.raises(InputError, match="does not exist") as caught:
        RunConfig.of(mode="unsupervised", epoch=3)
    assert caught.value.received == "epoch"


def test_only_losses_that_need_labels_are_too_few():
    others = {"contrastive", "contrastive_rna", "modality_adversarial", "atac_adversarial", "cycle"}
    with pytest.raises(InputError, match="No loss has a weight"):
        RunConfig.of(mode="unsupervised", **dict.fromkeys(others, 0.0))


def test_early_stopping_has_nothing_to_watch():
    with pytest.raises(InputError, match="Early stopping"):
        TrainingConfig(mode="unsupervised", early_stopping_patience=2)


def test_a_comparison_is_refused(tmp_path):
    config = RunConfig(DataConfig(dataset="synthetic"), training=MODE)
    with pytest.raises(InputError, match="transfers none") as caught:
        compare(config, ComparisonConfig(systems=("scadv",)))
    assert caught.value.received == "--mode=unsupervised"


# Reading.


@pytest.fixture
def labelled():
    rna, atac, _ = simulate(40, genes=80, types=3, atac_cells=30)
    activity = anndata.AnnData(rna.X[:30].copy(), obs=atac.obs, var=rna.var)
    return rna, activity


def test_labels_that_are_not_taught_are_kept_apart(labelled):
    rna, atac = labelled
    known = rna.obs["cell_type"].to_numpy(dtype=str).copy()
    known[:5] = ""
    rna.obs["cell_type"] = known
    data, truth = pair(rna, atac, "cell_type", min_shared_genes=1, supervised=False)
    assert data.types == () and data.rna_labels is None
    assert len(data.rna_cells) == 40  # cells without label stay
    assert data.known_rna_types().tolist() == known.tolist()
    assert truth.labels.tolist() == atac.obs["cell_type"].tolist()
    assert data.matching.rna_types == {} and not data.matching.warnings


def test_a_single_type_or_no_column_is_fine(labelled):
    rna, atac = labelled
    rna.obs["one"] = "T"
    data, _ = pair(rna, atac, "one", min_shared_genes=1, supervised=False)
    assert set(data.known_rna_types()) == {"T"}
    data, _ = pair(rna, atac, "none", min_shared_genes=1, supervised=False)
    assert set(data.known_rna_types()) == {""}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files without any label, and the types that they were simulated with."""
    folder = tmp_path_factory.mktemp("unsupervised")
    rna, atac, genes = simulate(RNA_CELLS, 150, types=4, difficulty=0.2, atac_cells=ATAC_CELLS)
    known = {"rna": rna.obs["cell_type"].to_numpy(str), "atac": atac.obs["cell_type"].to_numpy(str)}
    atac.obs["batch"] = ""
    rna.write_h5ad(folder / "labelled_rna.h5ad")
    atac.write_h5ad(folder / "labelled_atac.h5ad")
    for cells, name in ((rna, "rna"), (atac, "atac")):
        cells.obs = cells.obs[[]].assign(batch="b1")
        cells.write_h5ad(folder / f"{name}.h5ad")
    columns = genes.assign(score=0)[["chrom", "start", "end", "gene", "score", "strand"]]
    columns.to_csv(folder / "genes.bed", sep="\t", header=False, index=False)
    return folder, known


def config_of(folder, labelled="", **changes) -> RunConfig:
    paths = {name: str(folder / f"{labelled}{name}.h5ad") for name in ("rna", "atac")}
    data = DataConfig(**paths, genes=str(folder / "genes.bed"), **changes)
    return RunConfig(data, training=MODE)


def test_a_default_label_column_may_be_missing_but_not_one_that_was_named(files):
    data, truth = training.read(config_of(files[0]))
    assert data.types == () and truth is None
    with pytest.raises(InputError, match="no column 'kind'"):
        training.read(config_of(files[0], label_key="kind"))


def test_without_labels_the_other_mode_names_this_one(train_here, files):
    done = train_here(files[0], "--rna=rna.h5ad", "--atac=atac.h5ad", "--genes=genes.bed")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "--mode=unsupervised" in done.stderr.split("what to do:")[1]
    config = dataclasses.replace(config_of(files[0], label_key=""), training=TrainingConfig())
    with pytest.raises(InputError) as caught:
        training.read(config)
    assert "--mode=unsupervised" in caught.value.advice


# Training.


def latent_of(data) -> np.ndarray:
    config = RunConfig.of(mode="unsupervised", epochs=2, **FEW)
    cells = preprocessing.fit(data, config.preprocessing)
    model, history = fit_alike(cells, data.rna_labels, len(data.types), config)
    assert not {"macro_f1", "atac_label_change", *LABEL_LOSSES} & set(history.columns)
    assert np.isfinite(history[["contrastive", "contrastive_rna"]]).all(axis=None)
    found = annotate_cells(model, cells, config)
    assert not found.voted.unknown.any() and np.allclose(found.voted.probabilities, 1)
    assert found.voted.label is None
    assert model.readout.temperature == 1 and model.readout.unknown_threshold == 1
    return found.latent


@pytest.mark.slow
def test_labels_do_not_teach(files):
    data, truth = training.read(config_of(files[0], "labelled_"))
    assert truth is not None and len(set(data.known_rna_types())) == 4
    first = latent_of(data)
    random = np.random.default_rng(0)
    codes = random.integers(0, 3, RNA_CELLS).astype(np.int32)
    shuffled = dataclasses.replace(data, types=("a", "b", "c"), rna_labels=codes)
    np.testing.assert_array_equal(latent_of(shuffled), first)
    assert first.std(axis=0).max() > 0.1


# The whole job.


@pytest.fixture(scope="module")
def run(train_here, files):
    """The main job on files without labels: (what it said, its results, its exports)."""
    folder = files[0]
    stale = folder / "runs" / "tissue" / "predictions.csv"
    stale.parent.mkdir(parents=True)
    stale.write_text("of an earlier run in the other mode")
    (stale.parent / "config.json").write_text(RunConfig().to_json())
    done = train_here(
        folder,
        *("--mode=unsupervised", "--rna=rna.h5ad", "--atac=atac.h5ad", "--genes=genes.bed"),
        *("--dataset=tissue", "--epochs=12", "--encoder_sizes=128,32", "--generator_sizes=32"),
        *("--atac_discriminator_sizes=32",),
    )
    assert done.returncode == 0, done.stderr
    return done, stale.parent, folder / "savedmodels" / "tissue"


def test_everything_is_written_but_what_only_labels_can_give(run):
    done, results, exports = run
    assert "Traceback" not in done.stderr and "no column 'cell_type'" in done.stderr
    names = {path.name for path in results.iterdir()}
    assert names == {
        *("metrics.json", "config.json", "history.csv", "integrated.h5ad", "report.html"),
        *("report.json", "figures", "checkpoints"),
    }
    assert {path.name for path in (results / "figures").iterdir()} == {"umap.png", "losses.png"}
    assert (exports / "1" / "saved_model.pb").exists()
    config = RunConfig.from_json((results / "config.json").read_text())
    assert config.training.mode == "unsupervised"
    assert config.loss == RunConfig(training=MODE).loss


def test_no_score_is_made_up(run):
    metrics = json.loads((run[1] / "metrics.json").read_text())
    for name in (*SCORES_OF_LABELS, "silhouette_umap", "silhouette_latent"):
        assert metrics[name] is None
    assert "macro F1" not in run[0].stderr
    history = pd.read_csv(run[1] / "history.csv")
    assert {"macro_f1", "atac_label_change"}.isdisjoint(history.columns)


def test_modalities_mix_and_types_stay_apart(run, files):
    cells = anndata.read_h5ad(run[1] / "integrated.h5ad")
    assert not [name for name in cells.obs if name.startswith("scadv")]
    modality, latent = cells.obs["modality"].to_numpy(str), cells.obsm["X_scadv"]
    assert modality.tolist() == ["rna"] * RNA_CELLS + ["atac"] * ATAC_CELLS
    mixing, _ = modality_mixing(latent, modality)
    metrics = json.loads((run[1] / "metrics.json").read_text())
    assert mixing == pytest.approx(metrics["modality_mixing"]) and mixing > 0.6
    types = np.concatenate([files[1]["rna"], files[1]["atac"]])
    assert silhouette(cells.obsm["X_umap"], types, seed=0) > 0.4
    assert silhouette(latent, types, seed=0) > 0.1


def test_the_report_says_why_there_are_no_predictions(run):
    page = (run[1] / "report.html").read_text(encoding="utf-8")
    assert "--mode=unsupervised" in page and "there is no predictions.csv" in page
    for text in ("Macro F1", "Look at the confidence", "Calibration error", "have a label with"):
        assert text not in page
    assert page.count('src="data:image/png;base64,') == 2


def test_the_export_gives_the_same_latent_vectors(run, files):
    _, results, exports = run
    data, _ = training.read(config_of(files[0]))
    config = RunConfig.from_json((results / "config.json").read_text())
    cells = preprocessing.fit(data, config.preprocessing, config.training.seed)
    latent = anndata.read_h5ad(results / "integrated.h5ad").obsm["X_scadv"]
    model = tf.saved_model.load(str(exports / "1"))
    assert not any("annotate" in name for name in model.signatures)
    for name, start in (("rna", 0), ("atac", RNA_CELLS)):
        answer = model.signatures[name](expression=tf.constant(cells.genes(name)[:20]))
        assert not answer["unknown"].numpy().any() and np.allclose(answer["probabilities"], 1)
        expected = latent[start : start + 20]
        np.testing.assert_allclose(answer["latent"], expected, rtol=1e-3, atol=1e-3)
    assert (exports / "1" / "assets" / "types.txt").read_text() == ""


@pytest.mark.slow
def test_known_types_are_scored_and_drawn_but_not_taught(files, tmp_path):
    data, truth = training.read(config_of(files[0], "labelled_"))
    types = np.concatenate([files[1]["rna"], files[1]["atac"]])
    space = np.random.default_rng(0).normal(size=(len(types), 2))
    space[:, 0] += 2 * (types == "A1")
    metrics = score({}, None, space, space, data, truth, seed=0)
    for name in ("silhouette_umap", "silhouette_latent"):
        assert metrics[name] == pytest.approx(silhouette(space, types, seed=0))
    assert all(metrics[name] is None for name in SCORES_OF_LABELS)
    history = pd.DataFrame({"epoch": [1, 2], "contrastive": [2.0, 1.0]})
    told = SimpleNamespace(
        data=data, truth=truth, routes={}, umap=space, history=history, diagnosis=None
    )
    captions = [caption for caption, _ in write_figures(tmp_path, told)]
    assert "by type (ATAC: known)" in captions[0] and len(captions) == 2
    # Known types of one modality alone are drawn, but there is nothing to score.
    rna_only, none = training.read(config_of(files[0], "labelled_", atac_label_key="batch"))
    assert none is None
    assert score({}, None, space, space, rna_only, None, seed=0)["silhouette_umap"] is None
    assert known_types(rna_only, None).tolist() == [*files[1]["rna"], *[""] * ATAC_CELLS]


def test_warnings_give_no_advice_on_labels_where_there_are_none():
    poor = {"modality_mixing": 0.1, "silhouette_modality": 0.5}
    for text in map(str, findings(Evidence(poor, {}))):
        assert "--centroid" not in text and "Labels can" not in text and "but labels" not in text
    labelled = " ".join(map(str, findings(Evidence(poor, {}, np.repeat(["T", "B"], 50)))))
    assert "--centroid" in labelled and "Labels can" in labelled and "but labels" in labelled
