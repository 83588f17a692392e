"""Real cells: whatever way the export is asked, it answers as the model in memory does."""

from __future__ import annotations

import c_program
import keras
import numpy as np
import pytest
import tensorflow as tf
from serving_twin import assert_same_answers, dense, entries, opened, values_of

BATCHES = pytest.mark.parametrize("count", [1, 7, 1000])
MODALITIES = pytest.mark.parametrize("modality", ["rna", "atac"])


@pytest.fixture(scope="module")
def batch(pbmc):
    """A function (modality, count) -> counts and peaks (of ATAC) of randomly chosen cells."""

    def choose(modality, count):
        data = pbmc.trained.data
        counts = getattr(data, modality)
        rows = np.random.default_rng(count).choice(counts.shape[0], count, replace=False)
        return counts[rows], data.peaks[rows] if modality == "atac" else None

    return choose


@pytest.fixture(scope="module")
def expected(pbmc, in_memory, batch):
    """A function (modality, count, by_peaks) -> the answer of the model in memory."""
    model, found = in_memory(pbmc.trained), {}

    def answer(modality, count, by_peaks=False):
        name = modality, count, by_peaks
        if name not in found:
            counts, peaks = batch(modality, count)
            given = tf.constant(counts.toarray()), modality, opened(peaks) if by_peaks else None
            found[name] = values_of(model.annotate(*given))
        return found[name]

    return answer


@BATCHES
@MODALITIES
def test_dense(pbmc, batch, expected, modality, count):
    counts, _ = batch(modality, count)
    found = pbmc.loaded.signatures[f"annotate_{modality}"](**dense(counts))
    assert_same_answers(values_of(found), expected(modality, count))


@BATCHES
@MODALITIES
def test_sparse(pbmc, batch, expected, modality, count):
    counts, _ = batch(modality, count)
    found = pbmc.loaded.signatures[f"annotate_{modality}_sparse"](**entries(counts))
    assert_same_answers(values_of(found), expected(modality, count))


@BATCHES
def test_peaks(pbmc, batch, expected, count):
    found = pbmc.loaded.signatures["annotate_atac_peaks"](**entries(*batch("atac", count)))
    assert_same_answers(values_of(found), expected("atac", count, by_peaks=True))


@MODALITIES
def test_layer(pbmc, batch, expected, modality):
    layer = keras.layers.TFSMLayer(str(pbmc.version), call_endpoint=f"annotate_{modality}")
    for count in (1, 7, 1000):
        found = layer(tf.constant(batch(modality, count)[0].toarray()))
        assert_same_answers(values_of(found), expected(modality, count))


@BATCHES
def test_c(pbmc, c_program_file, batch, expected, tmp_path, count):
    path = c_program.write_counts(tmp_path / "counts.txt", batch("rna", count)[0].toarray())
    labels, confidence = c_program.labels_of(c_program.run(c_program_file, pbmc.version, path))
    assert labels == expected("rna", count)["label"].tolist()
    np.testing.assert_allclose(confidence, expected("rna", count)["confidence"], atol=1e-5)


def test_each_cell_is_answered_the_same_alone_and_among_a_thousand(pbmc, batch):
    """But for roundings, which may move a cell by a rank of the novelty."""
    for modality, name in (("rna", "annotate_rna"), ("atac", "annotate_atac")):
        counts, _ = batch(modality, 1000)
        function = pbmc.loaded.signatures[name]
        together = values_of(function(**dense(counts)))
        alone = [values_of(function(**dense(counts[row]))) for row in range(40)]
        for key in ("latent", "probabilities", "confidence", "label"):
            values = np.concatenate([answer[key] for answer in alone])
            if key == "label":
                assert values.tolist() == together[key][:40].tolist()
            else:
                np.testing.assert_allclose(values, together[key][:40], rtol=1e-4, atol=1e-4)


def test_rna_cells_get_what_training_says_of_them(pbmc):
    known = pbmc.trained.annotation.rna
    found = values_of(
        pbmc.loaded.signatures["annotate_rna_sparse"](**entries(pbmc.trained.data.rna))
    )
    for name in ("latent", "probabilities", "novelty"):
        np.testing.assert_allclose(found[name], getattr(known, name), rtol=1e-5, atol=1e-5)
    threshold = float(pbmc.trained.served.model.readout.unknown_threshold)
    np.testing.assert_array_equal(found["unknown"], known.novelty > threshold)
    types = np.array(pbmc.trained.data.types)
    assert found["label"].tolist() == types[known.probabilities.argmax(axis=1)].tolist()


def test_the_answers_are_right(pbmc):
    """After one epoch: so that equal answers are no equal nonsense."""
    data = pbmc.trained.data
    found = values_of(pbmc.loaded.signatures["annotate_rna_sparse"](**entries(data.rna)))
    assert np.mean(found["label"] == np.array(data.types)[data.rna_labels]) > 0.8
    again = values_of(
        pbmc.loaded.signatures["annotate_atac_peaks"](**entries(data.atac, data.peaks))
    )
    best = np.array(data.types)[pbmc.trained.annotation.probabilities.argmax(axis=1)]
    assert np.mean(again["label"] == best) > 0.95
