"""The floors of the package: imports lead down, never up and never round."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

import scadv_tf

PACKAGE = Path(scadv_tf.__file__).parent
# From the ground: what stands on a floor may import what lies below, and its own modules.
FLOORS = (
    ("errors", "files", "libraries", "memory", "modalities", "modes", "not_none", "signals"),
    ("progress",),
    ("folders", "naming", "refusals", "settings"),
    ("config",),
    ("data", "flags"),
    ("client", "cluster", "console", "evaluation", "models"),
    ("annotation", "baselines", "checkpoints", "team"),
    ("fitting", "labelling", "scoring", "serving"),
    ("annotate", "run_figures"),
    ("pl", "results"),
    ("result_folder",),
    ("training",),
    ("comparison",),
    ("compare", "report", "train"),
    ("api", "command"),
)
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
# Those that need no TensorFlow, so that they start fast: everything of theirs but these modules.
WITHOUT_TENSORFLOW = (
    *("data", "client", "evaluation", "baselines", "scoring", "config", "flags", "console"),
    *("api", "command", "pl"),
)
WITH_TENSORFLOW = {"data.pipeline", "client.exported", "client.grpc_transport"}


@functools.cache
def modules() -> dict[str, ast.Module]:
    """Name below the package, such as 'data.pairing' -> its syntax tree."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        found[name] = ast.parse(path.read_text("utf-8"))
    return found


def imported(tree: ast.Module) -> set[str]:
    """Full names of what a module imports, inside of functions too; not what only types need."""
    only_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in only_types:
            continue
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole path"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def graph() -> dict[str, set[str]]:
    """Module -> the modules of the package that it imports."""
    trees = modules()
    arrows = {}
    for name, tree in trees.items():
        found = {full.removeprefix("scadv_tf.") for full in imported(tree)} & trees.keys()
        # `from scadv_tf.data import rows` names the package and what is meant.
        meant = {one for one in found if not any(other.startswith(f"{one}.") for other in found)}
        arrows[name] = meant - {name}
    return arrows


def room(module: str) -> str:
    return module.split(".")[0]


def arrows_up(arrows: dict[str, set[str]]) -> list[str]:
    """Imports between rooms that do not lead down."""
    return [
        f"{module} -> {other}"
        for module, others in arrows.items()
        for other in others
        if room(module) != room(other) and FLOOR_OF[room(module)] <= FLOOR_OF[room(other)]
    ]


def circle(arrows: dict[str, set[str]]) -> list[str]:
    """The modules of which each imports another of them; empty without a circle."""
    left = {module: set(others) for module, others in arrows.items()}
    while free := {module for module, others in left.items() if not others}:
        left = {module: others - free for module, others in left.items() if module not in free}
    return sorted(left)


def test_every_room_has_one_floor():
    rooms = {room(module) for module in graph() if module}
    assert rooms == set(FLOOR_OF)
    assert sum(map(len, FLOORS)) == len(FLOOR_OF)


def test_imports_lead_down_and_never_round():
    arrows = {module: others for module, others in graph().items() if module}
    assert sum(map(len, arrows.values())) > 100  # so that something was looked at
    assert arrows_up(arrows) == []
    assert circle(arrows) == []


def test_a_package_within_names_nothing_so_its_modules_load_alone():
    packages = [path for path in PACKAGE.rglob("__init__.py") if path.parent != PACKAGE]
    assert packages
    for path in packages:
        (docstring,) = ast.parse(path.read_text("utf-8")).body
        assert isinstance(docstring, ast.Expr), path


def test_an_arrow_up_and_a_circle_are_seen():
    assert arrows_up({"data.rows": {"models.layers", "errors"}}) == ["data.rows -> models.layers"]
    assert arrows_up({"team": {"checkpoints"}}) == ["team -> checkpoints"]  # side by side
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]


@pytest.mark.parametrize("name", WITHOUT_TENSORFLOW)
def test_what_needs_no_tensorflow_imports_none(name):
    heavy = {"tensorflow", "keras", "tensorflow_probability"}
    found = {
        module
        for module, tree in modules().items()
        if room(module) == name and {full.split(".")[0] for full in imported(tree)} & heavy
    }
    assert found <= WITH_TENSORFLOW
