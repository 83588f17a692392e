"""The columns of any table of features, in the order of a model's genes."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
from scipy import sparse

from scadv_tf.data.gene_matching import match_features
from scadv_tf.errors import InputError

logger = logging.getLogger(__name__)

MANY_MISSING = 0.2  # share of the genes from which a user should hear more than a number


def gene_columns(var: pd.DataFrame, genes: np.ndarray) -> sparse.csr_matrix:
    """Which features add up to which of the model's genes.

    Names are matched as in training: exactly, then without Ensembl version, then ignoring case;
    features of the same name add up. Missing genes are 0, as unmeasured ones were in training.

    Parameters
    ----------
    var : table of F features, names in the index or in a column such as 'gene_name'.
    genes : names of the model's genes [G].

    Returns
    -------
    float32 CSR of zeros and ones [F, G]; ``counts @ gene_columns(var, genes)`` is the input.

    Raises
    ------
    InputError : no gene is known.
    """
    try:
        match = match_features(pd.DataFrame(index=pd.Index(genes, dtype=object)), var, 1)
    except InputError as error:
        raise InputError(
            what="none of the model's genes is in the input",
            expected=f"genes such as {', '.join(map(str, genes[:3]))}",
            received=f"features such as {', '.join(map(str, var.index[:3]))}",
            advice="name the genes as in training, in the index or a column of var such as "
            "'gene_name', and check the species; for peaks the model must know where genes lie",
        ) from error
    missing = 1 - len(match.genes) / len(genes)
    if missing:
        logger.warning(
            "%.1f %% of the model's genes (%d of %d) are not in the input and count as 0%s",
            100 * missing,
            len(genes) - len(match.genes),
            len(genes),
            ": check the names and the species" if missing > MANY_MISSING else "",
        )
    return sparse.csr_matrix(match.atac_sum @ match.rna_sum.T, dtype=np.float32)
