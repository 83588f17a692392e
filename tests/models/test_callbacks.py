"""What happens between epochs, with predictions made up by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from scadv_tf.data.neighbor_lists import NeighborLists
from scadv_tf.models.callbacks import AtacPredictions, LabelChange, SoftLabelUpdate
from scadv_tf.models.phases import PhaseSchedule
from scadv_tf.models.soft_labels import soft_labels


def predictions(*types):
    """Probabilities [A, 2] of cells that are surely of these types."""
    return np.eye(2)[list(types)]


def changes(hook, epochs):
    """What the hook logs at each epoch."""
    logged = []
    for epoch, probabilities in enumerate(epochs, start=1):
        logs = {}
        hook(epoch, probabilities, logs)
        logged.append(logs["atac_label_change"])
    return logged


def test_label_change_is_the_share_of_cells_with_another_type():
    epochs = [predictions(0, 0, 1, 1), predictions(0, 1, 0, 1), predictions(0, 1, 0, 0)]
    first, *others = changes(LabelChange(SimpleNamespace()), epochs)
    assert math.isnan(first)  # there is nothing to compare with
    assert others == [0.5, 0.25]


def test_other_probabilities_of_the_same_type_are_no_change():
    epochs = [np.array([[0.9, 0.1]]), np.array([[0.6, 0.4]])]
    assert changes(LabelChange(SimpleNamespace()), epochs)[1] == 0


def stopped_after(patience, threshold, epochs):
    """The number of the epoch after which the training was stopped; None if it never was."""
    model = SimpleNamespace(stop_training=False)
    hook = LabelChange(model, patience, threshold)
    for epoch, probabilities in enumerate(epochs, start=1):
        hook(epoch, probabilities, {})
        if model.stop_training:
            return epoch
    return None


CALM, BUSY = predictions(0, 0, 1, 1), predictions(0, 0, 0, 1)


@pytest.mark.parametrize(
    "patience, epochs, expected",
    [
        (1, [CALM, CALM, CALM], 2),  # the first epoch has nothing to compare with
        (2, [CALM, CALM, CALM, CALM], 3),
        (2, [CALM, CALM, BUSY, BUSY, BUSY], 5),  # a change starts the count anew
        (2, [CALM, BUSY, CALM, BUSY], None),
        (0, [CALM] * 6, None),
    ],
)
def test_training_stops_after_that_many_calm_epochs_in_a_row(patience, epochs, expected):
    assert stopped_after(patience, 0.0, epochs) == expected


@pytest.mark.parametrize("threshold, expected", [(0.24, None), (0.25, 2)])
def test_a_change_of_just_the_threshold_counts_as_calm(threshold, expected):
    assert stopped_after(1, threshold, [CALM, BUSY]) == expected


def test_soft_labels_stay_zero_in_the_warmup_and_then_change_in_place():
    labels = np.zeros((2, 2), dtype=np.float32)
    held = labels  # as the data set holds it
    others, weights = np.array([[1], [0]]), np.array([[0.25], [0.0]])
    near, shares = NeighborLists(others, weights), np.array([0.3, 0.7])
    update = SoftLabelUpdate(labels, near, shares, 3, 0.5, 2.0)
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6]])
    for epoch in (1, 2):
        update(epoch, probabilities, {})
        np.testing.assert_array_equal(held, np.zeros((2, 2)))
    update(3, probabilities, {})
    expected = soft_labels(probabilities, near, shares, 0.5, 2.0)
    np.testing.assert_allclose(held, expected, rtol=1e-6)
    assert not np.allclose(held, soft_labels(probabilities, None, shares, 0.5, 2.0))
    update(4, probabilities[::-1], {})
    expected = soft_labels(probabilities[::-1], near, shares, 0.5, 2.0)
    np.testing.assert_allclose(held, expected, rtol=1e-6)


def test_one_prediction_an_epoch_is_handed_to_all_hooks_in_order():
    predicted, calls = [], []

    def predict():
        predicted.append(predictions(len(predicted)))
        return predicted[-1]

    def hook(name):
        return lambda epoch, probabilities, logs: calls.append((name, epoch, probabilities, logs))

    callback = AtacPredictions(predict, [hook("first"), hook("second")])
    logs = {"cross_entropy": 1.0}
    callback.on_epoch_end(0, logs)
    callback.on_epoch_end(1, logs)
    assert len(predicted) == 2
    assert [call[:2] for call in calls] == [
        ("first", 1),
        ("second", 1),
        ("first", 2),
        ("second", 2),
    ]
    assert all(calls[i][2] is predicted[i // 2] for i in range(4))
    assert all(call[3] is logs for call in calls)


@pytest.mark.slow
def test_what_a_hook_logs_is_in_the_history(make_model, make_dataset):
    model = make_model(("cross_entropy",))
    epochs = iter([CALM, BUSY, BUSY, CALM, CALM])
    callback = AtacPredictions(lambda: next(epochs), [LabelChange(model, patience=1)])
    history = model.fit(
        make_dataset(model),
        epochs=5,
        shuffle=False,
        verbose=0,
        callbacks=[PhaseSchedule(2), callback],
    ).history
    # Epoch 3 is the first without a change: the training stops there.
    assert history["atac_label_change"][1:] == [0.25, 0.0]
    assert len(history["cross_entropy"]) == 3
