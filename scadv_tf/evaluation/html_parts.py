"""A page and its parts: sections, lists, tables and pictures, with all text escaped."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template

import numpy as np

from scadv_tf.errors import InputError
from scadv_tf.evaluation.style import DPI, title_of

NO_VALUE = "not known"
# Pictures are shown at the size that they were drawn for; an inch has 96 CSS pixels.
PIXELS_PER_DOT = 96 / DPI
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"  # the last chunk, without which the file was cut short


@dataclass(frozen=True)
class Estimate:
    """A number in a table: its text, the text of its spread ('' if none), bold if it is best."""

    text: str
    spread: str = ""
    best: bool = False


def page(
    title: str,
    dataset: str,
    summary: Iterable[str],
    sections: Iterable[str],
    lead: str = "",
    data: str = "",
) -> bytes:
    """Render a page that needs no network and no other file; empty sections go.

    Its one script sorts tables and shows the cells of `data`; without scripts all else is there.
    Nothing but this script can run, since the page's policy knows its digest.

    Parameters
    ----------
    lead : what stands before the summary.
    data : see `data_block`.
    """
    text, script = (
        (resources.files(__package__) / name).read_text("utf-8")
        for name in ("report_template.html", "report_script.js")
    )
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return (
        Template(text)
        .substitute(
            title=html.escape(title),
            dataset=html.escape(dataset),
            lead=lead,
            summary=bullets(summary, "summary"),
            body="\n".join(filter(None, sections)),
            data=data,
            script=script,
            script_hash=f"sha256-{digest}",
        )
        .encode("utf-8")
    )


def data_block(name: str, values: object) -> str:
    """Values for the script, which no browser runs; nothing in them ends the block."""
    text = json.dumps(values, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>'


def section(title: str, body: str) -> str:
    """Render a titled section; nothing when its body is empty."""
    return f"<section>\n<h2>{html.escape(title)}</h2>\n{body}\n</section>" if body else ""


def folded(title: str, body: str) -> str:
    """Render a titled section that opens by a click; nothing when its body is empty."""
    if not body:
        return ""
    head = f"<summary><h2>{html.escape(title)}</h2></summary>"
    return f"<details>\n{head}\n{body}\n</details>"


def bullets(lines: Iterable[str], style: str = "") -> str:
    """Render lines as a list of the CSS class `style`; nothing without lines."""
    items = "".join(f"<li>{html.escape(str(line))}</li>" for line in lines)
    return f'<ul class="{style}">{items}</ul>' if items else ""


def is_missing(value: object) -> bool:
    """Tell whether a value is None, NaN or infinite."""
    return value is None or (isinstance(value, float | np.floating) and not np.isfinite(value))


def text_of(value: object) -> str:
    """Return a value as escaped text; numbers short, what is missing said in words."""
    if is_missing(value):
        return NO_VALUE
    if isinstance(value, Estimate):
        return _estimate(value)
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if isinstance(value, float | np.floating):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        named = (f"{html.escape(str(name))}: {text_of(item)}" for name, item in value.items())
        return ", ".join(named) or "none"
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return ", ".join(text_of(exact(item)) for item in value) or "none"
    return html.escape(str(value)) or "none"


def _estimate(value: Estimate) -> str:
    text = html.escape(value.text)
    text = f"<strong>{text}</strong>" if value.best else text
    # A narrow table breaks the line before the sign, and nowhere else.
    return f"{text} <small>±&nbsp;{html.escape(value.spread)}</small>" if value.spread else text


def exact(value: object) -> object:
    """Keep a seed or a size as it was typed, without the commas that a count of cells gets."""
    is_count = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return str(value) if is_count else value


def table(
    heads: Sequence[str], rows: Iterable[Sequence], caption: str = "", headline: int = -1
) -> str:
    """Render a table whose first column names the row; numbers stand to the right."""
    rows = [list(row) for row in rows]
    if not rows:
        return ""
    numeric = [i > 0 and all(_is_number(row[i]) for row in rows) for i in range(len(heads))]
    styles = [' class="number"' if found else "" for found in numeric]
    head = "".join(
        f'<th scope="col"{style}>{html.escape(name)}</th>'
        for name, style in zip(heads, styles, strict=True)
    )
    body = []
    for place, (name, *values) in enumerate(rows):
        cells = "".join(
            f"<td{style}>{text_of(value)}</td>"
            for value, style in zip(values, styles[1:], strict=True)
        )
        mark = ' class="headline"' if place == headline else ""
        body.append(f'<tr{mark}><th scope="row">{text_of(name)}</th>{cells}</tr>')
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll"><table>{title}<thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        return re.fullmatch(r"-?[\d,.]+", value) is not None
    return value is None or (
        isinstance(value, int | float | np.number | Estimate) and not isinstance(value, bool)
    )


def pairs(mapping: Mapping, name: str, meaning: str) -> str:
    """Render a mapping as a table of two columns with these heads."""
    return table([name, meaning], mapping.items())


def figure(caption: str, path: Path) -> str:
    """Render a PNG with a caption; the picture is in the page."""
    content = path.read_bytes()
    if not content.startswith(PNG_SIGNATURE) or PNG_END not in content:
        raise InputError(
            what=f"The picture '{caption}' cannot be put into the report.",
            expected="a PNG that is whole",
            received=f"{len(content)} bytes that begin with {content[:8]!r} and end with "
            f"{content[-8:]!r}",
            advice="Save the figure anew, with the suffix .png.",
        )
    # The size stands in the header of a PNG, so that a page keeps its place while it loads.
    width, height = (
        round(int.from_bytes(content[at : at + 4], "big") * PIXELS_PER_DOT) for at in (16, 20)
    )
    caption = html.escape(caption)
    source = f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"
    return (
        f'<figure><img src="{source}" width="{width}" height="{height}" alt="{caption}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def settings_tables(settings: Mapping) -> str:
    """Render the settings; each nested group has its own table."""

    def table_of(group: Mapping) -> str:
        return pairs({name: exact(value) for name, value in group.items()}, "Setting", "Value")

    groups = {name: value for name, value in settings.items() if isinstance(value, Mapping)}
    body = table_of({name: value for name, value in settings.items() if name not in groups})
    parts = [
        f"<div><h3>{html.escape(title_of(name))}</h3>{table_of(group)}</div>"
        for name, group in groups.items()
        if group
    ]
    return body + (f'<div class="columns">{"".join(parts)}</div>' if parts else "")
