"""Perturbations of paired data leave exactly what they say, and the table tells it right."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scadv_tf.comparison.fingerprint import digest_of
from scadv_tf.comparison.systems import ComparisonConfig
from scadv_tf.config import DataConfig, RunConfig
from scadv_tf.data import preprocessing
from scadv_tf.data.matching_report import MatchingReport
from scadv_tf.data.pairing import AtacTruth, PairedData
from scadv_tf.errors import InputError
from scadv_tf.training import read

sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))

import bench_shift  # noqa: E402
import odd_samples  # noqa: E402
import shift_table  # noqa: E402
import shifts  # noqa: E402

LEVEL = {"B": "B", "CD4": "T", "CD8": "T", "Mono": "Mono", "NK": "T"}
RNA = {"B": 30, "CD4": 80, "CD8": 17, "Mono": 60, "NK": 3}  # T: 100
ATAC = {"": 8, "B": 20, "Mono": 40, "T": 100, "novel": 12}
GENES = 21


@pytest.fixture
def pair():
    """Types as above, at random places; each count tells of its cell: the first gene is its row."""
    rng = np.random.default_rng(0)
    rna, atac = (
        rng.permutation(np.repeat(list(cells), list(cells.values()))) for cells in (RNA, ATAC)
    )

    def counts(cells: int, columns: int) -> sparse.csr_matrix:
        values = rng.poisson(3, (cells, columns)).astype(np.float32)
        values[:, 0] = np.arange(1, cells + 1)
        return sparse.csr_matrix(values)

    names = [
        np.array([f"{side}{i}" for i in range(len(x))]) for side, x in (("r", rna), ("a", atac))
    ]
    data = PairedData(
        rna=counts(len(rna), GENES),
        atac=counts(len(atac), GENES),
        genes=np.array([f"g{i}" for i in range(GENES)]),
        types=tuple(sorted(RNA)),
        rna_labels=np.searchsorted(sorted(RNA), rna).astype(np.int32),
        rna_cells=names[0],
        atac_cells=names[1],
        rna_obs=pd.DataFrame({"cell_type": rna}, index=names[0]),
        atac_obs=pd.DataFrame({"cell_type": atac}, index=names[1]),
        peaks=counts(len(atac), 9),
        matching=MatchingReport(len(rna), len(atac), GENES, GENES, GENES, {}, 0),
    )
    return data, AtacTruth(atac, dict(LEVEL))


def rng():
    return np.random.default_rng(1)


def numbers(names) -> dict:
    return dict(zip(*(part.tolist() for part in np.unique(names, return_counts=True)), strict=True))


def check_belongs(data: PairedData, truth: AtacTruth) -> None:
    """Everything that is said of a cell is still said of that cell."""
    for side, counts, cells, obs in (
        ("r", data.rna, data.rna_cells, data.rna_obs),
        ("a", data.atac, data.atac_cells, data.atac_obs),
        ("a", data.peaks, data.atac_cells, data.atac_obs),
    ):
        rows = counts[:, 0].toarray().ravel().astype(int) - 1
        assert [f"{side}{row}" for row in rows] == cells.tolist() == obs.index.tolist()
        assert (np.diff(rows) > 0).all()
    assert np.array(data.types)[data.rna_labels].tolist() == data.rna_obs["cell_type"].tolist()
    assert truth.labels.tolist() == data.atac_obs["cell_type"].tolist()
    assert data.rna_labels.dtype == np.int32 and set(truth.level) == set(data.types)


def test_the_largest_types_are_those_that_rna_has_too(pair):
    assert shifts.largest_types(*pair) == ["T", "Mono", "B"]


def test_a_cut_in_atac_leaves_a_tenth_of_its_type_and_all_else(pair):
    data, truth = shifts.cut_atac(*pair, rng(), ("T",), 0.1)
    assert numbers(truth.labels) == ATAC | {"T": 10}
    assert len(data.rna_cells) == sum(RNA.values()) and data.types == pair[0].types
    check_belongs(data, truth)


def test_a_share_leaves_a_cell_and_no_share_none(pair):
    _, truth = shifts.cut_atac(*pair, rng(), ("B", "Mono"), 0.001)
    assert numbers(truth.labels) == ATAC | {"B": 1, "Mono": 1}
    data, truth = shifts.cut_atac(*pair, rng(), ("B",), 0.0)
    assert numbers(truth.labels) == {name: n for name, n in ATAC.items() if name != "B"}
    assert data.types == pair[0].types  # RNA still has them
    check_belongs(data, truth)


def test_a_cut_in_rna_leaves_a_tenth_and_five_cells_of_each_fine_type(pair):
    for seed in range(5):
        data, truth = shifts.cut_rna(*pair, np.random.default_rng(seed), "T", 0.1)
        left = numbers(np.array(data.types)[data.rna_labels])
        assert {name: left[name] for name in ("B", "Mono")} == {"B": 30, "Mono": 60}
        assert left["NK"] == 3 and left["CD8"] >= 5 and left["CD4"] >= 5
        # Ten are drawn; what is missing to five of CD8 and all of NK comes to them.
        assert 10 <= left["NK"] + left["CD8"] + left["CD4"] <= 10 + 3 + 5
        assert numbers(truth.labels) == ATAC
        check_belongs(data, truth)
    data, _ = shifts.cut_rna(*pair, rng(), "Mono", 0.1)
    assert np.sum(data.rna_obs["cell_type"] == "Mono") == 6 and len(data.rna_cells) == 190 - 54


def test_a_sample_has_so_many_cells_and_loses_types_that_are_not_in_it(pair):
    gone = set()
    for seed in range(30):
        data, truth = shifts.sample_cells(*pair, np.random.default_rng(seed), 25)
        assert (len(data.rna_cells), len(data.atac_cells)) == (25, 25)
        assert set(data.types) == set(data.rna_obs["cell_type"])
        gone |= set(pair[0].types) - set(data.types)
        check_belongs(data, truth)
    assert "NK" in gone


def test_thinned_counts_are_whole_and_never_larger_and_three_tenths_in_all(pair):
    data, truth = shifts.thin(*pair, rng(), 0.3)
    for name in ("rna", "atac", "peaks"):
        before, after = getattr(pair[0], name), getattr(data, name)
        assert after.shape == before.shape and after.dtype == np.float32
        assert (before.toarray() >= after.toarray()).all() and after.data.min() >= 1
        assert np.array_equal(after.data, after.data.round())
        assert after.sum() == pytest.approx(0.3 * before.sum(), rel=0.05)
        assert before.sum() > after.sum()
    assert truth is pair[1] and data.genes is pair[0].genes


def test_what_is_no_count_is_kept_or_not():
    values = sparse.csr_matrix(np.random.default_rng(0).random((200, 50)).astype(np.float32))
    found = shifts.thinned(values, 0.3, rng())
    kept = found.toarray() > 0
    np.testing.assert_array_equal(found.toarray()[kept], values.toarray()[kept])
    assert found.nnz == kept.sum() == pytest.approx(0.3 * values.nnz, rel=0.05)


@pytest.fixture(scope="module")
def tissue():
    """Simulated peaks, whose sums are the gene activity. Tests must not change them."""
    return read(RunConfig(data=DataConfig(dataset="synthetic", synthetic_cells=60)))


def test_activity_of_thinned_peaks_is_summed_anew(tissue):
    links = shifts.activity_links(tissue[0])
    data, _ = shifts.thin(*tissue, rng(), 0.3)
    assert (data.peaks @ links != data.atac).nnz == 0
    assert data.atac.sum() == pytest.approx(0.3 * tissue[0].atac.sum(), rel=0.05)
    assert (data.atac.toarray() <= tissue[0].atac.toarray()).all()


def test_activity_that_is_no_sum_of_the_peaks_has_no_links(tissue, pair):
    other = tissue[0].atac.copy()
    other.data[0] += 1
    assert shifts.activity_links(dataclasses.replace(tissue[0], atac=other)) is None
    given = dataclasses.replace(tissue[0].intervals, genes=None)
    assert shifts.activity_links(dataclasses.replace(tissue[0], intervals=given)) is None
    assert shifts.activity_links(pair[0]) is None


def test_half_of_the_genes_is_the_same_half_in_both_modalities(pair):
    data, truth = shifts.halve_genes(*pair, rng())
    kept = np.flatnonzero(np.isin(pair[0].genes, data.genes))
    assert len(kept) == 11 and data.genes.tolist() == pair[0].genes[kept].tolist()
    for name in ("rna", "atac"):
        before, after = getattr(pair[0], name), getattr(data, name)
        np.testing.assert_array_equal(after.toarray(), before.toarray()[:, kept])
    assert data.peaks is pair[0].peaks and truth is pair[1]


def test_the_grid_has_what_the_data_allow(pair):
    names = [shift.name for shift in shifts.grid(*pair)]
    kinds, types = ("atac_10%", "rna_10%", "atac_absent"), ("T", "Mono", "B")
    cut = [f"{kind}:{name}" for kind in kinds for name in types]
    assert names == ["none", *cut, "atac_half_5%", "cells_100", "counts_30%", "genes_50%"]
    alone = AtacTruth(np.where(pair[1].labels == "T", "T", ""), LEVEL)
    names = [shift.name for shift in shifts.grid(pair[0], alone)]
    assert names[:3] == ["none", "atac_10%:T", "rna_10%:T"] and names[3] == "cells_100"


def of_two_lineages(pair):
    """The same pair, in which CD4, CD8 and NK cells share what they express, and Mono and B."""
    data, truth = pair
    lymphoid = np.isin(np.array(data.types)[data.rna_labels], ("CD4", "CD8", "NK"))
    counts = np.ones(data.rna.shape, np.float32)
    counts[lymphoid, :10] = 50
    counts[~lymphoid, 10:] = 50
    b = np.array(data.types)[data.rna_labels] == "B"
    counts[b, 20] = 5
    return dataclasses.replace(data, rna=sparse.csr_matrix(counts)), truth


def test_lineages_are_branches_of_the_rna_types_that_labels_do_not_cut_through(pair):
    data, truth = of_two_lineages(pair)
    # Of 190 cells 100, of which CD4 alone shares its label with others, 90, and 60 of these.
    assert shifts.lineages(data, truth) == [("T",), ("Mono", "B"), ("Mono",)]
    fine = AtacTruth(truth.labels, {name: name for name in LEVEL})
    # Without CD4 alone, which has most cells in common with its lineage.
    assert shifts.lineages(data, fine) == [("CD4", "CD8", "NK"), ("Mono", "B"), ("Mono",)]
    half = AtacTruth(truth.labels, {"B": "B", "CD4": "T", "CD8": "T", "Mono": "T", "NK": "T"})
    assert shifts.lineages(data, half) == []


def test_samples_lack_a_lineage_or_are_of_one_alone(pair):
    found = {shift.name: shift for shift in shifts.of_lineages(*of_two_lineages(pair))}
    both = "Mono and 1 alike"
    assert list(found) == [
        "rna_lacks:T", "atac_lacks:T", f"rna_lacks:{both}", f"atac_lacks:{both}",
        "rna_lacks:Mono", "atac_lacks:Mono",
        "atac_only:T", "atac_only:Mono", "atac_only:B", f"atac_only:{both}",
    ]  # fmt: skip
    left = {name: shift.apply(*pair, 0) for name, shift in found.items()}
    for data, truth in left.values():
        assert data.rna_labels.dtype == np.int32 and set(truth.level) == set(data.types)
    scored = {name: numbers(truth.labels) for name, (_, truth) in left.items()}
    assert scored["rna_lacks:T"] == {"": 120, "B": 20, "Mono": 40}  # all cells stay
    assert left["rna_lacks:T"][0].types == ("B", "Mono")
    assert scored["atac_lacks:T"] == {"": 20, "B": 20, "Mono": 40}
    assert scored[f"atac_only:{both}"] == {"B": 20, "Mono": 40}
    assert scored["atac_only:B"] == {"B": 20}
    alone = left["atac_only:B"][0]
    assert alone.types == pair[0].types and len(alone.rna_cells) == 190


def applied(pair, name: str, seed: int = 0):
    (shift,) = [shift for shift in shifts.grid(*pair) if shift.name == name]
    return shift.apply(*pair, seed)


def test_every_second_type_in_order_of_size_becomes_rare(pair):
    _, truth = applied(pair, "atac_half_5%")
    assert {name: numbers(truth.labels)[name] for name in ("T", "Mono", "B")} == {
        "T": 100, "Mono": 2, "B": 20
    }  # fmt: skip


def test_a_row_is_drawn_by_its_name_and_seed_alone(pair):
    names = [shift.name for shift in shifts.grid(*pair)][1:]
    for name in names:
        first, again, other = (applied(pair, name, seed)[0] for seed in (0, 0, 1))
        same = [(first.rna != again.rna).nnz, (first.atac != again.atac).nnz]
        assert same == [0, 0] and first.atac_cells.tolist() == again.atac_cells.tolist()
        if "absent" not in name:
            drawn = [
                (d.rna.sum(), d.atac.sum(), *d.rna_cells, *d.atac_cells, *d.genes)
                for d in (first, other)
            ]
            assert drawn[0] != drawn[1]
    cells = [set(applied(pair, name)[0].atac_cells) for name in ("atac_10%:T", "atac_absent:T")]
    assert len(cells[0] - cells[1]) == 10 and not cells[1] - cells[0]


def test_labels_that_no_rna_type_stands_for_never_count(pair):
    data, truth = applied(pair, "none")
    assert shifts.orphans(*pair).sum() == 12 and len(data.atac_cells) == sum(ATAC.values())
    assert numbers(truth.labels) == {"": 20, "B": 20, "Mono": 40, "T": 100}
    without_b = np.flatnonzero(pair[0].rna_obs["cell_type"] != "B")
    cut = shifts.chosen_cells(*pair, without_b, np.arange(len(pair[1].labels)))
    assert "B" not in cut[0].types
    assert numbers(shifts.without_orphans(*cut)[1].labels) == {"": 40, "Mono": 40, "T": 100}


def test_a_row_that_leaves_nothing_to_transfer_is_refused(pair):
    def one_type(data, truth, rng):
        cells = np.flatnonzero(data.rna_obs["cell_type"] == "B")
        return shifts.chosen_cells(data, truth, cells, np.arange(len(truth.labels)))

    shift = shifts.Shift("only_b", one_type)
    with pytest.raises(InputError, match="'only_b' leaves nothing") as caught:
        shift.apply(*pair, 0)
    assert caught.value.received == "1 RNA types, 20 such ATAC cells"
    # In the grid it is a failed row of each system, and the next perturbation runs.
    chosen = ComparisonConfig(systems=("linear", "svm"))
    rows = list(bench_shift.rows_of(shift, *pair, [RunConfig()], chosen, Path("not_used")))
    assert [(found["row"], found["system"]) for found in rows] == [
        ("only_b", "linear"), ("only_b", "svm")
    ]  # fmt: skip
    assert "leaves nothing" in shift_table.line_of(rows[0], "pbmc")["error"]


def test_rows_are_chosen_by_the_beginning_of_their_names(pair):
    grid = shifts.grid(*pair)
    found = bench_shift.chosen_shifts(grid, ["genes", "atac_10%:"])
    names = [shift.name for shift in found]
    assert names == ["atac_10%:T", "atac_10%:Mono", "atac_10%:B", "genes_50%"]
    assert bench_shift.chosen_shifts(grid, []) == grid
    with pytest.raises(InputError, match="--rows names") as caught:
        bench_shift.chosen_shifts(grid, ["none", "cells_7"])
    assert caught.value.received == "--rows=cells_7"


def test_without_a_process_of_its_own_a_system_runs_in_this_one():
    outcome = bench_shift.run_here(lambda *given: (os.getpid(), *given), 1, 2, imports=["json"])
    assert outcome.value == (os.getpid(), 1, 2) and outcome.error is None
    assert outcome.seconds > 0 and outcome.outside_seconds > 0


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (
            InputError(what="too few", expected="e", received="r", advice="a"),
            "too few\n  expected: e\n  received: r\n  what to do: a",
        ),
        (MemoryError("too few"), "MemoryError: too few"),
    ],
)
def test_what_a_system_raises_in_this_process_is_told(failure, error):
    def fail():
        raise failure

    outcome = bench_shift.run_here(fail)
    assert outcome.error == error and outcome.value is None


def cells_like(before, after) -> np.ndarray:
    """Which cells have the same counts before and after, bool [cells]."""
    return (before.toarray() == after.toarray()).all(axis=1)


def unchanged(before, after, *names: str) -> bool:
    """Whether all but the named fields are the very same objects."""
    fields = {field.name for field in dataclasses.fields(before)} - set(names)
    return all(getattr(before, name) is getattr(after, name) for name in fields)


def test_doublets_are_the_sum_of_two_cells_in_genes_and_peaks_alike(pair):
    data, truth = odd_samples.mix_in_doublets(*pair, rng(), 0.3)
    assert truth is pair[1] and unchanged(pair[0], data, "atac", "peaks")
    mixed = np.flatnonzero(~cells_like(pair[0].atac, data.atac))
    assert len(mixed) == 54  # of 180
    # The first gene and the first peak tell which cell was added: its row and one.
    added = (data.atac - pair[0].atac).toarray()[mixed]
    second = added[:, 0].astype(int) - 1
    assert (second != mixed).all() and len(set(second)) > 40
    np.testing.assert_array_equal(added, pair[0].atac.toarray()[second])
    peaks = (data.peaks - pair[0].peaks).toarray()
    np.testing.assert_array_equal(peaks[mixed], pair[0].peaks.toarray()[second])
    assert not np.delete(peaks, mixed, axis=0).any()


def test_activity_of_odd_cells_is_the_sum_of_their_peaks(tissue):
    links = shifts.activity_links(tissue[0])
    for function in (odd_samples.mix_in_doublets, odd_samples.blur):
        data, _ = function(*tissue, rng(), 0.5)
        assert (data.atac != tissue[0].atac).nnz > 0
        assert (data.peaks @ links != data.atac).nnz == 0


def test_half_of_the_counts_fall_on_features_of_the_mean_profile(pair):
    data, truth = odd_samples.blur(*pair, rng(), 0.5)
    assert truth is pair[1] and unchanged(pair[0], data, "atac", "peaks")
    for name in ("atac", "peaks"):
        before, after = getattr(pair[0], name).toarray(), getattr(data, name).toarray()
        np.testing.assert_array_equal(after.sum(axis=1), before.sum(axis=1))
        assert after.dtype == np.float32 and np.array_equal(after, after.round())
        assert after.sum(axis=0) == pytest.approx(before.sum(axis=0), rel=0.15)
    # A cell of one gene keeps half of its counts there, and what is drawn of it anew: 3 of 4 genes
    # have an eighth of all counts each, the fourth has five.
    counts = np.zeros((8, 4), np.float32)
    counts[np.arange(8), [0, 1, 2, 3, 3, 3, 3, 3]] = 4000
    blank = AtacTruth(np.full(8, ""), {})
    lone = dataclasses.replace(pair[0], atac=sparse.csr_matrix(counts), peaks=None)
    found = odd_samples.blur(lone, blank, rng(), 0.5)[0].atac.toarray()
    eighth = 4000 / 16
    expected = np.tile([eighth, eighth, eighth, 5 * eighth], (8, 1)) + counts / 2
    np.testing.assert_allclose(found, expected, atol=5 * np.sqrt(1000))


def test_what_is_no_count_moves_as_a_whole(pair):
    values = sparse.csr_matrix(np.random.default_rng(0).random((50, 400)).astype(np.float32))
    data = dataclasses.replace(pair[0], atac=values, peaks=None)
    found = odd_samples.blur(data, pair[1], rng(), 0.5)[0].atac
    np.testing.assert_allclose(found.sum(axis=1), values.sum(axis=1), rtol=1e-5)
    # Half of them stay where they were, alone or beside one that came.
    stayed = np.mean(found.toarray() >= values.toarray() - 1e-6)
    assert 0.5 < stayed < 0.8


def test_a_fifth_of_the_rna_labels_are_of_other_types(pair):
    data, truth = odd_samples.mislabel(*pair, rng(), 0.2)
    assert truth.labels.tolist() == pair[1].labels.tolist() and truth.level == LEVEL
    before, after = (np.array(d.types)[d.rna_labels] for d in (pair[0], data))
    assert np.sum(before != after) == 38  # of 190
    # Of 80 CD4 cells some 16 are named anew, each other type as likely.
    assert set(after[(before == "CD4") & (after != "CD4")]) == {"B", "CD8", "Mono", "NK"}
    assert data.rna_labels.dtype == np.int32 and data.types == pair[0].types
    for name in ("rna", "atac", "peaks"):
        assert (getattr(data, name) != getattr(pair[0], name)).nnz == 0


def test_a_part_of_a_type_counts_as_its_type(pair):
    data, truth = odd_samples.split_types(*pair, rng(), 4)
    assert unchanged(pair[0], data, "types", "rna_labels") and truth.labels is pair[1].labels
    before, after = (np.array(d.types)[d.rna_labels] for d in (pair[0], data))
    assert all(part.startswith(f"{name}, part ") for name, part in zip(before, after, strict=True))
    parts = numbers([name.split(",")[0] for name in np.unique(after)])
    assert parts.pop("NK") <= 3 and parts == {"B": 4, "CD4": 4, "CD8": 4, "Mono": 4}
    assert all(10 <= numbers(after)[f"CD4, part {k}"] <= 30 for k in (1, 2, 3, 4))
    assert list(data.types) == sorted(data.types) and data.rna_labels.dtype == np.int32
    assert set(truth.level) == set(data.types)
    assert truth.coarsen(after).tolist() == [LEVEL[name] for name in before]
    assert not shifts.orphans(data, truth)[truth.labels == "T"].any()
    assert bench_shift.account_of(pair[0].types, data, truth)["types_gone"] == []


def test_a_type_keeps_a_fifth_of_its_counts_and_all_others_theirs(pair):
    data, truth = odd_samples.thin_atac_type(*pair, rng(), "Mono", 0.2)
    assert truth is pair[1] and unchanged(pair[0], data, "atac", "peaks")
    rna, truth = odd_samples.thin_rna_type(*pair, rng(), "T", 0.2)
    assert truth is pair[1] and unchanged(pair[0], rna, "rna")
    in_rna = np.array([LEVEL[name] for name in pair[0].rna_obs["cell_type"]])
    for found, name, of_type in (
        (data, "atac", truth.labels == "Mono"),
        (data, "peaks", truth.labels == "Mono"),
        (rna, "rna", in_rna == "T"),
    ):
        before, after = getattr(pair[0], name), getattr(found, name)
        assert cells_like(before[~of_type], after[~of_type]).all()
        assert (after[of_type].toarray() <= before[of_type].toarray()).all()
        assert after[of_type].sum() == pytest.approx(0.2 * before[of_type].sum(), rel=0.1)


def test_rna_cells_of_other_types_come_to_the_depth_of_the_thinned(pair):
    data, truth = odd_samples.thin_rna_evenly(*pair, rng(), "T", 0.2)
    assert truth is pair[1] and cells_like(data.atac, pair[0].atac).all()
    of_type = truth.coarsen(data.types)[data.rna_labels] == "T"
    depth, before = (np.asarray(each.rna.sum(axis=1)).ravel() for each in (data, pair[0]))
    assert (depth <= before).all()
    typical = np.median(0.2 * before[of_type])
    assert np.median(before[~of_type]) > 3 * typical  # before, types differed
    for cells in (of_type, ~of_type):
        assert np.median(depth[cells]) == pytest.approx(typical, rel=0.2)


def test_odd_rows_are_drawn_by_name_and_seed_and_change_the_data(pair):
    found = odd_samples.of_odd(*pair)
    kinds, types = ("atac_depth", "rna_depth", "rna_evened"), ("T", "Mono", "B")
    assert [shift.name for shift in found] == [
        "atac_doublets_30%", "atac_ambient_50%", "rna_labels_20%", "rna_split_4",
        *(f"{kind}:{name}" for kind in kinds for name in types),
    ]  # fmt: skip
    whole = shifts.without_orphans(*pair)
    for shift in found:
        same = [digest_of(*shift.apply(*pair, seed)) for seed in (0, 0, 1)]
        assert same[0] == same[1] and len({*same, digest_of(*whole)}) == 3


def row(name: str, system: str, seed: int, macro_f1: float, error: float | None = None) -> dict:
    transfer = {"macro_f1": macro_f1, "accuracy": macro_f1 / 2}
    content = {"row": name, "system": system, "seed": seed, "error": None}
    return content | {"label_transfer": transfer, "calibration_error": error}


def test_the_table_has_means_worst_cases_and_the_difference():
    rows = [row("none", s, 0, 1.0) for s in ("scadv", "linear", "svm")]
    rows += [row("cells_100", "scadv", seed, f1, 0.2) for seed, f1 in enumerate((0.5, 0.7))]
    rows += [row("cells_100", s, 0, f1, 0.1) for s, f1 in (("linear", 0.4), ("svm", 0.5))]
    rows += [row("genes_50%", "scadv", 0, 0.8, 0.4), row("genes_50%", "linear", 0, 0.9, 0.3)]
    rows += [{"row": "genes_50%", "system": "svm", "seed": 0, "error": "it failed"}]
    lines = shift_table.table_of(rows, ["scadv", "linear", "svm"])
    cells = [[c.strip() for c in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
    found = {line[0]: line[1:] for line in cells}
    assert found["none"] == ["1.000 / 0.500 / –"] * 3 + ["+0.000"]
    assert found["cells_100"][0] == "0.600 / 0.300 / 0.200" and found["cells_100"][3] == "+0.100"
    assert found["genes_50%"][2:] == ["– / – / –", "-0.100"]
    assert found["worst"][:2] == ["0.600 / 0.300 / 0.400", "0.400 / 0.200 / 0.300"]
    assert found["mean"] == [
        "0.700 / 0.350 / 0.300", "0.650 / 0.325 / 0.200", "0.500 / 0.250 / 0.100", "+0.050"
    ]  # fmt: skip
    assert lines[-1] == "- genes_50%, svm, seed 0"
    assert shift_table.mean_line_of("cells_100", rows, ["scadv", "svm"], "pbmc") == {
        "dataset": "pbmc", "row": "cells_100", "mean_macro_f1": {"scadv": 0.6, "svm": 0.5}
    }  # fmt: skip


@pytest.mark.slow
def test_sorted_cells_are_known_for_what_they_are():
    """Myeloid cells alone beside the RNA of all blood: begun with equal weights, T cells are found
    among them."""
    config = RunConfig.of(dataset="pbmc")
    data, truth = read(config)
    kept = np.flatnonzero(truth.labels == "Myeloid")
    data, truth = shifts.chosen_cells(data, truth, np.arange(len(data.rna_cells)), kept)
    cells = preprocessing.fit(data, config.preprocessing, 0)
    guessed = cells.balance.guess.voted(cells.features["atac"], cells.neighbors).argmax(axis=1)
    labels = truth.coarsen(np.array(data.types)[guessed])
    assert np.mean(labels == "Myeloid") > 0.9
    shares = dict(zip(data.types, cells.balance.composition.atac_shares, strict=True))
    assert shares["CD14+ Mono"] + shares["FCGR3A+ Mono"] + shares["DC"] > 0.9
