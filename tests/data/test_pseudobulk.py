"""Which composition the mean ATAC cell speaks for, beside a twin and on simulated lineages."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from scipy.stats import rankdata

from scadv_tf.config import DataConfig, PreprocessingConfig
from scadv_tf.data import preprocessing
from scadv_tf.data.measures import OPPOSITE, Measure
from scadv_tf.data.pairing import pair
from scadv_tf.data.pseudobulk import Pseudobulk

TYPES, GENES = 4, 400


def drawn(atac_types, seed: int = 0):
    """RNA cells of four types, and ATAC cells of some, with a measure of its own for each gene."""
    random = np.random.default_rng(seed)
    common = random.gamma(1.0, size=GENES)
    types = common * np.exp(0.8 * random.normal(size=(TYPES, GENES)))
    labels = np.repeat(np.arange(TYPES), [50, 30, 15, 5])
    rna = random.poisson(types[labels]).astype(float)
    measure = np.exp(random.normal(size=GENES))
    atac = random.poisson(measure * types[np.asarray(atac_types)]).astype(float)
    return np.log1p(rna), np.log1p(atac), labels


def one(code: int) -> np.ndarray:
    return np.eye(TYPES)[code]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("code", range(TYPES))
def test_cells_of_one_type_are_liker_to_it_than_to_any_other(code, seed):
    rna, atac, labels = drawn(np.repeat(code, 80), seed)
    profile = Pseudobulk.of(sparse.csr_matrix(rna), atac.mean(axis=0), labels, TYPES)
    found = [profile.likeness(one(other)) for other in range(TYPES)]
    assert np.argmax(found) == code and found[code] > 4 * profile.by_chance
    mixed = np.full(TYPES, 0.1) + 0.6 * one(code)
    assert found[code] >= profile.likeness(mixed) - 1e-9 > max(np.delete(found, code))


def test_the_likeness_is_a_partial_correlation_of_ranks():
    rna, atac, labels = drawn(np.repeat([1, 2], 40))
    shares = np.array([0.1, 0.4, 0.2, 0.3])
    means = np.array([rna[labels == code].mean(axis=0) for code in range(TYPES)])
    mean = means.mean(axis=0)  # each type counts once
    xyz = rankdata(atac.mean(axis=0)), shares @ (means - mean), rankdata(mean)
    xy, xz, yz = (np.corrcoef(xyz[i], xyz[j])[0, 1] for i, j in ((0, 1), (0, 2), (1, 2)))
    expected = (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
    profile = Pseudobulk.of(sparse.csr_matrix(rna), atac.mean(axis=0), labels, TYPES)
    # Genes of one mean differ by rounding, and so in rank.
    assert profile.likeness(shares) == pytest.approx(expected, abs=1e-4)
    assert profile.by_chance == pytest.approx(0.05)


def test_types_without_a_cell_have_no_part_in_the_mean_of_all():
    rna, atac, labels = drawn(np.repeat([0, 1], 40))
    few = Pseudobulk.of(sparse.csr_matrix(rna), atac.mean(axis=0), labels, TYPES)
    more = Pseudobulk.of(sparse.csr_matrix(rna), atac.mean(axis=0), labels, TYPES + 3)
    shares = np.array([0.1, 0.4, 0.2, 0.3])
    assert more.likeness(np.append(shares, np.zeros(3))) == pytest.approx(few.likeness(shares))


def test_what_tells_no_type_from_all_is_like_nothing():
    rna, atac, labels = drawn(np.repeat([0, 1], 40))
    profile = Pseudobulk.of(sparse.csr_matrix(rna), atac.mean(axis=0), labels, TYPES)
    assert profile.likeness(np.full(TYPES, 1 / TYPES)) == 0
    flat = Pseudobulk.of(sparse.csr_matrix(rna), np.ones(GENES), labels, TYPES)
    assert flat.likeness(one(0)) == 0
    alone = Pseudobulk.of(sparse.csr_matrix(rna), atac.mean(axis=0), np.zeros(100, int), 1)
    assert alone.likeness(np.ones(1)) == 0


def marked(shares: np.ndarray, seed: int):
    """RNA cells of six types in two lineages, and as many cells of a mark that their genes lack."""
    random = np.random.default_rng(seed)
    common, lineages = random.gamma(0.6, size=800), np.exp(random.normal(0, 0.7, (2, 800)))
    types = common * lineages[np.arange(6) % 2] * np.exp(random.normal(0, 0.5, (6, 800)))
    labels, marked = np.repeat(np.arange(6), 100), random.choice(6, 600, p=shares)
    depth = random.lognormal(0, 0.3, (600, 1))
    measure = np.exp(random.normal(0, 0.5, 800))
    rna = random.poisson(2 * types[labels] * depth)
    atac = random.poisson(0.6 * measure / (0.4 + types[marked]) * depth)

    def cells(counts, codes, name):
        obs = pd.DataFrame({"type": [f"T{k}" for k in codes]}, [f"{name}{i}" for i in range(600)])
        genes = pd.DataFrame(index=[f"g{number}" for number in range(800)])
        return AnnData(sparse.csr_matrix(counts, dtype=np.float32), obs, genes)

    mark = Measure.of(DataConfig(query_kind="repressive_mark"))
    data, _ = pair(cells(rna, labels, "r"), cells(atac, marked, "a"), "type", measure=mark)
    return data, marked


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("most", [0.9, 1.0])
def test_where_less_means_more_the_mean_of_what_is_lacking_speaks(most, seed):
    """Two types of a lineage make up most or all cells of a repressive mark."""
    shares = np.full(6, (1 - most) / 4)
    shares[[0, 2]] = most / 2
    data, types = marked(shares, seed)
    cells = preprocessing.fit(data, PreprocessingConfig())
    guessed = cells.balance.guess.voted(cells.features["atac"], cells.neighbors)
    assert np.mean(guessed.argmax(axis=1) == types) > 0.8


def test_what_is_less_where_expression_is_more_is_turned():
    counts = sparse.csr_matrix([[4.0, 0, 1], [2, 1, 0]])
    same, opposite = Measure(), Measure("repressive_mark", direction=OPPOSITE)
    assert opposite.mean_activity(counts) == pytest.approx(-same.mean_activity(counts))
    levels = Measure("methylation", direction=OPPOSITE)
    held = sparse.csr_matrix([[1.2, 2.0, 0], [1.6, 1.8, 0]])  # levels of 0.8, 0 and 0.4, 0.2
    assert levels.mean_activity(held) == pytest.approx([-0.6, -0.1, 0])
