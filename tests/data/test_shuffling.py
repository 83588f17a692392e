"""Cells that are streamed from disk come in batches that are as mixed as if all were held."""

from __future__ import annotations

import numpy as np
import pytest

from scadv_tf.data import shuffling
from scadv_tf.data.rows import DiskRows
from scadv_tf.data.shuffling import Shard, Table, times

CELLS, TYPES = 100_000, 8
ALONE = Shard()


@pytest.fixture(scope="module")
def sorted_by_type(tmp_path_factory):
    """A table on disk whose rows tell their number, sorted by type; and the types' shares."""
    shares = np.arange(1, TYPES + 1) / np.arange(1, TYPES + 1).sum()
    types = np.repeat(np.arange(TYPES), np.round(shares * CELLS).astype(int))[:CELLS]
    columns = DiskRows(tmp_path_factory.mktemp("table") / "rows", 2)
    columns[0 : len(types)] = np.column_stack([np.arange(len(types)), types])
    return Table({"cell": columns}, np.arange(len(types))), np.bincount(types) / len(types)


def drawn(table: Table, size: int, count: int, seed=(0, 0), shard=ALONE) -> np.ndarray:
    """Numbers and types of the cells of some batches, int [count, size of the part, 2]."""
    batches = table.batches(size, count, list(seed), shard)
    return np.stack([batch["cell"] for batch in batches]).astype(int)


def test_each_batch_is_a_small_copy_of_the_whole(sorted_by_type):
    table, shares = sorted_by_type
    size = 512
    types = drawn(table, size, CELLS // size)[..., 1]
    found = np.stack([np.bincount(batch, minlength=TYPES) for batch in types]) / size
    assert np.abs(found - shares).max() < 0.09  # four deviations of a random choice
    spread = np.mean((found - shares) ** 2, axis=0) / (shares * (1 - shares) / size)
    assert np.all((0.5 < spread) & (spread < 3))  # 1: drawn from all cells; 512: one type each


def test_neighbours_in_the_file_are_not_neighbours_in_the_stream(sorted_by_type):
    table, _ = sorted_by_type
    cells = drawn(table, 500, 200)[..., 0].ravel()
    position = np.empty(len(cells))
    position[cells] = np.arange(len(cells))
    apart = np.abs(np.diff(position))
    assert np.median(apart) > 10_000 and np.mean(apart < 500) < 0.05


@pytest.mark.parametrize("size", [7, 500])
def test_every_row_comes_once_a_pass_and_then_again(tmp_path, size, monkeypatch):
    monkeypatch.setattr(shuffling, "BUFFER_ROWS", 256)
    columns = DiskRows(tmp_path / "rows", 1)
    columns[0:3000] = np.arange(3000)[:, None]
    rows = np.flatnonzero(np.arange(3000) % 3)
    table = Table({"cell": columns, "held": np.arange(3000)}, rows)
    batches = list(table.batches(size, 2 * len(rows) // size, [1, 2], Shard()))
    cells = np.concatenate([batch["cell"] for batch in batches]).ravel().astype(int)
    np.testing.assert_array_equal(cells, np.concatenate([b["held"] for b in batches]))
    first, second = cells[: len(rows)], cells[len(rows) :]
    np.testing.assert_array_equal(np.sort(first), rows)
    assert len(set(second)) == len(second) and np.any(first[: len(second)] != second)


@pytest.mark.parametrize("workers", [2, 3])
def test_workers_have_cells_of_their_own_and_all_together(sorted_by_type, workers):
    table, shares = sorted_by_type
    size, steps = 600, CELLS // 600
    parts = [
        drawn(table, size, steps, shard=Shard(number, workers))[..., 0].ravel()
        for number in range(workers)
    ]
    assert {len(part) for part in parts} == {size * steps // workers}
    everyone = np.concatenate(parts)
    # A worker whose blocks are a few cells short begins its next round.
    assert len(np.unique(everyone)) > 0.999 * len(everyone)
    for number, part in enumerate(parts):
        others = np.concatenate(parts[:number] + parts[number + 1 :])
        assert len(np.intersect1d(part, others)) == 0


def test_the_seed_decides_the_order(sorted_by_type):
    table, _ = sorted_by_type
    once, again = (drawn(table, 100, 30, (4, 1)) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    assert np.mean(drawn(table, 100, 30, (4, 2)) == once) < 0.6
    assert np.mean(drawn(table, 100, 30, (5, 1))[..., 0] == once[..., 0]) < 0.01


def test_columns_of_both_kinds_stay_together(tmp_path):
    numbers = np.arange(1000, dtype=np.float32)
    stored = DiskRows(tmp_path / "rows", 1)
    stored[0:1000] = numbers[:, None]
    for batch in Table({"a": stored, "b": numbers}, np.arange(1000)).batches(64, 20, [0], Shard()):
        np.testing.assert_array_equal(batch["a"][:, 0], batch["b"])
        assert batch["uniform"].shape == (64,)


# Weighed cells.


class Fixed:
    """A generator whose one random number is given."""

    def __init__(self, number: float):
        self.number = number

    def random(self) -> float:
        return self.number


@pytest.mark.parametrize(
    ("number", "expected"), [(0.0, [0, 1, 2, 1]), (0.5, [1, 0, 2, 1]), (0.9, [1, 1, 1, 1])]
)
def test_how_often_a_row_comes_by_hand(number, expected):
    # In units of the mean 1/2, 2/3, 11/6, 1: sums 1/2, 7/6, 3, 4.
    found = times(np.array([3.0, 4.0, 11.0, 6.0]), Fixed(number))
    assert found.tolist() == expected and found.dtype == np.int64


@pytest.mark.parametrize("seed", range(5))
def test_rows_come_as_often_as_they_weigh_rounded_up_or_down(seed):
    random = np.random.default_rng(seed)
    weights = random.gamma(0.5, size=1000).astype(np.float32)
    found, expected = times(weights, random), weights / weights.mean()
    assert found.sum() == 1000
    assert np.all(found >= np.floor(expected - 1e-3)) and np.all(found <= np.ceil(expected + 1e-3))
    assert np.all(found[expected > 1.001] >= 1)


def test_on_average_rows_come_as_often_as_they_weigh():
    random = np.random.default_rng(0)
    weights = random.gamma(0.5, size=60)
    draws = 4000
    mean = sum(times(weights, random) for _ in range(draws)) / draws
    # Each draw is one of two neighbouring whole numbers: its deviation is at most 1/2.
    np.testing.assert_allclose(mean, weights / weights.mean(), atol=4 * 0.5 / np.sqrt(draws))


@pytest.mark.parametrize("number", [0.001, 0.3, 0.999])
@pytest.mark.parametrize("weight", [1.0, 0.1, np.float32(1 / 3)])
def test_equal_weights_are_once_each(number, weight):
    assert times(np.full(500, weight), Fixed(number)).tolist() == [1] * 500


def test_a_row_without_weight_never_comes():
    found = times(np.array([0.0, 2.0, 0.0, 1.0]), np.random.default_rng(0))
    assert found[0] == found[2] == 0 and found.sum() == 4


ROWS = np.flatnonzero(np.arange(6000) % 3)
WEIGHTS = np.where(ROWS < 2000, 0.25, 2.0)  # the first are a third


def weighed(held: bool, folder) -> Table:
    numbers = np.arange(6000, dtype=np.float32)[:, None]
    columns = numbers
    if not held:
        columns = DiskRows(folder / "rows", 1)
        columns[0:6000] = numbers
    return Table({"cell": columns, "number": numbers[:, 0]}, ROWS, WEIGHTS)


@pytest.mark.parametrize("held", [True, False])
def test_rows_come_in_proportion_to_their_weights(held, tmp_path, monkeypatch):
    monkeypatch.setattr(shuffling, "BUFFER_ROWS", 2048)
    passes, size = 6, 400
    table = weighed(held, tmp_path)
    batches = list(table.batches(size, passes * len(ROWS) // size, [3], ALONE))
    cells = np.concatenate([batch["cell"] for batch in batches])[:, 0].astype(int)
    np.testing.assert_array_equal(cells, np.concatenate([b["number"] for b in batches]))
    found = np.bincount(cells, minlength=6000)
    assert found.sum() == passes * len(ROWS) and np.isin(np.flatnonzero(found), ROWS).all()
    expected = passes * WEIGHTS / WEIGHTS.mean()
    # Every pass rounds up or down.
    assert np.all(np.abs(found[ROWS] - expected) <= passes)
    light = ROWS < 2000
    assert found[ROWS][light].sum() == pytest.approx(expected[light].sum(), abs=passes)
    assert np.all(found[ROWS][~light] >= passes)  # once a pass at least
    assert len(np.unique(cells[: len(ROWS)])) < len(ROWS)
    # Light and heavy cells are mixed.
    share = [np.isin(batch["number"], ROWS[light]).mean() for batch in batches]
    assert np.std(share) < (0.03 if held else 0.1)


@pytest.mark.parametrize("workers", [2, 4])
def test_workers_of_held_cells_take_parts_of_the_same_weighed_batches(workers, tmp_path):
    table = weighed(True, tmp_path)
    whole = drawn(table, 400, 12)
    parts = [drawn(table, 400, 12, shard=Shard(n, workers)) for n in range(workers)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


def test_workers_of_stored_cells_draw_the_same_rows_and_divide_them(tmp_path, monkeypatch):
    monkeypatch.setattr(shuffling, "BUFFER_ROWS", 512)
    table, workers, seed = weighed(False, tmp_path), 2, [4]
    expected = np.repeat(ROWS, times(WEIGHTS, np.random.default_rng([*seed, 0])))
    found = []
    for number in range(workers):
        shared = np.random.default_rng([*seed, 0])
        windows = table.windows(shared, np.random.default_rng(number), Shard(number, workers))
        found += [window.columns["number"][window.order] for window in windows]
    np.testing.assert_array_equal(np.sort(np.concatenate(found)), expected)


def test_the_seed_decides_which_rows_come(tmp_path):
    table = weighed(True, tmp_path)
    one, again, other = (drawn(table, 400, 10, seed) for seed in ([1], [1], [2]))
    np.testing.assert_array_equal(one, again)
    assert np.bincount(one.ravel()).tolist() != np.bincount(other.ravel()).tolist()
