"""The baselines that integrate nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from scadv_tf.baselines import plain
from scadv_tf.baselines.transfer import cells_on_components
from scadv_tf.data.linear_guess import LinearGuess
from scadv_tf.errors import InputError

every = pytest.mark.parametrize("method", [plain.svm, plain.logistic, plain.linear, plain.guess])
regressions = pytest.mark.parametrize("method", [plain.logistic, plain.linear, plain.guess])


@every
def test_types_are_found_far_above_chance(method, tissue):
    result = method(tissue.cells, tissue.rna_types, seed=0)
    predicted = result.routes["label_transfer"]
    most_common = max(np.mean(tissue.truth == name) for name in tissue.data.types)
    assert predicted.shape == (140,)
    assert set(predicted) <= set(tissue.data.types)
    assert np.mean(predicted == tissue.truth) > most_common + 0.2


@every
def test_another_seed_changes_nothing(method, tissue):
    first, second = (method(tissue.cells, tissue.rna_types, seed) for seed in (0, 1))
    assert not plain.SEEDED
    np.testing.assert_array_equal(first.routes["label_transfer"], second.routes["label_transfer"])


@every
def test_the_latent_space_is_not_corrected(method, tissue):
    result = method(tissue.cells, tissue.rna_types, seed=0)
    np.testing.assert_array_equal(result.latent, cells_on_components(tissue.cells))


@every
def test_types_of_other_cells_are_refused(method, tissue):
    with pytest.raises(InputError, match="do not describe the same cells"):
        method(tissue.cells, tissue.rna_types[1:], seed=0)


@regressions
def test_probabilities_are_those_of_the_sorted_types(method, tissue):
    result = method(tissue.cells, tissue.rna_types, seed=0)
    assert result.probabilities.shape == (140, 4)
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1, rtol=1e-5)
    best = np.array(tissue.data.types)[result.probabilities.argmax(axis=1)]
    np.testing.assert_array_equal(best, result.routes["label_transfer"])


def test_the_svm_has_no_probabilities(tissue):
    assert plain.svm(tissue.cells, tissue.rna_types, seed=0).probabilities is None


def on_a_line(tissue, rna: np.ndarray, atac: np.ndarray):
    """Cells with these features, and none of the genes that they might have been made of."""
    features = {"rna": rna.astype(np.float32)[:, None], "atac": atac.astype(np.float32)[:, None]}
    return replace(tissue.cells, features=features, held={})


def test_the_linear_answer_is_the_optimum_of_its_loss_on_the_features(tissue):
    """One feature, 1 in type a and -1 in type b, so that the optimum follows by hand.

    Of two types the slope w alone is learned: n cells have the loss
    C n log(1 + exp(-w)) + w^2 / 2, least where w = C n / (1 + exp(w)), with C n = 0.1 * 20 = 2.
    """
    types = np.repeat(["a", "b"], 10)
    cells = on_a_line(tissue, np.where(types == "a", 1.0, -1.0), np.array([2.0, 0.5, 0.0, -3.0]))
    result = plain.linear(cells, types, seed=0)
    slope = 0.6748
    assert slope == pytest.approx(2 / (1 + np.exp(slope)), abs=1e-4)
    expected = expit(slope * np.array([2, 0.5, 0, -3]))
    np.testing.assert_allclose(result.probabilities[:, 0], expected, atol=1e-3)
    predicted = result.routes["label_transfer"]
    assert predicted[[0, 1, 3]].tolist() == ["a", "a", "b"]


def test_the_guess_is_our_own_with_its_neighbours(tissue):
    cells = tissue.cells
    names, labels = np.unique(tissue.rna_types, return_inverse=True)
    own = LinearGuess.fit(cells.features["rna"], labels, len(names))(cells.features["atac"])
    found = plain.guess(cells, tissue.rna_types, seed=0)
    means = cells.neighbors.matrix() @ own
    np.testing.assert_allclose(found.probabilities, means, atol=1e-5)
    np.testing.assert_array_equal(found.routes["label_transfer"], names[means.argmax(axis=1)])


def test_the_linear_answer_follows_the_order_of_the_cells(tissue):
    order = np.random.default_rng(0).permutation(140)
    features = tissue.cells.features | {"atac": tissue.cells.features["atac"][order]}
    first = plain.linear(tissue.cells, tissue.rna_types, seed=0)
    other = plain.linear(replace(tissue.cells, features=features), tissue.rna_types, seed=0)
    np.testing.assert_allclose(other.probabilities, first.probabilities[order], atol=1e-5)
