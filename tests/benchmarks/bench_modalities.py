"""What each modality reaches, beside Harmony and logistic regression, as JSON lines.

python tests/benchmarks/bench_modalities.py --seeds=3 --output_dir=runs/modalities

Queries are simulated from real RNA cells (see `modalities.py`): half of the embedded PBMC cells are
the reference, the other half is made a spatial panel, proteins, methylation levels or a repressive
mark. A seed draws the halves and all noise anew. --modalities takes some of them.

A line a modality, system and seed: macro F1, accuracy and F1 by type. Then a line a modality with
the means, and of the proteins with the pairs of types that are taken for one another most often:
which share of both types' cells is called the other. Takes all flags of train_main.py.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np  # noqa: E402
from absl import flags  # noqa: E402

from scadv_tf import console  # noqa: E402
from scadv_tf import flags as scadv_flags  # noqa: E402

SYSTEMS = ["scadv", "guess", "linear", "harmony", "logistic"]
KINDS = {
    "spatial": "expression",
    "protein": "protein",
    "methylation": "methylation",
    "repressive_mark": "repressive_mark",
}
CONFUSED = 4  # pairs that are told
HELP = {"output_dir": "Not used here.", "export_dir": "Not used here."}


def pair(modality: str, seed: int, config):
    """Reference and simulated query as the package pairs them, and the known types of the query."""
    import dataclasses

    import modalities

    from scadv_tf.data.datasets import DatasetSource, load

    reference, cells = modalities.halves(seed)
    rng = np.random.default_rng(seed)
    if modality == "spatial":
        query = modalities.spatial_panel(reference, cells, rng)
    else:
        make = {"protein": modalities.proteins}.get(modality) or getattr(modalities, modality)
        query = make(cells, rng)
    settings = dataclasses.asdict(config.data)
    settings |= {"dataset": "", "query_kind": KINDS[modality], "label_key": modalities.LABEL}
    return load(DatasetSource(**settings), {"rna": reference, "atac": query})


def rows_of(modality: str, config, systems: list[str], seeds: int) -> Iterator[dict]:
    """A line a system and seed; what fails says why."""
    from scadv_tf.comparison.rows import RowRunner
    from scadv_tf.comparison.run import at_seed
    from scadv_tf.comparison.systems import settings_of

    for number in range(seeds):
        seeded = at_seed(config, config.training.seed + number)
        seed = seeded.training.seed
        data, truth = pair(modality, seed, seeded)
        runner = RowRunner(data, truth, umap=False)
        for system in systems:
            row = runner.run(system, settings_of(system, seeded))
            line = {"modality": modality, "system": system, "seed": seed, "genes": len(data.genes)}
            if row.content["error"]:
                yield line | {"error": row.content["error"]}
                continue
            scores = row.content["label_transfer"]
            yield line | {
                "macro_f1": round(scores["macro_f1"], 4),
                "accuracy": round(scores["accuracy"], 4),
                "f1": {name: round(each["f1"], 3) for name, each in scores["per_type"].items()},
                "confused": confused(truth.labels, row.predicted),
            }


def confused(known: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """The pairs of types most often taken for one another: of both types' cells the share."""
    names = np.unique(known)
    found = {}
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            wrong = ((known == first) & (predicted == second)) | (
                (known == second) & (predicted == first)
            )
            found[f"{first} / {second}"] = wrong.sum() / np.isin(known, [first, second]).sum()
    worst = sorted(found.items(), key=lambda item: -item[1])[:CONFUSED]
    return {name: round(float(share), 3) for name, share in worst}


def mean_line(modality: str, rows: list[dict]) -> dict:
    """Means over the seeds, of systems that finished."""
    done = [row for row in rows if "error" not in row]
    means = {}
    for score in ("macro_f1", "accuracy"):
        means[score] = {
            system: round(float(np.mean([r[score] for r in done if r["system"] == system])), 3)
            for system in dict.fromkeys(row["system"] for row in done)
        }
    return {"modality": modality, "mean": means}


def main() -> None:
    """Runs all modalities and prints their lines."""
    config = scadv_flags.to_config()
    given = flags.FLAGS
    for modality in given.modalities:
        rows = []
        for line in rows_of(modality, config, given.systems, given.seeds):
            rows.append(line)
            print(json.dumps(line), flush=True)
        print(json.dumps(mean_line(modality, rows)), flush=True)


if __name__ == "__main__":
    scadv_flags.define(help_of=HELP)
    flags.DEFINE_list("modalities", list(KINDS), "Which of them.")
    flags.DEFINE_list("systems", SYSTEMS, "Systems, see scadv_tf.compare.")
    flags.DEFINE_integer("seeds", 1, "Halves and noise drawn so often.")
    console.run_app(main)
