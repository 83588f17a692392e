"""How many joint components are learned; what they are: test_preprocessing.py."""

from __future__ import annotations

import pytest

from scadv_tf.data.normalization import number_of_components


@pytest.mark.parametrize(
    ("cells", "most", "expected"),
    [(30, 50, 20), (209, 50, 20), (300, 50, 30), (499, 50, 49), (500, 50, 50), (9000, 50, 50)]
    + [(30, 8, 8), (9000, 60, 60)],
)
def test_few_cells_teach_few_components(cells, most, expected):
    assert number_of_components(cells, most) == expected
