"""What the client asks again, what it refuses, and what it leaves as it was."""

from __future__ import annotations

import socket
import sys
import time

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from fake_serving import DROPPED, SERVERS, FakeServer
from same_answers import assert_close
from scipy import sparse

from scadv_tf.client import transport
from scadv_tf.client.client import Client
from scadv_tf.client.transport import RequestFailed, Retries
from scadv_tf.errors import InputError

PASSING = {
    "grpc": ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"],
    "rest": ["UNAVAILABLE", "BAD_GATEWAY", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", DROPPED],
}
PASSING_FAULTS = [(name, fault) for name, faults in PASSING.items() for fault in faults]
LASTING_FAULTS = [
    (name, fault) for name in PASSING for fault in ("INVALID_ARGUMENT", "INTERNAL", "NOT_FOUND")
]


# Retries.


@pytest.mark.parametrize("protocol, fault", PASSING_FAULTS)
def test_a_passing_failure_is_asked_again(connect, fake, counts, expected, fault):
    fake.faults = [fault, fault]
    answer = connect(batch_size=3).annotate_counts(counts(7), "rna")
    assert len(fake.requests) == 3 + 2
    np.testing.assert_array_equal(answer.label, expected(counts(7), "rna")["label"])


@pytest.mark.parametrize("protocol, fault", PASSING_FAULTS)
def test_it_is_not_asked_for_ever(connect, fake, counts, fault):
    fake.faults = [fault] * 9
    with pytest.raises(InputError, match=r"asked 3 times") as error:
        connect().annotate_counts(counts(1), "rna")
    assert error.value.what in ("the server did not answer", "the server was too slow")
    assert len(fake.requests) == 3


@pytest.mark.parametrize("protocol, fault", LASTING_FAULTS)
def test_a_lasting_failure_is_not_asked_again(connect, fake, counts, fault):
    fake.faults = [fault]
    with pytest.raises(InputError, match="a fault of the test"):
        connect().annotate_counts(counts(1), "rna")
    assert len(fake.requests) == 1


def test_waits_double_up_to_the_longest_and_differ_between_clients(monkeypatch):
    waits = []
    monkeypatch.setattr(transport.time, "sleep", waits.append)

    def fail():
        raise RequestFailed("UNAVAILABLE", "away")

    retries = Retries(attempts=6, first_wait=1, longest_wait=5)
    for _ in range(2):
        with pytest.raises(RequestFailed):
            retries.answer(fail)
    first, second = np.array(waits).reshape(2, 5)
    for found in (first, second):
        assert (found <= [1, 2, 4, 5, 5]).all() and (found >= [0.5, 1, 2, 2.5, 2.5]).all()
    assert (first != second).all()


@pytest.mark.parametrize("settings", [{"attempts": 0}, {"first_wait": -1}, {"longest_wait": -1}])
def test_senseless_retries_are_refused(settings):
    with pytest.raises(ValueError, match="attempts must be 1 or more"):
        Retries(**settings)


# All or nothing.


def snapshot(adata):
    return adata.obs.copy(), {name: values.copy() for name, values in adata.obsm.items()}


def assert_unchanged(adata, before):
    pd.testing.assert_frame_equal(adata.obs, before[0])
    assert set(adata.obsm) == set(before[1])
    for name, values in before[1].items():
        np.testing.assert_array_equal(adata.obsm[name], values)


@pytest.mark.parametrize("has_older_results", [False, True])
def test_a_failure_midway_leaves_the_cells_as_they_were(connect, fake, cells, has_older_results):
    adata = cells(7)
    client = connect(batch_size=3)
    if has_older_results:
        client.annotate(adata, "atac")
    before = snapshot(adata)
    fake.requests.clear()
    fake.faults = [None, "INTERNAL"]
    with pytest.raises(InputError):
        client.annotate(adata, "rna")
    assert len(fake.requests) == 2
    assert_unchanged(adata, before)
    client.annotate(adata, "rna")
    assert "X_scadv" in adata.obsm


@pytest.mark.parametrize("value", [-1, np.nan, np.inf, 2e30])
def test_values_that_are_no_counts_are_not_sent(connect, fake, cells, value):
    adata = cells(7)
    adata.X = adata.X.toarray()
    adata.X[5, 3] = value
    before = snapshot(adata)
    with pytest.raises(InputError, match="in cell 5, column 3") as error:
        connect(batch_size=4).annotate(adata, "rna")
    assert error.value.what == "a count is negative, above 1e+30 or not a number"
    assert len(fake.requests) == 1  # the first four cells
    assert_unchanged(adata, before)


# What users get wrong.


def test_a_model_that_is_not_there(connect, counts):
    for ask in (lambda c: c.versions(), lambda c: c.annotate_counts(counts(1), "rna")):
        with pytest.raises(InputError, match="'pancreas'") as error:
            ask(connect(model="pancreas"))
        assert error.value.what == "the server has no such model"


def closed_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_a_server_that_is_not_there(connect, protocol):
    address = {"grpc": "127.0.0.1:{}", "rest": "http://127.0.0.1:{}"}[protocol]
    with pytest.raises(InputError, match=r"UNAVAILABLE.*\(asked 3 times\)") as error:
        connect(address=address.format(closed_port())).versions()
    assert error.value.what == "the server did not answer"
    assert "8501" in error.value.advice


def test_a_server_that_says_nothing(connect, protocol):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        address = address if protocol == "grpc" else f"http://{address}"
        client = connect(address=address, timeout=0.2, retries=Retries(attempts=1))
        start = time.monotonic()
        with pytest.raises(InputError, match="an answer within 0.2 s"):
            client.versions()
        assert time.monotonic() - start < 10


def test_something_else_that_answers(connect, protocol, addresses):
    """REST asked of the gRPC port, and the other way round."""
    other = {"grpc": addresses["rest"].removeprefix("http://")}
    other["rest"] = "http://" + addresses["grpc"]
    with pytest.raises(InputError, match="the host and port"):
        connect(address=other[protocol]).versions()


@pytest.mark.parametrize("states", [{1: "END"}, {1: "LOADING", 2: "LOADING"}])
def test_a_version_that_is_not_served(connect, fake, folder, counts, states):
    fake.states |= states
    with pytest.raises(InputError, match=f"1: {states[1]}") as error:
        connect(genes=folder / "assets" / "genes.txt").annotate_counts(counts(1), "rna")
    assert "version 1" in error.value.expected and not fake.requests


def test_no_version_is_ready(connect, fake, counts):
    fake.states |= {1: "LOADING", 2: "LOADING"}
    with pytest.raises(InputError, match="1: LOADING, 2: LOADING") as error:
        connect().annotate_counts(counts(1), "rna")
    assert error.value.what == "no version is ready"


def test_a_model_with_other_genes(connect, fake, cells, genes):
    """Sparse indices of too few genes would all be in range."""
    with pytest.raises(InputError, match="119 genes") as error:
        connect(genes=genes[:-1], sparse=True).annotate(cells(7), "rna")
    assert "120 genes of version 2" in error.value.expected and not fake.requests


@pytest.fixture(scope="module")
def fake_without_types(without_types):
    return FakeServer("tissue", {1: without_types.version})


def test_a_model_without_types(fake_without_types, protocol, genes, counts):
    with SERVERS[protocol](fake_without_types) as address:
        with Client(address, "tissue", genes) as client, pytest.raises(InputError) as error:
            client.annotate_counts(counts(1), "rna")
    assert error.value.what == "the model has no signature annotate_rna"
    assert "embed_rna" in error.value.received and "taught types" in error.value.expected


def test_a_server_that_batches_takes_dense_requests_alone(connect, fake, counts, expected):
    fake.batching = True
    with pytest.raises(InputError, match="sparse=False") as error:
        connect(sparse=True).annotate_counts(counts(7), "rna")
    assert error.value.what == "the server refused the request"
    answer = connect(sparse=False).annotate_counts(counts(7), "rna")
    np.testing.assert_array_equal(answer.label, expected(counts(7), "rna")["label"])


def test_cells_that_cannot_be_sent(connect, fake, cells, counts):
    client = connect()
    adata = cells(3)
    wrong = {
        "no such layer": lambda: client.annotate(adata, "rna", layer="counts"),
        "no counts to send": lambda: client.annotate(adata[:0].copy(), "rna"),
        "without X": lambda: client.annotate(AnnData(obs=adata.obs, var=adata.var), "rna"),
        "none of the model's genes": lambda: client.annotate(
            AnnData(adata.X, var=pd.DataFrame(index=[f"peak {i}" for i in range(120)])), "atac"
        ),
        "no such modality": lambda: client.annotate(adata, "protein"),
        "number of genes does not fit": lambda: client.annotate_counts(counts(3)[:, 1:], "rna"),
        "at least one cell": lambda: client.annotate_counts(counts(3)[:0], "rna"),
    }
    for text, ask in wrong.items():
        with pytest.raises(InputError, match=text):
            ask()
    assert not fake.requests


def test_settings_that_cannot_be(addresses, protocol, genes, tmp_path):
    address = addresses[protocol]
    for size in (0, 65_537):
        with pytest.raises(InputError, match="the batch size is out of range"):
            Client(address, "tissue", genes, batch_size=size)
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe")
    for path in ("missing.txt", "empty.txt", "binary.txt", "."):
        with pytest.raises(InputError, match="the model's genes are not known"):
            Client(address, "tissue", tmp_path / path)
    for names in ([], [["A"]]):
        with pytest.raises(InputError, match="the model's genes are not known"):
            Client(address, "tissue", names)


@pytest.mark.parametrize("module", ["grpc", "requests", "tensorflow_serving.apis"])
def test_without_the_extra_it_says_what_to_install(monkeypatch, genes, module):
    for name in ("grpc_transport", "rest_transport"):
        monkeypatch.delitem(sys.modules, f"scadv_tf.client.{name}", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    address = "http://localhost:8501" if module == "requests" else "localhost:8500"
    with pytest.raises(InputError, match=r"pip install 'scadv_tf\[serving\]'"):
        Client(address, "tissue", genes)


# What others than this client may send: the server says what it expected, and goes on.

ENTRIES = {
    "cell_index": np.array([0, 1]),
    "gene_index": np.array([0, 119]),
    "count": np.array([1, 2], np.float32),
    "number_of_cells": np.int64(2),
}
DENSE = np.ones((2, 120), np.float32)
MALFORMED = {
    "wrong width": ("annotate_rna", {"counts": DENSE[:, :7]}, r"float32 \[cells, 120\]"),
    "not a number": ("annotate_atac", {"counts": DENSE * np.nan}, "not a number: expected raw"),
    "negative": ("embed_rna", {"counts": -DENSE}, "expected raw counts"),
    "gene out of range": (
        "annotate_rna_sparse",
        ENTRIES | {"gene_index": np.array([0, 120])},
        "expected 0 to 119, in the order of genes.txt",
    ),
    "cell out of range": (
        "annotate_atac_sparse",
        ENTRIES | {"cell_index": np.array([0, 2])},
        "expected 0 to number_of_cells - 1",
    ),
    "negative entry": (
        "annotate_rna_sparse",
        ENTRIES | {"count": np.array([1, -2], np.float32)},
        "expected raw counts",
    ),
    "lengths": ("annotate_rna_sparse", ENTRIES | {"gene_index": np.array([0])}, "Lengths differ"),
    "no cell": ("annotate_rna_sparse", ENTRIES | {"number_of_cells": np.int64(0)}, "expected 1 to"),
    "missing input": (
        "annotate_rna_sparse",
        {name: values for name, values in ENTRIES.items() if name != "count"},
        "Missing.*count",
    ),
    "unknown signature": ("annotate_protein", {"counts": DENSE}, "annotate_protein"),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed_requests_are_answered_and_the_server_goes_on(
    addresses, fake, protocol, counts, connect, expected, kind
):
    signature, inputs, message = MALFORMED[kind]
    client = connect()
    with pytest.raises(RequestFailed, match=message) as error:
        client._transport.predict(2, signature, inputs)
    statuses = {"INVALID_ARGUMENT"}
    if kind == "unknown signature":  # as TF Serving by gRPC
        statuses.add("FAILED_PRECONDITION")
    assert error.value.status in statuses and not error.value.is_passing
    answer = client.annotate_counts(counts(1), "rna")
    np.testing.assert_array_equal(answer.label, expected(counts(1), "rna")["label"])


def test_an_empty_batch_is_refused(connect, protocol):
    inputs = {"counts": DENSE[:0]}
    # JSON has no width for nothing: the server gets a tensor of another rank.
    message = "at least one row" if protocol == "grpc" else "."
    with pytest.raises(RequestFailed, match=message) as error:
        connect()._transport.predict(2, "annotate_rna", inputs)
    assert error.value.status == "INVALID_ARGUMENT"


def test_sparse_cells_without_any_count_are_answered(connect, expected):
    nothing = sparse.csr_matrix((3, 120), dtype=np.float32)
    for is_sparse in (True, False):
        answer = connect(sparse=is_sparse).annotate_counts(nothing, "rna")
        right = expected(nothing, "rna")
        assert_close(answer.latent, right["latent"])
