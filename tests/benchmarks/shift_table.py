"""What `bench_shift.py` prints of its rows: a line each, means over the seeds, and the table.

A row is what comparison.json holds of one system at one seed, and the perturbation as 'row'.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from scadv_tf.comparison.summary import values_of

SCORES = {
    "macro_f1": "label_transfer.macro_f1",
    "accuracy": "label_transfer.accuracy",
    "calibration_error": "calibration_error",
    "modality_mixing": "modality_mixing",
    "seconds": "seconds.total",
}
EXTRA = ("unknown_share", "accuracy_of_known", "epochs_trained")  # of the systems that have them
# Shown in the table, and what the worst of some values is.
SHOWN: dict[str, Callable] = {"macro_f1": min, "accuracy": min, "calibration_error": max}
OF_ROW = ("row", "system", "seed", "rna_cells", "atac_cells", "atac_cells_scored", "types_gone")
OURS, UNPERTURBED = "scadv", "none"


def line_of(content: dict, dataset: str) -> dict:
    """A row as it is printed."""
    line = {"dataset": dataset} | {key: content[key] for key in OF_ROW if key in content}
    if content["error"] is not None:
        return line | {"error": content["error"]}
    scores = SCORES | {name: name for name in EXTRA}
    values = {
        name: values_of([content], content["system"], score) for name, score in scores.items()
    }
    return line | {
        name: round(found[0], 4) if found else None
        for name, found in values.items()
        if found or name in SCORES
    }


def mean_line_of(name: str, rows: list[dict], systems: Sequence[str], dataset: str) -> dict:
    """The line after the rows of one perturbation: the macro F1 of each system."""
    macro_f1 = means_of(rows, systems)[name]["macro_f1"]
    rounded = {system: round(value, 4) for system, value in macro_f1.items()}
    return {"dataset": dataset, "row": name, "mean_macro_f1": rounded}


def means_of(rows: list[dict], systems: Sequence[str]) -> dict[str, dict]:
    """Row -> score -> {system: mean over the seeds}, of the systems that have it."""
    found = {}
    for name in dict.fromkeys(row["row"] for row in rows):
        of_row = [row for row in rows if row["row"] == name]
        found[name] = {}
        for short, score in SCORES.items():
            values = {system: values_of(of_row, system, score) for system in systems}
            found[name][short] = {
                system: float(np.mean(numbers)) for system, numbers in values.items() if numbers
            }
    return found


def summary_of(means: dict[str, dict], systems: Sequence[str]) -> dict[str, dict]:
    """'worst' and 'mean' -> score -> {system: of all perturbations in which it has the score}.

    The data as they are do not count as a perturbation.
    """
    perturbed = [scores for name, scores in means.items() if name != UNPERTURBED]
    found = {"worst": {}, "mean": {}}
    for score, worst in SHOWN.items():
        values = {s: [row[score][s] for row in perturbed if s in row[score]] for s in systems}
        values = {system: numbers for system, numbers in values.items() if numbers}
        found["worst"][score] = {system: worst(numbers) for system, numbers in values.items()}
        found["mean"][score] = {s: float(np.mean(numbers)) for s, numbers in values.items()}
    return found


def gap_of(macro_f1: dict[str, float]) -> float | None:
    """Macro F1 of our model less that of the best other; None where one is missing."""
    others = [value for system, value in macro_f1.items() if system != OURS]
    return macro_f1[OURS] - max(others) if OURS in macro_f1 and others else None


def table_of(rows: list[dict], systems: Sequence[str]) -> list[str]:
    """The lines of the table in Markdown: a line a perturbation, then the worst and the mean."""
    means = means_of(rows, systems)
    lines = [
        "Macro F1 / accuracy / calibration error, means over the seeds. Worst and mean are over",
        "the perturbations that the system finished, without 'none'. The last column is the",
        "macro F1 of scadv less that of the best other system.",
        "",
    ]
    cells = [["perturbation", *systems, "difference"]]
    for name, scores in (means | summary_of(means, systems)).items():
        gap = gap_of(scores["macro_f1"])
        shown = [" / ".join(_number(scores[score].get(s)) for score in SHOWN) for s in systems]
        cells.append([name, *shown, "" if gap is None else f"{gap:+.3f}"])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    for row in cells:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("| " + " | ".join(padded) + " |")
    failed = [row for row in rows if row["error"] is not None]
    if failed:
        lines += ["", "Failed, and not in the means:"]
        lines += [f"- {r['row']}, {r['system']}, seed {r['seed']}" for r in failed]
    return lines


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
