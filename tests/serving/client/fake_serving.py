"""A stand-in for tensorflow_model_server: its gRPC and REST answers over `tf.saved_model.load`.

Statuses, messages and JSON follow the source of TF Serving (predict_util.cc, json_tensor.cc,
http_server.cc, http_rest_api_util.cc, batching_util.h), as far as a client can tell.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

DROPPED = "DROPPED"  # a fault: the connection ends without an answer
# http_server.cc; UNAVAILABLE may also be a proxy's 502.
HTTP_CODES = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "BAD_GATEWAY": 502,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}


class Refused(Exception):
    def __init__(self, status: str, message: str):
        super().__init__(message)
        self.status, self.message = status, message


@dataclass
class FakeServer:
    """What both ways in have in common.

    Attributes
    ----------
    versions : folders of the versions of the one model.
    states : version -> state, if not AVAILABLE.
    batching : whether requests are batched, as with --enable_batching.
    faults : statuses that the next predictions get; None lets one through.
    requests : (version, signature, inputs) of each prediction, those with a fault too.
    sizes : bytes of each request for a prediction.
    """

    name: str
    versions: dict[int, Path]
    states: dict[int, str] = field(default_factory=dict)
    batching: bool = False
    faults: list = field(default_factory=list)
    requests: list = field(default_factory=list)
    sizes: list = field(default_factory=list)

    def __post_init__(self):
        loaded = {path: tf.saved_model.load(str(path)) for path in set(self.versions.values())}
        self._models = {version: loaded[path] for version, path in self.versions.items()}
        self._definitions = {v: _signature_defs(path) for v, path in self.versions.items()}

    def reset(self) -> None:
        """Forgets what a test has asked for."""
        self.faults.clear()
        self.requests.clear()
        self.sizes.clear()
        self.states.clear()
        self.batching = False

    def version(self, name: str, version: int | None) -> int:
        """The version that answers, the latest if none is asked for."""
        available = [v for v in self.versions if self.state(v) == "AVAILABLE"]
        wanted = max(available, default=None) if version is None else version
        if name != self.name or wanted not in available:
            asked = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise Refused("NOT_FOUND", f"Servable not found for request: {asked}")
        return wanted

    def state(self, version: int) -> str:
        return self.states.get(version, "AVAILABLE")

    def status(self, name: str) -> get_model_status_pb2.GetModelStatusResponse:
        if name != self.name:
            raise Refused("NOT_FOUND", f"Could not find any versions of model {name}")
        response = get_model_status_pb2.GetModelStatusResponse()
        for version in self.versions:
            state = get_model_status_pb2.ModelVersionStatus.State.Value(self.state(version))
            response.model_version_status.add(version=version, state=state)
        return response

    def signature_defs(self, name: str, version: int | None) -> dict:
        return self._definitions[self.version(name, version)]

    def predict(self, name: str, version: int | None, signature: str, inputs: dict) -> dict:
        """Outputs as arrays; text as bytes."""
        version = self.version(name, version)
        self.requests.append((version, signature, inputs))
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise Refused(fault, "a fault of the test")
        definition = self._definitions[version].get(signature)
        if definition is None:
            raise Refused("FAILED_PRECONDITION", f'Serving signature key "{signature}" not found.')
        self._check_inputs(definition, inputs)
        tensors = {key: tf.constant(value) for key, value in inputs.items()}
        try:
            outputs = self._models[version].signatures[signature](**tensors)
        except tf.errors.OpError as error:
            # Python has put a trace in front.
            message = re.sub(r"(?s)^Graph execution error.*?unavailable>\n", "", error.message)
            raise Refused(_NAMES[error.error_code], message) from error
        return {key: value.numpy() for key, value in outputs.items()}

    def _check_inputs(self, definition, inputs: dict) -> None:
        sent, expected = set(inputs), set(definition.inputs)
        if sent != expected:
            extra, missing = (",".join(found) for found in (sent - expected, expected - sent))
            raise Refused(
                "INVALID_ARGUMENT",
                f"input size does not match signature: {len(sent)}!={len(expected)}. "
                f"Sent extra: {{{extra}}}. Missing but required: {{{missing}}}.",
            )
        for key, value in inputs.items():
            dtype = tf.dtypes.as_dtype(definition.inputs[key].dtype)
            if tf.dtypes.as_dtype(value.dtype) != dtype:
                message = f"{key} is to be {dtype.name} but {value.dtype} is provided"
                raise Refused("INVALID_ARGUMENT", message)
        if self.batching:
            sizes = {value.shape[0] if value.ndim else None for value in inputs.values()}
            if None in sizes:
                message = "Batching Run() input tensors must have at least one dimension"
                raise Refused("INVALID_ARGUMENT", message)
            if len(sizes) > 1:
                message = "Batching Run() input tensors must have equal 0th-dimension size"
                raise Refused("INVALID_ARGUMENT", message)


def _signature_defs(folder: Path) -> dict:
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    return dict(saved.meta_graphs[0].signature_def)


# gRPC.


class _Service(
    prediction_service_pb2_grpc.PredictionServiceServicer,
    model_service_pb2_grpc.ModelServiceServicer,
):
    def __init__(self, fake: FakeServer):
        self.fake = fake

    def Predict(self, request, context):
        spec = request.model_spec
        self.fake.sizes.append(request.ByteSize())
        response = predict_pb2.PredictResponse()
        with _aborting(context):
            inputs = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
            outputs = self.fake.predict(spec.name, _version(spec), spec.signature_name, inputs)
            for key, value in outputs.items():
                response.outputs[key].CopyFrom(tf.make_tensor_proto(value))
        return response

    def GetModelMetadata(self, request, context):
        spec = request.model_spec
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        with _aborting(context):
            found = self.fake.signature_defs(spec.name, _version(spec))
            response.metadata["signature_def"].Pack(_signature_def_map(found))
        return response

    def GetModelStatus(self, request, context):
        with _aborting(context):
            return self.fake.status(request.model_spec.name)


def _version(spec) -> int | None:
    return spec.version.value if spec.HasField("version") else None


def _signature_def_map(definitions: dict):
    found = get_model_metadata_pb2.SignatureDefMap()
    for name, definition in definitions.items():
        found.signature_def[name].CopyFrom(definition)
    return found


@contextlib.contextmanager
def _aborting(context):
    try:
        yield
    except Refused as refused:
        status = "UNAVAILABLE" if refused.status == DROPPED else refused.status
        context.abort(grpc.StatusCode[status], refused.message)


@contextlib.contextmanager
def grpc_server(fake: FakeServer) -> Iterator[str]:
    """Lends the address of a running server."""
    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(ThreadPoolExecutor(2), options=unlimited)
    service = _Service(fake)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(grace=None).wait()


# REST.

_PATH = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+))?(:predict|/metadata)?")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet an answer: no wait for the client to acknowledge the first
    disable_nagle_algorithm = True

    def do_GET(self):
        self._answer()

    def do_POST(self):
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        code = 200
        try:
            content = self._content(body)
        except Refused as refused:
            if refused.status == DROPPED:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            code = HTTP_CODES[refused.status]
            content = {"error": refused.message}
            if refused.status == "BAD_GATEWAY":
                content = "<html>a proxy's page</html>"
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def _content(self, body: bytes):
        found = _PATH.fullmatch(self.path)
        if found is None or (self.command == "POST") != (found[3] == ":predict"):
            message = f"Malformed request: {self.command} {self.path}"
            raise Refused("INVALID_ARGUMENT", message)
        fake, name, version = self.server.fake, found[1], found[2] and int(found[2])
        if found[3] == ":predict":
            return _predicted(fake, name, version, body)
        if found[3] == "/metadata":
            definitions = _signature_def_map(fake.signature_defs(name, version))
            return {"metadata": {"signature_def": _as_json(definitions)}}
        return _as_json(fake.status(name))

    def log_message(self, *arguments):
        pass


def _as_json(message) -> dict:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _predicted(fake: FakeServer, name: str, version: int | None, body: bytes) -> dict:
    fake.sizes.append(len(body))
    try:
        request = json.loads(body)
    except ValueError as error:
        raise Refused("INVALID_ARGUMENT", f"JSON Parse error: {error}") from error
    signature = request.get("signature_name", "serving_default")
    definition = fake.signature_defs(name, version).get(signature)
    if definition is None:
        message = f'Serving signature name: "{signature}" not found in signature def'
        raise Refused("INVALID_ARGUMENT", message)
    if "inputs" not in request:
        raise Refused("INVALID_ARGUMENT", "Missing 'inputs' or 'instances' key")
    inputs = {}
    for key, info in definition.inputs.items():
        if key not in request["inputs"]:
            message = f"Missing named input: {key} in 'inputs' object."
            raise Refused("INVALID_ARGUMENT", message)
        inputs[key] = _tensor(request["inputs"][key], tf.dtypes.as_dtype(info.dtype))
    outputs = fake.predict(name, version, signature, inputs)
    return {"outputs": {key: _plain(value) for key, value in outputs.items()}}


def _tensor(values, dtype: tf.DType) -> np.ndarray:
    try:
        array = np.array(values)
    except ValueError as error:
        raise Refused("INVALID_ARGUMENT", "Encountered list at unexpected size") from error
    kinds = {"f": "iuf", "i": "iu"}[np.dtype(dtype.as_numpy_dtype).kind]
    if array.size and array.dtype.kind not in kinds:
        message = f"JSON Value: {values} is not of expected type: {dtype.name}"
        raise Refused("INVALID_ARGUMENT", message)
    return array.astype(dtype.as_numpy_dtype)


def _plain(values: np.ndarray) -> list:
    """Lists as TF Serving writes them: the shortest digits that are this float, text as text."""
    if values.dtype == object:
        return [text.decode() for text in values]
    if values.dtype == np.float32:
        return values.astype(str).astype(float).tolist()
    return values.tolist()


@contextlib.contextmanager
def rest_server(fake: FakeServer) -> Iterator[str]:
    """Lends the address of a running server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.fake = fake
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


SERVERS = {"grpc": grpc_server, "rest": rest_server}


@contextlib.contextmanager
def both_servers(fake: FakeServer) -> Iterator[dict[str, str]]:
    """Lends how to reach it: 'grpc' -> …, 'rest' -> …"""
    with grpc_server(fake) as by_grpc, rest_server(fake) as by_rest:
        yield {"grpc": by_grpc, "rest": by_rest}
