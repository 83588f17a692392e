"""Lists of types as users give them, separated by commas that some of the names hold too."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import chain

from scadv_tf.data.one_line import one_line
from scadv_tf.errors import InputError

Parts = tuple[str, ...]
FLAG = "--drop_types"


def types_of_list(given: Sequence[str], known: Collection[str]) -> list[str]:
    """The known types that the list of --drop_types names.

    The Cell Ontology has names such as 'CD8-positive, alpha-beta T cell': what commas have cut is
    put together again, with quotes around the name or without.

    Parameters
    ----------
    given : what stood between the commas, or whole names.
    known : the names of all types.

    Raises
    ------
    InputError : a type is not known, or the list can be read in several ways.
    """
    names: dict[Parts, list[str]] = {}
    for name in sorted(known):
        names.setdefault(_parts(name), []).append(name)
    parts = {part for name in names for part in name}
    given = [item for item in given if item.strip() or "" in parts]  # a comma at the end
    readings = _readings(given, names)
    if len(readings) == 1:
        return readings[0]
    received = f"{FLAG}={','.join(given)}"
    if readings:
        ways = (" and ".join(map(_quoted, names)) for names in readings)
        longest = max(chain(*readings), key=lambda name: name.count(","))
        raise InputError(
            what=f"the list of {FLAG} can be read in several ways, as names of types have commas",
            expected="a list that names each type in one way",
            received=f"{received}, which may be " + ", or ".join(ways),
            advice=f"put quotes around a name with commas: {FLAG}='{_quoted(longest)}'; "
            "name types that must not be joined in another order",
        )
    strange = [name for name in given if not parts.issuperset(_parts(name))]
    unknown = strange or [name for name in given if name not in known]
    commas = next((name for name in sorted(known) if "," in name), "")
    raise InputError(
        what=f"no cell has the type {', '.join(unknown)}, which {FLAG} names",
        expected="one of: " + ", ".join(map(_quoted, sorted(known))),
        received=received,
        advice=f"correct {FLAG}"
        + (f"; put quotes around a name with commas: {FLAG}='{_quoted(commas)}'" if commas else ""),
    )


def _readings(given: Sequence[str], names: dict[Parts, list[str]]) -> list[list[str]]:
    """All ways to read a list as names of types, each whole name being one or several items."""
    if not given:
        return [[]]
    found = []
    for number in range(1, len(given) + 1):
        whole = given[:number]
        if number > 1 and any("," in item for item in whole):
            break  # an item that has kept its commas was quoted, so is a name by itself
        called = names.get(sum(map(_parts, whole), ()), [])
        # A name as it is written is no other that spaces alone tell from it.
        called = [whole[0]] if whole[0] in called else called
        rest = _readings(given[number:], names) if called else []
        found += [[name, *others] for name in called for others in rest]
    return found


def _parts(name: str) -> Parts:
    """What stands between the commas of a name, without quotes at the ends and spaces but one."""
    parts = one_line(name).split(",")
    return tuple(" ".join(part.strip().strip("'\"").split()) for part in parts)


def _quoted(name: str) -> str:
    return f'"{name}"' if "," in name else name
