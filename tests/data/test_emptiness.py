"""Which cells have data, by hand; and that the others change nothing of what is learned."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from preprocessing_twins import settings, without_peaks
from scipy import sparse

from scadv_tf.data import emptiness
from scadv_tf.data.emptiness import least_open, opened, scatter, warnings, with_data
from scadv_tf.data.lsi import LatentSemanticIndex
from scadv_tf.data.preprocessing import fit
from scadv_tf.errors import InputError
from scadv_tf.modalities import MODALITIES


def counts(opened: list[int], features: int = 400) -> sparse.csr_matrix:
    """Cells with so many open features."""
    return sparse.csr_matrix(np.float32(3 * (np.arange(features) < np.array(opened)[:, None])))


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([], 1),
        ([0, 0], 1),
        ([1, 2, 3], 1),
        ([100], 5),
        ([119], 5),
        ([100, 300], 15),
        ([300, 200, 100], 15),  # half of 600 is reached by the first cell
        ([300, 301, 100], 15),
        ([200] * 5 + [9] * 100, 10),  # the median would be 9
    ],
)
def test_a_cell_needs_a_twentieth_of_a_typical_ones_features(cells, expected):
    assert least_open(np.array(cells, dtype=np.int32)) == expected


def test_open_features_by_hand():
    atac = sparse.csr_matrix(np.float32([[0, 0.25, 2], [0, 0, 0], [0, 0, 0]]))
    peaks = sparse.csr_matrix(np.float32([[1, 0], [1, 7], [0, 0]]))
    found = opened(atac[:2], atac, peaks)
    assert {kind: cells.tolist() for kind, cells in found.items()} == {
        "rna": [2, 0],
        "atac": [2, 0, 0],
        "peaks": [3, 2, 0],
    }
    kept = with_data(found)
    assert kept["rna"].tolist() == [True, False] and kept["atac"].tolist() == [True, True, False]
    assert with_data(opened(atac, atac, None))["atac"].tolist() == [True, False, False]


def test_how_often_a_feature_was_counted_does_not_matter():
    cells = counts([90, 4, 60, 3])
    other = sparse.csr_matrix(cells, copy=True)
    other.data[:] = np.random.default_rng(0).uniform(1e-6, 50, len(other.data))
    for name, kept in with_data(opened(cells, other, None)).items():
        assert kept.tolist() == [True, True, True, False], name


def test_values_are_spread_over_all_places():
    kept = np.array([False, True, False, True])
    assert scatter(np.array([1.0, 2.0]), kept, 9).tolist() == [9, 1, 9, 2]
    assert scatter(np.ones((2, 2), np.float32), kept, 0).tolist() == [
        [0, 0],
        [1, 1],
        [0, 0],
        [1, 1],
    ]
    values = np.arange(4)
    assert scatter(values, np.ones(4, bool), 9) is values


# Warnings.


def test_full_cells_need_no_warning():
    assert warnings(with_data(opened(counts([50] * 9), counts([7, 5, 4]), None))) == []


def test_a_few_empty_cells_are_told_and_many_with_the_likely_cause():
    few, many = counts([50] * 30 + [0]), counts([80] * 10 + [2] * 90)
    of_rna, of_atac = warnings(with_data(opened(few, many, None)))
    assert of_rna.startswith("1 of 31 RNA cells are empty or nearly empty")
    assert of_atac.startswith("90 of 100 ATAC cells are empty or nearly empty")
    assert "unfiltered" in of_atac and "give the filtered" in of_atac
    assert "unfiltered" not in of_rna


# What is learned.


def with_droplets(data, seed: int = 0):
    """The same cells with as many again that have at most two counts each, all of them mixed.

    Returns
    -------
    The data, and modality -> where the cells with data are, in their order.
    """
    random, tables, places = np.random.default_rng(seed), {}, {}
    for name in MODALITIES:
        cells = len(getattr(data, f"{name}_cells"))
        where = np.sort(random.permutation(2 * cells)[:cells])
        places[name] = where
        for kind in [name] if name == "rna" else ["atac", "peaks"]:
            matrix = getattr(data, kind)
            if matrix is None:
                continue
            stray = sparse.lil_matrix((2 * cells, matrix.shape[1]), dtype=np.float32)
            for row in np.setdiff1d(np.arange(2 * cells), where):
                stray[row, random.integers(matrix.shape[1], size=row % 3)] = 1
            full = sparse.csr_matrix(
                (np.ones(cells, np.float32), (where, np.arange(cells))), shape=(2 * cells, cells)
            )
            tables[kind] = sparse.csr_matrix(full @ matrix + stray.tocsr(), dtype=np.float32)
    labels = random.integers(len(data.types), size=2 * len(data.rna_labels)).astype(np.int32)
    labels[places["rna"]] = data.rna_labels
    tables["rna_labels"] = labels
    return dataclasses.replace(data, **tables), places


OPTIONS = [{}, {"neighbors": 1}, {"smoothing_hops": 0}, {"variable_genes": 50}]
OPTIONS += [{"balance": True}, {"balance": True, "neighbors": 0}]


@pytest.mark.parametrize("keep_peaks", [True, False])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_cells_without_data_change_nothing_to_the_bit(tissue, options, keep_peaks, monkeypatch):
    monkeypatch.setattr(emptiness, "LEAST_SHARE", 0.1)  # cells of the small tissue are shallow
    data = tissue if keep_peaks else without_peaks(tissue)
    mixed, places = with_droplets(data)
    found, expected = fit(mixed, settings(**options)), fit(data, settings(**options))
    assert found.preprocessor.least_open == expected.preprocessor.least_open
    np.testing.assert_array_equal(found.preprocessor.genes, expected.preprocessor.genes)
    for name in MODALITIES:
        np.testing.assert_array_equal(found.features[name], expected.features[name])
        np.testing.assert_array_equal(np.flatnonzero(found.with_data[name]), places[name])
        assert expected.with_data[name].all()
        table = np.arange(len(found.with_data[name]))
        np.testing.assert_array_equal(found.chosen(name, table), places[name])
        if expected.balance is not None:
            np.testing.assert_array_equal(found.weights(name), expected.weights(name))
    if expected.neighbors is not None:
        for part in ("rows", "weights"):
            np.testing.assert_array_equal(
                getattr(found.neighbors, part), getattr(expected.neighbors, part)
            )


def test_a_cell_without_a_count_in_the_chosen_genes_has_no_data(tissue):
    chosen = np.isin(tissue.genes, fit(tissue, settings(variable_genes=80)).preprocessor.genes)
    outside = sparse.csr_matrix(tissue.rna @ sparse.diags(np.float32(~chosen)))
    rna = sparse.vstack([outside[:1], tissue.rna[1:]], format="csr")
    cells = fit(dataclasses.replace(tissue, rna=rna), settings(variable_genes=30))
    assert np.flatnonzero(~cells.with_data["rna"]).tolist() == [0]
    assert fit(dataclasses.replace(tissue, rna=rna), settings()).with_data["rna"].all()


@pytest.mark.parametrize(("options", "kept"), [({}, True), ({"smoothing_hops": 0}, False)])
def test_a_cell_with_nothing_but_peaks_stays_where_cells_are_averaged(tissue, options, kept):
    atac = sparse.vstack([0 * tissue.atac[:1], tissue.atac[1:]], format="csr")
    atac.eliminate_zeros()
    cells = fit(dataclasses.replace(tissue, atac=atac), settings(**options))
    assert cells.with_data["atac"].tolist() == [kept] + [True] * 69


@pytest.mark.parametrize("name", MODALITIES)
def test_a_modality_of_hardly_any_cell_is_refused(tissue, name):
    matrix = getattr(tissue, name)
    full = np.arange(matrix.shape[0]) < 2
    emptied = sparse.csr_matrix(sparse.diags(np.float32(full)) @ matrix)
    data = without_peaks(dataclasses.replace(tissue, **{name: emptied}))
    with pytest.raises(InputError, match=f"Hardly any {name.upper()} cell") as error:
        fit(data, settings())
    assert f"2 of {len(full)}" in error.value.received and error.value.advice


def test_the_index_of_peaks_is_of_the_cells_with_data(tissue, monkeypatch):
    monkeypatch.setattr(emptiness, "LEAST_SHARE", 0.1)
    learned = fit(with_droplets(tissue)[0], settings()).preprocessor.reference.space.indices[
        "peaks"
    ]
    expected = LatentSemanticIndex.fit(tissue.peaks, 6)
    np.testing.assert_array_equal(learned.inverse_frequency, expected.inverse_frequency)
