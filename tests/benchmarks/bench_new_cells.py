"""Labels of ATAC cells that were not trained on, against those that were, as JSON lines.

python tests/benchmarks/bench_new_cells.py --dataset=pbmc --seeds=3

Trains on a random 70 % of the cells of each modality and exports the model. The export labels the
other cells: RNA cells, and ATAC cells by their peaks and by their genes alone.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import tempfile
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
    """Macro F1 of the labels of trained ATAC cells, and of an export's labels of new cells."""
    from scadv_tf import fitting, training
    from scadv_tf.annotation import annotate_cells
    from scadv_tf.client.exported import ExportedModel
    from scadv_tf.data import preprocessing
    from scadv_tf.evaluation.metrics import label_scores
    from scadv_tf.serving.export import export
    from scadv_tf.serving.served_model import Served

    data, truth = training.read(config)
    random = np.random.default_rng(config.training.seed)
    rna, atac = (split(random.permutation(n)) for n in (data.rna.shape[0], data.atac.shape[0]))
    trained = subset(data, rna[0], atac[0])
    cells = preprocessing.fit(trained, config.preprocessing, config.training.seed)
    model, _ = fitting.fit(cells, trained.rna_labels, len(data.types), config)
    answer = annotate_cells(model, cells, config, data.types)
    vote = config.evaluation.neighbor_vote
    types = np.array(data.types)

    def macro_f1(labels: np.ndarray, rows: np.ndarray) -> float:
        scores = label_scores(truth.labels[rows], truth.coarsen(labels))
        return round(scores["macro_f1"], 4)

    with tempfile.TemporaryDirectory() as folder:
        served = Served(model, cells.preprocessor, data.types, answer, vote)
        exported = ExportedModel(export(served, folder, intervals=data.intervals))
        columns = np.flatnonzero(np.isin(data.genes, cells.preprocessor.genes))
        new_rna = exported.annotate(data.rna[rna[1]][:, columns], "rna").label
        counts = data.atac[atac[1]][:, columns]
        found = {
            "trained_atac": macro_f1(answer.voted.label, atac[0]),
            "new_atac_by_genes": macro_f1(exported.annotate(counts, "atac").label, atac[1]),
        }
        if data.peaks is not None:
            labels = exported.annotate(counts, "atac", data.peaks[atac[1]]).label
            found["new_atac_by_peaks"] = macro_f1(labels, atac[1])
    known = types[data.rna_labels[rna[1]]]
    found["new_rna"] = round(label_scores(known, new_rna)["macro_f1"], 4)
    return found


def split(rows: np.ndarray) -> list[np.ndarray]:
    """The rows to train on, and the others, sorted."""
    return [np.sort(part) for part in np.split(rows, [round(TRAINED_SHARE * len(rows))])]


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
