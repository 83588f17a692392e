"""How many neighbours are averaged, and how often: by hand, and where they are found by chance."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from preprocessing_twins import settings
from scipy import sparse

from scadv_tf.data import neighborhood_size as size
from scadv_tf.data.neighborhood_size import (
    agreement_of_halves,
    neighborhood_size,
    number_of_neighbors,
)
from scadv_tf.data.preprocessing import fit

INDEX = 5  # dimensions


@pytest.mark.parametrize(
    ("cells", "types", "expected"),
    [
        (500, 5, 24),
        (1000, 10, 12),
        (1050, 9, 16),  # 15.6
        (70, 5, 5),  # 3 are too few
        (750, 10, 9),
        (2917, 10, 35),
        (10**6, 10, 35),
        (245, 1, 35),
        (1, 3, 5),
    ],
)
def test_neighbors_by_cells_and_squared_types_by_hand(cells, types, expected):
    found = number_of_neighbors(cells, np.repeat(np.arange(types), 6))
    assert found == expected and isinstance(found, int)


def test_types_of_unequal_shares_count_less():
    # Entropy of 1/2, 1/4, 1/4 is 1.5 log 2: 2.83 types, squared 8.
    labels = np.array([0, 0, 1, 2])
    assert number_of_neighbors(160, labels) == round(1.2 * 160 / 8) == 24
    assert number_of_neighbors(160, np.repeat([0, 1, 2], 4)) == 21


def test_the_number_of_rna_cells_and_codes_without_cells_do_not_matter():
    labels = np.array([0, 0, 1, 2])
    for same in (np.repeat(labels, 50), labels + 5, 3 * labels, labels[::-1]):
        assert number_of_neighbors(160, same) == 24


def test_without_labels_eight_types_are_reckoned_with():
    for cells in (100, 1050, 2000, 9000):
        expected = number_of_neighbors(cells, np.arange(8))
        assert number_of_neighbors(cells, None) == expected
    assert number_of_neighbors(1000, None) == 19


@pytest.mark.parametrize(
    ("cells", "types", "open_features", "expected"),
    [
        (300, 10, np.inf, 5),  # 3.6 are too few
        (300, 10, 500, 10),
        (300, 10, 850, 6),  # 5.9
        (300, 10, 1800, 5),  # 2.8 are too few
        (300, 10, 100, 15),  # 50 are too many
        (100, 10, 100, 10),  # a tenth of the cells
        (40, 10, 100, 5),
        (300, 10, 0, 15),  # cells without a feature
        (1000, 7, 400, 24),  # 24.5 by types, 12.5 by depth
        (2917, 10, 100, 35),
    ],
)
def test_cells_of_few_counts_take_more_neighbors(cells, types, open_features, expected):
    labels = np.repeat(np.arange(types), 6)
    assert number_of_neighbors(cells, labels, open_features) == expected


def by_chance(cells: int, features: int, share: float = 0.1) -> sparse.csr_matrix:
    """Counts in which no two cells are more alike than others."""
    counts = np.random.default_rng(0).random((cells, features)) < share
    return sparse.csr_matrix(counts.astype(np.float32))


def of_three_kinds(cells: int, features: int, share: float = 0.1) -> sparse.csr_matrix:
    """The same, but that each kind of cells has features of its own, at random places."""
    random = np.random.default_rng(1)
    kinds, owners = np.arange(cells) % 3, random.integers(3, size=features)
    chance = np.where(kinds[:, None] == owners, 2.5 * share, share / 4)
    return sparse.csr_matrix((random.random((cells, features)) < chance).astype(np.float32))


def test_halves_of_the_features_agree_where_cells_are_of_kinds_and_by_chance_they_do_not():
    assert agreement_of_halves(of_three_kinds(200, 600), INDEX) > 0.7
    assert abs(agreement_of_halves(by_chance(200, 600), INDEX)) < 0.05


def test_the_agreement_is_that_of_the_cosines_of_two_indices():
    counts = of_three_kinds(60, 200)
    half = np.random.default_rng(0).random(200) < 0.5
    cosines = []
    for columns in (half, ~half):
        open_ = counts[:, columns].toarray() > 0
        cells = open_.sum(axis=0)
        weight = np.log1p(60 / np.where(cells >= 5, cells, np.inf))
        values = np.log1p(1e4 * open_ / np.maximum(open_.sum(axis=1), 1)[:, None]) * weight
        left, scale, _ = np.linalg.svd(values, full_matrices=False)
        vectors = (left * scale)[:, 1 : INDEX + 1]
        vectors /= np.linalg.norm(vectors, axis=1)[:, None]
        cosines.append([vectors[i] @ vectors[j] for i in range(60) for j in range(i)])
    expected = np.corrcoef(cosines)[0, 1]
    assert agreement_of_halves(counts, INDEX) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("counts", [np.zeros((30, 8)), np.ones((30, 8))])
def test_cells_that_are_all_the_same_agree_on_nothing(counts):
    assert agreement_of_halves(sparse.csr_matrix(counts, dtype=np.float32), INDEX) == 0


def test_the_agreement_of_many_cells_is_that_of_some(monkeypatch):
    counts = of_three_kinds(200, 600)
    whole = agreement_of_halves(counts, INDEX)
    monkeypatch.setattr(size, "CELLS_COMPARED", 60)
    assert whole != agreement_of_halves(counts, INDEX) == pytest.approx(whole, abs=0.1)


def test_neighbors_that_are_found_by_chance_are_few_and_averaged_once():
    labels = np.repeat(np.arange(4), 9)
    assert neighborhood_size(400, labels, of_three_kinds(400, 600), INDEX, True) == (30, 2)
    assert neighborhood_size(400, labels, by_chance(400, 600), INDEX, True) == (12, 1)
    assert neighborhood_size(100, labels, by_chance(100, 600), INDEX, True) == (10, 1)


def test_what_genes_find_for_want_of_counts_is_averaged_once():
    labels, counts = np.repeat(np.arange(9), 9), of_three_kinds(200, 2000, share=0.3)
    depth = np.median(np.count_nonzero(counts.toarray(), axis=1))
    assert round(5000 / depth) == 8 and number_of_neighbors(200, labels) == 5
    assert neighborhood_size(200, labels, counts, INDEX, True) == (8, 2)
    assert neighborhood_size(200, labels, counts, INDEX, False) == (8, 1)
    four = np.repeat(np.arange(4), 9)  # by types there are enough
    assert neighborhood_size(200, four, counts, INDEX, False) == (15, 2)


def test_cells_of_many_counts_are_not_asked(monkeypatch):
    def never(*arguments):
        raise AssertionError("these halves need not be compared")

    monkeypatch.setattr(size, "agreement_of_halves", never)
    labels = np.repeat(np.arange(4), 9)
    assert neighborhood_size(400, labels, by_chance(400, 600, share=0.5), INDEX, True) == (30, 2)
    # A panel has all its features open in all cells: how many they are says nothing.
    assert neighborhood_size(100, np.repeat(np.arange(9), 9), None, INDEX, False) == (5, 1)


def test_a_fit_averages_over_that_many(tissue):
    data = dataclasses.replace(tissue, rna_labels=np.zeros_like(tissue.rna_labels))
    for given, labels in ((data, data.rna_labels), (tissue, tissue.rna_labels)):
        depth = np.median(np.count_nonzero(given.peaks.toarray(), axis=1))
        expected = number_of_neighbors(70, labels, depth)
        assert expected == (35 if given is data else 7)  # 6 by types; a tenth of the cells
        found = fit(given, settings(neighbors=0))
        assert found.preprocessor.reference.lists.shape == (70, expected)
        assert found.neighbors.rows.shape == (70, expected - 1)
        # So few are averaged once.
        assert found.preprocessor.averages == (2 if given is data else 1)
