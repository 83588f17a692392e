"""Counts on disk stand for the CSR that reading the whole file gives."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

import h5py
import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from reading import read_modality
from scipy import sparse

from scadv_tf.data import stored_counts
from scadv_tf.data.cell_files import open_cells
from scadv_tf.data.datasets import DatasetSource, load_dataset
from scadv_tf.data.fingerprint import fingerprint
from scadv_tf.data.pairing import pair
from scadv_tf.data.readers import StoredModality
from scadv_tf.data.readers import stored as left_on_disk
from scadv_tf.data.rows import blocks
from scadv_tf.data.sound_counts import are_counted
from scadv_tf.data.stored_cells import Called
from scadv_tf.data.stored_counts import StoredCounts, account_of, look_through
from scadv_tf.errors import InputError

CELLS, FEATURES = 37, 11
RNA = Called.of("rna")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(stored_counts, "CELLS_AT_ONCE", 5)


@pytest.fixture
def counts() -> np.ndarray:
    random = np.random.default_rng(0)
    found = random.poisson(0.7, size=(CELLS, FEATURES))
    found[17] = 0
    return found


def annotated(matrix) -> AnnData:
    names = [f"z{i}" for i in range(CELLS)]
    obs = pd.DataFrame({"kind": ["a", "b"] * 18 + ["a"], "size": np.arange(CELLS)}, index=names)
    return AnnData(matrix, obs=obs, var=pd.DataFrame(index=[f"G{i}" for i in range(FEATURES)]))


def h5mu(matrix, path) -> None:
    both = {"rna": annotated(matrix), "atac": annotated(matrix)}
    both["atac"].var_names = [f"P{i}" for i in range(FEATURES)]
    mdata = mudata.MuData(both)
    mdata.obs["shared"] = np.arange(CELLS) % 3
    mdata.write(path)


@pytest.fixture(params=["csr", "csc", "dense", "layer", "h5mu", "10x h5", "10x mtx"])
def stored_file(request, tmp_path, counts, write_10x_h5, write_10x_mtx):
    """Path and layer of the counts in each format."""
    values, path = counts.astype(np.float32), tmp_path / "cells.h5ad"
    names = [f"G{i}" for i in range(FEATURES)]
    if request.param == "h5mu":
        h5mu(sparse.csr_matrix(values), tmp_path / "cells.h5mu")
        return tmp_path / "cells.h5mu", ""
    if request.param == "10x h5":
        return write_10x_h5(counts, names, names, ["Gene Expression"] * FEATURES), ""
    if request.param == "10x mtx":
        return write_10x_mtx(counts, [(name, name, "Gene Expression") for name in names]), ""
    if request.param == "layer":
        adata = annotated(sparse.csr_matrix(values) * -1)
        adata.layers["raw counts"] = sparse.csr_matrix(values)
        adata.write_h5ad(path)
        return path, "raw counts"
    forms = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": np.asarray}
    annotated(forms[request.param](values)).write_h5ad(path)
    return path, ""


def opened(path, layer="", modality="rna") -> StoredModality:
    return left_on_disk(open_cells(path, modality, layer, called=RNA))


def same(found: sparse.csr_matrix, expected) -> None:
    assert sparse.issparse(found) and found.format == "csr" and found.dtype == np.float32
    assert found.has_sorted_indices
    np.testing.assert_array_equal(found.toarray(), expected)


def test_every_format_is_what_reading_it_whole_gives(stored_file, counts):
    path, layer = stored_file
    whole, found = read_modality(path, "rna", layer), opened(path, layer)
    assert CELLS == found.n_obs
    assert found.X.shape == (CELLS, FEATURES) and len(found.X) == CELLS
    same(found.X[:], whole.X.toarray())
    assert found.obs_names.tolist() == whole.obs_names.tolist()
    pd.testing.assert_frame_equal(
        found.obs.reset_index(drop=True),
        whole.obs.reset_index(drop=True),
        check_dtype=False,
        check_column_type=False,
    )
    assert found.var.index.tolist() == whole.var_names.tolist()


@pytest.mark.parametrize("part", [slice(3, 9), slice(0, 1), slice(30, 99), slice(-4, None)])
def test_slices(stored_file, counts, part):
    same(opened(*stored_file).X[part], counts[part])


ROWS = [[], [0], [36], [0, 36], [4, 5, 6, 7, 8, 9], [1, 7, 7, 7, 30], [0, 0, 2], list(range(37))]


@pytest.mark.parametrize("rows", ROWS, ids=str)
def test_sorted_rows(stored_file, counts, rows):
    same(opened(*stored_file).X[np.array(rows, dtype=int)], counts[rows])


@pytest.fixture
def stored(tmp_path, counts) -> StoredCounts:
    annotated(sparse.csr_matrix(counts.astype(np.float32))).write_h5ad(tmp_path / "cells.h5ad")
    return opened(tmp_path / "cells.h5ad").X


def test_what_is_not_asked_for_in_order_is_refused(stored):
    with pytest.raises(ValueError, match="ascending"):
        stored[np.array([3, 2])]
    with pytest.raises(TypeError, match="consecutive"):
        stored[0:9:2]
    with pytest.raises(IndexError):
        stored[np.array([CELLS])]


def test_chosen_cells_and_columns_once_and_again(stored, counts):
    random = np.random.default_rng(1)
    rows = np.flatnonzero(random.random(CELLS) < 0.6)
    links = sparse.random(FEATURES, 7, 0.4, "csr", np.float32, random)
    links.data[:] = 1
    once = stored.chosen(rows, links)
    expected = counts[rows] @ links.toarray()
    assert once.shape == expected.shape
    same(once[:], expected)
    more, sums = np.array([0, 3, 4, 9]), sparse.csr_matrix(np.eye(7, dtype=np.float32)[:, [4, 1]])
    same(once.chosen(more, sums)[:], expected[more][:, [4, 1]])
    same(once.chosen(more)[1:3], expected[more][1:3])


def test_columns_that_change_nothing_cost_nothing(stored):
    assert stored.chosen(np.arange(3), sparse.identity(FEATURES, format="csr")).columns is None
    other = sparse.csr_matrix(np.eye(FEATURES)[::-1])
    assert stored.chosen(np.arange(3), other).columns is other


@pytest.mark.parametrize("size", [1, 4, 37, 100])
def test_blocks_are_all_cells_once(stored, counts, size):
    found = list(blocks(stored, size))
    assert [start for start, _ in found] == list(range(0, CELLS, size))
    same(sparse.vstack([block for _, block in found], format="csr"), counts)


def test_only_blocks_with_wanted_rows_are_read(stored, monkeypatch):
    read = []
    matrix = stored.source.stored.matrix
    real = matrix.rows

    def watched(start, stop):
        read.append((start, stop))
        return real(start, stop)

    monkeypatch.setattr(matrix, "rows", watched)
    stored[np.array([2, 3, 30])]
    assert read == [(2, 4), (30, 31)]


def test_threads_read_what_one_reads(stored_file, counts):
    table = opened(*stored_file).X
    parts = [slice(start, start + 6) for start in range(0, CELLS, 3)] * 5
    with ThreadPoolExecutor(8) as pool:
        for part, found in zip(parts, pool.map(table.__getitem__, parts), strict=True):
            same(found, counts[part])


def test_the_file_is_open_as_long_as_its_counts_are_and_no_longer(tmp_path, counts):
    annotated(sparse.csc_matrix(counts.astype(np.float32))).write_h5ad(tmp_path / "cells.h5ad")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    source = open_cells(tmp_path / "cells.h5ad", "rna", "", scratch, RNA)
    table = left_on_disk(source).X.chosen(np.arange(9))
    del source
    same(table[:], counts[:9])
    assert list(scratch.iterdir())
    del table
    assert not list(scratch.iterdir())


# What one look at all counts tells.


@pytest.mark.parametrize("size", [1, 6, 37])
def test_the_account_is_that_of_held_counts_whatever_the_blocks(stored, counts, size, monkeypatch):
    monkeypatch.setattr(stored_counts, "CELLS_AT_ONCE", size)
    held = account_of(sparse.csr_matrix(counts.astype(np.float32)))
    assert stored.account.digest == held.digest
    for account in (stored.account, held):
        np.testing.assert_array_equal(account.opened, (counts > 0).sum(axis=1))


def test_the_account_tells_numbers_places_and_rows_apart():
    matrix = sparse.csr_matrix(np.array([[1, 2, 0], [0, 0, 3]], dtype=np.float32))
    others = [
        [[1, 2, 0], [0, 0, 4]],
        [[1, 0, 2], [0, 0, 3]],
        [[1, 0, 0], [0, 2, 3]],
        [[1, 2, 0, 0], [0, 0, 3, 0]],
        [[1, 2, 0], [0, 0, 3], [0, 0, 0]],
    ]
    found = {account_of(sparse.csr_matrix(np.array(o, dtype=np.float32))).digest for o in others}
    assert len(found) == 5 and account_of(matrix).digest not in found


def test_tables_of_the_same_cells_are_looked_through_together(stored, monkeypatch):
    first = stored.chosen(np.arange(20), sparse.csr_matrix(np.ones((FEATURES, 1), np.float32)))
    second, other = stored.chosen(np.arange(20)), stored.chosen(np.arange(7))
    read = []
    matrix = stored.source.stored.matrix
    real = matrix.rows
    monkeypatch.setattr(matrix, "rows", lambda *a: read.append(a) or real(*a))
    look_through([first, second, other])
    assert [stop - start for start, stop in read] == [5, 5, 5, 5, 5, 2]
    for table in (first, second, other):
        assert table.account.digest == account_of(table[:]).digest
    assert len(read) == 6 + 4 + 4 + 2  # the accounts themselves took no further look


@pytest.mark.parametrize(
    "bad, what", [(-1.5, "negative values"), (np.nan, "not finite"), (np.inf, "not finite")]
)
def test_a_bad_value_deep_in_the_file_is_told_with_the_flags_of_the_run(tmp_path, bad, what):
    values = np.ones((CELLS, FEATURES))
    values[33, 4] = bad
    adata = annotated(sparse.csr_matrix(values))
    adata.layers["good"] = sparse.csr_matrix(np.ones((CELLS, FEATURES)))
    adata.write_h5ad(tmp_path / "a.h5ad")
    table = opened(tmp_path / "a.h5ad").X
    same(table[:30], values[:30])
    with pytest.raises(InputError, match=what) as error:
        look_through([table])
    if bad < 0:
        assert "--rna_layer=good" in error.value.advice
    elif np.isnan(bad):
        assert "cell z33, feature G4" in error.value.received


def test_no_counts_at_all_are_refused_and_a_damaged_file_is_told(tmp_path, counts):
    annotated(sparse.csr_matrix((CELLS, FEATURES), dtype=np.float32)).write_h5ad(
        tmp_path / "0.h5ad"
    )
    with pytest.raises(InputError, match="holds no counts"):
        look_through([opened(tmp_path / "0.h5ad").X])
    annotated(sparse.csr_matrix(counts.astype(np.float32))).write_h5ad(tmp_path / "1.h5ad")
    with h5py.File(tmp_path / "1.h5ad", "r+") as file:
        file["X/indices"][-1] = FEATURES
    with pytest.raises(InputError, match="could not be read"):
        look_through([opened(tmp_path / "1.h5ad").X])


def test_a_missing_file_names_the_flag(tmp_path):
    with pytest.raises(InputError, match="the RNA file does not exist") as error:
        opened(tmp_path / "none.h5ad")
    assert "--rna" in error.value.advice


def test_repeated_names_are_made_unique_as_in_memory(tmp_path, counts, caplog):
    adata = annotated(sparse.csr_matrix(counts.astype(np.float32)))
    names = np.array([f"z{i}" for i in range(CELLS)])
    names[[4, 9]] = "z1"
    adata.obs_names, adata.var_names = names, ["G0", "G0", *(f"G{i}" for i in range(2, FEATURES))]
    adata.write_h5ad(tmp_path / "a.h5ad")
    with caplog.at_level(logging.WARNING):
        whole, found = read_modality(tmp_path / "a.h5ad", "rna"), opened(tmp_path / "a.h5ad")
    assert found.obs_names.tolist() == whole.obs_names.tolist()
    assert found.var.index.tolist() == whole.var_names.tolist()
    assert found.var["scadv_original_name"].tolist() == whole.var["scadv_original_name"].tolist()
    told = [record.message for record in caplog.records if "repeated" in record.message]
    assert len(told) == 2 and told[0] == told[1]


# Pairing.


def test_paired_stored_counts_are_the_paired_held_counts(tmp_path, adata, caplog):
    random = np.random.default_rng(3)
    kinds = np.array(["T", "B", "NK", "unknown"])[random.integers(0, 4, CELLS)]
    rna = adata(random.poisson(1.0, (CELLS, 4)), ["A", "B", "a", "C"], fine=kinds)
    atac = adata(random.poisson(0.4, (29, 5)), ["c", "A", "B", "X", "A.1"])
    atac.obs["fine"] = np.array(["T", "B", "NK", "odd"])[random.integers(0, 4, 29)]
    atac.obs["fine"] = atac.obs["fine"].astype("category")
    peaks = sparse.csr_matrix(random.poisson(0.5, (29, 6)).astype(np.float32))
    rna.X = sparse.csr_matrix(rna.X.toarray() * (np.arange(CELLS) != 8)[:, None])
    both = AnnData(sparse.hstack([atac.X, peaks], format="csr"), obs=atac.obs)
    both.var_names = [*atac.var_names, *(f"p{i}" for i in range(6))]
    rna.write_h5ad(tmp_path / "rna.h5ad")
    both.write_h5ad(tmp_path / "atac.h5ad")
    stored_rna, stored_both = opened(tmp_path / "rna.h5ad"), opened(tmp_path / "atac.h5ad")
    columns = np.eye(11, dtype=np.float32)
    everyone = np.arange(29)
    stored_peaks = stored_both.X.chosen(everyone, sparse.csr_matrix(columns[:, 5:]))
    genes = stored_both.X.chosen(everyone, sparse.csr_matrix(columns[:, :5]))
    stored_atac = StoredModality(stored_both.obs, stored_both.obs_names, atac.var, genes)
    settings = {"label_key": "fine", "min_shared_genes": 1, "drop_types": ["NK"]}
    with caplog.at_level(logging.WARNING):
        held, truth = pair(rna, atac, peaks=peaks, **settings)
        found, found_truth = pair(stored_rna, stored_atac, peaks=stored_peaks, **settings)
    for name in ("rna", "atac", "peaks"):
        same(getattr(found, name)[:], getattr(held, name).toarray())
    for name in ("genes", "rna_labels", "rna_cells", "atac_cells"):
        np.testing.assert_array_equal(getattr(found, name), getattr(held, name))
    assert found.types == held.types == ("B", "T")
    assert found.matching.to_dict() == held.matching.to_dict()
    assert any("no count in any shared gene" in text for text in held.matching.warnings)
    assert found.rna_obs["fine"].tolist() == held.rna_obs["fine"].tolist()
    np.testing.assert_array_equal(found_truth.labels, truth.labels)
    assert fingerprint(found) == fingerprint(held)


@pytest.mark.parametrize("most", [0, 10])
@pytest.mark.parametrize("change, counted", [(1, True), (0.5, False)])
def test_whether_values_are_counts_is_known_of_held_and_of_stored_ones(
    adata, tmp_path, most, change, counted
):
    values = np.zeros((1200, 3))
    values[1100:] = change  # the first cells have no value
    adata(values, ["A", "B", "C"], cell_type=["x", "y"] * 600).write_h5ad(tmp_path / "c.h5ad")
    given = {"rna": str(tmp_path / "c.h5ad"), "atac": str(tmp_path / "c.h5ad")}
    source = DatasetSource(**given, memory_cells=most, min_shared_genes=1)
    data, _ = load_dataset("custom", source)
    assert isinstance(data.rna, StoredCounts) == bool(most)
    assert are_counted(data.rna) == are_counted(data.atac) == counted
