"""The command line: each field of each configuration is an absl flag of the same name."""

from __future__ import annotations

import dataclasses

from absl import flags

from scadv_tf import config as config_module
from scadv_tf.config import SECTIONS, RunConfig


def define(flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines every flag. Call it once, before `absl.app.run` parses the command line."""
    for section in SECTIONS.values():
        for field in dataclasses.fields(section):
            _define_one(field, flag_values)


def _define_one(field: dataclasses.Field, flag_values: flags.FlagValues) -> None:
    settings = {"flag_values": flag_values, "module_name": config_module.__name__}
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
        {
            name: {
                field.name: _value(field, flag_values[field.name].value)
                for field in dataclasses.fields(section)
            }
            for name, section in SECTIONS.items()
        }
    )


def _value(field: dataclasses.Field, value):
    if not isinstance(field.default, tuple):
        return value
    numbers = bool(field.default)  # a tuple with a default holds layer widths, else names
    return tuple(int(item) if numbers and item.strip().isdecimal() else item for item in value)
