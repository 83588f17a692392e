"""What a new baseline costs: a module with its function, and an entry that names it."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

from scadv_tf.baselines.transfer import Transfer, cells_on_components
from scadv_tf.comparison import systems
from scadv_tf.comparison.contestant import given_to, run_system
from scadv_tf.comparison.systems import ComparisonConfig, settings_of
from scadv_tf.config import RunConfig
from scadv_tf.data import preprocessing
from scadv_tf.data.labels import HEADLINE


def nearest_center(cells, rna_types, seed):
    """The type whose RNA cells have the nearest mean."""
    names = np.unique(rna_types)
    rna, atac = cells.features["rna"], cells.features["atac"]
    centers = np.stack([rna[rna_types == name].mean(axis=0) for name in names])
    distances = ((atac[:, None] - centers) ** 2).sum(axis=-1)
    return Transfer({HEADLINE: names[distances.argmin(axis=1)]}, None, cells_on_components(cells))


@pytest.fixture
def entered(monkeypatch):
    module = types.ModuleType("nearest_center_of_this_test")
    module.SEEDED, module.nearest_center = False, nearest_center
    monkeypatch.setitem(sys.modules, module.__name__, module)
    entry = systems.System("The nearest center.", module.__name__, "nearest_center", denoised=True)
    monkeypatch.setitem(systems.SYSTEMS, "nearest_center", entry)


def test_a_module_and_an_entry_make_a_baseline(entered, cells):
    chosen = ComparisonConfig(systems=("nearest_center",), seeds=2)
    assert not systems.SYSTEMS[chosen.systems[0]].seeded  # so that one row is enough
    data, truth = cells
    config = settings_of("nearest_center", RunConfig.of(projection_size=20))
    prepared = preprocessing.fit(data, config.preprocessing)
    found = run_system("nearest_center", given_to("nearest_center", data, prepared), config)
    labels = found.routes[HEADLINE]
    assert len(labels) == len(data.atac_cells) and set(labels) <= set(data.types)
    assert np.mean(truth.coarsen(labels) == truth.labels) > 0.5  # chance is some 0.2
