"""The tolerance of these tests lets roundings pass, and no change of a weight by a thousandth."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from same_answers import assert_close, assert_same_answers, assert_same_labels, tolerance
from serving_twin import entries, values_of

ANSWER = {
    "latent": np.float32([[5, -1], [2, 3], [0, 1]]),
    "probabilities": np.float32([[0.9, 0.1], [0.50001, 0.49999], [0.2, 0.8]]),
    "label": np.array(["A", "A", "B"]),
    "novelty": np.float32([0.1, 0.5, 0.7]),
    "unknown": np.array([False, False, True]),
}
SLIGHTLY = np.float32(2e-5)


def changed(name, values):
    return ANSWER | {name: np.asarray(values, ANSWER[name].dtype)}


def test_roundings_pass():
    assert_same_answers(ANSWER, ANSWER)
    assert_same_answers(changed("latent", ANSWER["latent"] + SLIGHTLY), ANSWER)
    assert_same_answers(changed("label", ["A", "B", "B"]), ANSWER)  # as probable but for rounding
    at_the_border = changed("novelty", ANSWER["novelty"] + [0, SLIGHTLY, 0])
    assert_same_answers(at_the_border | {"unknown": np.array([False, True, True])}, ANSWER)


@pytest.mark.parametrize(
    "name, values",
    [
        ("latent", ANSWER["latent"] * 1.001),
        ("latent", ANSWER["latent"][:2]),
        ("latent", np.full((3, 2), np.nan)),
        ("probabilities", ANSWER["probabilities"] + 1e-4),
        ("novelty", ANSWER["novelty"] + 1e-4),
        ("label", ["B", "A", "B"]),
        ("unknown", [False, False, False]),
        ("unknown", [True, False, True]),
        ("unknown", [True, True, False]),
    ],
)
def test_what_is_no_rounding_is_told(name, values):
    with pytest.raises(AssertionError):
        assert_same_answers(changed(name, values), ANSWER)


def test_outputs_that_lack_or_are_of_another_kind_are_told():
    for found in (
        {name: values for name, values in ANSWER.items() if name != "novelty"},
        ANSWER | {"unknown": np.float32([0, 0, 1])},
        ANSWER | {"more": np.zeros(3)},
    ):
        with pytest.raises(AssertionError):
            assert_same_answers(found, ANSWER)
    with pytest.raises(AssertionError, match="label"):
        assert_same_labels(["A", "A", "A"], ANSWER["label"], ANSWER["probabilities"])


def test_the_tolerance_follows_the_size_of_the_numbers():
    assert tolerance(np.zeros(0)) == tolerance([1.0, -0.5]) == pytest.approx(4e-5, rel=0.1)
    assert tolerance([-20.0, 1.0]) == pytest.approx(20 * tolerance([1.0]))


@pytest.mark.parametrize("count", [30, 2000])
def test_sums_in_another_order_pass(count):
    random = np.random.default_rng(0)
    cells, weights = (random.normal(size=(500, count)).astype(np.float32) for _ in range(2))
    expected = cells @ weights.T
    order = random.permutation(count)
    found = np.cumsum(cells[:, order] * weights[0, order], axis=1)[:, -1]
    assert np.abs(found - expected[:, 0]).max() > 0
    assert_close(found, expected[:, 0])


# A served model with a wrong number.


@pytest.fixture(scope="module")
def copy(exported):
    """The export, loaded again so that it can be changed."""
    return tf.saved_model.load(str(exported.version))


def matrices(copy) -> list:
    """What makes the answers of ATAC cells: weights and maps, and the cells they are averaged with.

    Not what only orders the neighbours, which a common factor leaves as they are.
    """
    names = ("projection", "dense", "centers", "type_matrices", "cluster_matrices")
    variables = copy.signatures["annotate_atac_peaks"].variables
    named = [v for v in variables if len(v.shape) > 1 and any(name in v.name for name in names)]
    return [*named, *copy.reference.levels, copy.reference.probabilities, copy.reference.novelty]


def test_a_thousandth_more_of_any_matrix_is_told(copy, new_tissue):
    function, given = (
        copy.signatures["annotate_atac_peaks"],
        entries(new_tissue.atac, new_tissue.peaks),
    )
    expected = values_of(function(**given))
    assert len(matrices(copy)) == 12
    for variable in matrices(copy):
        before = variable.numpy()
        variable.assign(1.001 * before)
        with pytest.raises(AssertionError, match="Not equal to tolerance"):
            assert_same_answers(values_of(function(**given)), expected)
        variable.assign(before)
    assert_same_answers(values_of(function(**given)), expected)
