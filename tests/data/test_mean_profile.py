"""Which composition the mean ATAC cell speaks for, beside a twin and on simulated lineages."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import rankdata

from scadv_tf.data.mean_profile import MeanProfile

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
    profile = MeanProfile.of(sparse.csr_matrix(rna), atac, labels, TYPES)
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
    for values in (atac, sparse.csr_matrix(atac)):
        profile = MeanProfile.of(sparse.csr_matrix(rna), values, labels, TYPES)
        # Genes of one mean differ by rounding, and so in rank.
        assert profile.likeness(shares) == pytest.approx(expected, abs=1e-4)
    assert profile.by_chance == pytest.approx(0.05)


def test_types_without_a_cell_have_no_part_in_the_mean_of_all():
    rna, atac, labels = drawn(np.repeat([0, 1], 40))
    few = MeanProfile.of(sparse.csr_matrix(rna), atac, labels, TYPES)
    more = MeanProfile.of(sparse.csr_matrix(rna), atac, labels, TYPES + 3)
    shares = np.array([0.1, 0.4, 0.2, 0.3])
    assert more.likeness(np.append(shares, np.zeros(3))) == pytest.approx(few.likeness(shares))


def test_what_tells_no_type_from_all_is_like_nothing():
    rna, atac, labels = drawn(np.repeat([0, 1], 40))
    profile = MeanProfile.of(sparse.csr_matrix(rna), atac, labels, TYPES)
    assert profile.likeness(np.full(TYPES, 1 / TYPES)) == 0
    flat = MeanProfile.of(sparse.csr_matrix(rna), np.ones((20, GENES)), labels, TYPES)
    assert flat.likeness(one(0)) == 0
    alone = MeanProfile.of(sparse.csr_matrix(rna), atac, np.zeros(100, int), 1)
    assert alone.likeness(np.ones(1)) == 0
