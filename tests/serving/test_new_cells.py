"""What a served model says of cells that were not there in the training, against dense NumPy."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from same_answers import assert_close, assert_same_answers
from scipy import sparse
from serving_twin import (
    AtacTwin,
    averaging,
    averaging_of_new,
    dense,
    entries,
    floored,
    logged,
    network_answer,
    opened,
    training_answer,
    values_of,
)

from scadv_tf.data import neighborhood, normalization
from scadv_tf.data.rows import some_rows
from scadv_tf.serving.comparable import log_normalized
from scadv_tf.serving.reference import Neighbors, ReferenceCells, ServedIndex
from scadv_tf.serving.served_model import ServedModel


def ask(trained, counts, peaks=None, modality="atac"):
    """The answer of a served model to counts, with peaks or without."""
    given = tf.constant(counts.toarray()), modality, None if peaks is None else opened(peaks)
    return values_of(ServedModel(trained.served).annotate(*given))


def assert_twins(found, expected):
    """Answers are the same, the twin's in double precision."""
    found, expected = dict(found), dict(expected)
    # Between two clusters a cell is moved by both, and single precision shows.
    latent, same = found.pop("latent"), expected.pop("latent")
    np.testing.assert_allclose(latent, same, rtol=2e-3, atol=2e-3)
    assert np.mean(np.isclose(latent, same, rtol=1e-4, atol=1e-4)) > 0.98
    assert_same_answers(found, expected)


def everything(cells: int) -> np.ndarray:
    return np.arange(cells)


# The whole route.


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"smoothing_hops": 1},
        {"smoothing_hops": 3, "neighbors": 12},
        {"smoothing_hops": 0},
        {"projection_size": 0},
        {"neighbor_vote": 0.0},
        {"neighbor_vote": 1.0},
        {"neighbors": 30},
        {"variable_genes": 80},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["peaks", "genes"])
def test_new_atac_cells_by_their_twin(train, new_tissue, settings, kind):
    trained = train(**settings)
    names = trained.cells.preprocessor.genes
    counts = new_tissue.atac[:, np.isin(new_tissue.genes, names)]
    peaks = new_tissue.peaks if kind == "peaks" else None
    expected = AtacTwin(trained, everything(70)).answer(counts, peaks)
    found = ask(trained, counts, peaks)
    assert_twins(found, expected)
    assert len(set(found["label"])) > 1 and 0 < found["unknown"].mean() < 1


def test_of_many_training_cells_some_are_kept(train, new_tissue, monkeypatch):
    """Averages are of all, but neighbours are found among the kept ones, with new lists."""
    monkeypatch.setattr(neighborhood, "REFERENCE_CELLS", 33)
    trained = train(neighbors=7, unknown_share=0.06)  # settings of its own, so a fit of its own
    rows = trained.cells.preprocessor.reference.rows
    np.testing.assert_array_equal(rows, some_rows(70, 33, seed=0))
    assert len(rows) == 33
    for peaks in (new_tissue.peaks, None):
        expected = AtacTwin(trained, rows).answer(new_tissue.atac, peaks)
        assert_twins(ask(trained, new_tissue.atac, peaks), expected)
    served = ServedModel(trained.served)
    assert served.reference.count == 33
    sizes = {v.shape[0] for v in (*served.reference.levels, served.reference.lists)}
    assert sizes == {33}


def test_fewer_kept_cells_than_neighbours(train, new_tissue, monkeypatch):
    monkeypatch.setattr(neighborhood, "REFERENCE_CELLS", 3)
    trained = train(neighbors=7, unknown_share=0.07)
    found = ask(trained, new_tissue.atac, new_tissue.peaks)
    twin = AtacTwin(trained, some_rows(70, 3, seed=0))
    assert_twins(found, twin.answer(new_tissue.atac, new_tissue.peaks))


@pytest.mark.parametrize("atac_cells", [1, 2, 3])
def test_very_few_training_cells(train, tissue, atac_cells):
    data = dataclasses.replace(
        tissue, atac=tissue.atac[:atac_cells], peaks=tissue.peaks[:atac_cells]
    )
    trained = train(data, projection_size=50, neighbor_pca_size=50, lsi_size=15)
    served = ServedModel(trained.served)
    assert (served.reference is None) == (atac_cells == 1)
    # Of so few cells, some genes are open in none; those are not of the model.
    found = ask(trained, tissue.atac[:, np.isin(tissue.genes, trained.cells.preprocessor.genes)])
    assert np.isfinite(found["latent"]).all() and np.isfinite(found["probabilities"]).all()


def test_without_neighbours_a_cell_stands_alone(train, new_tissue):
    trained = train(neighbors=1)
    model = ServedModel(trained.served)
    assert model.reference is None and model.peaks == 0
    expected = expected_alone(trained, new_tissue.atac)
    assert_same_answers(ask(trained, new_tissue.atac), expected)


def expected_alone(trained, counts):
    """The model's answer for log-normalised cells by themselves, as training would prepare them."""
    model, preprocessor = trained.served.model, trained.cells.preprocessor
    values = preprocessor.scale(log_normalized(tf.constant(counts.toarray())).numpy(), "atac")
    answer = network_answer(model, model.encoder.project(values).numpy())
    return floored(trained, answer, np.asarray(counts.sum(axis=1)).ravel() == 0)


# RNA.


def test_rna_cells_get_what_training_says_of_them(train, tissue):
    trained = train()
    found = ask(trained, tissue.rna, modality="rna")
    assert_same_answers(found, training_answer(trained))
    assert 0 < found["unknown"].mean() < 1


def test_the_linear_guess_has_its_share_in_what_is_served(train, tissue):
    trained = train()
    features, model = trained.cells.features["rna"], trained.served.model
    assert trained.config.evaluation.linear_share == 0.3
    logits = model.classifier(model.encoder.encode(tf.constant(features), "rna"))
    network = tf.nn.softmax(logits / model.readout.temperature).numpy()
    linear = trained.cells.balance.guess(features)
    found = ask(trained, tissue.rna, modality="rna")["probabilities"]
    np.testing.assert_allclose(found, 0.7 * network + 0.3 * linear, atol=1e-4)
    assert np.abs(found - network).max() > 0.1


# Cells that come together.


@pytest.mark.parametrize("kind", ["peaks", "genes"])
def test_a_single_cell_is_the_same_as_among_others(exported, new_tissue, kind):
    name = "annotate_atac_peaks" if kind == "peaks" else "annotate_atac_sparse"
    function = exported.loaded.signatures[name]
    peaks = new_tissue.peaks if kind == "peaks" else None
    together = values_of(function(**entries(new_tissue.atac, peaks)))
    for row in (0, 41, 79):
        own = None if peaks is None else peaks[row]
        alone = values_of(function(**entries(new_tissue.atac[row], own)))
        assert_same_answers(alone, {key: values[[row]] for key, values in together.items()})


def test_the_order_of_cells_is_that_of_the_answers(exported, new_tissue):
    function = exported.loaded.signatures["annotate_atac"]
    order = np.random.default_rng(0).permutation(80)
    found = values_of(function(**dense(new_tissue.atac[order])))
    expected = values_of(function(**dense(new_tissue.atac)))
    assert_same_answers(found, {name: values[order] for name, values in expected.items()})


def test_the_depth_of_a_cell_does_not_matter(exported, new_tissue):
    function = exported.loaded.signatures["annotate_atac"]
    found = values_of(function(**dense(4 * new_tissue.atac)))
    assert_same_answers(found, values_of(function(**dense(new_tissue.atac))))


@pytest.mark.parametrize("name", ["annotate_rna", "annotate_atac"])
def test_empty_cells_are_unknown_and_of_any_type_alike(exported, name):
    found = values_of(exported.loaded.signatures[name](counts=tf.zeros((2, 120))))
    assert_of_no_type(found)
    embedded = exported.loaded.signatures[name.replace("annotate", "embed")]
    assert not values_of(embedded(counts=tf.zeros((2, 120))))["latent"].any()


def assert_of_no_type(found):
    np.testing.assert_array_equal(found["latent"], 0)
    np.testing.assert_array_equal(found["probabilities"], np.float32(0.25))
    np.testing.assert_array_equal(found["confidence"], np.float32(0.25))
    np.testing.assert_array_equal(found["novelty"], 1)
    assert found["unknown"].all()


def test_an_empty_cell_is_unknown_by_every_signature_and_changes_no_other(exported, new_tissue):
    functions, peaks = exported.loaded.signatures, new_tissue.peaks
    counts = new_tissue.atac
    assert not counts[0].nnz and not peaks[0].nnz
    for name, given, others in (
        ("annotate_atac", dense(counts), dense(counts[1:])),
        ("annotate_atac_sparse", entries(counts), entries(counts[1:])),
        ("annotate_atac_peaks", entries(counts, peaks), entries(counts[1:], peaks[1:])),
    ):
        found, expected = values_of(functions[name](**given)), values_of(functions[name](**others))
        assert_of_no_type({output: values[:1] for output, values in found.items()})
        assert_same_answers({output: v[1:] for output, v in found.items()}, expected)
        assert not expected["unknown"].all()


def test_a_cell_with_nothing_but_peaks_has_data(exported, new_tissue):
    """Its neighbours, which the peaks find, lend it their genes."""
    peaks, none = new_tissue.peaks[1:4], 0 * new_tissue.atac[1:4]
    found = values_of(exported.loaded.signatures["annotate_atac_peaks"](**entries(none, peaks)))
    assert (found["novelty"] < 1).all() and (found["confidence"] > 0.26).all()


@pytest.mark.parametrize("kind", ["genes", "peaks"])
def test_a_nearly_empty_cell_is_unknown_as_in_training(exported, new_tissue, kind):
    least = exported.trained.cells.preprocessor.least_open["atac" if kind == "genes" else "peaks"]
    assert least > 2
    row = new_tissue.atac[5].toarray()
    opened = np.flatnonzero(row)
    for number in (least - 1, least):
        counts = sparse.csr_matrix(np.where(np.arange(120) < opened[number], row, 0))
        assert counts.nnz == number
        name, peaks = "annotate_atac_sparse", None
        if kind == "peaks":
            name, peaks = "annotate_atac_peaks", 0 * new_tissue.peaks[5]
        found = values_of(exported.loaded.signatures[name](**entries(counts, peaks)))
        assert (found["novelty"] == 1).all() == (number < least)
        assert (found["confidence"] == 0.25).all() == (number < least)


def test_embeddings_are_those_of_the_annotation(exported, new_tissue, tissue):
    for modality, counts in (("rna", tissue.rna), ("atac", new_tissue.atac)):
        functions = exported.loaded.signatures
        embedded = functions[f"embed_{modality}"](**dense(counts))
        assert embedded.keys() == {"latent"}
        annotated = functions[f"annotate_{modality}"](**dense(counts))["latent"]
        assert_close(embedded["latent"], annotated)


def test_a_translated_cell_is_what_the_generator_makes_of_its_latent_vector(exported, tissue):
    trained = exported.trained
    model, scale = trained.served.model, trained.cells.preprocessor.scales["atac"]
    generated = model.generator(model.encoder.encode(trained.cells.features["rna"], "rna"))
    assert generated.shape == (90, 7)
    # Features are turned back into genes, these into the units of averaged genes.
    genes = generated.numpy().astype(float) @ trained.cells.preprocessor.components.T
    expected = np.maximum(genes * scale.deviation + scale.mean, 0)
    found = exported.loaded.signatures["translate"](**dense(tissue.rna))
    assert found.keys() == {"accessibility"}
    assert_close(found["accessibility"], expected)
    assert (expected == 0).any() and expected.max() > 0.1


def test_a_training_cell_met_again_is_close_to_what_training_saw(exported, tissue):
    again = exported.loaded.signatures["annotate_atac_peaks"](**entries(tissue.atac, tissue.peaks))[
        "probabilities"
    ].numpy()
    known = exported.trained.annotation.voted.probabilities
    assert np.mean(again.argmax(axis=1) == known.argmax(axis=1)) > 0.9
    distance = np.linalg.norm(again[:, None] - known[None], axis=2)
    own = np.diag(distance)
    assert np.median(own) < 0.5 * np.median(distance)


def test_chunks_and_density_of_the_training_cells_change_nothing(train, new_tissue, monkeypatch):
    def answers(seed):  # it matters to the latent vectors alone, and makes a model of its own
        trained = train(seed=seed)
        found = ask(trained, new_tissue.atac, new_tissue.peaks)
        return sparse.issparse(trained.cells.values("atac")), found

    monkeypatch.setattr(normalization, "DENSE_SHARE", -1)
    is_sparse, expected = answers(1)
    assert not is_sparse
    monkeypatch.setattr(normalization, "DENSE_SHARE", 2)
    monkeypatch.setattr(normalization, "CHUNK", 7)
    is_sparse, found = answers(2)
    assert is_sparse
    np.testing.assert_allclose(found["probabilities"], expected["probabilities"], atol=1e-4)


# The neighbours.


def test_an_average_by_hand():
    neighbors = Neighbors(
        rows=tf.constant([[2, 0], [1, 1]]),
        weights=tf.constant([[0.25, 0.5], [0.5, 0.25]]),
        own=tf.constant([0.25, 0.25]),
    )
    values = tf.constant([[1.0, 0.0], [10.0, 1.0], [100.0, 0.0]])
    found = neighbors.mean(tf.constant([[4.0, 8.0], [0.0, 4.0]]), values)
    np.testing.assert_allclose(found, [[1 + 25 + 0.5, 2], [7.5, 1.75]])


class PlacedByHand(ReferenceCells):
    """Six training cells at right angles, with given lists of neighbours."""

    def __init__(self, lists):
        tf.Module.__init__(self)
        self.count = 6
        self.lists = tf.Variable(lists)
        self.indices = {"genes": self}
        self.features = {"genes": tf.eye(6)}
        self.gene_scale = self.component_scale = self
        self.gene_components = tf.zeros((1, 1))
        self.offsets = {}

    def transform_dense(self, logged):
        return tf.constant([[0, 0, 0.8, 0, 0.6]])

    def apply(self, values):
        return values


def test_the_neighbours_of_a_new_cell_by_hand():
    lists = [[0, 1, 2], [1, 0, 2], [2, 1, 3], [3, 2, 4], [4, 3, 2], [5, 0, 4]]
    found = PlacedByHand(np.array(lists, np.int32)).neighbors(tf.zeros((1, 1)))
    # Nearest are 2, with 1 of 5 neighbours in common, and 4, with 2 of 4.
    assert found.rows.numpy().tolist() == [[2, 4]]
    np.testing.assert_allclose(found.own, [1 / 1.7], rtol=1e-6)
    np.testing.assert_allclose(found.weights, [[0.2 / 1.7, 0.5 / 1.7]], rtol=1e-6)
    own, others = averaging_of_new(np.array([[2, 4]]), np.array(lists))
    np.testing.assert_allclose([own[0, 0], *others[0, [2, 4]]], [1 / 1.7, 0.2 / 1.7, 0.5 / 1.7])


def test_peaks_decide_the_neighbours_where_there_are_some(exported, in_memory, new_tissue):
    reference_cells = in_memory(exported.trained).reference
    given = log_normalized(tf.constant(new_tissue.atac.toarray()))
    by_genes = reference_cells.neighbors(given)
    by_peaks = reference_cells.neighbors(given, opened(new_tissue.peaks))
    assert (by_genes.rows.numpy() != by_peaks.rows.numpy()).any(axis=1).mean() > 0.5
    for found in (by_genes, by_peaks):
        total = found.own + tf.reduce_sum(found.weights, axis=1)
        np.testing.assert_allclose(total, 1, rtol=1e-5)
        assert (found.weights.numpy() >= 0).all() and (found.own.numpy() > 0).all()


def test_the_served_index_is_the_trained_one(exported, new_tissue):
    indices = exported.trained.cells.preprocessor.reference.space.indices
    counts = {"genes": new_tissue.atac, "peaks": new_tissue.peaks}
    for kind, matrix in counts.items():
        served, expected = ServedIndex(indices[kind]), indices[kind].transform(matrix)
        found = served.transform_dense(tf.constant(matrix.toarray()))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
        by_entries = served.transform_sparse(opened(matrix))
        np.testing.assert_allclose(by_entries, found, rtol=1e-4, atol=1e-4)


def test_the_reference_is_that_of_the_training(exported):
    """The lists that are served, and the cells' features before each average."""
    cells, saved = exported.trained.cells, exported.loaded.reference
    twin = AtacTwin(exported.trained, everything(70))
    np.testing.assert_array_equal(saved.lists, twin.lists)
    values, mean = logged(twin.counts), averaging(twin.lists)
    scale = cells.preprocessor.scales["atac"]
    for served in saved.levels:
        expected = (values - scale.mean) / scale.deviation @ cells.preprocessor.components
        np.testing.assert_allclose(served, expected, rtol=1e-3, atol=1e-3)
        values = mean @ values
    expected = (values - scale.mean) / scale.deviation @ cells.preprocessor.components
    np.testing.assert_allclose(cells.features["atac"], expected, rtol=1e-3, atol=1e-3)
