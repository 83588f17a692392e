"""What the features of a file are called, and of which modality they are."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from scadv_tf.errors import InputError

logger = logging.getLogger(__name__)

# Names as in the file, kept where they had to be made unique: the gene matching sums duplicates.
ORIGINAL_NAME = "original_name"
# What the column `feature_types` says, in 10x files and in those derived from them.
_KINDS = {
    "rna": {"gene expression", "gex", "rna"},
    "atac": {"peaks", "atac", "gene activity", "geneactivity"},
}
_OTHER_KINDS = {"antibody capture", "crispr guide capture", "multiplexing capture", "custom", "adt"}


def feature_names(var: pd.DataFrame) -> np.ndarray:
    """The names of the features as the file gave them, duplicates included ([features], text)."""
    names = var[ORIGINAL_NAME] if ORIGINAL_NAME in var else var.index
    return np.asarray(names, dtype=str)


def with_unique_names(var: pd.DataFrame) -> pd.DataFrame:
    """The same table; where names repeat, they get a number, and it remembers them as they were."""
    if var.index.is_unique:
        return var
    return var.assign(**{ORIGINAL_NAME: var.index}).set_axis(numbered(var.index))


def numbered(names: pd.Index) -> pd.Index:
    """Names of which repeated ones get a number."""
    from anndata.utils import make_index_unique

    return make_index_unique(names)


def features_of(var: pd.DataFrame, modality: str, path: Path, strict: bool) -> np.ndarray:
    """Which features are of one modality, bool [features]: all, unless ``feature_types`` tells.

    Parameters
    ----------
    strict : whether 'Gene Expression' is what the machine saw, as in 10x files; elsewhere gene
        activity may have kept that column of the table that it was made with.

    Raises
    ------
    InputError : none is.
    """
    everything = np.ones(len(var), dtype=bool)
    if "feature_types" not in var:
        return everything
    kinds = var["feature_types"].astype(str).str.strip().str.casefold()
    known = set().union(*_KINDS.values(), _OTHER_KINDS)
    wanted = kinds.isin(_KINDS[modality]).to_numpy()
    if wanted.all() or not kinds.isin(known).any():  # other files keep biotypes in this column
        return everything
    if wanted.any():
        logger.info("%s: %d of %d features are %s", path.name, wanted.sum(), len(wanted), modality)
        return wanted
    if modality == "atac" and not strict and kinds.isin(_KINDS["rna"]).all():
        return everything
    raise InputError(
        what=f"{path.name} holds no {modality.upper()} features",
        expected="Gene Expression" if modality == "rna" else "Peaks",
        received=", ".join(var["feature_types"].astype(str).unique()),
        advice="check that RNA and ATAC are not swapped",
    )
