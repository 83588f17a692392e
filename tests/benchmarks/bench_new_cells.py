"""Labels of ATAC cells that were not trained on, against those that were, as JSON lines.

python tests/benchmarks/bench_new_cells.py --dataset=pbmc --seeds=3

Trains on a random 70 % of the cells of each modality. The other ATAC cells are averaged with their
nearest training cells, found by their peaks and genes, or by their genes alone (all that a served
encoder gets), and labelled one by one, with no vote of neighbours.
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
from absl import app, flags  # noqa: E402

from scadv_tf import flags as scadv_flags  # noqa: E402

TRAINED_SHARE = 0.7


def subset(data, rna: np.ndarray, atac: np.ndarray):
    """The paired data of some of the cells."""
    return dataclasses.replace(
        data,
        rna=data.rna[rna],
        atac=data.atac[atac],
        rna_labels=data.rna_labels[rna],
        rna_cells=data.rna_cells[rna],
        atac_cells=data.atac_cells[atac],
        rna_obs=data.rna_obs.iloc[rna],
        atac_obs=data.atac_obs.iloc[atac],
        peaks=None if data.peaks is None else data.peaks[atac],
    )


def measure(config) -> dict:
    """Macro F1 of the classifier on trained and on new ATAC cells."""
    from scadv_tf import fitting, training
    from scadv_tf.annotation import encode
    from scadv_tf.data import preprocessing
    from scadv_tf.evaluation import label_scores

    data, truth = training.read(config)
    random = np.random.default_rng(config.training.seed)
    rna, atac = (random.permutation(count) for count in (data.rna.shape[0], data.atac.shape[0]))
    old, new = np.split(atac, [round(TRAINED_SHARE * len(atac))])
    trained = subset(data, rna[: round(TRAINED_SHARE * len(rna))], old)
    cells = preprocessing.fit(trained, config.preprocessing, config.training.seed)
    model, _ = fitting.fit(cells, trained.rna_labels, len(data.types), config)
    types = np.array(data.types)

    def macro_f1(probabilities: np.ndarray, rows: np.ndarray) -> float:
        predicted = truth.coarsen(types[np.asarray(probabilities).argmax(axis=1)])
        return round(label_scores(truth.labels[rows], predicted)["macro_f1"], 4)

    found = {"trained_cells": macro_f1(encode(model, cells, "atac").probabilities, old)}
    columns = np.flatnonzero(np.isin(data.genes, cells.preprocessor.genes))
    counts = data.atac[new][:, columns]
    views = {"new_cells_by_genes": None}
    if data.peaks is not None:
        views["new_cells_by_peaks"] = data.peaks[new]
    for name, peaks in views.items():
        expression = cells.preprocessor.transform(counts, "atac", peaks)
        found[name] = macro_f1(model.encode(expression, "atac")["probabilities"], new)
    return found


def main(_) -> None:
    """Prints a line a seed, and the means."""
    config = scadv_flags.to_config()
    rows = []
    for seed in range(flags.FLAGS.seeds):
        training = dataclasses.replace(config.training, seed=seed)
        rows.append(measure(dataclasses.replace(config, training=training)))
        print(json.dumps({"seed": seed, "macro_f1": rows[-1]}), flush=True)
    means = {name: round(float(np.mean([row[name] for row in rows])), 4) for name in rows[0]}
    print(json.dumps({"seeds": len(rows), "mean_macro_f1": means}))


if __name__ == "__main__":
    scadv_flags.define()
    flags.DEFINE_integer("seeds", 3, "Seeds, from 0.", lower_bound=1)
    app.run(main)
