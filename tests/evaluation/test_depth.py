"""Depth that goes with the type is told of, and depth that varies within types is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scadv_tf.evaluation.data_findings import UNLIKE_DEPTH
from scadv_tf.evaluation.depth import DepthByType
from scadv_tf.evaluation.finding import AMBER
from scadv_tf.evaluation.findings import Evidence, findings

TYPES = ("T", "B", "none")


def of_depths(opened: np.ndarray, labels: np.ndarray) -> DepthByType:
    """Of cells that have so many open genes."""
    counts = np.arange(max(opened)) < np.asarray(opened)[:, None]
    return DepthByType.of(sparse.csr_matrix(counts * 3.0), TYPES, np.asarray(labels))


def test_by_hand():
    """Three in four cells have ten open genes, one eighty: logarithms lie 3 log 2 apart."""
    found = of_depths([10, 10, 10, 80, 5], [0, 0, 0, 1, -1])
    assert found.median.to_dict() == {"T": 10, "B": 80} and list(found.median.index) == ["T", "B"]
    assert found.cells.to_dict() == {"T": 3, "B": 1}
    assert found.spread == pytest.approx(np.log(8) * np.sqrt(3 / 16))


def test_depth_within_types_is_no_difference_between_them():
    """Nor do a single type and cells without an open gene differ from others."""
    assert of_depths([5, 80, 5, 80], [0, 0, 1, 1]).spread == 0
    assert of_depths([5, 80, 20], [0, 0, 0]).spread == 0
    assert of_depths([0, 1], [0, 1]).spread == 0


@pytest.mark.parametrize(("fold", "told"), [(1, False), (2.2, False), (2.3, True), (10, True)])
def test_types_that_differ_more_than_they_do_on_real_pairs(fold, told):
    """Two types of as many cells differ by half of the logarithm of the fold."""
    opened = np.repeat([100, round(100 * fold)], 50)
    depth = of_depths(opened, np.repeat([0, 1], 50))
    assert (depth.spread > UNLIKE_DEPTH) == told
    found = findings(Evidence({}, {}, depths={"RNA": depth}))
    assert [finding.level for finding in found] == [AMBER] * told


def test_it_names_common_types_and_what_to_do():
    opened, labels = np.repeat([30, 90, 5], [60, 60, 3]), np.repeat([0, 1, 2], [60, 60, 3])
    (found,) = findings(Evidence({}, {}, depths={"ATAC": of_depths(opened, labels)}))
    assert "from 30 (T) to 90 (B) genes with counts" in found.text
    assert "--atac_batch_key" in found.advice


def test_where_hardly_a_type_is_common_all_are_named():
    depth = DepthByType(pd.Series({"T": 10.0, "B": 90.0}), pd.Series({"T": 2, "B": 98}), 0.5)
    (found,) = findings(Evidence({}, {}, depths={"RNA": depth}))
    assert "from 10 (T) to 90 (B) genes with counts" in found.text
