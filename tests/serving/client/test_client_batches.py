"""Cells of the training's batches get from a server what the model says of cells of these."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from fake_serving import FakeServer, both_servers
from same_answers import assert_close, assert_same_answers, dict_of
from two_donors import of_donors

from scadv_tf import InputError
from scadv_tf.client.exported import ExportedModel
from scadv_tf.serving.export import export

NAME = "tissue"


@pytest.fixture(scope="module")
def donors(tissue, train):
    """A model of cells of two donors."""
    return train(of_donors(tissue))


@pytest.fixture(scope="module")
def model(donors, tmp_path_factory):
    """Its export, version 1."""
    folder = tmp_path_factory.mktemp("served") / NAME
    return ExportedModel(export(donors.served, folder, intervals=donors.data.intervals))


@pytest.fixture(scope="module")
def genes(model):
    return model.folder / "assets" / "genes.txt"


@pytest.fixture(scope="module")
def the_fake(model):
    return FakeServer(NAME, {1: model.folder})


@pytest.fixture(scope="module")
def addresses(the_fake):
    with both_servers(the_fake) as found:
        yield found


@pytest.mark.parametrize("way", ["dense", "sparse", "peaks"])
def test_batches_go_with_their_cells_by_every_route(connect, fake, model, donors, way):
    data, modality = donors.data, "atac" if way == "peaks" else "rna"
    counts = getattr(data, modality)[:7]
    peaks = data.peaks[:7] if way == "peaks" else None
    names = ["old", "new", "third", "", "old", "old", "new"]
    client = connect(batch_size=3, sparse=way != "dense")
    found = client.annotate_counts(counts, modality, peaks, names)
    assert_same_answers(dict_of(found), dict_of(model.annotate(counts, modality, peaks, names)))
    ending = {"dense": "", "sparse": "_sparse", "peaks": "_peaks"}[way]
    assert {name for _, name, _ in fake.requests} == {f"annotate_{modality}{ending}_of_batches"}
    sent = [inputs["batch"].tolist() for _, _, inputs in fake.requests]
    assert sent == [[1, 0, -1], [-1, 1, 1], [0]]
    plain = client.annotate_counts(counts, modality, peaks)
    differ = np.abs(plain.latent - found.latent).max(axis=1) > 1e-3
    assert differ.tolist() == [True, True, False, False, True, True, True]


def test_a_server_that_batches_takes_them_densely(connect, fake, donors):
    fake.batching = True
    found = connect(sparse=False).annotate_counts(donors.data.rna[:4], "rna", None, ["new"] * 4)
    assert len(found.latent) == 4


def test_a_column_of_the_cells_names_them(connect, donors, caplog):
    data = donors.data
    var, obs = pd.DataFrame(index=data.genes), pd.DataFrame({"donor": data.batches["rna"]})
    adata = AnnData(data.rna, var=var, obs=obs.set_axis(data.rna_cells))
    found = connect().annotate(adata, "rna", batch_key="donor")
    assert_close(found.latent, donors.annotation.rna.latent)
    adata.obs["donor"] = "third"
    found = connect().annotate(adata, "rna", batch_key="donor")
    assert "not among the training's batches, so not corrected for: third" in caplog.messages
    assert_close(found.latent, connect().annotate(adata, "rna").latent)


def test_what_is_refused_before_a_cell_is_sent(connect, fake, model, donors, monkeypatch):
    counts, names = donors.data.rna[:2], ["old", "new"]
    adata = AnnData(counts, var=pd.DataFrame(index=donors.data.genes))
    with pytest.raises(InputError, match="no column 'donor' of batches") as error:
        connect().annotate(adata, "rna", batch_key="donor")
    assert "obs['donor']" in error.value.advice and error.value.received == "batch_key=donor"
    with pytest.raises(InputError, match="number of batches does not fit"):
        connect().annotate_counts(counts, "rna", batches=["old"])
    adata.obs["donor"] = names
    unknown = connect(genes=list(model.genes))
    for ask in (
        lambda: unknown.annotate(adata, "rna", batch_key="donor"),
        lambda: unknown.annotate_counts(counts, "rna", batches=names),
    ):
        with pytest.raises(InputError, match="batches are not known") as error:
            ask()
        assert "assets/genes.txt" in error.value.advice
    client = connect()
    with monkeypatch.context() as patch:
        patch.setitem(client.assets.manifest, "batches", {})
        with pytest.raises(InputError, match="corrects for no batches of RNA cells"):
            client.annotate(adata, "rna", batch_key="donor")
        with pytest.raises(InputError, match="corrects for no batches of RNA cells") as error:
            client.annotate_counts(counts, "rna", batches=names)
        assert error.value.received == "batches of 2 cells"
    without = client._transport.signatures(1)
    del without["annotate_rna_of_batches"], without["annotate_rna_sparse_of_batches"]
    monkeypatch.setattr(client._transport, "signatures", lambda version: without)
    with pytest.raises(InputError, match="no signature annotate_rna_of_batches") as error:
        client.annotate(adata, "rna", batch_key="donor")
    assert "trained with batches" in error.value.expected
    assert not fake.requests
