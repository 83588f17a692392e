"""Mouse skin, paired: SHARE-seq of Ma et al. 2020 (GEO GSE140203, late anagen).

Both modalities of every cell were measured, and its type is known; that they belong together is not
used. Of the 34,774 cells of the published table, those of the type 'Mix' are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from scadv_tf.data.cell_files import CellFile
from scadv_tf.data.downloads import PublicFile
from scadv_tf.data.mtx_cells import stored_mtx
from scadv_tf.data.mtx_files import MtxFiles
from scadv_tf.data.readable import readable
from scadv_tf.data.recipes.conversion import cells_in, check_any, write_cells
from scadv_tf.data.recipes.public_data import PublicData
from scadv_tf.data.stored_cells import Asked, StoredCells
from scadv_tf.data.text_matrix import stored_text_matrix

_GEO = "https://ftp.ncbi.nlm.nih.gov/geo/samples/GSM4156nnn"


def _of_geo(name: str) -> PublicFile:
    sample = name.partition("_")[0]
    return PublicFile(name, f"{_GEO}/{sample}/suppl/{name}")


COUNTS = _of_geo("GSM4156608_skin.late.anagen.rna.counts.txt.gz")
PEAK_COUNTS = _of_geo("GSM4156597_skin.late.anagen.counts.txt.gz")
PEAK_BARCODES = _of_geo("GSM4156597_skin.late.anagen.barcodes.txt.gz")
PEAKS = _of_geo("GSM4156597_skin.late.anagen.peaks.bed.gz")
TYPES = _of_geo("GSM4156597_skin_celltype.txt.gz")
NO_TYPE = "Mix"
NOTICE = (
    "data of Ma et al. 2020, Cell 183:1103, doi:10.1016/j.cell.2020.09.056 (GEO GSE140203), who "
    "state no licence there: cite them"
)


def _rna(files: Mapping[str, Path], path: Path, scratch: Path) -> int:
    with cells_in(files[COUNTS.name], "rna", scratch, stored_text_matrix) as cells:
        return _write_labelled(path, cells, files[TYPES.name])


def _atac(files: Mapping[str, Path], path: Path, scratch: Path) -> int:
    def read(asked: Asked) -> StoredCells:
        return stored_mtx(asked, MtxFiles(asked.path, files[PEAK_BARCODES.name], files[PEAKS.name]))

    with cells_in(files[PEAK_COUNTS.name], "atac", scratch, read) as cells:
        return _write_labelled(path, cells, files[TYPES.name])


def _write_labelled(path: Path, cells: CellFile, table: Path) -> int:
    """Writes the cells that have a type, by the name that both modalities have, ``rna.bc``."""
    types = _types(table)
    # The counts have commas where the table has points.
    names = np.char.replace(cells.names(0, cells.cells), ",", ".")
    found = types.reindex(names).to_numpy(dtype=object)
    rows = np.flatnonzero(pd.notna(found) & (found != NO_TYPE))
    check_any(rows, cells, table, types.index)
    obs = pd.DataFrame({"cell_type": found[rows]}, index=pd.Index(names[rows], dtype=object))
    return write_cells(path, cells, rows, obs, {"notice": NOTICE})


def _types(path: Path) -> pd.Series:
    """The type of each cell, by ``rna.bc``: of the ATAC matrix too, which ``atac.bc`` is not."""
    with readable(path, "table with the columns atac.bc, rna.bc and celltype"):
        table = pd.read_csv(path, sep="\t", dtype=str)
        return table.drop_duplicates("rna.bc").set_index("rna.bc")["celltype"]


DATA = PublicData(
    name="mouse_skin",
    files=(COUNTS, PEAK_COUNTS, PEAK_BARCODES, PEAKS, TYPES),
    genome="mm10",
    convert={"rna": _rna, "atac": _atac},
    cells={"rna": 32_231, "atac": 32_231},
    notice=NOTICE,
)
