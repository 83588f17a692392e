"""Fragments as ATAC cells: which cells, what is counted, and what is refused, by hand."""

from __future__ import annotations

import errno
import gzip
import logging
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

import scadv_tf
from scadv_tf.data import fragment_table, fragments, text_blocks
from scadv_tf.data.barcodes import listed_cells
from scadv_tf.data.cell_files import open_cells
from scadv_tf.data.datasets import DatasetSource, load
from scadv_tf.data.fragment_lines import KEY, most_fragments, parse
from scadv_tf.data.gene_activity import links_of_genes, peak_intervals
from scadv_tf.data.interval_index import IntervalIndex
from scadv_tf.data.readers import held, stored
from scadv_tf.data.regions import as_regions, read_peaks, windows_of
from scadv_tf.data.rows import blocks
from scadv_tf.data.spill import SortedOnDisk
from scadv_tf.data.stored_cells import Called, Choices, Counting
from scadv_tf.errors import InputError
from scadv_tf.folders import remove_leftovers

HEADER = "# id=sample\n# primary_contig=chr1\n"
# Cells A, B and C; peaks of 100 bases at 100, 150 and 300 of chr1, of which two overlap.
LINES = [
    ("chr1", 90, 100, "A-1", 1),  # ends before the first peak
    ("chr1", 90, 101, "A-1", 9),  # a base of the first; its reads do not count
    ("chr1", 160, 170, "A-1", 1),  # both that overlap
    ("chr1", 249, 301, "B-1", 1),  # the second and the third
    ("chr1", 0, 5000, "B-1", 2),  # all three
    ("chr1", 250, 300, "B-1", 1),  # the gap between them
    ("chr1", 399, 460, "C-1", 1),  # the third
    ("chr1", 400, 460, "C-1", 1),  # none
    ("chr2", 100, 200, "C-1", 1),  # no peak on this chromosome
    ("chrX", 20, 25, "D-1", 1),  # a barcode with one fragment, in a peak of chrX
]
BED = "track name=x\n#chrom\nchr1\t100\t200\tp1\nchr1\t150\t250\tp2\n\nchr1\t300\t400\nX\t0\t30\n"
PEAKS = ["chr1:100-200", "chr1:150-250", "chr1:300-400", "X:0-30"]
COUNTS = {"A-1": [2, 1, 0, 0], "B-1": [1, 2, 2, 0], "C-1": [0, 0, 1, 0], "D-1": [0, 0, 0, 1]}


def text_of(lines, end="\n", columns=5) -> str:
    return "".join("\t".join(map(str, line[:columns])) + end for line in lines)


@pytest.fixture
def write(tmp_path):
    def write(content, name="fragments.tsv.gz"):
        data = content if isinstance(content, bytes) else content.encode()
        if name.endswith(".gz") and not data.startswith(b"\x1f\x8b"):
            data = gzip.compress(data)
        (tmp_path / name).write_bytes(data)
        return str(tmp_path / name)

    return write


@pytest.fixture
def read(write, tmp_path):
    """Reads a file held and streamed, which must be the same."""
    bed = write(BED, "peaks.bed")

    def read(path, minimum=1, barcodes="", peaks=bed) -> AnnData:
        choices = Choices(Counting(lambda: read_peaks(peaks), barcodes, minimum))

        def opened():
            return open_cells(path, "atac", "", tmp_path, Called.of("atac"), choices)

        with opened() as source:
            whole = held(source)
        parts = stored(opened())
        counts = sparse.vstack([block for _, block in blocks(parts.X, 2)], format="csr")
        np.testing.assert_array_equal(counts.toarray(), whole.X.toarray())
        assert parts.obs_names.tolist() == whole.obs_names.tolist()
        pd.testing.assert_frame_equal(parts.var, whole.var, check_column_type=False)
        return whole

    return read


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """So that these few fragments need several pieces."""
    monkeypatch.setattr(text_blocks, "BLOCK_BYTES", 40)
    monkeypatch.setattr(text_blocks, "_PIECE_BYTES", 16)
    monkeypatch.setattr(fragment_table, "FRAGMENTS_AT_ONCE", 3)
    monkeypatch.setattr(fragments, "BUCKET_CELLS", 2)


def members(text: str) -> bytes:
    """Gzipped line by line, as bgzip does it block by block, with an empty member at the end."""
    return b"".join(map(gzip.compress, [*text.encode().splitlines(True), b""]))


WAYS = {
    "gzip": (HEADER + text_of(LINES), "fragments.tsv.gz"),
    "many members": (members(HEADER + text_of(LINES)), "fragments.tsv.gz"),
    "plain": (HEADER + text_of(LINES), "fragments.tsv"),
    "no comments": (text_of(LINES), "x.tsv"),
    "comments between": (text_of(LINES[:4]) + HEADER + text_of(LINES[4:]), "x.tsv"),
    "four columns": (text_of(LINES, columns=4), "x.tsv.gz"),
    "a strand": (text_of([(*line, "+") for line in LINES], columns=6), "x.tsv.gz"),
    "CRLF": (HEADER + text_of(LINES, "\r\n"), "x.tsv.gz"),
    "CRLF, four columns": (text_of(LINES, "\r\n", 4), "x.tsv.gz"),
    "no end of the last line": (text_of(LINES)[:-1], "x.tsv.gz"),
    "unsorted": (text_of(LINES[::-1]), "x.tsv.gz"),
    "chromosomes of Ensembl": (text_of(LINES).replace("chr", ""), "x.tsv.gz"),
}


@pytest.mark.parametrize("way", WAYS)
def test_counts_by_hand(write, read, way):
    found = read(write(*WAYS[way]))
    assert found.obs_names.tolist() == list(COUNTS)
    assert found.var_names.tolist() == PEAKS
    np.testing.assert_array_equal(found.X.toarray(), list(COUNTS.values()))


def test_many_names_are_told_apart(write, tmp_path, monkeypatch):
    monkeypatch.setattr(text_blocks, "BLOCK_BYTES", 10_000)
    draw = np.random.default_rng(0)
    places = draw.integers(0, 1000, 20_000)
    table = pd.DataFrame({
        "chrom": [f"chr{number}" for number in draw.integers(0, 300, 20_000)],
        "start": places, "end": places + draw.integers(1, 99, 20_000),
        "barcode": [f"B{number}" for number in draw.integers(0, 9_000, 20_000)],
    })  # fmt: skip
    path = write(table.to_csv(sep="\t", header=False, index=False))
    found = fragment_table.FragmentTable(Path(path), tmp_path)
    counts = table["barcode"].value_counts()
    assert dict(zip(found.barcodes, found.fragments.tolist(), strict=True)) == counts.to_dict()
    records = np.concatenate(list(found.records()))
    again = pd.DataFrame({name: records[name] for name in ("start", "end")}).astype(np.int64)
    again.insert(0, "chrom", np.array(found.chromosomes, object)[records["chrom"]])
    again["barcode"] = np.array(found.barcodes, object)[records["barcode"]]
    pd.testing.assert_frame_equal(again, table)


def test_another_run_leaves_the_folder_of_an_open_file_alone(write, tmp_path):
    choices = Choices(Counting(lambda: read_peaks(write(BED, "peaks.bed")), "", 1))
    with open_cells(write(text_of(LINES)), "atac", "", tmp_path, choices=choices) as source:
        remove_leftovers(tmp_path, ".scadv-")  # what the start of a run does
        np.testing.assert_array_equal(source.counts(0, 1).toarray(), [COUNTS["A-1"]])
    assert not list(tmp_path.glob(".scadv-*"))


def test_a_sort_that_failed_may_be_tried_again(write, tmp_path, monkeypatch):
    choices = Choices(Counting(lambda: read_peaks(write(BED, "peaks.bed")), "", 1))
    with open_cells(write(text_of(LINES)), "atac", "", tmp_path, choices=choices) as source:
        with monkeypatch.context() as full:
            deal, pieces = SortedOnDisk._deal, []

            def deal_one(*given):
                if pieces:
                    raise OSError(errno.ENOSPC, "No space left on device")
                pieces.append(deal(*given))

            full.setattr(SortedOnDisk, "_deal", deal_one)
            with pytest.raises(InputError, match="the disk is full"):
                source.counts(0, 4)
        np.testing.assert_array_equal(source.counts(0, 4).toarray(), list(COUNTS.values()))


def test_only_barcodes_with_enough_fragments_are_cells(write, read, caplog):
    with caplog.at_level(logging.INFO):
        found = read(write(text_of(LINES)), minimum=3)
    assert found.obs_names.tolist() == ["A-1", "B-1", "C-1"]
    assert "3 of 4 barcodes have 3 fragments or more" in caplog.text


CELL_RANGER = "barcode,total,is__cell_barcode\nNO_BARCODE,9,0\nB-1,3,1\nA-1,3,1\nC-1,9,0\n"
ARC = "barcode,gex_barcode,is_cell,atac\nB-1,X-1,1,3\nA-1,Y-1,1,3\nC-1,Z-1,0,9\n"


@pytest.mark.parametrize(
    "name, text",
    [
        ("cells.txt", "B-1\nA-1\n"),
        ("cells.tsv.gz", "B-1\nA-1\n"),
        ("cells.csv", "barcode,type\r\nB-1,T\r\nA-1,NK\r\n"),
        ("cells.csv", '"","x","barcode"\n"1","T","B-1"\n"2","T","A-1"\n'),
        ("cells.tsv", "Barcode\ttype\nB-1\tT\nA-1\tNK\n"),
        ("of_r.csv", '"","x"\n"1","B-1"\n"2","A-1"\n'),
        ("of_r.txt", '"x"\n"1" "B-1"\n"2" "A-1"\n'),
        ("of_r.tsv", "x\n1\tB-1\n2\tA-1\n"),
        ("last.tsv", "T\tB-1\nNK\tA-1\n"),
        ("excel.csv", "Barcode;type\r\nB-1;T\r\nA-1;NK\r\n"),
        ("excel.txt", "Barcode\ttype\r\nB-1\tT\r\nA-1\tNK\r\n".encode("utf-16")),
        ("macintosh.txt", "B-1\rA-1\r"),
        ("singlecell.csv", CELL_RANGER),
        ("per_barcode_metrics.csv", ARC),
        ("per_barcode_metrics.csv", ARC.replace(",1,3", ",True,3").replace(",0,9", ",False,9")),
    ],
)
def test_cells_of_a_list_in_its_order(write, read, name, text):
    found = read(write(text_of(LINES)), 1000, write(text, name))
    assert found.obs_names.tolist() == ["B-1", "A-1"]
    np.testing.assert_array_equal(found.X.toarray(), [COUNTS["B-1"], COUNTS["A-1"]])


def test_a_listed_cell_without_fragments_stays_and_is_told(write, read, caplog):
    found = read(write(text_of(LINES)), 1, write("Z-1\nA-1\n", "cells.txt"))
    np.testing.assert_array_equal(found.X.toarray(), [[0, 0, 0, 0], COUNTS["A-1"]])
    assert "1 of the 2 cells of --barcodes have no fragment" in caplog.text


FIRST, SECOND = "ACGTACGTACGTACGT", "TTTTACGTACGTACGT"


@pytest.mark.parametrize(
    "listed, barcodes, codes",
    [
        ([FIRST, SECOND], [f"{SECOND}-1", f"{FIRST}-1"], [1, 0]),
        ([f"{FIRST}-1"], [FIRST, SECOND], [0]),
        ([f"s1_{SECOND}-1", f"s1_{FIRST}-1"], [f"{FIRST}-1", f"{SECOND}-1"], [1, 0]),
        ([FIRST], [f"s1#{FIRST}-1", f"s1#{SECOND}-1"], [0]),
        # Of two samples nobody knows whose the fragments are.
        ([f"s1_{SECOND}-1", f"s2_{FIRST}-1"], [f"{FIRST}-1", f"{SECOND}-1"], None),
        ([FIRST], [f"{FIRST}-1", f"{FIRST}-2"], None),
        (["TTTTTTTTTTTTTTTT"], [f"{FIRST}-1"], None),
        (["cell1"], ["cell2"], None),
    ],
)
def test_barcodes_with_other_ends_are_matched_where_that_is_certain(write, listed, barcodes, codes):
    path = write("\n".join(listed), "cells.txt")
    if codes is not None:
        names, found = listed_cells(path, barcodes)
        assert (names.tolist(), found.tolist()) == (listed, codes)
        return
    with pytest.raises(InputError, match="names none of the barcodes"):
        listed_cells(path, barcodes)


def with_line(line: str) -> str:
    return HEADER + text_of(LINES[:5]) + line + "\n" + text_of(LINES[5:])


@pytest.mark.parametrize("name", ["x.tsv", "x.tsv.gz"])
def test_the_mark_that_windows_begins_a_text_with_is_no_chromosome(write, read, monkeypatch, name):
    monkeypatch.setattr(text_blocks, "_PIECE_BYTES", 1 << 16)
    found = read(write("\ufeff" + text_of(LINES), name))
    np.testing.assert_array_equal(found.X.toarray(), list(COUNTS.values()))


def test_a_peak_that_is_there_several_times_counts_once(write, read):
    """As MACS writes a peak for each of its summits."""
    bed = write(BED + BED + "1\t100\t200\n", "twice.bed")
    np.testing.assert_array_equal(
        read(write(text_of(LINES)), peaks=bed).X.toarray(), list(COUNTS.values())
    )


def test_peaks_that_r_has_written(write):
    """By write.table(peaks, "p.bed", row.names = FALSE)."""
    text = '"seqnames" "start" "end"\n"chr1" 1e+05 100500\n"2" 150000.0 "2e+05"\n'
    peaks = read_peaks(str(write(text, "p.bed")))
    assert peaks.index.tolist() == ["chr1:100000-100500", "2:150000-200000"]
    assert peaks["chrom"].tolist() == ["chr1", "chr2"]
    assert peaks[["start", "end"]].to_numpy().tolist() == [[100_000, 100_500], [150_000, 200_000]]
    assert peaks[["start", "end"]].dtypes.tolist() == [np.int64, np.int64]


@pytest.mark.parametrize("heading", ["CB", "#cells", '"x"', "Name,type"])
def test_what_has_no_bases_above_barcodes_is_a_heading(write, heading):
    barcodes = ["AAACGAAAGACCGTTC-1", "AAACGAAAGGGCGTTC-1"]
    names, codes = listed_cells(write("\n".join([heading, *barcodes]), "x.csv"), barcodes)
    assert names.tolist() == barcodes and codes.tolist() == [0, 1]


NO_FRAGMENTS = {
    "too few columns": ("chr1\t5", "it has 2 columns"),
    "too many columns": ("chr1\t5\t9\tA-1\t1\t+", "it has 6 columns, others 5"),
    "a column less": ("chr1\t5\t9\tA-1", "it has 4 columns, others 5"),
    "a negative start": ("chr1\t-5\t9\tA-1\t1", "negative position"),
    "reversed": ("chr1\t90\t9\tA-1\t1", "its end is not behind its start"),
    "no length": ("chr1\t9\t9\tA-1\t1", "its end is not behind its start"),
    "text for a start": ("chr1\tx\t9\tA-1\t1", "its start is no whole number"),
    "NA for an end": ("chr1\t5\tNA\tA-1\t1", "its end is no whole number"),
    "text for a count": ("chr1\t5\t9\tA-1\tx", "count of reads is no whole number"),
    "too far": ("chr1\t5\t9999999999\tA-1\t1", "end is beyond any chromosome"),
    "no barcode": ("chr1\t5\t9\t\t1", "it has no barcode"),
    "no chromosome": ("\t5\t9\tA-1\t1", "it has no chromosome"),
    "spaces alone": ("   ", "it has 1 columns"),
    "more digits than Python reads": (f"chr1\t5\t{'9' * 5000}\tA-1\t1", "beyond any chromosome"),
    "a control character": ("chr1\t5\t9\tA\x02-1\t1", "it has a control character"),
    "ends of an old Macintosh": ("chr1\t5\t9\tA\rchr1\t5\t9\tA-1\t1", "CR alone"),
}


@pytest.mark.parametrize("kind", NO_FRAGMENTS)
def test_a_line_that_is_no_fragment_is_told_with_its_number(write, read, kind):
    line, fault = NO_FRAGMENTS[kind]
    with pytest.raises(InputError) as error:
        read(write(with_line(line)))
    assert "line 8 of fragments.tsv.gz is no fragment" in error.value.what
    assert fault in error.value.what
    assert error.value.received == " ".join(line[:100].split("\t")).replace("\r", " ")


def flawed(**changes):
    """What is asked of sound fragments, but for these."""
    return lambda write, read: read(
        write(text_of(LINES)), **{k: write(*v) if k != "minimum" else v for k, v in changes.items()}
    )


@pytest.mark.parametrize(
    "text", ["x\n", "1\t5\t9\t\n", "c\t0\t1\tb\n" * 3 + "c\t0\t1\t\n", "\n", ""]
)
def test_lines_that_are_cut_short_stay_within_the_room(text):
    """Compiled code writes past the end of an array without a word, which Python's refuses."""
    block, room = np.frombuffer(text.encode(), np.uint8), most_fragments(text.encode())
    records, (chroms, barcodes) = np.empty(room, fragment_table._RECORD), np.empty((2, room), KEY)
    found, _ = parse.py_func(block, 4, records.view(np.recarray), chroms, barcodes)
    assert found <= 0


REFUSED = {
    "a gzip cut short": (
        lambda write, read: read(write(gzip.compress(text_of(LINES).encode())[:-12])),
        "could not be read.*ended before the end.*damaged, cut short",
    ),
    "a damaged gzip": (
        lambda write, read: read(write(gzip.compress(b"x" * 50)[:15] + b"\xff" * 60)),
        "could not be read.*damaged",
    ),
    "nothing but comments": (
        lambda write, read: read(write(HEADER)),
        "holds no fragments.*2 lines",
    ),
    "no such peaks": (
        lambda write, read: read(write(text_of(LINES)), peaks="none.bed"),
        "no peaks.*none.bed.*No such file",
    ),
    "peaks of another genome": (
        flawed(peaks=("scaffold7\t5\t90\n", "x.bed")),
        "on no chromosome of the fragments.*fragments on chr1, chr2, chrX; peaks on scaffold7",
    ),
    "peaks that are none": (flawed(peaks=("a,b\nc,d\n", "x.bed")), "no peaks.*line 2: c,d"),
    "reversed peaks": (flawed(peaks=("chr1\t90\t5\n", "x.bed")), "no peaks.*line 1"),
    "negative peaks": (flawed(peaks=("chr1\t-90\t5\n", "x.bed")), "no peaks.*line 1"),
    "no peaks": (flawed(peaks=("# none\n", "x.bed")), "no peaks.*no interval"),
    "other cells": (flawed(barcodes=("X-1\n", "x.txt")), "--barcodes names none.*A-1.*X-1"),
    "an empty list": (flawed(barcodes=("", "x.txt")), "list of --barcodes could not be read"),
    "fragments as peaks": (
        flawed(peaks=("#\nchr1\t5\t90\tAAACGAAAGACCGTTC-1\t3\r\n", "x.bed")),
        "no peaks.*fragments, with barcodes",
    ),
    "a list of Python": (
        flawed(barcodes=("['A-1', 'B-1']\n", "x.txt")),
        "received: [^\n]*x.txt: ValueError: it begins with \\[, as a list of Python or JSON does",
    ),
    "a dictionary": (flawed(barcodes=('{"A-1": 1}', "x.json")), "it begins with {"),
    "a pandas index": (flawed(barcodes=("Index(['A-1',\n'B-1'])", "x.txt")), "list of Python"),
    "all names in one line": (
        flawed(barcodes=("A-1,B-1,C-1\n", "x.txt")),
        "received: [^\n]*x.txt: 3 barcodes in one line",
    ),
    "a spreadsheet": (
        flawed(barcodes=(b"PK\x03\x04\x00\x00", "x.xlsx")),
        "received: [^\n]*it is a spreadsheet, not text: save it as .csv",
    ),
    "an open quotation mark": (
        flawed(barcodes=('"A-1\nB-1\n', "x.txt")),
        "received: [^\n]*quotation marks opens, and none closes it",
    ),
    "a damaged list": (
        flawed(barcodes=(gzip.compress(b"x" * 50)[:15] + b"\xff" * 60, "x.gz")),
        "received: [^\n]*x.gz: ValueError: it is damaged",
    ),
    "no text": (flawed(barcodes=(b"A\x00\x01", "x.txt")), "received: [^\n]*it is no text"),
    "a heading alone": (flawed(barcodes=("barcode\n", "x.txt")), "no name of a cell"),
    "too few fragments": (flawed(minimum=9), "--min_fragments=9.*4 barcodes.*richest has 3"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused(write, read, kind):
    attempt, message = REFUSED[kind]
    with pytest.raises(InputError) as error:
        attempt(write, read)
    assert re.search(message, str(error.value), re.DOTALL), error.value


def test_a_file_of_fragments_without_a_word_where_to_count(write):
    with pytest.raises(InputError, match="not known where the fragments .* are to be counted"):
        open_cells(write(text_of(LINES)), "atac")


def test_the_index_finds_each_overlap_once_wherever_the_intervals_lie():
    rng = np.random.default_rng(0)
    chroms = np.array(["chr1", "chr2", "chr3"])

    def drawn(number, longest):
        start = rng.integers(0, 60, number)
        end = start + rng.integers(0, longest, number)
        return pd.DataFrame({"chrom": rng.choice(chroms, number), "start": start, "end": end})

    for longest in (3, 40):
        intervals, stretches = drawn(40, longest), drawn(300, 30)
        intervals = intervals[intervals["chrom"] != "chr3"]
        stretches = stretches[stretches["end"] > stretches["start"]].reset_index(drop=True)
        index = IntervalIndex(intervals, chroms)
        assert index.known.tolist() == [True, True, False]
        stretches = stretches[stretches["chrom"] != "chr3"].reset_index(drop=True)
        codes = np.searchsorted(chroms, stretches["chrom"])
        found = index.overlaps(codes, stretches["start"].to_numpy(), stretches["end"].to_numpy())
        expected = [
            (i, j)
            for i, one in enumerate(stretches.itertuples())
            for j, other in enumerate(intervals.itertuples())
            if one.chrom == other.chrom and max(one.start, other.start) < min(one.end, other.end)
        ]
        assert len(expected) > 100
        assert sorted(zip(*(part.tolist() for part in found), strict=True)) == expected


def genes_of(*rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["chrom", "start", "end", "gene", "strand"])


def test_windows_are_cut_at_genes_so_that_they_add_up_to_them():
    genes = genes_of(("chr1", 120, 180, "A", "+"), ("chr1", 400, 530, "B", "-"))
    windows = windows_of(genes, upstream=50, size=200)
    assert windows.index.tolist() == [
        "chr1:0-70", "chr1:70-180", "chr1:180-200", "chr1:200-400", "chr1:400-580",
    ]  # fmt: skip
    links, linked = links_of_genes(peak_intervals(windows[[]]), genes, 50)
    assert linked.index.tolist() == ["A", "B"]
    np.testing.assert_array_equal(np.arange(1.0, 6.0) @ links, [2, 5])  # the second; the last


def test_names_of_peaks_keep_the_chromosome_as_it_is_written():
    found = as_regions(pd.DataFrame({"chrom": ["1", "MT"], "start": [5, 6], "end": [7, 8]}))
    assert found.index.tolist() == ["1:5-7", "MT:6-8"]
    assert found["chrom"].tolist() == ["chr1", "chrM"]


# A data set whose ATAC cells are fragments.

GENES = "chr1\t1000\t2000\tG1\t.\t+\nchr1\t9000\t9900\tG2\t.\t-\nchr2\t500\t800\tG3\t.\t+\n"
FRAGMENTS = [
    *[("chr1", at, at + 100, "A-1", 1) for at in (850, 1500, 1950, 9950)],
    *[("chr2", at, at + 100, "B-1", 1) for at in (500, 700, 5000)],
]


@pytest.fixture
def dataset(write, tmp_path):
    """Loads three genes of RNA beside fragments, with further settings."""
    obs = pd.DataFrame({"cell_type": ["T", "B"] * 2}, index=[f"r{i}" for i in range(4)])
    rna = AnnData(
        sparse.csr_matrix(np.ones((4, 3), np.float32)),
        obs=obs,
        var=pd.DataFrame(index=["G1", "G2", "G3"]),
    )
    rna.write_h5ad(tmp_path / "rna.h5ad")
    common = {
        "rna": str(tmp_path / "rna.h5ad"),
        "atac": write(text_of(FRAGMENTS), "fragments.tsv.gz"),
        "genes": write(GENES, "genes.bed"),
        "upstream": 100,
        "min_fragments": 3,
        "min_shared_genes": 1,
        "scratch": str(tmp_path),
    }
    return lambda **settings: load(DatasetSource(**(common | settings)))[0]


@pytest.mark.parametrize("limit", [0, 1])
def test_fragments_alone_become_windows_and_gene_activity(dataset, limit):
    data = dataset(memory_cells=limit)
    assert data.genes.tolist() == ["G1", "G2", "G3"] and data.atac_cells.tolist() == ["A-1", "B-1"]
    np.testing.assert_array_equal(data.atac[0:2].toarray(), [[3, 1, 0], [0, 0, 2]])
    # The fragment at 1950 is in the gene and in what follows: once in each of the two windows.
    # Windows without fragments are left out.
    places = data.intervals.peaks.index
    first = dict(zip(places, data.peaks[0:2].toarray()[0], strict=True))
    assert first == {
        "chr1:0-900": 1, "chr1:900-2000": 3, "chr1:2000-5000": 1, "chr1:9000-10000": 1,
        "chr2:400-800": 0,
    }  # fmt: skip


def test_gene_activity_alone_of_fragments(write):
    """As a run has it, in the test above."""
    path, genes = write(text_of(FRAGMENTS), "fragments.tsv.gz"), write(GENES, "genes.bed")
    found = scadv_tf.gene_activity(path, genes=genes, upstream=100, min_fragments=3)
    assert found.obs_names.tolist() == ["A-1", "B-1"]
    assert found.to_df()[["G1", "G3"]].to_numpy().tolist() == [[3, 0], [0, 2]]
    listed = write("B-1\n", "barcodes.tsv")
    found = scadv_tf.gene_activity(path, genes=genes, upstream=100, barcodes=listed)
    assert found.obs_names.tolist() == ["B-1"] and found[:, "G3"].X.sum() == 2
    with pytest.raises(InputError, match="where the genes lie"):
        scadv_tf.gene_activity(path, min_fragments=3)


@pytest.mark.parametrize("limit", [0, 1])
def test_fragments_in_given_peaks(dataset, write, limit):
    bed = write("chr1\t1400\t2100\nchr1\t9890\t9960\nchr2\t400\t900\nchr2\t4000\t6000\n", "p.bed")
    data = dataset(peaks=bed, memory_cells=limit)
    np.testing.assert_array_equal(data.peaks[0:2].toarray(), [[2, 1, 0, 0], [0, 0, 2, 1]])
    np.testing.assert_array_equal(data.atac[0:2].toarray(), [[2, 1, 0], [0, 0, 2]])


def test_each_of_several_files_has_its_own_list_of_cells(dataset, write):
    """The same barcode is another cell in another sample."""
    lines = [("chr1", 1500, 1600, f"{name}-1", 1) for name in "ABC" for _ in range(2)]
    two = ",".join(write(text_of(lines), f"{name}.tsv.gz") for name in ("one", "two"))
    lists = [write(text, name) for text, name in (("A-1\n", "a.txt"), ("B-1\nC-1\n", "b.txt"))]
    data = dataset(atac=two, barcodes=",".join(lists), min_fragments=1000)
    assert data.atac_cells.tolist() == ["A-1", "B-1", "C-1"]
    assert list(data.batches["atac"]) == ["one", "two", "two"]
    with pytest.raises(InputError, match="which barcodes are cells in which file") as error:
        dataset(atac=two, barcodes=lists[0], min_fragments=1000)
    assert error.value.expected.startswith("2 lists in --barcodes, separated by commas")
    with pytest.raises(InputError, match="file of --barcodes does not exist") as error:
        dataset(barcodes="none.txt", min_fragments=1000)
    assert error.value.advice == "check the path of --barcodes"


def test_a_genome_is_asked_for_before_anything_is_read(dataset, write):
    peaks = write(BED, "p.bed")
    for settings in ({}, {"peaks": peaks}):
        with pytest.raises(InputError, match="fragments.*where the genes lie"):
            dataset(genes="", atac=write(with_line("no fragment")), **settings)


@pytest.mark.parametrize(
    "flags, named",
    [
        ({"peaks": BED}, "--peaks"),
        ({"barcodes": "A-1\n"}, "--barcodes"),
        ({"min_fragments": 9}, "--min_fragments"),
        ({"peaks": BED, "min_fragments": 9}, "--peaks and --min_fragments"),
    ],
)
@pytest.mark.parametrize("beside", [False, True])
def test_flags_of_fragments_are_refused_with_other_files(
    dataset, write, tmp_path, flags, named, beside
):
    given = {name: write(v, name) if isinstance(v, str) else v for name, v in flags.items()}
    matrix = str(tmp_path / "rna.h5ad")
    if beside:
        given["atac_peaks"] = matrix
    with pytest.raises(InputError, match="holds no fragments") as error:
        dataset(atac=matrix, **({"min_fragments": 1000} | given))
    assert error.value.expected == f"a file of fragments with {named}"
    assert error.value.received == ".h5ad"


def test_peaks_of_activity_may_be_fragments_with_their_flags(dataset, write, tmp_path):
    activity = AnnData(
        sparse.csr_matrix(np.eye(2, 3, dtype=np.float32)),
        obs=pd.DataFrame(index=["A-1", "B-1"]),
        var=pd.DataFrame(index=["G1", "G2", "G3"]),
    )
    activity.write_h5ad(tmp_path / "activity.h5ad")
    found = dataset(
        atac=str(tmp_path / "activity.h5ad"),
        atac_peaks=str(tmp_path / "fragments.tsv.gz"),
        peaks=write("chr1\t1400\t2100\nchr2\t400\t900\n", "p.bed"),
    )
    np.testing.assert_array_equal(found.peaks.toarray(), [[2, 0], [0, 2]])


def test_a_genome_to_choose_is_refused_where_no_file_has_several(dataset):
    with pytest.raises(InputError, match="rna.h5ad has no genomes to choose from") as error:
        dataset(genome_group="hg19")
    assert error.value.expected == "a 10x .h5 of several genomes with --genome_group=hg19"
    assert error.value.received == ".h5ad"
