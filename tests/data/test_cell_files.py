"""Cells read in chunks are those that are read at once, whatever the format."""

from __future__ import annotations

import gzip
import logging

import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from reading import read_modality
from scipy import sparse

from scadv_tf.data import spill, stored_matrices
from scadv_tf.data.cell_files import open_cells
from scadv_tf.data.features import feature_names
from scadv_tf.data.mtx_cells import mtx_entries
from scadv_tf.data.sound_counts import LARGEST_COUNT
from scadv_tf.data.spill import SortedOnDisk
from scadv_tf.errors import InputError

CELLS, FEATURES = 11, 7
GENES = [f"G{i}" for i in range(FEATURES)]


@pytest.fixture
def counts():
    """Counts [11, 7]; one cell is empty."""
    found = np.random.default_rng(0).poisson(0.7, size=(CELLS, FEATURES))
    found[4] = 0
    return found


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """So that these few cells need several pieces."""
    monkeypatch.setattr(spill, "BUCKET_CELLS", 4)
    monkeypatch.setattr(spill, "ENTRIES_AT_ONCE", 5)


def read_all(path, size, modality="rna", layer=""):
    with open_cells(path, modality, layer) as source:
        found = list(source.chunks(size))
        assert source.cells == sum(len(chunk.cells) for chunk in found)
        assert all(chunk.counts.shape[0] == len(chunk.cells) for chunk in found)
        return (
            np.concatenate([chunk.cells for chunk in found]).tolist(),
            sparse.vstack([chunk.counts for chunk in found]).toarray(),
            feature_names(source.var).tolist(),
        )


def same_as_whole(path, modality="rna", layer=""):
    whole = read_modality(path, modality, layer)
    for size in (1, 3, 4, 100):
        names, values, features = read_all(path, size, modality, layer)
        assert names == whole.obs_names.tolist()
        assert features == feature_names(whole.var).tolist()
        np.testing.assert_array_equal(values, whole.X.toarray())


def annotated(matrix):
    obs = pd.DataFrame(index=[f"cell{i}" for i in range(CELLS)])
    return AnnData(matrix, obs=obs, var=pd.DataFrame({"id": range(FEATURES)}, index=GENES))


@pytest.mark.parametrize("kind", [np.int64, np.float32, np.uint8])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_h5ad_however_it_is_stored(tmp_path, counts, form, kind):
    annotated(form(counts.astype(kind))).write_h5ad(tmp_path / "a.h5ad", compression="gzip")
    same_as_whole(tmp_path / "a.h5ad")
    assert read_all(tmp_path / "a.h5ad", 2)[1].tolist() == counts.tolist()


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
@pytest.mark.parametrize("layer", ["X", "raw", "twice"])
def test_layer_and_raw(tmp_path, counts, form, layer):
    full = annotated(form(counts))
    part = full[:, GENES[2:5]].copy()
    part.raw = full
    part.layers["twice"] = form(np.asarray(2 * counts[:, 2:5]))
    part.write_h5ad(tmp_path / "a.h5ad")
    same_as_whole(tmp_path / "a.h5ad", layer=layer)
    chosen = {"X": counts[:, 2:5], "raw": counts, "twice": 2 * counts[:, 2:5]}[layer]
    assert read_all(tmp_path / "a.h5ad", 4, layer=layer)[1].tolist() == chosen.tolist()


def test_h5mu(tmp_path, counts):
    both = {"gex": annotated(sparse.csr_matrix(counts)), "peaks": annotated(3.0 * counts)}
    mudata.MuData(both).write_h5mu(tmp_path / "a.h5mu")
    same_as_whole(tmp_path / "a.h5mu", "rna")
    same_as_whole(tmp_path / "a.h5mu", "atac")
    assert read_all(tmp_path / "a.h5mu", 5, "atac")[1].tolist() == (3 * counts).tolist()


KINDS = ["Gene Expression"] * 4 + ["Peaks"] * 3
CHOSEN = {"rna": slice(4), "atac": slice(4, None)}


@pytest.mark.parametrize("kinds", [None, KINDS], ids=["Cell Ranger 2", "Cell Ranger 3"])
def test_10x_h5(counts, write_10x_h5, kinds):
    path = write_10x_h5(counts, ids=GENES, names=[*GENES[:6], GENES[0]], kinds=kinds)
    for modality in ("rna", "atac") if kinds else ("rna",):
        same_as_whole(path, modality)
        columns = slice(None) if kinds is None else CHOSEN[modality]
        assert read_all(path, 3, modality)[1].tolist() == counts[:, columns].tolist()


@pytest.mark.parametrize("gzipped", [True, False])
@pytest.mark.parametrize("modality", ["rna", "atac"])
def test_10x_mtx(counts, write_10x_mtx, gzipped, modality):
    lines = [(f"id{i}", name, KINDS[i]) for i, name in enumerate(GENES)]
    path = write_10x_mtx(counts, lines, gzipped=gzipped)
    same_as_whole(path, modality)
    assert read_all(path, 3, modality)[1].tolist() == counts[:, CHOSEN[modality]].tolist()


def test_a_mtx_of_cells_x_features(counts, write_10x_mtx):
    lines = [(f"id{i}", name) for i, name in enumerate(GENES)]
    folder = write_10x_mtx(counts, lines, gzipped=False)
    path = folder / "matrix.mtx"
    head, comment, sizes, *entries = path.read_text().splitlines()
    turned = [" ".join([line.split()[i] for i in (1, 0, 2)]) for line in (sizes, *entries)]
    path.write_text("\n".join([head, comment, *turned[:1], *reversed(turned[1:])]) + "\n")
    same_as_whole(folder)
    assert read_all(folder, 3)[1].tolist() == counts.tolist()


# Sorting on disk.


@pytest.mark.parametrize("seed", range(5))
def test_entries_in_any_order_come_back_as_rows(tmp_path, seed):
    random = np.random.default_rng(seed)
    number, shape = 60, (23, 9)
    entries = [random.integers(0, size, number) for size in shape]
    values = random.integers(1, 9, number).astype(float)
    expected = sparse.coo_matrix((values, entries), shape=shape).toarray()
    pieces = ([a[i : i + 7] for a in (*entries, values)] for i in range(0, number, 7))
    found = SortedOnDisk(pieces, shape, tmp_path)
    for start, stop in ((0, 23), (3, 4), (7, 9), (4, 8), (21, 23)):
        np.testing.assert_array_equal(found.rows(start, stop).toarray(), expected[start:stop])


@pytest.mark.parametrize("place", [(-1, 0), (5, 0), (0, -1), (0, 4)])
def test_entries_outside_are_refused(tmp_path, place):
    entry = tuple(np.array([number]) for number in (*place, 1))
    with pytest.raises(ValueError, match="not among the"):
        SortedOnDisk(iter([entry]), (5, 4), tmp_path)


def test_what_was_sorted_goes_again(tmp_path, counts, caplog):
    annotated(sparse.csc_matrix(counts)).write_h5ad(tmp_path / "a.h5ad")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with (
        caplog.at_level(logging.INFO),
        open_cells(tmp_path / "a.h5ad", "rna", "", scratch) as source,
    ):
        source.counts(0, CELLS)
        assert not list(scratch.iterdir())  # all at once: in memory
        source.counts(2, 3)
        assert len(list(scratch.rglob("*"))) == 1 + 3  # 11 cells in buckets of 4
    assert not list(scratch.iterdir())
    assert "not stored by cell" in caplog.text and str(scratch) in caplog.text


def test_what_is_stored_by_cell_is_not_sorted(tmp_path, counts, monkeypatch):
    monkeypatch.setattr(stored_matrices, "SortedOnDisk", None)
    annotated(sparse.csr_matrix(counts)).write_h5ad(tmp_path / "a.h5ad")
    assert read_all(tmp_path / "a.h5ad", 3)[1].tolist() == counts.tolist()


@pytest.mark.parametrize(
    "text, message",
    [
        ("%%MatrixMarket matrix coordinate integer general\n2 2 2\n1 1 3\n", "has 1"),
        ("%%MatrixMarket matrix coordinate integer general\n2 2 1\n1 1 3\n2 2 1\n", "has 2"),
        ("%%MatrixMarket matrix array real general\n2 2\n1\n0\n0\n", "4 entries, and has 3"),
        ("%%MatrixMarket matrix coordinate integer\n2 2 1\n1 1 3\n", "no head of a matrix"),
        ("1 1 3\n", "no head of a matrix"),
    ],
)
def test_a_mtx_that_is_none(tmp_path, text, message):
    (tmp_path / "matrix.mtx").write_text(text)
    with pytest.raises(ValueError, match=message):
        list(mtx_entries(tmp_path / "matrix.mtx"))


@pytest.mark.parametrize("kind", ["complex general", "real symmetric", "integer skew-symmetric"])
def test_a_mtx_of_something_else_is_called_so(tmp_path, kind):
    head = f"%%MatrixMarket matrix coordinate {kind}"
    (tmp_path / "matrix.mtx").write_text(f"{head}\n2 2 1\n1 1 3\n")
    for name in ("barcodes.tsv", "genes.tsv"):
        (tmp_path / name).write_text("a\nb\n")
    with pytest.raises(InputError) as error:
        read_all(tmp_path, 5)
    told = " and ".join(kind.split())
    assert error.value.what == f"the Matrix Market file is not one of counts, but {told}"
    assert error.value.received == head


@pytest.mark.parametrize("by_cell", [False, True])
@pytest.mark.parametrize("numbers", ["integer", "unsigned-integer", "real", "double"])
@pytest.mark.parametrize("form", ["array", "coordinate"])
def test_a_mtx_of_any_form(tmp_path, form, numbers, by_cell):
    """As SciPy writes dense matrices, and counts without a sign."""
    counts = np.array([[1, 0, 3], [0, 2, 0]])
    given = counts if by_cell else counts.T
    if form == "array":
        lines = [f"{given.shape[0]} {given.shape[1]}", *map(str, given.T.ravel())]
    else:
        lines = [f"{given.shape[0]} {given.shape[1]} 3"]
        lines += [f"{i + 1} {j + 1} {given[i, j]}" for i, j in np.argwhere(given)]
    head = f"%%MatrixMarket matrix {form} {numbers} general\r\n%\r\n"
    (tmp_path / "matrix.mtx").write_text(head + "\r\n".join(lines) + "\r\n")
    (tmp_path / "barcodes.tsv").write_text("a\nb\n")
    (tmp_path / "genes.tsv").write_text("A\nB\nC\n")
    np.testing.assert_array_equal(read_all(tmp_path, 5)[1], counts)


def test_a_mtx_may_be_a_pattern(tmp_path):
    """As R writes a matrix that says only which peaks are open."""
    text = "%%MatrixMarket matrix coordinate pattern general\n3 2 3\n1 1\n2 2\n3 1\n"
    (tmp_path / "matrix.mtx").write_text(text)
    (tmp_path / "barcodes.tsv").write_text("a\nb\n")
    (tmp_path / "features.tsv").write_text("chr1:1-2\nchr1:3-4\nchr1:5-6\n")
    assert read_all(tmp_path, 5, "atac")[1].tolist() == [[1, 0, 1], [0, 1, 0]]


# Errors.


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
@pytest.mark.parametrize(
    "bad, what, received",
    [
        (-2.5, "negative values", "-2.5 in X, first in cell cell8, feature G3"),
        (np.nan, "not finite", "cell cell8, feature G3"),
        (np.inf, "not finite", "cell cell8, feature G3"),
        (1e300, "not finite", "cell cell8, feature G3"),
        (2e30, "too large", "2e+30, first in cell cell8, feature G3"),
    ],
)
def test_a_bad_value_comes_with_its_chunk(tmp_path, counts, form, bad, what, received):
    values = counts.astype(float)
    values[8, 3] = bad
    annotated(form(values)).write_h5ad(tmp_path / "a.h5ad")
    with open_cells(tmp_path / "a.h5ad", "rna") as source:
        found = source.chunks(3)
        assert next(found).cells.tolist() == ["cell0", "cell1", "cell2"]
        assert next(found).counts.toarray().tolist() == counts[3:6].tolist()
        with pytest.raises(InputError, match=what) as error:
            next(found)
    assert received in error.value.received


def test_the_largest_count_is_read(tmp_path, counts):
    values = counts.astype(np.float32)
    values[8, 3] = LARGEST_COUNT
    annotated(values).write_h5ad(tmp_path / "a.h5ad")
    assert read_all(tmp_path / "a.h5ad", 3)[1][8, 3] == np.float32(LARGEST_COUNT)


def test_cells_without_counts_are_told_once(tmp_path, counts, caplog):
    counts[9] = 0
    annotated(counts).write_h5ad(tmp_path / "a.h5ad")
    read_all(tmp_path / "a.h5ad", 2)
    assert [r.message for r in caplog.records if "no count" in r.message] == [
        "a.h5ad: 2 cells have no count at all (kept)"
    ]


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


def test_a_file_that_was_cut_short(tmp_path, counts, write_10x_mtx):
    annotated(sparse.csr_matrix(counts)).write_h5ad(tmp_path / "a.h5ad")
    cut(tmp_path / "a.h5ad")
    folder = write_10x_mtx(counts, [(name, name) for name in GENES])
    cut(folder / "matrix.mtx.gz")
    for path in (tmp_path / "a.h5ad", folder):
        with pytest.raises(InputError, match="could not be read"):
            read_all(path, 3)


def test_a_mtx_with_other_sizes(counts, write_10x_mtx):
    folder = write_10x_mtx(counts, [(name, name) for name in GENES])
    with gzip.open(folder / "barcodes.tsv.gz", "at") as file:
        file.write("one-more\n")
    with pytest.raises(InputError, match="do not belong together"):
        read_all(folder, 3)


def test_flags_are_those_of_this_program(tmp_path, counts, write_10x_h5):
    with pytest.raises(InputError, match="the input does not exist") as error:
        read_all(tmp_path / "none.h5ad", 3)
    assert "--input" in error.value.advice
    path = write_10x_h5(counts, GENES, GENES, ["Peaks"] * FEATURES)
    with pytest.raises(InputError, match="has no layers") as error:
        read_all(path, 3, layer="counts")
    assert "--layer" in error.value.advice
    with pytest.raises(InputError, match="holds no RNA features"):
        read_all(path, 3)
    annotated(counts).write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(InputError, match="has no counts") as error:
        read_all(tmp_path / "a.h5ad", 3, layer="counts")
    assert "--layer" in error.value.advice
