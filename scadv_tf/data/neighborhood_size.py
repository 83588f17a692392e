"""How many ATAC cells are averaged, and how often: by cells and RNA types, and by their counts.

Averages take noise away and differences too. Few cells of many types have few of their kind; cells
of few counts need more others. And where counts are so few that neighbours are found by chance,
more of them, or those of neighbours, are of other types.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from scadv_tf.data.lsi import LatentSemanticIndex
from scadv_tf.data.normalization import unit_rows
from scadv_tf.data.rows import some_rows

CELLS_AND_TYPES = 1.2
FEWEST_NEIGHBORS, MOST_NEIGHBORS = 5, 35
TWICE_FROM = 8  # neighbours; with fewer, an average of averages would reach as far as more do
TYPES_UNTAUGHT = 8  # that are reckoned with where no types are taught
# So many open features are averaged at least, unless it takes more than a tenth of the cells.
OPEN_FEATURES, LARGEST_SHARE, MOST_FOR_DEPTH = 5000, 0.1, 15
# Cells of more open features than this find their neighbours anyway.
SPARSE = 200
# Agreement of both halves of the features below which neighbours are found by chance, see
# `agreement_of_halves`, and how many there are then.
BY_CHANCE, MOST_BY_CHANCE = 0.08, 12
CELLS_COMPARED = 2000  # of which all pairs are looked at


def neighborhood_size(
    atac_cells: int,
    rna_labels: np.ndarray | None,
    counts: sparse.csr_matrix | None,
    index_size: int,
    of_peaks: bool,
) -> tuple[int, int]:
    """How many neighbours a cell has, itself among them, and how often they are averaged.

    Parameters
    ----------
    atac_cells : A.
    rna_labels : type codes [R]; None where no types are taught.
    counts : of ATAC cells, all or a sample, the peaks or genes that find neighbours [M, F]; None
        of a panel, whose features are all open.
    index_size : dimensions of the semantic index that finds them.
    of_peaks : whether peaks find them, which they do more surely than genes.
    """
    by_types = count = number_of_neighbors(atac_cells, rna_labels)
    if counts is not None:
        depth = float(np.median(np.diff(counts.indptr)))
        count = number_of_neighbors(atac_cells, rna_labels, depth)
        if depth < SPARSE and agreement_of_halves(counts, index_size) < BY_CHANCE:
            return min(count, MOST_BY_CHANCE), 1
    sure = of_peaks or count == by_types
    return count, 2 if sure and count >= TWICE_FROM else 1


def number_of_neighbors(
    atac_cells: int, rna_labels: np.ndarray | None, open_features: float = np.inf
) -> int:
    """How many ATAC cells are averaged, from 5 to 35.

    ``1.2 A / K^2``: of many types, each has fewer cells, and lies nearer to others. K counts types
    by the exponential of the entropy of their shares, so rare ones hardly count. At least so many
    that 5,000 open features come together, but for that no more than 15, or a tenth of the cells.

    Parameters
    ----------
    atac_cells : A.
    rna_labels : type codes [R]; None where no types are taught.
    open_features : median number of a cell.
    """
    types = TYPES_UNTAUGHT
    if rna_labels is not None:
        shares = np.bincount(rna_labels) / len(rna_labels)
        shares = shares[shares > 0]
        types = np.exp(-np.sum(shares * np.log(shares)))
    wanted = CELLS_AND_TYPES * atac_cells / types**2
    for_depth = OPEN_FEATURES / max(open_features, 1)
    least = min(for_depth, MOST_FOR_DEPTH, LARGEST_SHARE * atac_cells)
    return min(max(round(max(wanted, least)), FEWEST_NEIGHBORS), MOST_NEIGHBORS)


def agreement_of_halves(counts: sparse.csr_matrix, index_size: int) -> float:
    """How far two random halves of the features agree on which cells are alike, up to 1.

    The correlation, over pairs of cells, of the cosines of their semantic indices by either half:
    0 where what is alike by one half is not by the other.

    Parameters
    ----------
    counts : [M, F].
    index_size : dimensions of each index.
    """
    half = np.random.default_rng(0).random(counts.shape[1]) < 0.5
    rows = some_rows(counts.shape[0], CELLS_COMPARED, 0)
    pairs = np.triu_indices(len(rows), 1)
    cosines = []
    for part in (counts[:, half], counts[:, ~half]):
        vectors = unit_rows(LatentSemanticIndex.fit(part, index_size).transform(part[rows]))
        cosines.append((vectors @ vectors.T)[pairs])
    if min(np.ptp(each) for each in cosines) == 0:
        return 0.0
    return float(np.corrcoef(cosines)[0, 1])
