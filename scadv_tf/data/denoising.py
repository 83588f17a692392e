"""ATAC cells denoised by means over their nearest ATAC cells.

How a new cell is denoised by the training cells: `scadv_tf.serving.reference`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from scadv_tf.config import PreprocessingConfig
from scadv_tf.data.neighbors import (
    SemanticIndex,
    averaging_weights,
    neighbors_with_self,
    unit_rows,
)
from scadv_tf.data.normalization import Scale, averages, covariance, joint_components, project


@dataclass(frozen=True, eq=False)
class Neighborhood:
    """How ATAC cells are denoised, and the training cells that denoise new ones.

    Attributes
    ----------
    indices : 'genes' and, where the training cells have peaks, 'peaks' -> the latent semantic
        index of that kind of feature.
    gene_components : joint principal components [G, D] of undenoised genes.
    gene_scale : the scale of undenoised ATAC genes.
    component_scale : the scale of the ATAC cells' joint principal components.
    features : the same names -> features of the training cells [A, F], see `features_of`.
    neighbors : int [A, k], each training cell and its nearest others.
    weights : CSR [A, A], what they weigh in an average; rows sum to 1.
    levels : log-normalised training cells after 0, 1, … averages but the last, [A, G] each; none
        if the cells are not averaged.
    """

    indices: dict[str, SemanticIndex]
    gene_components: np.ndarray
    gene_scale: Scale
    component_scale: Scale
    features: dict[str, np.ndarray]
    neighbors: np.ndarray
    weights: sparse.csr_matrix
    levels: tuple = ()

    def kind(self, peaks: sparse.csr_matrix | None) -> str:
        """What tells cells apart: 'peaks' where training and these cells have some, or 'genes'."""
        return "genes" if peaks is None or "peaks" not in self.indices else "peaks"

    def features_of(
        self, normalized: sparse.csr_matrix, peaks: sparse.csr_matrix | None
    ) -> np.ndarray:
        """Unit vectors of the index and of the joint components of any ATAC cells, side by side."""
        kind = self.kind(peaks)
        # The index looks at which features are open: counts and their logarithms are the same.
        semantic = self.indices[kind].transform(peaks if kind == "peaks" else normalized)
        projected = project(normalized, self.gene_scale, self.gene_components)
        return np.hstack([unit_rows(semantic), unit_rows(self.component_scale.apply(projected))])


def fit_neighborhood(
    rna: sparse.csr_matrix,
    atac: sparse.csr_matrix,
    peaks: sparse.csr_matrix | None,
    config: PreprocessingConfig,
) -> Neighborhood:
    """Finds the neighbours of the ATAC cells and learns how to find those of new ones.

    Parameters
    ----------
    rna, atac : log-normalised chosen genes [R, G] and [A, G].
    peaks : counts [A, P], or None.
    """
    rna_scale, atac_scale = Scale.of(rna), Scale.of(atac)
    components = joint_components(
        [covariance(rna, rna_scale), covariance(atac, atac_scale)], config.neighbor_pca_size
    )
    counts = {"genes": atac} if peaks is None else {"genes": atac, "peaks": peaks}
    indices = {kind: SemanticIndex.fit(c, config.lsi_size) for kind, c in counts.items()}
    component_scale = Scale.of(project(atac, atac_scale, components))
    parts = indices, components, atac_scale, component_scale
    nothing = np.empty((0, 0))
    unfinished = Neighborhood(*parts, {}, nothing, sparse.csr_matrix(nothing))
    features = {"genes": unfinished.features_of(atac, None)}
    if peaks is not None:
        features["peaks"] = unfinished.features_of(atac, peaks)
    neighbors = neighbors_with_self(features[unfinished.kind(peaks)], config.neighbors)
    weights = averaging_weights(neighbors)
    levels = averaged_levels(atac, weights, config.smoothing_hops)
    return replace(
        unfinished, features=features, neighbors=neighbors, weights=weights, levels=levels
    )


def averaged_levels(
    cells: sparse.csr_matrix, weights: sparse.csr_matrix, hops: int
) -> tuple[sparse.csr_matrix | np.ndarray, ...]:
    """The cells [A, G] after 0, 1, …, `hops` - 1 averages with the weights [A, A]."""
    levels = [cells][:hops]
    while len(levels) < hops:
        levels.append(averages(weights, levels[-1]))
    return tuple(levels)
