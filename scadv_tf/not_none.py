"""Values that may be missing, where it is known that they are not."""

from __future__ import annotations

from typing import TypeVar

Value = TypeVar("Value")


def not_none(value: Value | None) -> Value:
    """The value itself, which the caller knows to be there: labels where types were taught, …

    Raises
    ------
    TypeError : it is None, so the caller is wrong.
    """
    if value is None:
        raise TypeError("expected a value; received None")
    return value
