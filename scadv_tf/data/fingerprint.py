"""One short text that tells whether two runs saw the same data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from scadv_tf.data.measures import Measure
from scadv_tf.data.pairing import PairedData
from scadv_tf.data.stored_counts import account_of


def fingerprint(data: PairedData) -> str:
    """SHA-256 over counts, genes, cells, types, RNA labels and batches, 64 hexadecimal digits.

    And over what the query measures, unless that is accessibility.

    The same whether counts are held or stored; of stored ones it was taken when they were checked.
    """
    digest = hashlib.sha256()
    for array in _arrays(data):
        digest.update(f"{array.dtype.kind}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _arrays(data: PairedData) -> Iterator[np.ndarray]:
    for matrix in (data.rna, data.atac, data.peaks):
        digest = "" if matrix is None else account_of(matrix).digest
        yield np.frombuffer(digest.encode(), dtype=np.uint8)
    for names in (data.genes, data.rna_cells, data.atac_cells, data.types):
        yield np.frombuffer("\n".join(map(str, names)).encode(), dtype=np.uint8)
    if data.rna_labels is not None:
        yield data.rna_labels.astype(np.int64)
    kind, usual = data.measure, Measure()
    if (kind.kind, kind.direction) != (usual.kind, usual.direction):
        yield np.frombuffer(f"{kind.kind} {kind.direction}".encode(), dtype=np.uint8)
    for batches in data.batches.values():
        yield np.frombuffer("\n".join(batches.categories).encode(), dtype=np.uint8)
        yield batches.codes.astype(np.int64)
