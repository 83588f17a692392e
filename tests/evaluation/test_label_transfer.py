"""SVM and nearest neighbours on a latent space."""

from __future__ import annotations

import numpy as np
import pytest

from scadv_tf.data.rows import DiskRows
from scadv_tf.errors import InputError
from scadv_tf.evaluation import label_transfer
from scadv_tf.evaluation.label_transfer import knn_transfer, svm_transfer

CENTERS = np.array([[6.0, 0, 0], [0, 6, 0], [0, 0, 6]])
TYPES = np.array(["T cell", "B cell", "NK"])


def cells(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    codes = random.integers(0, 3, count)
    return CENTERS[codes] + random.normal(size=(count, 3)), TYPES[codes]


def by_svm(rna, labels, atac):
    return svm_transfer(rna, labels, atac, seed=0)


both = pytest.mark.parametrize("transfer", [by_svm, knn_transfer])


@both
def test_well_separated_types_are_found(transfer):
    (rna, labels), (atac, truth) = cells(200, 0), cells(150, 1)
    predicted = transfer(rna, labels, atac)
    assert predicted.dtype.kind == "U"
    assert predicted.shape == (150,)
    assert np.mean(predicted == truth) > 0.97


@both
def test_rna_cells_without_label_have_no_say(transfer):
    (rna, labels), (atac, _) = cells(120, 2), cells(80, 3)
    expected = transfer(rna, labels, atac)
    more = np.concatenate([rna, atac])
    none = np.concatenate([labels, [""] * 80])
    np.testing.assert_array_equal(transfer(more, none, atac), expected)


@both
def test_no_atac_cells_give_no_labels(transfer):
    rna, labels = cells(20, 4)
    assert transfer(rna, labels, np.empty((0, 3))).shape == (0,)


@both
def test_bad_input_is_refused(transfer):
    rna, labels = cells(20, 5)
    with pytest.raises(InputError, match="nothing to tell apart"):
        transfer(rna, ["T cell"] * 20, rna)
    with pytest.raises(InputError, match="3 and 2"):
        transfer(rna, labels, rna[:, :2])
    with pytest.raises(InputError, match="do not describe the same cells"):
        transfer(rna, labels[1:], rna)
    with pytest.raises(InputError, match="ATAC cells cannot be used"):
        transfer(rna, labels, np.full((2, 3), np.nan))


def test_svm_does_not_depend_on_the_unit_that_all_features_share():
    (rna, labels), (atac, _) = cells(150, 6), cells(300, 7)
    rna, atac = rna + np.array([0, 0, 2.0]), atac * 0.8
    shift = np.array([5.0, 0.0, -8.0])
    np.testing.assert_array_equal(
        by_svm(rna * 64 + shift, labels, atac * 64 + shift), by_svm(rna, labels, atac)
    )


def test_svm_is_not_led_by_a_direction_in_which_rna_cells_hardly_differ():
    (rna, labels), (atac, truth) = cells(150, 6), cells(300, 7)
    noise = np.random.default_rng(0).normal(size=(450, 1)) * 1e-3
    far = np.hstack([atac, noise[150:] + 0.02])  # twenty standard deviations of the RNA cells
    found = by_svm(np.hstack([rna, noise[:150]]), labels, far)
    assert np.mean(found == by_svm(rna, labels, atac)) > 0.98
    assert np.mean(found == truth) > 0.9


def test_svm_on_a_subsample_repeats_with_its_seed():
    (rna, labels), (atac, truth) = cells(600, 8), cells(400, 9)
    rna, atac = rna * 0.3, atac * 0.3 + np.random.default_rng(0).normal(size=(400, 3))
    first, again, other = (
        svm_transfer(rna, labels, atac, seed=seed, max_cells=30) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.mean(first == truth) > 0.5


def test_knn_equals_its_plain_twin():
    random = np.random.default_rng(10)
    (rna, labels), atac = cells(90, 11), random.normal(size=(60, 3))
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (rna, atac)]
    distances = np.linalg.norm(unit[1][:, None] - unit[0][None], axis=-1)
    expected = []
    for row in distances:
        nearest = row.argsort()[:8]
        votes = {name: np.sum(1 / row[nearest[labels[nearest] == name]]) for name in TYPES}
        expected.append(max(votes, key=votes.get))
    np.testing.assert_array_equal(knn_transfer(rna, labels, atac, k=8), expected)


def test_knn_sees_direction_not_length():
    (rna, labels), (atac, _) = cells(90, 12), cells(50, 13)
    lengths = np.random.default_rng(14).uniform(0.1, 10, (50, 1))
    np.testing.assert_array_equal(
        knn_transfer(rna, labels, atac * lengths), knn_transfer(rna, labels, atac)
    )


def test_knn_can_choose_a_type_with_fewer_cells_than_half_of_k():
    common = np.tile([[1.0, 0.0]], (27, 1))
    rare = np.tile([[0.0, 1.0]], (3, 1))
    labels = ["common"] * 27 + ["rare"] * 3
    predicted = knn_transfer(np.concatenate([common, rare]), labels, [[0.02, 1.0]], k=30)
    assert predicted.tolist() == ["rare"]


def test_knn_shrinks_k_to_the_cells_that_exist():
    assert knn_transfer([[1.0, 0], [0, 1.0]], ["a", "b"], [[0.9, 0.1]], k=30).tolist() == ["a"]


@both
def test_latent_vectors_on_disk_give_the_same_labels(transfer, tmp_path, monkeypatch):
    (rna, labels), (atac, _) = cells(120, 15), cells(90, 16)
    rna, atac = rna.astype(np.float32), atac.astype(np.float32)
    expected = transfer(rna, labels, atac)
    monkeypatch.setattr(label_transfer, "LABELLED_AT_ONCE", 40)
    rows = {}
    for name, latent in (("rna", rna), ("atac", atac)):
        rows[name] = DiskRows(tmp_path / name, 3)
        rows[name][0 : len(latent)] = latent
    np.testing.assert_array_equal(transfer(rows["rna"], labels, rows["atac"]), expected)
    np.testing.assert_array_equal(transfer(rna, labels, atac), expected)


def test_an_svm_for_many_cells_learns_from_fewer(monkeypatch):
    (rna, labels), (atac, _) = cells(600, 17), cells(400, 18)
    rna, atac = rna * 0.3, atac * 0.3 + np.random.default_rng(1).normal(size=(400, 3))
    expected = svm_transfer(rna, labels, atac, seed=0, max_cells=30)
    monkeypatch.setattr(label_transfer, "LEARNED_FOR_MANY", 30)
    few = svm_transfer(rna, labels, atac, seed=0)
    assert not np.array_equal(few, expected)
    monkeypatch.setattr(label_transfer, "MANY_CELLS", 399)
    np.testing.assert_array_equal(svm_transfer(rna, labels, atac, seed=0), expected)
    np.testing.assert_array_equal(svm_transfer(rna, labels, atac[:399], seed=0), few[:399])


def test_knn_of_a_sample_keeps_the_types_and_repeats_with_its_seed():
    random = np.random.default_rng(19)
    centers = np.eye(3) * 6
    codes = np.repeat([0, 1, 2], [900, 60, 40])
    rna, labels = centers[codes] + random.normal(size=(1000, 3)), TYPES[codes]
    atac = centers[codes] * [0.5, 0.5, 2] + random.normal(size=(1000, 3))
    full = knn_transfer(rna, labels, atac)
    first, again, other = (
        knn_transfer(rna, labels, atac, seed=seed, max_cells=300) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.mean(first == full) > 0.95
    assert np.mean(first[-40:] == "NK") > 0.8  # of which the sample holds 12 cells
    np.testing.assert_array_equal(knn_transfer(rna, labels, atac, max_cells=1000), full)
