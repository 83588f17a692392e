"""The export as TF Serving loads it, and a real server as configured in docs/serving.md."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from same_answers import assert_close
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

from scadv_tf.client.client import Client
from scadv_tf.errors import InputError
from scadv_tf.serving.warmup import FILE

PAGE = Path(__file__).parents[3] / "docs" / "serving.md"
BINARY = "tensorflow_model_server"
v1 = tf.compat.v1


def readme_config() -> model_server_config_pb2.ModelServerConfig:
    """The ``models.config`` that the page on serving shows."""
    blocks = re.findall(r"(?ms)^```\w*\n(model_config_list.*?)^```", PAGE.read_text("utf-8"))
    assert len(blocks) == 1, "the page shows one models.config"
    return text_format.Parse(blocks[0], model_server_config_pb2.ModelServerConfig())


def warmup_requests(folder: Path) -> list:
    """The requests that TF Serving answers to itself when it has loaded a version."""
    records = tf.data.TFRecordDataset(str(folder / FILE)).as_numpy_iterator()
    logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in records]
    return [log.predict_log.request for log in logs]


def test_a_session_answers_the_warm_up_requests(folder):
    """TF Serving runs a graph in a session, not Python objects: variables must be restored by name.

    A version whose warm-up fails is never available.
    """
    asked = warmup_requests(folder)
    with tf.Graph().as_default(), v1.Session() as session:
        loaded = v1.saved_model.load(session, ["serve"], str(folder))
        for request in asked:
            signature = loaded.signature_def[request.model_spec.signature_name]
            fed = {signature.inputs[n].name: tf.make_ndarray(t) for n, t in request.inputs.items()}
            found = session.run({n: info.name for n, info in signature.outputs.items()}, fed)
            assert {len(values) for values in found.values()} == {2}
        names = {request.model_spec.signature_name for request in asked}
        served = {name for name in loaded.signature_def if not name.startswith("__")}
        assert names == served - {"serving_default"}


def test_the_readme_shows_a_configuration_that_the_server_reads():
    (model,) = readme_config().model_config_list.config
    assert model.model_platform == "tensorflow" and model.name
    assert Path(model.base_path).is_absolute() and Path(model.base_path).name == model.name


# A real server.


def free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in found:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in found]


@pytest.fixture(scope="module")
def real_server(folder, genes, tmp_path_factory):
    """Addresses of a server that was started as the page on serving says."""
    config = readme_config()
    (model,) = config.model_config_list.config
    model.base_path = str(folder.parent)
    file = tmp_path_factory.mktemp("config") / "models.config"
    file.write_text(text_format.MessageToString(config))
    grpc_port, rest_port = free_ports(2)
    server = subprocess.Popen(
        [
            BINARY,
            f"--port={grpc_port}",
            f"--rest_api_port={rest_port}",
            f"--model_config_file={file}",
        ]
    )
    addresses = {"grpc": f"127.0.0.1:{grpc_port}", "rest": f"http://127.0.0.1:{rest_port}"}
    try:
        with Client(addresses["grpc"], model.name, genes) as client:
            wait_until_available(client, server)
        yield model.name, addresses
    finally:
        server.terminate()
        server.wait(timeout=30)


def wait_until_available(client: Client, server: subprocess.Popen) -> None:
    for _ in range(60):
        assert server.poll() is None, "the server has stopped"
        with contextlib.suppress(InputError):
            if "AVAILABLE" in client.versions().values():
                return
        time.sleep(1)
    raise AssertionError("no version became available in a minute")


@pytest.mark.skipif(shutil.which(BINARY) is None, reason=f"{BINARY} is not on the PATH")
@pytest.mark.parametrize("is_sparse", [True, False])
@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_a_real_server_gives_what_the_model_in_memory_gives(
    real_server, protocol, genes, counts, expected, is_sparse
):
    name, addresses = real_server
    with Client(addresses[protocol], name, genes, sparse=is_sparse) as client:
        for number in (1, 7, 1000):
            answer = client.annotate_counts(counts(number), "rna")
            right = expected(counts(number), "rna")
            np.testing.assert_array_equal(answer.label, right["label"])
            assert_close(answer.latent, right["latent"])
            assert_close(answer.confidence, right["confidence"])
        with Client(addresses[protocol], name, genes[:-1]) as wrong, pytest.raises(InputError):
            wrong.annotate_counts(counts(1)[:, :-1], "rna")
        assert client.versions()[1] == "AVAILABLE"
