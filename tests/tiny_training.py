"""A simulated tissue, and the settings of a model that trains on it in seconds."""

from __future__ import annotations

import pandas as pd

from scadv_tf import PairedData, RunConfig, fit, load_dataset
from scadv_tf.data import preprocessing
from scadv_tf.data.datasets import DatasetSource
from scadv_tf.data.training_cells import TrainingCells

Tissue = tuple[PairedData, TrainingCells]

TINY = {
    "neighbors": 5,
    "lsi_size": 4,
    "projection_size": 8,
    "encoder_sizes": (32, 16),
    "generator_sizes": (16,),
    "atac_discriminator_sizes": (16,),
}


def tissue_for(config: RunConfig, cells: int = 200, difficulty: float = 0.2) -> Tissue:
    """So many cells of each modality, and what a training takes of them."""
    source = DatasetSource(synthetic_cells=cells, synthetic_difficulty=difficulty, seed=3)
    data, _ = load_dataset("synthetic", source)
    return data, preprocessing.fit(data, config.preprocessing)


def outcome(tissue: Tissue, config: RunConfig, fit=fit, **more) -> tuple[list, pd.DataFrame]:
    """Weights and history of a training by `fit`, but for how long it took."""
    data, cells = tissue
    model, history = fit(cells, data.rna_labels, len(data.types), config, **more)
    return model.get_weights(), history.drop(columns=["seconds", "step_seconds"])
