"""A small model with types that are not ASCII, served by the stand-in, and clients of it."""

from __future__ import annotations

import dataclasses
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from fake_serving import FakeServer, both_servers
from scipy import sparse
from serving_twin import opened

from scadv_tf.client.client import Client
from scadv_tf.client.transport import Retries
from scadv_tf.serving.export import export

TYPES = ("CD8⁺ T", "naïve B", "γδ T", "单核细胞")
MODEL = "tissue"
QUICK = Retries(attempts=3, first_wait=0.01)


@pytest.fixture(scope="session")
def trained(train, tissue):
    """See the outer conftest; the types have other names."""
    return train(dataclasses.replace(tissue, types=TYPES))


@pytest.fixture(scope="session")
def folder(trained, tmp_path_factory):
    """The folder of its version 1."""
    places = trained.data.intervals
    return export(trained.served, tmp_path_factory.mktemp("served") / MODEL, intervals=places)


@pytest.fixture(scope="session")
def the_fake(folder):
    """The same model is version 1 and version 2."""
    return FakeServer(MODEL, {1: folder, 2: folder})


@pytest.fixture
def fake(the_fake):
    """The server behind both addresses, as if it had just started."""
    the_fake.reset()
    return the_fake


@pytest.fixture(scope="session")
def addresses(the_fake):
    """How to reach it: 'grpc' -> …, 'rest' -> …"""
    with both_servers(the_fake) as found:
        yield found


@pytest.fixture(params=["grpc", "rest"])
def protocol(request) -> str:
    return request.param


@pytest.fixture
def connect(fake, addresses, protocol, genes):
    """A maker of clients that do not wait long; all are closed."""
    made = []

    def make(model=MODEL, genes=genes, **settings) -> Client:
        address = settings.pop("address", addresses[protocol])
        made.append(Client(address, model, genes, **{"retries": QUICK} | settings))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture(scope="session")
def genes(trained):
    return trained.cells.preprocessor.genes


@pytest.fixture(scope="session")
def counts(trained):
    """A maker of raw counts: counts(cells), of all types."""

    def make(cells: int) -> sparse.csr_matrix:
        random = np.random.default_rng(cells)
        found = trained.data.rna[random.integers(trained.data.rna.shape[0], size=cells)]
        found.data = random.binomial(found.data.astype(int), 0.8).astype(np.float32)
        return found

    return make


@pytest.fixture(scope="session")
def expected(trained, in_memory):
    """What the model in memory says of counts: expected(counts, modality, peaks)."""

    def answer(counts, modality: str, peaks=None) -> dict:
        given = () if peaks is None else (opened(peaks),)
        found = in_memory(trained).annotate(counts.toarray(), modality, *given)
        found = {name: value.numpy() for name, value in found.items()}
        return found | {"label": np.array([text.decode() for text in found["label"]])}

    return answer


@pytest.fixture
def cells(counts, genes):
    """A maker of AnnData: cells(number); genes as the model has them."""

    def make(number: int) -> AnnData:
        return AnnData(counts(number), var=pd.DataFrame(index=genes))

    return make


@pytest.fixture
def serve():
    """A maker of servers that give these answers, as JSON or as they are; returns the address."""
    servers = []

    def start(answers: dict, code: int = 200) -> str:
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def answer(self):
                # What is left unread resets the connection, and the answer may be lost with it.
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                asked = "metadata" if self.path.endswith("metadata") else "status"
                answer = answers["predict" if self.command == "POST" else asked]
                body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(code if self.command == "POST" else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = answer

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
