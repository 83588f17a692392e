"""Writes the report of a finished run anew, from what lies in its folder.

python -m scadv_tf.report --output_dir=runs/pbmc

The page is made of report.json and the pictures in figures/, so that pictures which were replaced
come with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scadv_tf import console
from scadv_tf import flags as scadv_flags
from scadv_tf.files import at_home
from scadv_tf.settings import Checked, option, require


@dataclass(frozen=True)
class ReportConfig(Checked):
    """Which report to write."""

    output_dir: str = option("", "Folder of the results of a run, as scadv train wrote it.")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            bool(self.output_dir), "--output_dir is missing.", "--output_dir=DIR", "no --output_dir"
        )


def rewrite(folder: Path) -> list[str]:
    """Writes the page of a run's folder; returns what the user sees.

    Raises
    ------
    InputError : it is no folder of a finished run, or something in it is damaged.
    """
    from scadv_tf.evaluation.report import read_content, told_if_damaged, write_report

    content = read_content(folder)
    with told_if_damaged(folder):
        path = write_report(folder / "report.html", content)
    warnings = [f"warning: {text}" for text in content.warnings]
    return [*map(str, content.summary), *warnings, f"report: {path}"]


def main() -> None:
    """Flags to page; what it says goes to the standard output."""
    config = scadv_flags.to_section(ReportConfig)
    print("\n".join(rewrite(at_home(config.output_dir))))


def start() -> None:
    """The whole program."""
    scadv_flags.define_section(ReportConfig)
    console.run_app(main)


if __name__ == "__main__":
    start()
