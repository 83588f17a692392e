"""Servers, and proxies before them, that answer in another form, or never come to an end."""

from __future__ import annotations

import base64
import copy
import socket
import threading
import time

import numpy as np
import pytest
from scipy import sparse
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2

from scadv_tf.client.client import Client
from scadv_tf.client.transport import Retries
from scadv_tf.errors import InputError

CELLS = sparse.csr_matrix(np.ones((2, 3), np.float32))
TABLE = {"inputs": {"expression": {"tensor_shape": {"dim": [{"size": "-1"}, {"size": "3"}]}}}}
SIGNATURES = {name: TABLE for name in ("rna", "annotate_rna", "annotate_rna_sparse")}


def coded(text: str) -> dict:
    return {"b64": base64.b64encode(text.encode()).decode()}


RIGHT = {
    "status": {"model_version_status": [{"version": "1", "state": "AVAILABLE"}]},
    "metadata": {"metadata": {"signature_def": {"signature_def": SIGNATURES}}},
    "predict": {
        "outputs": {
            "label": [coded("B"), coded("T")],
            "confidence": [0.5, 0.75],
            "novelty": [0.5, 1.5],
            "unknown": [False, True],
            "latent": [[0.5, 1.5], [2.5, 3.5]],
            "probabilities": [[0.5, 0.5], [0.25, 0.75]],
        }
    },
}


def asked(address: str):
    with Client(address, "m", ["a", "b", "c"], timeout=5, retries=Retries(1)) as client:
        return client.annotate_counts(CELLS, "rna")


def test_the_right_answers_are_taken(serve):
    found = asked(serve(RIGHT))
    assert found.label.tolist() == ["B", "T"] and found.unknown.tolist() == [False, True]


def outputs(**changes) -> dict:
    right = copy.deepcopy(RIGHT["predict"]["outputs"])
    return {"outputs": {n: v for n, v in (right | changes).items() if v is not None}}


ODD = {
    "null": ("status", None, "model_version_status"),
    "a list": ("status", [], "model_version_status"),
    "a text": ("status", "ok", "model_version_status"),
    "no status": ("status", {}, "model_version_status"),
    "an error that is null": ("status", {"error": None}, "model_version_status"),
    "no versions": ("status", {"model_version_status": None}, "model_version_status"),
    "a version of words": (
        "status",
        {"model_version_status": [{"version": "one", "state": "AVAILABLE"}]},
        "model_version_status",
    ),
    "a state that is a number": (
        "status",
        {"model_version_status": [{"version": "1", "state": 30}]},
        "model_version_status",
    ),
    "a page": ("status", b"<html>Sign in</html>", "JSON"),
    "nothing": ("status", b"", "JSON"),
    "no text": ("status", b"\xff\xfe\x00", "JSON"),
    "too deep": ("status", b"[" * 100_000, "JSON"),
    "no signatures": ("metadata", {"metadata": {}}, "signature_def"),
    "signatures without inputs": (
        "metadata",
        {"metadata": {"signature_def": {"signature_def": {"rna": {}}}}},
        "signature_def",
    ),
    "no outputs": ("predict", {}, "outputs"),
    "outputs that are a list": ("predict", {"outputs": [1, 2]}, "outputs"),
    "an error in place of outputs": ("predict", {"error": None}, "outputs"),
    "ragged": ("predict", outputs(latent=[[1.5], [1.5, 2.5]]), "outputs"),
    "broken base64": ("predict", outputs(label=[{"b64": "?"}, coded("T")]), "base64"),
    "labels that are no text": ("predict", outputs(label=[{"b64": "/w=="}, coded("T")]), "base64"),
    "labels of another form": ("predict", outputs(label=[{"b": "QQ=="}, coded("T")]), "base64"),
    "text for numbers": ("predict", outputs(confidence=["0.5", "high"]), "finite numbers"),
    "null for numbers": ("predict", outputs(latent=[[None, 1.5], [2.5, 3.5]]), "outputs"),
    "not a number": ("predict", outputs(novelty=[float("nan"), 1.5]), "finite numbers"),
    "numbers for labels": ("predict", outputs(label=[1, 2]), "label (text"),
    "numbers for unknown": ("predict", outputs(unknown=[0.5, 1.5]), "true or false"),
    "of one cell": ("predict", outputs(confidence=[0.5]), "of 2 cells"),
    "without novelty": ("predict", outputs(novelty=None), "novelty"),
    "latent vectors in a row": ("predict", outputs(latent=[0.5, 1.5]), "a row a cell"),
    "of no type": ("predict", outputs(probabilities=[[], []]), "a row a cell"),
}


@pytest.mark.parametrize("case", ODD)
def test_another_form_is_told_with_what_was_expected(serve, case):
    place, answer, expected = ODD[case]
    with pytest.raises(InputError) as error:
        asked(serve(RIGHT | {place: answer}))
    assert expected in error.value.expected
    assert "answer" in error.value.what


@pytest.mark.parametrize(
    "body", [{"error": None}, {"error": ["a"]}, {"error": {}}, {}, None, [], b"no", b"[" * 100_000]
)
@pytest.mark.parametrize("code", [400, 500])
def test_a_refusal_of_another_form_is_a_refusal(serve, body, code):
    with pytest.raises(InputError, match="the server refused the request"):
        asked(serve(RIGHT | {"predict": body}, code))


def test_labels_that_the_model_does_not_know(serve, exported):
    """The other assets say which types there are."""
    genes = exported.version / "assets" / "genes.txt"
    size = len(genes.read_text().splitlines())
    dim = [{"size": "-1"}, {"size": str(size)}]
    table = {"inputs": {"expression": {"tensor_shape": {"dim": dim}}}}
    metadata = {"metadata": {"signature_def": {"signature_def": dict.fromkeys(SIGNATURES, table)}}}
    status = {"model_version_status": [{"version": exported.version.name, "state": "AVAILABLE"}]}
    address = serve(RIGHT | {"metadata": metadata, "status": status})
    counts = sparse.csr_matrix(np.ones((2, size), np.float32))
    with Client(address, "m", genes, retries=Retries(1)) as client:
        with pytest.raises(InputError, match="not that of an scadv_tf model"):
            client.annotate_counts(counts, "rna")


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_an_answer_that_drips_is_not_waited_for(start):
    """Each byte comes in time, and their end never does."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def drip():
            connection, _ = listening.accept()
            with connection:
                connection.sendall(start)
                for _ in range(100):
                    time.sleep(0.1)
                    connection.sendall(b"H")

        threading.Thread(target=_quietly, args=(drip,), daemon=True).start()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        begin = time.monotonic()
        with Client(address, "m", ["a"], timeout=0.5, retries=Retries(1)) as client:
            with pytest.raises(InputError, match="an answer within 0.5 s"):
                client.versions()
        assert time.monotonic() - begin < 5


def _quietly(function) -> None:
    try:
        function()
    except OSError:
        pass


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
def test_a_senseless_timeout_is_refused(timeout):
    with pytest.raises(InputError, match="the timeout is out of range"):
        Client("http://localhost:1", "m", ["a"], timeout=timeout)


# By gRPC.


def odd_state(_, timeout):
    response = get_model_status_pb2.GetModelStatusResponse()
    response.model_version_status.add(version=1, state=7)
    return response


def no_metadata(_, timeout):
    return get_model_metadata_pb2.GetModelMetadataResponse()


def broken_metadata(_, timeout):
    response = no_metadata(_, timeout)
    found = response.metadata["signature_def"]
    found.Pack(get_model_metadata_pb2.SignatureDefMap())
    found.value = b"\xff\xff"
    return response


def broken_tensor(_, timeout):
    response = predict_pb2.PredictResponse()
    response.outputs["label"].dtype = 7
    response.outputs["label"].string_val.append(b"\xff")
    response.outputs["label"].tensor_shape.dim.add(size=1)
    return response


@pytest.mark.parametrize("protocol", ["grpc"])
@pytest.mark.parametrize(
    "stub, method, answer, expected",
    [
        ("_models", "GetModelStatus", odd_state, "versions with their states"),
        ("_predictions", "GetModelMetadata", no_metadata, "signature_def"),
        ("_predictions", "GetModelMetadata", broken_metadata, "signature_def"),
        ("_predictions", "Predict", broken_tensor, "tensors"),
    ],
)
def test_another_form_by_grpc(connect, counts, monkeypatch, stub, method, answer, expected):
    client = connect()
    monkeypatch.setattr(getattr(client._transport, stub), method, answer)
    with pytest.raises(InputError, match="not that of TF Serving") as error:
        client.annotate_counts(counts(1), "rna")
    assert expected in error.value.expected
