"""What files are that lie beside a matrix of cells, and are given in its place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scadv_tf.data.text_blocks import beginning

if TYPE_CHECKING:
    import h5py


@dataclass(frozen=True)
class OtherFile:
    """What a file is, and what to give in its place."""

    what: str
    advice: str


_MOLECULES = OtherFile(
    "a molecule_info.h5 of Cell Ranger, which lists molecules and has no matrix",
    "give filtered_feature_bc_matrix.h5 of the same folder",
)
_INDEX = OtherFile(
    "the index (tabix) of a table such as fragments.tsv.gz, which has no matrix",
    "give that table itself as ATAC",
)
_R_OBJECT = OtherFile(
    "an object of R, which R alone can read",
    "write it in R as .h5ad, e.g. with zellkonverter::writeH5AD or SeuratDisk, or as a 10x folder "
    "with DropletUtils::write10xCounts",
)
_SPATIAL = OtherFile(
    "a store of SpatialData, which may hold several tables of cells",
    "give one of its tables, such as STORE/tables/table",
)
_ARCHIVE = OtherFile("an archive (tar) of files", "unpack it, and give what was in it")
_ARROW = OtherFile(
    "an Arrow file of ArchR, which R alone can read",
    "give the fragment file that it was made of; or write its scores or peaks as .h5ad in R, by "
    "getMatrixFromProject and zellkonverter::writeH5AD",
)
_SNAP = OtherFile(
    "a .snap of SnapATAC 1", "give the fragment file that it was made of, or its peaks as .h5ad"
)
_LOOM = OtherFile("a loom file", "convert it: anndata.io.read_loom(old).write_h5ad(new)")
_ZIPPED_HDF5 = OtherFile("an HDF5 file that gzip has compressed", "decompress it: gunzip FILE")
_ZIP = OtherFile("a zip archive, or a spreadsheet", "unpack it, and give what was in it")
_H5SEURAT = OtherFile(
    "an .h5Seurat of SeuratDisk, which R alone can read",
    "convert it in R: SeuratDisk::Convert(FILE, dest = 'h5ad')",
)
_COMPRESSED = OtherFile("compressed, and not by gzip", "decompress it, and give what was in it")
_PAGE = OtherFile(
    "a page of the web, in place of what was to be downloaded",
    "open it in a browser to see what it says, and download the file itself",
)
_POINTER = OtherFile(
    "a pointer of Git LFS, in place of the file that it stands for", "get that: git lfs pull"
)
_PICKLE = OtherFile(
    "a pickled object of Python, which could run any program when it is read",
    "if you trust who made it, load it there and write the cells by write_h5ad of anndata",
)
_READS = OtherFile(
    "a file of reads (BAM), which are not counted yet",
    "give the counts, or of ATAC the fragments, that Cell Ranger or sinto make of it",
)
_ARRAYS = OtherFile(
    "NumPy's arrays, which do not name cells and features",
    "write them with their names: anndata.AnnData(X, obs, var).write_h5ad(new)",
)
_COLUMNS = OtherFile(
    "a table (parquet or feather), not a matrix of cells",
    "make an AnnData of it, cells in rows: anndata.AnnData(table).write_h5ad(new)",
)
_TEXT = OtherFile(
    "a table of text",
    "convert it: anndata.io.read_text(old) or read_csv(old), with .T where features are in rows, "
    "then .write_h5ad(new)",
)
_GROUPS = (
    (frozenset({"ArchRVersion", "Fragments"}), _ARROW),
    (frozenset({"HD", "BD", "FM"}), _SNAP),
    (frozenset({"matrix", "col_attrs"}), _LOOM),
    (frozenset({"umi", "gem_group"}), _MOLECULES),
    (frozenset({"assays", "cell.names"}), _H5SEURAT),
    (frozenset({"tables"}), _SPATIAL),
    (frozenset({"shapes"}), _SPATIAL),
)
_BEGINNINGS = {
    rb"(?s).{257}ustar": _ARCHIVE,
    rb"\x89HDF": _ZIPPED_HDF5,
    rb"(?s)PK\x03\x04.{26}[^/]{1,40}\.npy|\x93NUMPY": _ARRAYS,
    rb"PK\x03\x04": _ZIP,
    rb"BZh|\xfd7zXZ|\x28\xb5\x2f\xfd|7z\xbc\xaf|Rar!": _COMPRESSED,
    rb"(?i)\s*<(?:!doctype|html|\?xml)": _PAGE,
    b"version https://git-lfs": _POINTER,
    rb"\x80[\x02-\x05]": _PICKLE,
    b"BAM\x01": _READS,
    b"PAR1|ARROW1": _COLUMNS,
    b"TBI\x01": _INDEX,
    rb"X\n\x00\x00\x00|A\n\d|RD[AX]\d\n": _R_OBJECT,
    rb"[^\0-\x08\n]*[\t,;][^\0-\x08\n]*\n[^\0-\x08\n]*[\t,;]": _TEXT,
}


def other_file(path: Path, file: h5py.File | None) -> OtherFile | None:
    """What a file is; None where that is not known.

    Parameters
    ----------
    file : the same, open, if it is HDF5 or zarr.
    """
    if file is not None:
        return next((what for marks, what in _GROUPS if marks.issubset(file)), None)
    if not path.is_file():
        return None
    start = beginning(path)
    return next((what for begins, what in _BEGINNINGS.items() if re.match(begins, start)), None)
