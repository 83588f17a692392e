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
_GROUPS = (
    (frozenset({"umi", "gem_group"}), _MOLECULES),
    (frozenset({"tables"}), _SPATIAL),
    (frozenset({"shapes"}), _SPATIAL),
)
_BEGINNINGS = {
    rb"(?s).{257}ustar": _ARCHIVE,
    b"TBI\x01": _INDEX,
    rb"X\n\x00\x00\x00|A\n\d|RD[AX]\d\n": _R_OBJECT,
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
