"""Simulated cells as .h5ad files of any length; only a block of them is ever in memory.

The tissue is that of `scadv_tf.data.synthetic` at difficulty 0.5, the same for every number of
cells. ATAC is drawn as gene activity: the peaks in a gene and at its start, added up.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from anndata.io import sparse_dataset, write_elem
from scipy import sparse

from scadv_tf.data import synthetic
from scadv_tf.files import whole_file
from scadv_tf.modalities import MODALITIES

logger = logging.getLogger("scadv_tf.scale_files")

TYPES, DIFFICULTY = 12, 0.5
LAST_TYPE = synthetic.type_name(TYPES - 1)
COUNTS_PER_GENE = 0.13  # of a cell: some 10 % of the genes are not zero then
CHUNK = 2**16  # entries of the file that are read at once: 256 KB


def write_pair(
    folder: Path, cells: int, genes: int, seed: int = 0, rare_share: float = 0.0
) -> dict[str, Path]:
    """Modality -> the file of so many cells; what is there already is used again.

    Parameters
    ----------
    rare_share : share of the last type in both modalities; 0 for what the tissue has.
    """
    rng = np.random.default_rng(seed)
    tissue = synthetic.draw_tissue(genes, TYPES, DIFFICULTY, rng)
    features = pd.DataFrame(index=pd.Index(tissue.gene_table["gene"], name=None))
    rates = {"rna": tissue.expression, "atac": tissue.activity()}
    shares = {"rna": tissue.rna_shares, "atac": tissue.atac_shares}
    paths = {}
    for number, modality in enumerate(MODALITIES):
        ending = f"_{rare_share:g}" if rare_share else ""
        paths[modality] = path = folder / f"{modality}_{cells}{ending}.h5ad"
        if path.exists() and shape_of(path) == (cells, genes):
            continue
        logger.info("writing %s …", path)
        rng = np.random.default_rng([seed, number, cells])
        types = synthetic.draw_types(cells, with_rare(shares[modality], rare_share), rng)
        sizes = synthetic.draw_sizes(cells, COUNTS_PER_GENE * genes, modality, rng)
        blocks = synthetic.draw_counts(rates[modality], types, sizes, modality, rng)
        with whole_file(path) as part:
            _write(part, blocks, _cells_table(modality, types), features)
    return paths


def with_rare(shares: np.ndarray, share: float) -> np.ndarray:
    """The shares of the types, the last one's as given."""
    if not share:
        return shares
    others = shares[:-1] / shares[:-1].sum()
    return np.append((1 - share) * others, share)


def shape_of(path: Path) -> tuple[int, ...]:
    """Cells and features of an .h5ad with a sparse X."""
    with h5py.File(path, "r") as file:
        return tuple(int(size) for size in file["X"].attrs["shape"])


def _cells_table(modality: str, types: np.ndarray) -> pd.DataFrame:
    names = [synthetic.type_name(code) for code in range(TYPES)]
    index = pd.Index([f"{modality}_{number:07d}" for number in range(1, len(types) + 1)])
    return pd.DataFrame({"cell_type": pd.Categorical.from_codes(types, names)}, index=index)


def _write(
    path: Path, blocks: Iterator[sparse.csr_matrix], obs: pd.DataFrame, var: pd.DataFrame
) -> None:
    """Writes one .h5ad, X block by block."""
    first = next(blocks)
    if len(obs) * len(var) > np.iinfo(np.int32).max:  # else 32 bits hold the number of entries
        first.indptr = first.indptr.astype(np.int64)
    # Not compressed: blocks of 256 cells take a tenth of the time to read that lzf or gzip take.
    chunks = {"chunks": (CHUNK,)}
    with h5py.File(path, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        write_elem(file, "obs", obs)
        write_elem(file, "var", var)
        write_elem(file, "X", first, dataset_kwargs=chunks)
        matrix = sparse_dataset(file["X"])
        for block in blocks:
            matrix.append(block)
