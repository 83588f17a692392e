"""Human blood, unpaired: 10x Genomics' 10k PBMC v3 (RNA) and 10k scATAC v1.

The cells and the RNA types are those of Seurat's vignette 'PBMC scATAC-seq' (versions 3.0 to 3.2,
https://satijalab.org/seurat/archive/v3.0/atacseq_integration_vignette):

- RNA: the cells of its object ``pbmc_10k_v3.rds``, whose ``meta.data`` has their types. How these
  were made: https://github.com/satijalab/Integration2019, preprocessing_scripts/pbmc_10k_v3.R.
- ATAC: the cells with more than 5,000 counts in peaks. No labels of theirs are published.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from scadv_tf.data.cell_files import CellFile, open_cells
from scadv_tf.data.downloads import PublicFile
from scadv_tf.data.r_objects import check_reader, seurat_cells
from scadv_tf.data.readable import readable
from scadv_tf.data.recipes.conversion import check_any, write_cells
from scadv_tf.data.recipes.public_data import PublicData
from scadv_tf.data.writers import CELLS_AT_ONCE

_10X = "https://cf.10xgenomics.com/samples"
COUNTS = PublicFile(
    "pbmc_10k_v3_filtered_feature_bc_matrix.h5",
    f"{_10X}/cell-exp/3.0.0/pbmc_10k_v3/pbmc_10k_v3_filtered_feature_bc_matrix.h5",
)
OBJECT = PublicFile("pbmc_10k_v3.rds", "https://signac-objects.s3.amazonaws.com/pbmc_10k_v3.rds")
PEAKS = PublicFile(
    "atac_v1_pbmc_10k_filtered_peak_bc_matrix.h5",
    f"{_10X}/cell-atac/1.0.1/atac_v1_pbmc_10k/atac_v1_pbmc_10k_filtered_peak_bc_matrix.h5",
)
BARCODES = PublicFile(
    "atac_v1_pbmc_10k_singlecell.csv",
    f"{_10X}/cell-atac/1.0.1/atac_v1_pbmc_10k/atac_v1_pbmc_10k_singlecell.csv",
)
LEAST_COUNTS = 5000  # of an ATAC cell, in peaks: it must have more
# The object tells two kinds of NK cells apart by one gene; its 13 clusters are the document's.
CLUSTERS = {"NK dim": "NK cell", "NK bright": "NK cell"}
NOTICE = (
    "data of 10x Genomics, CC BY 4.0; types of Stuart, Butler et al. 2019, Cell 177:1888, "
    "doi:10.1016/j.cell.2019.05.031"
)


def _rna(files: Mapping[str, Path], path: Path, scratch: Path) -> int:
    """Cells that Seurat's object has: ``cell_type``, and ``celltype`` as it calls them."""
    described = seurat_cells(files[OBJECT.name])
    with readable(files[OBJECT.name], ".rds"):
        types = described["celltype"].astype(str)
    types.index = _barcodes(types.index)
    with open_cells(files[COUNTS.name], "rna", scratch=scratch) as cells:
        names = cells.names(0, cells.cells)
        found = types.reindex(_barcodes(names)).to_numpy(dtype=object)
        rows = np.flatnonzero(pd.notna(found))
        check_any(rows, cells, files[OBJECT.name], described.index)
        published = pd.Series(found[rows], index=names[rows].astype(object))
        obs = {"cell_type": published.replace(CLUSTERS), "celltype": published}
        return write_cells(path, cells, rows, pd.DataFrame(obs), {"notice": NOTICE})


def _barcodes(names: pd.Index | np.ndarray) -> pd.Index:
    """Barcodes alone: the object has ``rna_`` before them, and a file may have ``-1`` behind."""
    return pd.Index([str(name).removeprefix("rna_").removesuffix("-1") for name in names])


def _atac(files: Mapping[str, Path], path: Path, scratch: Path) -> int:
    """Cells with enough counts, with what Cell Ranger ATAC says of each barcode."""
    with open_cells(files[PEAKS.name], "atac", scratch=scratch) as cells:
        names = cells.names(0, cells.cells)
        table = _single_cells(files[BARCODES.name])
        said = table.reindex(names)
        called = said["is__cell_barcode"].to_numpy() == 1
        check_any(np.flatnonzero(called), cells, files[BARCODES.name], table.index)
        rows = np.flatnonzero(called & (_totals(cells) > LEAST_COUNTS))
        return write_cells(path, cells, rows, said.iloc[rows], {"notice": NOTICE})


def _single_cells(path: Path) -> pd.DataFrame:
    """What was counted of each barcode, by barcode; 1 in ``is__cell_barcode`` calls it a cell."""
    with readable(path, "singlecell.csv of Cell Ranger ATAC"):
        table = pd.read_csv(path, index_col="barcode").select_dtypes("number")
        return table.astype({"is__cell_barcode": int})


def _totals(cells: CellFile) -> np.ndarray:
    """The counts of each cell, added up [cells]."""
    parts = [np.asarray(part.counts.sum(axis=1)).ravel() for part in cells.chunks(CELLS_AT_ONCE)]
    return np.concatenate(parts)


DATA = PublicData(
    name="pbmc_10k",
    files=(COUNTS, OBJECT, PEAKS, BARCODES),
    genome="hg19",  # of the ATAC peaks; the RNA counts are by gene, of GRCh38
    convert={"rna": _rna, "atac": _atac},
    cells={"rna": 9_432, "atac": 7_866},
    notice=NOTICE,
    check=check_reader,
)
