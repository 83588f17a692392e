"""Which gene an antibody's target is the product of, by the antibody's name.

Names are those of targets, by clusters of differentiation or else, as panels write them, with what
makers and programs add: anti-CD3 (UCHT1), CD3_TotalSeqB, adt_CD3, CD279 (PD-1), CD3:UCHT1|CD3E|….
The table is this project's own, of human and mouse; isoforms of a protein (CD45RA, CD45RO) are one
gene, and complexes are one of their chains.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from scadv_tf.data.features import feature_names, text_columns
from scadv_tf.data.one_line import first_of

TABLE = Path(__file__).parent / "assets" / "antibodies" / "genes.tsv"
SPECIES = ("human", "mouse")
_ISOTYPE = re.compile(r"iso(?!\w*form)|contro?l|ctrl|mopc|\big ?g ?\d", re.IGNORECASE)
_LABEL = re.compile(r"hash ?tag|\bhto|multiplex|cmo\d|\bbarcode", re.IGNORECASE)
# Not part of a target's name, so no gene's either.
_AROUND = {"adt", "prot", "protein", "antibody", "ab", "anti", "pabo", "totalseq"}
_AROUND |= {f"totalseq{kit}" for kit in "abcd"}
_AROUND |= {"human", "mouse", "rat", "hamster", "hu", "ms", "hums"}
_GREEK = str.maketrans("αβγδε", "abgde")
_CD = re.compile(r"cd\d+")
_SHORTEST = 3  # of a name that may stand beside other words
MOST_NAMES = 8  # in a sentence


@dataclass(frozen=True, eq=False)
class Antibodies:
    """What antibodies stand for.

    Attributes
    ----------
    genes : symbol of each antibody's gene [F], text; '' for none.
    controls : names of isotype controls and of tags of samples, which are left out.
    unknown : names that nothing is known of, which are left out.
    named : antibody -> gene, where they differ.
    """

    genes: np.ndarray
    controls: list[str]
    unknown: list[str]
    named: dict[str, str]

    def lines(self) -> list[str]:
        """What was made of the names, for the user."""
        found = [f"antibodies: {np.sum(self.genes != ''):,} of {len(self.genes):,} name a gene"]
        if self.named:
            found[0] += ", such as " + first_of([f"{a} for {g}" for a, g in self.named.items()], 4)
        if self.controls:
            found.append(
                f"left out: isotype controls and tags {first_of(self.controls, MOST_NAMES)}"
            )
        return found

    def warnings(self) -> list[str]:
        """Of names that are not known."""
        if not self.unknown:
            return []
        return [
            f"it is not known which gene these antibodies are for, so they are left out: "
            f"{first_of(self.unknown, MOST_NAMES)}. Name them by gene symbols to keep them"
        ]


def antibodies_of(names: Iterable[str], reference: Iterable[str]) -> Antibodies:
    """The genes of antibodies, of the species that has more of them in the reference.

    Parameters
    ----------
    names : of the antibodies [F].
    reference : names of the reference's genes, of any column; a gene's own symbol counts as known.
    """
    names, known = list(map(str, names)), set(map(str, reference))
    table = _table()
    found = [_kind_of(name, table) for name in names]
    pairs = [pair for pair, _ in found if pair]
    hits = [sum(pair[i] in known for pair in pairs) for i in range(len(SPECIES))]
    species = int(np.argmax(hits))
    by_case = {name.casefold(): name for name in known}
    genes: list[str] = []
    controls: list[str] = []
    unknown: list[str] = []
    for name, (pair, is_control) in zip(names, found, strict=True):
        gene = pair[species] if pair else ""
        if not gene and not is_control:
            gene = by_case.get(_own_symbol(name), "")
        if not gene:
            (controls if is_control else unknown).append(name)
        genes.append(gene)
    named = {name: gene for name, gene in zip(names, genes, strict=True) if gene not in ("", name)}
    return Antibodies(np.array(genes, dtype=object), controls, unknown, named)


def as_genes(var: pd.DataFrame, reference: pd.DataFrame) -> tuple[pd.DataFrame, Antibodies]:
    """The table of antibodies by the names of genes, '' for none.

    Parameters
    ----------
    var, reference : tables of features, of antibodies and of RNA.
    """
    texts = text_columns(reference)
    known = [reference.index, *(texts[column].dropna() for column in texts)]
    found = antibodies_of(feature_names(var), {str(name) for column in known for name in column})
    return pd.DataFrame(index=pd.Index(found.genes, dtype=object)), found


@functools.cache
def _table() -> dict[str, tuple[str, str]]:
    """Name in small letters and digits -> symbols of human and mouse, '' for none."""
    table = pd.read_csv(TABLE, sep="\t", dtype=str, na_filter=False)
    return {antibody: (human, mouse) for antibody, human, mouse in table.itertuples(index=False)}


def _kind_of(name: str, table: dict) -> tuple[tuple[str, str] | None, bool]:
    """The symbols of an antibody, None for none, and whether it is for no target."""
    spaced = name.replace("_", " ")
    if _ISOTYPE.search(spaced) or _LABEL.search(spaced):
        return None, True
    return next((table[run] for run in _runs(name) if run in table), None), False


def _runs(name: str) -> Iterable[str]:
    """What of a name may be the target's, the longest and foremost first.

    CD4.1 is a second CD4, as programs number names that repeat, and not CD41.
    """
    words = re.findall(r"[a-z0-9]+", name.casefold().translate(_GREEK))
    words = [word for word in words if word not in _AROUND]
    for length in range(len(words), 0, -1):
        for start in range(len(words) - length + 1):
            run = words[start : start + length]
            numbered = any(_CD.fullmatch(a) and b[0].isdigit() for a, b in pairwise(run))
            if not numbered and (length == len(words) or len("".join(run)) >= _SHORTEST):
                yield "".join(run)


def _own_symbol(name: str) -> str:
    """A gene's symbol with what stands around it taken off, in small letters."""
    plain = re.sub(r"[\s_]+", " ", name.casefold()).split(" ")
    kept = [word for word in plain if re.sub(r"\W", "", word) not in _AROUND]
    return kept[0].removeprefix("anti-") if len(kept) == 1 else ""
