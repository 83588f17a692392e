"""What a served model takes and refuses: dense and sparse counts, and what is neither."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from same_answers import assert_same_answers
from scipy import sparse
from serving_twin import dense, entries, values_of

from scadv_tf.serving.checks import LARGEST_REQUEST

GENES = 120
DENSE = ("annotate_rna", "annotate_atac", "embed_rna", "embed_atac", "translate")
SPARSE = ("annotate_rna_sparse", "annotate_atac_sparse", "annotate_atac_peaks")
PREPROCESSED = ("rna", "atac", "serving_default")


@pytest.fixture(scope="module")
def signatures(exported):
    return exported.loaded.signatures


@pytest.fixture(scope="module")
def peak_count(exported) -> int:
    return exported.trained.data.peaks.shape[1]


@pytest.fixture(scope="module")
def cells(exported):
    """1,000 cells, each counted anew from the rates of a training cell; a tenth are empty."""
    random = np.random.default_rng(0)
    rates = exported.trained.data.atac[random.integers(0, 70, 1000)].toarray()
    rates[::10] = 0
    return sparse.csr_matrix(random.poisson(rates).astype(np.float32))


@pytest.fixture(scope="module")
def peaks(exported):
    random = np.random.default_rng(1)
    counts = exported.trained.data.peaks[random.integers(0, 70, 1000)]
    return counts.multiply(random.random(counts.shape) < 0.7).tocsr()


# Good requests.


@pytest.mark.parametrize("modality", ["rna", "atac"])
@pytest.mark.parametrize("count", [1, 7, 1000])
def test_sparse_counts_get_the_answers_of_dense_ones(signatures, cells, modality, count):
    chosen = cells[-count:]
    by_entries = values_of(signatures[f"annotate_{modality}_sparse"](**entries(chosen)))
    by_rows = values_of(signatures[f"annotate_{modality}"](**dense(chosen)))
    assert {len(values) for values in by_rows.values()} == {count}
    assert_same_answers(by_entries, by_rows)


@pytest.mark.parametrize("name", SPARSE)
def test_the_order_of_entries_changes_nothing(signatures, cells, peaks, name):
    given = entries(cells[:50], peaks[:50] if "peaks" in name else None)
    random, shuffled = np.random.default_rng(0), dict(given)
    for keys in (("cell_index", "gene_index", "count"), ("peak_cell_index", "peak_index")):
        if keys[0] in given:
            order = random.permutation(len(given[keys[0]]))
            shuffled |= {key: tf.gather(given[key], order) for key in keys}
    assert (shuffled["gene_index"].numpy() != given["gene_index"].numpy()).any()
    found, expected = signatures[name](**shuffled), signatures[name](**given)
    assert_same_answers(values_of(found), values_of(expected))


@pytest.mark.parametrize("name", SPARSE)
def test_counts_of_the_same_cell_and_gene_add_up(signatures, cells, peaks, name):
    given = entries(cells[:50], peaks[:50] if "peaks" in name else None)
    twice = dict(given)
    for key in ("cell_index", "gene_index"):
        twice[key] = tf.concat([given[key], given[key]], axis=0)
    share = tf.constant(np.random.default_rng(0).integers(0, 2, len(given["count"])), tf.float32)
    parts = [given["count"] * share, given["count"] * (1 - share)]
    twice["count"] = tf.concat(parts, axis=0)
    assert tf.reduce_max(share) == 1 and tf.reduce_min(share) == 0
    found, expected = signatures[name](**twice), signatures[name](**given)
    assert_same_answers(values_of(found), values_of(expected))


def test_cells_without_entries_are_empty_cells(signatures):
    nothing = entries(sparse.csr_matrix((3, GENES), dtype=np.float32))
    found = signatures["annotate_rna_sparse"](**nothing)
    expected = signatures["annotate_rna"](counts=tf.zeros((3, GENES)))
    assert_same_answers(values_of(found), values_of(expected))


def test_cells_without_an_open_peak_are_answered(signatures, cells, peak_count):
    given = entries(cells[1:3], sparse.csr_matrix((2, peak_count)))
    found = values_of(signatures["annotate_atac_peaks"](**given))
    assert np.isfinite(found["probabilities"]).all() and found["label"].shape == (2,)


def test_the_parts_of_an_answer(signatures, cells, exported):
    found = values_of(signatures["annotate_atac"](**dense(cells)))
    types = exported.trained.data.types
    assert found["latent"].shape == (1000, 9) and found["latent"].dtype == np.float32
    assert found["probabilities"].shape == (1000, len(types))
    np.testing.assert_allclose(found["probabilities"].sum(axis=1), 1, rtol=1e-5)
    best = found["probabilities"].argmax(axis=1)
    assert found["label"].tolist() == np.array(types)[best].tolist()
    np.testing.assert_array_equal(found["confidence"], found["probabilities"].max(axis=1))
    assert found["unknown"].dtype == bool
    assert ((found["novelty"] >= 0) & (found["novelty"] <= 1)).all()
    threshold = float(exported.trained.served.model.readout.unknown_threshold)
    np.testing.assert_array_equal(found["unknown"], found["novelty"] > np.float32(threshold))


def test_serving_changes_nothing(signatures, cells):
    first = values_of(signatures["annotate_atac"](**dense(cells[:7])))
    for name in ("annotate_rna", "translate"):
        signatures[name](**dense(100 * cells))
    signatures["rna"](expression=10 * tf.ones((7, GENES)))
    again = values_of(signatures["annotate_atac"](**dense(cells[:7])))
    for name, values in first.items():
        np.testing.assert_array_equal(again[name], values)


# Bad requests.


@pytest.fixture
def refused(signatures, cells):
    """A function (signature, arguments, parts of the message); the model still answers after."""

    def check(name: str, arguments: dict, *parts: str) -> None:
        before = values_of(signatures["annotate_rna"](**dense(cells[:3])))
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            signatures[name](**arguments)
        for part in parts:
            assert part in caught.value.message, caught.value.message
        after = values_of(signatures["annotate_rna"](**dense(cells[:3])))
        assert_same_answers(after, before)

    return check


@pytest.mark.parametrize("name", DENSE)
@pytest.mark.parametrize("width", [0, 1, GENES - 1, GENES + 1])
def test_a_wrong_number_of_genes_is_refused(refused, name, width):
    expected = f"expected raw counts, float32 [cells, {GENES}], columns in the order of genes.txt"
    refused(
        name, {"counts": tf.zeros((2, width))}, "Wrong number of genes", expected, f"[2 {width}]"
    )


@pytest.mark.parametrize("name", DENSE)
def test_a_request_without_cells_is_refused(refused, name):
    arguments = {"counts": tf.zeros((0, GENES))}
    refused(name, arguments, "No cell was given", f"[cells, {GENES}], columns", f"[0 {GENES}]")


@pytest.mark.parametrize("name", DENSE)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -1.0, -1e-30])
def test_counts_that_are_none_are_refused(refused, name, bad):
    counts = np.ones((3, GENES), np.float32)
    counts[1, 7] = bad
    parts = (
        "A count is negative, above 1e+30 or not a number",
        "expected raw counts",
        "received] [",
    )
    refused(name, {"counts": tf.constant(counts)}, *parts, str(np.float32(bad)).removesuffix(".0"))


@pytest.mark.parametrize("name", PREPROCESSED)
def test_preprocessed_cells_of_a_wrong_width_are_refused(refused, name):
    expected = f"expected shape [?,{GENES}]"
    refused(name, {"expression": tf.zeros((2, GENES + 1))}, expected, f"[2,{GENES + 1}]")


def entries_with(cells, **changes) -> dict:
    """A good sparse request but for some of its arguments: index or count of the last entry."""
    given = entries(cells[1:4])
    for key, value in changes.items():
        values = np.array(given[key])
        if values.ndim:
            values[-1] = value
        else:
            values = np.array(value, values.dtype)
        given[key] = tf.constant(values)
    return given


BAD_ENTRIES = {
    "cell above": ({"cell_index": 3}, "A cell index is out of range", "0 to number", "[3]"),
    "cell below": ({"cell_index": -1}, "A cell index is out of range", "0 to number", "[-1]"),
    "gene above": ({"gene_index": GENES}, "0 to 119, in the order of genes.txt", f"[{GENES}]"),
    "gene below": ({"gene_index": -1}, "A feature index is out of range: expected 0", "[-1]"),
    "huge gene": ({"gene_index": 2**62}, "0 to 119, in the order of genes.txt", f"[{2**62}]"),
    "negative": ({"count": -2.0}, "A count is negative", "expected raw counts", "[-2]"),
    "nan": ({"count": np.nan}, "A count is negative, above 1e+30 or not a number", "[nan]"),
    "infinite": ({"count": np.inf}, "A count is negative, above 1e+30 or not a number", "[inf]"),
    "no cells": ({"number_of_cells": 0}, f"number_of_cells is out of range: expected 1 to {2**13}"),
    "fewer than none": ({"number_of_cells": -3}, "number_of_cells is out of range", "-3"),
    "too many": ({"number_of_cells": 2**13 + 1}, "number_of_cells is out of range", "8193"),
    "huge": ({"number_of_cells": 2**62}, "number_of_cells is out of range", str(2**62)),
    "fewer cells than said": ({"number_of_cells": 2}, "A cell index is out of range", "[2 2 2]"),
}


@pytest.mark.parametrize("name", SPARSE)
@pytest.mark.parametrize("case", BAD_ENTRIES)
def test_bad_entries_are_refused(refused, cells, peaks, name, case):
    changes, *parts = BAD_ENTRIES[case]
    given = entries_with(cells, **changes)
    if "peaks" in name:
        good = entries(cells[1:4], peaks[1:4])
        given |= {key: good[key] for key in ("peak_cell_index", "peak_index")}
    refused(name, given, *parts)


@pytest.mark.parametrize("name", SPARSE)
@pytest.mark.parametrize("key", ["cell_index", "gene_index", "count"])
@pytest.mark.parametrize("shorter", [True, False])
def test_entries_of_different_lengths_are_refused(refused, cells, peaks, name, key, shorter):
    given = entries(cells[1:4], peaks[1:4] if "peaks" in name else None)
    values = given[key]
    given[key] = values[:-1] if shorter else tf.concat([values, values[-1:]], axis=0)
    refused(name, given, "Lengths differ: expected one cell, one feature")


@pytest.mark.parametrize(
    "key, value, parts",
    [
        ("peak_index", -1, ("0 to", "in the order of peaks.txt", "[-1]")),
        ("peak_index", None, ("A feature index is out of range", "in the order of peaks.txt")),
        ("peak_cell_index", 3, ("A cell index is out of range", "[3]")),
        ("peak_cell_index", -1, ("A cell index is out of range", "[-1]")),
    ],
)
def test_bad_peaks_are_refused(refused, peak_count, cells, peaks, key, value, parts):
    given = entries(cells[1:4], peaks[1:4])
    values = given[key].numpy()
    values[0] = peak_count if value is None else value
    refused("annotate_atac_peaks", given | {key: tf.constant(values)}, *parts)


def test_peaks_of_different_lengths_are_refused(refused, cells, peaks):
    given = entries(cells[1:4], peaks[1:4])
    given["peak_index"] = given["peak_index"][1:]
    refused("annotate_atac_peaks", given, "Lengths differ")


def test_the_largest_request(signatures):
    """As many cells as are allowed, which need no entry each."""
    given = entries(sparse.csr_matrix((LARGEST_REQUEST, GENES), dtype=np.float32))
    found = signatures["annotate_rna_sparse"](**given)
    assert found["label"].shape == (LARGEST_REQUEST,)
