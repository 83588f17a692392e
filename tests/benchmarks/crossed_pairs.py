"""Pairs of samples that do not belong together: RNA cells of one set and ATAC cells of another.

python tests/benchmarks/crossed_pairs.py DATA FOLDER

Of the folders `pbmc`, `pbmc_nuclei` and `bone_marrow` in DATA, three pairs of .h5ad files are
written into FOLDER, with types that both know as the column `group`: what no RNA type stands for
has none. `nuclei_pbmc_*` and `nuclei_marrow_*` have the RNA of nuclei with 15 types, beside ATAC
cells of blood and of bone marrow; `pbmc_nuclei_*` has the RNA of blood beside ATAC of 398 nuclei.
"""

from __future__ import annotations

import sys
from pathlib import Path

import anndata

KINDS = {"pDC": "pDC", "Memory B": "B", "Intermediate B": "B"}  # the rest is T/NK
KINDS |= dict.fromkeys(("CD14 Mono", "CD16 Mono", "cDC"), "Myeloid")
# Types of the nuclei in the words of the others. Naive CD8 T cells are among the naive CD4 T cells
# of the RNA of blood, so those of the nuclei have no group there.
TYPES = {
    "CD14 Mono": "CD14 Mono",
    "CD16 Mono": "CD16 Mono",
    "CD4 Naive": "Naive CD4 T",
    "CD4 TCM": "Memory CD4 T",
    "CD4 TEM": "Memory CD4 T",
    "CD8 Naive": "CD8 T",
    "CD8 TEM_1": "CD8 T",
    "CD8 TEM_2": "CD8 T",
    "Intermediate B": "B",
    "MAIT": "MAIT",
    "Memory B": "B",
    "NK": "NK",
    "cDC": "DC",
    "gdT": "gdT",
    "pDC": "pDC",
}
BLOOD = {"CD14+ Mono": "CD14 Mono", "FCGR3A+ Mono": "CD16 Mono"}
NOT_IN_BLOOD = ("MAIT", "gdT", "pDC", "CD8 Naive")


def grouped(path: Path, column: str, names: dict[str, str], other: str | None = None):
    """The cells of a file with their groups: a type's name here, else `other`, else its own."""
    cells = anndata.read_h5ad(path)
    cells.obs["group"] = [
        names.get(name, name if other is None else other) for name in cells.obs[column].astype(str)
    ]
    return cells


def write_pairs(data: Path, folder: Path) -> None:
    """Writes all three."""
    nuclei, rna = data / "pbmc_nuclei", "rna.h5ad"
    marrow = grouped(data / "bone_marrow/atac_peaks.h5ad", "cell_type", {})
    known = ~marrow.obs["group"].str.startswith("novel: ")
    no_group = dict.fromkeys(NOT_IN_BLOOD, "")
    few = grouped(nuclei / "atac_gene_activity.h5ad", "cell_type", TYPES | no_group)
    pairs = {
        "nuclei_pbmc": (
            grouped(nuclei / rna, "cell_type", KINDS, other="T/NK"),
            grouped(data / "pbmc/atac_peaks.h5ad", "cell_type_broad", {}),
        ),
        "nuclei_marrow": (grouped(nuclei / rna, "cell_type", TYPES), marrow[known.to_numpy()]),
        "pbmc_nuclei": (grouped(data / "pbmc" / rna, "cell_type", BLOOD), few),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, cells in pairs.items():
        for modality, each in zip(("rna", "atac"), cells, strict=True):
            each.write_h5ad(folder / f"{name}_{modality}.h5ad", compression="gzip")


if __name__ == "__main__":
    write_pairs(*map(Path, sys.argv[1:3]))
