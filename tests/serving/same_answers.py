"""When two answers are the same although each was computed in its own way.

One way may add up in another order than the other: alone or in batches, eagerly or in a graph, by
one kernel or another, which TensorFlow chooses by the processor. So what may differ follows from
the size of the numbers and the length of the sums, and is stated here alone.
"""

from __future__ import annotations

import numpy as np

from scadv_tf.client.outputs import OUTPUTS
from scadv_tf.data.answers import CellAnswers

TERMS = 2000  # of the longest sums, those over genes
SUMS = 8  # one after the other from counts to an answer: projection, averages, layers, maps
# Roundings of a sum are as often up as down: they grow by the root of its length.
ROUNDING = SUMS * TERMS**0.5 * float(np.finfo(np.float32).eps)


def dict_of(answers: CellAnswers) -> dict[str, np.ndarray]:
    """Output -> its values, as a served model names them."""
    found = {name: np.asarray(getattr(answers, name)) for name in OUTPUTS}
    return found | {"label": found["label"].astype(str)}


def tolerance(values) -> float:
    """By how much another way to float32 values may miss them: 4e-5 of the largest, or of 1."""
    return ROUNDING * max(1.0, np.abs(values).max(initial=0.0))


def assert_close(found, expected, name: str = "") -> None:
    """Numbers are the same but for roundings."""
    expected = np.asarray(expected)
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance(expected), err_msg=name)


def assert_same_answers(found: dict, expected: dict) -> None:
    """All outputs are there and the same; labels and doubts but for cells that are at a border."""
    found, expected = ({k: np.asarray(v) for k, v in a.items()} for a in (found, expected))
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].shape == values.shape and found[name].dtype.kind == values.dtype.kind
        if values.dtype.kind == "f":
            assert_close(found[name], values, name)
    if "label" in expected:
        assert_same_labels(found["label"], expected["label"], expected["probabilities"])
    if "unknown" in expected:
        assert_one_threshold((found, expected))


def assert_same_labels(found, expected, probabilities) -> None:
    """Labels are the same but where two types are equally probable but for roundings."""
    second, first = np.sort(probabilities, axis=1)[:, -2:].T
    clear = first - second > 2 * tolerance(probabilities)
    found, expected = (np.asarray(labels, dtype=str) for labels in (found, expected))
    np.testing.assert_array_equal(found[clear], expected[clear], err_msg="label")


def assert_one_threshold(answers: tuple) -> None:
    """One threshold tells all unknown cells from the others, in all answers.

    As novelties were the same but for roundings, so are the cells that are unknown.
    """
    novelty, unknown = (
        np.concatenate([a[name] for a in answers]) for name in ("novelty", "unknown")
    )
    assert unknown.dtype == bool
    assert novelty[~unknown].max(initial=-1) < novelty[unknown].min(initial=2), "unknown"
