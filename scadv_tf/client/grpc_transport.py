"""TF Serving by gRPC: `PredictionService` and `ModelService`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from scipy import sparse
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from scadv_tf.client.batches import BYTES_OF_ENTRY, BYTES_OF_VALUE
from scadv_tf.client.transport import RequestFailed, expecting

# The default limit of 4 MiB is 350 dense cells of 3,000 genes. TF Serving itself has none.
_OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
_SIGNATURES = "signature_def"  # the only metadata that TF Serving knows


class GrpcTransport:
    """See `Transport`.

    Parameters
    ----------
    address : 'host:port'.
    model : its name in models.config.
    timeout : seconds a request may take.
    """

    def __init__(self, address: str, model: str, timeout: float):
        self._model, self._timeout = model, timeout
        self._channel = grpc.insecure_channel(address, options=_OPTIONS)
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def predict(
        self, version: int, signature: str, inputs: dict[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        request = self._addressed(predict_pb2.PredictRequest(), version)
        request.model_spec.signature_name = signature
        for name, values in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
        response = self._call(self._predictions.Predict, request)
        with expecting("tensors", response.outputs):
            return {name: _array(tensor) for name, tensor in response.outputs.items()}

    def versions(self) -> dict[int, str]:
        request = self._addressed(get_model_status_pb2.GetModelStatusRequest())
        response = self._call(self._models.GetModelStatus, request)
        state = get_model_status_pb2.ModelVersionStatus.State.Name
        with expecting("versions with their states", response):
            return {found.version: state(found.state) for found in response.model_version_status}

    def signatures(self, version: int) -> dict[str, dict[str, list[int]]]:
        request = self._addressed(get_model_metadata_pb2.GetModelMetadataRequest(), version)
        request.metadata_field.append(_SIGNATURES)
        response = self._call(self._predictions.GetModelMetadata, request)
        found = get_model_metadata_pb2.SignatureDefMap()
        with expecting(f"metadata with a {_SIGNATURES}", response):
            try:
                known = response.metadata[_SIGNATURES].Unpack(found)
            except DecodeError as error:
                raise ValueError(str(error)) from error
            if not known:
                raise ValueError(f"there is no {_SIGNATURES}")
        return {
            name: {
                key: [dim.size for dim in info.tensor_shape.dim]
                for key, info in signature.inputs.items()
            }
            for name, signature in found.signature_def.items()
        }

    def prefers_sparse(self, counts: sparse.csr_matrix) -> bool:
        # Tensors travel as they lie in memory.
        return BYTES_OF_ENTRY * counts.nnz < BYTES_OF_VALUE * np.prod(counts.shape, dtype=float)

    def close(self) -> None:
        self._channel.close()

    def _addressed(self, request: Any, version: int | None = None) -> Any:
        request.model_spec.name = self._model
        if version is not None:
            request.model_spec.version.value = version
        return request

    def _call(self, method: Callable, request: Any) -> Any:
        try:
            return method(request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise RequestFailed(error.code().name, error.details() or "") from error


def _array(tensor: tf.TensorProto) -> np.ndarray:
    values = tf.make_ndarray(tensor)
    if values.dtype != object:
        return values
    return np.array([text.decode() for text in values.ravel()], dtype=str).reshape(values.shape)
