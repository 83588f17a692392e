"""What cells weigh where the samples are of unlike composition, by hand and on a simulated pair."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from preprocessing_twins import settings
from scipy import sparse

from scadv_tf.data import composition
from scadv_tf.data.composition import (
    FEWEST_CELLS,
    LARGEST_FACTOR,
    SURE_RATIO,
    TRUSTED_RATIO,
    Balance,
    Composition,
    balanced,
    branches,
)
from scadv_tf.data.linear_guess import Discriminant, LinearGuess
from scadv_tf.data.neighbor_lists import NeighborLists
from scadv_tf.data.normalization import Scale, covariance, moments
from scadv_tf.data.preprocessing import fit
from scadv_tf.data.pseudobulk import Pseudobulk
from scadv_tf.data.rows import DiskRows
from scadv_tf.modalities import MODALITIES

# Factors, by hand.


CELLS = 30_000
SMALLEST_SHARE = 1e-4  # that so many cells tell from none


def of(rna, atac, rna_cells=CELLS, atac_cells=CELLS) -> Composition:
    return Composition.of(np.array(rna, float), np.array(atac, float), rna_cells, atac_cells)


def unit_sum(values: np.ndarray) -> np.ndarray:
    return values / values.sum()


def test_equal_shares_need_no_weights():
    found = of([0.5, 0.3, 0.2], [0.5, 0.3, 0.2])
    np.testing.assert_allclose(found.rna_factors, 1)
    np.testing.assert_allclose(found.atac_factors, 1)
    np.testing.assert_array_equal(found.rna_shares, [0.5, 0.3, 0.2])


def test_a_difference_that_a_guess_may_err_by_needs_none():
    ratio = np.array([TRUSTED_RATIO * 0.999, 1 / TRUSTED_RATIO * 1.001, 1.0])
    found = of([0.2, 0.3, 0.5], ratio * [0.2, 0.3, 0.5])
    np.testing.assert_allclose([found.rna_factors, found.atac_factors], 1)


def test_half_way_between_both_bounds_it_counts_half():
    ratio = np.sqrt(TRUSTED_RATIO * SURE_RATIO)
    found = of([0.2, 0.8], [0.2 * ratio, 0.8])
    # A ratio that counts in full would be divided among both sides: its fourth root is half of it.
    np.testing.assert_allclose(found.rna_factors, [ratio**0.25, 1])
    np.testing.assert_allclose(found.atac_factors, [ratio**-0.25, 1])


def test_shares_far_apart_meet_at_their_geometric_mean():
    rna, atac = np.array([0.64, 0.04, 0.32]), np.array([0.16, 0.36, 0.08])
    found = of(rna, atac)
    np.testing.assert_allclose(found.rna_factors, [1 / 2, 3, 1 / 2])
    np.testing.assert_allclose(found.atac_factors, [2, 1 / 3, 2])
    expected = unit_sum(np.sqrt(rna * atac))
    np.testing.assert_allclose(unit_sum(rna * found.rna_factors), expected)
    np.testing.assert_allclose(unit_sum(atac * found.atac_factors), expected)


@pytest.mark.parametrize("seed", range(5))
def test_weighed_shares_are_never_farther_apart(seed):
    random = np.random.default_rng(seed)
    rna, atac = random.dirichlet(np.full(6, 0.5), size=2)
    found = of(rna, atac)
    known = np.minimum(rna, atac) > 10 * SMALLEST_SHARE
    before = np.abs(np.log(atac / rna))
    weighed = (atac * found.atac_factors) / (rna * found.rna_factors)
    assert np.all(np.abs(np.log(weighed))[known] <= before[known] + 1e-9)
    assert np.all(np.abs(np.log(weighed))[known] < np.log(SURE_RATIO))


def test_both_sides_are_alike():
    one, other = of([0.7, 0.05, 0.25], [0.1, 0.6, 0.3]), of([0.1, 0.6, 0.3], [0.7, 0.05, 0.25])
    np.testing.assert_allclose(one.rna_factors, other.atac_factors)
    np.testing.assert_allclose(one.atac_factors, other.rna_factors)


def test_a_type_that_one_side_lacks_fades_on_the_other():
    found = of([0.25, 0.75, 0], [0.25, 0, 0.75])
    ratio = np.sqrt(0.75 / SMALLEST_SHARE)
    assert ratio > LARGEST_FACTOR  # so that the limit is what is seen
    np.testing.assert_allclose(found.rna_factors, [1, 1 / LARGEST_FACTOR, LARGEST_FACTOR])
    np.testing.assert_allclose(found.atac_factors, [1, LARGEST_FACTOR, 1 / LARGEST_FACTOR])
    lesser = of([0.99, 0.01], [1, 0])
    np.testing.assert_allclose(lesser.rna_factors, [1, 0.1])


def test_a_share_below_the_smallest_is_as_good_as_none():
    np.testing.assert_allclose(
        of([0.99, 0.01], [1, SMALLEST_SHARE / 50]).rna_factors, of([0.99, 0.01], [1, 0]).rna_factors
    )


def test_few_cells_do_not_tell_a_rare_type_from_an_absent_one():
    # 3 of 100 ATAC cells may be none by chance: a share of .04 in RNA is no sure difference.
    rna, atac = [0.96, 0.04], [1, 0]
    np.testing.assert_allclose(of(rna, atac, 1000, 100).rna_factors, 1)
    # 3 of 1,000 are 13 times less: in full, both sides meet at the root.
    found = of(rna, atac, 1000, 1000)
    np.testing.assert_allclose(found.rna_factors, [1, np.sqrt(0.003 / 0.04)])
    np.testing.assert_allclose(found.atac_factors, [1, np.sqrt(0.04 / 0.003)])
    # Nor do few RNA cells tell it: 1 of 50 may as well be 3.
    np.testing.assert_allclose(of([0.98, 0.02], [0.92, 0.08], 50, 1000).rna_factors, 1)
    assert FEWEST_CELLS == 3


@pytest.mark.parametrize("share", [0, 1e-5, 0.0005, 0.001, 0.005])
def test_like_shares_stay_as_they_are_with_few_cells_beside_many(share):
    """Three of 300 cells are more than the share; of 20,000 they are less."""
    for sizes in ((20_000, 300), (300, 20_000)):
        found = of([1 - share, share], [1 - share, share], *sizes)
        np.testing.assert_allclose(found.rna_factors, 1)
        np.testing.assert_allclose(found.atac_factors, 1)
    # None of 300 cells is no less than .004 of 20,000; .04 is, since 12 would be expected.
    lost = of([0.996, 0.004], [1, 0], 20_000, 300)
    np.testing.assert_allclose(lost.rna_factors, 1)
    np.testing.assert_allclose(of([0.96, 0.04], [1, 0], 20_000, 300).rna_factors[1], 0.5)


@pytest.mark.parametrize("seed", range(5))
def test_the_more_cells_the_further_apart_shares_can_be_told(seed):
    rna, atac = np.random.default_rng(seed).dirichlet(np.full(6, 0.2), size=2)
    sizes = [of(rna, atac, n, n).atac_factors for n in (30, 300, 3000)]
    spreads = [np.abs(np.log(factors)) for factors in sizes]
    assert np.all(spreads[0] <= spreads[1] + 1e-9) and np.all(spreads[1] <= spreads[2] + 1e-9)


def test_weights_by_hand():
    found = of([0.64, 0.04, 0.32], [0.16, 0.36, 0.08])  # 1/2, 3, 1/2 and 2, 1/3, 2
    labels = np.array([0, 1, 2, 0])
    types = np.array([[1, 0, 0], [0, 1, 0], [0.25, 0.75, 0]])
    weights = found.weights(labels, types)
    np.testing.assert_allclose(weights["rna"], np.array([0.5, 3, 0.5, 0.5]) / 1.125, rtol=1e-6)
    atac = np.array([2, 1 / 3, 0.75])
    np.testing.assert_allclose(weights["atac"], atac / atac.mean(), rtol=1e-6)
    for values in weights.values():
        assert values.dtype == np.float32 and values.mean() == pytest.approx(1, rel=1e-6)


# In rounds.

# Eight types, the first of which is ten times as frequent among the ATAC cells.
TYPES = 8
RNA_SHARES = np.array([0.03] + 7 * [0.97 / 7])
ATAC_SHARES = np.array([0.3] + 7 * [0.1])


@dataclasses.dataclass(frozen=True, eq=False)
class Pair:
    """Two modalities of cells of a few types, and how either is standardised."""

    values: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]

    @classmethod
    def drawn(cls, cells=(800, 600), genes: int = 60, seed: int = 0) -> Pair:
        """The ATAC cells are of another composition, and each gene has another mean and spread."""
        random = np.random.default_rng(seed)
        centers = 3.0 * (random.random((TYPES, genes)) < 0.3)
        labels = {
            name: random.permutation(
                np.repeat(np.arange(TYPES), np.round(shares * count).astype(int))
            )
            for name, shares, count in zip(
                MODALITIES, (RNA_SHARES, ATAC_SHARES), cells, strict=True
            )
        }
        values = {
            name: centers[codes] + random.normal(size=(len(codes), genes))
            for name, codes in labels.items()
        }
        shift, spread = random.normal(size=genes), random.uniform(0.5, 2, size=genes)
        values["atac"] = shift + spread * values["atac"]
        return cls(values, labels)

    def features_of(self, weights) -> tuple[np.ndarray, np.ndarray]:
        return tuple(
            Scale.of(self.values[name], weights[name]).apply(self.values[name])
            for name in MODALITIES
        )

    def balance(self, neighbors=None) -> Balance:
        found = self.balanced(TYPES, neighbors)
        guess = LinearGuess.fit(self.features_of(found[1])[0], self.labels["rna"], TYPES)
        return Balance(found[0], guess, found[1])

    def balanced(self, types: int, neighbors=None):
        """What the composition is found to be, and the weights."""
        rna, atac = (self.values[name] for name in MODALITIES)
        labels, cells = self.labels["rna"], self.cells("atac")
        profile = Pseudobulk.of(rna, atac.mean(axis=0), labels, types)
        return balanced(self.features_of, labels, types, neighbors, cells, profile)

    def cells(self, name: str) -> int:
        return len(self.labels[name])

    def gap(self, weights) -> float:
        """How far apart the means of a type's standardised cells are in both modalities."""
        features = dict(zip(MODALITIES, self.features_of(weights), strict=True))
        means = [
            np.stack([features[name][self.labels[name] == t].mean(axis=0) for t in range(TYPES)])
            for name in MODALITIES
        ]
        return float(np.sqrt(np.mean((means[0] - means[1]) ** 2)))

    def shares(self, name: str, weights=None) -> np.ndarray:
        """Known shares of the types, of weighed cells."""
        return unit_sum(np.bincount(self.labels[name], weights))


@pytest.fixture(scope="module")
def pair() -> Pair:
    return Pair.drawn()


@pytest.fixture(scope="module")
def balance(pair) -> Balance:
    return pair.balance()


def equal_weights(pair: Pair) -> dict[str, np.ndarray]:
    return {name: np.ones(pair.cells(name), np.float32) for name in MODALITIES}


def test_guessed_shares_come_near_the_true_ones(pair, balance):
    known = pair.shares("atac")
    np.testing.assert_allclose(balance.composition.rna_shares, pair.shares("rna"))
    np.testing.assert_allclose(balance.composition.atac_shares, known, atol=0.07)
    assert balance.composition.atac_shares[0] > 7.5 * balance.composition.rna_shares[0]
    apart = np.abs(known - pair.shares("rna")).sum()
    assert np.abs(balance.composition.atac_shares - known).sum() < 0.3 * apart


def test_later_rounds_guess_better_than_the_first(pair, balance):
    first = Discriminant.fit(pair.features_of(equal_weights(pair))[0], pair.labels["rna"], TYPES)
    guessed = first(pair.features_of(equal_weights(pair))[1]).mean(axis=0)
    known = pair.shares("atac")
    better = np.abs(balance.composition.atac_shares - known).sum()
    assert better < 0.7 * np.abs(guessed - known).sum()


def test_weighed_modalities_have_nearly_one_composition(pair, balance):
    weighed = [pair.shares(name, balance.weights[name]) for name in MODALITIES]
    plain = [pair.shares(name) for name in MODALITIES]
    assert np.abs(np.subtract(*weighed)).sum() < 0.4 * np.abs(np.subtract(*plain)).sum()
    for name in MODALITIES:
        assert balance.weights[name].mean() == pytest.approx(1, rel=1e-5)
        assert balance.weights[name].min() > 0


def test_weighed_scales_bring_types_of_both_modalities_together(pair, balance):
    assert pair.gap(balance.weights) < 0.6 * pair.gap(equal_weights(pair))


def test_cells_of_one_composition_keep_nearly_equal_weights():
    drawn = Pair.drawn()
    # The same cells, measured otherwise.
    atac, labels = 2 * drawn.values["rna"] + 3, drawn.labels["rna"]
    same = Pair(drawn.values | {"atac": atac}, drawn.labels | {"atac": labels})
    for values in same.balance().weights.values():
        np.testing.assert_allclose(values, 1, atol=0.02)


# From several beginnings.


def test_branches_by_hand():
    """Types 4 and 1 are joined first, then type 0; type 7 has too few cells to be missed."""
    place = {4: 0.0, 1: 1.0, 0: 4.0, 7: 20.0}
    labels = np.repeat([4, 1, 0, 7], [30, 25, 35, 10])
    features = np.array([[place[code], 0] for code in labels])
    found = {tuple(sorted(branch)) for branch in branches(features, labels)}
    assert found == {(4,), (1,), (0,), (1, 4), (0, 1, 4)}
    assert branches(features[:30], labels[:30]) == []


def test_a_branch_without_which_too_few_cells_are_left_is_none():
    labels = np.repeat([0, 1], [91, 9])
    assert branches(np.arange(100.0)[:, None], labels) == []


KINDS = np.array([0, 1, 2, 2, 2, 2])  # of six types: four are of one kind, as those of T cells
KIND_CELLS = np.array([300, 150, 140, 140, 140, 130])


def of_kinds(atac_cells: list[int], seed: int = 0, genes: int = 60) -> Pair:
    """RNA cells of three kinds, and so many ATAC cells of each type, measured otherwise."""
    random = np.random.default_rng(seed)
    kinds = random.normal(size=(3, genes))
    centers = kinds[KINDS] + 0.4 * random.normal(size=(TYPES - 2, genes))
    counts = KIND_CELLS, atac_cells
    labels = {
        m: np.repeat(np.arange(TYPES - 2), n) for m, n in zip(MODALITIES, counts, strict=True)
    }
    values = {m: centers[at] + random.normal(size=(len(at), genes)) for m, at in labels.items()}
    values["atac"] += random.normal(size=centers.shape)[labels["atac"]]
    return Pair(values, labels)


def guessed_shares(pair: Pair) -> np.ndarray:
    return pair.balanced(TYPES - 2)[0].atac_shares


@pytest.mark.parametrize("seed", range(4))
def test_a_kind_that_most_rna_cells_are_of_is_not_found_where_it_lacks(seed, monkeypatch):
    pair = of_kinds([430, 70, 0, 0, 0, 0], seed)
    assert guessed_shares(pair)[2:].sum() < 0.05
    monkeypatch.setattr(composition, "branches", lambda *_: [])
    assert guessed_shares(pair)[2:].sum() > 0.5


@pytest.mark.parametrize("seed", range(4))
def test_cells_of_one_kind_are_not_surely_taken_for_others(seed, monkeypatch):
    """Without that kind, all would be of another, beyond doubt."""
    pair = of_kinds([0, 0, 125, 125, 125, 125], seed)
    assert guessed_shares(pair)[2:].sum() > 0.7
    monkeypatch.setattr(composition, "AS_CLOSE", 0.0)
    assert guessed_shares(pair)[2:].sum() < 0.1


def ended(doubt: float, closeness: float, likeness: float) -> composition._Settled:
    return composition._Settled(None, {}, doubt, closeness, likeness)


def test_of_ends_that_the_mean_cell_is_far_liker_to_the_surest_counts():
    """Among those that are about as like; even where cells lie far from the means of types."""
    found = ended(1.0, 1.0, -0.1)
    liker, surer, sure = ended(0.9, 1.0, 0.2), ended(0.6, 0.4, 0.16), ended(0.1, 1.0, 0.1)
    assert composition._best(found, [sure, liker, surer], by_chance=0.05) is surer
    # What few genes say may be chance: then the surest that is as close counts.
    assert composition._best(found, [sure, liker, surer], by_chance=0.5) is sure
    assert composition._best(found, [liker, surer], by_chance=0.5) is found
    assert composition._best(found, [], by_chance=0.05) is found


def test_of_ends_that_are_as_like_one_counts_if_it_is_far_surer_and_as_close():
    found = ended(1.0, 1.0, 0.1)
    far, near = ended(0.5, 0.8, 0.19), ended(0.7, 0.95, 0.0)
    assert composition._best(found, [far, near, ended(0.8, 1.0, 0.1)], by_chance=0.05) is near


def test_samples_that_are_alike_begin_with_equal_weights(monkeypatch):
    pair = of_kinds([150, 75, 70, 70, 70, 65])
    found = guessed_shares(pair)
    monkeypatch.setattr(composition, "branches", lambda *_: [])
    np.testing.assert_array_equal(found, guessed_shares(pair))


def test_nothing_is_drawn_at_random(pair, balance):
    again = pair.balance()
    for name in MODALITIES:
        np.testing.assert_array_equal(again.weights[name], balance.weights[name])
    for one, other in zip(again.guess.parts, balance.guess.parts, strict=True):
        np.testing.assert_array_equal(one.coefficients, other.coefficients)


def lists_of_pairs(labels: np.ndarray) -> NeighborLists:
    """Each cell has one neighbour, of its type, that weighs as much as itself."""
    near = np.arange(len(labels))
    for code in np.unique(labels):
        (cells,) = np.nonzero(labels == code)
        near[cells] = np.roll(cells, 1)
    weights = np.full((len(labels), 1), 0.5, np.float32)
    return NeighborLists(near[:, None].astype(np.int32), weights)


def test_guesses_are_averaged_over_neighbours(pair):
    lists = lists_of_pairs(pair.labels["atac"])
    found = pair.balance(lists)
    first = pair.labels["atac"] == 0
    spread = [np.std(b.weights["atac"][first]) for b in (found, pair.balance())]
    assert spread[0] < 0.9 * spread[1]
    again = found.of_all(pair.labels["rna"], pair.features_of(found.weights)[1], lists)
    smooth = lists.mean(found.guess(pair.features_of(found.weights)[1]))
    expected = found.composition.weights(pair.labels["rna"], smooth)
    for name in MODALITIES:
        np.testing.assert_array_equal(again.weights[name], expected[name])


def test_weights_of_all_cells_are_those_of_the_sample_where_it_is_all(pair, balance, tmp_path):
    features = pair.features_of(balance.weights)[1]
    stored = DiskRows(tmp_path / "rows", features.shape[1])
    stored[0 : len(features)] = features
    found = balance.of_all(pair.labels["rna"], stored, None)
    np.testing.assert_array_equal(found.weights["rna"], balance.weights["rna"])
    # Those of ATAC come of the final guess alone, the held ones of the guesses of all rounds.
    ours, held = found.weights["atac"], balance.weights["atac"]
    assert np.corrcoef(np.log(ours), np.log(held))[0, 1] > 0.95
    weighed = (pair.shares("atac", weights) for weights in (ours, held))
    np.testing.assert_allclose(*weighed, atol=0.05)
    assert found.composition is balance.composition and found.guess is balance.guess


# In the preprocessing.


def test_weights_go_into_scales_and_components(tissue):
    plain, found = (fit(tissue, settings(balance=on)) for on in (False, True))
    assert plain.balance is None and plain.weights("rna") is None
    for name in MODALITIES:
        expected = Scale.of(found.values(name), found.weights(name))
        np.testing.assert_array_equal(found.preprocessor.scales[name].mean, expected.mean)
        np.testing.assert_array_equal(found.preprocessor.scales[name].deviation, expected.deviation)
        assert found.weights(name).shape == (found.cells(name),)
    labels = tissue.rna_labels
    expected = LinearGuess.fit(found.features["rna"], labels, len(tissue.types))
    for one, other in zip(found.balance.guess.parts, expected.parts, strict=True):
        np.testing.assert_array_equal(one.coefficients, other.coefficients)
    # The directions that the components span hold most of what the weighed cells vary by.
    scales = found.preprocessor.scales
    joint = np.mean(
        [covariance(found.values(n), scales[n], found.weights(n)) for n in MODALITIES], axis=0
    )
    components = found.preprocessor.components.astype(float)
    kept = np.trace(components.T @ joint @ components)
    largest = np.linalg.eigvalsh(joint.astype(float))[-components.shape[1] :].sum()
    assert kept == pytest.approx(largest, rel=1e-4)


@pytest.mark.parametrize("changed", [{"projection_size": 0}, {"untaught": True}], ids=str)
def test_without_types_or_components_cells_are_not_weighed(tissue, changed):
    untaught = changed == {"untaught": True}
    data = dataclasses.replace(tissue, rna_labels=None) if untaught else tissue
    found = fit(data, settings(balance=True, **({} if untaught else changed)))
    assert found.balance is None


# Weighed moments.


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix], ids=["dense", "sparse"])
def test_whole_weights_are_repeated_cells(form):
    random = np.random.default_rng(0)
    values = (random.random((50, 6)) * (random.random((50, 6)) < 0.6)).astype(np.float32)
    weights = random.integers(0, 5, size=50)
    repeated = np.repeat(values, weights, axis=0)
    found = moments(form(values), weights)
    np.testing.assert_allclose(found[0], repeated.mean(axis=0, dtype=float), rtol=1e-6)
    np.testing.assert_allclose(found[1], repeated.std(axis=0, dtype=float), rtol=1e-5)
    for scaled in (1.0, 0.125):  # only how weights compare counts
        scale, expected = Scale.of(form(values), scaled * weights), Scale.of(form(repeated))
        np.testing.assert_allclose(scale.mean, expected.mean, rtol=1e-6)
        np.testing.assert_allclose(scale.deviation, expected.deviation, rtol=1e-5)
    np.testing.assert_allclose(
        covariance(form(values), expected, weights), covariance(form(repeated), expected), atol=1e-5
    )


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix], ids=["dense", "sparse"])
def test_equal_weights_are_none(form):
    values = form(np.random.default_rng(0).poisson(1.0, size=(30, 4)).astype(np.float32))
    for found, expected in zip(moments(values, np.full(30, 2.0)), moments(values), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_moments_by_hand():
    mean, deviation = moments(np.array([[1.0], [5.0]]), np.array([3, 1]))
    assert (mean.tolist(), deviation.tolist()) == ([2.0], [np.sqrt(3)])
