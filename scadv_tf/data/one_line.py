"""Names that fit on a line each, as the lists of types, genes and peaks of an export hold them."""

from __future__ import annotations


def one_line(name: str) -> str:
    """The name with a space for each line break, of any kind that Unicode knows."""
    return " ".join(name.splitlines())
