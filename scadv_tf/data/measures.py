"""What the numbers of the query cells measure, and how they become comparable with expression.

The reference is always RNA. Whatever the query measures, three things bring it there: names of
genes, a transformation of its numbers, and a direction: whether more of it means more expression
or less. All else is the same for every kind. The direction goes into the query's `Scale`, whose
deviations are below 0 where less means more.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy import sparse

from scadv_tf.config import DataConfig
from scadv_tf.data.levels import NONE
from scadv_tf.data.normalization import (
    Scale,
    dispersion_rank,
    log_normalize,
    measured_genes,
    moments,
    rank_within,
)
from scadv_tf.not_none import not_none

SAME, OPPOSITE, LEARNED = 1, -1, 0
_DIRECTIONS = {"same": SAME, "opposite": OPPOSITE}
# A correlation over genes that tells the direction: this far from 0, in itself and in deviations
# by chance, 1 / sqrt(genes). A convention: what simulated cells have is in docs/modalities.md.
SURE_CORRELATION, SURE_DEVIATIONS = 0.1, 4.0


@dataclass(frozen=True)
class Kind:
    """One kind of measurement.

    Attributes
    ----------
    name : what its cells are called where the user gives no name.
    features : what its features are called in files of several kinds, see `features_of`.
    direction : 1 or -1; 0 to learn it.
    in_genes : whether features must be genes (or stand for some); else they may be peaks.
    panel : whether its features are few, chosen by hand.
    has : what is said of a cell that has something of a gene.
    """

    name: str
    features: str = "atac"
    direction: int = SAME
    in_genes: bool = True
    panel: bool = False
    has: str = "with a count"


ACCESSIBILITY, EXPRESSION, PROTEIN = "accessibility", "expression", "protein"
METHYLATION, REPRESSIVE_MARK = "methylation", "repressive_mark"
KINDS = {
    ACCESSIBILITY: Kind("ATAC", in_genes=False, has="with the gene open"),
    EXPRESSION: Kind("query RNA", "rna"),
    PROTEIN: Kind("protein", "protein", panel=True, has="above the cell's mean"),
    METHYLATION: Kind("methylation", "methylation", LEARNED, has="less methylated than expected"),
    REPRESSIVE_MARK: Kind("histone mark", "atac", OPPOSITE, in_genes=False, has="with the mark"),
}
FEWEST_OF_A_PANEL = 10  # shared genes


@dataclass(frozen=True)
class Measure:
    """What the query cells measure.

    Attributes
    ----------
    kind : one of `KINDS`.
    name : what its cells are called.
    direction : 1 where more of it means more expression, -1 where less does, 0 while not known.
    correlation : of its means with those of expression, over so many `genes`, where the direction
        was learned; else None.
    expected : mean level of each gene [G], of levels; else None.
    """

    kind: str = ACCESSIBILITY
    name: str = KINDS[ACCESSIBILITY].name
    direction: int = SAME
    correlation: float | None = None
    genes: int = 0
    expected: np.ndarray | None = field(default=None, compare=False)

    @classmethod
    def of(cls, config: DataConfig) -> Measure:
        """The measure that the settings name."""
        kind = KINDS[config.query_kind]
        direction = _DIRECTIONS.get(config.query_direction, kind.direction)
        return cls(config.query_kind, config.modality_name or kind.name, direction)

    def to_dict(self) -> dict:
        """What programs that hand cells to a model must know."""
        return {"kind": self.kind, "name": self.name, "direction": self.direction}

    @property
    def is_levels(self) -> bool:
        """Whether its numbers are levels, held as `scadv_tf.data.levels` says."""
        return self.kind == METHYLATION

    @property
    def is_protein(self) -> bool:
        """Whether its features are antibodies."""
        return self.kind == PROTEIN

    @property
    def of_kind(self) -> Kind:
        """All that is the same for its kind."""
        return KINDS[self.kind]

    def learned(self, rna: sparse.csr_matrix, query: sparse.csr_matrix) -> Measure:
        """The same with what cells teach: expected levels, and the direction where not known.

        The direction is that of Spearman's correlation, over genes, of mean log-normalised
        expression with the query's means, of those that some cell of each has something of: from
        the data alone, and no more than a likely guess.

        Parameters
        ----------
        rna, query : counts of all shared genes [R, G] and [A, G].
        """
        found = replace(self, expected=_mean_levels(query)) if self.is_levels else self
        if self.direction != LEARNED:
            return found
        measured = measured_genes(rna, query)
        means = np.asarray(log_normalize(rna).mean(axis=0)).ravel()[measured]
        correlation = rank_correlation(means, found.abundance(query)[measured])
        direction = OPPOSITE if correlation < 0 else SAME
        return replace(found, direction=direction, correlation=correlation, genes=len(measured))

    def features_of(self, modality: str) -> str:
        """Kind of features of 'rna' or 'atac' cells, see `scadv_tf.data.features.KIND_NAMES`."""
        return "rna" if modality == "rna" else self.of_kind.features

    def of_genes(self, columns: np.ndarray) -> Measure:
        """The same for some of the genes."""
        expected = None if self.expected is None else self.expected[columns]
        return replace(self, expected=expected)

    def comparable(self, counts: sparse.csr_matrix) -> sparse.csr_matrix:
        """Numbers of cells [cells, G] that differ by the cell's state, not by its depth.

        Logarithms of counts per 10,000; of proteins the centred log ratio; of levels how far each
        lies from the gene's mean, less the same of the whole cell, and 0 where not covered.
        """
        if self.is_protein:
            return centred_log_ratio(counts)
        if self.is_levels:
            return deviations(counts, not_none(self.expected))
        return log_normalize(counts)

    def scale(self, values: sparse.csr_matrix | np.ndarray, weights: np.ndarray | None) -> Scale:
        """That of comparable numbers, turned where less means more."""
        scale = Scale.of(values, weights)
        return scale if self.direction == SAME else replace(scale, deviation=-scale.deviation)

    def activity(self, counts: sparse.csr_matrix) -> sparse.csr_matrix:
        """Comparable numbers, the higher the more expression they mean [cells, G]."""
        return self.comparable(counts) * np.float32(self.direction)

    def present(self, counts: sparse.csr_matrix) -> sparse.csr_matrix:
        """Whether cells have something of a gene, as `Kind.has` says it: ones [cells, G]."""
        is_count = not (self.is_levels or self.is_protein)
        return sparse.csr_matrix((counts if is_count else self.activity(counts)) > 0, dtype=float)

    def abundance(self, counts: sparse.csr_matrix) -> np.ndarray:
        """Means of the genes [G], as high as the numbers are, whatever the direction."""
        if self.is_levels:
            return _mean_levels(counts)
        return np.asarray(self.comparable(counts).mean(axis=0)).ravel()

    def mean_activity(self, counts: sparse.csr_matrix) -> np.ndarray:
        """Means of the genes [G], the higher the more expression they mean."""
        return self.direction * self.abundance(counts)

    def variability(self, counts: sparse.csr_matrix) -> np.ndarray:
        """The rank of each gene by how much it varies among those of about its mean, from 0 to 1.

        Of levels, whose noise follows how few cells are covered, among those covered as often.
        """
        if not self.is_levels:
            return dispersion_rank(counts)
        spread = moments(deviations(counts, _mean_levels(counts)))[1]
        order = np.argsort(np.asarray((counts > 0).sum(axis=0)).ravel(), kind="stable")
        covered = np.empty(len(order))
        covered[order] = np.arange(len(order))  # places, so that no two genes are alike
        return rank_within(covered, np.log(np.maximum(spread, 1e-6)))

    def account(self) -> str:
        """A line for the user on the direction, where it was learned; else ''."""
        if self.correlation is None:
            return ""
        more = "less" if self.direction == OPPOSITE else "more"
        return (
            f"{self.name}: {more} counts as more expression (Spearman's correlation of the genes' "
            f"means {self.correlation:.2f} over {self.genes:,} genes; a guess, which "
            "--query_direction overrules)"
        )

    def doubt(self) -> str:
        """Why the learned direction may be wrong; '' where it seems sure."""
        if self.correlation is None:
            return ""
        deviations_by_chance = abs(self.correlation) * np.sqrt(self.genes)
        sure = deviations_by_chance >= SURE_DEVIATIONS
        if sure and abs(self.correlation) >= SURE_CORRELATION:
            return ""
        return (
            f"it is not clear whether more or less {self.name} means more expression: over "
            f"{self.genes:,} genes the means correlate by {self.correlation:.2f} only. If you know "
            "it, give --query_direction=opposite (less means more) or same"
        )


def centred_log_ratio(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """log(1 + count) less its mean over the cell's proteins (Stoeckius et al. 2017), [cells, G].

    The cell's size, and how well it was stained and sequenced, are in the mean.
    """
    logs = np.log1p(counts.toarray(), dtype=np.float32)
    return sparse.csr_matrix(logs - logs.mean(axis=1, keepdims=True))


def deviations(held: sparse.csr_matrix, expected: np.ndarray) -> sparse.csr_matrix:
    """Held levels less those expected, and less the mean of that over the cell [cells, G]."""
    cells = np.repeat(np.arange(held.shape[0]), np.diff(held.indptr))
    found = sparse.csr_matrix(held, dtype=np.float32, copy=True)
    found.data = NONE - found.data - expected[found.indices]
    covered = np.maximum(np.diff(held.indptr), 1)
    means = np.asarray(found.sum(axis=1)).ravel() / covered
    found.data -= means[cells].astype(np.float32)
    return found


def _mean_levels(held: sparse.csr_matrix) -> np.ndarray:
    """Mean level of each gene over the cells in which it is covered, float32 [G]; 0 for none."""
    covered = np.asarray((held > 0).sum(axis=0)).ravel()
    total = np.asarray(held.sum(axis=0)).ravel()
    return np.where(covered, NONE - total / np.maximum(covered, 1), 0).astype(np.float32)


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's; 0 where one of the two does not vary."""
    from scipy.stats import rankdata

    ranks = [rankdata(values) for values in (one, other)]
    if min(map(np.ptp, ranks), default=0) == 0:
        return 0.0
    return float(np.corrcoef(ranks)[0, 1])
