import os

import numpy as np
import pytest

from scadv_tf.data import rows as module
from scadv_tf.data.rows import (
    DiskRows,
    JoinedRows,
    ScatteredRows,
    as_rows,
    blocks,
    some_of_all_types,
    some_rows,
    take,
)


@pytest.fixture
def numbers():
    return np.random.default_rng(0).normal(size=(23, 3)).astype(np.float32)


@pytest.fixture
def stored(tmp_path, numbers):
    rows = DiskRows(tmp_path / "rows", 3)
    rows[10:23] = numbers[10:]
    rows[0:10] = numbers[:10]
    return rows


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_BYTES", 4 * 3 * 5)  # five rows of the tables here


def test_what_was_written_in_any_order_is_read_back(stored, numbers):
    assert stored.shape == numbers.shape and len(stored) == 23
    assert stored[0:5].dtype == np.float32
    for part in (slice(0, 23), slice(None), slice(7, 12), slice(20, 99), slice(-4, None)):
        np.testing.assert_array_equal(stored[part], numbers[part])
    assert stored[5:5].shape == (0, 3) and stored[9:4].shape == (0, 3)


def test_the_file_holds_the_numbers_and_nothing_else(tmp_path, stored, numbers):
    found = np.fromfile(tmp_path / "rows", np.float32).reshape(-1, 3)
    np.testing.assert_array_equal(found, numbers)


def test_rows_can_be_written_again_and_rows_left_out_are_zero(tmp_path):
    rows = DiskRows(tmp_path / "rows", 2, np.int32)
    assert rows.shape == (0, 2) and rows[:].shape == (0, 2)
    rows[3:4] = [[7, 8]]
    rows[0:1] = [[1, 2]]
    rows[0:1] = [[5, 6]]
    assert rows.dtype == np.int32
    np.testing.assert_array_equal(rows[:], [[5, 6], [0, 0], [0, 0], [7, 8]])


def test_an_older_file_of_the_name_gives_way(tmp_path):
    (tmp_path / "rows").write_bytes(b"older")
    assert len(DiskRows(tmp_path / "rows", 2)) == 0
    assert (tmp_path / "rows").stat().st_size == 0


@pytest.mark.parametrize("block", [np.zeros((2, 4)), np.zeros((3, 3)), np.zeros(3)])
def test_a_block_of_another_shape_is_refused_and_nothing_written(stored, numbers, block):
    with pytest.raises(ValueError, match=r"shape \(2, 3\)"):
        stored[4:6] = block
    np.testing.assert_array_equal(stored[:], numbers)


def test_only_consecutive_rows_can_be_had(stored):
    for part in (3, slice(0, 9, 2), [1, 2]):
        with pytest.raises(TypeError, match="consecutive"):
            stored[part]


def test_a_file_that_was_cut_off_is_told(tmp_path, stored):
    os.truncate(tmp_path / "rows", 100)
    with pytest.raises(OSError, match="cut off"):
        stored[:]


def test_the_file_is_closed_with_its_object(tmp_path):
    rows = DiskRows(tmp_path / "rows", 2)
    descriptor = rows._file
    os.fstat(descriptor)
    del rows
    with pytest.raises(OSError):
        os.fstat(descriptor)


def test_joined_rows_are_those_of_concatenate(stored, numbers):
    joined, expected = JoinedRows(stored, numbers[:4], stored), None
    expected = np.concatenate([numbers, numbers[:4], numbers])
    assert joined.shape == expected.shape and len(joined) == 50
    for start in range(0, 51):
        for stop in (start, start + 1, start + 5, start + 30):
            np.testing.assert_array_equal(joined[start:stop], expected[start:stop])
    np.testing.assert_array_equal(joined[:], expected)
    np.testing.assert_array_equal(joined[-3:], expected[-3:])


def test_joined_rows_have_one_width(stored):
    with pytest.raises(ValueError, match="one width"):
        JoinedRows(stored, np.zeros((2, 4)))


def test_an_empty_part_joins(numbers):
    joined = JoinedRows(numbers[:0], numbers, numbers[:0])
    np.testing.assert_array_equal(joined[:], numbers)
    assert JoinedRows(numbers[:0], numbers[:0])[:].shape == (0, 3)


@pytest.mark.parametrize(
    "positions", [[], [0], [22], [3, 3, 4, 17], list(range(23)), [4, 5, 9, 10, 11, 22]]
)
def test_rows_are_taken_from_anywhere(stored, numbers, small_blocks, positions):
    expected = numbers[np.array(positions, dtype=int)]
    for rows in (stored, numbers, JoinedRows(stored[:9], stored[9:])):
        taken = take(rows, np.array(positions, dtype=int))
        assert taken.dtype == np.float32
        np.testing.assert_array_equal(taken, expected)


def test_taking_never_reads_more_than_a_block(numbers, small_blocks):
    class Watched:
        shape = numbers.shape
        longest = 0

        def __getitem__(self, part):
            self.longest = max(self.longest, part.stop - part.start)
            return numbers[part]

    rows = Watched()
    take(rows, np.arange(0, 23, 2))
    assert rows.longest == 5


def test_positions_out_of_order_or_outside_are_refused(stored):
    with pytest.raises(ValueError, match="ascending"):
        take(stored, np.array([2, 1]))
    with pytest.raises(IndexError):
        take(stored, np.array([22, 23]))
    with pytest.raises(IndexError):
        take(stored, np.array([-1, 3]))


def test_blocks_cover_all_rows_once(stored, numbers, small_blocks):
    for size, starts in ((None, [0, 5, 10, 15, 20]), (20, [0, 20]), (50, [0])):
        parts = list(blocks(stored, size))
        assert [start for start, _ in parts] == starts
        np.testing.assert_array_equal(np.concatenate([part for _, part in parts]), numbers)


def test_a_list_becomes_an_array_and_stored_rows_stay(stored, numbers):
    assert as_rows(stored) is stored and as_rows(numbers) is numbers
    np.testing.assert_array_equal(as_rows([[1, 2]]), [[1, 2]])


@pytest.mark.parametrize("part", [slice(None), slice(0, 3), slice(2, 7), slice(5, 5), slice(6, 99)])
def test_rows_are_spread_over_places_without_a_copy(part):
    values = np.arange(1.0, 9.0, dtype=np.float32).reshape(4, 2)
    places = np.array([0, 1, 0, 0, 1, 1, 1], dtype=bool)
    full = np.zeros((7, 2), dtype=np.float32)
    full[places] = values
    rows = ScatteredRows(values, places)
    assert rows.shape == (7, 2) and len(rows) == 7
    np.testing.assert_array_equal(rows[part], full[part])


def test_some_rows_are_random_ones_in_their_order():
    np.testing.assert_array_equal(some_rows(9, 20, seed=0), np.arange(9))
    rows = some_rows(100, 5, seed=0)
    assert len(rows) == len(set(rows)) == 5 and (np.diff(rows) > 0).all() and rows.max() < 100
    np.testing.assert_array_equal(some_rows(100, 5, seed=0), rows)
    assert some_rows(100, 5, seed=1).tolist() != rows.tolist()
    np.testing.assert_array_equal(some_rows(5, 5, seed=0), np.arange(5))


def test_some_cells_of_all_types():
    """Random ones, and as many more of the rare types as are asked for, or all that there are."""
    labels = np.repeat([0, 1, 3], [9_000, 5, 995])
    random = np.random.default_rng(0)
    labels = labels[random.permutation(len(labels))]
    rows = some_of_all_types(labels, 100, 4, least=20)
    assert np.all(np.diff(rows) > 0)
    found = np.bincount(labels[rows], minlength=4)
    assert found[1] == 5 and found[2] == 0 and found[3] == 20 and found[0] > 80
    assert set(some_rows(len(labels), 100, 4)) <= set(rows)
    np.testing.assert_array_equal(rows, some_of_all_types(labels, 100, 4, least=20))
    np.testing.assert_array_equal(some_of_all_types(labels, 10_000, 4, 20), np.arange(10_000))
