"""Cells that are streamed from disk come in batches that are as mixed as if all were held."""

from __future__ import annotations

import numpy as np
import pytest

from scadv_tf.data import shuffling
from scadv_tf.data.rows import DiskRows
from scadv_tf.data.shuffling import Shard, Table

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
