"""A comparison of systems as plain text, for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from scadv_tf.comparison.summary import COLUMNS, failed, finished, standings, summarize
from scadv_tf.evaluation.html_parts import Estimate

GAP = "  "


def comparison_table(rows: Iterable[Mapping], systems: Sequence[str]) -> list[str]:
    """Lay out means and standard deviations over the seeds, one line a system.

    Parameters
    ----------
    rows : one a system and seed, as in comparison.json.
    systems : their names, in the order wanted.

    Returns
    -------
    Lines of equal columns: a head, a line a system, and what went wrong. A '*' marks the best of a
    score's column. A score that no seed has reads 'no value'. A system of which no seed finished
    has the first line of its error in place of its numbers; when only some failed, a line below
    the table says why.
    """
    rows = list(rows)
    lines = [
        ["System", "Seeds", *(column.head for column in COLUMNS)],
        *([system, *cells] for system, cells in _cells(rows, systems).items()),
    ]
    full = [line for line in lines if len(line) == len(lines[0])]
    widths = [max(map(len, texts)) for texts in zip(*full, strict=True)]
    widths[0] = max(len(line[0]) for line in lines)
    widths[1] = max(len(line[1]) for line in lines)
    below = [
        f"{row['system']}, seed {row['seed']}, failed: {first_line(row['error'])}"
        for system in systems
        if finished(rows, system)
        for row in failed(rows, system)
    ]
    return [_aligned(line, widths) for line in lines] + below


def _cells(rows: Sequence[Mapping], systems: Sequence[str]) -> dict[str, list[str]]:
    """Return each system's texts: the seeds and a text a column, or the seeds and why it failed."""
    summary = summarize(rows, systems)
    cells = {}
    for system, found in standings(summary, COLUMNS).items():
        errors = failed(rows, system)
        seeds = f"{summary[system]['rows']}/{summary[system]['rows'] + len(errors)}"
        if errors and not summary[system]["rows"]:
            cells[system] = [seeds, f"failed: {first_line(errors[0]['error'])}"]
        else:
            cells[system] = [seeds, *map(_cell, found)]
    return cells


def _cell(found: Estimate) -> str:
    """Return the text of one number; a space in place of the mark keeps the digits aligned."""
    return found.text + (f" ±{found.spread}" if found.spread else "") + ("*" if found.best else " ")


def first_line(error: str) -> str:
    """Return the first line of a text that is not empty."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "unknown error")


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    """Set names to the left and numbers to the right; a failure keeps the place of its numbers."""
    name, seeds, *texts = line
    parts = [name.ljust(widths[0]), seeds.rjust(widths[1])]
    if len(line) < len(widths):
        return GAP.join([*parts, *texts])
    parts += [text.rjust(width) for text, width in zip(texts, widths[2:], strict=True)]
    return GAP.join(parts).rstrip()
