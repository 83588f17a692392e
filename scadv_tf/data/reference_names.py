"""The name of a reference genome, or of a modality, before the names of genes or chromosomes."""

from __future__ import annotations

import pandas as pd

# GRCh38_CD3D, hg19_chr1, mm10___chr1, GRCh38.p13_1, human_CD3D: letters and digits as in the name
# of an assembly, or a species; or gene:CD3D, rna_CD3D, as GFF and Seurat have them. The contigs of
# a chromosome (chr1_KI270706v1_random) are no such, nor locus tags (PF3D7_0100100). Seurat makes
# each _ a dash (GRCh38-CD3D).
_WORDS = "human|mouse|homo_sapiens|mus_musculus|hsa?|mmu?|rna|gex|gene"
_MAKERS = "(?:(?:refdata|10x|cellranger|gex|arc|atac)[-_]+)*"  # refdata-gex-GRCh38-2020-A_CD3D
_NUMBERED = r"[A-Za-z]+_\d+(?:\.\d+)*"  # Rnor_6.0_Cd3d
_REFERENCES = (
    rf"(?i)^((?!chr){_MAKERS}(?:[A-Za-z]+\d[A-Za-z0-9.-]*|{_NUMBERED}|{_WORDS})_+(?:premrna_+)?)(?=[^_])(?!\d{{4,}}$)",
    rf"(?i)^((?!chr)(?:[A-Za-z]+\d[A-Za-z0-9.]*|{_WORDS})-+(?:premrna-+)?)(?=[^-])",
    rf"(?i)^((?!chr)(?:[A-Za-z]+\d[A-Za-z0-9.]*|{_WORDS})[:|]+)(?=[^:|])",
)
_NEARLY_ALL = 0.95  # spike-ins and transgenes have no prefix
# The first word of a name with the signs behind it, and the last with those before and behind it.
_ENDS = {"removeprefix": r"^([^\W_]+[\W_]+)(?=.)", "removesuffix": r"(?<=.)([\W_]+[^\W_]+[\W_]*)$"}


def without_reference(names: pd.Series) -> pd.Series:
    """The names without the reference that nearly all of them begin with, if there is one.

    Names of two references are left alone: chr1 of one species is not that of the other.

    Parameters
    ----------
    names : text; '' where missing.
    """
    for reference in _REFERENCES:
        prefixes = names.str.extract(reference, expand=False).value_counts()
        if len(prefixes) and prefixes.iloc[0] >= _NEARLY_ALL * names.ne("").sum():
            return names.str.removeprefix(prefixes.index[0])
    return names


def without_common_ends(names: pd.Series) -> pd.Series:
    """The names without the words that nearly all of them begin or end with.

    Whatever they are: CD3D_GRCh38, CD3D.hg19, CD3D (human), Gene Expression:CD3D.

    Parameters
    ----------
    names : text; '' where missing.
    """
    for remove, end in _ENDS.items():
        while True:
            ends = names.str.extract(end, expand=False).value_counts()
            if not len(ends) or ends.iloc[0] < _NEARLY_ALL * names.ne("").sum():
                break
            names = getattr(names.str, remove)(ends.index[0])
    return names
