"""Results back into files that scverse tools read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from scadv_tf.data.pairing import PairedData
from scadv_tf.files import whole_file


def write_integrated(
    path: str | Path,
    data: PairedData,
    labels: dict[str, np.ndarray] | None,
    confidence: dict[str, np.ndarray] | None,
    unknown: dict[str, np.ndarray] | None,
    latent: np.ndarray,
    umap: np.ndarray,
) -> None:
    """Writes both modalities as one .h5ad, RNA cells first, whole or not at all.

    ``X`` holds the counts of the shared genes. ``obs`` holds ``modality``, ``scadv_label``,
    ``scadv_confidence``, ``scadv_unknown``, the cell's own name as ``cell``, and the columns of
    both inputs.

    Parameters
    ----------
    labels, confidence : modality -> predicted type and its probability [cells].
    unknown : modality -> whether the cell resembles no known type, bool [cells].
        All three are None, and their columns left out, where no label was transferred.
    latent : [R + A, Z].
    umap : [R + A, 2].
    """
    import anndata

    parts = {}
    for modality in ("rna", "atac"):
        obs = _plain(getattr(data, f"{modality}_obs"))
        obs["cell"] = getattr(data, f"{modality}_cells")
        obs["modality"] = modality
        if labels is not None:
            obs["scadv_label"] = labels[modality]
            obs["scadv_confidence"] = confidence[modality].astype(np.float32)
            obs["scadv_unknown"] = unknown[modality]
        obs.index = obs["cell"].astype(str)
        obs.index.name = None
        var = pd.DataFrame(index=pd.Index(data.genes.astype(str)))
        parts[modality] = anndata.AnnData(getattr(data, modality), obs=obs, var=var)
    joint = anndata.concat(parts, join="outer", index_unique="-")
    # A column that one modality lacks is text with gaps: the file format wants one kind.
    joint.obs = _plain(joint.obs)
    for column in ("modality", "scadv_label")[: 1 if labels is None else 2]:
        joint.obs[column] = joint.obs[column].astype("category")
    joint.obsm["X_scadv"] = latent.astype(np.float32)
    joint.obsm["X_umap"] = umap.astype(np.float32)
    with whole_file(path) as temporary:
        joint.write_h5ad(temporary, compression="gzip")


def _plain(obs: pd.DataFrame) -> pd.DataFrame:
    """A copy whose columns are numbers, booleans or text."""
    obs = obs.copy()
    for name in obs.columns:
        column = obs[name]
        simple = pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)
        if not simple or isinstance(column.dtype, pd.CategoricalDtype):
            obs[name] = column.astype(object).where(column.notna(), "").astype(str)
        elif column.dtype == object:
            obs[name] = column.astype(str)
    return obs
