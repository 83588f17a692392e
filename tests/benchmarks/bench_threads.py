"""Whether the number of threads, or chance, changes an answer: the same job again, as JSON lines.

python tests/benchmarks/bench_threads.py --dataset=pbmc --epochs=4 --threads=1,2,4

Trains in a process a number of threads, and once more with the first number. A line each: the share
of ATAC cells whose label differs from that of the first process, whether weights and the table of
predictions are the same bytes, and the stages in their order that differ, with the largest
difference as a share of the stage's largest number; `first_difference` is where it begins. Takes
the flags of train_main.py; UMAP, scores and export, which change no answer, are left out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from absl import app, flags
from main_job import ROOT, run_app

sys.path.insert(0, str(ROOT))

flags.DEFINE_list("threads", ["1", "2", "4"], "Numbers of threads.")
LIBRARIES = ("OMP", "OPENBLAS", "MKL", "NUMBA")


def environment(threads: str) -> dict[str, str]:
    """Variables that give every library so many threads."""
    names = {f"{name}_NUM_THREADS": threads for name in LIBRARIES}
    names |= {f"TF_NUM_{kind}_THREADS": threads for kind in ("INTRAOP", "INTEROP")}
    return os.environ | names


def stages_of(words: list[str], threads: str, place: Path) -> dict[str, np.ndarray]:
    """What each stage gave in a process of its own, in their order."""
    words = [sys.executable, __file__, f"--here={place}", *words]
    done = subprocess.run(words, env=environment(threads), stdout=sys.stderr)
    if done.returncode:
        sys.exit(done.returncode)
    with np.load(place) as found:
        return {name: found[name] for name in found.files}


def compared(first: dict, other: dict) -> dict:
    """Where the stages of two processes differ, and by how much."""
    differ = {}
    for name, values in first.items():
        again = other[name]
        if values.dtype.kind not in "fc" or values.shape != again.shape:
            if not np.array_equal(values, again):
                same_shape = values.shape == again.shape
                differ[name] = float(np.mean(values != again)) if same_shape else "another shape"
        elif values.tobytes() != again.tobytes():
            largest = float(np.abs(values).max()) or 1.0
            differ[name] = float(f"{np.abs(values - again).max() / largest:.2g}")
    return {
        "labels_that_differ": float(np.mean(first["labels"] != other["labels"])),
        "same_bytes": {name: name not in differ for name in ("weights", "table")},
        "first_difference": next(iter(differ), None),
        "differences": differ,
    }


def _trained() -> Iterator[tuple[str, np.ndarray]]:
    """Trains by the flags; the name and the numbers of each stage."""
    from scadv_tf import flags as scadv_flags
    from scadv_tf import training
    from scadv_tf.annotation import annotate_cells
    from scadv_tf.progress import Stages
    from scadv_tf.results import Results, predictions
    from scadv_tf.scoring import transfer

    config, stages = scadv_flags.to_config(), Stages()
    with tempfile.TemporaryDirectory() as scratch:
        everything = training.read_and_tell(config, Path(scratch), stages)
        team = training.start_tensorflow(config, stages)
        trained = training.train(everything, config, Path(scratch), stages, team)
        cells, data = trained.cells, trained.data
        learned = cells.preprocessor
        yield "genes", np.asarray(learned.genes, str)
        for modality, scale in learned.scales.items():
            yield f"scale {modality}", np.concatenate([np.ravel(v) for v in vars(scale).values()])
        if cells.neighbors is not None:
            yield "neighbours", np.asarray(cells.neighbors.rows[:])
            yield "their weights", np.asarray(cells.neighbors.weights[:])
        if learned.components is not None:
            yield "components", np.asarray(learned.components)
        for modality, features in cells.features.items():
            yield f"features {modality}", np.asarray(features[:])
        if cells.balance is not None:
            for view, part in enumerate(cells.balance.guess.parts):
                yield f"guess of view {view}", np.asarray(part.coefficients)
            for modality, weights in cells.balance.weights.items():
                yield f"weights of {modality} cells", weights
        timed = ["seconds", "step_seconds"]
        yield "losses", trained.history.drop(columns=timed).fillna(0).to_numpy(float)
        yield "weights", np.concatenate([np.ravel(each) for each in trained.model.get_weights()])
        annotation = annotate_cells(trained.model, cells, config, data.types)
        yield "probabilities", annotation.voted.probabilities
        answers = transfer(annotation, data.rna_labels, config)
        yield "labels", np.asarray(answers.label.tolist(), str)
        umap, told = np.zeros((len(annotation.latent), 2)), replace(annotation, voted=answers)
        results = Results(config, data, trained.truth, told, umap, trained.history, {})
        yield "table", np.array(predictions(results).to_csv(index=False))


def main(words: list[str]) -> None:
    """A line a process after the first."""
    threads = list(flags.FLAGS.threads)
    with tempfile.TemporaryDirectory() as place:
        first = stages_of(words, threads[0], Path(place, "0.npz"))
        for number in (threads[0], *threads[1:]):
            found = compared(first, stages_of(words, number, Path(place, f"{number}.npz")))
            print(json.dumps({"threads": [int(threads[0]), int(number)], **found}), flush=True)


def here(_) -> None:
    """In the process that trains."""
    np.savez(flags.FLAGS.here, **dict(_trained()))


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1].startswith("--here="):
        from scadv_tf import flags as scadv_flags

        scadv_flags.define()
        flags.DEFINE_string("here", "", "File to write the stages to.")
        app.run(here)
    else:
        run_app(main)
