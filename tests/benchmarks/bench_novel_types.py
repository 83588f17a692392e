"""How well cells of a type that no RNA cell has are spotted, as JSON lines.

python tests/benchmarks/bench_novel_types.py --dataset=pbmc

Leaves out the RNA cells of one type after another (at the level of the known ATAC labels), trains,
and ranks the ATAC cells by `novelty`. A line a type: the area under the ROC curve, the share of the
novel cells and of the others that were called unknown. Then the means over the types. Where ATAC
has cells of types that RNA lacks as it is, the first line is of all these, with nothing left out,
and each type's own area; --only_given stops after it.
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


def annotated(data, config):
    """What a model says that was trained on these data, and their preprocessed cells."""
    from scadv_tf import fitting
    from scadv_tf.annotation import annotate_cells
    from scadv_tf.data import preprocessing

    cells = preprocessing.fit(data, config.preprocessing, config.training.seed)
    model, _ = fitting.fit(cells, data.rna_labels, len(data.types), config)
    return annotate_cells(model, cells, config).of_all(cells.with_data), cells


def scores_of(found, cells, truth, novel: np.ndarray) -> dict:
    """How well the novel ATAC cells, bool [A], are told from the other labelled ones."""
    from sklearn.metrics import roc_auc_score

    from scadv_tf.data.emptiness import scatter
    from scadv_tf.data.neighbor_lists import neighbor_mean

    with_data = cells.with_data["atac"]
    uncertainty = neighbor_mean(found.atac.uncertainty[with_data], cells.neighbors)
    uncertainty = scatter(uncertainty, with_data, 1)
    labelled = truth.labels != ""
    return {
        "auroc": roc_auc_score(novel[labelled], found.voted.novelty[labelled]),
        "auroc_uncertainty_alone": roc_auc_score(novel[labelled], uncertainty[labelled]),
        "found": found.voted.unknown[novel].mean(),
        "false_alarms": found.voted.unknown[labelled & ~novel].mean(),
    }


def rounded(scores: dict) -> dict:
    return {key: round(float(value), 3) for key, value in scores.items()}


def given(data, truth, config) -> dict | None:
    """The line of the types that RNA lacks as it is; None if it lacks none."""
    from sklearn.metrics import roc_auc_score

    labelled = truth.labels != ""
    novel = labelled & ~np.isin(truth.labels, truth.coarsen(data.types))
    if not novel.any():
        return None
    found, cells = annotated(data, config)
    areas = {}
    for name in np.unique(truth.labels[novel]):
        seen = (labelled & ~novel) | (truth.labels == name)
        areas[str(name)] = roc_auc_score(truth.labels[seen] == name, found.voted.novelty[seen])
    line = {"left_out": None, "cells": int(novel.sum())}
    return line | rounded(scores_of(found, cells, truth, novel)) | {"types": rounded(areas)}


def main(_) -> None:
    """Prints a line a type, and the means."""
    from scadv_tf import training

    config = scadv_flags.to_config()
    data, truth = training.read(config)
    first = given(data, truth, config)
    if first is not None:
        print(json.dumps(first), flush=True)
    if flags.FLAGS.only_given:
        return
    names, counts = np.unique(truth.labels[truth.labels != ""], return_counts=True)
    rows = []
    for name, count in zip(names, counts, strict=True):
        left_out = truth.coarsen(data.types) == name
        if count < FEWEST_CELLS or not left_out.any():
            continue
        rows.append(
            scores_of(*annotated(without(data, left_out), config), truth, truth.labels == name)
        )
        line = {"left_out": str(name), "cells": int(count)} | rounded(rows[-1])
        print(json.dumps(line), flush=True)
    if not rows:
        raise SystemExit(f"error: no type has {FEWEST_CELLS} labelled ATAC cells and RNA cells")
    means = rounded({key: np.mean([row[key] for row in rows]) for key in rows[0]})
    print(json.dumps({"types": len(rows), "mean": means}))


if __name__ == "__main__":
    scadv_flags.define()
    flags.DEFINE_bool("only_given", False, "Only the types that RNA lacks as it is.")
    app.run(main)
