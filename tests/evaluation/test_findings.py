"""Warnings come exactly when they should."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scadv_tf.data import emptiness
from scadv_tf.data.gene_matching import match_features
from scadv_tf.data.measures import KINDS
from scadv_tf.data.paired_labels import PairedLabels
from scadv_tf.evaluation.data_findings import empty_findings, name_findings
from scadv_tf.evaluation.finding import AMBER, NOTE, RED
from scadv_tf.evaluation.findings import Evidence, calibration_warning, findings, untold_by_findings
from scadv_tf.evaluation.marker_findings import marker_findings
from scadv_tf.evaluation.markers import MarkerCheck
from scadv_tf.evaluation.unmarked_clusters import UnmarkedClusters

RNA = np.repeat(["T", "B"], [600, 400])
GOOD = {"modality_mixing": 0.9, "silhouette_modality": 0.02, "calibration_error": 0.05}
GOOD |= {"agreement": {"classifier": 0.97, "linear": 0.9, "svm": 0.95, "knn": 0.96}}


def told(*given, **named) -> list[str]:
    """Each finding as one text."""
    return [str(finding) for finding in findings(Evidence(*given, **named))]


def test_a_good_run_has_no_warnings():
    found = told(GOOD, {"shared_genes": 1082}, RNA, RNA, np.full(1000, 0.9))
    assert found == []


def test_what_is_not_known_is_not_judged():
    assert told({"modality_mixing": None, "calibration_error": None}, {}) == []
    assert told({}, {}, None, None, None) == []
    assert told({}, {}, RNA, [], []) == []


@pytest.mark.parametrize(
    ("metrics_", "part"),
    [
        ({"modality_mixing": 0.49}, "mix poorly: a cell has 49%"),
        ({"silhouette_modality": 0.26}, "separate groups"),
    ],
)
def test_each_number_past_its_threshold_gives_its_warning(metrics_, part):
    (found,) = told(metrics_, {})
    assert part in found


@pytest.mark.parametrize("metrics_", [{"modality_mixing": 0.5}, {"silhouette_modality": 0.25}])
def test_a_number_at_its_threshold_is_fine(metrics_):
    assert told(metrics_, {}) == []


@pytest.mark.parametrize("route", ["linear", "svm", "knn"])
def test_a_route_that_agrees_on_too_few_cells_gives_a_warning(route):
    others = {"linear": 0.9, "svm": 0.9, "knn": 0.9}
    assert told({"agreement": others | {route: 0.8}}, {}) == []
    (found,) = told({"agreement": others | {route: 0.79}}, {})
    names = {"linear": "linear classifier", "svm": "an SVM", "knn": "nearest RNA cells"}
    doubted = [name for name in names if names[name] in found]
    assert doubted == [route] and "on 21% of the ATAC cells" in found
    assert "predictions.csv" in found and "marker genes" in found


def test_routes_that_disagree_share_one_warning():
    metrics = {"agreement": {"linear": 0.6, "svm": 0.75, "knn": 0.7, "classifier": 0.1}}
    (found,) = told(metrics, {}, RNA, RNA)
    assert (
        "a linear classifier of the same features on 40%, an SVM on the latent vectors on 25% and "
        "the nearest RNA cells on 30% of the ATAC cells." in found
    )


@pytest.mark.parametrize("agreement", [None, {}, {"classifier": 0.2}, {"lsi": 0.2}])
def test_of_the_agreement_only_other_ways_to_the_labels_are_judged(agreement):
    """The classifier is the headline's own voice, without its neighbours."""
    assert told({"agreement": agreement}, {}) == []


def test_poor_mixing_points_first_to_the_alignment():
    for labels in ((), (RNA,)):
        (found,) = told({"modality_mixing": 0.3}, {}, *labels)
        assert found.index("--align_latent") < found.index("--neighbors")
        assert ("--centroid" in found) == bool(labels)


def test_few_shared_genes():
    assert told({}, {"shared_genes": 500}) == []
    (found,) = told({}, {"shared_genes": 499})
    assert "Only 499 genes" in found


@pytest.mark.parametrize(
    ("rna", "atac", "part"),
    [
        (500, 500, None),
        (499, 500, "only 499 RNA cells"),
        (500, 499, "only 499 ATAC cells"),
        (80, 90, "only 80 RNA and 90 ATAC cells"),
    ],
)
def test_few_cells(rna, atac, part):
    found = findings(Evidence({}, {}, ["T"] * rna, ["T"] * atac))
    assert [finding.level for finding in found] == [AMBER] * bool(part)
    assert all(part in finding.text for finding in found)


def test_rare_types_are_named():
    rna = np.repeat(["T", "B", "NK", "pDC", ""], [600, 10, 9, 1, 5])
    (found,) = told({}, {}, rna)
    assert "Fewer than 10 RNA cells are of type NK or pDC" in found


def test_rare_types_that_no_atac_cell_was_given_are_noted():
    rna = np.repeat(["T", "B"], [480, 25])
    (found,) = findings(Evidence({}, {}, rna, ["T"] * 500))
    assert found.level == NOTE and "No ATAC cell was labelled B." in found.text


def test_a_common_type_that_no_atac_cell_was_given_is_a_doubt():
    """As is one that next to none was given."""
    rna = np.repeat(["T", "B"], [475, 25])
    (found,) = findings(Evidence({}, {}, rna, ["T"] * 500))
    assert found.level == AMBER and "B (5.0% of RNA, no ATAC cell)" in found.text


@pytest.mark.parametrize(
    ("atac_share", "warned"), [(2, True), (13, True), (14, False), (60, False)]
)
def test_shares_that_differ_more_than_threefold(atac_share, warned):
    predicted = np.repeat(["B", "T"], [10 * atac_share, 1000 - 10 * atac_share])
    found = told({}, {}, RNA, predicted)
    assert bool(found) == warned
    if warned:
        assert f"B (40.0% of RNA, {atac_share:.1f}% of ATAC cells)" in found[0]


def test_shares_of_types_that_are_rare_in_both_are_not_judged():
    rna = np.repeat(["T", "B"], [990, 10])
    assert told({}, {}, rna, np.repeat(["T", "B"], [960, 40])) == []


def test_many_unsure_cells():
    confidence = np.repeat([0.49, 0.5], [26, 74])
    (found,) = told({}, {}, confidence=confidence)
    assert found.startswith("26% of the cells")
    assert told({}, {}, confidence=np.repeat([0.49, 0.5], [25, 75])) == []


def check(
    coactivity=50.0,
    abundance=0.3,
    genes=1000,
    auroc=(0.9, 0.9),
    cells=(60, 40),
    between=None,
    likeness=0.0,
    alone=(0.05, 0.02),
    unmarked=None,
):
    given = {"cells": cells, "auroc": auroc, "likeness": alone}
    by_type = pd.DataFrame(given, index=["T", "B"])
    return MarkerCheck(genes, abundance, coactivity, by_type, None, between, likeness, unmarked)


def of_markers(found: MarkerCheck, cells: int = 1000) -> list:
    labels = np.repeat(["T", "B"], [cells * 6 // 10, cells * 4 // 10])
    return findings(Evidence({}, {}, labels, labels, markers=found))


def test_markers_that_go_together_are_fine():
    assert of_markers(check()) == []
    assert of_markers(check(coactivity=8.0, abundance=0.0)) == []


@pytest.mark.parametrize(
    ("changes", "cells", "level", "part"),
    [
        ({"coactivity": 7.9}, 1000, AMBER, "only weakly in the ATAC cells (7.9 standard"),
        ({"coactivity": 4.0}, 1000, AMBER, "only weakly"),
        ({"coactivity": 3.9}, 1000, RED, "none of the RNA types, or all of one"),
        ({"coactivity": 7.9, "abundance": 0.07}, 1000, RED, "Either the gene names do not fit"),
        ({"coactivity": 3.9, "abundance": 0.07}, 100, RED, "Either the gene names do not fit"),
        ({"coactivity": 3.9}, 499, AMBER, "too few to tell"),
        ({"coactivity": 3.9, "cells": (91, 9)}, 1000, AMBER, "nearly all cells were called T"),
        ({"coactivity": 3.9, "between": 0.94}, 1000, AMBER, "as RNA types do (by 94%)"),
        ({"coactivity": 3.9, "between": 0.93}, 1000, RED, "none of the RNA types, or all of one"),
    ],
)
def test_markers_that_do_not_go_together(changes, cells, level, part):
    found, *of_few_cells = of_markers(check(**changes), cells)
    assert found.level == level and part in found.text and found.advice
    assert len(of_few_cells) == (cells < 500)


@pytest.mark.parametrize(
    ("between", "level"), [(-0.1, RED), (0.799, RED), (0.8, AMBER), (0.849, AMBER), (0.85, None)]
)
def test_called_types_that_differ_as_cells_of_one_type_do(between, level):
    found = of_markers(check(coactivity=14.9, between=between))
    assert [finding.level for finding in found] == [level] * (level is not None)
    strong = of_markers(check(coactivity=15.0, between=between))
    assert [finding.level for finding in strong] == [AMBER] * (level is not None)
    if found:
        assert f"by {between:.0%} it is what tells RNA types apart" in found[0].text
        assert found[0].advice
    few = of_markers(check(coactivity=14.9, between=between), 499)
    assert len(few) == 1 and "There are only" in few[0].text  # too few to tell more


def test_few_genes_tell_neither_names_nor_types():
    """Most of them are markers of some type: rightly named ones look like shuffled ones."""
    bad = {"coactivity": -1.0, "abundance": 0.0, "between": -0.5, "likeness": -0.9}
    (found,) = of_markers(check(genes=199, **bad))
    assert found.level == AMBER and found.text.startswith("Only 199 genes are measured in both")
    assert [f.level for f in of_markers(check(genes=200, **bad))] == [RED, RED, RED]
    bare = of_markers(check(genes=199, auroc=(0.9, 0.4)))  # what was called so is looked at yet
    assert [f.level for f in bare] == [AMBER, AMBER] and "In the ATAC cells called B" in bare[
        1
    ].text


def test_both_checks_may_fail():
    assert [f.level for f in of_markers(check(coactivity=3.9, between=0.7))] == [RED, RED]
    assert [f.level for f in of_markers(check(coactivity=3.9, between=0.84))] == [RED, AMBER]
    wrong_names = check(coactivity=3.9, abundance=0.07, between=1.0)
    assert [f.level for f in of_markers(wrong_names)] == [RED]


@pytest.mark.parametrize(
    ("likeness", "alone", "genes", "level"),
    [
        (-0.02, (0.05, 0.01), 10_000, None),
        (-0.02, (0.01, 0.07), 10_000, AMBER),
        (-0.02, (0.01, 0.09), 10_000, AMBER),
        (-0.02, (np.nan, 0.11), 10_000, RED),
        (0.2, (0.1, 0.27), 10_000, None),
        # Of 400 genes, five deviations of chance are 0.25.
        (0.0, (0.0, 0.24), 400, None),
        (0.0, (0.0, 0.26), 400, RED),
        (None, (0.9, 0.9), 10_000, None),
    ],
)
def test_a_type_that_all_cells_are_liker_to_than_to_what_they_were_called(
    likeness, alone, genes, level
):
    found = of_markers(check(likeness=likeness, alone=alone, genes=genes))
    assert [finding.level for finding in found] == [level] * (level is not None)
    if found:
        assert "most like B" in found[0].text and "which 40% of them were called" in found[0].text
        assert f"({likeness:.2f})" in found[0].text and "--drop_types" in found[0].advice


def test_types_whose_cells_lack_their_markers_are_named():
    # Two deviations of chance, for 60 and 40 cells: sqrt((1 / 60 + 1 / 40) / 12) = 0.059.
    assert of_markers(check(auroc=(0.63, 0.62))) == []
    (found,) = of_markers(check(auroc=(0.63, 0.61)))
    assert found.level == AMBER and "called B (40% of all)" in found.text
    (rare,) = of_markers(check(auroc=(0.9, 0.5), cells=(960, 40)))
    assert rare.level == NOTE
    assert of_markers(check(auroc=(0.9, 0.1), cells=(960, 9))) == []


def test_without_types_abundances_tell_of_names():
    assert findings(Evidence({}, {}, markers=MarkerCheck(1000, 0.08))) == []
    (found,) = findings(Evidence({}, {}, markers=MarkerCheck(1000, 0.07)))
    assert found.level == AMBER and "0.07" in found.text


def test_names_that_match_by_case_alone_are_red():
    assert name_findings({"exact": 50, "case": 50}) == name_findings({}) == []
    (found,) = name_findings({"exact": 49, "case": 51})
    assert found.level == RED and "51 of 100 gene names" in found.text


@pytest.mark.parametrize(("empty", "level"), [(5, None), (6, AMBER), (49, AMBER), (50, RED)])
def test_barcodes_without_data(empty, level):
    found = empty_findings({"rna": (0, 100), "atac": (empty, 100)})
    assert [finding.level for finding in found] == [level] * bool(level)
    if found:
        assert f"{empty} of 100 ATAC cells" in found[0].text and "unfiltered" in found[0].text


@pytest.mark.parametrize(("share", "level"), [(25, None), (26, AMBER), (50, AMBER), (51, RED)])
def test_cells_that_resemble_no_type(share, level):
    unknown = np.arange(100) < share
    found = findings(Evidence({}, {}, unknown=unknown))
    assert [finding.level for finding in found] == [level] * bool(level)


def test_the_worst_comes_first():
    rna = np.repeat(["T", "NK"], [600, 9])
    found = findings(Evidence({"modality_mixing": 0.1}, {"matched_how": {"case": 9}}, rna))
    assert [finding.level for finding in found] == [RED, AMBER, NOTE]


def test_the_calibration_error_is_told_apart():
    """Known labels tell it, and no diagnosis looks at these."""
    assert findings(Evidence({"calibration_error": 0.9}, {})) == []
    assert calibration_warning(0.15) == calibration_warning(None) == []
    (text,) = calibration_warning(0.16)
    assert "off by 0.16" in text


def test_what_reading_the_data_told_is_not_said_twice():
    counts = sparse.csr_matrix(np.repeat([[9.0] * 30, [0.0] * 30], [9, 1], axis=0))
    told_of_empty = emptiness.warnings(emptiness.with_data(emptiness.opened(counts, counts, None)))
    genes = pd.DataFrame(index=["CD3D", "CD4"]), pd.DataFrame(index=["Cd3d", "Cd4"])
    told_of_case = match_features(*genes, 1).warnings("x")
    types = pd.DataFrame({"type": np.repeat(["T", "B", ""], [20, 9, 3])})
    labels = PairedLabels.of(types, pd.DataFrame(index=["a"]), "type", "", (), supervised=True)
    without_label, told_of_rare = labels.warnings(np.ones(29, dtype=bool))
    assert len(told_of_empty) == 2 and len(told_of_case) == 1 and "B (9)" in told_of_rare
    told_of_labels = [without_label, told_of_rare]
    assert untold_by_findings([*told_of_empty, *told_of_case, *told_of_labels]) == [without_label]


def test_without_types_nothing_is_checked():
    (found,) = findings(Evidence({}, {}, untaught=True))
    assert found.level == AMBER and found.text.startswith("No types were taught")


def test_rna_values_that_are_no_counts_are_noted():
    (found,) = findings(Evidence({}, {}, rna_likeness=0.17))
    assert found.level == NOTE and "no whole numbers" in found.text
    (found,) = findings(Evidence({}, {}, rna_likeness=0.5))
    assert found.level == AMBER and "averaged or imputed (median cosine 0.50" in found.text


def test_clusters_without_their_type_are_told_from_a_twentieth_of_the_cells_on():
    assert of_markers(check(unmarked=UnmarkedClusters(0.049, (1,)))) == []
    (found,) = of_markers(check(unmarked=UnmarkedClusters(0.11, (1, 0))))
    assert found.level == AMBER and found.text.startswith("11% of the ATAC cells lie in clusters")
    assert "(B and T)" in found.text


def test_abundances_as_of_rna_beside_rna_are_told_of_accessibility_alone():
    assert of_markers(check(abundance=0.7)) == []
    (found,) = of_markers(check(abundance=0.98))
    assert found.level == AMBER and "the ATAC cells seem to be RNA" in found.text
    assert marker_findings(check(abundance=0.98), KINDS["expression"], 1000, 1000) == []


@pytest.mark.parametrize("name", ["Doublets", "low quality", "low_quality_2", "T/B multiplet"])
def test_names_of_no_type_are_told(name):
    (found,) = findings(Evidence({}, {}, np.repeat(["T", name], [600, 100])))
    assert found.level == AMBER and found.advice == f"Leave them out: --drop_types={name}."
    assert findings(Evidence({}, {}, np.repeat(["T", "Double negative T"], 500))) == []


def test_cells_that_repeat_are_told():
    assert findings(Evidence({}, {}, repeated=0.04)) == []
    (found,) = findings(Evidence({}, {}, repeated=1.0))
    assert found.level == AMBER and "100% of the ATAC cells have the very counts" in found.text
