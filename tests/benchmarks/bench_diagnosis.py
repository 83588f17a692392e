"""What colour the diagnosis gives to sound and to spoilt data: a row a perturbation.

python tests/benchmarks/bench_diagnosis.py --dataset=pbmc
python tests/benchmarks/bench_diagnosis.py --rna=RNA.h5ad --atac=ATAC.h5ad --rows=none,shuffled
python tests/benchmarks/bench_diagnosis.py --dataset=synthetic --rows=halves

The perturbations are some of `shifts.py`, which may be amber but never red, and those of `SPOILT`,
which have to be red, and of `DOUBTED`, not green. Of four known labels or more, random halves are
made into pairs, too: the half in RNA with the same in ATAC (`halves 1 alike`, never red), and with
the other (`halves 1 apart`, red). Samples that lack a whole lineage are never red either; of ATAC
cells of one lineage alone, whose labels may all be wrong, any colour may be. Known ATAC labels
choose what is perturbed and give the accuracy beside the colour; the diagnosis does not see them.
The labels that it sees are those of the linear guess, of which it takes seconds, or with --network
those of a training, with all that it is scored by: what makes a row red is the same but for the
share of unknown cells. A JSON line a row, then a table; --output_dir (default:
runs/<dataset>_diagnosis) holds the lines, and rows that are there already are not run again. Takes
all flags of train_main.py.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import tempfile
import time
import zlib
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np  # noqa: E402
from absl import flags  # noqa: E402
from scipy import sparse  # noqa: E402

from scadv_tf import console  # noqa: E402
from scadv_tf import flags as scadv_flags  # noqa: E402

SOUND = ("none", "atac_10%", "atac_half", "cells_300", "cells_100", "counts_", "genes_")
EMPTY_FOR_ONE, EMPTY_DEPTH = 10, 0.01  # droplets for one cell, and their counts over a cell's
HALVINGS, FEWEST_LABELS = 6, 4
MEASURES = ("coactivity", "between_types", "abundance")
COLUMNS = ("row", "expected", "color", *MEASURES, "liker", "kappa", "accuracy", "reason")


def shuffled(data, truth, rng):
    """Gene names of the ATAC side in a random order, as of the wrong genome or a lost order."""
    order = rng.permutation(len(data.genes))
    return dataclasses.replace(data, atac=sparse.csr_matrix(data.atac[:, order])), truth


def no_common_type(data, truth, rng):
    """Of the known labels, every other one in ATAC alone, and the others in RNA alone.

    By lineage where types are named A1, A2, B1, …, as in simulated tissues: relatives are no
    strangers. Of three labels the ATAC cells have two.
    """
    import shifts

    labels = shifts.largest_types(data, truth)
    lineages = sorted({name[0] for name in labels})
    simulated = all(name[1:].isdigit() for name in labels)
    in_rna = [name for name in labels if name[0] == lineages[0]] if simulated else labels[::2]
    if not simulated and len(labels) < 4:
        in_rna = labels[:1]
    return of_labels(data, truth, in_rna, sorted(set(labels) - set(in_rna)))


def of_labels(data, truth, in_rna, in_atac):
    """The cells of some known labels of each modality."""
    import shifts

    of_rna = np.isin(truth.coarsen(data.types)[data.rna_labels], in_rna)
    of_atac = np.isin(truth.labels, in_atac)
    return shifts.chosen_cells(data, truth, np.flatnonzero(of_rna), np.flatnonzero(of_atac))


def halves(data, truth) -> dict:
    """Rows of random halves of the known labels, as `perturbations` has them."""
    import shifts

    labels = shifts.largest_types(data, truth)
    found = {}
    for number in range(HALVINGS if len(labels) >= FEWEST_LABELS else 0):
        drawn = np.random.default_rng(number).permutation(labels)
        parts = drawn[: len(drawn) // 2], drawn[len(drawn) // 2 :]
        for name, expected, in_atac in (("alike", "not red", 0), ("apart", "red", 1)):
            given = {"in_rna": parts[0], "in_atac": parts[in_atac]}
            found[f"halves {number + 1} {name}"] = expected, partial(of_labels, **given)
    return found


def labels_in_another_order(data, truth, rng, share: float = 1.0):
    """Of so many RNA cells, as of a table that was joined by its rows."""
    cells = rng.permutation(len(data.rna_labels))[: int(share * len(data.rna_labels))]
    labels = data.rna_labels.copy()
    labels[cells] = labels[rng.permutation(cells)]
    return dataclasses.replace(data, rna_labels=labels), truth


def other_species(data, truth, rng):
    """Names that match in spite of upper and lower case alone, as those of mouse and human."""
    how = dict.fromkeys(data.matching.matched_how, 0) | {"case": len(data.genes)}
    return dataclasses.replace(
        data, matching=dataclasses.replace(data.matching, matched_how=how)
    ), truth


def unfiltered(data, truth, rng):
    """Ten droplets with stray counts of all cells for each ATAC cell."""
    number = EMPTY_FOR_ONE * len(data.atac_cells)
    tables = {"atac": _with_droplets(data.atac, number, rng)}
    if data.peaks is not None:
        tables["peaks"] = _with_droplets(data.peaks, number, rng)
    names = np.concatenate([data.atac_cells, [f"droplet{i}" for i in range(number)]])
    obs = data.atac_obs.reindex([*data.atac_obs.index, *names[-number:]])
    labels = np.concatenate([truth.labels, np.full(number, "")])
    spoilt = dataclasses.replace(data, atac_cells=names, atac_obs=obs, rows={}, **tables)
    return spoilt, dataclasses.replace(truth, labels=labels)


def _with_droplets(counts, number: int, rng) -> sparse.csr_matrix:
    total = np.asarray(counts.sum(axis=0), dtype=float).ravel()
    depth = EMPTY_DEPTH * np.median(np.asarray(counts.sum(axis=1)))
    sizes = rng.poisson(depth, number)
    genes = rng.choice(len(total), sizes.sum(), p=total / total.sum())
    ones = np.ones(len(genes), dtype=np.float32)
    stray = sparse.csr_matrix((ones, (np.repeat(np.arange(number), sizes), genes)),
                              shape=(number, len(total)))  # fmt: skip
    return sparse.vstack([counts, stray], format="csr")


SPOILT = {
    "shuffled gene names": shuffled,
    "no common type": no_common_type,
    "names match by case alone": other_species,
    "unfiltered barcodes": unfiltered,
    "RNA labels in another order": labels_in_another_order,
}
DOUBTED = {"half of the RNA labels in another order": partial(labels_in_another_order, share=0.5)}


def perturbations(data, truth) -> dict:
    """Name -> what must not be red or must be, and the function of (data, truth) -> both."""
    import shifts

    found = {
        shift.name: ("not red", lambda *pair, shift=shift: shift.apply(*pair, 0))
        for shift in shifts.grid(data, truth)
        if shift.name.startswith(SOUND)
    }
    for shift in shifts.of_lineages(data, truth):
        expected = "any" if shift.name.startswith("atac_only") else "not red"
        found[shift.name] = expected, lambda *pair, shift=shift: shift.apply(*pair, 0)

    def seeded(name: str):
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        return lambda *pair: (SPOILT | DOUBTED)[name](*pair, rng)

    found |= {name: ("red", seeded(name)) for name in SPOILT}
    found |= {name: ("not green", seeded(name)) for name in DOUBTED}
    return found | halves(data, truth)


def guessed(data, truth, config) -> dict:
    """The diagnosis and the accuracy of the linear guess."""
    from scadv_tf.data import preprocessing
    from scadv_tf.evaluation.diagnosis import diagnose, empty_cells, sampled_cells
    from scadv_tf.evaluation.findings import Evidence
    from scadv_tf.evaluation.left_out import LeftOut

    cells = preprocessing.fit(data, config.preprocessing, config.training.seed)
    kept, truth = data.of_cells(cells.with_data), truth.of_cells(cells.with_data["atac"])
    probabilities = cells.balance.guess.voted(cells.features["atac"], cells.neighbors)
    called = probabilities.argmax(axis=1)
    labels = np.array(data.types, dtype=object)[called]
    left_out = LeftOut.of(cells.balance.guess.left_out, data.types)
    start = time.perf_counter()
    markers, depths, repeated = sampled_cells(kept, called, config.training.seed)
    seen = Evidence(
        {},
        data.matching.to_dict(),
        kept.known_rna_types(),
        labels,
        probabilities.max(axis=1),
        np.zeros(len(called), dtype=bool),
        markers,
        depths,
        empty_cells(data, kept),
        repeated,
        left_out=left_out,
    )
    found = diagnose(seen).to_dict()
    seconds = {"diagnose": time.perf_counter() - start}
    known = truth.labels != ""
    right = (truth.coarsen(labels) == truth.labels)[known]
    scores = {"kappa": left_out.kappa, "accuracy": float(right.mean())}
    return found | scores | {"seconds": seconds}


def trained(data, truth, config) -> dict:
    """The diagnosis and the accuracy of a training."""
    from scadv_tf import training
    from scadv_tf.progress import Stages

    stages = Stages()
    team = training.start_tensorflow(config, stages)
    with tempfile.TemporaryDirectory() as scratch:
        model = training.train((data, truth), config, Path(scratch), stages, team)
        results = training.evaluate(model, config, stages)
    scores = results.metrics.get("label_transfer") or {}
    return {
        **results.metrics["diagnosis"],
        "kappa": results.metrics["rna_left_out"]["kappa"],
        "accuracy": scores.get("accuracy"),
        "seconds": stages.seconds,
    }


def line_of(name: str, expected: str, found: dict) -> dict:
    """What the table tells of a row."""
    markers = found.get("markers", {})
    alone = [row["likeness"] for row in markers.get("by_type", {}).values()]
    known = [value for value in alone if value is not None]
    called = markers.get("likeness")
    texts = [f"{reason['level']}: {reason['text']}" for reason in found["reasons"]]
    return {
        "row": name,
        "expected": expected,
        "color": found["color"],
        **{name: markers.get(name) for name in MEASURES},
        "liker": None if called is None or not known else max(known) - called,
        "kappa": found["kappa"],
        "accuracy": found["accuracy"],
        "reason": next((text for text in texts if not text.startswith("note")), ""),
        "diagnose_seconds": found["seconds"]["diagnose"],
        "reasons": texts,
    }


def table_of(lines: list[dict]) -> str:
    """The same as Markdown."""
    head = [f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
    rows = [" | ".join(_shown(line[name]) for name in COLUMNS) for line in lines]
    return "\n".join([*head, *(f"| {row} |" for row in rows)])


def _shown(value) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def main() -> None:
    """Runs the rows and prints their lines and the table."""
    config = scadv_flags.to_config()
    from scadv_tf import training
    from scadv_tf.files import write_whole

    name = training.dataset_name(config.data)
    folder = Path(config.output.output_dir or Path("runs") / f"{name}_diagnosis")
    kept = folder / "diagnosis.jsonl"
    lines = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    data, truth = training.read(config)
    wanted = tuple(flags.FLAGS.rows)
    for row, (expected, perturb) in perturbations(data, truth).items():
        if wanted and not row.startswith(wanted) or row in {line["row"] for line in lines}:
            continue
        look = trained if flags.FLAGS.network else guessed
        lines.append(line_of(row, expected, look(*perturb(data, truth), config)))
        print(json.dumps(lines[-1]), flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(kept, "".join(json.dumps(line) + "\n" for line in lines).encode())
    print(table_of(lines), file=sys.stderr)


HELP = {
    "output_dir": "Folder of the lines; default: runs/<dataset>_diagnosis.",
    "export_dir": "Not used here.",
}

if __name__ == "__main__":
    scadv_flags.define(help_of=HELP)
    flags.DEFINE_bool("network", False, "Train, in place of the linear guess.")
    flags.DEFINE_list("rows", [], "Names of rows, or beginnings of names; default: all.")
    console.run_app(main)
