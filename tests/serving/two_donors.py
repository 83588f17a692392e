"""Cells of two donors."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from scadv_tf.data.pairing import PairedData
from scadv_tf.modalities import MODALITIES


def donors(cells: int) -> pd.Categorical:
    """Every other cell is of one donor."""
    return pd.Categorical(np.where(np.arange(cells) % 2, "old", "new"), ["new", "old"])


def of_donors(tissue: PairedData) -> PairedData:
    """The same cells of two donors, in one of which a third of the genes counts thrice."""
    counts = {}
    for name in MODALITIES:
        values = getattr(tissue, name).toarray()
        values[1::2, ::3] *= 3
        counts[name] = type(tissue.rna)(values)
    batches = {name: donors(each.shape[0]) for name, each in counts.items()}
    return dataclasses.replace(tissue, **counts, batches=batches)
