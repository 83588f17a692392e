"""What features are called, and of which modality those of a file are."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from scadv_tf.errors import InputError

logger = logging.getLogger(__name__)

# Names as in the file, kept where they had to be made unique: the gene matching sums duplicates.
ORIGINAL_NAME = "scadv_original_name"  # a column of the reader, and none of a file
# What the column of kinds says, in 10x files and in those derived from them.
KIND_COLUMN = "feature_types"
KIND_NAMES = {
    "rna": {
        *("gene expression", "gene_expression", "geneexpression", "expression", "gex"),
        *("rna", "rna-seq", "rnaseq", "scrna", "scrna-seq", "snrna-seq"),
    },
    "atac": {
        *("peaks", "peak", "gene activity", "gene_activity", "geneactivity"),
        *("atac", "atac-seq", "atacseq", "scatac", "scatac-seq", "snatac-seq", "atac peaks"),
        *("chromatin accessibility", "chromatin_accessibility", "accessibility"),
    },
    "protein": {"antibody capture", "adt", "protein"},
    "methylation": {"methylation"},
}
_OTHER_KINDS = {"crispr guide capture", "multiplexing capture", "custom"}
_CALLED = {"rna": "RNA", "atac": "ATAC"}
_EXPECTED = {"rna": "Gene Expression", "atac": "Peaks", "protein": "Antibody Capture"}


def feature_names(var: pd.DataFrame) -> np.ndarray:
    """The names of the features as the file gave them, duplicates included ([features], text)."""
    names = var[ORIGINAL_NAME] if ORIGINAL_NAME in var else var.index
    return np.asarray(names, dtype=str)


def interval_names(places: pd.DataFrame) -> pd.Index:
    """Names such as chr1:100-200 of intervals, from their columns chrom, start and end."""
    ends = places["start"].astype(str) + "-" + places["end"].astype(str)
    return pd.Index(places["chrom"] + ":" + ends, dtype=object)


def text_columns(table: pd.DataFrame) -> pd.DataFrame:
    """The columns that may hold text."""
    return table.select_dtypes(["object", "string", "category"])


def with_unique_names(var: pd.DataFrame) -> pd.DataFrame:
    """The same table; where names repeat, they get a number, and it remembers them as they were."""
    if var.index.is_unique:
        return var
    return var.assign(**{ORIGINAL_NAME: var.index}).set_axis(numbered(var.index))


def with_columns_of(var: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """The table with the columns that it lacks of another, by the names of the features.

    ``raw`` is often kept before symbols are added to the table of X. Kinds of features are not
    taken where the other has not all of them: the rest would be of none.
    """
    if not (var.index.is_unique and other.index.is_unique):
        return var
    lacking = other.columns.difference(var.columns, sort=False)
    if not var.index.isin(other.index).all():
        lacking = lacking.drop(KIND_COLUMN, errors="ignore")
    return var.join(other[lacking])


def numbered(names: pd.Index) -> pd.Index:
    """Names of which repeated ones get a number."""
    from anndata.utils import make_index_unique

    return make_index_unique(names)


def features_of(var: pd.DataFrame, kind: str, path: Path, strict: bool) -> np.ndarray:
    """Which features are of one kind, bool [features]: all, unless ``feature_types`` tells.

    Parameters
    ----------
    kind : one of `KIND_NAMES`.
    strict : whether 'Gene Expression' is what the machine saw, as in 10x files; elsewhere gene
        activity may have kept that column of the table that it was made with.

    Raises
    ------
    InputError : none is.
    """
    everything = np.ones(len(var), dtype=bool)
    if KIND_COLUMN not in var:
        return everything
    kinds = var[KIND_COLUMN].astype(str).str.strip().str.casefold()
    known = set().union(*KIND_NAMES.values(), _OTHER_KINDS)
    wanted = kinds.isin(KIND_NAMES[kind]).to_numpy()
    if wanted.all() or not kinds.isin(known).any():  # other files keep biotypes in this column
        return everything
    if wanted.any():
        logger.info("%s: %d of %d features are %s", path.name, wanted.sum(), len(wanted), kind)
        return wanted
    made_of_genes = kind in ("atac", "methylation") and not strict
    if made_of_genes and kinds.isin(KIND_NAMES["rna"]).all():
        return everything
    raise InputError(
        what=f"{path.name} holds no {_CALLED.get(kind, kind)} features",
        expected=_EXPECTED.get(kind, kind),
        received=", ".join(var[KIND_COLUMN].astype(str).unique()),
        advice="check that RNA and ATAC are not swapped",
    )
