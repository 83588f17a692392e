"""Peaks to gene activity: the counts in and just before each gene, added up."""

from __future__ import annotations

import logging
import re

import numpy as np
import pandas as pd
from scipy import sparse

from scadv_tf.config import DataConfig
from scadv_tf.data.bed_lines import IN_POWERS, position
from scadv_tf.data.features import KIND_COLUMN, feature_names, text_columns
from scadv_tf.data.gene_coordinates import GENOMES, chromosomes
from scadv_tf.data.interval_index import IntervalIndex
from scadv_tf.errors import InputError

logger = logging.getLogger(__name__)

DEFAULT_UPSTREAM = DataConfig.upstream

# chr1:1-2, 1:1-2, chr1-1-2, chr1_1_2, chr1:1..2; chromosome names may themselves hold - and _.
# Positions of more digits are on no chromosome.
_INTERVAL = r"^(?P<chrom>[^'\"]+)[:_|\s-](?P<start>\d{1,12})(?:[_|\s-]|\.\.)(?P<end>\d{1,12})$"
# chr1:1_000-2_000, which would pass for positions on a chromosome called chr1:1_000-2.
_THOUSANDS = re.compile(r"(?<=:)\d{1,3}(?:_\d{3})*-\d{1,3}(?:_\d{3})*$")
# What R and Python make of such names, and what they were. Here and below compiled, since Arrow,
# in which pandas 3 holds text, does not know all of what `re` knows.
_SPOILT = {
    r"^\s+|\s+$": "",
    "[‐-―−]": "-",  # dashes of text programs
    r"^[\[({](.*,.*)[\])}]$": r"\1",  # ('chr1', 1, 2)
    r"""\bb(?=["'])|["']""": "",  # b'chr1:1-2'
    # chrom=chr1;start=1;end=2
    r"(?i)^(?:chr|seq)[a-z]*\W+(\S+?)\W+start\W+(\d+)\W+(?:end|stop)\W+(\d+)$": r"\1:\2-\3",
    r"^[^:]+:.*": lambda name: re.sub(r"(?<=\d),(?=\d{3})", "", name[0]),  # chr1:1,000-2,000
    # chr1:1-2_peak5, chr1:1-2(+), chr1:1-2:500; and the numbers of what is there twice, chr1:1-2.1
    r"^(.+?:\d+-\d+)(?!e\+)[^\d.].*$": r"\1",
    r"^(.+?[:_-]\d+[_-]\d+)\.[1-9]\d*$": r"\1",
    r"^([^\s:,;|/#]+)(?:\s*[:,;|/#@]\s*|__)(\d+)(?:\s*[:,;|/#-]\s*|__)(\d+)$": r"\1:\2-\3",
    r"(?<=\d)\.0(?=-|$)": "",  # chr1:1.0-2.0
    IN_POWERS: lambda number: str(position(number[0])),  # chr1-1e+05-100500
    r"^(?:X(?=\d))?(.+)\.(\d+)\.(\d+)$": r"\1:\2-\3",  # chr1.1.2, X1.1.2: R wants plain names
}
# What stands before the chromosome: peak5_chr1:1-2, atac:chr1:1-2, hg38:chr1:1-2.
_BEFORE = re.compile(r"(?i)^((?!chr).*?[\W_])(?=chr)")
# What columns with the three parts are called, with _ for all that is no letter.
_OF = r"(?:peak_?|(?:genomic|query|chr(?:om(?:osome)?)?)_?)?"
_PARTS = (
    _OF + r"(?:chr(?:om(?:osome)?)?(?:_?name)?|seq_?(?:names?|id)|contig|scaffold)",
    _OF + r"(?:start|begin|from|left)(?:_?pos(?:ition)?|_?bp)?|bp1",
    _OF + r"(?:end|stop|to|right)(?:_?pos(?:ition)?|_?bp)?|bp2",
)
_WIDTH = _OF + r"width"
_RANGE = r"^\s*(\d{1,12})\s*(?:[-–_:]|\.\.)\s*(\d{1,12})\s*$"
# Names of places on chromosomes, however they are written.
_LIKE_PEAKS = re.compile(r"(?i)(?<![^\W_])chr(?:omosome)?[\W_]?(?:\d{1,2}|[XYM])(?![^\W_]).*\d")
_NEARLY_ALL = 0.95
# Gene tables carry coordinates too. In large genomes half of all genes are longer than 14 kb, peaks
# and genome bins are shorter than 10 kb. In any genome, genes have strands, and identifiers or many
# different words for names, while peaks are numbered behind one or a few.
_LONGEST_TYPICAL_PEAK = 10_000
_OF_PEAKS = r"(?i)peak|^chr"
_STRANDS = {"+", "-", "1", "-1", "2"}
_OF_GENES = "(?:gene_?)?(?:name|symbol)s?"
_GENE_IDENTIFIER = r"^(?:ENS[A-Z]*G\d{11}|FBgn\d+|WBGene\d+|AT[1-5CM]G\d{5}|Y[A-P][LR]\d{3}[CW])"
_WORDS = r"^([^\W\d_]*)"
_MANY_WORDS = 0.1
_FEW_PEAKS_IN_GENES = 0.1


def are_called_as_peaks(var: pd.DataFrame) -> bool:
    """Whether the names of the features, but for a few, are places such as ``chr1:1-2``."""
    return _named_places(pd.Series(feature_names(var)))[1] >= _NEARLY_ALL


def _named_places(names: pd.Series) -> tuple[pd.DataFrame, float]:
    """The places that names tell of, and the share of names that do."""
    peaks = _parse(names)
    return peaks, float(peaks["chrom"].ne("").mean())


def peak_intervals(var: pd.DataFrame) -> pd.DataFrame | None:
    """The intervals of the features if they are peaks.

    Read from the names (``chr1:1-2``, ``1:1-2``, ``chr1-1-2``, ``chr1_1_2``, and what R and Python
    make of them), else from columns such as chrom (chr, seqnames), start and end (or width), or
    chrom and ranges, else from a column of such names. Start is taken as 0-based, end as exclusive;
    tools differ by one base there, which changes next to no overlap.

    Parameters
    ----------
    var : the table of P features.

    Returns
    -------
    DataFrame [P] with chrom (normal form), start and end in base pairs, and var's index; None when
    the features are no peaks. A few names (under 5 %) may lack an interval: theirs is empty.

    Raises
    ------
    InputError : part of the names are intervals, part are not; or they name chromosomes in a way
        that is not known; or columns give starts without ends.
    """
    if KIND_COLUMN in var and (var[KIND_COLUMN].astype(str) == "Gene Expression").all():
        return None  # 10x files give intervals for genes as well
    names = pd.Series(feature_names(var), index=var.index)
    peaks, share = _named_places(names)
    if share >= _NEARLY_ALL:
        return peaks
    if share > 1 - _NEARLY_ALL:
        raise _mixed(names, peaks)
    peaks = _from_columns(var)
    if peaks is None and names.str.contains(_LIKE_PEAKS).mean() >= _NEARLY_ALL:
        raise _unread(names)
    if peaks is None and _lack_ends(var, names):
        raise _without_ends(var)
    if peaks is None or (peaks["end"] - peaks["start"]).median() > _LONGEST_TYPICAL_PEAK:
        return None
    return None if _are_genes(var, names) else peaks


def link_peaks(peaks: pd.DataFrame, genes: pd.DataFrame, upstream: int) -> sparse.csr_matrix:
    """Which peaks count for which genes.

    A peak belongs to each gene whose body, extended by ``upstream`` bases before the transcription
    start (at both ends if the strand is unknown), it overlaps by a base or more.

    Parameters
    ----------
    peaks : [P] chrom, start, end, as from `peak_intervals`.
    genes : [G] chrom, start, end, strand, as from `load_genes`.
    upstream : base pairs.

    Returns
    -------
    float32 CSR of zeros and ones [P, G].
    """
    return overlaps(peaks, with_upstream(genes, upstream))


def overlaps(first: pd.DataFrame, second: pd.DataFrame) -> sparse.csr_matrix:
    """Which intervals share a base or more; those of no length share none.

    Parameters
    ----------
    first, second : chrom, start, end of M and N intervals, as from `peak_intervals`.

    Returns
    -------
    float32 CSR of zeros and ones [M, N].
    """
    real = np.flatnonzero((first["end"] > first["start"]).to_numpy())
    chrom, start, end = (first[name].to_numpy()[real] for name in ("chrom", "start", "end"))
    codes, names = pd.factorize(chrom)
    index = IntervalIndex(second, names)
    known = index.known[codes]
    rows, columns = index.overlaps(codes[known], start[known], end[known])
    ones = np.ones(len(rows), dtype=np.float32)
    places = real[known][rows], columns
    return sparse.csr_matrix((ones, places), shape=(len(first), len(second)))


def links_of_genes(
    peaks: pd.DataFrame, genes: pd.DataFrame, upstream: int
) -> tuple[sparse.csr_matrix, pd.DataFrame]:
    """Which peaks count for which genes, without the genes that no peak counts for.

    Parameters
    ----------
    peaks, genes, upstream : see `link_peaks`.

    Returns
    -------
    links : float32 CSR of zeros and ones [P, G'].
    genes : the G' that have a peak, in the given order, by name.

    Raises
    ------
    InputError : no peak overlaps any gene, or upstream is negative.
    """
    if upstream < 0:
        raise InputError(
            what="the distance before the transcription start is negative",
            expected="--upstream of 0 or more base pairs",
            received=upstream,
            advice=f"leave it out for the default of {DEFAULT_UPSTREAM}",
        )
    links = link_peaks(peaks, genes, upstream)
    with_peak = reached(links)
    if not with_peak.any():
        raise _no_overlap(peaks, genes)
    share = count_linked(links) / len(peaks)
    if share < _FEW_PEAKS_IN_GENES:
        logger.warning(
            "only %.1f %% of the peaks lie in a gene: is this the right --genome or --genes?",
            100 * share,
        )
    return links[:, with_peak], genes[with_peak].set_index("gene").rename_axis(None)


def reached(links: sparse.csr_matrix) -> np.ndarray:
    """Which columns have an entry, such as genes with a peak, bool [columns]."""
    return np.diff(links.tocsc().indptr) > 0


def count_linked(links: sparse.csr_matrix) -> int:
    """How many rows have an entry, such as peaks in at least one gene."""
    return int(np.sum(np.diff(links.indptr) > 0))


def _parse(names: pd.Series) -> pd.DataFrame:
    """Intervals from names; an empty chromosome and interval where a name is none."""
    parts = _mended(names.astype(str)).str.extract(_INTERVAL)
    found = parts["chrom"].notna()
    ends = parts[["start", "end"]].fillna("0").astype(np.int64)
    found &= ends["end"] > ends["start"]
    return ends.where(found, 0).assign(
        chrom=chromosomes(_without_labels(parts["chrom"].fillna(""))).where(found, "")
    )[["chrom", "start", "end"]]  # fmt: skip


def _without_labels(chrom: pd.Series) -> pd.Series:
    """The chromosomes without what nearly all have before them, but for its numbers."""
    before = chrom.str.extract(_BEFORE, expand=False)
    shares = before.dropna().str.replace(r"\d+", "", regex=True).value_counts() / len(chrom)
    if shares.empty or shares.iloc[0] < _NEARLY_ALL:
        return chrom
    return chrom.str.replace(_BEFORE, "", regex=True)


def _mended(names: pd.Series) -> pd.Series:
    """The names in which those that are no intervals as they are were made so, if possible."""
    names = names.str.replace(_THOUSANDS, lambda ends: ends[0].replace("_", ""), regex=True)
    odd = ~names.str.match(_INTERVAL)
    mended = names[odd]
    for spoilt, right in _SPOILT.items():
        mended = mended.str.replace(re.compile(spoilt), right, regex=True)
    names[odd] = mended.to_numpy()
    return names


def _are_genes(var: pd.DataFrame, names: pd.Series) -> bool:
    """Whether features with places are genes, by their strands or names."""
    if names.str.contains(_OF_PEAKS).mean() >= _NEARLY_ALL:
        return False
    strand, column = _called(var, "strand"), _called(var, _OF_GENES)
    told = pd.Series(dtype=object) if strand is None else var[strand].astype(str)
    if told.isin(_STRANDS).mean() >= _NEARLY_ALL:
        if told[told.isin(_STRANDS)].nunique() > 1:
            return True
        # All on one strand are peaks of a program that wants one, or genes that have names.
        names = names if column is None else var[column].astype(str)
    return _like_genes(names)


def _like_genes(names: pd.Series) -> bool:
    """Whether names are of many different words, or identifiers."""
    words = names.str.extract(_WORDS, expand=False).nunique()
    return (
        words > max(1, _MANY_WORDS * len(names)) or names.str.match(_GENE_IDENTIFIER).mean() > 0.5
    )


def _lack_ends(var: pd.DataFrame, names: pd.Series) -> bool:
    """Whether features that are no genes have places without ends, as the tiles of ArchR."""
    chrom, start, end = (_called(var, part) for part in _PARTS)
    if chrom is None or start is None or end is not None or _are_genes(var, names):
        return False
    texts = text_columns(var).drop(columns=chrom, errors="ignore")
    return not any(_like_genes(texts[name].astype(str)) for name in texts)


def _from_columns(var: pd.DataFrame) -> pd.DataFrame | None:
    chrom, start, end = (_called(var, part) for part in _PARTS)
    texts, width = text_columns(var), _called(var, _WIDTH)
    if chrom is not None and start is not None and end is not None:
        return _nearly_all(_joined(var[chrom], var[start], var[end]))
    if chrom is not None and start is not None and width is not None:
        parts = (pd.to_numeric(var[name].astype(str), "coerce") for name in (start, width))
        return _nearly_all(_joined(var[chrom], var[start], sum(parts)))
    for name in texts if chrom is not None else ():
        ends = texts[name].astype(str).str.extract(_RANGE)
        if ends[0].notna().mean() >= _NEARLY_ALL:
            return _nearly_all(_joined(var[chrom], ends[0], ends[1]))
    for name in texts:
        if _nearly_all(_parse(texts[name].head(100))) is not None:
            return _nearly_all(_parse(texts[name]))
    return None


def _called(var: pd.DataFrame, part: str) -> str | None:
    """The column of so named ones with the shortest name: 'start' rather than 'peak_start'."""
    plain = {name: re.sub(r"[\W_]+", "_", str(name).casefold()).strip("_") for name in var}
    return min((name for name in var if re.fullmatch(part, plain[name])), key=len, default=None)


def _joined(chrom: pd.Series, start: pd.Series, end: pd.Series) -> pd.DataFrame:
    """The intervals of three columns."""
    chrom, start, end = (part.astype(str).str.removesuffix(".0") for part in (chrom, start, end))
    return _parse(chrom + ":" + start + "-" + end)


def _nearly_all(peaks: pd.DataFrame) -> pd.DataFrame | None:
    """The intervals, if nearly all are such."""
    return peaks if peaks["chrom"].ne("").mean() >= _NEARLY_ALL else None


def _mixed(names: pd.Series, peaks: pd.DataFrame) -> InputError:
    unnamed = peaks["chrom"].eq("").to_numpy()
    return InputError(
        what="part of the ATAC features are peaks, part are not",
        expected="peaks named like chr1:1000-2000, or genes",
        received=f"{np.sum(~unnamed):,} peaks such as {names[~unnamed].iloc[0]} and "
        f"{np.sum(unnamed):,} others such as {', '.join(names[unnamed].iloc[:3])}",
        advice="keep only the peaks, or only the gene activity, in the ATAC file",
    )


def _unread(names: pd.Series) -> InputError:
    return InputError(
        what="the features look like peaks, but it is not known how to read their names",
        expected="names like chr1:1000-2000, or columns chrom, start and end in var",
        received=", ".join(names.iloc[:3]),
        advice="name them so, chromosome, start and end in base pairs",
    )


def _without_ends(var: pd.DataFrame) -> InputError:
    return InputError(
        what="the places of the features have starts and no ends",
        expected="columns chrom, start and end (or width) in var",
        received="columns " + ", ".join(map(str, var)),
        advice="add the ends: adata.var['end'] = adata.var['start'] + 500 for tiles of 500 base "
        "pairs, as those of ArchR are unless it was given another tileSize",
    )


def _no_overlap(peaks: pd.DataFrame, genes: pd.DataFrame) -> InputError:
    received = [", ".join(t["chrom"][t["chrom"] != ""].unique()[:5]) for t in (peaks, genes)]
    return InputError(
        what="no peak lies in any gene",
        expected="peaks and genes of the same genome",
        received=f"peaks on {received[0]}; genes on {received[1]}",
        advice=f"choose another --genome ({', '.join(GENOMES)}), or give --genes=FILE (BED or GTF)",
    )


def with_upstream(genes: pd.DataFrame, upstream: int) -> pd.DataFrame:
    """Gene bodies with the bases before the transcription start."""
    before = np.where(genes["strand"] == "-", 0, upstream)
    after = np.where(genes["strand"] == "+", 0, upstream)
    start = np.maximum(genes["start"] - before, 0)
    return genes.assign(start=start, end=genes["end"] + after)
