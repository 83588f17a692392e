"""A simulated tissue, seen by RNA and by ATAC, whose truth is known.

The generative model. Genes g, peaks p, types k, cells i; d is the difficulty from 0 to 1.

Types form a tree: lineages, and types within them, so that some types are close to each other.
A programme is a sum of sparse normal effects, one for the lineage and a smaller one for the type::

    b[g, k] = u[g, lineage(k)] + v[g, k]
    u ~ N(0, 1.4^2) for 15 % of the genes, else 0;   v ~ N(0, 1.2^2) for 10 %, else 0

RNA counts are negative binomial around a library size L times a share of expression::

    x[i, g] ~ NB(mean = L[i] * softmax_g(m[g] + b[g, k(i)]), variance = mean + mean^2 / 2)
    log L[i] ~ N(log 2000, 0.35^2),   m[g] ~ N(0, 1)

ATAC counts are Poisson, so near-binary at low depth, around a depth D times a share of
accessibility::

    y[i, p] ~ Poisson(D[i] * softmax_p(n[p] + w[p] * f[p, k(i)] + shift(d) * e[p, k(i)]))
    log D[i] ~ N(log depth(d), 0.5^2),   n[p] ~ N(0, 0.8^2),   e[p, k] ~ N(0, 1)

Each gene has a promoter peak (w = 0.6), peaks in its body (w = 1) and peaks too far away to be
counted for it (w = 1). Their effect f depends on the gene's coupling c[g] between expression and
accessibility: f = b[g] for c = 1, f = -b[g] for c = -1, and the programme of another gene for
c = 0. Distal peaks belong to no gene and have programmes of their own (w = 1).

The modality shift is thus the coupling, e, and the proportions of the types, which differ::

    P(c = 0) = 0.10 + 0.30 d      P(c = -1) = 0.02 + 0.06 d      shift(d) = 0.2 + 0.2 d
    depth(d) = 5000 * (80 / 5000)^d
    log ratio of a type's shares ~ N(0, (0.2 + 0.4 d)^2), before they are made to add up to 1

The numbers are chosen so that a logistic regression on z-scored log counts, from RNA to gene
activity with no integration at all, is right for 100 %, 99 %, 86 %, 56 % and 36 % of the ATAC cells
at d = 0, 0.25, 0.5, 0.75 and 1 (2,000 cells, mean of three seeds); on the embedded PBMC pair it is
right for 84 %.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from scadv_tf.data.features import interval_names
from scadv_tf.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

EASIEST_DEPTH = 5000
HARDEST_DEPTH = 80
_LIBRARY_SIZE = 2000
_SIZE_SPREAD = {"rna": 0.35, "atac": 0.5}
_DISPERSION_SHAPE = 2.0
_PROMOTER_WEIGHT = 0.6
_TYPES_PER_LINEAGE = 3
# Each gene has a stretch of its own, base pairs: far peaks, the gene, distal peaks, with gaps.
_SLOT = 100_000
_FAR, _GENE, _DISTAL = 5_000, 30_000, 85_000
_PEAK = 500
_SLOTS_PER_CHROMOSOME = 500
_CELLS_AT_ONCE = 2048


@dataclass(frozen=True, eq=False)
class Tissue:
    """What the cells of a simulated tissue are drawn from.

    Attributes
    ----------
    gene_table : coordinates [G], as from `load_genes`.
    peaks : [P] ``gene`` ('' if distal), ``kind`` and ``slot``, the row of the gene that they are
        beside.
    coupling : of each gene's expression and accessibility, 1, 0 or -1 [G].
    expression, accessibility : log rates of the genes [G, K] and of the peaks [P, K].
    rna_shares, atac_shares : of the types [K], each adds up to 1.
    """

    gene_table: pd.DataFrame
    peaks: pd.DataFrame
    coupling: np.ndarray
    expression: np.ndarray
    accessibility: np.ndarray
    rna_shares: np.ndarray
    atac_shares: np.ndarray

    def activity(self) -> np.ndarray:
        """Log rates of gene activity [G, K]: the peaks in each gene and at its start, added up."""
        rates = np.zeros_like(self.expression)
        counted = self.peaks["kind"].isin(["promoter", "body"]).to_numpy()
        np.add.at(rates, self.peaks["slot"][counted], np.exp(self.accessibility[counted]))
        return np.log(rates)


def simulate(
    cells: int = 2000,
    genes: int = 1000,
    types: int = 8,
    difficulty: float = 0.5,
    seed: int = 0,
    atac_cells: int | None = None,
) -> tuple[AnnData, AnnData, pd.DataFrame]:
    """Simulate two modalities of one tissue; the model is in the docstring of this module.

    Parameters
    ----------
    cells : RNA cells, and ATAC cells unless atac_cells says otherwise.
    genes, types : how many.
    difficulty : from 0 (easy) over 0.5 (like a small PBMC pair) to 1 (like SNARE-seq: about 80 ATAC
        counts a cell).
    seed : the same arguments give the same data.
    atac_cells : ATAC cells.

    Returns
    -------
    rna : AnnData [R, G], CSR float32; obs['cell_type'], var['coupling'] (1, 0 or -1).
    atac : AnnData [A, P] of peaks, CSR float32; obs['cell_type'], var['gene'] ('' if distal) and
        var['kind'] (promoter, body, far, distal).
    gene_table : coordinates as from `load_genes`.

    Raises
    ------
    InputError : difficulty outside [0, 1], fewer than two types, or fewer cells than types.
    """
    atac_cells = cells if atac_cells is None else atac_cells
    if not 0 <= difficulty <= 1 or types < 2 or min(cells, atac_cells, genes) < types:
        raise InputError(
            what="no tissue can be simulated with these numbers",
            expected="difficulty from 0 to 1, two or more types, at least as many cells and genes",
            received=f"difficulty={difficulty}, types={types}, cells={cells}, "
            f"atac_cells={atac_cells}, genes={genes}",
            advice="change the number that is out of range",
        )
    rng = np.random.default_rng(seed)
    tissue = draw_tissue(genes, types, difficulty, rng)
    rna_types = draw_types(cells, tissue.rna_shares, rng)
    atac_types = draw_types(atac_cells, tissue.atac_shares, rng)
    depth = EASIEST_DEPTH * (HARDEST_DEPTH / EASIEST_DEPTH) ** difficulty
    rna_sizes = draw_sizes(cells, _LIBRARY_SIZE, "rna", rng)
    atac_sizes = draw_sizes(atac_cells, depth, "atac", rng)
    names = tissue.gene_table["gene"].to_numpy()
    rna_var = pd.DataFrame({"coupling": tissue.coupling}, index=names)
    rna_blocks = draw_counts(tissue.expression, rna_types, rna_sizes, "rna", rng)
    rna = _annotated(rna_blocks, rna_types, rna_var, "rna")
    atac_blocks = draw_counts(tissue.accessibility, atac_types, atac_sizes, "atac", rng)
    atac = _annotated(atac_blocks, atac_types, tissue.peaks[["gene", "kind"]], "atac")
    return rna, atac, tissue.gene_table


def draw_tissue(genes: int, types: int, difficulty: float, rng: np.random.Generator) -> Tissue:
    """Draw all that cells are drawn from; for the parameters see `simulate`."""
    gene_table, peaks = _layout(genes, rng)
    programmes = _programmes(genes, types, rng)
    coupling = rng.choice([1, 0, -1], size=genes, p=_coupling_shares(difficulty))
    expression = rng.normal(size=(genes, 1)) + programmes
    accessibility = _accessibility(peaks, programmes, coupling, difficulty, rng)
    shares = _type_shares(types, difficulty, rng)
    return Tissue(gene_table, peaks, coupling, expression, accessibility, *shares)


def _coupling_shares(difficulty: float) -> list[float]:
    unrelated, opposite = 0.1 + 0.3 * difficulty, 0.02 + 0.06 * difficulty
    return [1 - unrelated - opposite, unrelated, opposite]


def _layout(genes: int, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Place genes and peaks; each gene with its peaks has a slot of its own."""
    slot = np.arange(genes)
    chrom = np.array([f"chr{1 + i // _SLOTS_PER_CHROMOSOME}" for i in slot])
    origin = slot % _SLOTS_PER_CHROMOSOME * _SLOT
    start = origin + _GENE
    end = start + rng.integers(6_000, 40_000, size=genes)
    strand = rng.choice(["+", "-"], size=genes)
    names = np.array([f"Gene{i + 1:05d}" for i in slot])
    table = pd.DataFrame(
        {"chrom": chrom, "start": start, "end": end, "gene": names, "strand": strand}
    )
    promoter = np.where(strand == "+", start, end) - _PEAK // 2
    kinds = {
        "promoter": (promoter, np.ones(genes, dtype=int)),
        "body": (start + 1000, np.minimum(rng.poisson(1.5, size=genes), 4)),
        "far": (origin + _FAR, np.minimum(rng.poisson(0.5, size=genes), 4)),
        "distal": (origin + _DISTAL, np.minimum(rng.poisson(1.0, size=genes), 4)),
    }
    parts = []
    for kind, (first, number) in kinds.items():
        of = np.repeat(slot, number)
        begin = first[of] + 1000 * pd.Series(of).groupby(of).cumcount().to_numpy()
        gene = "" if kind == "distal" else names[of]
        parts.append(pd.DataFrame({"slot": of, "start": begin, "gene": gene, "kind": kind}))
    peaks = pd.concat(parts).sort_values(["slot", "start"], ignore_index=True)
    places = peaks.assign(chrom=chrom[peaks["slot"]], end=peaks["start"] + _PEAK)
    return table, peaks.set_axis(interval_names(places))


def _programmes(features: int, types: int, rng: np.random.Generator) -> np.ndarray:
    """Log effects [features, K]: sparse normal effects of the lineage and, smaller, of the type."""
    lineage = np.arange(types) // _TYPES_PER_LINEAGE
    of_lineage = _sparse_normal((features, lineage[-1] + 1), share=0.15, scale=1.4, rng=rng)
    of_type = _sparse_normal((features, types), share=0.10, scale=1.2, rng=rng)
    return of_lineage[:, lineage] + of_type


def _sparse_normal(
    shape: tuple[int, int], share: float, scale: float, rng: np.random.Generator
) -> np.ndarray:
    return rng.normal(scale=scale, size=shape) * (rng.random(shape) < share)


def _accessibility(
    peaks: pd.DataFrame,
    programmes: np.ndarray,
    coupling: np.ndarray,
    difficulty: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Log accessibility [P, K]."""
    unrelated = programmes[rng.permutation(len(programmes))]
    of_gene = np.where(coupling[:, None] == 0, unrelated, coupling[:, None] * programmes)
    effect = of_gene[peaks["slot"]]
    distal = (peaks["kind"] == "distal").to_numpy()
    effect[distal] = _programmes(int(distal.sum()), programmes.shape[1], rng)
    weight = np.where(peaks["kind"] == "promoter", _PROMOTER_WEIGHT, 1.0)[:, None]
    shift = (0.2 + 0.2 * difficulty) * rng.normal(size=effect.shape)
    return rng.normal(scale=0.8, size=(len(peaks), 1)) + weight * effect + shift


def _type_shares(
    types: int, difficulty: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Skewed proportions of the types [K] in RNA and, somewhat different, in ATAC."""
    rna = rng.permutation((1.0 + np.arange(types)) ** -0.8)
    atac = rna * np.exp(rng.normal(scale=0.2 + 0.4 * difficulty, size=types))
    return rna / rna.sum(), atac / atac.sum()


def draw_types(cells: int, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Type of each cell [cells], from the shares of the types [K]; each occurs at least once."""
    types = len(shares)
    drawn = np.concatenate([np.arange(types), rng.choice(types, size=cells - types, p=shares)])
    return rng.permutation(drawn)


def draw_sizes(cells: int, median: float, modality: str, rng: np.random.Generator) -> np.ndarray:
    """Expected counts of each cell [cells]."""
    return rng.lognormal(np.log(median), _SIZE_SPREAD[modality], size=cells)


def draw_counts(
    log_rates: np.ndarray,
    types: np.ndarray,
    sizes: np.ndarray,
    modality: str,
    rng: np.random.Generator,
) -> Iterator[sparse.csr_matrix]:
    """Draw counts block by block of cells: Poisson, for 'rna' negative binomial.

    Parameters
    ----------
    log_rates : of the features in each type [features, K].
    types, sizes : type and expected counts of each cell [cells].

    Yields
    ------
    CSR float32 [a few thousand cells, features], in the order of the cells.
    """
    rates = np.exp(log_rates)
    shares = (rates / rates.sum(axis=0)).T  # [K, features]
    for begin in range(0, len(types), _CELLS_AT_ONCE):
        block = slice(begin, begin + _CELLS_AT_ONCE)
        mean = sizes[block, None] * shares[types[block]]
        if modality == "rna":
            mean = rng.gamma(_DISPERSION_SHAPE, mean / _DISPERSION_SHAPE)
        yield sparse.csr_matrix(rng.poisson(mean), dtype=np.float32)


def _annotated(
    blocks: Iterable[sparse.csr_matrix], types: np.ndarray, var: pd.DataFrame, prefix: str
) -> AnnData:
    from anndata import AnnData

    counts = sparse.vstack(list(blocks), format="csr")
    names = [f"{prefix}_{i + 1:06d}" for i in range(len(types))]
    labels = pd.Categorical([type_name(k) for k in types])
    return AnnData(counts, obs=pd.DataFrame({"cell_type": labels}, index=names), var=var)


def type_name(k: int) -> str:
    """'A1', 'A2', 'A3', 'B1', …: lineage and number."""
    lineage, number = divmod(k, _TYPES_PER_LINEAGE)
    letters = chr(ord("A") + lineage % 26) * (1 + lineage // 26)
    return f"{letters}{number + 1}"
