"""What the client brings back is what the model says, however the cells were sent."""

from __future__ import annotations

import base64
import dataclasses

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad
from same_answers import assert_close, assert_same_answers, assert_same_labels, dict_of
from scipy import sparse

import scadv_tf
from scadv_tf import InputError
from scadv_tf.client.input_columns import input_columns
from scadv_tf.client.outputs import OUTPUTS
from scadv_tf.client.rest_transport import _array
from scadv_tf.serving import client as former_client
from scadv_tf.serving import input_columns as former_columns

NUMBER = np.dtype(np.float32)


def assert_same(answer, expected):
    found = dict_of(answer)
    assert {found[name].dtype for name in OUTPUTS if name not in ("label", "unknown")} == {NUMBER}
    assert_same_answers(found, expected)


@pytest.mark.parametrize("number", [1, 7, 1000])
@pytest.mark.parametrize("modality", ["rna", "atac"])
@pytest.mark.parametrize("is_sparse", [True, False])
def test_every_route_gives_what_the_model_in_memory_gives(
    connect, fake, counts, expected, number, modality, is_sparse
):
    client = connect(sparse=is_sparse)
    answer = client.annotate_counts(counts(number), modality)
    assert_same(answer, expected(counts(number), modality))
    assert answer.version == 2
    ending = "_sparse" if is_sparse else ""
    sent = [signature for _, signature, _ in fake.requests]
    assert sent == [f"annotate_{modality}{ending}"] * (1 if number < 512 else 2)


def test_training_cells_get_what_the_training_said(connect, trained):
    """The graph may do the preprocessing, but the answer is the trained model's."""
    genes = trained.data.genes
    adata = AnnData(trained.data.rna, var=pd.DataFrame(index=genes))
    answer = connect().annotate(adata, "rna")
    said, types = trained.annotation.rna, np.array(trained.served.types)
    assert_close(answer.probabilities, said.probabilities)
    assert_close(answer.latent, said.latent)
    labels = types[said.probabilities.argmax(axis=1)]
    assert_same_labels(answer.label, labels, said.probabilities)


def test_cells_go_in_batches_and_come_back_in_order(connect, fake, counts, expected):
    answer = connect(batch_size=3, sparse=False).annotate_counts(counts(7), "atac")
    assert [len(inputs["counts"]) for _, _, inputs in fake.requests] == [3, 3, 1]
    assert_same(answer, expected(counts(7), "atac"))


@pytest.mark.parametrize("share", [0, 0.1, 0.15, 0.18, 0.19, 0.21, 0.22, 0.24, 0.26, 0.3, 0.6, 1])
def test_the_smaller_request_is_sent(connect, fake, genes, share):
    """About where the two are equal, the choice is checked against what went over the wire."""
    random = np.random.default_rng(0)
    kept = random.random((50, len(genes))) < share
    given = sparse.csr_matrix(kept * random.integers(1, 30, kept.shape))
    for is_sparse in (True, False, None):
        connect(sparse=is_sparse).annotate_counts(given, "rna")
    as_sparse, as_dense, chosen = fake.sizes
    # A few bytes of names are not counted.
    assert chosen == min(as_sparse, as_dense) or abs(as_sparse - as_dense) < 150
    assert chosen == (as_sparse if share < 0.15 else as_dense) or 0.15 <= share <= 0.3


def test_rest_outputs_become_arrays_of_their_kind():
    """TF Serving encodes the texts of an output whose name ends in _bytes, and no others."""
    encoded = [{"b64": base64.b64encode(text.encode()).decode()} for text in ("γδ T", "")]
    for values, kind in (([[0.5, 1.0]], np.float32), ([True, False], bool), ([1, 2], np.int64)):
        found = _array(values)
        assert found.dtype == kind and found.tolist() == values
    assert _array(encoded).tolist() == _array(["γδ T", ""]).tolist() == ["γδ T", ""]


# AnnData.


def test_the_order_of_the_genes_changes_nothing(connect, cells, expected):
    adata = cells(7)
    order = np.random.default_rng(0).permutation(adata.n_vars)
    assert_same(connect().annotate(adata[:, order].copy(), "rna"), expected(adata.X, "rna"))


def test_missing_genes_count_as_zero_and_further_ones_as_nothing(connect, cells, counts, expected):
    adata = cells(7)
    known = adata[:, 30:]
    features = [f"other {i}" for i in range(5)] + list(known.var_names)
    matrix = sparse.hstack([sparse.csr_matrix(np.full((7, 5), 100.0)), known.X], format="csr")
    left = adata.X.copy().tolil()
    left[:, :30] = 0
    answer = connect().annotate(AnnData(matrix, var=pd.DataFrame(index=features)), "atac")
    assert_same(answer, expected(left.tocsr(), "atac"))


@pytest.mark.filterwarnings("ignore:Setting element")  # of a view, which then is none
@pytest.mark.parametrize("form", ["dense", "csc", "layer", "view", "file"])
def test_counts_are_taken_from_wherever_they_are(connect, cells, expected, tmp_path, form):
    adata = cells(7)
    right = expected(adata.X, "rna")
    layer = None
    if form == "dense":
        adata.X = adata.X.toarray().astype(np.int64)
    elif form == "csc":
        adata.X = adata.X.tocsc()
    elif form == "layer":
        layer, adata.layers["counts"] = "counts", adata.X.copy()
        adata.X = -adata.X
    elif form == "view":
        adata = AnnData(sparse.vstack([adata.X, adata.X]).tocsr(), var=adata.var)[7:]
    else:
        adata.write_h5ad(tmp_path / "cells.h5ad")
        adata = read_h5ad(tmp_path / "cells.h5ad", backed="r")
    assert_same(connect(batch_size=4).annotate(adata, "rna", layer), right)
    assert adata.obs["scadv_label"].tolist() == right["label"].tolist()


def test_the_results_are_written_into_the_cells(connect, trained, cells, expected, tmp_path):
    adata = cells(100)
    adata.obs["batch"] = "one"
    adata.obsm["X_pca"] = np.ones((100, 2))
    adata.uns["scadv"] = {"dataset": "that of earlier answers"}
    before = adata.X.copy()
    answer = connect().annotate(adata, "rna")
    right = expected(before, "rna")
    # As a file of another program would hold them.
    adata.write_h5ad(tmp_path / "cells.h5ad")
    read = read_h5ad(tmp_path / "cells.h5ad")
    assert list(read.obs) == [
        "batch", "scadv_label", "scadv_confidence", "scadv_accepted_label", "scadv_novelty",
        "scadv_unknown",
    ]  # fmt: skip
    assert read.obs["scadv_label"].dtype == "category"
    assert read.obs["scadv_label"].astype(str).tolist() == right["label"].tolist()
    assert len(set(right["label"])) > 1 and set(right["label"]) <= set(trained.served.types)
    assert [*read.obs["scadv_label"].cat.categories] == [*trained.served.types]
    assert not any(label.isascii() for label in right["label"])
    assert read.obs["scadv_unknown"].dtype == bool
    np.testing.assert_array_equal(read.obs["scadv_unknown"], answer.unknown)
    assert_close(read.obs["scadv_confidence"], right["confidence"])
    assert_close(read.obs["scadv_novelty"], right["novelty"])
    assert_close(read.obsm["X_scadv"], right["latent"])
    assert set(read.obsm) == {"X_pca", "X_scadv"} and (read.X != before).nnz == 0
    assert "scadv" not in read.uns


def test_values_of_another_kind_than_the_trainings_are_told(connect, cells, caplog):
    told = "the model was trained on counts, and the input has values that are no counts"
    client, logs = connect(), cells(9)
    known = client.assets.manifest | {"trained_on_counts": {"rna": True, "atac": True}}
    client.assets = dataclasses.replace(client.assets, manifest=known)
    client.annotate(cells(9), "rna")
    assert told not in caplog.text
    logs.X = logs.X.log1p()
    client.annotate(logs, "rna")
    assert told in caplog.text


# Peaks.


def names_of(intervals) -> list[str]:
    peaks = intervals.peaks
    return [
        f"{chrom}:{start}-{end}"
        for chrom, start, end in zip(peaks["chrom"], peaks["start"], peaks["end"], strict=True)
    ]


@pytest.mark.parametrize("size", [3, 512])
def test_cells_may_come_as_peaks(connect, fake, folder, new_tissue, expected, size):
    """In another order; gene activity is made of them, and neighbours are found by them."""
    names = pd.Index(names_of(new_tissue.intervals))
    order = np.random.default_rng(0).permutation(len(names))
    adata = AnnData(new_tissue.peaks[1:9][:, order], var=pd.DataFrame(index=names[order]))
    client = connect(genes=folder / "assets" / "genes.txt", batch_size=size)
    answers = client.annotate(adata, "atac")
    assert_same(answers, expected(new_tissue.atac[1:9], "atac", new_tissue.peaks[1:9]))
    assert {signature for _, signature, _ in fake.requests} == {"annotate_atac_peaks"}
    assert len(fake.requests) == (3 if size == 3 else 1)
    assert adata.obs["scadv_accepted_label"].tolist() == answers.accepted_label.tolist()
    again = client.annotate_counts(new_tissue.atac[1:9], "atac", new_tissue.peaks[1:9])
    assert_same(again, expected(new_tissue.atac[1:9], "atac", new_tissue.peaks[1:9]))


def test_peaks_are_never_sent_densely(connect, fake, folder, new_tissue, expected, caplog):
    client = connect(genes=folder / "assets" / "genes.txt", sparse=False)
    var = pd.DataFrame(index=names_of(new_tissue.intervals))
    answers = client.annotate(AnnData(new_tissue.peaks[1:9], var=var), "atac")
    assert_same(answers, expected(new_tissue.atac[1:9], "atac"))
    assert [signature for _, signature, _ in fake.requests] == ["annotate_atac"]
    assert "neighbours go by genes" in caplog.text


def test_peaks_need_the_assets_of_the_model(connect, fake, folder, genes, new_tissue):
    adata = AnnData(new_tissue.peaks, var=pd.DataFrame(index=names_of(new_tissue.intervals)))
    with pytest.raises(InputError, match="does not know where genes lie") as error:
        connect(genes=list(genes)).annotate(adata, "atac")
    assert "assets/genes.txt" in error.value.advice
    with pytest.raises(InputError, match="peaks are not known"):
        connect().annotate_counts(new_tissue.atac, "atac", new_tissue.peaks)
    client = connect(genes=folder / "assets" / "genes.txt")
    with pytest.raises(InputError, match="which RNA does not have"):
        client.annotate(adata, "rna")
    with pytest.raises(InputError, match="number of peaks does not fit"):
        client.annotate_counts(new_tissue.atac, "atac", new_tissue.peaks[:, 1:])
    with pytest.raises(InputError, match="no signature annotate_rna_peaks"):
        client.annotate_counts(new_tissue.rna[:80], "rna", new_tissue.peaks)
    assert not fake.requests


# Versions.


def test_versions_and_their_states_are_told(connect, fake):
    fake.states[2] = "LOADING"
    assert connect().versions() == {1: "AVAILABLE", 2: "LOADING"}


def test_the_genes_of_a_version_ask_for_that_version(connect, fake, folder, counts, genes):
    path = folder / "assets" / "genes.txt"
    for settings in ({"genes": path}, {"genes": str(path)}, {"version": 1}):
        assert connect(**settings).annotate_counts(counts(1), "rna").version == 1
    assert connect(genes=path, version=2).annotate_counts(counts(1), "rna").version == 2
    assert connect(genes=list(genes)).annotate_counts(counts(1), "rna").version == 2
    assert [version for version, _, _ in fake.requests] == [1, 1, 1, 2, 2]


def test_a_copy_of_the_genes_asks_for_no_version(connect, folder, counts, tmp_path):
    copy = tmp_path / "genes.txt"
    copy.write_bytes((folder / "assets" / "genes.txt").read_bytes())
    assert connect(genes=copy).annotate_counts(counts(1), "rna").version == 2


def test_a_version_that_comes_meanwhile_answers_no_cell_of_a_call(
    connect, fake, counts, monkeypatch
):
    """Two versions have two latent spaces."""
    fake.states[2] = "LOADING"
    predict = type(fake).predict

    def predict_and_load(self, *arguments):
        self.states.clear()
        return predict(self, *arguments)

    monkeypatch.setattr(type(fake), "predict", predict_and_load)
    client = connect(batch_size=3)
    assert client.annotate_counts(counts(7), "rna").version == 1
    assert [version for version, _, _ in fake.requests] == [1, 1, 1]
    assert client.annotate_counts(counts(7), "rna").version == 2


def test_the_former_places_lead_here():
    assert former_client.Client is scadv_tf.Client
    assert former_columns.input_columns is input_columns
