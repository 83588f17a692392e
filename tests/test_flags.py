"""The command line and the configuration say the same."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags

from scadv_tf import flags as scadv_flags
from scadv_tf.config import SECTIONS, RunConfig
from scadv_tf.errors import InputError
from scadv_tf.settings import Checked, option

ROOT = Path(__file__).parents[1]
FIELDS = [
    pytest.param(name, field, id=field.name)
    for name, section in SECTIONS.items()
    for field in dataclasses.fields(section)
]


def flags_of(*arguments: str) -> flags.FlagValues:
    """Flags of their own, so that tests do not meet in the global ones."""
    values = flags.FlagValues()
    scadv_flags.define(values)
    values(["program", *arguments])
    return values


@pytest.mark.parametrize(
    ("word", "expected", "received", "advice"),
    [
        ("--epochs=1.5", "a whole number", "--epochs=1.5", "Passes of"),
        ("--epochs=ten", "a whole number", "--epochs=ten", "Passes of"),
        ("--noise=loud", "a number", "--noise=loud", "--help"),
        ("--balance=maybe", "true or false", "--balance=maybe", "--help"),
        ("--optimizer=best", "one of sgd, adam", "--optimizer=best", "--help"),
        ("--datasett=pbmc", "flags that --help lists", "--datasett", "Did you mean --dataset?"),
        ("--zzqx", "flags that --help lists", "--zzqx", "See --help."),
        ("--epochs", "--flag=value", "--epochs", "See --help."),
    ],
)
def test_a_word_that_makes_no_sense_is_refused(word, expected, received, advice):
    values = flags.FlagValues()
    scadv_flags.define(values)
    with pytest.raises(InputError) as refused:
        scadv_flags.parsed(["program", word], values)
    assert refused.value.expected.startswith(expected)
    assert received in refused.value.received and advice in refused.value.advice


@pytest.mark.parametrize("content", [None, b"--epochs=3\n\xf6\xff"], ids=["missing", "no text"])
def test_a_file_of_flags_that_cannot_be_read_is_refused(tmp_path, content):
    path = tmp_path / "flags.txt"
    if content is not None:
        path.write_bytes(content)
    values = flags.FlagValues()
    scadv_flags.define(values)
    with pytest.raises(InputError, match="The command line cannot be read"):
        scadv_flags.parsed(["program", f"--flagfile={path}"], values)


def config_of(*arguments: str) -> RunConfig:
    return scadv_flags.to_config(flags_of(*arguments))


def another_value(field: dataclasses.Field):
    """An allowed value that is not the default, and how a user writes it."""
    default, choices = field.default, field.metadata["choices"]
    if choices:
        value = next(choice for choice in choices if choice != default)
        return value, value
    if isinstance(default, bool):
        return not default, str(not default).lower()
    if isinstance(default, tuple):
        return ((5, 4), "5,4") if default else (("B cell", "7"), "B cell,7")
    if isinstance(default, str):
        return "some text", "some text"
    low, high = field.metadata["minimum"], field.metadata["maximum"]
    value = default + 1
    if high is not None and value > high:
        value = (low + default) / 2 if default > low else (default + high) / 2
    return value, repr(value)


def test_no_argument_gives_the_defaults():
    assert config_of() == RunConfig()


@pytest.mark.parametrize("section, field", FIELDS)
def test_every_setting_is_a_flag_with_its_default_and_a_sentence(section, field):
    flag = flags_of()[field.name]
    default = list(map(str, field.default)) if isinstance(field.default, tuple) else field.default
    assert flag.default == default
    sentence = field.metadata["help"]
    assert flag.help.endswith(sentence) and len(sentence) > 15
    assert sentence[0].isupper() and sentence.endswith(".") and sentence == sentence.strip()


# The mode brings defaults of its own along: see the tests of the unsupervised mode.
@pytest.mark.parametrize("section, field", [p for p in FIELDS if p.id != "mode"])
def test_every_flag_reaches_its_setting_and_no_other(section, field):
    value, text = another_value(field)
    changed = config_of(f"--{field.name}={text}")
    values = RunConfig().to_dict()
    assert values[section][field.name] != value
    values[section][field.name] = value
    assert changed.to_dict() == values


def test_the_flags_are_the_settings_and_nothing_else():
    plain = flags.FlagValues()
    assert set(flags_of()) - set(plain) == {param.values[1].name for param in FIELDS}


@dataclasses.dataclass(frozen=True)
class Extra(Checked):
    """Settings of one program only."""

    rounds: int = option(3, "How many rounds.", minimum=1)
    names: tuple = option(("a", "b"), "Names.")


def test_a_program_has_settings_and_sentences_of_its_own():
    values = flags.FlagValues()
    scadv_flags.define(values, more=[Extra], help_of={"seed": "Where it starts."})
    assert values["rounds"].default == 3 and values["rounds"].help.endswith("How many rounds.")
    assert values["seed"].help == "Where it starts."
    values(["program", "--rounds=5", "--seed=7"])
    assert scadv_flags.to_section(Extra, values) == Extra(rounds=5)
    assert scadv_flags.to_config(values).training.seed == 7
    values["rounds"].value, values["rounds"].using_default_value = 0, False
    with pytest.raises(InputError, match="rounds is out of range"):
        scadv_flags.to_section(Extra, values)


def test_the_flags_are_those_of_the_program():
    """Which --help tells, and not those of the libraries."""
    told = scadv_flags.help_text("What it does.\n", flags_of())
    names = re.findall(r"^  --(?:\[no\])?(\w+): ", told, re.MULTILINE)
    assert told.startswith("What it does.\n\n") and names == [param.id for param in FIELDS]


def test_widths_are_numbers_and_names_are_text():
    config = config_of("--encoder_sizes=64, 32", "--drop_types=Mis,12, T cell")
    assert config.network.encoder_sizes == (64, 32)
    assert config.data.drop_types == ("Mis", "12", "T cell")


def test_no_hidden_layer_and_no_dropped_type_are_empty_lists():
    config = config_of("--generator_sizes=", "--drop_types=")
    assert config.network.generator_sizes == () and config.data.drop_types == ()


@pytest.mark.parametrize("widths", ["wide", "64,-32", "64,1.5", "64,,32", "0"])
def test_widths_that_are_no_positive_whole_numbers_are_refused(widths):
    with pytest.raises(InputError, match="generator_sizes"):
        config_of(f"--generator_sizes={widths}")


@pytest.mark.parametrize(
    "argument", ["--epochs=0", "--learning_rate=-1", "--learning_rate=nan", "--neighbor_vote=2"]
)
def test_values_out_of_bounds_are_refused(argument):
    with pytest.raises(InputError, match="out of range"):
        config_of(argument)


@pytest.mark.slow
def test_the_import_is_light():
    code = (
        "import sys, scadv_tf.flags, scadv_tf.console; "
        "heavy = {'tensorflow', 'keras', 'numpy', 'pandas', 'anndata', 'scipy', 'sklearn'}; "
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
