"""Settings of the site: `python -m sphinx -W docs runs/site` builds it, tutorials are run."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import scadv_tf

project = "scadv_tf"
release = scadv_tf.__version__
html_title = f"scadv_tf {release}"
html_theme = "furo"
html_show_copyright = False
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["**/_*"]
myst_heading_anchors = 3
nb_execution_mode = "cache"  # only a tutorial that has changed is run again
nb_execution_in_temp = True
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_output_stderr = "remove"  # bars of progress
html_static_path = ["_static"]
html_css_files = ["site.css"]
autodoc_typehints = "none"  # the signature shows them
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_param = False


def flag_lists() -> str:
    """The page of all flags, from where they are declared."""
    from scadv_tf.comparison.systems import ComparisonConfig
    from scadv_tf.config import SECTIONS
    from scadv_tf.labelling import AnnotateConfig
    from scadv_tf.report import ReportConfig

    programs = [
        ("scadv train", "", SECTIONS.values()),
        ("scadv compare", "Those of `scadv train`, and", [ComparisonConfig]),
        ("scadv annotate", "", [AnnotateConfig]),
        ("scadv report", "", [ReportConfig]),
    ]
    lines = [
        "# Flags",
        "",
        "What each program's `--help` says, with defaults. In Python they are arguments so named.",
    ]
    for program, before, sections in programs:
        lines += ["", f"## {program}", "", *[before, ""] * bool(before)]
        for section in sections:
            lines += _list(section, heading=len(sections) > 1)
    return "\n".join(lines) + "\n"


def _list(section: type, heading: bool) -> list[str]:
    lines = [f"**{section.__doc__.splitlines()[0]}**", ""] * heading
    for field in dataclasses.fields(section):
        choices = field.metadata["choices"]
        text = field.metadata["help"] + f" One of {', '.join(choices)}." * bool(choices)
        text = text.replace("<", r"\<").replace("*", r"\*")
        text = re.sub(r"--\w+", r"`\g<0>`", text)
        default = field.default
        if isinstance(default, tuple):
            default = ",".join(map(str, default))
        name = f"`--{field.name}={default}`" if default != "" else f"`--{field.name}`"
        lines.append(f"- **{name}** {text}")  # no table, whose text a telephone would cut
    return [*lines, ""]


def _write_flags(app) -> None:
    page = Path(app.srcdir) / "reference" / "flags.md"
    text = flag_lists()
    if not page.exists() or page.read_text("utf-8") != text:  # else all would be built anew
        page.write_text(text, "utf-8")


def setup(app) -> None:
    """Sphinx calls it."""
    app.connect("builder-inited", _write_flags)
