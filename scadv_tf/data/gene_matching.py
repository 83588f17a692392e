"""Which gene of one modality is which gene of the other."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import sparse

from scadv_tf.data.features import ORIGINAL_NAME, feature_names, text_columns
from scadv_tf.data.one_line import one_line
from scadv_tf.data.reference_names import without_common_ends, without_reference
from scadv_tf.errors import InputError

INDEX = "index"
MANY_MISSING = 0.2  # share of a model's genes from which a user should hear more than a number

_FAR_BETTER = 2.0
# Ensembl identifiers only: in symbols such as AL627309.1 the number is part of the name.
_VERSION = r"^(ENS[A-Z]*\d{11})\.\d+(?:_PAR_Y)?$"
# ENSG00000167286_CD3D, CD3D (ENSG00000167286), and what else may stand between.
_IDENTIFIER = r"ENS[A-Z]*G\d{11}(?:\.\d+)?"
_SYMBOL = r"((?=.*[^\W\d_]).*[^\W_])"  # with a letter: a number alone is a version
_BOTH = rf"^(?:{_IDENTIFIER}[\W_]+{_SYMBOL}\W*|{_SYMBOL}[\W_]+{_IDENTIFIER}\W*)$"
_NEARLY_ALL = 0.95
# Compiled, since Arrow, in which pandas 3 holds text, knows no \1.
_QUOTES = re.compile(r"""^\s*b?(["'])(.*)\1\s*$""")  # b'CD3D'
# Where hardly any name is shared, names may be made of parts: CD3D|915, chr11:118338000:CD3D.
_HARDLY_ANY = 0.1
_DIFFERENT = 0.5  # of the names in a column
_BETWEEN_PARTS = r"[|;,:/\s]+"  # no symbol has one of these
_MOST_PARTS = 8


@dataclass(frozen=True, eq=False)
class _Names:
    """One way to read the names of features.

    Attributes
    ----------
    where : 'index' or the column of var that has them.
    names : text of one line [features]; '' where missing.
    keys : the different names after all steps of the matching.
    """

    where: str
    names: np.ndarray
    keys: frozenset[str]

    @classmethod
    def of(cls, where: str, names: np.ndarray) -> _Names:
        """Makes the keys."""
        return cls(where, names, frozenset(_plainest(_unmatched(names))))

    def readings(self) -> list[_Names]:
        """What else these names may be: less what nearly all begin or end with, or a part of each.

        None that takes several for one, as the genes of two species without its name would be.
        """
        names = pd.Series(self.names, dtype=object)
        bare = without_common_ends(names)
        parts = names.str.split(_BETWEEN_PARTS, n=_MOST_PARTS, regex=True, expand=True).fillna("")
        texts = [bare, *(parts[number] for number in parts if parts.shape[1] > 1)]
        found = [_Names.of(self.where, _symbols(text.astype(object))) for text in texts]
        return [each for each in found if len(each.keys) >= _NEARLY_ALL * len(self.keys)]


@dataclass(frozen=True, eq=False)
class GeneMatch:
    """The G shared genes and how to get there from each modality's columns.

    Attributes
    ----------
    genes : names [G], text, in the order of RNA.
    rna_sum, atac_sum : 0/1 CSR [RNA features, G] and [ATAC features, G]: which columns add up.
    matched_how : number of genes matched 'exact', without 'version', with each _ and . a 'dash', or
        ignoring 'case'.
    duplicates_summed : columns of either modality that were added to another one.
    left_out : columns of ATAC that name a gene once more, and do not add up.
    names_from : where RNA and ATAC have the names: 'index' or a column of var.
    """

    genes: np.ndarray
    rna_sum: sparse.csr_matrix
    atac_sum: sparse.csr_matrix
    matched_how: dict[str, int]
    duplicates_summed: int
    left_out: int = 0
    names_from: tuple[str, str] = (INDEX, INDEX)

    def warnings(self, advice: str) -> list[str]:
        """Of genes of two species (CD3D, Cd3d), which match in spite of upper and lower case.

        And of repeated columns that were left out.
        """
        found = []
        if 2 * self.matched_how["case"] > len(self.genes):
            found.append(
                f"most genes match only when upper and lower case are taken as one: {advice}"
            )
        if self.left_out:
            found.append(
                f"{self.left_out:,} columns name a gene once more and were left out: the first is "
                "taken, since levels do not add up"
            )
        return found


def match_features(
    rna_var: pd.DataFrame, atac_var: pd.DataFrame, minimum: int, summed: bool = True
) -> GeneMatch:
    """Match the genes of two feature tables, wherever each has its best names.

    Parameters
    ----------
    rna_var, atac_var : the tables of features.
    minimum : fewest shared genes.
    summed : whether ATAC columns of one gene add up; else the first is taken, as of levels.

    Raises
    ------
    InputError : fewer genes are shared.
    """
    rna, atac = _choose_names(rna_var, atac_var)
    match = match_genes(rna.names, atac.names, summed)
    if len(match.genes) >= minimum:
        return replace(match, names_from=(rna.where, atac.where))
    shown = (_given(var, of.where)[:3] for var, of in ((rna_var, rna), (atac_var, atac)))
    rna_names, atac_names = (", ".join(map(str, names)) for names in shown)
    raise InputError(
        what=f"the modalities share only {len(match.genes)} genes",
        expected=f"at least {minimum}",
        received=f"RNA names such as {rna_names}; ATAC names such as {atac_names}",
        advice=_advice(rna.names, atac.names),
    )


def _advice(rna: np.ndarray, atac: np.ndarray) -> str:
    """What to do about names of genes that are not the same."""
    by_identifier = {
        name: pd.Series(genes).str.fullmatch(_IDENTIFIER).mean() > 0.5
        for name, genes in (("RNA", rna), ("ATAC", atac))
    }
    if sum(by_identifier.values()) == 1:
        one, other = sorted(by_identifier, key=by_identifier.__getitem__, reverse=True)
        return (
            f"the {one} genes are called by Ensembl identifiers and those of {other} are not; the "
            "embedded genomes have symbols: give the cells a column of var with the others' names "
            "('gene_name'), or --genes=FILE with a GTF, which has both"
        )
    return (
        "name the genes alike in both (symbols or Ensembl identifiers, in the index or a "
        "column of var such as 'gene_name'), check that species and --genome are right, "
        "or lower --min_shared_genes"
    )


def _choose_names(rna_var: pd.DataFrame, atac_var: pd.DataFrame) -> tuple[_Names, _Names]:
    """Where each modality has the gene names that match best, and what they are.

    Columns win only where they give more than twice as many shared genes as the two indexes do;
    and so do other readings of the names, where hardly any are shared as they are.
    """
    rna, atac = _candidates(rna_var), _candidates(atac_var)
    best = _best(rna, atac)
    if _shared(best) < _HARDLY_ANY * min(len(rna_var), len(atac_var)):
        for table in (rna, atac):
            table += [reading for names in table for reading in names.readings()]
        best = _best(rna, atac)
    return best


def _best(rna: list[_Names], atac: list[_Names]) -> tuple[_Names, _Names]:
    first, *_ = pairs = list(itertools.product(rna, atac))  # the indexes
    best = max(pairs, key=_shared)  # the first of equals
    return best if _shared(best) > _FAR_BETTER * _shared(first) else first


def _shared(pair: tuple[_Names, _Names]) -> int:
    return len(pair[0].keys & pair[1].keys)


def _given(var: pd.DataFrame, where: str) -> np.ndarray | pd.Series:
    """The names in 'index' or a column, as the file has them."""
    return feature_names(var) if where == INDEX else var[where]


def _names(var: pd.DataFrame, where: str) -> np.ndarray:
    """The gene names [features], text of one line, from 'index' or a column; '' where missing.

    The name of a reference before nearly all of them (GRCh38_CD3D) is none of theirs, nor are
    quotes (b'CD3D') and spaces around them.
    """
    column = pd.Series(_given(var, where), dtype=object)
    names = column.where(column.notna(), "").astype(str).map(one_line)
    names = names.str.replace(_QUOTES, r"\2", regex=True).str.strip()
    return _symbols(without_reference(names))


def _symbols(names: pd.Series) -> np.ndarray:
    """The symbols, where nearly all names are an identifier and a symbol; else the names."""
    found = names.str.extract(_BOTH)
    symbols = found[0].where(found[0].notna(), found[1])
    if symbols.notna().mean() >= _NEARLY_ALL:
        names = symbols.fillna(names)
    return names.to_numpy(dtype=str)


def match_genes(rna_names: np.ndarray, atac_names: np.ndarray, summed: bool = True) -> GeneMatch:
    """Match genes by exact name, then without Ensembl version, with dashes, then ignoring case.

    Each step looks only at the names that no earlier step has matched, so that an exact match is
    never diluted. All columns of a modality with the same name in a step are one gene.
    """
    rna_keys, atac_keys = _unmatched(rna_names), _unmatched(atac_names)
    found: list[tuple[pd.Series, pd.Series]] = []
    matched_how = {}
    for how, normal_form in _STEPS.items():
        rna_keys, atac_keys = normal_form(rna_keys), normal_form(atac_keys)
        of_rna, of_atac = rna_keys.isin(atac_keys), atac_keys.isin(rna_keys)
        found.append((rna_keys[of_rna], atac_keys[of_atac]))
        matched_how[how] = rna_keys[of_rna].nunique()
        rna_keys, atac_keys = rna_keys[~of_rna], atac_keys[~of_atac]
    # A key alone may repeat between steps, so a gene is the step and the key.
    rna = pd.concat([str(step) + r for step, (r, _) in enumerate(found)]).sort_index()
    atac = pd.concat([str(step) + a for step, (_, a) in enumerate(found)])
    repeated = 0
    if not summed:
        atac, given = atac.sort_index().drop_duplicates(), len(atac)
        repeated = given - len(atac)
    genes = pd.Index(rna.unique())
    first = rna.drop_duplicates().index
    return GeneMatch(
        genes=rna_names[first].astype(str),
        rna_sum=_indicator(rna, genes, len(rna_names)),
        atac_sum=_indicator(atac, genes, len(atac_names)),
        matched_how=matched_how,
        duplicates_summed=len(rna) + len(atac) - 2 * len(genes),
        left_out=repeated,
    )


_STEPS: dict[str, Callable[[pd.Series], pd.Series]] = {
    "exact": lambda names: names,
    "version": lambda names: names.str.replace(_VERSION, r"\1", regex=True),
    # Seurat has - for _, and R . for -
    "dash": lambda names: names.str.replace("[_.]", "-", regex=True),
    "case": lambda names: names.str.casefold(),
}


def _candidates(var: pd.DataFrame) -> list[_Names]:
    # Every program has its own name for the column of gene names, so any text may be that.
    columns = [name for name in text_columns(var) if name != ORIGINAL_NAME]
    index, *others = (_Names.of(where, _names(var, where)) for where in (INDEX, *columns))
    # A column of kinds of genes names none of them.
    return [index, *(n for n in others if len(n.keys) > _DIFFERENT * np.sum(n.names != ""))]


def _plainest(names: pd.Series) -> pd.Series:
    """The names after all steps."""
    for normal_form in _STEPS.values():
        names = normal_form(names)
    return names


def _unmatched(names: np.ndarray) -> pd.Series:
    names = pd.Series(names, dtype=object)
    return names[names != ""]


def _indicator(keys: pd.Series, genes: pd.Index, size: int) -> sparse.csr_matrix:
    ones = np.ones(len(keys), dtype=np.float32)
    columns = genes.get_indexer(keys)
    return sparse.csr_matrix((ones, (keys.index, columns)), shape=(size, len(genes)))
