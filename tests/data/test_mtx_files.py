"""A matrix.mtx and its lists of names, as many programs call and write them."""

from __future__ import annotations

import gzip
import re

import numpy as np
import pytest
from anndata import AnnData
from reading import read_modality
from scipy import sparse
from scipy.io import mmwrite

from scadv_tf.data.cell_files import open_cells
from scadv_tf.data.gene_activity import peak_intervals
from scadv_tf.data.readers import stored
from scadv_tf.errors import InputError

COUNTS = np.array([[1, 0, 2], [0, 3, 0]])
CELLS = ["AAACGGTT-1", "ACCTGGTA-1"]
IDS, SYMBOLS = ["ENSG1", "ENSG2", "ENSG3"], ["A", "B", "NA"]
TABLE = [f"{i}\t{s}\tGene Expression" for i, s in zip(IDS, SYMBOLS, strict=True)]
PEAKS = ["chr1\t0\t9", "chr1\t20\t30", "chrX\t5\t6"]
PEAK_NAMES = ["chr1:0-9", "chr1:20-30", "chrX:5-6"]
PARSE = {
    "all_genes.csv": ["gene_id,gene_name,genome"]
    + [f"{i},{s},hg38" for i, s in zip(IDS, SYMBOLS, strict=True)],
    "cell_metadata.csv": ["bc_wells,sample,cell_type", *(f"{c},s1,T{c[2]}" for c in CELLS)],
}


def put(folder, matrix, tables, counts=COUNTS, zipped=False):
    """Writes a matrix, as its rows and columns are given, and lines by the names of their files."""
    folder.mkdir(exist_ok=True)
    mmwrite(folder / "a.mtx", sparse.coo_matrix(counts))
    texts = {matrix: (folder / "a.mtx").read_text()}
    (folder / "a.mtx").unlink()
    texts |= {name: "\n".join(lines) + "\n" for name, lines in tables.items()}
    for name, text in texts.items():
        content = text.encode()
        path = folder / (f"{name}.gz" if zipped else name)
        path.write_bytes(gzip.compress(content) if zipped else content)
    return folder


def both(path, modality) -> AnnData:
    """The cells of a path, which are the same held and streamed."""
    held = read_modality(path, modality)
    found = stored(open_cells(path, modality))
    np.testing.assert_array_equal(held.X.toarray(), found.X[:].toarray())
    assert held.var.equals(found.var) and held.obs_names.tolist() == found.obs_names.tolist()
    return held


# Program -> matrix, tables, and whether cells are in rows.
KB = "cells_x_genes"
OF_PROGRAMS = {
    "kallisto|bustools": (
        f"{KB}.mtx",
        {f"{KB}.barcodes.txt": CELLS, f"{KB}.genes.txt": IDS, f"{KB}.genes.names.txt": SYMBOLS},
        True,
    ),
    "bustools of nuclei": (
        f"{KB}.total.mtx",
        {f"{KB}.barcodes.txt": CELLS, f"{KB}.genes.names.txt": SYMBOLS},
        True,
    ),
    "alevin-fry": (
        "quants_mat.mtx",
        {"quants_mat_rows.txt": CELLS, "quants_mat_cols.txt": SYMBOLS},
        True,
    ),
    "split-pipe": ("DGE.mtx", PARSE, True),
    "newer split-pipe": ("count_matrix.mtx", PARSE, True),
    "STARsolo": ("matrix.mtx", {"barcodes.tsv": CELLS, "features.tsv": TABLE}, False),
    "GEO": ("GSM1_a_matrix.mtx", {"GSM1_a_barcodes.tsv": CELLS, "GSM1_a_genes.tsv": TABLE}, False),
    "GEO, shared genes": (
        "GSM1_a.mtx",
        {"GSM1_a.cells.txt": CELLS, "GSE1_genes.txt": TABLE},
        False,
    ),
    "endings": ("matrix_a.mtx", {"barcodes_a.tsv": CELLS, "features_a.tsv": TABLE}, False),
    "capitals": ("Matrix.mtx", {"Barcodes.tsv": CELLS, "Features.tsv": TABLE}, False),
    "R": ("counts.mtx", {"colnames.txt": CELLS, "rownames.txt": SYMBOLS}, False),
    "scanpy": ("X.mtx", {"obs_names.csv": ["0", *CELLS], "var_names.csv": ["0", *SYMBOLS]}, True),
    "headings": (
        "matrix.mtx",
        {"barcodes.tsv": ["barcode", *CELLS], "genes.tsv": ["id\tsymbol\ttype", *TABLE]},
        False,
    ),
    "quotes and numbers of rows, by R": (
        "matrix.mtx",
        {
            "barcodes.csv": ['"","x"', *(f'"{n}","{cell}"' for n, cell in enumerate(CELLS, 1))],
            "genes.tsv": ['"V1"\t"V2"']
            + [
                f'"{n}"\t"{i}"\t"{s}"' for n, (i, s) in enumerate(zip(IDS, SYMBOLS, strict=True), 1)
            ],
        },
        False,
    ),
    "numbers of rows, by pandas": (
        "matrix.mtx",
        {
            "cells.csv": [",0", *(f"{n},{cell}" for n, cell in enumerate(CELLS))],
            "genes.csv": [",0", *(f"{n},{gene}" for n, gene in enumerate(SYMBOLS))],
        },
        False,
    ),
    "a mark of Windows": ("matrix.mtx", {"barcodes.tsv": CELLS, "genes.tsv": SYMBOLS}, False),
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("program", OF_PROGRAMS)
def test_files_of_many_programs(tmp_path, program, zipped):
    matrix, tables, in_rows = OF_PROGRAMS[program]
    if "Windows" in program:
        tables = {name: [f"\ufeff{lines[0]}", *lines[1:]] for name, lines in tables.items()}
    folder = put(tmp_path / "of", matrix, tables, COUNTS if in_rows else COUNTS.T, zipped)
    for path in (folder, folder / (f"{matrix}.gz" if zipped else matrix)):
        found = both(path, "rna")
        assert found.X.toarray().tolist() == COUNTS.tolist()
        assert found.obs_names.tolist() == CELLS
        assert found.var_names.tolist() == SYMBOLS


def test_columns_of_a_table_of_cells_are_kept(tmp_path):
    found = both(put(tmp_path, "DGE.mtx", PARSE), "rna")
    assert found.obs.to_dict("list") == {"sample": ["s1", "s1"], "cell_type": ["TA", "TC"]}
    assert found.var.to_dict("list") == {"gene_id": IDS, "genome": ["hg38"] * 3}


PEAK_TABLES = {
    "peaks.bed": ["# id=x", "#", *PEAKS],
    "GSM1_peaks.bed": [line.replace("\t", " ") for line in PEAKS],
    "peaks.tsv": [line.replace("\t", "_") for line in PEAKS],
    "features.bed": [f"{line}\tpeak{n}\t.\t+" for n, line in enumerate(PEAKS)],
    "filtered_peaks.txt": ["chrom\tstart\tend", *PEAKS],
    "peak_regions.csv": ["#chrom,start,end", *(line.replace("\t", ",") for line in PEAKS)],
    "peaks_of_R.tsv": [
        '"seqnames"\t"start"\t"end"',
        *(f'"{n}"\t{line}' for n, line in enumerate(PEAKS, 1)),
    ],
    "features.tsv": [
        f"{name}\t{name}\tPeaks\t{line}" for name, line in zip(PEAK_NAMES, PEAKS, strict=True)
    ],
}


@pytest.mark.parametrize("name", PEAK_TABLES)
@pytest.mark.parametrize("in_rows", [True, False])
def test_peaks_in_many_tables(tmp_path, name, in_rows):
    tables = {"barcodes.tsv": CELLS, name: PEAK_TABLES[name], "peak_motifs.json": ["{}"]}
    found = both(put(tmp_path, "matrix.mtx", tables, COUNTS if in_rows else COUNTS.T), "atac")
    assert found.X.toarray().tolist() == COUNTS.tolist()
    places = [["chr1", 0, 9], ["chr1", 20, 30], ["chrX", 5, 6]]
    assert peak_intervals(found.var).to_numpy().tolist() == places


def test_the_sample_of_the_matrix_is_taken_and_hidden_files_are_not(tmp_path):
    for sample, factor in {"GSM1_a": 1, "GSM2_b": 2}.items():
        names = [f"{sample}-{cell}" for cell in CELLS]
        tables = {f"{sample}_barcodes.tsv": names, f"{sample}_features.tsv": TABLE}
        put(tmp_path, f"{sample}_matrix.mtx", tables, factor * COUNTS.T)
    (tmp_path / "._GSM2_b_barcodes.tsv").write_bytes(b"\0\5\x16\7")  # beside each, by macOS
    (tmp_path / "GSM2_b_features.tsv.gz").write_bytes(b"")  # the plain one is the same
    found = both(tmp_path / "GSM2_b_matrix.mtx", "rna")
    assert found.X.toarray().tolist() == (2 * COUNTS).tolist()
    assert found.obs_names[0] == f"GSM2_b-{CELLS[0]}"


@pytest.mark.parametrize(
    "matrix, tables, in_rows",
    [
        ("matrix.mtx", ("barcodes.tsv", "features.tsv"), False),
        (f"{KB}.mtx", (f"{KB}.barcodes.txt", f"{KB}.genes.txt"), True),
        ("quants_mat.mtx", ("quants_mat_rows.txt", "quants_mat_cols.txt"), True),
        ("count_matrix.mtx", ("cell_metadata.csv", "all_genes.csv"), True),
    ],
)
def test_a_matrix_as_wide_as_high_is_as_its_program_writes_it(
    tmp_path, matrix, tables, in_rows, caplog
):
    square = COUNTS[:, :2] + 1  # [[2, 1], [1, 4]] is the same turned
    square[0, 1] = 7
    lines = dict(zip(tables, (CELLS, SYMBOLS[:2]), strict=True))
    found = both(put(tmp_path, matrix, lines, square if in_rows else square.T), "rna")
    assert found.X.toarray().tolist() == square.tolist()
    assert f"its {'rows' if in_rows else 'columns'} are taken for the cells" in caplog.text


# What is written -> what the message says, and its line of what was received.
REFUSED = {
    "no cells": (
        {"features.tsv": TABLE},
        "no file beside matrix.mtx names the cells",
        "features.tsv",
    ),
    "no features": (
        {"barcodes.tsv": CELLS, "readme.md": ["x"]},
        "no file beside matrix.mtx names the features",
        "barcodes.tsv",
    ),
    "nothing else": ({}, "no file beside matrix.mtx names the cells", "matrix.mtx"),
    "two lists": (
        {"a_barcodes.tsv": CELLS, "b_barcodes.tsv": CELLS, "features.tsv": TABLE},
        "several files beside matrix.mtx may name the cells",
        "a_barcodes.tsv, b_barcodes.tsv",
    ),
    "one cell too many, which is no heading": (
        {"barcodes.tsv": [*CELLS, "AAAA-1"], "features.tsv": TABLE},
        "do not belong together",
        "3 x 2 in matrix.mtx",
    ),
    "one peak too many": (
        {"barcodes.tsv": CELLS, "peaks.bed": [*PEAKS, "chr9\t1\t2"]},
        "do not belong together",
        "3 x 2 in matrix.mtx",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused(tmp_path, kind):
    tables, what, received = REFUSED[kind]
    folder = put(tmp_path, "matrix.mtx", tables, COUNTS.T)
    with pytest.raises(InputError, match=re.escape(what)) as error:
        read_modality(folder, "atac")
    assert error.value.received == received


def test_a_folder_of_folders_and_files_names_those_that_can_be_given(tmp_path):
    for genome in ("GRCh38", "mm10"):
        put(tmp_path / genome, "matrix.mtx", {"barcodes.tsv": CELLS, "genes.tsv": TABLE}, COUNTS.T)
    (tmp_path / "analysis").mkdir()
    for name in ("filtered.h5", "summary.csv", "atac_fragments.tsv.gz"):
        (tmp_path / name).write_text("")
    with pytest.raises(InputError, match="not a folder of one matrix") as error:
        read_modality(tmp_path, "rna")
    assert error.value.received == (
        "GRCh38, analysis, atac_fragments.tsv.gz, filtered.h5, mm10, summary.csv"
    )
    assert error.value.advice == (
        "give one of these, which are in it: GRCh38, mm10, atac_fragments.tsv.gz, filtered.h5"
    )
