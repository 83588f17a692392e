"""What a batch key gains where donors differ, and costs where they do not, as JSON lines.

python tests/benchmarks/bench_batches.py --dataset=synthetic --synthetic_difficulty=1 --seeds=3
python tests/benchmarks/bench_batches.py --dataset=pbmc --rows=column --column=sample

Rows: `random`, cells split at random into two batches, without any effect; `genes`, each gene's
counts times a log-normal factor of deviation --deviation in each batch; `programme`, factors that
follow the difference of two types; `unlike`, the same in batches of other compositions, one of
which lacks a type; `unlike_3`, three such; `column`, the column --column of ATAC as it is.

A line a row and seed: macro F1 without and with the key, of the linear guess with its vote, and
with --train of the whole model too; then the means. ATAC cells of types that RNA lacks are left
out. Takes all flags of train_main.py.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np  # noqa: E402
from absl import flags  # noqa: E402

from scadv_tf import console  # noqa: E402
from scadv_tf import flags as scadv_flags  # noqa: E402

# Name -> batches, whether of unlike composition, whether there is an effect, whether a programme.
SIMULATED = {
    "random": (2, False, False, False),
    "genes": (2, False, True, False),
    "programme": (2, False, True, True),
    "unlike": (2, True, True, True),
    "unlike_3": (3, True, True, True),
}
COLUMN = "column"


def scores(data, truth, config) -> dict[str, float]:
    """Macro F1 by route."""
    from scadv_tf.data import preprocessing
    from scadv_tf.evaluation.metrics import label_scores

    cells = preprocessing.fit(data, config.preprocessing, config.training.seed)
    known = truth.of_cells(cells.with_data["atac"])
    guessed = cells.balance.guess.voted(cells.features["atac"], cells.neighbors)
    found = {"linear": np.array(data.types)[guessed.argmax(axis=1)]}
    if flags.FLAGS.train:
        from scadv_tf import fitting
        from scadv_tf.annotation import annotate_cells

        model, _ = fitting.fit(cells, data.rna_labels, len(data.types), config)
        found["scadv"] = np.asarray(annotate_cells(model, cells, config, data.types).voted.label)
    return {
        route: label_scores(known.labels, known.coarsen(labels))["macro_f1"]
        for route, labels in found.items()
    }


def made(row: str, data, truth, seed: int):
    """The data of a row, with their batches."""
    import donors

    from scadv_tf.data.batch_offsets import batches_of

    if row == COLUMN:
        named = flags.FLAGS.column, "--column", "--atac_labels"
        batches = {"atac": batches_of(data.atac_obs, *named)}
    else:
        number, unlike, effect, programme = SIMULATED[row]
        rng = np.random.default_rng([seed, 7])
        batches = donors.drawn_batches(data, truth, number, unlike, rng)
        if effect:
            data = donors.with_effect(data, batches, flags.FLAGS.deviation, programme, rng)
    return dataclasses.replace(data, batches=batches)


def main() -> None:
    """Runs the rows and prints their lines."""
    config = scadv_flags.to_config()
    import shifts

    from scadv_tf import training

    data, truth = training.read(config)
    kept = np.flatnonzero(~shifts.orphans(data, truth))
    data, truth = shifts.chosen_cells(data, truth, np.arange(len(data.rna_cells)), kept)
    for row in flags.FLAGS.rows:
        differences = []
        for seed in range(flags.FLAGS.seeds):
            with_key = made(row, data, truth, seed)
            without = dataclasses.replace(with_key, batches={})
            found = [scores(each, truth, config) for each in (without, with_key)]
            differences.append({route: found[1][route] - found[0][route] for route in found[0]})
            line = dict(zip(("without", "with_key"), map(rounded, found), strict=True))
            print(json.dumps({"row": row, "seed": seed} | line), flush=True)
        mean = {r: float(np.mean([each[r] for each in differences])) for r in differences[0]}
        print(json.dumps({"row": row, "mean_gain": rounded(mean)}), flush=True)


def rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}


if __name__ == "__main__":
    scadv_flags.define()
    flags.DEFINE_list("rows", [*SIMULATED], f"Rows, of {', '.join([*SIMULATED, COLUMN])}.")
    flags.DEFINE_string("column", "sample", "Column of the ATAC cells of the row 'column'.")
    flags.DEFINE_float("deviation", 1.0, "Of the logarithms of the simulated factors.")
    flags.DEFINE_integer("seeds", 1, "Simulations of each row.")
    flags.DEFINE_bool("train", False, "Score the whole model too.")
    console.run_app(main)
