"""One modality of a file, read whole as a training reads it."""

from __future__ import annotations

from pathlib import Path

from anndata import AnnData

from scadv_tf.data.cell_files import open_cells
from scadv_tf.data.readers import held
from scadv_tf.data.stored_cells import Called


def read_modality(path: str | Path, modality: str, layer: str = "") -> AnnData:
    """See `open_cells` and `held`."""
    with open_cells(path, modality, layer, called=Called.of(modality)) as source:
        return held(source)
