"""One short text that tells whether two runs saw the same data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
from scipy import sparse

from scadv_tf.data.pairing import PairedData


def fingerprint(data: PairedData) -> str:
    """SHA-256 over counts, genes, cells, types and RNA labels, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for array in _arrays(data):
        digest.update(f"{array.dtype.kind}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _arrays(data: PairedData) -> Iterator[np.ndarray]:
    for matrix in (data.rna, data.atac, data.peaks):
        if matrix is not None:
            yield from _parts(matrix)
    for names in (data.genes, data.rna_cells, data.atac_cells, data.types):
        yield np.frombuffer("\n".join(map(str, names)).encode(), dtype=np.uint8)
    if data.rna_labels is not None:
        yield data.rna_labels.astype(np.int64)


def _parts(matrix: sparse.csr_matrix) -> tuple[np.ndarray, ...]:
    # Whether positions are held in 32 or 64 bits depends on the size alone.
    return matrix.data, matrix.indices.astype(np.int64), matrix.indptr.astype(np.int64)
