"""Trains on simulated cells as one member of a team, in a process of its own.

python tests/team/train.py FOLDER NAME=VALUE …: settings by the names of the flags; `batches=1` logs
the losses of each step, `stop_after=N` ends the process without a word in the epoch N.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"


def main(folder: Path, settings: dict) -> None:
    """Trains, and writes history, steps and weights to `FOLDER/<worker>.npz`."""
    cores = settings.pop("cores", 0)
    replicas = settings.pop("replicas", 0)
    stop_after = settings.pop("stop_after", None)
    cells = settings.pop("cells", 300)
    if "processor" in settings:
        os.sched_setaffinity(0, {settings.pop("processor")})
    import tensorflow as tf

    if cores:
        tf.config.threading.set_intra_op_parallelism_threads(cores)
        tf.config.threading.set_inter_op_parallelism_threads(cores)
    if replicas:
        processor = tf.config.list_physical_devices("CPU")[0]
        parts = [tf.config.LogicalDeviceConfiguration()] * replicas
        tf.config.set_logical_device_configuration(processor, parts)
    import keras
    import numpy as np

    from scadv_tf import fitting
    from scadv_tf.checkpoints import Checkpoints
    from scadv_tf.config import RunConfig
    from scadv_tf.data import preprocessing
    from scadv_tf.data.datasets import DatasetSource, load_dataset
    from scadv_tf.errors import InputError
    from scadv_tf.team import team_of

    class Steps(keras.callbacks.Callback):
        """Keeps each step's losses and the time of its end."""

        def __init__(self):
            super().__init__()
            self.losses, self.seconds, self.last = [], [], {}

        def on_epoch_begin(self, epoch, logs=None):
            if epoch + 1 == stop_after:
                os._exit(9)
            self.last = {}

        def on_train_batch_begin(self, batch, logs=None):
            self.start = time.perf_counter()

        def on_train_batch_end(self, batch, logs=None):
            sums = {p: m.sums.numpy() for p, m in self.model.means.items()}
            name = self.model.phase.name
            step = sums[name] - self.last.get(name, np.zeros_like(sums[name]))
            self.losses.append(step[:-1].tolist())
            self.last = sums
            self.seconds.append(time.perf_counter() - self.start)

    resume = settings.pop("resume", False)
    config = RunConfig.of(**settings)
    try:
        team = team_of(config.training.strategy)
        data, _ = load_dataset(
            "synthetic", DatasetSource(synthetic_cells=cells, label_key="cell_type")
        )
        prepared = preprocessing.fit(data, config.preprocessing)
        steps = Steps()
        kept = Checkpoints(folder, seconds=0, resume=resume, chief=team.chief)
        model, history = fitting.fit(
            prepared,
            data.rna_labels,
            len(data.types),
            config,
            callbacks=[steps],
            team=team,
            checkpoints=kept,
        )
    except InputError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        os._exit(2)
    weights = np.concatenate([np.asarray(w, dtype=np.float64).ravel() for w in model.weights])
    np.savez(
        folder / f"{team.worker.index}.npz",
        weights=weights,
        seconds=history["seconds"],
        step_seconds=steps.seconds,
        epochs=len(history),
        steps=json.dumps(steps.losses),
    )


def settings_of(words: Sequence[str]) -> dict:
    """``NAME=VALUE`` …, the values in JSON, as settings."""
    given = dict(word.split("=", 1) for word in words)
    return {name: json.loads(value) for name, value in given.items()}


def member(folder: Path, settings: dict, config: str, output: Path) -> None:
    """Trains in a process of a team: its ``TF_CONFIG`` (or ``null``), and where its words go."""
    if config != "null":
        os.environ["TF_CONFIG"] = config
    with open(output, "w", encoding="utf-8") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    main(folder, settings)


if __name__ == "__main__":
    main(Path(sys.argv[1]), settings_of(sys.argv[2:]))
