"""The named systems: which losses, which preprocessing, which seeds."""

from __future__ import annotations

import dataclasses
import importlib
import subprocess
import sys

import pytest

from scadv_tf.comparison.systems import (
    DEFAULT,
    DOCUMENT_WEIGHTS,
    SYSTEMS,
    WEIGHTS,
    ComparisonConfig,
    settings_of,
)
from scadv_tf.config import (
    EvaluationConfig,
    LossConfig,
    PreprocessingConfig,
    RunConfig,
    TrainingConfig,
)
from scadv_tf.errors import InputError

LADDER = ("ce", "ce_nce", "ce_nce_adv", "ce_nce_adv_cyc", "ce_nce_adv_cyc_ict")
BASELINES = ("harmony", "seurat", "svm", "logistic", "linear", "guess", "harmony_denoised")
# Each weight another number, so that a mix-up shows.
CONFIG = RunConfig(
    loss=LossConfig(**{name: 0.1 + place for place, name in enumerate(WEIGHTS)}, temperature=0.3),
    training=TrainingConfig(seed=7, epochs=3),
)


def kept(system: str, config: RunConfig = CONFIG) -> set[str]:
    """The losses of a system; checks that their weights are the configured ones."""
    loss = settings_of(system, config).loss
    weights = {name: getattr(loss, name) for name in WEIGHTS if getattr(loss, name)}
    assert all(weight == getattr(config.loss, name) for name, weight in weights.items())
    assert loss.temperature == config.loss.temperature
    return set(weights)


def test_each_step_of_the_ladder_adds_its_losses():
    steps = [kept(system) for system in LADDER]
    added = [after - before for before, after in zip([set(), *steps], steps, strict=False)]
    assert added == [
        {"cross_entropy"},
        {"contrastive"},
        {"modality_adversarial"},
        {"atac_adversarial", "cycle"},
        {"interpolation"},
    ]
    assert all(before < after for before, after in zip(steps, steps[1:], strict=False))


def test_scadv_is_what_is_configured():
    assert settings_of("scadv", CONFIG).loss == CONFIG.loss


def test_milestone2_has_a_center_loss_also_where_none_is_configured():
    losses = {"cross_entropy", "center", "modality_adversarial"}
    assert kept("milestone2") == losses
    without = dataclasses.replace(CONFIG, loss=dataclasses.replace(CONFIG.loss, center=0.0))
    assert settings_of("milestone2", without).loss.center == DOCUMENT_WEIGHTS["center"] > 0
    assert settings_of("scadv", without).loss.center == 0


def test_the_documents_systems_have_its_losses_also_where_none_is_configured():
    none = dataclasses.replace(CONFIG, loss=LossConfig(contrastive=0.0, interpolation=0.0))
    assert settings_of("ce_nce", none).loss.contrastive == DOCUMENT_WEIGHTS["contrastive"]
    document = settings_of("document", none).loss
    assert document.interpolation == DOCUMENT_WEIGHTS["interpolation"]
    assert document.centroid == 0 and settings_of("scadv", none).loss.contrastive == 0


def test_the_document_itself_has_the_last_steps_losses_and_all_else_as_configured():
    found, last = (settings_of(name, CONFIG) for name in ("document", "ce_nce_adv_cyc_ict"))
    assert kept("document") == kept("ce_nce_adv_cyc_ict")
    assert found.training == last.training and found.evaluation == last.evaluation
    changed = {"neighbors": 1, "smoothing_hops": 0, "projection_size": 0, "balance": False}
    assert found.preprocessing == dataclasses.replace(CONFIG.preprocessing, **changed)
    assert RunConfig.from_json(found.to_json()) == found  # no default of a mode comes in


@pytest.mark.parametrize("name", DOCUMENT_WEIGHTS)
def test_a_weight_that_is_configured_wins_over_the_documents(name):
    system = "milestone2" if name == "center" else "document"
    for given, expected in ((0.0, DOCUMENT_WEIGHTS[name]), (0.7, 0.7)):
        config = dataclasses.replace(CONFIG, loss=LossConfig(**{name: given}))
        assert getattr(settings_of(system, config).loss, name) == expected
        assert getattr(settings_of("ce", config).loss, name) == 0


@pytest.mark.parametrize("balance", [True, False])
def test_of_the_baselines_only_those_on_our_input_get_scales_of_weighed_cells(balance):
    config = RunConfig(preprocessing=PreprocessingConfig(balance=balance))
    for system in BASELINES:
        found = settings_of(system, config).preprocessing.balance
        # Of the counts of all genes, nothing is preprocessed: the setting is not looked at.
        if not SYSTEMS[system].raw:
            assert found == (balance and system in ("linear", "guess"))


def test_the_document_itself_has_neither_neighbours_nor_projection_nor_weights():
    found = settings_of("document", CONFIG)
    assert (found.preprocessing.neighbors, found.preprocessing.projection_size) == (1, 0)
    assert not found.preprocessing.balance and found.evaluation.linear_share == 0
    assert (found.network.discriminator_condition, found.loss.contrastive_pair) == ("none", "same")


def test_no_loss_at_all_is_refused():
    loss = dataclasses.replace(CONFIG.loss, cross_entropy=0.0)
    with pytest.raises(InputError, match="No loss"):
        settings_of("ce", dataclasses.replace(CONFIG, loss=loss))


def test_our_rows_differ_in_their_losses_and_in_what_the_document_lacks():
    evaluation = EvaluationConfig(neighbor_vote=0.3, unknown_share=0.2, knn_neighbors=9)
    config = dataclasses.replace(CONFIG, evaluation=evaluation)
    assert settings_of("scadv", config) == config
    plain = dataclasses.replace(evaluation, neighbor_vote=0.0, linear_share=0.0, align_latent=False)
    for system in ("milestone2", *LADDER):
        found = settings_of(system, config)
        assert found.evaluation == plain
        assert dataclasses.replace(found, loss=CONFIG.loss, evaluation=evaluation) == config


@pytest.mark.parametrize("align", [True, False])
def test_scadv_keeps_the_vote_and_the_alignment_that_are_configured(align):
    evaluation = EvaluationConfig(neighbor_vote=0.8, align_latent=align)
    config = dataclasses.replace(CONFIG, evaluation=evaluation)
    assert settings_of("scadv", config).evaluation == evaluation


def test_baselines_depend_on_what_they_read_and_on_nothing_else():
    other = RunConfig(
        loss=LossConfig(cycle=5.0),
        training=TrainingConfig(seed=7, epochs=9),
        evaluation=EvaluationConfig(neighbor_vote=0.1),
    )
    for system in BASELINES:
        found = settings_of(system, CONFIG)
        assert found == settings_of(system, other)
        assert found.training.seed == 7
        umap = EvaluationConfig(umap_neighbors=11)
        assert settings_of(system, dataclasses.replace(CONFIG, evaluation=umap)) != found


@pytest.mark.parametrize(
    ("system", "neighbors"),
    [
        ("harmony", 1),
        ("svm", 1),
        ("logistic", 1),
        ("linear", 13),
        ("guess", 13),
        ("harmony_denoised", 13),
    ],
)
def test_only_the_controls_of_our_model_get_denoised_cells(system, neighbors):
    settings = PreprocessingConfig(neighbors=13, smoothing_hops=4, variable_genes=77)
    found = settings_of(system, RunConfig(preprocessing=settings)).preprocessing
    assert (found.neighbors, found.variable_genes) == (neighbors, 77)
    if neighbors > 1:
        assert found.smoothing_hops == 4
    assert found.projection_size == 50


def test_baselines_get_components_also_where_our_model_has_none():
    for size, expected in ((0, 50), (20, 20)):
        config = RunConfig(preprocessing=PreprocessingConfig(projection_size=size))
        assert settings_of("harmony", config).preprocessing.projection_size == expected
        assert settings_of("scadv", config).preprocessing.projection_size == size


def test_every_baseline_has_its_function():
    for name in BASELINES:
        assert callable(
            getattr(importlib.import_module(SYSTEMS[name].home), SYSTEMS[name].function)
        )
    unseeded = {name for name in SYSTEMS if not SYSTEMS[name].seeded}
    assert unseeded == {"svm", "logistic", "linear", "guess", "seurat"}


@pytest.mark.parametrize("system", ["linear", "guess"])
def test_what_is_to_be_beaten_gets_the_very_cells_that_our_model_gets(system):
    given, ours = (settings_of(name, CONFIG).preprocessing for name in (system, "scadv"))
    assert given == ours


def test_the_default_is_all_but_the_denoised_harmony_and_the_documents_form():
    assert set(SYSTEMS) - set(DEFAULT) == {"harmony_denoised", "document"}
    assert {"linear", "guess"} <= set(DEFAULT)
    assert ComparisonConfig().systems == DEFAULT


def test_a_system_named_twice_runs_once():
    assert ComparisonConfig(systems=("svm", " ce", "svm")).systems == ("svm", "ce")


@pytest.mark.parametrize("systems", [("svm", "glue"), (), ("",)])
def test_unknown_systems_are_refused_and_the_known_listed(systems):
    with pytest.raises(InputError, match="ce_nce_adv_cyc_ict") as caught:
        ComparisonConfig(systems=systems)
    if systems == ("svm", "glue"):
        assert caught.value.received == "--systems=glue"


@pytest.mark.slow
def test_the_import_is_light():
    code = (
        "import sys, scadv_tf.comparison.systems; "
        "sys.exit(', '.join({'tensorflow', 'numpy', 'pandas', 'sklearn'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
