"""The two baselines that integrate nothing."""

from __future__ import annotations

import numpy as np
import pytest

from scadv_tf.baselines import plain
from scadv_tf.baselines.transfer import joint_components
from scadv_tf.errors import InputError

both = pytest.mark.parametrize("method", [plain.svm, plain.logistic])


@both
def test_types_are_found_far_above_chance(method, tissue):
    result = method(tissue.cells, tissue.rna_types, seed=0)
    predicted = result.routes["label_transfer"]
    most_common = max(np.mean(tissue.truth == name) for name in tissue.data.types)
    assert predicted.shape == (140,)
    assert set(predicted) <= set(tissue.data.types)
    assert np.mean(predicted == tissue.truth) > most_common + 0.2


@both
def test_another_seed_changes_nothing(method, tissue):
    first, second = (method(tissue.cells, tissue.rna_types, seed) for seed in (0, 1))
    assert not plain.SEEDED
    np.testing.assert_array_equal(first.routes["label_transfer"], second.routes["label_transfer"])


@both
def test_the_latent_space_is_not_corrected(method, tissue):
    result = method(tissue.cells, tissue.rna_types, seed=0)
    np.testing.assert_array_equal(result.latent, joint_components(tissue.cells))


@both
def test_types_of_other_cells_are_refused(method, tissue):
    with pytest.raises(InputError, match="do not describe the same cells"):
        method(tissue.cells, tissue.rna_types[1:], seed=0)


def test_probabilities_are_those_of_the_sorted_types(tissue):
    result = plain.logistic(tissue.cells, tissue.rna_types, seed=0)
    assert result.probabilities.shape == (140, 4)
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1, rtol=1e-5)
    best = np.array(tissue.data.types)[result.probabilities.argmax(axis=1)]
    np.testing.assert_array_equal(best, result.routes["label_transfer"])


def test_the_svm_has_no_probabilities(tissue):
    assert plain.svm(tissue.cells, tissue.rna_types, seed=0).probabilities is None
