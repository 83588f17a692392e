"""What the query measures, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from scadv_tf.config import DataConfig
from scadv_tf.data.levels import held_levels
from scadv_tf.data.measures import (
    KINDS,
    METHYLATION,
    PROTEIN,
    REPRESSIVE_MARK,
    Measure,
    centred_log_ratio,
)
from scadv_tf.data.normalization import Scale, log_normalize

NAN = np.nan
COUNTS = sparse.csr_matrix([[0.0, 1, 3, 0], [5, 0, 0, 2], [0, 0, 0, 0]], dtype=np.float32)


def of(kind: str, direction: str = "auto", name: str = "") -> Measure:
    return Measure.of(DataConfig(query_kind=kind, query_direction=direction, modality_name=name))


def test_the_setting_offers_every_kind():
    field = DataConfig.__dataclass_fields__["query_kind"]
    assert field.metadata["choices"] == tuple(KINDS) and Measure() == of(field.default)


def test_directions_and_names_of_the_kinds():
    assert {kind: of(kind).direction for kind in KINDS} == {
        "accessibility": 1, "expression": 1, "protein": 1, "methylation": 0, "repressive_mark": -1,
    }  # fmt: skip
    assert of(METHYLATION, "same").direction == 1 == -of(PROTEIN, "opposite").direction
    assert of(PROTEIN, name="ADT").name == "ADT" and of("accessibility").name == "ATAC"


def test_the_centred_log_ratio_by_hand():
    two, three = np.log(2), np.log(4)
    mean = (two + three) / 4
    found = centred_log_ratio(COUNTS).toarray()
    np.testing.assert_allclose(found[0], [-mean, two - mean, three - mean, -mean], rtol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 0, atol=1e-6)
    assert not found[2].any()  # nothing was counted


@pytest.mark.parametrize("kind", ["accessibility", "expression", REPRESSIVE_MARK])
def test_counts_become_comparable_as_those_of_rna(kind):
    measure = of(kind).learned(COUNTS, COUNTS)
    np.testing.assert_array_equal(
        measure.comparable(COUNTS).toarray(), log_normalize(COUNTS).toarray()
    )


def test_levels_by_hand():
    levels = held_levels(np.array([[0.2, 0.8, NAN], [0.4, NAN, 1.0], [NAN, NAN, NAN]]))
    measure = of(METHYLATION, "opposite").learned(COUNTS[:, :3], levels)
    np.testing.assert_allclose(measure.expected, [0.3, 0.8, 1.0], rtol=1e-5)
    # Cell 1 lies 0.1 below in one of its two genes, so 0.05 below as a whole; cell 2 above.
    found = measure.comparable(levels).toarray()
    np.testing.assert_allclose(found, [[-0.05, 0.05, 0], [0.05, 0, -0.05], [0, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(measure.activity(levels).toarray(), -found)


def test_a_cell_that_is_more_methylated_all_over_is_like_another():
    levels = np.random.default_rng(0).uniform(0.2, 0.6, (2, 50)).astype(np.float32)
    levels[1] = levels[0] + 0.3
    measure = of(METHYLATION, "opposite").learned(COUNTS, held_levels(levels))
    first, second = measure.comparable(held_levels(levels)).toarray()
    np.testing.assert_allclose(first, second, atol=1e-5)


def test_less_means_more_by_a_scale_that_is_turned():
    values = log_normalize(COUNTS)
    same, turned = of("expression").scale(values, None), of(REPRESSIVE_MARK).scale(values, None)
    dense = values.toarray()
    np.testing.assert_array_equal(same.apply(dense), Scale.of(values).apply(dense))
    np.testing.assert_array_equal(turned.apply(dense), -same.apply(dense))


@pytest.mark.parametrize(("slope", "direction"), [(-0.5, -1), (0.5, 1)])
def test_the_direction_is_learned_from_the_means_of_genes(slope, direction):
    rng = np.random.default_rng(1)
    expression = rng.gamma(1.0, 2.0, 400)
    rna = sparse.csr_matrix(rng.poisson(expression, (60, 400)).astype(np.float32))
    level = np.clip(0.5 + slope * (expression / expression.max() - 0.2), 0, 1)
    levels = held_levels((rng.binomial(9, level, (50, 400)) / 9).astype(np.float32))
    found = of(METHYLATION).learned(rna, levels)
    assert found.direction == direction == np.sign(found.correlation)
    assert found.genes == np.sum(rna.sum(axis=0) > 0) > 390
    assert abs(found.correlation) > 0.8 and not found.doubt()
    word = "less" if direction < 0 else "more"
    assert found.account().startswith(f"methylation: {word} counts as more expression")


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_genes_that_no_cell_covers_have_no_say_in_the_direction(share):
    """Of lowly expressed genes few sites are covered; a level of 0 would make them the lowest."""
    rng = np.random.default_rng(2)
    expression = np.sort(rng.gamma(1.0, 2.0, 400))
    rna = sparse.csr_matrix(rng.poisson(expression, (60, 400)).astype(np.float32))
    level = 0.9 - 0.5 * expression / expression.max()
    levels = (rng.binomial(9, level, (50, 400)) / 9).astype(np.float32)
    uncovered = int(400 * share)
    levels[:, :uncovered] = np.nan
    found = of(METHYLATION).learned(rna, held_levels(levels))
    counted = np.asarray(rna.sum(axis=0)).ravel() > 0
    assert found.direction == -1 and found.genes == counted[uncovered:].sum()
    assert found.expected.shape == (400,)


def test_a_direction_that_chance_would_give_is_doubted():
    rng = np.random.default_rng(2)
    rna = sparse.csr_matrix(rng.poisson(3, (60, 80)).astype(np.float32))
    levels = held_levels(rng.uniform(0, 1, (50, 80)).astype(np.float32))
    doubt = of(METHYLATION).learned(rna, levels).doubt()
    assert "not clear whether more or less methylation" in doubt and "--query_direction" in doubt
    assert not of(METHYLATION, "opposite").learned(rna, levels).doubt()


def test_levels_vary_among_genes_that_are_covered_as_often():
    rng = np.random.default_rng(3)
    level = np.full((200, 60), 0.5)
    level[:100, ::6] += 0.4
    covered = rng.random((200, 60)) < np.linspace(0.2, 1, 60)
    levels = np.where(covered, level + rng.normal(0, 0.05, level.shape), NAN)
    rank = of(METHYLATION).variability(held_levels(np.clip(levels, 0, 1)))
    others = np.delete(rank, slice(0, None, 6))
    assert rank[::6].min() > 0.75 > 0.5 > np.median(others)
    assert abs(np.corrcoef(others, np.delete(np.arange(60), slice(0, None, 6)))[0, 1]) < 0.3
