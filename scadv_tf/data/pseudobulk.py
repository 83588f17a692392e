"""Which composition the mean of all ATAC cells speaks for, gene by gene.

Features are centred within each modality, so in them nothing is left of what all cells of a sample
have in common, and by which it could be told what they lack. The mean has it: genes that its cells'
types express more than others do are more active in it than their expression in all types would
let one expect. That is little beside how modalities differ, but it is the sum over all genes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from scadv_tf.data.linear_guess import type_means


@dataclass(frozen=True, eq=False)
class Pseudobulk:
    """The mean ATAC cell beside the means of the RNA types.

    Attributes
    ----------
    common : ranks of the genes [G] in the mean of all types, standardised.
    rest : what these don't tell of the ranks in the mean ATAC cell [G], standardised.
    differences : of each type's mean from that of all types [K, G].
    """

    common: np.ndarray
    rest: np.ndarray
    differences: np.ndarray

    @classmethod
    def of(
        cls, rna: sparse.csr_matrix, activity: np.ndarray, rna_labels: np.ndarray, types: int
    ) -> Pseudobulk:
        """The profile of cells.

        Parameters
        ----------
        rna : log-normalised genes [R, G].
        activity : means of the genes over the ATAC cells [G], the higher the more expression they
            mean, see `Measure.mean_activity`.
        rna_labels : type codes [R].
        types : their number K; those without a cell have no part in the mean of all.
        """
        from scipy.stats import rankdata

        means = type_means(rna, rna_labels, types)
        mean = means[np.unique(rna_labels)].mean(axis=0)
        common = _standardised(rankdata(mean))
        ranks = _standardised(rankdata(activity))
        return cls(common, _without(ranks, common), means - mean)

    @property
    def by_chance(self) -> float:
        """The deviation that a likeness has where nothing is alike."""
        return len(self.common) ** -0.5

    def likeness(self, shares: np.ndarray) -> float:
        """How alike the mean ATAC cell is to types in such shares [K], from -1 to 1.

        The partial correlation over the genes, given the mean of all types: 0 where it has nothing
        of what tells this mixture from all types alike.
        """
        mixed = _without(_standardised(shares @ self.differences), self.common)
        return float(mixed @ self.rest) / len(mixed)


def _standardised(values: np.ndarray) -> np.ndarray:
    """With mean 0 and deviation 1; zeros where nothing varies."""
    centred = values - values.mean()
    deviation = centred.std()
    return centred / deviation if deviation > 1e-12 else np.zeros_like(centred)


def _without(values: np.ndarray, other: np.ndarray) -> np.ndarray:
    """What another, both standardised, does not tell of values, standardised anew."""
    return _standardised(values - other * (other @ values) / len(values))
