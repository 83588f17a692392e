"""A small simulated tissue, as the baselines get it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from scadv_tf.config import PreprocessingConfig
from scadv_tf.data import preprocessing
from scadv_tf.data.datasets import DatasetSource, assemble
from scadv_tf.data.synthetic import simulate

# Sorted, and full of what R, CSV files and formulas would change.
TYPES = ("CD4+ (naïve)", "Mono_CD14, 1.0", "T/NK cell", "b 'cell'")


@pytest.fixture(scope="session")
def tissue():
    """150 RNA cells, 140 ATAC cells, 400 genes, 4 types, and the truth.

    Attributes: data (PairedData), cells (TrainingCells with 20 components), rna_types [R], truth
    [A], modality [R + A]. Tests must not change them.
    """
    rna, peaks, genes = simulate(150, genes=400, types=4, difficulty=0.3, atac_cells=140)
    source = DatasetSource(label_key="cell_type", min_shared_genes=1)
    data, truth = assemble(rna, peaks, source, genes)
    name_of = dict(zip(data.types, TYPES, strict=True))
    data = replace(data, types=TYPES)
    config = PreprocessingConfig(smoothing_hops=0, projection_size=20)
    return SimpleNamespace(
        data=data,
        cells=preprocessing.fit(data, config),
        rna_types=np.array(TYPES)[data.rna_labels],
        truth=np.array([name_of[name] for name in truth.labels]),
        modality=np.repeat(["rna", "atac"], [150, 140]),
    )
