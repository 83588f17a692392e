from __future__ import annotations

import gzip

import pandas as pd
import pytest

from scadv_tf.data.gene_coordinates import (
    GENOMES,
    MAX_GENE_LENGTH,
    chromosomes,
    embedded_genome,
    load_genes,
)
from scadv_tf.errors import InputError


def rows(genes: pd.DataFrame) -> list[tuple]:
    return list(
        genes[["chrom", "start", "end", "gene", "strand"]].itertuples(index=False, name=None)
    )


@pytest.mark.parametrize("genome", GENOMES)
def test_embedded_genomes(genome):
    genes = load_genes(genome)
    assert len(genes) > 24_000
    assert genes["gene"].is_unique
    lengths = genes["end"] - genes["start"]
    assert lengths.min() > 0 and lengths.max() <= MAX_GENE_LENGTH
    assert set(genes["strand"]) == {"+", "-"}
    assert {"chr1", "chrX"} <= set(genes["chrom"])


def test_a_gene_in_the_right_place():
    genes = load_genes("hg38").set_index("gene")
    gapdh = genes.loc["GAPDH"]  # chr12:6,534,512-6,538,374 (+) in GRCh38
    assert gapdh["chrom"] == "chr12" and gapdh["strand"] == "+"
    assert abs(gapdh["start"] - 6_534_511) < 1000 and abs(gapdh["end"] - 6_538_374) < 1000


def test_chromosomes_have_one_normal_form():
    names = ["1", "chr1", "Chr1", "CHR1", "MT", "chrM", "M", "chrMT", "x", "chrX", "GL000194.1"]
    expected = ["chr1"] * 4 + ["chrM"] * 4 + ["chrX"] * 2 + ["chrGL000194.1"]
    assert list(chromosomes(pd.Series(names))) == expected


def test_chromosomes_by_number_with_more_around_it():
    names = [
        "Chr01",
        "chromosome_10",
        "chrom.2",
        "chr_X",
        "chr_MT",
        "chr_Un",
        "chr0",
        "chr1_random",
    ]
    expected = ["chr1", "chr10", "chr2", "chrX", "chrM", "chr_Un", "chr0", "chr1_random"]
    assert list(chromosomes(pd.Series(names))) == expected


def test_chromosomes_of_refseq_are_those_of_man_and_mouse():
    names = ["NC_000001.11", "NC_000001.10", "NC_000022", "NC_000023.11", "NC_000024.10"]
    names += ["NC_012920.1", "NC_000067.7", "NC_000085.6", "NC_000086.8", "NC_000087.8"]
    names += ["NC_005089.1", "NC_000066.1", "NC_051336.1", "NT_187361.1"]
    expected = ["chr1", "chr1", "chr22", "chrX", "chrY", "chrM", "chr1", "chr19", "chrX", "chrY"]
    expected += ["chrM", "chrNC_000066.1", "chrNC_051336.1", "chrNT_187361.1"]
    assert list(chromosomes(pd.Series(names))) == expected


@pytest.mark.parametrize(
    "genome, names",
    [
        ("hg38", ["hg38", "GRCh38", "grch38", "GRCh38.p14", "HG38", " hg38 ", "GRCh38_p13"]),
        ("hg38", ["GRCh38-2020-A", "refdata-gex-GRCh38-2024-A", "refdata-cellranger-GRCh38-3.0.0"]),
        ("mm10", ["refdata-cellranger-arc-mm10-2020-A-2.0.0", "refdata-gex-mm10-2020-A"]),
        ("hg19", ["hg19", "GRCh37", "GRCh37.p13", "b37", "hs37d5"]),
        ("mm10", ["mm10", "GRCm38", "GRCm38.p6", "MM10"]),
    ],
)
def test_genomes_have_several_names(genome, names):
    assert {embedded_genome(name) for name in names} == {genome}
    assert rows(load_genes(names[1])) == rows(load_genes(genome))


@pytest.mark.parametrize(
    "name",
    ["GRCm39", "mm39", "hg18", "mm9", "GRCh3", "GRCh38x", "GRCh38.13", "danRer11", "x"]
    + ["refdata-gex-GRCm39-2024-A", "refdata-gex-GRCh38-and-mm10-2020-A"],
)
def test_no_other_genome_is_taken_for_one_of_them(name):
    with pytest.raises(InputError, match="not embedded") as error:
        embedded_genome(name)
    assert "--genes=FILE, such as the GTF" in error.value.advice


@pytest.mark.parametrize(
    "line, suffix",
    [
        (f"chr1\t1\t{'9' * 20}\tA\n", "bed"),
        (f"chr1\t{9 * 10**18}\t{9 * 10**18 + 10}\tA\n", "bed"),
        (f'chr1\tx\tgene\t1\t{"9" * 25}\t.\t+\t.\tgene_id "A";\n', "gtf"),
    ],
)
def test_places_beyond_any_chromosome_are_refused(tmp_path, line, suffix):
    (tmp_path / f"genes.{suffix}").write_text("chr2\t1\t9\tB\n" * (suffix == "bed") + line)
    with pytest.raises(InputError, match="no gene coordinates could be read"):
        load_genes(str(tmp_path / f"genes.{suffix}"))


@pytest.mark.parametrize("gzipped", [True, False])
def test_bed(tmp_path, gzipped):
    text = "track name=x\n# note\nchr1\t10\t20\tA\t0\t-\n2\t5\t7\tB\t0\t+\nMT\t0\t9\tNA\t0\t.\n"
    path = tmp_path / ("genes.bed.gz" if gzipped else "genes.bed")
    path.write_bytes(gzip.compress(text.encode()) if gzipped else text.encode())
    assert rows(load_genes(str(path))) == [
        ("chr1", 10, 20, "A", "-"),
        ("chr2", 5, 7, "B", "+"),
        ("chrM", 0, 9, "NA", "."),
    ]


@pytest.mark.parametrize("name", ["g.bed", "g.bed.gz", "g.gtf", "g.gtf.gz"])
@pytest.mark.parametrize("gzipped", [True, False])
def test_gzip_is_told_by_the_content_whatever_the_name(tmp_path, name, gzipped):
    bed, gtf = "chr1\t10\t20\tA\t0\t-\n", gtf_line("gene", 11, 20, 'gene_id "A";', "-")
    text = ("\ufeff" + (gtf if "gtf" in name else bed)).encode()  # with the mark of Windows
    (tmp_path / name).write_bytes(gzip.compress(text) if gzipped else text)
    assert rows(load_genes(str(tmp_path / name))) == [("chr1", 10, 20, "A", "-")]


@pytest.mark.parametrize("name", ["g.bed.gz", "g.gtf.gz"])
def test_a_damaged_gzip_is_told(tmp_path, name):
    (tmp_path / name).write_bytes(gzip.compress(b"chr1\t10\t20\tA\n" * 9)[:15] + b"\xff" * 60)
    with pytest.raises(InputError, match="no gene coordinates could be read"):
        load_genes(str(tmp_path / name))


def test_bed_that_r_has_written(tmp_path):
    """By write.table(genes, "g.bed", sep = "\\t", row.names = FALSE)."""
    text = '"seqnames"\t"start"\t"end"\t"name"\t"score"\t"strand"\n'
    text += '"chr1"\t1e+05\t100500\t"A"\t0\t"-"\n"chr1"\t"200000"\t2.5e+05\t"B"\t0\t"+"\n'
    (tmp_path / "g.bed").write_text(text)
    assert rows(load_genes(str(tmp_path / "g.bed"))) == [
        ("chr1", 100_000, 100_500, "A", "-"),
        ("chr1", 200_000, 250_000, "B", "+"),
    ]


def test_gtf_with_places_as_r_writes_them(tmp_path):
    text = gtf_line("gene", "1e+05", "150000.0", 'gene_id "A";')
    (tmp_path / "g.gtf").write_text(text)
    assert rows(load_genes(str(tmp_path / "g.gtf"))) == [("chr1", 99_999, 150_000, "A", "+")]


@pytest.mark.parametrize("place", ["x", "", "-5", "1.5", "1e+99", "1e-05", "9" * 5000, "1,000"])
@pytest.mark.parametrize("name", ["g.bed", "g.gtf"])
def test_a_place_that_is_none_is_told_with_its_line(tmp_path, name, place):
    sound, bad = "chr1\t10\t20\tA\n", f"chr1\t10\t{place}\tB\n"
    if name == "g.gtf":
        sound, bad = (gtf_line("gene", 11, end, 'gene_id "A";') for end in (20, place))
    (tmp_path / name).write_text("# note\n" + sound + "\n" + bad + sound)
    with pytest.raises(InputError, match="received: ValueError: line 4:"):
        load_genes(str(tmp_path / name))


def test_bed_without_strand(tmp_path):
    (tmp_path / "g.bed").write_text("chr1\t10\t20\tA\n")
    assert rows(load_genes(str(tmp_path / "g.bed"))) == [("chr1", 10, 20, "A", ".")]


def test_loci_of_one_symbol(tmp_path):
    far = MAX_GENE_LENGTH + 1000
    lines = [
        ("chr1", 100, 200, "near", "+"),
        ("1", 500, 900, "near", "+"),  # one span with the first
        ("chr1", 100, 200, "both", "+"),
        ("chr1", 150, 300, "both", "-"),  # merged, the strand is not known
        ("chr1", 100, 200, "two", "+"),
        ("chr2", 100, 900, "two", "-"),  # another chromosome: the longest stays
        ("chr1", 100, 200, "far", "+"),
        ("chr1", far, far + 500, "far", "-"),  # too far for one gene: the longest stays
        ("chr1", 0, far, "huge", "+"),  # longer than any gene
    ]
    text = "".join(f"{c}\t{s}\t{e}\t{g}\t0\t{d}\n" for c, s, e, g, d in lines)
    (tmp_path / "g.bed").write_text(text)
    found = {row[3]: row for row in rows(load_genes(str(tmp_path / "g.bed")))}
    assert found == {
        "near": ("chr1", 100, 900, "near", "+"),
        "both": ("chr1", 100, 300, "both", "."),
        "two": ("chr2", 100, 900, "two", "-"),
        "far": ("chr1", far, far + 500, "far", "-"),
    }


def gtf_line(feature: str, start: int, end: int, attributes: str, strand="+", chrom="1") -> str:
    return (
        "\t".join([chrom, "src", feature, str(start), str(end), ".", strand, ".", attributes])
        + "\n"
    )


def test_gtf_with_gene_rows(tmp_path):
    text = "#!genome-build x\n"
    text += gtf_line("gene", 11, 20, 'gene_id "ENSG1.3"; gene_name "A"; note "x # y";', "-")
    text += gtf_line("transcript", 1, 99, 'gene_id "ENSG1.3"; gene_name "A";')  # not looked at
    text += gtf_line("gene", 31, 40, 'gene_id "ENSG2";')
    (tmp_path / "g.gtf").write_text(text)
    genes = load_genes(str(tmp_path / "g.gtf"))
    # 1-based closed 11..20 is 0-based half-open [10, 20)
    assert rows(genes) == [("chr1", 10, 20, "A", "-"), ("chr1", 30, 40, "ENSG2", "+")]
    assert list(genes["gene_id"]) == ["ENSG1.3", "ENSG2"]


@pytest.mark.parametrize("feature", ["transcript", "exon"])
def test_gtf_without_gene_rows_is_merged_by_gene(tmp_path, feature):
    text = "".join(
        gtf_line(feature, start, end, f'gene_id "{gene}"; transcript_id "t{start}";')
        for gene, start, end in [("A", 11, 20), ("A", 41, 60), ("B", 5, 9)]
    )
    (tmp_path / "g.gtf.gz").write_bytes(gzip.compress(text.encode()))
    assert rows(load_genes(str(tmp_path / "g.gtf.gz"))) == [
        ("chr1", 4, 9, "B", "+"),
        ("chr1", 10, 60, "A", "+"),
    ]


def test_gff3(tmp_path):
    text = "##gff-version 3\n"
    text += gtf_line("gene", 11, 20, "ID=gene:ENSG1;Name=A;gene_id=ENSG1")
    text += "###\n" + gtf_line("mRNA", 11, 15, "ID=t1;Parent=gene:ENSG1;Name=A-201")
    (tmp_path / "g.gff3").write_text(text)
    genes = load_genes(str(tmp_path / "g.gff3"))
    assert rows(genes) == [("chr1", 10, 20, "A", "+")]
    assert list(genes["gene_id"]) == ["ENSG1"]


@pytest.mark.parametrize(
    "types",
    [
        {
            "gene": "mRNA",
            "ncRNA_gene": "lnc_RNA",
            "pseudogene": "pseudogenic_transcript",
        },  # Ensembl
        {"gene": "mRNA", "miRNA_gene": "miRNA", "processed_pseudogene": "transcript"},  # its older
        {
            "protein_coding_gene": "mRNA",
            "ncRNA_gene": "ncRNA",
            "pseudogene": "transcript",
        },  # VEuPathDB
        {"gene": "V_gene_segment", "pseudogene": "C_gene_segment", "tRNA_gene": "tRNA"},
        {"gene": "pseudogene", "ncRNA_gene": "transposable_element_gene"},  # of FlyBase
    ],
)
def test_genes_of_all_types_count_once_and_their_parts_do_not(tmp_path, types):
    text, expected = "##gff-version 3\n", []
    for number, (gene, part) in enumerate(types.items(), start=1):
        start, name = 1000 * number, f"G{number}"
        own = f"ID=gene:E{number};Name={name};gene_id=E{number}"
        text += gtf_line(gene, start + 1, start + 50, own)
        text += gtf_line(part, start - 9, start + 99, f"ID=t{number};Parent=gene:E{number};Name=x")
        expected.append(("chr1", start, start + 50, name, "+"))
    (tmp_path / "g.gff3").write_text(text)
    genes = load_genes(str(tmp_path / "g.gff3"))
    assert rows(genes) == expected
    assert list(genes["gene_id"]) == [f"E{number}" for number in range(1, len(types) + 1)]


def test_gff3_of_refseq(tmp_path):
    rows_of_it = [
        ("gene", 11, 20, "ID=gene-A;Dbxref=GeneID:1;Name=A;gbkey=Gene;gene=A"),
        ("mRNA", 1, 99, "ID=rna-NM_1.1;Parent=gene-A;Name=NM_1.1;gene=A"),
        ("pseudogene", 31, 40, "ID=gene-DDX11L1;Name=DDX11L1;gene=DDX11L1;pseudo=true"),
        ("transcript", 31, 99, "ID=rna-NR_1.1;Parent=gene-DDX11L1;Name=NR_1.1;gene=DDX11L1"),
    ]
    lines = [gtf_line(*row, chrom="NC_000001.11") for row in rows_of_it]
    (tmp_path / "g.gff").write_text("".join(lines))
    assert rows(load_genes(str(tmp_path / "g.gff"))) == [
        ("chr1", 10, 20, "A", "+"),
        ("chr1", 30, 40, "DDX11L1", "+"),
    ]


@pytest.mark.parametrize("source", ["hg17", "", "no/such.bed"])
def test_unknown_source(source):
    with pytest.raises(InputError, match="hg38, hg19, mm10") as error:
        load_genes(source)
    assert "--genes=FILE" in error.value.advice


@pytest.mark.parametrize(
    "name, text",
    [
        ("g.bed", ""),
        ("g.bed", "chr1\t1\t2\n"),
        ("g.bed", "chr1 1 2 A\n"),
        ("g.bed", "chr1\t1\tx\tA\n"),
        ("g.bed", "chr1\t9\t9\tA\n"),
        ("g.gtf", ""),
        ("g.gtf", gtf_line("CDS", 1, 2, 'gene_id "A";')),
        ("g.gtf", gtf_line("gene", 1, 2, 'other "A";')),
        ("g.gtf", gtf_line("gene", 1, 2, 'gene_id "A";').replace("\t1\t2", "\tx\t2")),
        ("g.bed.gz", "not gzipped"),
    ],
)
def test_malformed_files(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match="no gene coordinates could be read"):
        load_genes(str(tmp_path / name))
