"""Lines of a BED: intervals, as programs write them and R rewrites them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from scadv_tf.data.one_line import one_line

IN_POWERS = r"\d+(?:\.\d+)?[eE]\+\d+"  # 1e+05, which R makes of 100000

_LONGEST_GENOME = 1_000_000_000_000  # of base pairs; more are a mistake in the file
_POSITION = re.compile(rf"\d{{1,13}}(?:\.0+)?|{IN_POWERS}")
_QUOTED = re.compile(r'^"(.*)"$')  # as R's write.table does
_COMMENTS = ("#", "track", "browser")
_NUMBER = re.compile(r"\s-?\d+(?:\s|$)")


def position(text: str) -> int | None:
    """Base pairs from text: 100000, 100000.0 or 1e+05; None where it is no place in a genome."""
    found = float(text) if _POSITION.fullmatch(text) else -1.0
    return int(found) if found.is_integer() and 0 <= found <= _LONGEST_GENOME else None


def intervals_in(
    lines: Iterable[str], mark: str | None, columns: int, strict: bool
) -> Iterator[tuple[list[str], int, int]]:
    """The fields of each line without quotes, the start and the end.

    Lines of comments, ``track`` and ``browser`` are passed over, and one line of headings.

    Parameters
    ----------
    mark : between fields; None for tabs and spaces.
    columns : how many a line has at least.
    strict : whether an end that is not behind its start is an error; else it is passed over.

    Raises
    ------
    ValueError : a line is no interval; it is told with its number.
    """
    begun, headings = False, 0
    for number, line in enumerate(lines, start=1):
        fields = [field.strip() for field in line.split(mark)]
        if '"' in line:
            fields = [_QUOTED.sub(r"\1", field) for field in fields]
        start, end = map(position, fields[1:3]) if len(fields) >= columns else (None, None)
        if start is not None and end is not None and start < end:
            begun = True
            yield fields, start, end
        elif line.strip() and not line.startswith(_COMMENTS) and (strict or None in (start, end)):
            headings += 1
            if begun or headings > 1 or _NUMBER.search(line):
                raise ValueError(f"line {number}: {one_line(line)[:80]}")
