from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from scadv_tf.data.datasets import as_activity
from scadv_tf.data.gene_activity import count_linked, link_peaks, links_of_genes, peak_intervals
from scadv_tf.errors import InputError


def intervals(rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["chrom", "start", "end"])


def gene_table(rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["chrom", "start", "end", "gene", "strand"])


@pytest.mark.parametrize("name", ["chr1:10-20", "1:10-20", "chr1-10-20", "chr1_10_20", "1_10_20"])
def test_peak_names(name):
    peaks = peak_intervals(pd.DataFrame(index=[name]))
    assert peaks.iloc[0].tolist() == ["chr1", 10, 20]


@pytest.mark.parametrize(
    "name",
    [
        "chr10.1000.120000", "X10.1000.120000", "10.1000.120000", "b'chr10:1000-120000'",
        '"chr10-1000-120000"', "chr10:1,000-120,000", "chr10:1000.0-120000.0", "chr10-1000-1.2e+05",
        "chr10:1_000-120_000",
        " chr10:1000-120000 ", "chr10\t1000\t120000", "chr10:1000..120000",
        "hg19_chr10:1000-120000", "mm10___chr10-1000-120000", "GRCh38_10_1000_120000",
        "hg19-chr10-1000-120000", "mm10---chr10-1000-120000",
        "chr10:1000:120000", "chr10,1000,120000", "chr10;1000;120000", "chr10/1000/120000",
        "chr10__1000__120000", "chr10: 1000 - 120000", "('chr10', 1000, 120000)",
        "chr10:1000–120000", "chr10:1000-120000:+", "chr10:1000-120000(-)", "chr10:1000-120000:500",
        "chr10:1000-120000_peak7", "chr10:1000-120000|distal", "chr10:1000-120000.1",
        "chr10:1,000-120,000_peak", "chr10:1000-1.2e+05",
        "peak7_chr10:1000-120000", "Peak7:chr10:1000-120000", "atac:chr10:1000-120000",
        "ATAC-chr10-1000-120000", "hg38:chr10:1000-120000", "NC_000010.11:1000-120000",
        "chrom=chr10;start=1000;end=120000", "chr:chr10,start:1000,stop:120000",
        "{'chrom': 'chr10', 'start': 1000, 'end': 120000}", "['chr10', 1000, 120000]",
        "(b'chr10', 1000, 120000)", "chr10@1000-120000", "chr10-1000-120000.1",
        "chromosome10:1000-120000", "chr_10:1000-120000", "Chr10_1000_120000",
    ],
)  # fmt: skip
def test_peak_names_as_r_and_python_spoil_them(name):
    assert peak_intervals(pd.DataFrame(index=[name])).to_numpy().tolist() == [
        ["chr10", 1000, 120_000]
    ]


def test_a_peak_beyond_all_chromosomes_is_left_out():
    names = [f"chr1:{10**30}-{10**30 + 9}", *(f"chr1:{i}-{i + 5}" for i in range(30))]
    assert peak_intervals(pd.DataFrame(index=names))["chrom"].tolist() == ["", *["chr1"] * 30]


def test_peak_names_on_scaffolds():
    names = ["chr1_KI270706v1_random-5-9", "GL000194.1:5-9", "chrUn_KI270742v1_5_9", "MT:5-9"]
    peaks = peak_intervals(pd.DataFrame(index=names))
    assert list(peaks["chrom"]) == [
        "chr1_KI270706v1_random", "chrGL000194.1", "chrUn_KI270742v1", "chrM",
    ]  # fmt: skip
    assert set(peaks["start"]) == {5} and set(peaks["end"]) == {9}


def test_repeated_peaks_are_parsed_by_their_original_names():
    var = pd.DataFrame({"scadv_original_name": ["chr1:1-9"] * 2}, index=["chr1:1-9", "chr1:1-9-1"])
    assert peak_intervals(var)["end"].tolist() == [9, 9]


@pytest.mark.parametrize(
    "columns",
    [
        ("chrom", "start", "end"),
        ("seqnames", "start", "end"),
        ("Chr", "Start", "End"),
        ("chr", "bp1", "bp2"),
        ("Chromosome", "Start", "End"),
        ("#chrom", "chromStart", "chromEnd"),
        ("chromosome_name", "start_position", "end_position"),
        ("chrom", "chrom_start", "chrom_end"),
        ("peak_chr", "peak_start", "peak_end"),
        ("seqid", "start", "stop"),
        ("contig", "From", "To"),
    ],
)
@pytest.mark.parametrize("kind", [int, float, str])
def test_peaks_from_columns(columns, kind):
    values = dict(
        zip(columns, (["1", "chrX"], [kind(5), kind(6)], [kind(15), kind(16)]), strict=True)
    )
    peaks = peak_intervals(pd.DataFrame(values, index=["peak_a", "peak_b"]))
    assert peaks.to_numpy().tolist() == [["chr1", 5, 15], ["chrX", 6, 16]]


def test_peaks_as_genomic_ranges_of_r():
    ranges = {"width": [11, 11], "strand": ["*", "*"]}
    whole = {"seqnames": ["chr9", "chrX"], "start": [5, 6], "end": [15, 16]} | ranges
    var = pd.DataFrame(whole, index=["2", "1"])
    assert peak_intervals(var).to_numpy().tolist() == [["chr9", 5, 15], ["chrX", 6, 16]]


@pytest.mark.parametrize("kind", [int, float, str])
def test_peaks_from_starts_and_widths(kind):
    places = {"seqnames": ["chr9", "chrX"], "start": [kind(5), kind(600)], "width": [kind(10)] * 2}
    peaks = peak_intervals(pd.DataFrame(places, index=["1", "2"]))
    assert peaks.to_numpy().tolist() == [["chr9", 5, 15], ["chrX", 600, 610]]


STARTS = {"seqnames": ["chr9"] * 40, "idx": range(40), "start": range(0, 20_000, 500)}


def test_starts_without_ends_are_told():
    """As of the tiles of ArchR."""
    var = pd.DataFrame(STARTS, index=[f"f{i}" for i in range(40)])
    with pytest.raises(InputError, match="starts and no ends") as error:
        peak_intervals(var)
    assert "seqnames, idx, start" in error.value.received
    assert "var['start'] + 500" in error.value.advice
    ends = peak_intervals(var.assign(end=var["start"] + 500))["end"]
    assert ends.tolist() == [*range(500, 20_001, 500)]


@pytest.mark.parametrize("column", [None, "gene_name", "symbol_of_it"])
def test_genes_with_starts_alone_are_genes(column):
    genes = [f"{first}{second}{i}" for i, first in enumerate("abcdefgh") for second in "vwxyz"]
    var = pd.DataFrame(STARTS, index=genes)
    if column is not None:
        var = var.assign(**{column: genes}).set_axis([str(i) for i in range(40)])
    assert peak_intervals(var) is None


@pytest.mark.parametrize("name", ["ranges", "iranges", "position"])
@pytest.mark.parametrize("form", ["{}-{}", "{}..{}", " {} - {} ", "{}:{}"])
@pytest.mark.parametrize("kind", ["object", "category"])
def test_peaks_from_a_chromosome_and_a_range(name, form, kind):
    column = pd.Series([form.format(5, 15), form.format(6, 16)], dtype=kind)
    var = pd.DataFrame({"seqnames": ["chr9", "chrX"], "score": [1, 2], name: column})
    peaks = peak_intervals(var.set_axis(["2", "1"]))
    assert peaks.to_numpy().tolist() == [["chr9", 5, 15], ["chrX", 6, 16]]
    assert peaks.index.tolist() == ["2", "1"]


def test_of_several_columns_the_plain_ones_are_taken():
    gene = {"chrom_start": [1000], "chrom_end": [9000]}  # of the gene that is next to the peak
    var = pd.DataFrame({"chrom": ["chr1"], **gene, "start": [5], "end": [15]}, index=["peak_a"])
    assert peak_intervals(var).to_numpy().tolist() == [["chr1", 5, 15]]


def test_repeated_peaks_that_r_has_numbered():
    names = [f"chr1-{i}-{i + 5}{end}" for i in range(10) for end in ("", ".1", ".2")]
    assert peak_intervals(pd.DataFrame(index=names))["end"].tolist() == [
        i + 5 for i in range(10) for _ in range(3)
    ]


@pytest.mark.parametrize("form", ["chr{}:{}k-{}k", "chr{}({}-{})", "X chr{} at {}, {} long"])
def test_what_looks_like_peaks_but_cannot_be_read_is_told(form):
    names = [form.format(i, 100 * i, 100 * i + 9) for i in range(1, 20)]
    with pytest.raises(InputError, match="look like peaks") as error:
        peak_intervals(pd.DataFrame(index=names))
    assert error.value.received == ", ".join(names[:3])


def test_what_few_peaks_have_before_the_chromosome_stays():
    names = ["hg19_chr1:5-15", "mm10_chr1:5-15"] * 20
    assert set(peak_intervals(pd.DataFrame(index=names))["chrom"]) == {
        "chrhg19_chr1", "chrmm10_chr1",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["interval", "gene_ids", "query_region", "site_name"])
@pytest.mark.parametrize("kind", ["object", "category"])
def test_peaks_from_a_column_of_names(name, kind):
    column = pd.Series(["chr1_5_15"], index=["peak_a"], dtype=kind)
    var = pd.DataFrame({"what": ["distal"], name: column}, index=["peak_a"])
    assert peak_intervals(var).to_numpy().tolist() == [["chr1", 5, 15]]


@pytest.mark.skipif(pd.__version__ < "2.3", reason="its text of pandas 3 needs Arrow")
@pytest.mark.parametrize("names", [["chr1:5-15"], ["chr1.5.15"], ["b'chr1:5-15'"], ["1"]])
def test_peaks_are_read_where_text_is_that_of_pandas_3(names):
    with pd.option_context("future.infer_string", True):
        var = pd.DataFrame({"place": ["chr1:5-15"]}, index=names)
        assert var["place"].dtype == "str"
        assert peak_intervals(var).to_numpy().tolist() == [["chr1", 5, 15]]


def test_genes_are_no_peaks():
    genes = ["CD4", "HLA-A", "RP11-34-1", *(f"Gene{i}" for i in range(97))]  # 1 % look like peaks
    assert peak_intervals(pd.DataFrame(index=genes)) is None


def test_genes_with_coordinates_are_no_peaks():
    place = {"chrom": ["chr1", "chr2"], "start": [0, 0], "end": [25_000, 40_000]}
    assert peak_intervals(pd.DataFrame(place, index=["A", "B"])) is None
    from_10x = {"feature_types": ["Gene Expression"], "interval": ["chr1:5-15"]}
    assert peak_intervals(pd.DataFrame(from_10x, index=["A"])) is None


SHORT = {"chrom": ["chr2L"] * 40, "start": range(0, 4000, 100), "end": range(50, 4050, 100)}


@pytest.mark.parametrize(
    "names, more",
    [
        ([f"{first}{second}{i}" for i, first in enumerate("abcdefgh") for second in "vwxyz"], {}),
        ([f"FBgn{i:07d}" for i in range(40)], {}),
        ([f"ENSMUSG{i:011d}" for i in range(40)], {}),
        ([str(i) for i in range(40)], {"strand": [1, 2] * 20}),
        ([str(i) for i in range(40)], {"strand": ["+", "-"] * 20}),
        ([str(i) for i in range(40)], {"strand": 1, "name": [*"abcdefghij"] * 4}),
    ],
    ids=["symbols", "FlyBase", "Ensembl", "ArchR", "strand", "one strand and names"],
)
def test_genes_of_a_small_genome_are_no_peaks_where_they_have_places(names, more):
    assert peak_intervals(pd.DataFrame(SHORT | more, index=names)) is None


@pytest.mark.parametrize("name", ["{}", "peak{}", "MACS2_peak_{}", "peak_{}a"])
@pytest.mark.parametrize(
    "more", [{}, {"strand": "*"}, {"strand": "."}, {"strand": "+"}, {"strand": 1, "name": "peak"}]
)
def test_numbered_features_with_places_are_peaks(name, more):
    names = [name.format(i) for i in range(40)]
    assert len(peak_intervals(pd.DataFrame(SHORT | more, index=names))) == 40


def test_peaks_by_name_are_peaks_on_whichever_strand():
    """As HOMER annotates them: all on the forward strand."""
    names = [f"chr2L-{i}" for i in range(40)]
    assert len(peak_intervals(pd.DataFrame(SHORT | {"Strand": "+"}, index=names))) == 40


def test_part_peaks_part_genes_is_refused():
    names = [*(f"chr1:{i}-{i + 5}" for i in range(60)), *(f"Gene{i}" for i in range(40))]
    with pytest.raises(InputError, match="60 peaks such as chr1:0-5 and 40 others such as Gene0"):
        peak_intervals(pd.DataFrame(index=names))


def test_a_few_odd_names_among_peaks_have_no_interval():
    names = [*(f"chr1:{i}-{i + 5}" for i in range(99)), "odd"]
    peaks = peak_intervals(pd.DataFrame(index=names))
    assert peaks.iloc[-1].tolist() == ["", 0, 0]
    genes = gene_table([("chr1", 0, 1000, "A", "+"), ("", 0, 10, "B", "+")])
    assert link_peaks(peaks, genes, 0).sum() == 99


def test_upstream_depends_on_the_strand():
    genes = gene_table([
        ("chr1", 1000, 2000, "plus", "+"),
        ("chr1", 1000, 2000, "minus", "-"),
        ("chr1", 1000, 2000, "unknown", "."),
    ])  # fmt: skip
    peaks = intervals([
        ("chr1", 899, 900),  # 1 base too far from the extended start at 900
        ("chr1", 899, 901),
        ("chr1", 1500, 1510),
        ("chr1", 2099, 2200),
        ("chr1", 2100, 2200),
        ("chr2", 1500, 1510),
    ])  # fmt: skip
    expected = [[0, 0, 0], [1, 0, 1], [1, 1, 1], [0, 1, 1], [0, 0, 0], [0, 0, 0]]
    links = link_peaks(peaks, genes, 100)
    np.testing.assert_array_equal(links.toarray(), expected)
    assert count_linked(links) == 3


def test_activity_is_the_sum_of_the_linked_peaks():
    peaks = intervals([("chr1", 0, 10), ("chr1", 20, 30), ("chr1", 40, 50)])
    genes = gene_table([
        ("chr1", 5, 25, "A", "+"),  # the first two
        ("chr1", 500, 600, "none", "+"),
        ("chr1", 22, 45, "B", "+"),  # the last two
    ])  # fmt: skip
    counts = AnnData(sparse.csr_matrix([[1, 2, 4], [0, 0, 1.5]]))
    activity = as_activity(counts, *links_of_genes(peaks, genes, 0))
    assert list(activity.var_names) == ["A", "B"]
    assert activity.var["start"].tolist() == [5, 22]
    assert activity.X.dtype == np.float32 and sparse.isspmatrix_csr(activity.X)
    np.testing.assert_array_equal(activity.X.toarray(), [[3, 6], [0, 1.5]])


@pytest.mark.parametrize("seed", range(3))
def test_links_agree_with_a_double_loop(seed):
    rng = np.random.default_rng(seed)

    def draw(n, width):
        start = rng.integers(0, 3000, n)
        chrom = rng.choice(["chr1", "chr2", "chrX"], n)
        return pd.DataFrame(
            {"chrom": chrom, "start": start, "end": start + rng.integers(1, width, n)}
        )

    peaks, upstream = draw(80, 60), 150
    genes = draw(50, 900).assign(gene="g", strand=rng.choice(["+", "-", "."], 50))
    expected = np.zeros((80, 50))
    for i, p in enumerate(peaks.itertuples()):
        for j, g in enumerate(genes.itertuples()):
            start = g.start - (0 if g.strand == "-" else upstream)
            end = g.end + (0 if g.strand == "+" else upstream)
            expected[i, j] = p.chrom == g.chrom and p.start < end and p.end > start
    assert 0 < expected.mean() < 0.9
    np.testing.assert_array_equal(link_peaks(peaks, genes, upstream).toarray(), expected)


def test_no_overlap_advises_another_genome():
    genes = gene_table([("chr1", 5, 25, "A", "+")])
    with pytest.raises(InputError, match="no peak lies in any gene") as error:
        links_of_genes(intervals([("chr2", 5, 25)]), genes, 0)
    assert "--genome" in error.value.advice
    assert "chr2" in error.value.received and "chr1" in error.value.received


def test_few_peaks_in_genes_are_told(caplog):
    peaks = intervals([("chr1", 1000 * i, 1000 * i + 10) for i in range(20)])
    genes = gene_table([("chr1", 0, 25, "A", "+")])
    with caplog.at_level(logging.WARNING):
        links_of_genes(peaks, genes, 0)
    assert "only 5.0 % of the peaks lie in a gene" in caplog.text


def test_negative_upstream():
    with pytest.raises(InputError, match="negative"):
        links_of_genes(intervals([]), gene_table([]), -1)
