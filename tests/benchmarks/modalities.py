"""Other modalities, simulated from real RNA cells: half of them are the reference, half the query.

No real methylation or protein cells are shipped with the package. What is made here has the real
cells' types and states, and noise as such assays have it; it is no proof for real ones. All
functions draw from the generator that they are given, and nothing else.
"""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

from scadv_tf.data.datasets import ASSETS
from scadv_tf.data.normalization import log_normalize

# Antibodies as makers of panels write them, and the genes that they stand for.
PANEL = {
    "CD3_TotalSeqB": "CD3E",
    "CD4_TotalSeqB": "CD4",
    "CD8a_TotalSeqB": "CD8A",
    "CD19_TotalSeqB": "CD19",
    "CD20_TotalSeqB": "MS4A1",
    "CD14_TotalSeqB": "CD14",
    "CD16_TotalSeqB": "FCGR3A",
    "CD56_TotalSeqB": "NCAM1",
    "CD45RA_TotalSeqB": "PTPRC",
    "CD11c_TotalSeqB": "ITGAX",
    "CD123_TotalSeqB": "IL3RA",
    "HLA-DR_TotalSeqB": "HLA-DRA",
    "CD27_TotalSeqB": "CD27",
    "CD197_TotalSeqB": "CCR7",
    "CD127_TotalSeqB": "IL7R",
    "CD38_TotalSeqB": "CD38",
    "CD25_TotalSeqB": "IL2RA",
    "CD62L_TotalSeqB": "SELL",
    "CD2_TotalSeqB": "CD2",
    "CD161_TotalSeqB": "KLRB1",
    "CD33_TotalSeqB": "CD33",
    "CD11b_TotalSeqB": "ITGAM",
    "CD41_TotalSeqB": "ITGA2B",
    "CD1c_TotalSeqB": "CD1C",
}
ISOTYPES = ("IgG1_control_TotalSeqB", "IgG2a_control_TotalSeqB", "IgG2b_control_TotalSeqB")
SPATIAL_GENES, SPATIAL_SHARE = 300, 0.1
NEAR = 15  # cells whose mean is a cell's state
LABEL = "cell_type"


def halves(seed: int) -> tuple[anndata.AnnData, anndata.AnnData]:
    """The embedded RNA cells at random: the reference, and those that the query is made of."""
    cells = anndata.read_h5ad(ASSETS / "pbmc" / "rna.h5ad")
    order = np.random.default_rng(seed).permutation(cells.n_obs)
    half = cells.n_obs // 2
    return tuple(cells[np.sort(rows)].copy() for rows in (order[:half], order[half:]))


def spatial_panel(
    reference: anndata.AnnData, cells: anndata.AnnData, rng: np.random.Generator
) -> anndata.AnnData:
    """Genes that tell the reference's types apart, as panels are chosen, and a tenth of the counts.

    Each count is kept by chance.
    """
    logged = log_normalize(sparse.csr_matrix(reference.X, dtype=np.float32))
    types = reference.obs[LABEL].to_numpy()
    means = np.stack([_mean(logged[types == name]) for name in np.unique(types)])
    genes = np.sort(np.argsort(-means.std(axis=0), kind="stable")[:SPATIAL_GENES])
    counts = sparse.csr_matrix(cells.X)[:, genes]
    counts.data = rng.binomial(counts.data.astype(np.int64), SPATIAL_SHARE)
    counts.eliminate_zeros()
    return _query(counts.astype(np.float32), cells, cells.var_names[genes])


def proteins(cells: anndata.AnnData, rng: np.random.Generator) -> anndata.AnnData:
    """Counts of antibodies (`PANEL`) and isotype controls, negative binomial.

    A protein's mean is that of the cell's type, which follows the RNA roughly (times a log-normal
    factor of deviation 0.5): its share of the type that has most, times a brightness of the
    antibody, above a background. Each cell has a size, which all antibodies share, and sticks to
    antibodies that have no target there; each protein of a cell varies about the mean of its type.
    """
    logged = log_normalize(sparse.csr_matrix(cells.X, dtype=np.float32))
    genes = logged[:, cells.var_names.get_indexer(list(PANEL.values()))]
    types, codes = np.unique(cells.obs[LABEL].to_numpy(dtype=str), return_inverse=True)
    means = np.stack([_mean(genes[codes == k]) for k in range(len(types))])
    means *= rng.lognormal(0, 0.5, means.shape)
    shares = (means / means.max(axis=0))[codes]
    number, antibodies = len(codes), len(PANEL) + len(ISOTYPES)
    brightness = rng.lognormal(np.log(150), 0.7, antibodies)
    background = rng.lognormal(np.log(8), 0.4, antibodies)
    specific = np.zeros((number, antibodies))
    specific[:, : len(PANEL)] = shares * rng.lognormal(0, 0.5, shares.shape)
    size = rng.lognormal(0, 0.4, (number, 1))
    sticky = rng.lognormal(0, 0.5, (number, 1))
    mean = size * (specific * brightness + sticky * background)
    counts = rng.poisson(rng.gamma(5.0, mean / 5.0)).astype(np.float32)
    return _query(sparse.csr_matrix(counts), cells, [*PANEL, *ISOTYPES])


def methylation(cells: anndata.AnnData, rng: np.random.Generator) -> anndata.AnnData:
    """Levels of the genes [cells, genes], dense, NaN where no site was covered.

    A level falls with the expression of the cell's state, from a base of the gene's own; of a gene
    a few sites are covered, some genes' more often, and each is methylated or not by chance.
    """
    state, number = _states(cells), cells.n_obs
    genes = state.shape[1]
    base = rng.beta(14, 4, genes)
    level = base - 0.5 * _unit(state) + rng.normal(0, 0.02, (number, 1))
    depth = rng.lognormal(0, 0.3, (number, 1))
    sites = rng.poisson(depth * rng.lognormal(np.log(6), 0.8, genes))
    methylated = rng.binomial(sites, np.clip(level, 0.01, 0.99))
    with np.errstate(invalid="ignore"):
        levels = np.where(sites, methylated / sites, np.nan).astype(np.float32)
    return _query(levels, cells, cells.var_names)


def repressive_mark(cells: anndata.AnnData, rng: np.random.Generator) -> anndata.AnnData:
    """Fragments of a mark such as H3K27me3 in the genes, some 3,000 a cell.

    A gene has fewer the more it is expressed in the cell's state, from a rate of its own; genes
    that are expressed alike everywhere have few.
    """
    share = _unit(_states(cells))
    own = rng.lognormal(0, 0.7, share.shape[1]) * (share.max(axis=0) - share.mean(axis=0))
    rate = own * np.exp(-4 * share)
    depth = rng.lognormal(np.log(3000), 0.4, (cells.n_obs, 1))
    counts = rng.poisson(depth * rate / rate.sum(axis=1, keepdims=True)).astype(np.float32)
    return _query(sparse.csr_matrix(counts), cells, cells.var_names)


def _states(cells: anndata.AnnData) -> np.ndarray:
    """Log-normalised expression of each cell and those most like it, the mean [cells, genes]."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.neighbors import NearestNeighbors

    logged = log_normalize(sparse.csr_matrix(cells.X, dtype=np.float32))
    components = TruncatedSVD(20, random_state=0).fit_transform(logged)
    near = NearestNeighbors(n_neighbors=NEAR).fit(components).kneighbors_graph()
    return np.asarray((near @ logged).todense(), dtype=np.float32) / NEAR


def _unit(state: np.ndarray) -> np.ndarray:
    """Each expression over the largest of its gene, weighed by how high that is, from 0 to 1."""
    return state / (state.max(axis=0) + 0.5)


def _mean(values: sparse.csr_matrix) -> np.ndarray:
    return np.asarray(values.mean(axis=0)).ravel()


def _query(counts, cells: anndata.AnnData, names) -> anndata.AnnData:
    obs = cells.obs[[LABEL]].set_axis([f"query{i}" for i in range(cells.n_obs)])
    return anndata.AnnData(counts, obs=obs, var=pd.DataFrame(index=pd.Index(names, dtype=object)))
