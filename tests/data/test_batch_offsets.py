"""Batches of a modality: their offsets by hand, and what they do to features."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from preprocessing_twins import settings

from scadv_tf.data import cell_blocks, readers
from scadv_tf.data.batch_differences import STRONG, batch_warnings, share_between
from scadv_tf.data.batch_offsets import (
    PRIOR_CELLS,
    Design,
    batches_of,
    memberships,
    without_offsets,
)
from scadv_tf.data.cell_files import open_cells
from scadv_tf.data.datasets import DatasetSource, assemble
from scadv_tf.data.preprocessing import fit
from scadv_tf.data.synthetic import simulate
from scadv_tf.errors import InputError
from scadv_tf.modalities import MODALITIES

pytestmark = pytest.mark.slow

KEYS = {"rna_batch_key": "donor", "atac_batch_key": "donor"}
SOURCE = DatasetSource(label_key="cell_type", min_shared_genes=1)


def halves(cells: int) -> pd.Categorical:
    return pd.Categorical(np.where(np.arange(cells) % 2, "b", "a"))


def one_of(codes, kinds: int) -> np.ndarray:
    return np.eye(kinds)[codes]


# The offsets.


def test_a_batch_of_as_many_cells_as_the_prior_moves_by_half():
    cells = int(PRIOR_CELLS)
    values = np.repeat([[7.0], [5.0]], cells, axis=0)
    found = Design(one_of(np.repeat([0, 1], cells), 2)).offsets(values)
    # Around the mean of 6, each lies 1 off: n / (n + prior) = 1/2 of it is believed.
    np.testing.assert_allclose(found, [[0.5], [-0.5]], atol=1e-3)


def test_a_batch_that_lacks_a_type_is_not_moved_by_its_composition():
    random = np.random.default_rng(0)
    batch = np.repeat([0, 1], 2000)
    types = np.where(batch == 0, random.integers(2, size=4000), 0)  # batch 1 has type 0 alone
    values = (10.0 * types + 2.0 * batch)[:, None]
    told_apart = Design(one_of(batch, 2), one_of(types, 2)).offsets(values)
    np.testing.assert_allclose(told_apart[1] - told_apart[0], 2, rtol=0.05)
    blind = Design(one_of(batch, 2)).offsets(values)
    assert blind[1] - blind[0] < -2  # the composition's 5 the other way


def test_where_batches_and_types_are_one_the_types_stay():
    batch = np.repeat([0, 1], 500)
    values = 3.0 * batch[:, None]
    offsets = Design(one_of(batch, 2), one_of(batch, 2)).offsets(values)
    np.testing.assert_allclose(offsets, 0, atol=1e-3)


def test_averages_of_two_batches_lose_a_part_of_each_offset():
    members, offsets = np.array([[0.25, 0.75], [0, 0]]), np.array([[4.0], [8.0]])
    found = without_offsets(np.array([[1.0], [1.0]]), members, offsets)
    np.testing.assert_allclose(found, [[1 - 1 - 6], [1]])
    assert without_offsets(found, None, offsets) is found


def test_a_design_of_averages_finds_the_offsets_of_single_cells():
    random = np.random.default_rng(0)
    shares = random.dirichlet([1, 1], 5000)
    found = Design(shares).offsets(shares @ np.array([[-1.0], [1.0]]))
    np.testing.assert_allclose(found[1] - found[0], 2, rtol=0.05)


# The column.


def test_names_of_batches_and_cells_without_one():
    found = batches_of(pd.DataFrame({"lane": ["2", None, "1"]}), "lane")
    assert [*found.categories] == ["1", "2"]
    np.testing.assert_array_equal(memberships(found), [[0, 1], [0, 0], [1, 0]])


def test_the_column_may_be_called_by_a_number():
    assert [*batches_of(pd.DataFrame({0: ["2", "1"]}), "0").categories] == ["1", "2"]


def test_one_batch_is_none():
    assert batches_of(pd.DataFrame({"lane": ["1", "1"]}), "lane") is None
    assert batches_of(pd.DataFrame({"lane": ["1", "2"]}), "") is None


@pytest.mark.parametrize(
    ("obs", "said"),
    [({"lane": ["1", "2"]}, "no column 'donor'"), ({"donor": [None, None]}, "names no batch")],
)
def test_bad_columns_are_told(obs, said):
    with pytest.raises(InputError, match=said) as raised:
        batches_of(pd.DataFrame(obs), "donor", "--atac_batch_key", "--atac_labels")
    assert "--atac_batch_key=donor" in raised.value.received
    assert "leave --atac_batch_key out" in raised.value.advice


# Features.


@pytest.fixture(scope="module")
def tissue():
    """90 RNA and 70 ATAC cells, each of one of two donors whose counts differ in half the genes."""
    rna, peaks, table = simulate(90, 120, types=4, difficulty=0.3, atac_cells=70)
    for seed, adata in enumerate((rna, peaks)):
        adata.obs["donor"] = halves(adata.n_obs)
        strong = np.random.default_rng(seed).random(adata.n_vars) < 0.5
        counts = adata.X.toarray()
        counts[1::2, strong] *= 3
        adata.X = type(adata.X)(counts)
    return rna, peaks, table


@pytest.fixture(scope="module")
def with_key(tissue):
    rna, peaks, table = tissue
    return assemble(rna, peaks, dataclasses.replace(SOURCE, **KEYS), table)[0]


@pytest.fixture(scope="module")
def without_key(with_key):
    return dataclasses.replace(with_key, batches={})


def test_features_are_those_of_a_preprocessor_less_the_share_of_each_offset(with_key):
    cells = fit(with_key, settings(balance=True))
    found = cells.preprocessor
    assert found.batches == {"rna": ("a", "b"), "atac": ("a", "b")}
    plain = dataclasses.replace(found, offsets={})
    members = {name: memberships(halves(cells.cells(name))) for name in MODALITIES}
    weights = cells.neighbors.matrix().toarray()
    for _ in range(found.averages):
        members["atac"] = weights @ members["atac"]
    for name in MODALITIES:
        uncorrected = plain.features(cells.values(name), name)
        expected = uncorrected - members[name] @ found.offsets[name]
        np.testing.assert_allclose(cells.features[name], expected, atol=1e-4)
        assert np.abs(cells.features[name] - uncorrected).max() > 0.1


@pytest.mark.parametrize("changed", [{}, {"balance": False}, {"neighbors": 1}])
def test_donors_lie_nearer_with_the_key(with_key, without_key, changed):
    config = settings(**{"balance": True} | changed)
    cells = {True: fit(with_key, config), False: fit(without_key, config)}
    for name in MODALITIES:
        batches = with_key.batches[name]
        far, near = (share_between(cells[key], with_key, name, batches) for key in (False, True))
        assert near < far / 2


def test_neighbors_are_of_both_donors_with_the_key(with_key, without_key):
    donor = with_key.batches["atac"].codes
    same = []
    for data in (without_key, with_key):
        rows = fit(data, settings(balance=True)).neighbors.rows
        same.append(np.mean(donor[rows] == donor[:, None]))
    assert same[1] < same[0] - 0.1
    assert same[1] < 0.7  # 0.49 if drawn at random


def test_batches_of_unlike_types_that_differ_in_nothing_else_stay():
    """To move them to one mean would move types onto each other."""
    rna, peaks, table = simulate(200, 150, types=4, difficulty=0.5, atac_cells=160, seed=1)
    data, truth = assemble(rna, peaks, SOURCE, table)
    types, codes = np.unique(truth.labels, return_inverse=True)
    right = {}
    for key in (False, True):
        donors = pd.Categorical(np.where(codes < len(types) / 2, "a", "b"))  # two types in each
        given = dataclasses.replace(data, batches={"atac": donors} if key else {})
        cells = fit(given, settings(balance=True, neighbors=10))
        guess = cells.balance.guess.voted(cells.features["atac"], cells.neighbors)
        right[key] = np.mean(np.array(data.types)[guess.argmax(axis=1)] == truth.labels)
    assert right[True] > right[False] - 0.03 > 0.8


def test_held_and_streamed_cells_are_corrected_alike(tissue, with_key, monkeypatch, tmp_path):
    monkeypatch.setattr(cell_blocks, "CELLS_AT_ONCE", 13)
    stored = []
    for name, adata in zip(MODALITIES, tissue[:2], strict=True):
        adata.write_h5ad(tmp_path / f"{name}.h5ad")
        stored.append(readers.stored(open_cells(tmp_path / f"{name}.h5ad", name)))
    data = assemble(*stored, dataclasses.replace(SOURCE, **KEYS), tissue[2])[0]
    config = settings(balance=True)
    found, expected = fit(data, config, 0, tmp_path, memory_cells=40), fit(with_key, config)
    assert found.fingerprint == expected.fingerprint
    for name in MODALITIES:
        np.testing.assert_allclose(
            found.features[name][:], expected.features[name], atol=1e-4, err_msg=name
        )


# What the report says.


def test_a_column_that_differs_strongly_is_told(without_key):
    cells = fit(without_key, settings(balance=True))
    found = batch_warnings(cells, without_key)
    assert [text.split()[1] for text in found] == ["RNA", "ATAC"]
    assert "--rna_batch_key=donor" in found[0]


def test_random_halves_and_other_columns_are_not_told(with_key, without_key):
    cells = fit(without_key, settings(balance=True))
    assert batch_warnings(cells, with_key) == []
    random = pd.Categorical(np.random.default_rng(0).choice(["a", "b"], 90))
    assert share_between(cells, without_key, "rna", random) < STRONG
    quiet = {
        f"{m}_obs": getattr(without_key, f"{m}_obs").rename(columns={"donor": "d"})
        for m in MODALITIES
    }
    assert batch_warnings(cells, dataclasses.replace(without_key, **quiet)) == []


@pytest.mark.parametrize("odd", [[["a"], ["b", "c"]], [""], [None, ""]])
def test_a_column_that_nobody_asked_for_stops_nothing(without_key, odd):
    """Such as lists, as some programs keep them in memory, and names that are all empty."""
    cells = fit(without_key, settings(balance=True))
    named_so = {}
    for m in MODALITIES:
        obs = getattr(without_key, f"{m}_obs").drop(columns="donor")
        column = [odd[i % len(odd)] for i in range(len(obs))]
        named_so[f"{m}_obs"] = obs.assign(sample=pd.Series(column, obs.index, dtype=object))
    assert isinstance(batch_warnings(cells, dataclasses.replace(without_key, **named_so)), list)
