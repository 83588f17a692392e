"""Scores of the main job for several settings and seeds, as JSON lines; nothing is written.

python tests/benchmarks/bench_settings.py --dataset=pbmc --seeds=3 --vary= --vary="cycle=0"

Each --vary is a space-separated list of flag=value that replaces the flags given beside it; an
empty one stands for these flags as they are. This is the command behind the README's tables of
settings.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np  # noqa: E402
from absl import app, flags  # noqa: E402

from scadv_tf import flags as scadv_flags  # noqa: E402

SCORES = ("macro_f1", "weighted_f1", "accuracy")
ROUTES = ("label_transfer", "classifier", "svm")


def configurations() -> list[tuple[str, object]]:
    """What --vary describes: the words of each variation, and the configuration they make."""
    made = []
    for words in flags.FLAGS.vary:
        values = flags.FlagValues()
        scadv_flags.define(values)
        given = [f"--{f.name}={_text(f.value)}" for f in _ours(values) if f.present]
        values(["bench", *given, *(f"--{word}" for word in words.split())])
        made.append((words, scadv_flags.to_config(values)))
    return made


def _ours(names: flags.FlagValues) -> list:
    return [flags.FLAGS[name] for name in names]


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def measure(config) -> dict:
    """One run without files: scores of each route, mixing, seconds."""
    from scadv_tf import fitting, training
    from scadv_tf.annotation import annotate_cells
    from scadv_tf.data import preprocessing
    from scadv_tf.evaluation.metrics import label_scores, modality_mixing
    from scadv_tf.scoring import transfer

    data, truth = training.read(config)
    start = time.perf_counter()
    cells = preprocessing.fit(data, config.preprocessing, config.training.seed)
    model, _ = fitting.fit(cells, data.rna_labels, len(data.types), config)
    seconds = time.perf_counter() - start
    annotation = annotate_cells(model, cells, config, data.types)
    routes = transfer(annotation, data.rna_labels, config).routes
    found = {}
    for route in ROUTES:
        scores = label_scores(truth.labels, truth.coarsen(routes[route]))
        found[route] = {name: round(scores[name], 4) for name in SCORES}
    modality = np.repeat(["rna", "atac"], [data.rna.shape[0], data.atac.shape[0]])
    mixing, _ = modality_mixing(annotation.latent, modality)
    return found | {"modality_mixing": round(mixing, 3), "seconds": round(seconds, 1)}


def main(_) -> None:
    """Prints a line a run, then a line a variation with means and the spread over the seeds."""
    for words, config in configurations():
        rows = []
        for seed in range(flags.FLAGS.seeds):
            training = dataclasses.replace(config.training, seed=seed)
            row = measure(dataclasses.replace(config, training=training))
            print(json.dumps({"vary": words, "seed": seed, **row}), flush=True)
            rows.append(row)
        summary = {}
        for score in SCORES:
            values = [row["label_transfer"][score] for row in rows]
            summary[score] = [round(float(np.mean(values)), 4), round(float(np.std(values)), 4)]
        for name in ("modality_mixing", "seconds"):
            summary[name] = round(float(np.mean([row[name] for row in rows])), 3)
        print(json.dumps({"vary": words, "seeds": len(rows), "mean_and_spread": summary}))


if __name__ == "__main__":
    scadv_flags.define()
    flags.DEFINE_multi_string("vary", [""], "Flags of a variation, separated by spaces.")
    flags.DEFINE_integer("seeds", 3, "Seeds a variation, from 0.", lower_bound=1)
    app.run(main)
