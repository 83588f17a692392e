"""Lists of types on the command line, of which some names hold commas."""

from __future__ import annotations

import pytest
from absl import flags

from scadv_tf import flags as scadv_flags
from scadv_tf.data.type_lists import types_of_list
from scadv_tf.errors import InputError

LONG = "CD8-positive, alpha-beta T cell"
KNOWN = [LONG, "CD4+,CCR7-", "Mis", "B", "T, B"]


def as_given(argument: str) -> tuple[str, ...]:
    """What the parser makes of --drop_types."""
    values = flags.FlagValues()
    scadv_flags.define(values)
    values(["program", f"--drop_types={argument}"])
    return scadv_flags.to_config(values).data.drop_types


@pytest.mark.parametrize(
    "argument, names",
    [
        ("Mis", ["Mis"]),
        ("Mis,B", ["Mis", "B"]),
        (LONG, [LONG]),
        (f'"{LONG}"', [LONG]),
        (f"'{LONG}'", [LONG]),
        (f'Mis,"{LONG}"', ["Mis", LONG]),
        (f'Mis, "{LONG}" , B', ["Mis", LONG, "B"]),
        (f"Mis,{LONG},B,CD4+,CCR7-", ["Mis", LONG, "B", "CD4+,CCR7-"]),
        ("CD4+, CCR7-", ["CD4+,CCR7-"]),
        ("CD8-positive,alpha-beta T cell", [LONG]),
        ("CD8-positive ,  alpha-beta  T cell", [LONG]),
        ("B,T,B", ["B", "T, B"]),
        ("", []),
        ("Mis,", ["Mis"]),
        ("Mis,,B", ["Mis", "B"]),
    ],
)
def test_types_with_commas_need_no_quotes_and_may_have_them(argument, names):
    assert types_of_list(as_given(argument), KNOWN) == names


def test_names_in_a_list_of_python_are_whole():
    known = ["B", "T", "T, B", "T,B"]
    assert types_of_list(["T, B", "B"], known) == ["T, B", "B"]
    assert types_of_list(["T,B", "B"], known) == ["T,B", "B"]


def test_a_list_of_several_meanings_asks_for_quotes():
    known = ["T", "B", "T, B", "NK"]
    with pytest.raises(InputError, match="read in several ways") as error:
        types_of_list(as_given("NK,T,B"), known)
    assert error.value.received == (
        '--drop_types=NK,T,B, which may be NK and T and B, or NK and "T, B"'
    )
    assert """--drop_types='"T, B"'""" in error.value.advice
    assert types_of_list(as_given('"T, B"'), known) == ["T, B"]
    assert types_of_list(as_given("B,T"), known) == ["B", "T"]


def test_what_is_not_known_is_named_and_quotes_are_told_where_they_may_help():
    with pytest.raises(InputError, match="no cell has the type CD8-positive, which") as error:
        types_of_list(as_given("CD8-positive,Mis"), KNOWN)
    assert f'"{LONG}", Mis, "T, B"' in error.value.expected
    assert "put quotes around a name with commas" in error.value.advice
    with pytest.raises(InputError, match="no cell has the type Treg, which"):
        types_of_list(as_given(f"{LONG},Treg,B"), KNOWN)
    with pytest.raises(InputError) as error:
        types_of_list(["x"], ["B", "T"])
    assert error.value.expected == "one of: B, T" and error.value.advice == "correct --drop_types"
