"""How soon a training is better than another system at its end, from the rows of a comparison."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from scadv_tf.comparison.summary import MACRO_F1, finished, values_of


def time_to_exceed(rows: Iterable[Mapping], systems: Sequence[str], rival: str) -> dict[str, dict]:
    """When each system that learns by epochs first exceeds a rival's mean macro F1.

    Parameters
    ----------
    rows : one a system and seed; those that learn by epochs have ``epochs``, with ``seconds`` since
        the start of the row (preparation and imports included) and ``scores``, macro F1 after each
        epoch.
    systems : to look at.
    rival : whose macro F1, the mean over its seeds, is to be exceeded.

    Returns
    -------
    system -> {'macro_f1': the rival's, 'seconds', 'epochs': one a seed, None where it never was}.
    Empty if the rival has no score.
    """
    rows = list(rows)
    goal = values_of(rows, rival, MACRO_F1)
    if not goal:
        return {}
    goal = float(np.mean(goal))
    found = {}
    for system in systems:
        learned = [row["epochs"] for row in finished(rows, system) if row.get("epochs")]
        if learned and system != rival:
            firsts = [_first_above(epochs["scores"], goal) for epochs in learned]
            pairs = list(zip(learned, firsts, strict=True))
            found[system] = {
                "macro_f1": goal,
                "seconds": [None if i is None else e["seconds"][i] for e, i in pairs],
                "epochs": [None if i is None else i + 1 for i in firsts],
            }
    return found


def _first_above(values: Sequence[float], goal: float) -> int | None:
    return next((place for place, value in enumerate(values) if value > goal), None)


def time_lines(found: Mapping[str, Mapping], rival: str) -> list[str]:
    """A line a system, for the terminal."""
    lines = []
    for system, times in found.items():
        reached = [seconds for seconds in times["seconds"] if seconds is not None]
        goal, seeds = f"{rival}'s macro F1 of {times['macro_f1']:.3f}", len(times["seconds"])
        if not reached:
            lines.append(f"{system} never exceeded {goal}")
            continue
        epochs = [epoch for epoch in times["epochs"] if epoch is not None]
        line = f"{system} exceeded {goal} after {np.median(reached):.1f} s, epoch"
        line += f" {np.median(epochs):g} (median)"
        if len(reached) < seeds:
            line += f"; at {len(reached)} of {seeds} seeds"
        lines.append(line)
    return lines
