"""Settings check themselves, survive JSON, and need nothing but the standard library."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags

from scadv_tf.config import (
    SECTIONS,
    DataConfig,
    LossConfig,
    NetworkConfig,
    PreprocessingConfig,
    RunConfig,
    TrainingConfig,
)
from scadv_tf.errors import InputError

ROOT = Path(__file__).parents[1]
FIELDS = [
    (section, field) for section in SECTIONS.values() for field in dataclasses.fields(section)
]


def fields_where(condition):
    """Parameters (section, field) of a test, named after the field."""
    return [
        pytest.param(section, field, id=field.name) for section, field in FIELDS if condition(field)
    ]


def has_numbers(field) -> bool:
    """A field of one number, or of several: a tuple with a default holds layer widths."""
    if isinstance(field.default, tuple):
        return bool(field.default)
    return isinstance(field.default, int | float) and not isinstance(field.default, bool)


def like(field, number):
    """The number in the form that the field takes."""
    return (number,) if isinstance(field.default, tuple) else number


def refusal(section, **values) -> InputError:
    """The error of a section's values, after a check that all four parts say something."""
    with pytest.raises(InputError) as caught:
        section(**values)
    error = caught.value
    for name, value in values.items():
        assert name in error.what and f"{name}={value!r}" in error.received
        assert f"--{name}" in error.advice and error.expected
    assert str(error).count("\n") == 3
    return error


def test_the_sections_of_a_run_are_the_listed_ones():
    assert {field.name: field.type for field in dataclasses.fields(RunConfig)} == {
        name: section.__name__ for name, section in SECTIONS.items()
    }
    assert all(type(getattr(RunConfig(), name)) is section for name, section in SECTIONS.items())


def test_field_names_are_unique_over_all_sections():
    names = [field.name for _, field in FIELDS]
    assert len(names) == len(set(names))


def test_json_gives_back_the_same_settings():
    changed = RunConfig(
        network=NetworkConfig(encoder_sizes=(7, 3)),
        loss=LossConfig(cycle=0, temperature=0.25, contrastive_pair="same"),
        training=TrainingConfig(epochs=3, seed=11),
    )
    for config in (RunConfig(), changed):
        again = RunConfig.from_json(config.to_json())
        assert again == config and hash(again) == hash(config)
        assert RunConfig.from_dict(config.to_dict()) == config
    assert changed != RunConfig()


def test_json_is_plain_and_grouped_by_section():
    values = json.loads(RunConfig(network=NetworkConfig(encoder_sizes=(7, 3))).to_json())
    assert list(values) == list(SECTIONS)
    assert values["network"]["encoder_sizes"] == [7, 3]
    assert {key for section in values.values() for key in section} == {f.name for _, f in FIELDS}


def test_what_a_file_leaves_out_takes_its_default():
    config = RunConfig.from_dict({"training": {"epochs": 3}})
    assert config == RunConfig(training=TrainingConfig(epochs=3))


@pytest.mark.parametrize(
    "values, named",
    [({"trainign": {}}, "trainign"), ({"training": {"epoch": 3}}, "training.epoch")],
)
def test_settings_that_are_not_known_are_named(values, named):
    with pytest.raises(InputError, match="does not know") as caught:
        RunConfig.from_dict(values)
    assert caught.value.received == named


def test_a_bad_value_in_a_file_is_refused():
    with pytest.raises(InputError, match="epochs is out of range"):
        RunConfig.from_json('{"training": {"epochs": 0}}')


@pytest.mark.parametrize("setting", ["output_dir", "rna", "drop_types"])
def test_text_that_no_result_could_tell_is_refused(setting):
    """Names of files need not be UTF-8: Python holds other bytes as surrogates."""

    def settings(text):
        return {setting: (text,) if setting == "drop_types" else text}

    RunConfig.of(**settings("M\u00fcller \u65e5"))
    with pytest.raises(InputError, match=f"setting {setting} is no text in UTF-8") as error:
        RunConfig.of(**settings(os.fsdecode(b"M\xfcller")))
    assert str(error.value).encode()


def test_settings_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainingConfig().epochs = 3


@pytest.mark.parametrize(
    "section, field", fields_where(lambda field: field.metadata["minimum"] is not None)
)
def test_the_least_value_is_allowed_and_less_is_not(section, field):
    least = field.metadata["minimum"]
    section(**{field.name: like(field, least)})
    step = 1 if isinstance(least, int) else least / 2
    error = refusal(section, **{field.name: like(field, least - step)})
    assert "out of range" in error.what and f"at least {least}" in error.expected


@pytest.mark.parametrize(
    "section, field", fields_where(lambda field: field.metadata["maximum"] is not None)
)
def test_the_largest_value_is_allowed_and_more_is_not(section, field):
    largest = field.metadata["maximum"]
    section(**{field.name: like(field, largest)})
    error = refusal(section, **{field.name: like(field, largest + 1)})
    assert "out of range" in error.what and f"at most {largest}" in error.expected


@pytest.mark.parametrize(
    "section, field", fields_where(lambda field: isinstance(field.default, float))
)
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_are_finite(section, field, number):
    assert "finite" in refusal(section, **{field.name: number}).expected


@pytest.mark.parametrize("section, field", fields_where(lambda field: type(field.default) is int))
@pytest.mark.parametrize("number", [2**63, int("9" * 20), -(10**400)])
def test_whole_numbers_fit_into_64_bits(section, field, number):
    error = refusal(section, **{field.name: number})
    assert "out of range" in error.what and f"--{field.name}" in error.advice


@pytest.mark.parametrize("section, field", fields_where(lambda field: field.metadata["choices"]))
def test_only_the_choices_are_allowed(section, field):
    choices = field.metadata["choices"]
    for choice in choices:
        assert getattr(section(**{field.name: choice}), field.name) == choice
    error = refusal(section, **{field.name: "neither"})
    assert all(choice in error.expected for choice in choices)


WRONG_TYPES = {
    bool: [0, "true", None],
    int: [2.5, "3", True, None, (3,)],
    float: ["0.1", True, None, (0.1,)],
    str: [3, None, b"text", ("text",)],
    tuple: [3, "a\nb", None],
}


@pytest.mark.parametrize("section, field", fields_where(lambda field: True))
def test_wrong_types_are_refused(section, field):
    for value in WRONG_TYPES[type(field.default)]:
        assert "wrong type" in refusal(section, **{field.name: value}).what


@pytest.mark.parametrize(
    "section, field", fields_where(lambda field: isinstance(field.default, tuple))
)
def test_the_items_of_a_list_have_the_type_of_its_defaults(section, field):
    wrong = ["wide", 1.5, True, None] if field.default else [3, None]
    for item in wrong:
        assert "wrong type" in refusal(section, **{field.name: (item,)}).what


def test_whole_numbers_do_for_fractions():
    assert LossConfig(cycle=1).cycle == 1


def test_a_list_becomes_a_tuple():
    assert NetworkConfig(encoder_sizes=[7, 3]).encoder_sizes == (7, 3)


@pytest.mark.parametrize("text", ["B", "Mis, T cell", '"CD8, memory",B', "", " B ,", "a'b"])
def test_names_in_one_text_are_those_of_the_flag(text):
    values = flags.FlagValues()
    flags.DEFINE_list("names", [], "Names.", flag_values=values)
    values(["program", f"--names={text}"])
    assert DataConfig(drop_types=text).drop_types == tuple(values.names)


def test_what_is_no_list_of_names_is_told_what_is():
    for value in (5, 'B,"T', ("B", 3)):
        assert refusal(DataConfig, drop_types=value).expected == "a value like ('B', 'T cell')"
    assert refusal(NetworkConfig, encoder_sizes="64").expected == "a value like (1024, 128)"


@pytest.mark.slow
def test_only_the_standard_library_is_loaded():
    code = "import sys, scadv_tf.config; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) <= sys.stdlib_module_names | {"__main__", "scadv_tf"}


def test_the_losses_that_earned_nothing_are_off():
    weighted = ("cross_entropy", "contrastive", "contrastive_rna", "interpolation", "centroid")
    weighted += ("center", "modality_adversarial", "atac_adversarial", "cycle")
    assert {name for name in weighted if getattr(LossConfig(), name)} == {
        "cross_entropy",
        "centroid",
        "modality_adversarial",
    }


def test_runs_without_denoising_have_defaults_of_their_own():
    assert (RunConfig().loss.contrastive, RunConfig().evaluation.neighbor_vote) == (0.0, 0.5)
    for config in (
        RunConfig.of(smoothing_hops=0, epochs=3),
        RunConfig(preprocessing=PreprocessingConfig(smoothing_hops=0)),
    ):
        assert (config.loss.contrastive, config.evaluation.neighbor_vote) == (0.1, 1.0)
        assert config.loss == dataclasses.replace(LossConfig(), contrastive=0.1)
        assert RunConfig.from_json(config.to_json()) == config


def test_what_is_given_wins_without_denoising():
    config = RunConfig.of(smoothing_hops=0, neighbor_vote=0.5, cycle=0.0)
    assert (config.loss.contrastive, config.loss.cycle) == (0.1, 0.0)
    assert config.evaluation.neighbor_vote == 0.5
    preprocessing = PreprocessingConfig(smoothing_hops=0)
    assert RunConfig(preprocessing=preprocessing, loss=LossConfig()).loss == LossConfig()
