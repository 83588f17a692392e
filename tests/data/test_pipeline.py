"""A pass shows every cell, in batches of the same size, in a new order each time."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from scadv_tf.config import PreprocessingConfig, TrainingConfig
from scadv_tf.data.pipeline import fitting_batch_size, pass_rows, steps_of_pass, training_batches
from scadv_tf.data.preprocessing import fit

LEAST_BATCH = next(
    field.metadata["minimum"]
    for field in dataclasses.fields(TrainingConfig)
    if field.name == "batch_size"
)
BATCH = 16
KINDS = 3


def batches_of(rna_cells, atac_cells, batch_size, seed=0):
    return list(pass_rows(rna_cells, atac_cells, batch_size, np.random.default_rng(seed)))


@pytest.mark.parametrize("batch_size", [LEAST_BATCH, LEAST_BATCH + 1, 7, 16, 1000])
@pytest.mark.parametrize(
    "rna_cells, atac_cells",
    [(1, 1), (1, 40), (40, 1), (3, 2), (5, 5), (17, 17), (33, 16), (16, 33), (100, 30), (7, 101)],
)
def test_a_pass_covers_every_cell_in_even_batches(rna_cells, atac_cells, batch_size):
    batches = batches_of(rna_cells, atac_cells, batch_size)
    longest = max(rna_cells, atac_cells)
    sizes = [len(rna) for rna, _ in batches]
    assert sizes == [len(atac) for _, atac in batches] and sum(sizes) == longest
    assert max(sizes) <= batch_size and max(sizes) - min(sizes) <= 1
    assert len(sizes) == -(-longest // batch_size)
    if longest > batch_size:
        assert min(sizes) > 1
    for cells, rows in zip((rna_cells, atac_cells), zip(*batches, strict=True), strict=True):
        times = np.bincount(np.concatenate(rows), minlength=cells)
        assert len(times) == cells and times.max() - times.min() <= (longest % cells > 0)
        assert times.min() == longest // cells


def test_a_smaller_modality_is_used_up_before_a_cell_comes_again():
    rows = np.concatenate([atac for _, atac in batches_of(100, 30, 16)])
    for start in range(0, 90, 30):
        assert sorted(rows[start : start + 30]) == list(range(30))
    assert rows[:30].tolist() != rows[30:60].tolist()


def test_modalities_are_paired_at_random():
    rna, atac = (np.concatenate(rows) for rows in zip(*batches_of(200, 200, 16), strict=True))
    assert not np.array_equal(rna, np.arange(200)) and np.sum(rna == atac) < 10


def test_the_random_state_decides_the_order():
    first, again, other = (batches_of(40, 30, 7, seed) for seed in (0, 0, 1))
    assert str(first) == str(again) != str(other)


@pytest.fixture(scope="module")
def cells(tissue):
    settings = {"neighbors": 4, "smoothing_hops": 1, "projection_size": 0}
    return fit(tissue, PreprocessingConfig(**settings))


def data_set(cells, passes=2, seed=0, soft=None, **asked):
    """Batches whose labels name the rows: the RNA label is the row, so is the first soft label."""
    if soft is None:
        soft = np.zeros((cells.cells("atac"), KINDS), dtype=np.float32)
        soft[:, 0] = np.arange(len(soft))
    rows = np.arange(cells.cells("rna"), dtype=np.int32)
    return training_batches(cells, rows, soft, BATCH, passes, seed, **asked)


def epoch(dataset) -> list[dict]:
    return list(dataset.as_numpy_iterator())


def rows_of(batch) -> tuple[np.ndarray, np.ndarray]:
    return batch["rna_label"], batch["atac_soft_label"][:, 0].astype(int)


def test_an_epoch_is_a_full_pass_a_phase(cells):
    steps = steps_of_pass(cells, BATCH)
    assert steps == 6  # 90 RNA cells in batches of 15
    for passes in (1, 2):
        dataset = data_set(cells, passes)
        batches = epoch(dataset)
        assert len(batches) == int(dataset.cardinality()) == passes * steps
        for start in range(0, passes * steps, steps):
            rna, atac = zip(*map(rows_of, batches[start : start + steps]), strict=True)
            assert sorted(np.concatenate(rna)) == list(range(90))
            assert set(np.concatenate(atac)) == set(range(70))


def test_fewer_cells_than_a_batch_are_one_batch(cells):
    labels, soft = np.arange(90, dtype=np.int32), np.zeros((70, KINDS), np.float32)
    batches = epoch(training_batches(cells, labels, soft, 1000, passes=2, seed=0))
    assert [len(batch["rna"]) for batch in batches] == [90, 90]
    assert steps_of_pass(cells, 1000) == 1


def test_a_batch_holds_the_input_and_the_labels_of_the_same_cells(cells):
    assert set(epoch(data_set(cells))[0]) == {"rna", "rna_label", "atac", "atac_soft_label"}
    for batch in epoch(data_set(cells)):
        rna, atac = rows_of(batch)
        np.testing.assert_array_equal(batch["rna"], cells.batch("rna", rna))
        np.testing.assert_array_equal(batch["atac"], cells.batch("atac", atac))
        assert batch["rna"].dtype == batch["atac"].dtype == np.float32
        assert batch["rna_label"].dtype == np.int32


def test_partners_are_neighbours_of_their_cells(cells):
    different = 0
    for batch in epoch(data_set(cells, partners=True)):
        _, atac = rows_of(batch)
        neighbors = cells.preprocessor.neighborhood.neighbors[atac]
        allowed = cells.batch("atac", neighbors.ravel()).reshape(len(atac), 4, -1)
        found = (allowed == batch["atac_partner"][:, None]).all(axis=2).any(axis=1)
        assert found.all()
        different += np.sum((batch["atac_partner"] != batch["atac"]).any(axis=1))
    # As often as the neighbours weigh together; the standard deviation of the share is 0.04.
    others = 1 - cells.neighbor_weights.diagonal().mean()
    assert 0.5 < others < 0.7 and abs(different / 180 - others) < 0.12


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
            own = np.flatnonzero((cells.batch("atac", slice(None)) == row).all(axis=1))
            assert any(np.array_equal(soft[candidate], label) for candidate in own)


@pytest.mark.parametrize(
    ("cells", "batch_size", "expected"), [(2638, 256, 256), (1000, 256, 100), (150, 256, 32)]
)
def test_small_data_sets_get_smaller_batches(cells, batch_size, expected):
    class Cells:
        def cells(self, modality):
            return {"rna": cells, "atac": 7}[modality]

    assert fitting_batch_size(Cells(), batch_size, 10) == expected
    # A user's own small batch is never made larger.
    assert fitting_batch_size(Cells(), 16, 10) == 16
