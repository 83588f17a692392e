"""A small simulated input, as a comparison reads it."""

from __future__ import annotations

import pytest

from scadv_tf.config import DataConfig, RunConfig
from scadv_tf.training import read


@pytest.fixture(scope="session")
def cells():
    """Paired data and the known labels of its ATAC cells. Tests must not change them."""
    return read(RunConfig(data=DataConfig(dataset="synthetic", synthetic_cells=50)))
