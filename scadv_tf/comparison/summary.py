"""Numbers of a comparison of systems: rows of one system and seed in, means over seeds out.

A row is what comparison.json holds of one system at one seed: 'system', 'seed', 'error' (None, or
why it failed), and scores, of which those of a route are nested. Scores that lie deeper are named
with dots, as in 'label_transfer.macro_f1'.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scadv_tf.data.labels import HEADLINE
from scadv_tf.evaluation.html_parts import Estimate


@dataclass(frozen=True)
class Column:
    """A number that systems are compared by.

    Parameters
    ----------
    score : its name, with dots.
    head : what stands above it in a table.
    decimals : that are shown.
    goal : the nearer to it the better; None for a number that no system is praised for.
    """

    score: str
    head: str
    decimals: int = 3
    goal: float | None = 1.0


MACRO_F1, WEIGHTED_F1 = f"{HEADLINE}.macro_f1", f"{HEADLINE}.weighted_f1"
COLUMNS = (
    Column(MACRO_F1, "Macro F1"),
    Column(WEIGHTED_F1, "Weighted F1"),
    Column(f"{HEADLINE}.accuracy", "Accuracy"),
    Column("silhouette_umap", "Silhouette"),
    Column("modality_mixing", "Mixing"),
    Column("calibration_error", "Calibration", goal=0.0),
    Column("seconds.total", "Seconds", 1, None),
    Column("peak_memory_mb", "Memory, MB", 0, None),
)
NO_SCORE = "no value"
SUMMARIZED = tuple(column.score for column in COLUMNS)


def summarize(
    rows: Iterable[Mapping], systems: Iterable[str], scores: Sequence[str] = SUMMARIZED
) -> dict[str, dict]:
    """Mean, spread and minimum over the seeds of each system.

    Parameters
    ----------
    rows : one a system and seed. Those with an error are not counted.
    systems : their names; each has an entry, also without rows.
    scores : names with dots.

    Returns
    -------
    system -> {'rows': number of finished rows, score: {'mean', 'std', 'min'}}. The standard
    deviation is that of a sample (divisor n - 1); it is None for a single value, since one seed
    tells nothing of the spread. All three are None when no row has the score. A row without the
    score (None or not finite) is left out of its mean, never counted as 0.
    """
    rows = list(rows)
    return {
        system: {"rows": len(finished(rows, system))}
        | {score: _summary(values_of(rows, system, score)) for score in scores}
        for system in systems
    }


def _summary(values: Sequence[float]) -> dict[str, float | None]:
    if not len(values):
        return {"mean": None, "std": None, "min": None}
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "std": spread, "min": float(np.min(values))}


def finished(rows: Iterable[Mapping], system: str) -> list[Mapping]:
    """Return the rows of a system that ended without an error, in the order of their seeds."""
    return [row for row in _of_system(rows, system) if row.get("error") is None]


def failed(rows: Iterable[Mapping], system: str) -> list[Mapping]:
    """Return the rows of a system that ended with an error, in the order of their seeds."""
    return [row for row in _of_system(rows, system) if row.get("error") is not None]


def _of_system(rows: Iterable[Mapping], system: str) -> list[Mapping]:
    return sorted((row for row in rows if row["system"] == system), key=lambda row: row["seed"])


def values_of(rows: Iterable[Mapping], system: str, score: str) -> list[float]:
    """Return a score of each finished row of a system that has it, in the order of the seeds."""
    values = (_look_up(row, score) for row in finished(rows, system))
    return [float(value) for value in values if value is not None and np.isfinite(value)]


def _look_up(row: Mapping, score: str) -> float | None:
    value: Any = row
    for name in score.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def routes_of(rows: Iterable[Mapping]) -> list[str]:
    """Return the routes of label transfer that any row has scores of, as they first appear."""
    found = (name for row in rows for name in row if _look_up(row, f"{name}.macro_f1") is not None)
    return list(dict.fromkeys(found))


def standings(
    summary: Mapping[str, Mapping], columns: Sequence[Column]
) -> dict[str, list[Estimate]]:
    """System -> its score in each column as tables show it; a single seed has no spread.

    Parameters
    ----------
    summary : as from `summarize`, of the columns' scores.
    """
    best = {column.score: best_systems(summary, column) for column in columns}
    return {
        system: [
            Estimate(*_texts(found[column.score], column), system in best[column.score])
            for column in columns
        ]
        for system, found in summary.items()
    }


def best_systems(summary: Mapping[str, Mapping], column: Column) -> set[str]:
    """Return the systems whose mean, as it is shown, lies nearest to the column's goal.

    Systems that tie at the shown decimals are all best. Without a goal, or with fewer than two
    systems to compare, none is.
    """
    means = {system: found[column.score]["mean"] for system, found in summary.items()}
    goal, decimals = column.goal, column.decimals
    gaps = {
        system: round(abs(round(mean, decimals) - goal), decimals)
        for system, mean in means.items()
        if goal is not None and mean is not None
    }
    if len(gaps) < 2:
        return set()
    return {system for system, gap in gaps.items() if gap == min(gaps.values())}


def _texts(found: Mapping, column: Column) -> tuple[str, str]:
    if found["mean"] is None:
        return NO_SCORE, ""
    mean, spread = (
        "" if number is None else f"{number:,.{column.decimals}f}"
        for number in (found["mean"], found["std"])
    )
    return mean, spread
