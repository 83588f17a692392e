"""Real cells: whatever way the export is asked, it answers as the model in memory does."""

from __future__ import annotations

import c_program
import keras
import numpy as np
import pytest
import tensorflow as tf
from same_answers import assert_close, assert_same_answers
from serving_twin import dense, entries, opened, training_answer, values_of

BATCHES = pytest.mark.parametrize("count", [1, 7, 1000])
MODALITIES = pytest.mark.parametrize("modality", ["rna", "atac"])


@pytest.fixture(scope="module")
def expected(pbmc, in_memory, pbmc_cells):
    """A function (modality, count, by_peaks) -> the answer of the model in memory."""
    model, found = in_memory(pbmc.trained), {}

    def answer(modality, count, by_peaks=False):
        name = modality, count, by_peaks
        if name not in found:
            counts, peaks = pbmc_cells(modality, count)
            given = tf.constant(counts.toarray()), modality, opened(peaks) if by_peaks else None
            found[name] = values_of(model.annotate(*given))
        return found[name]

    return answer


@BATCHES
@MODALITIES
def test_dense(pbmc, pbmc_cells, expected, modality, count):
    counts, _ = pbmc_cells(modality, count)
    found = pbmc.loaded.signatures[f"annotate_{modality}"](**dense(counts))
    assert_same_answers(values_of(found), expected(modality, count))


@BATCHES
@MODALITIES
def test_sparse(pbmc, pbmc_cells, expected, modality, count):
    counts, _ = pbmc_cells(modality, count)
    found = pbmc.loaded.signatures[f"annotate_{modality}_sparse"](**entries(counts))
    assert_same_answers(values_of(found), expected(modality, count))


@BATCHES
def test_peaks(pbmc, pbmc_cells, expected, count):
    found = pbmc.loaded.signatures["annotate_atac_peaks"](**entries(*pbmc_cells("atac", count)))
    assert_same_answers(values_of(found), expected("atac", count, by_peaks=True))


@MODALITIES
def test_layer(pbmc, pbmc_cells, expected, modality):
    layer = keras.layers.TFSMLayer(str(pbmc.version), call_endpoint=f"annotate_{modality}")
    for count in (1, 7, 1000):
        found = layer(tf.constant(pbmc_cells(modality, count)[0].toarray()))
        assert_same_answers(values_of(found), expected(modality, count))


@BATCHES
def test_c(pbmc, c_program_file, pbmc_cells, expected, tmp_path, count):
    path = c_program.write_counts(tmp_path / "counts.txt", pbmc_cells("rna", count)[0].toarray())
    labels, confidence = c_program.labels_of(c_program.run(c_program_file, pbmc.version, path))
    assert labels == expected("rna", count)["label"].tolist()
    assert_close(confidence, expected("rna", count)["confidence"])


def test_each_cell_is_answered_the_same_alone_and_among_a_thousand(pbmc, pbmc_cells):
    for modality, name in (("rna", "annotate_rna"), ("atac", "annotate_atac")):
        counts, _ = pbmc_cells(modality, 1000)
        function = pbmc.loaded.signatures[name]
        together = values_of(function(**dense(counts)))
        alone = [values_of(function(**dense(counts[row]))) for row in range(40)]
        joined = {key: np.concatenate([answer[key] for answer in alone]) for key in together}
        assert_same_answers(joined, {key: values[:40] for key, values in together.items()})


def test_rna_cells_get_what_training_says_of_them(pbmc):
    found = pbmc.loaded.signatures["annotate_rna_sparse"](**entries(pbmc.trained.data.rna))
    assert_same_answers(values_of(found), training_answer(pbmc.trained))


def test_the_answers_are_right(pbmc):
    """After one epoch: so that equal answers are no equal nonsense."""
    data = pbmc.trained.data
    found = values_of(pbmc.loaded.signatures["annotate_rna_sparse"](**entries(data.rna)))
    assert np.mean(found["label"] == np.array(data.types)[data.rna_labels]) > 0.8
    again = values_of(
        pbmc.loaded.signatures["annotate_atac_peaks"](**entries(data.atac, data.peaks))
    )
    best = np.array(data.types)[pbmc.trained.annotation.voted.probabilities.argmax(axis=1)]
    assert np.mean(again["label"] == best) > 0.95
