"""Counts to the network's input, as the training cells have taught it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from scadv_tf.data.batch_offsets import without_offsets
from scadv_tf.data.measures import Measure
from scadv_tf.data.neighbor_space import Reference
from scadv_tf.data.normalization import Scale, chunks, dense


@dataclass(frozen=True, eq=False)
class Preprocessor:
    """Everything learned from the training cells.

    Attributes
    ----------
    genes : names of the G chosen genes, in the order of the input.
    scales : the scale of each modality's log-normalised (for ATAC: denoised) genes.
    components : joint principal components [G, D] of the input, for the encoder's first layer, or
        None.
    averages : how often ATAC cells are averaged with their neighbours.
    reference : training cells that new ATAC cells are averaged with; None without neighbours.
    least_open : how many features a cell with data has open, by kind: genes of 'rna' and 'atac';
        'peaks' for genes and peaks of ATAC cells together. See `scadv_tf.data.emptiness`.
    batches : modality -> names of its B batches, where these are corrected for.
    offsets : modality -> what is taken off the features of each batch's cells [B, D], see
        `scadv_tf.data.batch_offsets`.
    measure : what the ATAC cells' numbers are, and how they become comparable.
    """

    genes: np.ndarray
    scales: dict[str, Scale]
    components: np.ndarray | None
    averages: int = 0
    reference: Reference | None = None
    least_open: dict[str, int] = field(default_factory=dict)
    batches: dict[str, tuple[str, ...]] = field(default_factory=dict)
    offsets: dict[str, np.ndarray] = field(default_factory=dict)
    measure: Measure = Measure()

    def scale(self, values: sparse.csr_matrix | np.ndarray, modality: str) -> np.ndarray:
        """Standardised rows of log-normalised values, float32 [cells, G].

        Single cells are cut at 10 standard deviations. Averages are not: few genes of theirs lie
        beyond, and what is not cut may be averaged after the projection as well as before it.
        """
        scale, values = self.scales[modality], dense(values)
        return scale.uncut(values) if self.averages and modality == "atac" else scale.apply(values)

    def features(
        self,
        values: sparse.csr_matrix | np.ndarray,
        modality: str,
        members: np.ndarray | None = None,
    ) -> np.ndarray:
        """What the trained layers start from, float32 [cells, D], of log-normalised values.

        Parameters
        ----------
        members : share of each batch in these cells [cells, B]; None for cells of none.
        """
        parts = (self.scale(values[part], modality) for part in chunks(values.shape[0]))
        if self.components is not None:
            parts = (part @ self.components for part in parts)
        found = np.concatenate(list(parts))
        return without_offsets(found, members, self.offsets.get(modality))
