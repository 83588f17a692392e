"""A pass shows every cell, in batches of the same size, in a new order each time."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest

from scadv_tf.config import PreprocessingConfig, TrainingConfig
from scadv_tf.data.pipeline import SMALLEST_BATCH, Pass, Turns, training_batches
from scadv_tf.data.preprocessing import fit
from scadv_tf.data.shuffling import Shard
from scadv_tf.data.training_cells import TrainingCells

pytestmark = pytest.mark.slow

LEAST_BATCH = next(
    field.metadata["minimum"]
    for field in dataclasses.fields(TrainingConfig)
    if field.name == "batch_size"
)
BATCH = 16
ONE_PASS = Pass(6, 15)  # of 90 cells
KINDS = 3


def made_up(rna_cells: int, atac_cells: int) -> TrainingCells:
    """Cells whose features tell their number."""
    features = {
        "rna": np.arange(rna_cells, dtype=np.float32)[:, None] * [1, 2],
        "atac": -1 - np.arange(atac_cells, dtype=np.float32)[:, None] * [1, 2],
    }
    features = {name: values.astype(np.float32) for name, values in features.items()}
    return TrainingCells(None, features, None)


def rows_shown(rna_cells, atac_cells, batch_size, seed=0, taught=None, min_batches=1):
    """Rows of both modalities, a pair of arrays [steps, B], of one pass."""
    taught = np.arange(rna_cells) if taught is None else taught
    one_pass = Pass.of(max(rna_cells, atac_cells), batch_size, min_batches)
    labels = np.arange(rna_cells, dtype=np.int32)
    soft = np.arange(atac_cells, dtype=np.float32)[:, None]
    cells = made_up(rna_cells, atac_cells)
    found = epoch(training_batches(cells, taught, labels, soft, one_pass, 1, seed))
    return np.stack([b["rna_label"] for b in found]), np.stack(
        [b["atac_soft_label"][:, 0].astype(int) for b in found]
    )


SIZES = [(1, 1), (1, 40), (40, 1), (3, 2), (5, 5), (17, 17), (33, 16), (16, 33), (100, 30)]


# A pass.


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
@pytest.mark.parametrize("batch_size", [LEAST_BATCH, LEAST_BATCH + 1, 7, 16, 100, 1000])
@pytest.mark.parametrize("cells", [1, 2, 17, 100, 101, 2638])
def test_a_pass_has_room_for_all_cells_and_little_more(cells, batch_size, workers):
    found = Pass.of(cells, batch_size, 1, workers)
    assert found.steps == -(-cells // min(batch_size, max(SMALLEST_BATCH, cells)))
    assert found.batch_size % workers == 0
    # Less than a cell a step for each worker comes again.
    assert 0 <= found.steps * found.batch_size - cells < found.steps * workers
    assert found.batch_size < batch_size + workers


def test_a_pass_by_hand():
    # 2,638 cells in at least 10 batches of at most 256: 11 batches of 240, of which 2 come again.
    assert Pass.of(2638, 256, 10) == Pass(11, 240)
    # Three workers have 80 cells each; four have 60; seven 35, or 245 together.
    assert [Pass.of(2638, 256, 10, n).batch_size for n in (3, 4, 7)] == [240, 240, 245]


@pytest.mark.parametrize(
    ("cells", "batch_size", "steps", "expected"),
    [(2638, 256, 11, 240), (1000, 256, 10, 100), (150, 256, 5, 30), (31, 256, 1, 31)],
)
def test_small_data_sets_get_smaller_batches(cells, batch_size, steps, expected):
    assert Pass.of(cells, batch_size, 10) == Pass(steps, expected)
    # A user's own small batch is never made larger.
    assert Pass.of(cells, 16, 10).batch_size <= 16


@pytest.mark.parametrize("batch_size", [LEAST_BATCH, LEAST_BATCH + 1, 7, 16, 1000])
@pytest.mark.parametrize("rna_cells, atac_cells", SIZES)
def test_a_pass_covers_every_cell_in_batches_of_one_size(rna_cells, atac_cells, batch_size):
    shown = rows_shown(rna_cells, atac_cells, batch_size)
    longest = max(rna_cells, atac_cells)
    assert shown[0].shape == shown[1].shape
    steps, size = shown[0].shape
    assert size <= batch_size and steps == -(-longest // batch_size)
    assert 0 <= steps * size - longest < steps  # the last batch is filled up, and no more
    for cells, rows in zip((rna_cells, atac_cells), shown, strict=True):
        times = np.bincount(rows.ravel(), minlength=cells)
        assert len(times) == cells
        assert times.min() == steps * size // cells
        assert times.max() - times.min() <= (steps * size % cells > 0)


def test_cells_that_fill_up_the_last_batch_are_drawn_anew():
    rna, atac = rows_shown(101, 101, 51)
    assert rna.shape == (2, 51)
    for rows in (rna.ravel(), atac.ravel()):
        assert sorted(rows[:101]) == list(range(101))


def test_a_smaller_modality_is_used_up_before_a_cell_comes_again():
    rows = rows_shown(100, 30, 16)[1].ravel()
    for start in range(0, 90, 30):
        assert sorted(rows[start : start + 30]) == list(range(30))
    assert rows[:30].tolist() != rows[30:60].tolist()


def test_modalities_are_paired_at_random():
    rna, atac = (rows.ravel()[:200] for rows in rows_shown(200, 200, 16))
    assert not np.array_equal(rna, np.arange(200)) and np.sum(rna == atac) < 10


def test_the_seed_decides_the_order():
    first, again, other = (rows_shown(40, 30, 7, seed) for seed in (0, 0, 1))
    for one, two, three in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one, two)
        assert (one != three).any()


def test_held_out_cells_are_not_shown():
    taught = np.array([3, 4, 7, 20, 21, 38])
    rna, _ = rows_shown(40, 30, 7, taught=taught)
    assert set(rna.ravel()) == set(taught)
    times = np.bincount(rna.ravel())[taught]
    assert times.max() - times.min() <= 1  # used again each time that they have been used up


# Batches.


@pytest.fixture(scope="module")
def cells(tissue):
    settings = {"neighbors": 4, "smoothing_hops": 1, "projection_size": 0}
    return fit(tissue, PreprocessingConfig(**settings))


def data_set(cells, passes=2, seed=0, soft=None, size=ONE_PASS, **asked):
    """Batches whose labels name the rows: the RNA label is the row, so is the first soft label."""
    if soft is None:
        soft = np.zeros((cells.cells("atac"), KINDS), dtype=np.float32)
        soft[:, 0] = np.arange(len(soft))
    rows = np.arange(cells.cells("rna"), dtype=np.int32)
    return training_batches(cells, rows, rows, soft, size, passes, seed, **asked)


def epoch(dataset) -> list[dict]:
    return list(dataset.as_numpy_iterator())


def rows_of(batch) -> tuple[np.ndarray, np.ndarray]:
    return batch["rna_label"], batch["atac_soft_label"][:, 0].astype(int)


def test_an_epoch_is_a_full_pass_a_phase(cells):
    assert Pass.of(90, BATCH, 1) == ONE_PASS
    for passes in (1, 2):
        dataset = data_set(cells, passes)
        batches = epoch(dataset)
        assert len(batches) == int(dataset.cardinality()) == passes * 6
        for start in range(0, passes * 6, 6):
            rna, atac = zip(*map(rows_of, batches[start : start + 6]), strict=True)
            assert sorted(np.concatenate(rna)) == list(range(90))
            assert set(np.concatenate(atac)) == set(range(70))


def test_fewer_cells_than_a_batch_are_one_batch(cells):
    batches = epoch(data_set(cells, size=Pass.of(90, 1000, 1)))
    assert [len(batch["rna"]) for batch in batches] == [90, 90]


@pytest.mark.parametrize("asked", [{}, {"with_partners": True, "mixing_alpha": 0.3}])
def test_the_shapes_are_known_before_the_first_batch(cells, asked):
    """So that a step is compiled once."""
    dataset = data_set(cells, **asked)
    (batch, *_) = epoch(dataset)
    assert dataset.element_spec.keys() == batch.keys()
    for name, spec in dataset.element_spec.items():
        assert spec.shape == batch[name].shape and spec.dtype == batch[name].dtype


def test_a_batch_holds_the_input_and_the_labels_of_the_same_cells(cells):
    assert set(epoch(data_set(cells))[0]) == {"rna", "rna_label", "atac", "atac_soft_label"}
    for batch in epoch(data_set(cells)):
        rna, atac = rows_of(batch)
        np.testing.assert_array_equal(batch["rna"], cells.features["rna"][rna])
        np.testing.assert_array_equal(batch["atac"], cells.features["atac"][atac])
        assert batch["rna"].dtype == batch["atac"].dtype == np.float32
        assert batch["rna_label"].dtype == np.int32


def test_partners_are_neighbours_of_their_cells(cells):
    different = 0
    for batch in epoch(data_set(cells, with_partners=True)):
        _, atac = rows_of(batch)
        neighbors = cells.preprocessor.reference.lists[atac]
        allowed = cells.features["atac"][neighbors]
        found = (allowed == batch["atac_partner"][:, None]).all(axis=2).any(axis=1)
        assert found.all()
        different += np.sum((batch["atac_partner"] != batch["atac"]).any(axis=1))
    # As often as the neighbours weigh together; the standard deviation of the share is 0.04.
    others = 1 - cells.neighbors.matrix().diagonal().mean()
    assert 0.5 < others < 0.7 and abs(different / 180 - others) < 0.12


def test_without_neighbours_a_cell_is_its_own_partner(cells):
    lonely = dataclasses.replace(cells, neighbors=None)
    for batch in epoch(data_set(lonely, with_partners=True)):
        np.testing.assert_array_equal(batch["atac_partner"], batch["atac"])


def test_a_pass_over_very_many_cells_sees_a_part_of_them_drawn_anew(cells):
    assert Pass.of(1_000_000, 256, 10, most_steps=250) == Pass(250, 256)
    assert Pass.of(2638, 256, 10, most_steps=250) == Pass(11, 240)
    batches = epoch(data_set(cells, size=Pass.of(90, 32, 1, most_steps=2)))
    assert len(batches) == 4
    first, second = (np.concatenate([b["rna_label"] for b in batches[i : i + 2]]) for i in (0, 2))
    assert len(set(first)) == len(first) == 60 and set(first) != set(second)


# Workers and epochs.


@pytest.mark.parametrize("workers", [2, 3])
def test_the_parts_of_the_workers_are_the_batches_of_one(cells, workers):
    size = Pass.of(90, BATCH, 1, workers)
    assert size.batch_size % workers == 0

    def batches_of(shard):
        settings = {"with_partners": True, "mixing_alpha": 0.3}
        dataset = data_set(cells, size=size, shard=shard, **settings)
        return epoch(dataset) + epoch(dataset)

    whole = batches_of(Shard())
    parts = [batches_of(Shard(index, workers)) for index in range(workers)]
    assert len(whole) == 4 * size.steps and "mixing_weight" in whole[0]
    for batch, *of_workers in zip(whole, *parts, strict=True):
        for name, values in batch.items():
            joined = np.concatenate([part[name] for part in of_workers])
            np.testing.assert_array_equal(joined, values, err_msg=name)
            assert all(len(part[name]) == size.batch_size // workers for part in of_workers)


@pytest.mark.parametrize("asked", [{}, {"with_partners": True, "mixing_alpha": 0.3}])
@pytest.mark.parametrize("first_epoch", [1, 3])
def test_a_training_that_goes_on_gets_the_batches_of_its_epoch(cells, first_epoch, asked):
    dataset = data_set(cells, **asked)
    from_start = [epoch(dataset) for _ in range(first_epoch + 2)]
    later = data_set(cells, first_epoch=first_epoch, **asked)
    for expected in from_start[first_epoch:]:
        for found, batch in zip(epoch(later), expected, strict=True):
            assert found.keys() == batch.keys()
            for name, values in batch.items():
                np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_each_epoch_has_a_new_order_and_the_seed_decides_it(cells):
    first, again, other = data_set(cells), data_set(cells), data_set(cells, seed=1)
    orders = [
        [np.concatenate([rows_of(batch)[0] for batch in epoch(dataset)]) for _ in range(2)]
        for dataset in (first, again, other)
    ]
    np.testing.assert_array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0][0], orders[0][1])
    assert not np.array_equal(orders[0][0], orders[2][0])
    # Both passes of an epoch are shuffled, too.
    assert not np.array_equal(orders[0][0][:90], orders[0][0][90:])


def test_mixing_weights_are_drawn_for_each_cell_of_each_batch(cells):
    drawn = []
    first, again = (data_set(cells, mixing_alpha=0.2) for _ in range(2))
    for _ in range(2):
        for batch, same in zip(epoch(first), epoch(again), strict=True):
            weight = batch["mixing_weight"]
            assert weight.shape == (len(batch["rna"]), 1) and weight.dtype == np.float32
            assert 0 <= weight.min() and weight.max() <= 1
            np.testing.assert_array_equal(weight, same["mixing_weight"])
            drawn.append(weight.ravel())
    for number, weight in enumerate(drawn):
        assert len(np.unique(weight.round(6))) > len(weight) / 3  # most differ (many are near 0, 1)
        assert all(not np.array_equal(weight, earlier) for earlier in drawn[:number])
    values = np.concatenate(drawn)
    # Beta(0.2, 0.2): mean 1/2, variance 1 / (4 (2 * 0.2 + 1)), so most weights are near 0 or 1.
    assert abs(values.mean() - 0.5) < 0.1 and abs(values.var() - 1 / 5.6) < 0.04


def test_the_mixing_weight_follows_its_parameter(cells):
    values = np.concatenate(
        [batch["mixing_weight"].ravel() for batch in epoch(data_set(cells, mixing_alpha=5.0))]
    )
    assert abs(values.var() - 1 / 44) < 0.012


def test_soft_labels_changed_in_place_show_up_in_the_next_epoch(cells):
    soft = np.zeros((70, KINDS), dtype=np.float32)
    dataset = data_set(cells, soft=soft)
    assert not any(batch["atac_soft_label"].any() for batch in epoch(dataset))
    soft[:] = np.random.default_rng(0).random(soft.shape)
    for batch in epoch(dataset):
        for row, label in zip(batch["atac"], batch["atac_soft_label"], strict=True):
            own = np.flatnonzero((cells.features["atac"] == row).all(axis=1))
            assert any(np.array_equal(soft[candidate], label) for candidate in own)


def test_where_epochs_follow_each_other_none_is_made_of_the_labels_before(cells):
    """Batches are made ahead, as for several replicas of a worker; the end of an epoch is slow."""
    soft = np.zeros((70, KINDS), dtype=np.float32)
    turns = Turns(3)
    dataset = data_set(cells, soft=soft, first_epoch=3, turns=turns)
    batches = dataset.rebatch(5, drop_remainder=True).repeat().prefetch(9).as_numpy_iterator()
    for number in range(3):
        for _ in range(2 * 6 * 3):
            assert (next(batches)["atac_soft_label"] == number).all()
        time.sleep(0.1)  # in which a batch of the next could be made
        soft[:] = number + 1
        turns.next_after(3 + number + 1)
    turns.end()
    assert (next(batches)["atac_soft_label"] == 3).all()
