"""The command line: each field of each configuration is an absl flag of the same name."""

from __future__ import annotations

import dataclasses

from absl import flags

from scadv_tf.config import SECTIONS, RunConfig


def define(flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines every flag. Call it once, before `absl.app.run` parses the command line."""
    for section in SECTIONS.values():
        define_section(section, flag_values)


def define_section(section: type, flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines a flag for each field of one dataclass of settings (see `scadv_tf.settings`)."""
    for field in dataclasses.fields(section):
        _define_one(field, section.__module__, flag_values)


def _define_one(field: dataclasses.Field, module: str, flag_values: flags.FlagValues) -> None:
    settings = {"flag_values": flag_values, "module_name": module}
    sentence, choices = field.metadata["help"], field.metadata["choices"]
    if choices:
        flags.DEFINE_enum(field.name, field.default, choices, sentence, **settings)
        return
    definers = {
        bool: flags.DEFINE_bool,
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        str: flags.DEFINE_string,
        tuple: flags.DEFINE_list,
    }
    default = field.default
    if isinstance(default, tuple):
        default = [str(item) for item in default]
    definers[type(field.default)](field.name, default, sentence, **settings)


def to_config(flag_values: flags.FlagValues = flags.FLAGS) -> RunConfig:
    """The configuration that the parsed flags describe.

    Raises
    ------
    InputError : a value is out of its bounds.
    """
    return RunConfig.from_dict(
        {name: section_values(section, flag_values) for name, section in SECTIONS.items()}
    )


def section_values(section: type, flag_values: flags.FlagValues = flags.FLAGS) -> dict:
    """Field -> what the parsed flags say, for one dataclass of settings."""
    fields = dataclasses.fields(section)
    return {field.name: _value(field, flag_values[field.name].value) for field in fields}


def _value(field: dataclasses.Field, value):
    if not isinstance(field.default, tuple):
        return value
    numbers = bool(field.default)  # a tuple with a default holds layer widths, else names
    return tuple(int(item) if numbers and item.strip().isdecimal() else item for item in value)
