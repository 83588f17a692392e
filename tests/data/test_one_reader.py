"""A file that is held and the same file streamed: the same cells, or the same message."""

from __future__ import annotations

import gzip
import json
import pickle
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import anndata
import h5py
import hdf5plugin
import mudata
import numpy as np
import pandas as pd
import pytest
import zarr
from anndata import AnnData
from anndata.io import write_elem
from reading import read_modality
from scipy import sparse

from scadv_tf.data import spill, stored_counts, stored_matrices
from scadv_tf.data.cell_files import open_cells
from scadv_tf.data.features import ORIGINAL_NAME, feature_names
from scadv_tf.data.readable import readable
from scadv_tf.data.readers import stored
from scadv_tf.data.rows import blocks
from scadv_tf.data.stored_cells import Called, Choices
from scadv_tf.errors import InputError

CELLS, FEATURES = 11, 7
GENES = [f"G{i}" for i in range(FEATURES)]
NAMES = [f"cell{i}" for i in range(CELLS)]
TYPES = ["T", "B", "NK"] * 3 + ["T", "B"]
KINDS = ["Gene Expression"] * 5 + ["Peaks"] * 2
COUNTS = np.random.default_rng(0).poisson(0.9, size=(CELLS, FEATURES))
COUNTS[4] = 0
COUNTS[0, 0] = 3


@dataclass
class Outcome:
    """What came of reading: a message, or counts, names and tables; and what was said."""

    said: list[str]
    error: str = ""
    cells: AnnData | None = None


def outcome(read, caplog) -> Outcome:
    caplog.clear()
    try:
        cells = read()
    except InputError as error:
        return Outcome([], str(error))
    return Outcome(sorted(record.getMessage() for record in caplog.records), cells=cells)


def in_blocks(path, modality, layer) -> AnnData:
    """All that a streamed file gives, some cells at a time."""
    found = stored(open_cells(path, modality, layer, called=Called.of(modality)))
    assert found.X.account.opened.shape == (found.n_obs,)  # the look at all counts
    counts = sparse.vstack([block for _, block in blocks(found.X, 4)], format="csr")
    return AnnData(counts, obs=found.obs.set_axis(found.obs_names), var=found.var)


def both(path, modality, layer, caplog) -> Outcome:
    """Reads in both ways, which must be the same."""
    with caplog.at_level("WARNING"):
        held = outcome(lambda: read_modality(path, modality, layer), caplog)
        streamed = outcome(lambda: in_blocks(path, modality, layer), caplog)
    assert streamed.error == held.error and streamed.said == held.said
    if not held.error:
        first, second = held.cells, streamed.cells
        for cells in (first, second):
            assert cells.X.format == "csr" and cells.X.dtype == np.float32
        np.testing.assert_array_equal(first.X.toarray(), second.X.toarray())
        assert first.X.nnz == second.X.nnz
        pd.testing.assert_frame_equal(first.obs, second.obs)
        pd.testing.assert_frame_equal(first.var, second.var)
    return held


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """So that these few cells need several pieces."""
    monkeypatch.setattr(spill, "BUCKET_CELLS", 4)
    monkeypatch.setattr(stored_matrices, "ENTRIES_AT_ONCE", 5)
    monkeypatch.setattr(stored_matrices, "DENSE_ROWS_AT_ONCE", 2)
    monkeypatch.setattr(stored_counts, "CELLS_AT_ONCE", 3)


def annotated(matrix=None) -> AnnData:
    matrix = sparse.csr_matrix(COUNTS.astype(np.float32)) if matrix is None else matrix
    obs = pd.DataFrame({"type": pd.Categorical(TYPES), "size": np.arange(CELLS)}, index=NAMES)
    return AnnData(matrix, obs=obs, var=pd.DataFrame({"id": np.arange(FEATURES)}, index=GENES))


def written(folder, cells: AnnData, name="cells.h5ad"):
    cells.write_h5ad(folder / name)
    return folder / name


def replaced(path, **arrays):
    """Other arrays in place of some of an HDF5 file; those that are functions change what is."""
    with h5py.File(path, "r+") as file:
        for key, values in arrays.items():
            key = key.replace("__", "/")
            attributes, old = dict(file[key].attrs), file[key][:]
            del file[key]
            file[key] = values(old) if callable(values) else values
            file[key].attrs.update(attributes)
    return path


# Files that are read.


def h5ad(form=sparse.csr_matrix, kind=np.float32):
    return lambda folder: written(folder, annotated(form(COUNTS.astype(kind))))


def with_other_arrays(**kinds):
    """A sparse matrix whose arrays have other types, by the names of these."""
    changes = {
        f"X__{name}": lambda old, kind=kind: old.astype(kind) for name, kind in kinds.items()
    }
    return lambda folder: replaced(h5ad()(folder), **changes)


def with_index(make):
    def write(folder):
        cells = annotated()
        cells.obs.index = make(NAMES)
        with anndata.settings.override(allow_write_nullable_strings=True):
            return written(folder, cells)

    return write


def with_entries_in_parts(folder):
    """The first count is stored as two, out of order, with a zero between them."""
    whole = sparse.csr_matrix(COUNTS.astype(float))
    data = np.array([1, 0, whole.data[0] - 1, *whole.data[1:]])
    indptr = np.where(whole.indptr > 0, whole.indptr + 2, 0)
    arrays = {"data": data, "indices": np.array([0, 6, *whole.indices]), "indptr": indptr}
    return replaced(h5ad()(folder), **{f"X__{name}": array for name, array in arrays.items()})


def without_marks_of_the_matrix(form):
    """As R may write it."""

    def write(folder):
        path = h5ad(form)(folder)
        with h5py.File(path, "r+") as file:
            for mark in ("encoding-type", "encoding-version", "shape"):
                del file["X"].attrs[mark]
        return path

    return write


def with_bytes_as_names(folder):
    return replaced(h5ad()(folder), obs___index=np.array([n.encode() for n in NAMES]))


def with_names_in_latin_1(folder):
    names = [f"cell{i}-ä".encode("latin-1") for i in range(CELLS)]
    return replaced(h5ad()(folder), obs___index=np.array(names))


def with_factors_of_rhdf5(folder):
    """Numbers whose type has the names."""
    path = h5ad()(folder)
    kind = h5py.enum_dtype({"T": 1, "B": 2, "NK": 3}, basetype="i4")
    codes = np.array([("T", "B", "NK").index(name) + 1 for name in TYPES])
    with h5py.File(path, "r+") as file:
        del file["obs/type"]
        file["obs"].create_dataset("type", data=codes, dtype=kind)
    return path


def of_seurat(marks: bool):
    """As SeuratDisk writes it: factors as numbers, a raw/var of names alone, marks or none."""

    def write(folder):
        path = written(folder, annotated(sparse.csr_matrix(np.log1p(COUNTS))))
        factor = pd.Categorical(TYPES)
        with h5py.File(path, "r+") as file:
            write_elem(file, "raw/X", sparse.csr_matrix(COUNTS.astype(np.float64)))
            file["raw/var/_index"] = GENES
            file["raw/var"].attrs["_index"] = np.array(["_index"], dtype="S")
            del file["obs"]
            obs = file.create_group("obs")
            obs["names"], obs["size"] = NAMES, range(CELLS)
            obs["type"] = factor.codes.astype("i4" if marks else "f8")
            obs["__categories/type"] = list(factor.categories)
            obs.attrs["_index"] = "names"
            if marks:
                obs.attrs["column-order"] = ["type", "size"]
                obs.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.1.0"})
        return path

    return write


def without_the_mark_of_its_index(folder):
    path = h5ad()(folder)
    with h5py.File(path, "r+") as file:
        del file["obs"].attrs["_index"], file["var"].attrs["_index"]
        del file["obs"].attrs["column-order"], file["var"].attrs["column-order"]
    return path


def in_h5mu(folder):
    mdata = mudata.MuData({"gex": annotated(), "peaks": annotated(3 * COUNTS)})
    mdata.obs["shared"] = np.arange(CELLS) % 3
    mdata["peaks"].var_names = [f"P{i}" for i in range(FEATURES)]
    mdata.write(folder / "cells.h5mu")
    return folder / "cells.h5mu"


def in_zarr(version: int, form=sparse.csr_matrix, zipped: str = ""):
    """A store as anndata writes it; zipped with its folder, or without it."""

    def write(folder):
        cells = annotated(form(COUNTS.astype(np.float32)))
        cells.obs["note"] = pd.array(["a"] * (CELLS - 1) + [None], dtype="string")
        with anndata.settings.override(
            zarr_write_format=version, allow_write_nullable_strings=True
        ):
            cells.write_zarr(folder / "cells.zarr")
        if not zipped:
            return folder / "cells.zarr"
        inside = {"root_dir": folder, "base_dir": "cells.zarr"} if zipped == "folder" else {}
        inside = inside or {"root_dir": folder / "cells.zarr"}
        return Path(shutil.make_archive(folder / "cells.zarr", "zip", **inside))

    return write


def in_zarr_of_mudata(folder):
    mudata.read(in_h5mu(folder)).write_zarr(folder / "cells.zarr")
    return folder / "cells.zarr"


def as_snapatac2_writes(folder):
    """Positions as 64-bit integers, values as unsigned ones, an index column of another name."""
    cells = annotated()
    cells.obs.index.name = "Barcode"
    path = with_other_arrays(data="u4", indices="i8", indptr="i8")(folder)
    with h5py.File(path, "r+") as file:
        del file["obs"]
        write_elem(file, "obs", cells.obs)
        write_elem(file, "obsm/fragment_paired", sparse.csr_matrix(np.ones((CELLS, 99))))
    return path


def compressed(how):
    """The arrays of X by a filter that HDF5 has not by itself."""

    def write(folder):
        path = h5ad()(folder)
        with h5py.File(path, "r+") as file:
            for name in ("data", "indices"):
                values = file["X"][name][:]
                del file["X"][name]
                array = file["X"].create_dataset(name, data=values, chunks=True, **how)
                assert array.compression is None and array._filters
        return path

    return write


READ = {
    **{
        f"{form.__name__} of {np.dtype(kind)}": h5ad(form, kind)
        for form in (sparse.csr_matrix, sparse.csc_matrix)
        for kind in (np.int64, np.float32, np.float64, np.uint8, np.bool_)
    },
    "dense float16": h5ad(np.asarray, np.float16),
    "dense int32": h5ad(np.asarray, np.int32),
    "dense big-endian": h5ad(np.asarray, ">f8"),
    "sparse float16": with_other_arrays(data="f2"),
    "sparse big-endian": with_other_arrays(data=">f4", indices=">i4", indptr=">i8"),
    "sparse uint64": with_other_arrays(data="u8", indices="u8", indptr="u8"),
    "positions as numbers of R": with_other_arrays(indices="f8", indptr="f8"),
    "entries in parts": with_entries_in_parts,
    "CSR without marks": without_marks_of_the_matrix(sparse.csr_matrix),
    "CSC without marks": without_marks_of_the_matrix(sparse.csc_matrix),
    "index of categories": with_index(pd.CategoricalIndex),
    "index of nullable text": with_index(lambda names: pd.Index(names, dtype="string")),
    "index of numbers": with_index(lambda names: pd.RangeIndex(len(names)).astype(str)),
    "repeated names": with_index(lambda names: [*names[:9], "cell3", "cell3"]),
    "bytes as names": with_bytes_as_names,
    "names in Latin-1": with_names_in_latin_1,
    "factors of rhdf5": with_factors_of_rhdf5,
    "SeuratDisk": of_seurat(marks=True),
    "no marks": of_seurat(marks=False),
    "no mark of the index": without_the_mark_of_its_index,
    "h5mu": in_h5mu,
    "h5ad called h5": lambda folder: h5ad()(folder).rename(folder / "cells.h5"),
    **{
        f"zarr {version}, {form.__name__}": in_zarr(version, form)
        for version in (2, 3)
        for form in (sparse.csr_matrix, sparse.csc_matrix, np.asarray)
    },
    "zarr, zipped": in_zarr(2, zipped="content"),
    "zarr 3, zipped with its folder": in_zarr(3, zipped="folder"),
    "zarr called otherwise": lambda folder: in_zarr(3)(folder).rename(folder / "cells"),
    "zarr of mudata": in_zarr_of_mudata,
    "an h5ad called zarr": lambda folder: h5ad()(folder).rename(folder / "x.zarr"),
    "zarr in the name of an h5ad": lambda folder: h5ad()(folder).rename(folder / "x.zarr.h5ad"),
    "SnapATAC2": as_snapatac2_writes,
    "zstd": compressed(hdf5plugin.Zstd()),
    "blosc": compressed(hdf5plugin.Blosc()),
    "h5mu called h5ad": lambda folder: in_h5mu(folder).rename(folder / "cells.h5ad"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", READ)
def test_what_is_read(tmp_path, kind, caplog):
    layer = "raw" if kind in ("SeuratDisk", "no marks") else ""
    found = both(READ[kind](tmp_path), "rna", layer, caplog)
    assert not found.error
    if "bool" not in kind:
        np.testing.assert_array_equal(found.cells.X.toarray(), COUNTS)
    assert found.cells.obs["type"].tolist() == TYPES
    assert found.cells.obs["size"].tolist() == list(range(CELLS))
    assert found.cells.var_names.tolist() == GENES
    if not kind.startswith(("repeated", "index of numbers", "names in")):
        assert found.cells.obs_names.tolist() == NAMES
    assert found.cells.obs_names.is_unique
    assert found.cells.X.nnz == np.count_nonzero(COUNTS)
    assert any("1 cells have no count" in text for text in found.said)


def test_columns_that_cannot_be_read_are_left_out_and_told(tmp_path, caplog):
    path = h5ad()(tmp_path)
    with h5py.File(path, "r+") as file:
        obs = file["obs"]
        newer = obs.create_dataset("date", data=np.arange(CELLS))
        newer.attrs.update({"encoding-type": "of-next-year", "encoding-version": "9"})
        obs["matrix"] = np.zeros((CELLS, 2))
        obs["short"] = np.zeros(CELLS - 1)
        names = ["date", "type", "gone", "matrix", "short", "size"]
        obs.attrs["column-order"] = np.array(names, dtype=object)
    found = both(path, "rna", "", caplog)
    assert found.cells.obs.columns.tolist() == ["type", "size"]
    assert found.cells.obs["type"].tolist() == TYPES
    for name in ("date", "matrix", "short"):
        assert sum(f"the column '{name}' of obs is stored" in text for text in found.said) == 1


def test_of_columns_of_the_same_name_in_memory_the_first_is_taken(caplog):
    cells = annotated()
    cells.obs = pd.concat([cells.obs, cells.obs[["type"]].assign(type="other")], axis=1)
    names = [[name, f"other {name}"] for name in GENES]
    cells.var = pd.DataFrame(names, columns=["symbol"] * 2, index=GENES)
    found = both(cells, "rna", "", caplog)
    assert found.cells.obs["type"].tolist() == TYPES
    assert found.cells.var["symbol"].tolist() == GENES
    for name in ("type", "symbol"):
        assert f"of several columns of the same name, the first is taken: {name}" in found.said


@pytest.mark.parametrize("modality", ["rna", "atac"])
def test_10x_files(modality, write_10x_h5, write_10x_mtx, caplog):
    h5 = write_10x_h5(COUNTS, GENES, [*GENES[:6], GENES[5]], KINDS)
    lines = [(name, name, kind) for name, kind in zip(GENES, KINDS, strict=True)]
    mtx = write_10x_mtx(COUNTS, lines)
    expected = COUNTS[:, :5] if modality == "rna" else COUNTS[:, 5:]
    for path in (h5, mtx):
        found = both(path, modality, "", caplog).cells
        np.testing.assert_array_equal(found.X.toarray(), expected)
        assert found.obs_names.tolist() == [f"c{i}-1" for i in range(CELLS)]


def test_an_older_10x_file(write_10x_h5, caplog):
    found = both(write_10x_h5(COUNTS, GENES, ["A"] * FEATURES), "rna", "", caplog).cells
    assert found.var[ORIGINAL_NAME].tolist() == ["A"] * FEATURES and found.var_names.is_unique


def test_x_that_was_transformed_points_to_the_counts(tmp_path, caplog):
    cells = annotated(sparse.csr_matrix(np.log1p(COUNTS)))
    cells.layers["counts"], cells.layers["scaled"] = COUNTS, COUNTS - 0.5
    found = both(written(tmp_path, cells), "rna", "", caplog)
    (told,) = [text for text in found.said if "log-normalised" in text]
    assert told.endswith("--rna_layer=counts")
    for layer in ("counts", "X"):
        cells.X = sparse.csr_matrix(COUNTS) if layer == "X" else cells.X
        said = both(written(tmp_path, cells), "rna", layer, caplog).said
        assert not any("log-normalised" in text for text in said)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.filterwarnings("ignore")
def test_layers_and_raw_in_zarr(tmp_path, version, caplog):
    cells = annotated()
    cells.raw = annotated(2 * COUNTS)
    cells.layers["tripled"] = sparse.csc_matrix(3 * COUNTS)
    with anndata.settings.override(zarr_write_format=version):
        cells.write_zarr(tmp_path / "cells.zarr")
    for layer, factor in {"": 1, "raw": 2, "tripled": 3}.items():
        found = both(tmp_path / "cells.zarr", "rna", layer, caplog).cells
        np.testing.assert_array_equal(found.X.toarray(), factor * COUNTS)
    error = both(tmp_path / "cells.zarr", "rna", "none", caplog).error
    assert "read as zarr, has no none" in error and "tripled, X, raw" in error


@pytest.mark.parametrize("kept", [slice(None), slice(0, 2)])
@pytest.mark.filterwarnings("ignore")
def test_raw_that_was_kept_before_symbols_were_added_has_those_of_x(tmp_path, kept, caplog):
    """X of all features or of some."""
    cells = annotated()
    cells.var = pd.DataFrame({"gene_ids": cells.var_names}, index=cells.var_names)
    cells.raw = cells
    cells = cells[:, kept].copy()
    symbols = [f"S{i}" for i in range(cells.n_vars)]
    cells.var = cells.var.assign(symbol=symbols, feature_types="Gene Expression")
    for given in (written(tmp_path, cells), cells):
        found = both(given, "rna", "raw", caplog).cells if given is not cells else None
        var = found.var if found is not None else read_modality(given, "rna", "raw").var
        assert len(var) == FEATURES and var["symbol"].dropna().tolist() == symbols
        assert var["gene_ids"].notna().all()


def test_a_column_of_the_name_that_others_give_to_former_names_is_no_index(tmp_path, caplog):
    cells = annotated()
    cells.var = cells.var.assign(original_name=[f"ENSG{i}" for i in range(FEATURES)])
    found = both(written(tmp_path, cells), "rna", "", caplog).cells
    assert feature_names(found.var).tolist() == cells.var_names.tolist()


@pytest.mark.parametrize("masked", [False, True])
def test_masked_values_are_no_counts(masked):
    cells = annotated()
    cells.X = np.ma.masked_array(COUNTS, COUNTS > 1e9)
    if masked:
        cells.X = np.ma.masked_array(COUNTS, COUNTS > 0)
        with pytest.raises(InputError, match="masked values") as error:
            read_modality(cells, "rna", "")
        assert "filled(0)" in error.value.advice
    else:
        np.testing.assert_array_equal(read_modality(cells, "rna", "").X.toarray(), COUNTS)


def test_one_of_two_genomes(tmp_path, caplog):
    path = of_two_genomes(tmp_path)
    with open_cells(path, "rna", choices=Choices(genome_group="mm10")) as source:
        (chunk,) = source.chunks(CELLS)
    np.testing.assert_array_equal(chunk.counts.toarray(), 2 * COUNTS)
    assert source.var.index.tolist() == [f"mm10_{name}" for name in GENES]
    with pytest.raises(InputError, match="several genomes(.|\n)*hg19 or mm10(.|\n)*=hg38"):
        open_cells(path, "rna", choices=Choices(genome_group="hg38"))


def of_mixed_features(path):
    """As Cell Ranger 3 and newer write human and mouse genes, and antibodies of neither."""
    with h5py.File(path, "r+") as file:
        del file["matrix/features/genome"], file["matrix/features/feature_type"]
        file["matrix/features/genome"] = ["GRCh38"] * 3 + ["mm10"] * 3 + [""]
        kinds = ["Gene Expression"] * 6 + ["Antibody Capture"]
        file["matrix/features/feature_type"] = kinds
    return path


@pytest.mark.parametrize("genome, columns", [("GRCh38", [0, 1, 2]), ("mm10", [3, 4, 5])])
@pytest.mark.parametrize("with_kinds", [True, False])
def test_the_features_of_one_genome(write_10x_h5, genome, columns, with_kinds):
    path = of_mixed_features(write_10x_h5(COUNTS, GENES, GENES, KINDS))
    if not with_kinds:  # then the feature of neither genome is a gene, too
        columns = [*columns, 6]
        with h5py.File(path, "r+") as file:
            del file["matrix/features/feature_type"]
    with open_cells(path, "rna", choices=Choices(genome_group=genome)) as source:
        assert source.var.index.tolist() == [GENES[i] for i in columns]
        for size in (4, CELLS):
            counts = sparse.vstack([chunk.counts for chunk in source.chunks(size)]).toarray()
            np.testing.assert_array_equal(counts, COUNTS[:, columns])


def test_features_of_several_genomes_without_a_choice_and_with_a_wrong_one(write_10x_h5, caplog):
    path = of_mixed_features(write_10x_h5(COUNTS, GENES, GENES, KINDS))
    assert both(path, "rna", "", caplog).cells.var_names.tolist() == GENES[:6]
    assert "--genome_group=GRCh38 or mm10 takes those of one" in caplog.text
    with pytest.raises(InputError, match="holds features of several genomes") as error:
        open_cells(path, "rna", choices=Choices(genome_group="hg38"))
    assert error.value.expected == "--genome_group=GRCh38 or mm10"
    assert error.value.received == "--genome_group=hg38"


# Files that are refused: what is written, and what the message says.


def with_values(changes, form=sparse.csr_matrix, **layers):
    def write(folder):
        values = COUNTS.astype(float)
        for place, value in changes.items():
            values[place] = value
        cells = annotated(form(values))
        for name, layer in layers.items():
            cells.layers[name] = layer
        return written(folder, cells)

    return write


def damaged(form=sparse.csr_matrix, **arrays):
    changes = {f"X__{name}": change for name, change in arrays.items()}
    return lambda folder: replaced(h5ad(form)(folder), **changes)


def at(place, value):
    def change(old):
        old[place] = value
        return old

    return change


def as_zarr(folder):
    (folder / "cells").mkdir()
    (folder / "cells" / ".zgroup").write_text("{}")
    return folder / "cells"


def written_zarr(folder, cells):
    cells.write_zarr(folder / "cells.zarr")
    return folder / "cells.zarr"


def with_broken_list(path):
    """A zip whose list of files at the end is not one."""
    path.write_bytes(path.read_bytes().replace(b"PK\x01\x02", b"PK\x09\x09"))
    return path


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-40])
    return path


def with_groups(name, *groups):
    """An HDF5 file that has nothing but these."""

    def write(folder):
        with h5py.File(folder / name, "w") as file:
            for group in groups:
                file.create_group(group)
        return folder / name

    return write


def spatial_data(part):
    """As SpatialData lays its elements out: a group for each kind."""

    def write(folder):
        root = zarr.open_group(str(folder / "x.zarr"), mode="w")
        root.create_group(part).create_group("table")
        return folder / "x.zarr"

    return write


def as_loom(folder):
    with h5py.File(folder / "cells.loom", "w") as file:
        file["matrix"], file["col_attrs/CellID"] = COUNTS.T, NAMES
    return folder / "cells.loom"


def of_molecules(folder):
    """As Cell Ranger lists them: each with its barcode, gene and UMI."""
    with h5py.File(folder / "molecule_info.h5", "w") as file:
        for name in ("barcode_idx", "feature_idx", "gem_group", "umi", "count"):
            file[name] = np.arange(9)
        file["barcodes"], file["features/id"] = NAMES, NAMES
        file["barcode_info/genomes"] = [b"GRCh38"]
    return folder / "molecule_info.h5"


def holding(name: str, content: bytes, zipped: bool = False):
    def write(folder):
        (folder / name).write_bytes(gzip.compress(content) if zipped else content)
        return folder / name

    return write


def without(name):
    def write(folder):
        path = h5ad()(folder)
        with h5py.File(path, "r+") as file:
            del file[name]
        return path

    return write


FRAGMENTS = b"chr1\t100\t250\tAAAC-1\t2\nchr1\t110\t260\tAAAG-1\t1\n"


def of_two_genomes(folder):
    """As Cell Ranger 2 writes it: counts of hg19, and twice those of mm10."""
    with h5py.File(folder / "cells.h5", "w") as file:
        for number, genome in enumerate(("hg19", "mm10"), start=1):
            counts = sparse.csr_matrix(number * COUNTS)
            for name in ("data", "indices", "indptr"):
                file[f"{genome}/{name}"] = getattr(counts, name)
            file[f"{genome}/shape"] = [FEATURES, CELLS]
            file[f"{genome}/barcodes"] = NAMES
            file[f"{genome}/genes"] = file[f"{genome}/gene_names"] = [
                f"{genome}_{name}" for name in GENES
            ]
    return folder / "cells.h5"


def fragments_of_snapatac2(x: bool):
    """As its import leaves them: X has no features, or is missing."""

    def write(folder):
        empty = annotated()[:, :0].copy() if x else AnnData(obs=annotated().obs)
        path = written(folder, empty)
        with h5py.File(path, "r+") as file:
            write_elem(file, "obsm/fragment_paired", sparse.csr_matrix(np.ones((CELLS, 99))))
        return path

    return write


def damaged_zarr(*, version=2, remove="", cut=""):
    """A store that lacks a file, or has one cut short."""

    def write(folder):
        store = in_zarr(version)(folder)
        if cut:
            (store / cut).write_bytes((store / cut).read_bytes()[:-3])
        else:
            (store / remove).unlink()
        return store

    return write


class Attack:
    """Unpickled, it makes a file that is called `attacked`."""

    def __init__(self, folder):
        self.path = str(folder / "attacked")

    def __reduce__(self):
        return open, (self.path, "w")


def with_codec(name):
    """A store that asks for one more decoder of its names."""

    def write(folder):
        store = in_zarr(2)(folder)
        (store / ".zmetadata").unlink()
        head = store / "obs/_index/.zarray"
        more = {"filters": [{"id": "vlen-utf8"}, {"id": name}], "compressor": None}
        head.write_text(json.dumps(json.loads(head.read_text()) | more))
        (store / "obs/_index/0").write_bytes(pickle.dumps(Attack(folder)))
        return store

    return write


def compressed_by_a_plug_in(folder):
    """By a filter that nobody has."""
    path = h5ad()(folder)
    with h5py.File(path, "r+") as file:
        length = len(file["X/data"])
        del file["X/data"]
        settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        settings.set_chunk((length,))
        settings.set_filter(32987, h5py.h5z.FLAG_OPTIONAL, ())
        space, kind = h5py.h5s.create_simple((length,)), h5py.h5t.NATIVE_FLOAT
        data = h5py.h5d.create(file["X"].id, b"data", kind, space, settings)
        data.write_direct_chunk((0,), bytes(20), 0)
    return path


DAMAGED = "the file is damaged, cut short or of another kind"
REFUSED = {
    "negative": (
        with_values({(8, 3): -2}, counts=COUNTS, scaled=COUNTS - 0.5),
        "-2 in X, first in cell cell8, feature G3.*--rna_layer=counts$",
    ),
    "negative, and nothing else": (
        with_values({(8, 3): -2}, scaled=COUNTS - 0.5),
        "give raw counts$",
    ),
    "negative before a gap": (with_values({(2, 1): -2, (8, 3): np.nan}), "negative values"),
    "a gap before negative": (with_values({(2, 1): np.nan, (8, 3): -2}), "cell cell2, feature G1"),
    "infinite": (with_values({(8, 3): np.inf}, np.asarray), "not finite.*cell8"),
    "too large": (with_values({(8, 3): 1e300}, sparse.csc_matrix), "not finite.*cell8"),
    "all zero": (with_values({...: 0}), "holds no counts.*all zero in X.*removed everything$"),
    "all zero, and another matrix": (
        with_values({...: 0}, counts=COUNTS, zeros=0 * COUNTS),
        "holds no counts.*which have some: --rna_layer=counts$",
    ),
    "a feature too many": (damaged(indices=at(-1, FEATURES)), f"not among the 7.*{DAMAGED}"),
    "a feature far out": (damaged(indices=at(3, 10**9)), f"not among the 7.*{DAMAGED}"),
    "a negative feature": (damaged(indices=at(3, -1)), f"not among the 7.*{DAMAGED}"),
    "a cell far out": (damaged(sparse.csc_matrix, indices=at(3, 10**9)), "not among the 11"),
    "a negative pointer": (damaged(indptr=at(2, -7)), f"do not rise.*{DAMAGED}"),
    "a pointer far out": (damaged(indptr=at(5, 10**6)), f"do not rise.*{DAMAGED}"),
    "pointers of columns": (damaged(sparse.csc_matrix, indptr=at(2, -7)), "do not rise"),
    "another beginning": (damaged(indptr=at(0, 1)), DAMAGED),
    "values without places": (damaged(data=lambda old: old[:-1]), DAMAGED),
    "pointers missing": (damaged(indptr=lambda old: old[:-1]), DAMAGED),
    "text in place of numbers": (damaged(data=lambda old: old.astype("S")), "not numbers"),
    "zarr without cells": (as_zarr, "not known.*zarr store with nothing"),
    "zarr without a matrix": (
        lambda folder: written_zarr(folder, AnnData(obs=annotated().obs)),
        "read as zarr, has no X",
    ),
    "zarr without a chunk": (damaged_zarr(remove="X/data/0"), "complete zarr.*chunks.*missing"),
    "zarr 3 without a chunk": (
        damaged_zarr(version=3, remove="X/data/c/0"),
        "complete zarr.*chunks.*missing",
    ),
    "zarr without pointers": (damaged_zarr(remove="X/indptr/0"), "complete zarr.*missing"),
    "zarr cut short": (damaged_zarr(cut="X/indices/0"), "complete zarr"),
    "zarr without features' numbers": (
        damaged_zarr(remove="X/indices/0"),
        "complete zarr.*chunks.*missing",
    ),
    "zarr without names": (damaged_zarr(remove="obs/_index/0"), "names are missing"),
    "zarr with values cut short": (damaged_zarr(cut="X/data/0"), "chunk of .* is cut short"),
    "zarr of an unknown codec": (with_codec("new"), "compressed in a way that is not known"),
    "zarr with pickled names": (with_codec("pickle"), "pickled objects.*run any program"),
    "zarr in tar": (
        lambda folder: Path(shutil.make_archive(folder / "cells.zarr", "gztar", folder)),
        "archive .tar.*unpack it",
    ),
    "zarr with a broken head": (damaged_zarr(cut=".zmetadata"), "complete zarr"),
    "zip cut short": (
        lambda folder: cut_short(in_zarr(2, zipped="content")(folder)),
        "complete zarr",
    ),
    "zip with a broken list": (
        lambda folder: with_broken_list(in_zarr(2, zipped="content")(folder)),
        "complete zarr",
    ),
    "fragments of SnapATAC2": (fragments_of_snapatac2(True), "SnapATAC2.*make_peak_matrix"),
    "SnapATAC2 without X": (fragments_of_snapatac2(False), "SnapATAC2.*add_tile_matrix"),
    "loom": (as_loom, "the RNA file is a loom file.*received: [^\n]*\n.*read_loom"),
    "an .h5Seurat": (
        with_groups("x.h5Seurat", "assays", "cell.names", "meta.data"),
        "is an .h5Seurat.*received: [^\n]*x.h5Seurat\n.*SeuratDisk::Convert",
    ),
    **{
        f"{content[:4]!r} called .{kind}": (
            holding(f"x.{kind}", content),
            rf"the RNA file is {what}.*received: [^\n]*x\.{kind}\n",
        )
        for kind in ("h5ad", "h5", "other")
        for content, what in (
            (gzip.compress(b"\x89HDF\r\n"), "an HDF5 file that gzip has compressed"),
            (b"BZh91AY&SY", "compressed, and not by gzip"),
            (b"\xfd7zXZ\0", "compressed, and not by gzip"),
            (b"\x28\xb5\x2f\xfd\0", "compressed, and not by gzip"),
            (b"7z\xbc\xaf\x27\x1c", "compressed, and not by gzip"),
            (b"\n<!DOCTYPE html>\n<html>", "a page of the web"),
            (b"<?xml version='1.0'?>\n<Error>", "a page of the web"),
            (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
            (b"\x80\x04\x95\0", "a pickled object of Python"),
            (gzip.compress(b"BAM\1\0"), "a file of reads"),
            (b"PAR1\x15\0", "a table .parquet or feather."),
            (b"\x93NUMPY\1\0", "NumPy's arrays"),
            (b"gene\tc1\tc2\nA\t1\t2\n", "a table of text"),
        )
    },
    "X on its side": (
        lambda folder: replaced(h5ad(np.asarray)(folder), X=COUNTS.T.astype(float)),
        "X of cells.h5ad does not fit.*11 cells x 7 features.*received: 7 x 11, features in rows",
    ),
    "X of another file": (
        lambda folder: replaced(h5ad(np.asarray)(folder), X=np.ones((11, 6))),
        "X of cells.h5ad does not fit.*received: 11 x 6\n",
    ),
    "no table of features": (without("var"), "does not name its features.*received: .*obs.*uns"),
    "a gzipped .h5ad": (
        lambda folder: holding("x.h5ad.gz", written(folder, annotated()).read_bytes(), True)(
            folder
        ),
        "is an HDF5 file that gzip has compressed.*received: [^\n]*x.h5ad.gz\n.*gunzip",
    ),
    "a spreadsheet": (holding("x.xlsx", b"PK\3\4\0"), "is a zip archive, or a spreadsheet"),
    "an Arrow file of ArchR": (
        with_groups("x.arrow", "ArchRVersion", "Class", "Fragments", "Metadata"),
        "is an Arrow file of ArchR.*received: [^\n]*x.arrow\n",
    ),
    "a .snap": (with_groups("x.snap", "HD", "BD", "FM", "AM"), "is a .snap of SnapATAC 1"),
    "molecules": (of_molecules, "is a molecule_info.h5.*filtered_feature_bc_matrix.h5"),
    "fragments": (holding("fragments.tsv.gz", FRAGMENTS, True), "ATAC fragments.*--atac"),
    "plain fragments": (holding("x.bed", b"# id=1\n#\n" + FRAGMENTS), "ATAC fragments"),
    "fragments without counts": (
        holding("x.tsv", b"chr1\t100\t250\tAAAC-1\nchr1\t110\t260\tAAAG-1\n"),
        "ATAC fragments",
    ),
    "the index of fragments": (holding("fragments.tsv.gz.tbi", b"TBI\1\0", True), "index .tabix"),
    "an object of R": (holding("cells.rds", b"X\n\0\0\0\2\0", True), "object of R.*writeH5AD"),
    "a workspace of R": (holding("cells.RData", b"RDX3\nX\n", True), "object of R"),
    "another table": (
        holding("x.csv.gz", b"gene,c1,c2\nA,1,2\n", True),
        "the RNA file is a table of text.*received: [^\n]*x.csv.gz\n.*read_csv",
    ),
    "text that is no table": (
        holding("x.txt", b"hello\nworld\n"),
        "format of the RNA file is not known.*received: [^\n]*x.txt\n",
    ),
    "a zipped file cut short": (
        holding("x.gz", gzip.compress(FRAGMENTS)[:15]),
        "format of the RNA file is not known",
    ),
    "two genomes": (of_two_genomes, "several genomes.*hg19 or mm10"),
    "SpatialData": (
        spatial_data("tables"),
        "is a store of SpatialData.*received: [^\n]*x.zarr\n.*STORE/tables/table",
    ),
    "SpatialData without tables": (spatial_data("shapes"), "is a store of SpatialData"),
    "a plug-in": (
        compressed_by_a_plug_in,
        "compressed by a plug-in.*hdf5plugin.*scadv_tf.compressed",
    ),
    "no such file": (lambda folder: folder / "none.h5ad", "the RNA file does not exist.*--rna"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused(tmp_path, kind, caplog):
    write, message = REFUSED[kind]
    found = both(write(tmp_path), "rna", "", caplog)
    assert re.search(message, found.error, re.DOTALL), found.error
    assert (DAMAGED in found.error) == (kind in DAMAGES)
    assert not (tmp_path / "attacked").exists()


def test_a_plug_in_that_is_missing_is_no_damage_wherever_it_was_looked_for(tmp_path):
    for folder in ("/usr/local/hdf5/lib/plugin", "disable"):
        with pytest.raises(InputError, match="compressed by a plug-in"):
            with readable(tmp_path, ".h5ad"):
                raise OSError(f"Can't read data (can't open directory ({folder}). Please verify …)")


DAMAGES = {
    "a feature too many", "a feature far out", "a negative feature", "a cell far out",
    "a negative pointer", "a pointer far out", "pointers of columns", "another beginning",
    "values without places", "pointers missing", "text in place of numbers",
    "zarr without a chunk", "zarr 3 without a chunk", "zarr without pointers", "zarr cut short",
    "zarr with a broken head", "zip cut short", "zip with a broken list",
    "zarr without features' numbers",
    "zarr without names", "zarr with values cut short",
}  # fmt: skip


@pytest.mark.parametrize(
    "array, change",
    [
        ("indices", at(3, 10**9)),
        ("indices", at(-1, -1)),
        ("indptr", at(4, -1)),
        ("indptr", at(4, 10**6)),
        ("data", lambda old: old[1:]),
    ],
)
def test_a_damaged_10x_file(write_10x_h5, array, change, caplog):
    path = replaced(write_10x_h5(COUNTS, GENES, GENES, KINDS), **{f"matrix__{array}": change})
    assert DAMAGED in both(path, "rna", "", caplog).error


@pytest.mark.parametrize("line", ["8 1 4", "0 1 4", "1 12 4", "1 -1 4"])
def test_a_damaged_mtx(write_10x_mtx, line, caplog):
    folder = write_10x_mtx(COUNTS, [(name, name) for name in GENES], gzipped=False)
    lines = (folder / "matrix.mtx").read_text().splitlines()
    (folder / "matrix.mtx").write_text("\n".join([*lines[:-1], line]) + "\n")
    assert DAMAGED in both(folder, "rna", "", caplog).error


def test_a_file_that_is_open_elsewhere(tmp_path, caplog):
    path = h5ad()(tmp_path)
    code = f"import h5py; f = h5py.File({str(path)!r}, 'r+'); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        holder.stdout.readline()
        error = both(path, "rna", "", caplog).error
        holder.communicate(b"\n")
    assert "is in use by another program" in error and DAMAGED not in error
    assert not both(path, "rna", "", caplog).error
