"""Requests that TF Serving answers to itself before it takes others, so that none is slow."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

logger = logging.getLogger(__name__)

FILE = "assets.extra/tf_serving_warmup_requests"
CELLS = 2


def write_warmup_requests(export: Path, functions: dict[str, Any]) -> Path | None:
    """Writes a PredictionLog record a signature, as TF Serving looks for them.

    Needs the extra ``scadv_tf[serving]``; without it nothing is written, and the first request of
    each kind takes a little longer.

    Returns
    -------
    The file, or None.
    """
    try:
        from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
    except ImportError:
        logger.info("no warm-up requests for TF Serving: pip install 'scadv_tf[serving]' for them")
        return None
    path = Path(export) / FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, function in functions.items():
            request = predict_pb2.PredictRequest()
            request.model_spec.signature_name = name
            for spec in function.input_signature:
                request.inputs[spec.name].CopyFrom(tf.make_tensor_proto(_example(spec, export)))
            log = prediction_log_pb2.PredictLog(request=request)
            writer.write(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())
    return path


def _example(spec: tf.TensorSpec, export: Path) -> np.ndarray | np.int64:
    """A value for an input: the same few counts whatever the model."""
    if spec.name == "number_of_cells":
        return np.int64(CELLS)
    shape = [CELLS if size is None else size for size in spec.shape]
    if spec.name == "counts":
        with open(export / "assets" / "genes.txt", encoding="utf-8") as file:
            shape[1] = sum(1 for _ in file)
    if spec.dtype.is_integer:
        return np.arange(CELLS, dtype=np.int64)
    return np.ones(shape, dtype=np.float32)
