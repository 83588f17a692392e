"""Parts of a page: sections, lists and tables, with all text escaped."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

NO_VALUE = "not known"


def section(title: str, body: str) -> str:
    """Render a titled section; nothing when its body is empty."""
    return f"<section>\n<h2>{html.escape(title)}</h2>\n{body}\n</section>" if body else ""


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
        isinstance(value, int | float | np.number) and not isinstance(value, bool)
    )


def pairs(mapping: Mapping, name: str, meaning: str) -> str:
    """Render a mapping as a table of two columns with these heads."""
    return table([name, meaning], mapping.items())
