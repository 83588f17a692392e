"""Something doubtful in a run: how bad it is, what was seen, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scadv_tf.naming import named

# Red: answers are likely wrong. Amber: some are, or may be. A note is no cause for either.
RED, AMBER, NOTE = LEVELS = ("red", "amber", "note")
# Shares of rare types differ manifold by chance, so only types this common are judged.
COMMON_SHARE = 0.05
# Of random 300 cells of four real pairs macro F1 is 0.2 to 0.97; of 100 cells of some a third is
# right with a confidence of 0.6. Of a hundred, marker genes do not tell either.
FEW_CELLS = 500


@dataclass(frozen=True)
class Finding:
    """Something doubtful.

    Attributes
    ----------
    level : 'red', 'amber' or 'note'.
    text : what was seen, with its numbers; sentences.
    advice : what to do about it; sentences.
    """

    level: str
    text: str
    advice: str = ""

    def called(self, query: str) -> Finding:
        """The same with the name of the query cells."""
        return Finding(self.level, named(self.text, query), named(self.advice, query))

    def __str__(self) -> str:
        return f"{self.text} {self.advice}".strip()


def by_level(found: Iterable[Finding]) -> list[Finding]:
    """The worst first; those of a level in their order."""
    return sorted(found, key=lambda finding: LEVELS.index(finding.level))


def joined(names: Sequence[str], word: str = "and") -> str:
    """Names in a sentence: 'a, b and c'."""
    names = list(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}"
