"""The command line: each field of each configuration is an absl flag of the same name."""

from __future__ import annotations

import dataclasses
import difflib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from absl import flags

from scadv_tf.config import SECTIONS, RunConfig
from scadv_tf.errors import InputError

Section = TypeVar("Section")

# As absl knows them, but for those that list the flags of libraries.
HELP = {"--help", "-help", "-h", "--helpshort", "-?"}
# absl's name of the kind of a flag -> what it takes.
VALUES = {"int": "a whole number", "float": "a number", "bool": "true or false"}


def define(
    flag_values: flags.FlagValues = flags.FLAGS,
    more: Sequence[type] = (),
    help_of: Mapping[str, str] | None = None,
) -> None:
    """Defines every flag. Call it once, before `absl.app.run` parses the command line.

    Parameters
    ----------
    more : dataclasses of settings (see `scadv_tf.settings`) that a program has beside the usual.
    help_of : flag -> sentence, where a program means something else by it.
    """
    for section in (*more, *SECTIONS.values()):
        define_section(section, flag_values, help_of)


def define_section(
    section: type,
    flag_values: flags.FlagValues = flags.FLAGS,
    help_of: Mapping[str, str] | None = None,
) -> None:
    """Defines a flag for each field of one dataclass of settings; see `define`."""
    heading = _own() + (section.__doc__ or "").partition("\n")[0]
    for field in dataclasses.fields(section):
        sentence = (help_of or {}).get(field.name, field.metadata["help"])
        _define_one(field, sentence, {"flag_values": flag_values, "module_name": heading})


def _define_one(field: dataclasses.Field, sentence: str, settings: dict[str, Any]) -> None:
    choices = field.metadata["choices"]
    default: Any = field.default
    if choices:
        flags.DEFINE_enum(field.name, default, choices, sentence, **settings)
        return
    definers: dict[type, Callable] = {
        bool: flags.DEFINE_bool,
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        str: flags.DEFINE_string,
        tuple: flags.DEFINE_list,
    }
    if isinstance(default, tuple):
        default = [str(item) for item in default]
    definers[type(field.default)](field.name, default, sentence, **settings)


def asks_for_help(words: Sequence[str]) -> bool:
    """Whether the words of a command line, the program first, ask what its flags are."""
    return not HELP.isdisjoint(words[1:])


def help_text(head: str, flag_values: flags.FlagValues = flags.FLAGS) -> str:
    """What ``--help`` prints: the flags by section, in their order, where absl has one long list.

    Parameters
    ----------
    head : what the program does.
    """
    lines = [head.rstrip()]
    for heading, found in flag_values.flags_by_module_dict().items():
        if not heading.startswith(_own()):
            continue
        lines += ["", heading.removeprefix(_own()), ""]
        for flag in found:
            name = f"[no]{flag.name}" if flag.boolean else flag.name
            default = flag.default_as_str if flag.default not in ("", []) else ""
            text = f"--{name}: {flag.help}" + f" (default: {default})" * bool(default)
            lines.append(flags.text_wrap(text, indent="      ", firstline_indent="  "))
    return "\n".join(
        [
            *lines,
            "",
            "--helpfull lists those of the libraries, too, such as --verbosity and --flagfile.",
        ]
    )


def _own() -> str:
    """What the headings of this program's flags begin with, which absl takes for modules."""
    return f"{sys.argv[0]}: "


def parsed(words: Sequence[str], flag_values: flags.FlagValues = flags.FLAGS) -> list[str]:
    """Parses the words of a command line, the program first; returns those that are no flags.

    Raises
    ------
    InputError : a flag that is unknown, a value that is not of its kind, an unreadable --flagfile.
    """
    try:
        return flag_values(words)
    except flags.UnrecognizedFlagError as error:
        nearest = difflib.get_close_matches(error.flagname, flag_values, n=1)
        raise InputError(
            what="There is no such flag.",
            expected="flags that --help lists",
            received=f"--{error.flagname}",
            advice=(f"Did you mean --{nearest[0]}? " if nearest else "") + "See --help.",
        ) from None
    except (flags.Error, UnicodeDecodeError) as error:
        told = re.match(r"flag --(\w+)=(.*?): ", str(error), re.DOTALL)
        if told is None or told[1] not in flag_values:
            raise InputError(
                what="The command line cannot be read.",
                expected="--flag=value …; in a file of --flagfile UTF-8 text, a flag a line",
                received=str(error),
                advice="See --help.",
            ) from None
        flag = flag_values[told[1]]
        choices = "one of " + ", ".join(getattr(flag.parser, "enum_values", ()))
        raise InputError(
            what=f"The value of --{flag.name} is not of its kind.",
            expected=VALUES.get(flag.flag_type(), choices),
            received=f"--{flag.name}={told[2]}",
            advice=f"See --help: {flag.help}",
        ) from None


def to_config(flag_values: flags.FlagValues = flags.FLAGS) -> RunConfig:
    """The configuration that the parsed flags describe; what is not given is the mode's default.

    Raises
    ------
    InputError : a value is out of its bounds.
    """
    return RunConfig.from_dict(
        {name: _given(section, flag_values) for name, section in SECTIONS.items()}
    )


def to_section(section: type[Section], flag_values: flags.FlagValues = flags.FLAGS) -> Section:
    """One dataclass of settings as the parsed flags describe it.

    Raises
    ------
    InputError : a value is out of its bounds.
    """
    return section(**_given(section, flag_values))


def _given(section: type, flag_values: flags.FlagValues) -> dict:
    """Field -> its value, of the fields whose flags were given."""
    fields = [(field, flag_values[field.name]) for field in dataclasses.fields(section)]
    return {
        field.name: _value(field, flag.value)
        for field, flag in fields
        if not flag.using_default_value
    }


def _value(field: dataclasses.Field, value: Any) -> Any:
    if not isinstance(field.default, tuple):
        return value
    numbers = bool(field.default)  # a tuple with a default holds layer widths, else names
    return tuple(int(item) if numbers and item.strip().isdecimal() else item for item in value)
