"""Whether cells were averaged or imputed: then each has others that are nearly the same."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from scadv_tf.data.normalization import LARGEST_VALUE, log_normalize, moments, unit_rows

CELLS, GENES = 1500, 2000  # that are looked at; the genes that vary most


def likeness_of_nearest(values: sparse.csr_matrix) -> float:
    """Median cosine of a cell to the one most like it, over standardised genes; 0 of one cell.

    Noise of counts is each cell's own, and keeps neighbours apart. Averages share it.

    Parameters
    ----------
    values : of random cells [N, G], counts or what was made of them; `CELLS` are looked at.
    """
    values = log_normalize(values[:CELLS])
    mean, deviation = moments(values)
    chosen = np.argsort(-deviation, kind="stable")[:GENES]
    chosen = chosen[deviation[chosen] > 0]
    if len(chosen) == 0 or values.shape[0] < 2:
        return 0.0
    scaled = (values[:, chosen].toarray() - mean[chosen]) / deviation[chosen]
    unit = unit_rows(np.clip(scaled, -LARGEST_VALUE, LARGEST_VALUE))
    alike = unit @ unit.T
    np.fill_diagonal(alike, -1)
    return float(np.median(alike.max(axis=1)))
