"""Real cells by both protocols: the client hands back what the model in memory says."""

from __future__ import annotations

import pytest
import tensorflow as tf
from fake_serving import SERVERS, FakeServer
from same_answers import assert_close, assert_same_labels

from scadv_tf.client.client import Client


@pytest.fixture(scope="module")
def connected(pbmc):
    """Protocol -> a client of a server of the pbmc export."""
    fake = FakeServer("pbmc", {1: pbmc.version})
    genes = str(pbmc.version / "assets" / "genes.txt")
    with SERVERS["grpc"](fake) as by_grpc, SERVERS["rest"](fake) as by_rest:
        with Client(by_grpc, "pbmc", genes) as one, Client(by_rest, "pbmc", genes) as other:
            yield {"grpc": one, "rest": other}


@pytest.mark.parametrize("modality", ["rna", "atac"])
@pytest.mark.parametrize("count", [1, 7, 1000])
@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_the_client_gives_what_the_model_in_memory_gives(
    pbmc, pbmc_cells, in_memory, connected, protocol, count, modality
):
    counts, _ = pbmc_cells(modality, count)
    found = connected[protocol].annotate_counts(counts, modality)
    expected = in_memory(pbmc.trained).annotate(tf.constant(counts.toarray()), modality)
    for name in ("latent", "confidence"):
        assert_close(getattr(found, name), expected[name], name)
    labels = [label.decode() for label in expected["label"].numpy()]
    assert_same_labels(found.label, labels, expected["probabilities"])
