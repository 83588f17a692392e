"""Cells a second of an exported model, against plain matrix products, as JSON lines.

python tests/benchmarks/bench_serving.py --dataset=pbmc

Trains a short while, exports, loads the export and asks it for the labels of real cells: dense and
sparse, in batches of 1, 64 and 1,024. `floor` is the product of the same batch with a matrix
[genes, 1024], the first layer of the network as the method describes it; `own_products` are all
products of the network as it is. Ratios are of medians of alternating calls in this one process.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np  # noqa: E402
from absl import app  # noqa: E402

from scadv_tf import flags as scadv_flags  # noqa: E402

BATCHES = (1, 64, 1024)
FLOOR_WIDTH = 1024
MIN_CALLS, MIN_SECONDS = 20, 2.0


def trained_export(config, folder: Path) -> tuple[Path, object]:
    """An export after two epochs (speed does not depend on more), and the paired data."""
    from scadv_tf import training

    short = dataclasses.replace(config.training, epochs=2)
    output = dataclasses.replace(
        config.output, output_dir=str(folder / "run"), export_dir=str(folder / "exports")
    )
    config = dataclasses.replace(config, training=short, output=output)
    data, _ = training.read(config)
    return Path(training.run(config)["export"]), data


def entries(counts) -> dict:
    """The arguments of a sparse signature for counts [B, G]."""
    import tensorflow as tf

    matrix = counts.tocoo()
    return {
        "cell_index": tf.constant(matrix.row, tf.int64),
        "gene_index": tf.constant(matrix.col, tf.int64),
        "count": tf.constant(matrix.data, tf.float32),
        "number_of_cells": tf.constant(counts.shape[0], tf.int64),
    }


def request_bytes(name: str, arguments: dict) -> int:
    """The size of a gRPC request of these arguments."""
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.signature_name = name
    for key, value in arguments.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return request.ByteSize()


def medians(functions: dict[str, Callable]) -> dict[str, float]:
    """Median seconds of each function, called in turn so that all see the same machine."""
    seconds = {name: [] for name in functions}
    for function in functions.values():
        function()
    start = time.perf_counter()
    while (
        len(next(iter(seconds.values()))) < MIN_CALLS or time.perf_counter() - start < MIN_SECONDS
    ):
        for name, function in functions.items():
            before = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - before)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def products(widths: list[int]) -> Callable:
    """A function of a batch that multiplies it with random matrices of these widths in turn."""
    import tensorflow as tf

    sizes = zip(widths[:-1], widths[1:], strict=True)
    matrices = [tf.random.normal(size) for size in sizes]

    @tf.function
    def multiply(values):
        for matrix in matrices:
            values = tf.matmul(values, matrix)
        return values

    return multiply


def measure(loaded, counts, modality: str, config, types: int) -> dict:
    """Speed and request sizes for one batch of cells of a modality."""
    import tensorflow as tf

    dense, sparse = {"counts": tf.constant(counts.toarray())}, entries(counts)
    genes = counts.shape[1]
    projection = config.preprocessing.projection_size
    own = [genes, *([projection] if projection else []), *config.network.encoder_sizes, types]
    floor, own_products = products([genes, FLOOR_WIDTH]), products(own)
    names = {"dense": f"annotate_{modality}", "sparse": f"annotate_{modality}_sparse"}
    call = loaded.signatures
    seconds = medians(
        {
            "floor": lambda: floor(dense["counts"]),
            "own_products": lambda: own_products(dense["counts"]),
            "dense": lambda: call[names["dense"]](**dense),
            "sparse": lambda: call[names["sparse"]](**sparse),
        }
    )
    cells = counts.shape[0]
    found = {"modality": modality, "batch": cells}
    for kind, arguments in (("dense", dense), ("sparse", sparse)):
        found[kind] = {
            "cells_a_second": round(cells / seconds[kind]),
            "times_floor": round(seconds[kind] / seconds["floor"], 2),
            "times_own_products": round(seconds[kind] / seconds["own_products"], 2),
            "request_bytes": request_bytes(names[kind], arguments),
        }
    return found


def main(_) -> None:
    """Prints a line a modality and batch."""
    import pandas as pd
    import tensorflow as tf

    config = scadv_flags.to_config()
    with tempfile.TemporaryDirectory() as folder:
        export, data = trained_export(config, Path(folder))
        loaded = tf.saved_model.load(str(export))
        genes = (export / "assets" / "genes.txt").read_text(encoding="utf-8").splitlines()
        columns = pd.Index(data.genes).get_indexer(genes)
        for modality, counts in (("rna", data.rna), ("atac", data.atac)):
            for batch in BATCHES:
                rows = np.arange(batch) % counts.shape[0]
                given = counts[rows][:, columns]
                found = measure(loaded, given, modality, config, len(data.types))
                print(json.dumps(found), flush=True)


if __name__ == "__main__":
    scadv_flags.define()
    app.run(main)
