"""What a served model says of cells, and how it is written into them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from anndata import AnnData

OUTPUTS = ("label", "confidence", "novelty", "unknown", "latent", "probabilities")


@dataclass(frozen=True, eq=False)
class ServedAnnotation:
    """What a served model says of N cells.

    Attributes
    ----------
    label : text [N].
    confidence, novelty : float32 [N].
    unknown : bool [N].
    latent : float32 [N, Z].
    probabilities : float32 [N, K], in the order of the model's ``types.txt``.
    version : of the model.
    """

    label: np.ndarray
    confidence: np.ndarray
    novelty: np.ndarray
    unknown: np.ndarray
    latent: np.ndarray
    probabilities: np.ndarray
    version: int

    @classmethod
    def joined(cls, parts: Iterable[dict[str, np.ndarray]], version: int) -> ServedAnnotation:
        """Of the outputs of several requests, in their order."""
        parts = list(parts)
        whole = {name: np.concatenate([part[name] for part in parts]) for name in OUTPUTS}
        return cls(**whole, version=version)

    def write_into(self, adata: AnnData) -> None:
        """Writes ``obs['scadv_label']``, … and ``obsm['X_scadv']``, in place of older ones."""
        obs = adata.obs.copy()
        obs["scadv_label"] = pd.Categorical(self.label)
        obs["scadv_confidence"] = self.confidence
        obs["scadv_unknown"] = self.unknown
        obs["scadv_novelty"] = self.novelty
        adata.obsm["X_scadv"] = self.latent
        adata.obs = obs
