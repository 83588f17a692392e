"""In what space ATAC cells resemble each other: a semantic index of peaks beside joint genes.

Peaks tell cells apart far better than gene activity does where there are enough of them, and the
genes help where peaks are few; unit vectors of both, side by side, hold on both kinds of data.
Without peaks the index is made of the genes' activity, which still beats the genes alone. Of a
panel of proteins, where all are open in all cells, the joint components alone are taken, each as
wide as it is: the last of so few hold little but noise.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy import sparse

from scadv_tf.config import PreprocessingConfig
from scadv_tf.data.batch_offsets import Design, without_offsets
from scadv_tf.data.lsi import LatentSemanticIndex
from scadv_tf.data.normalization import Scale, covariance, joint_components, project, unit_rows


@dataclass(frozen=True, eq=False)
class NeighborSpace:
    """Vectors of ATAC cells whose cosine says how alike they are; learned once, for any cell.

    Attributes
    ----------
    indices : 'genes' and, where the training cells have peaks, 'peaks' -> the latent semantic
        index of that kind of feature; none of a panel.
    gene_components : joint principal components [G, D] of single cells' genes.
    gene_scale : the scale of single ATAC cells' genes.
    component_scale : the scale of the ATAC cells' joint principal components.
    offsets : of the batches [B, D] in each index, by kind of feature, and in the 'components';
        nothing without batches.
    """

    indices: dict[str, LatentSemanticIndex]
    gene_components: np.ndarray
    gene_scale: Scale
    component_scale: Scale
    offsets: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        rna: sparse.csr_matrix,
        atac: sparse.csr_matrix,
        peaks: sparse.csr_matrix | None,
        config: PreprocessingConfig,
        panel: bool = False,
    ) -> NeighborSpace:
        """Learns from cells that are held.

        Parameters
        ----------
        rna, atac : log-normalised chosen genes [R, G] and [A, G].
        peaks : counts [A, P], or None.
        panel : whether the features are a panel of proteins.
        """
        rna_scale, atac_scale = Scale.of(rna), Scale.of(atac)
        components = joint_components(
            [covariance(rna, rna_scale), covariance(atac, atac_scale)], config.neighbor_pca_size
        )
        if panel:
            width = components.shape[1]
            return cls({}, components, atac_scale, Scale(np.zeros(width), np.ones(width)))
        counts = {"genes": atac} if peaks is None else {"genes": atac, "peaks": peaks}
        indices = {kind: LatentSemanticIndex.fit(c, config.lsi_size) for kind, c in counts.items()}
        component_scale = Scale.of(project(atac, atac_scale, components))
        return cls(indices, components, atac_scale, component_scale)

    def without_batches(
        self, normalized: sparse.csr_matrix, peaks: sparse.csr_matrix | None, design: Design
    ) -> NeighborSpace:
        """The same space, in which batches lie where the others do.

        Parameters
        ----------
        normalized, peaks : of ATAC cells, as in `vectors`.
        design : their batches and types.
        """
        given = {"genes": normalized, "peaks": peaks}
        values = {kind: index.transform(given[kind]) for kind, index in self.indices.items()}
        values["components"] = project(normalized, self.gene_scale, self.gene_components)
        offsets = {name: design.offsets(found) for name, found in values.items()}
        if not self.indices:
            return replace(self, offsets=offsets)
        scale = Scale.of(
            without_offsets(values["components"], design.members, offsets["components"])
        )
        return replace(self, component_scale=scale, offsets=offsets)

    def kind(self, peaks: sparse.csr_matrix | None) -> str:
        """What tells cells apart: 'peaks' where training and these cells have some, or 'genes'."""
        return "genes" if peaks is None or "peaks" not in self.indices else "peaks"

    def vectors(
        self,
        normalized: sparse.csr_matrix,
        peaks: sparse.csr_matrix | None,
        members: np.ndarray | None = None,
    ) -> np.ndarray:
        """Unit vectors of the index and of the joint components of any ATAC cells, side by side.

        Parameters
        ----------
        normalized : log-normalised chosen genes [cells, G].
        peaks : counts [cells, P], or None.
        members : the cells' `memberships` [cells, B], or None.

        Returns
        -------
        float32 [cells, F].
        """
        kind = self.kind(peaks)
        projected = project(normalized, self.gene_scale, self.gene_components)
        projected = without_offsets(projected, members, self.offsets.get("components"))
        parts = [unit_rows(self.component_scale.apply(projected))]
        if self.indices:
            # The index looks at which features are open: counts and their logarithms are the same.
            semantic = self.indices[kind].transform(peaks if kind == "peaks" else normalized)
            semantic = without_offsets(semantic, members, self.offsets.get(kind))
            parts.insert(0, unit_rows(semantic))
        return np.hstack(parts)


@dataclass(frozen=True, eq=False)
class Reference:
    """Training cells that are kept for new ones to be compared and averaged with, M of A.

    In training each cell is averaged with its nearest among all. A new cell stands alone: it gets
    its nearest among these, and what they were before each average. The one place where this is
    done is the served graph, `scadv_tf.serving.reference`.

    Attributes
    ----------
    space : in which they are compared.
    rows : int [M], ascending: which of the training's ATAC cells they are.
    vectors : 'genes' and, where the training cells have peaks, 'peaks' -> their vectors [M, F].
    lists : int [M, k], each cell and its nearest others, as positions among the M.
    levels : the cells as the trained layers see them, after 0, 1, … averages but the last, [M, D]
        each and not cut; none if cells are not averaged.
    """

    space: NeighborSpace
    rows: np.ndarray
    vectors: dict[str, np.ndarray]
    lists: np.ndarray
    levels: tuple[np.ndarray, ...]
