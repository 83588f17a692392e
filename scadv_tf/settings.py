"""Settings that carry their own help sentence and check themselves; standard library only."""

from __future__ import annotations

import csv
import dataclasses
import math
from typing import TYPE_CHECKING, Any

from scadv_tf.errors import InputError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

LARGEST = 2**63 - 1  # whole number that NumPy and TensorFlow hold
NAMES = ("B", "T cell")  # what a list of names looks like


def option(
    default: Any,
    help: str,
    *,
    choices: tuple[str, ...] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    **marks: bool,
) -> Any:
    """A dataclass field with the sentence, choices and bounds of its flag, and further marks."""
    metadata = {"help": help, "choices": choices, "minimum": minimum, "maximum": maximum}
    return dataclasses.field(default=default, metadata=metadata | marks)


def option_of(section: type[DataclassInstance], name: str) -> Any:
    """The same field as another section has."""
    field = section.__dataclass_fields__[name]
    return dataclasses.field(default=field.default, metadata=field.metadata)


class Checked:
    """Checks each field against the bounds and choices in its metadata."""

    def __post_init__(self: DataclassInstance) -> None:
        for field in dataclasses.fields(self):
            value = _listed(getattr(self, field.name), field.default)
            object.__setattr__(self, field.name, value)
            _check_type(field, value)
            _check_value(field, value)


def _listed(value: Any, default: Any) -> Any:
    """A list as a tuple; and names in one text as their flag reads them, between commas."""
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, str) and _holds_names(default):
        try:
            return tuple(name.strip() for line in csv.reader([value], strict=True) for name in line)
        except csv.Error:  # a line break, or quotes that do not end
            return value
    return value


def _holds_names(default: Any) -> bool:
    """Whether several values are names; a tuple without a default holds such."""
    return isinstance(default, tuple) and all(isinstance(item, str) for item in default)


def _check_type(field: dataclasses.Field, value: Any) -> None:
    if not _is_like(value, field.default):
        raise InputError(
            what=f"The setting {field.name} has the wrong type.",
            expected=f"a value like {NAMES if field.default == () else field.default!r}",
            received=f"{field.name}={value!r}",
            advice=f"Give it such a value; --help tells of the flag --{field.name}.",
        )


def _is_like(value: Any, default: Any) -> bool:
    """Whether a value has the type of the default; a tuple without a default holds names."""
    if isinstance(default, tuple):
        example = default[0] if default else ""
        return isinstance(value, tuple) and all(_is_like(item, example) for item in value)
    wanted = (int, float) if isinstance(default, float) else type(default)
    return isinstance(value, wanted) and isinstance(value, bool) == isinstance(default, bool)


def _check_value(field: dataclasses.Field, value: Any) -> None:
    choices = field.metadata["choices"]
    if choices and value not in choices:
        raise InputError(
            what=f"The setting {field.name} has a value that is not offered.",
            expected=f"one of {', '.join(choices)}",
            received=f"{field.name}={value!r}",
            advice=f"Choose one of them for --{field.name}.",
        )
    low, high = field.metadata["minimum"], field.metadata["maximum"]
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, str):
            continue
        outside = (low is not None and number < low) or (high is not None and number > high)
        if outside or not _is_usable(number):
            high = LARGEST if high is None and isinstance(number, int) else high
            bounds = [f"at least {low}"] * (low is not None) + [f"at most {high}"] * (
                high is not None
            )
            raise InputError(
                what=f"The setting {field.name} is out of range.",
                expected=f"{field.name} {' and '.join(['finite', *bounds])}",
                received=f"{field.name}={value!r}",
                advice=f"Give --{field.name} within these bounds.",
            )


def _is_usable(number: float) -> bool:
    """Whether a number is finite, and not too large for those that count in 64 bits."""
    return abs(number) <= LARGEST if isinstance(number, int) else math.isfinite(number)


def require(holds: bool, what: str, expected: str, received: str) -> None:
    """Checks that no bound of a single value can say."""
    if not holds:
        raise InputError(
            what=what, expected=expected, received=received, advice="See the flags in --help."
        )
