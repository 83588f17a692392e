"""Red, amber or green, and which cells are of use."""

from __future__ import annotations

import json
from types import SimpleNamespace

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scadv_tf.data.measures import Measure
from scadv_tf.evaluation.diagnosis import (
    SAMPLED_CELLS,
    Diagnosis,
    diagnose,
    diagnose_new_cells,
    empty_cells,
    line_of,
    sampled_cells,
    usable_cells,
)
from scadv_tf.evaluation.finding import AMBER, NOTE, RED, Finding
from scadv_tf.evaluation.findings import Evidence
from scadv_tf.evaluation.markers import check_markers

LABELS = np.array(["a/b", "a/b", "a/b", "c"], dtype=object)
CONFIDENCE, UNKNOWN = np.array([0.9, 0.4, 0.3, 0.5]), np.array([False, False, True, False])


@pytest.mark.parametrize(
    ("levels", "color"),
    [([], "green"), ([NOTE], "green"), ([AMBER, NOTE], "amber"), ([RED, AMBER], "red")],
)
def test_the_colour_is_that_of_the_worst_finding(levels, color):
    found = Diagnosis([Finding(level, f"This is {level}. More.", "Do.") for level in levels])
    assert found.color == color
    assert found.sentence.endswith(f"This is {color}." if color != "green" else "these results.")
    assert line_of(found.to_dict()) == f"diagnosis: {color.upper()}. {found.sentence}"


def test_a_cell_is_of_no_use_for_one_reason():
    table = usable_cells(LABELS, CONFIDENCE, UNKNOWN)
    assert table.to_dict("index") == {
        "a/b": {"cells": 3, "unknown": 1, "low_confidence": 1, "usable": 1},
        "c": {"cells": 1, "unknown": 0, "low_confidence": 0, "usable": 1},
    }


@pytest.fixture
def found():
    counts = sparse.csr_matrix(np.eye(4, 6, dtype=np.float32) + 1)
    genes = np.array([f"g{i}" for i in range(6)])
    given = counts, counts, genes, ("a/b", "c"), np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0])
    markers = check_markers(*given)
    empty = {"rna": (0, 4), "atac": (1, 5)}
    return diagnose(Evidence({}, {}, LABELS, LABELS, CONFIDENCE, UNKNOWN, markers, empty=empty))


def test_it_is_strict_json_and_comes_back_from_a_file(found, tmp_path):
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["markers"]["by_type"]["c"]["auroc"] is None  # no cell was called so
    assert plain["empty_cells"] == {"rna": 0, "atac": 1}
    adata = anndata.AnnData(uns={"scadv": {"diagnosis": found.to_uns()}})
    adata.write_h5ad(tmp_path / "cells.h5ad")
    back = anndata.read_h5ad(tmp_path / "cells.h5ad").uns["scadv"]["diagnosis"]
    assert back["color"] == found.color and back["reasons"].tolist() == found.texts
    assert back["cells"].index.tolist() == ["a/b", "c"]
    pd.testing.assert_frame_equal(back["marker_dots"], found.markers.dots, check_dtype=False)


def test_cells_without_data_are_counted():
    data = SimpleNamespace(cells={"rna": range(10), "atac": range(20)}.get)
    kept = SimpleNamespace(cells={"rna": range(10), "atac": range(5)}.get)
    assert empty_cells(data, kept) == {"rna": (0, 10), "atac": (15, 20)}


@pytest.mark.parametrize(
    ("matched_how", "counts", "color"),
    [
        ({"exact": 10}, (100, 0, 0, 0), "green"),
        ({"exact": 4, "case": 6}, (100, 0, 0, 0), "red"),  # of another species
        ({"exact": 10}, (100, 6, 0, 0), "amber"),
        ({"exact": 10}, (1000, 900, 0, 0), "red"),  # an unfiltered matrix
        ({"exact": 10}, (1000, 900, 26, 0), "red"),
        ({"exact": 10}, (100, 0, 26, 0), "amber"),
        ({"exact": 10}, (100, 0, 51, 0), "red"),
        ({"exact": 10}, (100, 0, 0, 26), "amber"),
        ({}, (0, 0, 0, 0), "green"),
    ],
)
def test_new_cells(matched_how, counts, color):
    numbers = dict(zip(("cells", "empty", "unknown", "unsure"), counts, strict=True))
    assert diagnose_new_cells("atac", **numbers, matched_how=matched_how).color == color


def test_types_that_no_cell_was_given_have_a_row():
    few = ["T"] * 600
    found = diagnose(Evidence({}, {}, [*few, "B"], few, np.ones(600), np.zeros(600, dtype=bool)))
    assert found.cells.to_dict("index") == {
        "T": {"cells": 600, "unknown": 0, "low_confidence": 0, "usable": 600},
        "B": {"cells": 0, "unknown": 0, "low_confidence": 0, "usable": 0},
    }


@pytest.mark.parametrize(
    ("more", "color", "told"),
    [
        ({"missing": 0.2}, "green", []),
        ({"missing": 0.566}, "amber", ["57% of the model's genes are not in the input"]),
        (
            {"unlike": ("counts", "logarithms")},
            "amber",
            ["trained on counts, and the input has log"],
        ),
    ],
)
def test_new_cells_of_other_genes_or_values_than_the_trainings(more, color, told):
    found = diagnose_new_cells("atac", 100, **more)
    assert found.color == color and len(found.texts) == len(told)
    assert all(part in text for part, text in zip(told, found.texts, strict=True))


def test_of_many_cells_some_are_looked_at():
    cells, rng = SAMPLED_CELLS + 500, np.random.default_rng(0)
    labels = np.arange(cells) % 2
    counts = sparse.csr_matrix(rng.poisson(1 + 3 * (labels[:, None] == np.arange(6) % 2)))
    data = SimpleNamespace(
        rna=counts, atac=counts, genes=np.array([f"g{i}" for i in range(6)]), types=("x", "y"),
        rna_labels=labels, rna_cells=range(cells), atac_cells=range(cells), measure=Measure(),
        peaks=None,
    )  # fmt: skip
    found, depths, repeated = sampled_cells(data, labels, seed=0)
    assert found.by_type["cells"].sum() == SAMPLED_CELLS
    assert found.by_type["auroc"].min() > 0.9
    assert [depth.cells.sum() for depth in depths.values()] == [SAMPLED_CELLS] * 2
    data.rna_labels = None
    assert 0 < repeated < 0.5  # of six small numbers, by chance
    unlabelled, nothing, _ = sampled_cells(data, None, seed=0)
    assert unlabelled.coactivity is None and nothing == {}
