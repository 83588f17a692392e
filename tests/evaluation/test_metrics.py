"""Scores against numbers worked out by hand, plain NumPy twins and properties."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from scadv_tf.data import rows
from scadv_tf.data.rows import DiskRows, JoinedRows
from scadv_tf.errors import InputError
from scadv_tf.evaluation import labelled_cells, metrics

TRUTH = ["a", "a", "a", "b", "b", "c"]
PREDICTED = ["a", "a", "b", "b", "new", "a"]


def test_label_scores_worked_out_by_hand():
    scores = metrics.label_scores(TRUTH, PREDICTED)
    assert scores["accuracy"] == pytest.approx(3 / 6)
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert scores["weighted_f1"] == pytest.approx((3 * 2 / 3 + 2 * 1 / 2 + 1 * 0) / 6)
    assert list(scores["per_type"]) == ["a", "b", "c"]
    assert scores["per_type"]["a"] == pytest.approx(
        {"f1": 2 / 3, "precision": 2 / 3, "recall": 2 / 3, "cells": 3}
    )
    assert scores["per_type"]["c"] == {"f1": 0.0, "precision": 0.0, "recall": 0.0, "cells": 1}


def test_a_label_outside_the_truth_is_a_miss_but_no_type_of_its_own():
    # 'b' is found in one of two cells, with no false positive: F1 = 2/3, and 'a' is perfect.
    scores = metrics.label_scores(["a", "b", "b"], ["a", "b", "unknown"])
    assert scores["macro_f1"] == pytest.approx((1 + 2 / 3) / 2)
    assert "unknown" not in scores["per_type"]


@pytest.mark.parametrize("missing", ["", None, np.nan])
def test_cells_without_truth_are_left_out(missing):
    assert metrics.label_scores([*TRUTH, missing], [*PREDICTED, "a"]) == metrics.label_scores(
        TRUTH, PREDICTED
    )


def test_without_any_truth_there_is_no_score():
    assert metrics.label_scores(["", ""], ["a", "b"]) is None
    assert metrics.label_scores([], []) is None


def test_scores_take_categoricals_and_are_json():
    scores = metrics.label_scores(pd.Series(TRUTH, dtype="category"), pd.Categorical(PREDICTED))
    assert json.loads(json.dumps(scores)) == metrics.label_scores(TRUTH, PREDICTED)


def test_label_scores_refuse_different_lengths():
    with pytest.raises(InputError, match="truth: 2, predicted: 1"):
        metrics.label_scores(["a", "b"], ["a"])


def test_confusion_of_one_level_has_the_right_answers_on_the_diagonal():
    counts = metrics.confusion(TRUTH, PREDICTED)
    assert list(counts.index) == ["a", "b", "c"]
    assert list(counts.columns) == ["a", "b", "c", "new"]
    np.testing.assert_array_equal(counts, [[2, 1, 0, 0], [0, 1, 0, 1], [1, 0, 0, 0]])


def test_confusion_with_a_coarser_truth_follows_its_rows():
    truth = ["T"] * 4 + ["B"] * 3 + [""]
    fine = ["CD4", "CD8", "CD8", "plasma", "naive", "plasma", "plasma", "CD4"]
    counts = metrics.confusion(truth, fine)
    assert list(counts.index) == ["B", "T"]
    assert list(counts.columns) == ["naive", "plasma", "CD4", "CD8"]
    np.testing.assert_array_equal(counts, [[1, 2, 0, 0], [0, 1, 1, 2]])


def test_silhouette_worked_out_by_hand():
    # Outer points: own distance 1, other 10.5; inner points: 1 and 9.5.
    points, labels = [[0.0], [1.0], [10.0], [11.0]], ["a", "a", "b", "b"]
    expected = (9.5 / 10.5 + 8.5 / 9.5) / 2
    assert metrics.silhouette(points, labels, seed=0) == pytest.approx(expected)
    with_unlabelled = metrics.silhouette([*points, [500.0]], [*labels, ""], seed=0)
    assert with_unlabelled == pytest.approx(expected)


@pytest.mark.parametrize("labels", [["a", "a", "a"], ["", "", "a"], ["a", "b", "c"], ["", "", ""]])
def test_silhouette_is_none_where_it_is_undefined(labels):
    assert metrics.silhouette(np.arange(3.0)[:, None], labels, seed=0) is None


def test_silhouette_of_a_subsample_is_near_and_repeats():
    random = np.random.default_rng(0)
    labels = random.choice(["a", "b"], 3000)
    points = random.normal(size=(3000, 2)) + 3 * (labels == "a")[:, None]
    full = metrics.silhouette(points, labels, seed=1)
    some = metrics.silhouette(points, labels, seed=1, max_cells=800)
    assert some == pytest.approx(full, abs=0.03)
    assert some != full
    assert some == metrics.silhouette(points, labels, seed=1, max_cells=800)


def test_coordinates_must_be_finite():
    with pytest.raises(InputError, match="1 of 3 cells with NaN"):
        metrics.silhouette([[0.0], [np.nan], [1.0]], ["a", "b", "b"], seed=0)


def test_stratified_sample_keeps_shares_and_rare_types():
    labels = np.array(["common"] * 9000 + ["less"] * 990 + ["rare"] * 2)
    cells = labelled_cells.stratified_sample(labels, 1000, seed=3)
    assert len(set(cells)) == len(cells)
    names, counts = np.unique(labels[cells], return_counts=True)
    assert dict(zip(names, counts, strict=True)) == {"common": 900, "less": 99, "rare": 1}
    np.testing.assert_array_equal(cells, labelled_cells.stratified_sample(labels, 1000, seed=3))
    assert not np.array_equal(cells, labelled_cells.stratified_sample(labels, 1000, seed=4))
    np.testing.assert_array_equal(
        labelled_cells.stratified_sample(labels, 9992, seed=3), range(9992)
    )


def overall_mixing(*given, **settings):
    """Of all cells, without that by type."""
    return metrics.modality_mixing(*given, **settings)[0]


def test_mixing_worked_out_by_hand():
    modality = ["rna", "atac", "rna", "atac"]
    # Every nearest neighbour is of the other modality: 1 over the 2 / 3 of chance.
    assert overall_mixing([[0], [1], [10], [11]], modality, k=1) == pytest.approx(1.5)
    assert overall_mixing([[0], [10], [1], [11]], modality, k=1) == 0.0
    # Unequal sizes: the ATAC cell has only RNA neighbours (1 / 1), of three RNA cells one has it
    # as its nearest (1/3 over the chance of 1/3).
    latent, modality = [[0], [0.4], [5], [5.1]], ["rna", "atac", "rna", "rna"]
    assert overall_mixing(latent, modality, k=1) == pytest.approx((1 + 1) / 2)


def test_mixing_of_types_that_lie_apart_is_that_of_their_cells_alone():
    """Types of few cells, and cells without a type, are left out."""
    random = np.random.default_rng(5)
    sizes = {"mixed": (40, 20), "apart": (30, 30), "few": (40, 9), "": (20, 20)}
    latents, modality, types = [], [], []
    for number, (name, (rna, atac)) in enumerate(sizes.items()):
        here = np.repeat(["rna", "atac"], [rna, atac])
        away = 100.0 * ((here == "rna") & (name == "apart"))
        latents.append(random.normal(size=(rna + atac, 3)) + away[:, None] + 1000 * number)
        modality += [*here]
        types += [name] * (rna + atac)
    latent, modality, types = np.concatenate(latents), np.array(modality), np.array(types)
    overall, by_type = metrics.modality_mixing(latent, modality, types, k=5)
    assert overall == overall_mixing(latent, modality, k=5) and by_type.keys() == {"mixed", "apart"}
    for name, found in by_type.items():
        of_type = types == name
        assert found == pytest.approx(overall_mixing(latent[of_type], modality[of_type], k=5))
    assert by_type["apart"] == 0 and by_type["mixed"] == pytest.approx(1, abs=0.25)


def test_mixing_equals_its_plain_twin():
    random = np.random.default_rng(1)
    latent = random.normal(size=(130, 3)) + np.repeat([[0.0], [0.7]], [100, 30], axis=0)
    modality = np.repeat(["rna", "atac"], [100, 30])
    distances = np.linalg.norm(latent[:, None] - latent[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    nearest = distances.argsort(axis=1)[:, :7]
    ratios = []
    for name, others in (("rna", 30), ("atac", 100)):
        share = (modality[nearest[modality == name]] != name).mean()
        ratios.append(share / (others / 129))
    assert overall_mixing(latent, modality, k=7) == pytest.approx(np.mean(ratios))


@pytest.mark.parametrize("sizes", [(500, 500), (900, 100)])
def test_mixing_of_shuffled_modalities_is_one(sizes):
    random = np.random.default_rng(2)
    modality = random.permutation(np.repeat(["rna", "atac"], sizes))
    mixing = overall_mixing(random.normal(size=(1000, 5)), modality)
    assert mixing == pytest.approx(1, abs=0.06)


def test_mixing_with_all_other_cells_as_neighbours_is_one():
    latent = np.random.default_rng(3).normal(size=(12, 2))
    modality = ["rna"] * 9 + ["atac"] * 3
    assert overall_mixing(latent, modality, k=30) == pytest.approx(1)


def test_mixing_of_a_collapsed_space_does_not_depend_on_the_order_of_the_cells():
    # Were ties broken by position, all neighbours would be RNA cells: (0 + 1.2) / 2.
    modality = np.repeat(["rna", "atac"], [500, 100])
    mixing = [overall_mixing(np.zeros((600, 4)), modality, seed=i) for i in range(10)]
    assert np.mean(mixing) == pytest.approx(1, abs=0.2)


def test_mixing_of_some_queries_is_near_that_of_all():
    random = np.random.default_rng(4)
    modality = np.repeat(["rna", "atac"], [2000, 1000])
    latent = random.normal(size=(3000, 2)) + (modality == "rna")[:, None]
    full = overall_mixing(latent, modality)
    assert overall_mixing(latent, modality, max_cells=1000) == pytest.approx(full, abs=0.06)


def test_mixing_refuses_one_modality():
    with pytest.raises(InputError, match="two modalities"):
        overall_mixing(np.zeros((3, 2)), ["rna"] * 3)


def test_calibration_error_worked_out_by_hand():
    # Two cells in (0.8, 0.9]: |0.5 - 0.9|; one in (0.2, 0.3]: |1 - 0.3|.
    error = metrics.expected_calibration_error([0.9, 0.9, 0.3], [True, False, True], bins=10)
    assert error == pytest.approx(2 / 3 * 0.4 + 1 / 3 * 0.7)
    # In one bin the errors cancel: |2/3 - 0.7|.
    error = metrics.expected_calibration_error([0.9, 0.9, 0.3], [True, False, True], bins=1)
    assert error == pytest.approx(0.7 - 2 / 3)


def test_calibration_error_takes_the_ends_of_the_range():
    assert metrics.expected_calibration_error([0.0, 1.0], [False, True]) == 0.0
    error = metrics.expected_calibration_error([0.0, 0.05], [False, True], bins=10)
    assert error == pytest.approx(0.5 - 0.025)


def test_calibration_bins_are_closed_on_the_right():
    # 0.5 joins 0.1 in (0, 0.5]: |0.5 - 0.3|; by itself it would give (0.5 + 0.1) / 2.
    error = metrics.expected_calibration_error([0.5, 0.1], [True, False], bins=2)
    assert error == pytest.approx(0.2)


def test_calibration_error_of_calibrated_confidence_is_small():
    random = np.random.default_rng(5)
    confidence = random.random(20_000)
    correct = random.random(20_000) < confidence
    assert metrics.expected_calibration_error(confidence, correct) < 0.02
    assert metrics.expected_calibration_error(confidence, ~correct) > 0.4


def test_calibration_error_edges():
    assert metrics.expected_calibration_error([], []) is None
    with pytest.raises(InputError, match="not a probability"):
        metrics.expected_calibration_error([1.2, 0.5], [True, True])


@pytest.mark.parametrize(
    "labels",
    [
        [],
        ["b", "a", ""],
        ["a", None, np.nan],
        [1, 2, 1],
        np.array(["b", "a", ""]),
        np.array(["b", "a", None], dtype=object),
        np.array(["b", np.str_("a"), 3], dtype=object),
        pd.Series(["b", None, "a"], dtype="category"),
        pd.Series(["b", pd.NA, "a"], dtype="string"),
    ],
)
def test_labels_become_text_with_nothing_for_what_is_missing(labels):
    expected = ["" if pd.isna(label) else str(label) for label in labels]
    assert labelled_cells.as_text(labels).tolist() == expected


def test_what_is_text_already_is_not_copied():
    for labels in (np.array(["b", "a"]), np.array(["b", "a"], dtype=object)):
        assert np.shares_memory(labelled_cells.as_text(labels), labels)


@pytest.mark.parametrize("at_once", [2, 100])
def test_codes_of_labels(monkeypatch, at_once):
    monkeypatch.setattr(labelled_cells, "CODED_AT_ONCE", at_once)
    labels = ["t", "b", None, "t", "new"], np.array(["x", "b", "b"])
    names, codes = labelled_cells.coded(*labels)
    assert names.tolist() == ["", "b", "new", "t", "x"]
    assert [found.tolist() for found in codes] == [[3, 1, 0, 3, 2], [4, 1, 1]]
    assert {type(name) for name in names} == {str}
    names, (codes,) = labelled_cells.coded([])
    assert len(names) == len(codes) == 0


def test_a_stratified_sample_of_codes_is_that_of_their_names():
    codes = np.random.default_rng(6).integers(0, 12, 500)
    names = np.array([f"{code:02d}" for code in range(12)])
    for cells in (codes, codes.astype(np.int8), codes.tolist()):
        np.testing.assert_array_equal(
            labelled_cells.stratified_sample(cells, 100, seed=1),
            labelled_cells.stratified_sample(names[codes], 100, seed=1),
        )


@pytest.fixture
def on_disk(tmp_path, monkeypatch):
    """A maker of rows on disk, in three tables of which one is empty, read 50 rows at a time."""

    def make(values) -> JoinedRows:
        first = DiskRows(tmp_path / "first", values.shape[1])
        first[0:70] = values[:70]
        second = DiskRows(tmp_path / "second", values.shape[1])
        second[0 : len(values) - 70] = values[70:]
        monkeypatch.setattr(rows, "BLOCK_BYTES", 4 * values.shape[1] * 50)
        return JoinedRows(first, first[:0], second)

    return make


def test_scores_of_rows_on_disk_are_those_of_the_array(on_disk):
    random = np.random.default_rng(7)
    modality = random.choice(["rna", "atac"], 300)
    latent = random.normal(size=(300, 4)).astype(np.float32) + (modality == "rna")[:, None]
    latent, labels = latent.astype(np.float32), random.choice(["a", "b", ""], 300)
    stored = on_disk(latent)
    for cells in (60, 1000):
        expected = metrics.silhouette(latent, labels, 0, cells)
        assert metrics.silhouette(stored, labels, 0, cells) == expected
        expected = overall_mixing(latent, modality, searched=cells)
        assert overall_mixing(stored, modality, searched=cells) == expected


def test_rows_on_disk_must_be_finite(on_disk):
    latent = np.zeros((300, 2), dtype=np.float32)
    latent[[3, 130, 299], [0, 1, 0]] = np.nan, np.inf, -np.inf
    latent[130, 0] = np.nan
    with pytest.raises(InputError, match="3 of 300 cells with NaN"):
        labelled_cells.check_finite("The latent space", on_disk(latent))
    with pytest.raises(InputError, match=r"shape \(4,\)"):
        labelled_cells.check_finite("The latent space", np.zeros(4))


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_mixing_among_a_sample_is_near_that_among_all(shift):
    random = np.random.default_rng(8)
    modality = np.repeat(["rna", "atac"], [4000, 1000])
    latent = random.normal(size=(5000, 2)) + shift * (modality == "rna")[:, None]
    full = overall_mixing(latent, modality)
    some = overall_mixing(latent, modality, searched=2000)
    assert some == pytest.approx(full, abs=0.06)
    assert some != full
    assert some == overall_mixing(latent, modality, searched=2000)
    assert full == overall_mixing(latent, modality, searched=5000)


def test_a_modality_too_rare_for_its_share_is_still_in_the_sample():
    latent = np.random.default_rng(9).normal(size=(2001, 2))
    modality = ["rna"] * 2000 + ["atac"]
    assert overall_mixing(latent, modality, searched=100) >= 0
