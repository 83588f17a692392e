"""Small inputs, written where the tests can see every number."""

from __future__ import annotations

import gzip

import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from scipy.io import mmwrite

from scadv_tf.data.datasets import DatasetSource, assemble
from scadv_tf.data.synthetic import simulate


@pytest.fixture
def adata():
    """A maker of small AnnData: adata(rows, genes, **obs columns)."""

    def make(rows, features, cells=None, var=None, **obs) -> AnnData:
        matrix = sparse.csr_matrix(np.asarray(rows, dtype=np.float32))
        cells = cells or [f"cell{i}" for i in range(matrix.shape[0])]
        var = pd.DataFrame(var or {}, index=list(features))
        return AnnData(matrix, obs=pd.DataFrame(obs, index=cells), var=var)

    return make


@pytest.fixture
def write_10x_h5(tmp_path):
    """Write counts [cells, features] as Cell Ranger 3 does (kinds given) or as Cell Ranger 2."""

    def write(counts, ids, names, kinds=None, name="matrix.h5", barcodes=None):
        counts = sparse.csr_matrix(np.asarray(counts, dtype=np.int32))
        path = tmp_path / name
        text = h5py.string_dtype()
        with h5py.File(path, "w") as file:
            group = file.create_group("matrix" if kinds else "hg19")
            for part in ("data", "indices", "indptr"):
                group[part] = getattr(counts, part)
            group["shape"] = np.array(counts.shape[::-1], dtype=np.int32)
            barcodes = barcodes or [f"c{i}-1" for i in range(counts.shape[0])]
            group["barcodes"] = np.array(barcodes, dtype="S")
            if not kinds:
                group["genes"], group["gene_names"] = np.array(ids, "S"), np.array(names, "S")
                return path
            features = group.create_group("features")
            for key, values in {"id": ids, "name": names, "feature_type": kinds}.items():
                features[key] = np.array(values, "S")
            features["genome"] = np.array(["GRCh38"] * len(ids), "S")
            features["_all_tag_keys"] = np.array(["genome"], dtype=text)
        return path

    return write


@pytest.fixture
def write_10x_mtx(tmp_path):
    """Write counts [cells, features] as a 10x folder; feature_lines are the rows of its table."""

    def write(counts, feature_lines, features="features.tsv", gzipped=True, prefix=""):
        folder = tmp_path / "mtx"
        folder.mkdir(exist_ok=True)
        counts = np.asarray(counts)
        mmwrite(folder / "plain.mtx", sparse.coo_matrix(counts.T))
        files = {
            "matrix.mtx": (folder / "plain.mtx").read_text(),
            "barcodes.tsv": "".join(f"c{i}-1\n" for i in range(len(counts))),
            features: "".join("\t".join(line) + "\n" for line in feature_lines),
        }
        (folder / "plain.mtx").unlink()
        for name, text in files.items():
            data = text.encode()
            end, data = (".gz", gzip.compress(data)) if gzipped else ("", data)
            (folder / f"{prefix}{name}{end}").write_bytes(data)
        return folder

    return write


@pytest.fixture(scope="session")
def tissue():
    """A small simulated tissue, paired: 90 RNA cells, 70 ATAC cells with peaks, 120 genes.

    Tests must not change it.
    """
    return _paired(cells=90, atac_cells=70, genes=120)[0]


@pytest.fixture(scope="session")
def new_tissue():
    """Further ATAC cells of the same tissue, with its genes and peaks."""
    data, _ = _paired(cells=90, atac_cells=80, genes=120)
    return data


def _paired(cells: int, atac_cells: int, genes: int):
    rna, peaks, table = simulate(cells, genes, types=4, difficulty=0.3, atac_cells=atac_cells)
    source = DatasetSource(label_key="cell_type", min_shared_genes=1)
    return assemble(rna, peaks, source, table)
