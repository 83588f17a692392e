"""Where genes lie: the embedded tables, or the user's BED, GTF or GFF."""

from __future__ import annotations

import csv
import logging
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from scadv_tf.data.bed_lines import intervals_in, position
from scadv_tf.data.one_line import one_line
from scadv_tf.data.reference_names import without_reference
from scadv_tf.data.text_blocks import ENCODING, is_gzipped, open_text
from scadv_tf.errors import InputError
from scadv_tf.files import at_home

logger = logging.getLogger(__name__)

# The embedded genomes, and what else they are called, without the patch, which moves no gene.
GENOMES = {"hg38": ("grch38",), "hg19": ("grch37", "b37", "hs37d5"), "mm10": ("grcm38",)}
# The longest genes of man and mouse (RBFOX1, CNTNAP2) measure 2.3 to 2.5 Mb: what is longer is
# several loci of one symbol taken for one gene.
MAX_GENE_LENGTH = 3_000_000

# chr1, Chr01, chromosome_1; but chr_Un is no number, and chrUn_1 no chromosome 1.
_PREFIX = r"(?i)^chr(?:om(?:osome)?)?(?:[\W_]?0*(?=\d)|[\W_](?=[XYM]T?$))?"
# A patch, and what 10x has around a genome in the names of its references.
_AROUND = (
    r"^refdata-(?:gex-|cellranger-(?:arc-|atac-)?)?"
    r"|(?:[._]p\d+)?(?:-20\d\d-[a-z])?(?:-\d+\.\d+\.\d+)?$"
)
_CHROMOSOMES = {"MT": "M", "Mt": "M", "mt": "M", "m": "M", "x": "X", "y": "Y"}
# RefSeq numbers chromosomes through, in any version: NC_000001 is the first of man, NC_000067 of
# the mouse.
_REFSEQ = {
    **{f"NC_{number:06d}": str(number) for number in range(1, 23)},
    **{f"NC_{66 + number:06d}": str(number) for number in range(1, 20)},
    **{"NC_000023": "X", "NC_000024": "Y", "NC_012920": "M"},
    **{"NC_000086": "X", "NC_000087": "Y", "NC_005089": "M"},
}

_ASSETS = Path(__file__).parent / "assets" / "genes"
_COLUMNS = ["chrom", "start", "end", "gene", "strand"]
_GTF_ENDINGS = (".gtf", ".gff", ".gff3")
_GTF_COLUMNS = {0: "chrom", 2: "feature", 3: "start", 4: "end", 6: "strand", 8: "attributes"}
_GTF_ROWS_AT_ONCE = 500_000
# Types of rows: of genes, in GFF also 'ncRNA_gene' or 'pseudogene'. Where there are none, a gene is
# the span of its transcripts, or of its exons.
_GENE = r"(?:\w+_)?(?:pseudo)?gene"
_GTF_FEATURES = (_GENE, "transcript|mRNA", "exon")
# FlyBase calls a transcript 'pseudogene': rows but 'gene' that are part of another are no genes.
_PART = r"(?:^|;)\s*Parent="


def load_genes(source: str) -> pd.DataFrame:
    """Gene coordinates, 0-based half-open, one row a gene.

    A gene that comes in several rows (transcripts, exons, several loci) becomes one span where they
    lie on one chromosome within ``MAX_GENE_LENGTH``; otherwise the longest is kept. Rows that are
    longer than that are left out. A gene whose rows disagree about the strand gets '.'.

    Parameters
    ----------
    source : an embedded genome (tables of UCSC refFlat), see `embedded_genome`, or the path of
        a BED (chrom, start, end, name and, in column 6, strand) or of a GTF or GFF; gzipped or not.

    Returns
    -------
    DataFrame with chrom (in the normal form of `chromosomes`), start, end (base pairs), gene and
    strand ('+', '-' or '.'); from GTF and GFF also gene_id. Ordered by place.

    Raises
    ------
    InputError : unknown genome, missing or malformed file, or no gene in it.
    """
    path = _path_of(source)
    name = path.name.casefold().removesuffix(".gz")
    read = _read_gtf if name.endswith(_GTF_ENDINGS) else _read_bed
    try:
        genes = read(path)
    except (OSError, EOFError, ValueError, KeyError, zlib.error) as error:
        raise _malformed(path, f"{type(error).__name__}: {error}") from error
    genes = genes[(genes["gene"] != "") & (genes["end"] > genes["start"])]
    if genes.empty:
        raise _malformed(path, "no gene")
    if (genes["start"] < 0).any():
        raise _malformed(path, "a position of 0, where the first base is 1")
    genes["chrom"] = chromosomes(genes["chrom"])
    genes.loc[~genes["strand"].isin(["+", "-"]), "strand"] = "."
    too_long = genes["end"] - genes["start"] > MAX_GENE_LENGTH
    if too_long.any() and not _embedded(source):  # of whose tables nobody has to be told
        logger.info("%d genes longer than any real gene were left out", too_long.sum())
    genes = _one_row_a_gene(genes[~too_long])
    return genes.sort_values(["chrom", "start", "end", "gene"], ignore_index=True)


def embedded_genome(name: str) -> str:
    """The embedded genome of this name, 'hg38' for 'GRCh38', 'GRCh38.p14', 'HG38' or 10x's names.

    Raises
    ------
    InputError : there is none.
    """
    found = _embedded(name)
    if found is not None:
        return found
    raise InputError(
        what="the places of this genome's genes are not embedded",
        expected="one of "
        + ", ".join(f"{genome} ({names[0]})" for genome, names in GENOMES.items()),
        received=f"--genome={name}",
        advice="give the genes of that genome by --genes=FILE, such as the GTF of Ensembl, GENCODE "
        "or the Cell Ranger reference that the peaks were called with",
    )


def chromosomes(names: pd.Series) -> pd.Series:
    """One normal form of chromosome names, of one line.

    '1', 'Chr01', 'chromosome_1', 'hg19_chr1' and, of man and mouse, 'NC_000001.11' -> 'chr1';
    'MT' -> 'chrM'.
    """
    names = without_reference(names.astype(str))
    return names.map({name: _normal_form(name) for name in names.unique()}).astype(object)


def _normal_form(name: str) -> str:
    name = one_line(name)
    bare = _REFSEQ.get(name.partition(".")[0], re.sub(_PREFIX, "", name, count=1))
    return "chr" + _CHROMOSOMES.get(bare, bare)


def _embedded(name: str) -> str | None:
    called = re.sub(_AROUND, "", name.strip().casefold())
    return next((genome for genome, names in GENOMES.items() if called in (genome, *names)), None)


def _path_of(source: str) -> Path:
    genome = _embedded(source)
    if genome is not None:
        return _ASSETS / f"{genome}_refFlat_genes.bed.gz"
    path = at_home(source)
    if path.is_file():
        return path
    raise InputError(
        what="the gene coordinates were not found",
        expected=f"one of {', '.join(GENOMES)}, or the path of a BED, GTF or GFF file",
        received=source or "nothing",
        advice="--genome names an embedded genome; for any other, give --genes=FILE",
    )


def _malformed(path: Path, received: str) -> InputError:
    return InputError(
        what=f"no gene coordinates could be read from {path}",
        expected="a tab-separated BED with at least chrom, start, end and gene name, or a GTF or "
        "GFF with gene_name or gene_id",
        received=received,
        advice="check the file, or use an embedded genome: " + ", ".join(GENOMES),
    )


def _read_bed(path: Path) -> pd.DataFrame:
    with open_text(path) as lines:
        found = [
            (fields[0], start, end, fields[3], fields[5] if len(fields) > 5 else ".")
            for fields, start, end in intervals_in(lines, mark="\t", columns=4, strict=False)
        ]
    return pd.DataFrame(found, columns=_COLUMNS)


def _read_gtf(path: Path) -> pd.DataFrame:
    for types in _GTF_FEATURES:
        rows = pd.concat(_gtf_rows(path, types))
        if len(rows):
            break
    rows["start"] = _positions(rows["start"]) - 1  # 1-based closed -> 0-based half-open
    rows["end"] = _positions(rows["end"])
    # In GFF, Name is that of the row, so of the gene in gene rows only.
    of_gene = ("gene_name", "gene", "Name") if types == _GENE else ("gene_name", "gene")
    rows["gene"] = _first_attribute(rows, *of_gene, "gene_id")
    rows["gene_id"] = _first_attribute(rows, "gene_id", *of_gene)
    return rows[[*_COLUMNS, "gene_id"]]


def _gtf_rows(path: Path, types: str) -> Iterator[pd.DataFrame]:
    """Rows of some types, read in blocks: a GTF has millions of rows, few of them genes.

    Parameters
    ----------
    types : a pattern of them.

    Returns
    -------
    Tables of `_GTF_COLUMNS`, whose index are the numbers of lines.
    """
    blocks = pd.read_csv(
        path, sep="\t", header=None, names=range(9), usecols=list(_GTF_COLUMNS), dtype=str,
        na_filter=False, quoting=csv.QUOTE_NONE, chunksize=_GTF_ROWS_AT_ONCE,
        skip_blank_lines=False, compression="gzip" if is_gzipped(path) else None, encoding=ENCODING,
    )  # fmt: skip
    for block in blocks:
        block = block.rename(columns=_GTF_COLUMNS).set_axis(block.index + 1)
        named = [name for name in block["feature"].unique() if re.fullmatch(types, name)]
        rows = block[block["feature"].isin(named)]
        if types == _GENE:
            rows = rows[(rows["feature"] == "gene") | ~rows["attributes"].str.contains(_PART)]
        yield rows


def _positions(texts: pd.Series) -> pd.Series:
    """Base pairs; ValueError where a text is no position, with the number of its line."""
    found = texts.map({text: position(text) for text in texts.unique()})
    if found.isna().any():
        line = found.isna().idxmax()
        raise ValueError(f"line {line}: the position {one_line(texts[line])[:80]}")
    return found.astype(np.int64)


def _first_attribute(rows: pd.DataFrame, *keys: str) -> pd.Series:
    """The first given attribute of a GTF (``key "value";``) or a GFF (``key=value;``), else ''."""
    value = pd.Series("", index=rows.index, dtype=object)
    for key in keys:
        pattern = rf'(?:^|;)\s*{key}[ =]"?([^";]*)"?'
        found = rows["attributes"].str.extract(pattern, expand=False).fillna("").str.strip()
        value = value.where(value != "", found)
    return value


def _one_row_a_gene(genes: pd.DataFrame) -> pd.DataFrame:
    genes = genes.assign(length=genes["end"] - genes["start"])
    # The longest first: where loci cannot be merged, the first row of a gene is the one to keep.
    genes = genes.sort_values("length", ascending=False, kind="stable")
    same = genes.groupby(["gene", "chrom"], sort=False)
    spans = same.agg(start=("start", "min"), end=("end", "max"), strands=("strand", "nunique"))
    longest = same.first()
    merged = spans["end"] - spans["start"] <= MAX_GENE_LENGTH
    longest.loc[merged, ["start", "end"]] = spans.loc[merged, ["start", "end"]]
    longest.loc[merged & (spans["strands"] > 1), "strand"] = "."
    longest["length"] = longest["end"] - longest["start"]
    longest = longest.reset_index().sort_values("length", ascending=False, kind="stable")
    columns = [name for name in (*_COLUMNS, "gene_id") if name in longest]
    return longest.drop_duplicates("gene")[columns]
