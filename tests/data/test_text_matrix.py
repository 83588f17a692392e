"""Tables of features x cells with all their zeros."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from scadv_tf.data import text_matrix
from scadv_tf.data.recipes.conversion import cells_in
from scadv_tf.errors import InputError

TABLE = "gene\tc,1\tc,2\tc,3\nA\t1\t0\t12\nB\t0\t0\t0\nC\t0\t2.5\t0\n"
COUNTS = [[1, 0, 0], [0, 0, 2.5], [12, 0, 0]]


def opened(path, scratch):
    scratch.mkdir(exist_ok=True)
    return cells_in(path, "rna", scratch, text_matrix.stored_text_matrix)


@pytest.mark.parametrize(
    "text",
    [
        TABLE,
        TABLE.removeprefix("gene\t"),  # as R writes row names
        TABLE.removeprefix("gene"),
        TABLE.replace("\n", "\r\n"),
        TABLE.removesuffix("\n"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_cells_come_as_rows(tmp_path, text, zipped):
    path = tmp_path / ("counts.txt.gz" if zipped else "counts.txt")
    path.write_bytes(gzip.compress(text.encode()) if zipped else text.encode())
    with opened(path, tmp_path / "scratch") as cells:
        assert cells.names(0, 3).tolist() == ["c,1", "c,2", "c,3"]
        assert cells.var.index.tolist() == ["A", "B", "C"]
        np.testing.assert_array_equal(cells.counts(0, 3).toarray(), COUNTS)
        np.testing.assert_array_equal(cells.counts(1, 3).toarray(), COUNTS[1:])


def test_quotes_of_r_are_taken_off(tmp_path):
    (tmp_path / "counts.txt").write_text('"c1"\t"c2"\n"A"\t1\t2\n')
    with opened(tmp_path / "counts.txt", tmp_path / "scratch") as cells:
        assert cells.names(0, 2).tolist() == ["c1", "c2"] and cells.var.index.tolist() == ["A"]


def test_counts_come_some_at_a_time_and_are_sorted_on_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(text_matrix, "ENTRIES_AT_ONCE", 500)
    counts = np.random.default_rng(0).poisson(0.2, (300, 40))
    lines = [["", *(f"c{i}" for i in range(300))]]
    lines += [[f"g{j}", *map(str, column)] for j, column in enumerate(counts.T)]
    path = tmp_path / "counts.txt"
    path.write_text("".join("\t".join(line) + "\n" for line in lines))
    pieces = [len(values) for _, _, values in text_matrix._entries(path, 300)]
    assert len(pieces) > 3 and max(pieces) < 700
    with opened(path, tmp_path / "scratch") as cells:
        found = [cells.counts(start, start + 100).toarray() for start in (200, 0, 100)]
    np.testing.assert_array_equal(np.vstack([found[1], found[2], found[0]]), counts)
    assert any((tmp_path / "scratch").iterdir())


@pytest.mark.parametrize(
    "text, said",
    [
        ("gene\tc1\tc2\nA\t1\t0\nB\t1\n", "B has 1 counts, for 2 cells"),
        ("gene\tc1\tc2\nA\t1\t0\nB\t1\tx\n", "counts of B are not all numbers"),
        ("gene\tc1\tc2\nA\t1\t0\t5\t6\n", "2 cells are named, and lines have 4 counts"),
        ("gene\tc1\tc2\n", "lines have 0 counts"),
        ("chr1:1-2\nchr1:5-9\n", "lines have 0 counts"),
        ("", "lines have 0 counts"),
    ],
)
def test_other_tables_are_refused(tmp_path, text, said):
    path = tmp_path / "counts.txt"
    path.write_text(text)
    with pytest.raises(InputError, match="could not be read") as error:
        opened(path, tmp_path / "scratch").counts(0, 2)
    assert said in error.value.received


def test_a_file_that_is_cut_short_is_refused(tmp_path):
    path = tmp_path / "counts.txt.gz"
    path.write_bytes(gzip.compress(TABLE.encode())[:-12])
    with pytest.raises(InputError, match="could not be read"):
        opened(path, tmp_path / "scratch")
