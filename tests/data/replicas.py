"""Small files in the formats, and by the names, of the data sets that are published."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from scipy import sparse
from scipy.io import mmwrite

from scadv_tf.data.recipes import mouse_skin, pbmc_10k

SEURAT = Path(__file__).parent / "seurat" / "pbmc_10k_v3.rds"
SINGLE_CELL_COLUMNS = (
    "barcode,total,duplicate,chimeric,unmapped,lowmapq,mitochondrial,passed_filters,cell_id,"
    "is__cell_barcode,TSS_fragments,DNase_sensitive_region_fragments,enhancer_region_fragments,"
    "promoter_region_fragments,on_target_fragments,blacklist_region_fragments,peak_region_fragments"
)


def barcode(number: int) -> str:
    """As in the Seurat object, whose cells are 0 to 239."""
    digits = np.base_repr(number * 7919, 4).zfill(16)
    return digits.translate(str.maketrans("0123", "ACGT")) + "-1"


def pbmc_10k_files(folder: Path, write_10x_h5, rna, genes, numbers, atac, peaks, called) -> None:
    """Writes the four files.

    Parameters
    ----------
    rna, atac : counts [cells, features]; genes and peaks are the names of the features.
    numbers : of the RNA cells, see `barcode`.
    called : whether Cell Ranger takes an ATAC barcode for a cell [cells]; their numbers count on.
    """
    kinds = ["Gene Expression"] * len(genes), ["Peaks"] * len(peaks)
    ids = [f"ENSG{i:011d}" for i in range(len(genes))]
    rna_cells = [barcode(number) for number in numbers]
    write_10x_h5(rna, ids, genes, kinds[0], pbmc_10k.COUNTS.name, rna_cells)
    atac_cells = [barcode(number) for number in range(len(called))]
    write_10x_h5(atac, peaks, peaks, kinds[1], pbmc_10k.PEAKS.name, atac_cells)
    lines = [SINGLE_CELL_COLUMNS, "NO_BARCODE,9,1,1,1,1,1,4,None,0,0,0,0,0,0,0,0"]
    for number, (cell, is_cell) in enumerate(zip(atac_cells, called, strict=True)):
        name = f"_cell_{number}" if is_cell else "None"
        lines.append(f"{cell},9000,1,1,1,1,1,8000,{name},{is_cell:d},5,0,0,0,5,{number},7")
    (folder / pbmc_10k.BARCODES.name).write_text("\n".join(lines) + "\n")
    (folder / pbmc_10k.OBJECT.name).write_bytes(SEURAT.read_bytes())


def mouse_skin_files(folder: Path, rna, genes, rna_cells, atac, peaks, atac_cells, types) -> None:
    """Writes the five files.

    Parameters
    ----------
    rna, atac : counts [cells, features]; genes are names, peaks are chrom, start, end.
    rna_cells, atac_cells : names of the cells.
    types : lines of the table of types, (atac.bc, rna.bc, celltype).
    """

    def put(file, text: str) -> None:
        (folder / file.name).write_bytes(gzip.compress(text.encode()))

    def lines(rows) -> str:
        return "".join("\t".join(map(str, row)) + "\n" for row in rows)

    counts = [[gene, *column] for gene, column in zip(genes, np.transpose(rna), strict=True)]
    put(mouse_skin.COUNTS, lines([["gene", *rna_cells], *counts]))
    mmwrite(folder / "plain.mtx", sparse.coo_matrix(np.transpose(atac)))
    put(mouse_skin.PEAK_COUNTS, (folder / "plain.mtx").read_text())
    (folder / "plain.mtx").unlink()
    put(mouse_skin.PEAK_BARCODES, "".join(f"{cell}\n" for cell in atac_cells))
    put(mouse_skin.PEAKS, lines(peaks))
    put(mouse_skin.TYPES, lines([("atac.bc", "rna.bc", "celltype"), *types]))
