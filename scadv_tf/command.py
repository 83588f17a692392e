"""The console command: ``scadv train|compare|annotate|report``, each a program of its own."""

from __future__ import annotations

import difflib
import importlib
import sys
from dataclasses import dataclass

from scadv_tf import __version__
from scadv_tf.errors import BAD_INPUT, InputError


@dataclass(frozen=True)
class Command:
    """A program: its module, what its own text calls it, and what it does, in a few words."""

    module: str
    otherwise: str
    summary: str


COMMANDS = {
    "train": Command(
        "scadv_tf.train", "train_main.py", "integrate RNA and ATAC cells, write labels and a report"
    ),
    "compare": Command(
        "scadv_tf.compare", "-m scadv_tf.compare", "run several systems on the same cells"
    ),
    "annotate": Command(
        "scadv_tf.annotate", "-m scadv_tf.annotate", "label new cells with an exported model"
    ),
    "report": Command(
        "scadv_tf.report", "-m scadv_tf.report", "write the report of a finished run anew"
    ),
}


def main() -> int:
    """Starts the program that the first word names; returns the exit code."""
    words = sys.argv[1:]
    if words[:1] in (["--help"], ["-h"], ["help"]):
        print(usage())
    elif words[:1] == ["--version"]:
        print(f"scadv_tf {__version__}")
    elif words and words[0] in COMMANDS:
        _start(*words)
    else:
        print(f"error: {_unknown(words)}", file=sys.stderr)
        return BAD_INPUT
    return 0


def usage() -> str:
    """What ``scadv --help`` prints."""
    width = max(map(len, COMMANDS))
    return "\n".join(
        [
            "Integrates unpaired single-cell RNA-seq and ATAC-seq and transfers cell-type labels.",
            "",
            "scadv COMMAND --flag=value …",
            "",
            *(f"  {name:{width}s}  {each.summary}" for name, each in COMMANDS.items()),
            "",
            "scadv COMMAND --help explains the flags of a command; scadv --version tells the "
            "version.",
        ]
    )


def _start(name: str, *words: str) -> None:
    if name == "report" and words and not words[0].startswith("-"):
        words = f"--output_dir={words[0]}", *words[1:]
    sys.argv = [f"scadv {name}", *words]
    program = importlib.import_module(COMMANDS[name].module)
    # absl begins its help with it.
    sys.modules["__main__"].__doc__ = _called_so(program.__doc__ or "")
    program.start()


def _called_so(text: str) -> str:
    """The text of a program with the names that this command gives the programs."""
    for name, command in COMMANDS.items():
        for otherwise in (f"python {command.otherwise}", command.otherwise):
            text = text.replace(otherwise, f"scadv {name}")
    return text.replace("scadv report --output_dir=", "scadv report ")


def _unknown(words: list[str]) -> InputError:
    nearest = difflib.get_close_matches(words[0], COMMANDS, n=1) if words else []
    return InputError(
        what="There is no such command." if words else "No command is given.",
        expected="scadv " + "|".join(COMMANDS),
        received=words[0] if words else "nothing",
        advice=(f"Did you mean scadv {nearest[0]}? " if nearest else "") + "See scadv --help.",
    )
