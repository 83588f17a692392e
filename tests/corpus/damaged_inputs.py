"""Damaged and odd files of cells, made by code: a kind and a number always give the same one."""

from __future__ import annotations

import gzip
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse
from scipy.io import mmwrite

CELLS, FEATURES = 12, 8
COUNTS = np.random.default_rng(0).poisson(0.9, (CELLS, FEATURES)).astype(np.float32)
COUNTS[4], COUNTS[0, 0] = 0, 3
GENES = [f"G{i}" for i in range(FEATURES)]
BARCODES = [f"AAACCTG{'ACGT'[i % 4]}{'ACGT'[i // 4]}-1" for i in range(CELLS)]
# What may stand where a number or a name is expected.
ODD_TEXTS = (
    *("", "-1", "0", "1e99", "9" * 30, "nan", "inf", "1.5", "x", "%", "\x00", "é", "\u2028"),
    *("\udcff", '"', ",", "\t", "\r", " ", "1e-400", "0x10", "-0", "2147483648", "NA"),
)
ODD_NUMBERS = (-1, 0, 7, 8, 11, 12, 10**6, 2**31 - 1, 2**31, 2**40, 2**62, -(2**31))


def cells() -> AnnData:
    """The cells of every file."""
    obs = pd.DataFrame({"type": pd.Categorical(["T", "B", "NK"] * 4)}, index=BARCODES)
    return AnnData(sparse.csr_matrix(COUNTS), obs=obs, var=pd.DataFrame(index=GENES))


# Files without a fault.


def h5ad(form: Callable, **options) -> Callable[[Path], Path]:
    """A writer of .h5ad files with a matrix in some form."""

    def write(folder: Path) -> Path:
        adata = cells()
        adata.X = form(COUNTS)
        adata.write_h5ad(folder / "cells.h5ad", **options)
        return folder / "cells.h5ad"

    return write


def zarr(folder: Path) -> Path:
    """A zarr store."""
    cells().write_zarr(folder / "cells.zarr")
    return folder / "cells.zarr"


def tenx_h5(folder: Path) -> Path:
    """As Cell Ranger 3 writes it."""
    counts = sparse.csr_matrix(COUNTS.astype(np.int32))
    with h5py.File(folder / "matrix.h5", "w") as file:
        for part in ("data", "indices", "indptr"):
            file[f"matrix/{part}"] = getattr(counts, part)
        file["matrix/shape"] = np.array([FEATURES, CELLS], np.int32)
        file["matrix/barcodes"] = np.array(BARCODES, "S")
        for name, values in {"id": GENES, "name": GENES, "genome": ["x"] * FEATURES}.items():
            file[f"matrix/features/{name}"] = np.array(values, "S")
        file["matrix/features/feature_type"] = np.array(["Gene Expression"] * FEATURES, "S")
    return folder / "matrix.h5"


def tenx_mtx(zipped: bool) -> Callable[[Path], Path]:
    """A writer of 10x folders."""

    def write(folder: Path) -> Path:
        place = folder / "mtx"
        place.mkdir()
        mmwrite(place / "matrix.mtx", sparse.coo_matrix(COUNTS.T.astype(int)))
        (place / "barcodes.tsv").write_text("".join(f"{name}\n" for name in BARCODES))
        rows = "".join(f"{name}\t{name}\tGene Expression\n" for name in GENES)
        (place / "features.tsv").write_text(rows)
        if zipped:
            for path in list(place.iterdir()):
                path.with_name(f"{path.name}.gz").write_bytes(
                    gzip.compress(path.read_bytes(), 1, mtime=0)
                )
                path.unlink()
        return place

    return write


def fragments(zipped: bool) -> Callable[[Path], Path]:
    """A writer of fragments, some of each cell."""
    lines = [
        f"chr{1 + (i * j) % 3}\t{1000 * i + 7 * j}\t{1000 * i + 7 * j + 150}\t{name}\t1\n"
        for i in range(8)
        for j, name in enumerate(BARCODES)
    ]

    def write(folder: Path) -> Path:
        text = "".join(sorted(lines)).encode()
        path = folder / ("fragments.tsv.gz" if zipped else "fragments.tsv")
        path.write_bytes(gzip.compress(text, 1, mtime=0) if zipped else text)
        return path

    return write


# Damages: each takes a path and a source of random numbers.


def bytes_damaged(path: Path, draw: random.Random) -> None:
    """Flips, overwrites, cuts, moves or adds bytes of a file, or of one of a folder's."""
    if path.is_dir():
        path = draw.choice(sorted(p for p in path.rglob("*") if p.is_file()))
    content = bytearray(path.read_bytes())
    size = len(content)
    place, other = draw.randrange(size + 1), draw.randrange(size + 1)
    length = min(draw.choice((1, 2, 4, 8, 64, 512)), size - min(place, size - 1))
    match draw.choice(("flip", "flip", "flip", "fill", "cut", "copy", "insert", "remove")):
        case "flip":
            for _ in range(draw.choice((1, 1, 3))):
                content[draw.randrange(size)] ^= 1 << draw.randrange(8)
        case "fill":
            content[place : place + length] = bytes([draw.choice((0, 255))]) * length
        case "cut":
            del content[place:]
        case "copy":
            content[other : other + length] = content[place : place + length]
        case "insert":
            content[place:place] = draw.randbytes(length)
        case "remove":
            path.unlink()
            return
    path.write_bytes(content)


def words_damaged(path: Path, draw: random.Random) -> None:
    """Puts odd words in place of some, repeats, exchanges or leaves out lines."""
    if path.is_dir():
        path = draw.choice(sorted(path.iterdir()))
    zipped = path.suffix == ".gz"
    content = gzip.decompress(path.read_bytes()) if zipped else path.read_bytes()
    lines = [line.replace(" ", "\t").split("\t") for line in content.decode().split("\n")]
    for _ in range(draw.choice((1, 1, 2))):
        line = draw.randrange(len(lines))
        match draw.choice(("word", "word", "word", "twice", "exchange", "remove", "more", "fewer")):
            case "word":
                lines[line][draw.randrange(len(lines[line]))] = draw.choice(ODD_TEXTS)
            case "twice":
                lines.insert(line, list(lines[line]))
            case "exchange":
                draw.shuffle(lines[line])
            case "remove" if len(lines) > 1:
                del lines[line]
            case "more":
                lines[line] += [draw.choice(ODD_TEXTS)]
            case _:
                lines[line] = lines[line][:-1] or [""]
    space = " " if "matrix" in path.name else "\t"
    text = "\n".join(space.join(line) for line in lines).encode("utf-8", "surrogateescape")
    path.write_bytes(gzip.compress(text, 1, mtime=0) if zipped else text)


def arrays_damaged(path: Path, draw: random.Random) -> None:
    """Puts odd numbers into an array of an HDF5 file, or another array in its place."""
    with h5py.File(path, "r+") as file:
        found = []
        file.visititems(lambda name, item: found.append(name) if hasattr(item, "shape") else None)
        heavy = [
            name for name in found if name.split("/")[-1] in ("data", "indices", "indptr", "shape")
        ]
        name = draw.choice(heavy if heavy and draw.random() < 0.7 else found)
        attributes, values = dict(file[name].attrs), file[name][()]
        kind = draw.choice(("number", "number", "type", "length", "shape", "gone", "attribute"))
        if kind == "attribute":
            owner = file[name].parent if draw.random() < 0.5 else file[name]
            key = draw.choice([*owner.attrs, "shape"])
            owner.attrs[key] = draw.choice(["x", -1, np.array([2**40, 3]), np.array([3.5, 2])])
            return
        del file[name]
        if kind == "gone":
            return
        values = _damaged(np.atleast_1d(np.asarray(values)), kind, draw)
        file[name] = values
        file[name].attrs.update(attributes)


def _damaged(values: np.ndarray, kind: str, draw: random.Random) -> np.ndarray:
    if kind == "number" and values.dtype.kind in "iuf" and values.size:
        odd = draw.choice(
            (*ODD_NUMBERS, *((np.nan, np.inf, -0.5, 1e39) if values.dtype.kind == "f" else ()))
        )
        values = values.astype(np.float64 if values.dtype.kind == "f" else np.int64)
        values.flat[draw.randrange(values.size)] = odd
        return values
    if kind == "type":
        new = draw.choice((np.float64, np.int8, np.uint64, np.bool_, "S3"))
        return values.astype("S").astype("S3") if values.dtype.kind in "OSU" else values.astype(new)
    if kind == "length":
        cut = values[: draw.randrange(len(values) + 1)]
        return cut if draw.random() < 0.5 else np.concatenate([values, values[:1]])
    return values.reshape(draw.choice(((-1, 1), (1, -1))))


# Kind -> the writer, the damage, the modality.
KINDS = {
    "csr, bytes": (h5ad(sparse.csr_matrix), bytes_damaged, "rna"),
    "csr, arrays": (h5ad(sparse.csr_matrix), arrays_damaged, "rna"),
    "csc, arrays": (h5ad(sparse.csc_matrix), arrays_damaged, "rna"),
    "dense, bytes": (h5ad(np.asarray), bytes_damaged, "rna"),
    "gzipped csr, bytes": (h5ad(sparse.csr_matrix, compression="gzip"), bytes_damaged, "rna"),
    "10x h5, bytes": (tenx_h5, bytes_damaged, "rna"),
    "10x h5, arrays": (tenx_h5, arrays_damaged, "rna"),
    "zarr, bytes": (zarr, bytes_damaged, "rna"),
    "mtx, words": (tenx_mtx(False), words_damaged, "rna"),
    "gzipped mtx, bytes": (tenx_mtx(True), bytes_damaged, "rna"),
    "gzipped mtx, words": (tenx_mtx(True), words_damaged, "rna"),
    "fragments, words": (fragments(False), words_damaged, "atac"),
    "gzipped fragments, bytes": (fragments(True), bytes_damaged, "atac"),
}


def damaged(kind: str, number: int, folder: Path) -> tuple[Path, str]:
    """Writes an input into a folder; returns its path and modality. Number 0 has no fault."""
    write, damage, modality = KINDS[kind]
    template = folder / f"template {kind}"
    if not template.exists():
        template.mkdir()
        write(template)
    (source,) = template.iterdir()
    path = folder / source.name
    copy = shutil.copytree if source.is_dir() else shutil.copy
    copy(source, path)
    if number:
        damage(path, random.Random(f"{kind} {number}"))
    return path, modality
