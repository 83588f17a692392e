"""How well cells of a type that no RNA cell has are spotted, as JSON lines.

python tests/benchmarks/bench_novel_types.py --dataset=pbmc

Leaves out the RNA cells of one type after another (at the level of the known ATAC labels), trains,
and ranks the ATAC cells by `novelty`. A line a type: the area under the ROC curve, the share of the
novel cells and of the others that were called unknown. Then the means over the types.
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
from absl import app  # noqa: E402

from scadv_tf import flags as scadv_flags  # noqa: E402

FEWEST_CELLS = 100


def without(data, left_out: np.ndarray):
    """The paired data without the RNA cells of some types, given as bool [K]."""
    kept = np.flatnonzero(~left_out[data.rna_labels])
    types = np.array(data.types)
    names = tuple(types[~left_out].tolist())
    return dataclasses.replace(
        data,
        rna=data.rna[kept],
        types=names,
        rna_labels=np.searchsorted(names, types[data.rna_labels[kept]]).astype(np.int32),
        rna_cells=data.rna_cells[kept],
        rna_obs=data.rna_obs.iloc[kept],
    )


def measure(data, truth, name: str, config) -> dict:
    """Trains without one type and looks for its cells."""
    from sklearn.metrics import roc_auc_score

    from scadv_tf import fitting
    from scadv_tf.annotation import annotate_cells
    from scadv_tf.data import preprocessing
    from scadv_tf.data.neighbor_lists import neighbor_mean

    known = without(data, truth.coarsen(data.types) == name)
    cells = preprocessing.fit(known, config.preprocessing, config.training.seed)
    model, _ = fitting.fit(cells, known.rna_labels, len(known.types), config)
    found = annotate_cells(model, cells, config)
    labelled = truth.labels != ""
    novel = truth.labels == name
    uncertainty = neighbor_mean(found.atac.uncertainty, cells.neighbors)
    return {
        "auroc": roc_auc_score(novel[labelled], found.novelty[labelled]),
        "auroc_uncertainty_alone": roc_auc_score(novel[labelled], uncertainty[labelled]),
        "found": found.unknown[novel].mean(),
        "false_alarms": found.unknown[labelled & ~novel].mean(),
    }


def main(_) -> None:
    """Prints a line a type, and the means."""
    from scadv_tf import training

    config = scadv_flags.to_config()
    data, truth = training.read(config)
    names, counts = np.unique(truth.labels[truth.labels != ""], return_counts=True)
    rows = []
    for name, count in zip(names, counts, strict=True):
        if count < FEWEST_CELLS or not np.any(truth.coarsen(data.types) == name):
            continue
        rows.append(measure(data, truth, name, config))
        rounded = {key: round(float(value), 3) for key, value in rows[-1].items()}
        print(json.dumps({"left_out": str(name), "cells": int(count), **rounded}), flush=True)
    if not rows:
        raise SystemExit(f"error: no type has {FEWEST_CELLS} labelled ATAC cells and RNA cells")
    means = {key: round(float(np.mean([row[key] for row in rows])), 3) for key in rows[0]}
    print(json.dumps({"types": len(rows), "mean": means}))


if __name__ == "__main__":
    scadv_flags.define()
    app.run(main)
