"""Finished rows of a comparison on disk, so that a rerun need not compute them again."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from scadv_tf.config import RunConfig
from scadv_tf.data.pairing import AtacTruth, PairedData
from scadv_tf.files import whole_file
from scadv_tf.results import versions, write_json


@dataclass(frozen=True, eq=False)
class Row:
    """One system at one seed.

    Attributes
    ----------
    content : its entry in comparison.json.
    predicted : types of the ATAC cells [A] by the headline route, text; None if it failed.
    umap : float32 [R + A, 2], RNA cells first; None without a latent space.
    macro_f1 : of the classifier after each epoch; None without epochs or ATAC labels.
    """

    content: dict
    predicted: np.ndarray | None = None
    umap: np.ndarray | None = None
    macro_f1: np.ndarray | None = None


class RowStore:
    """Rows by system and seed: ``<system>_seed<k>.json`` and ``.npz`` in one folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    def read(self, system: str, seed: int, fingerprint: str) -> Row | None:
        """The finished row, if it is there, whole, and has this fingerprint."""
        try:
            content = json.loads(self._path(system, seed, "json").read_text(encoding="utf-8"))
            if content["fingerprint"] != fingerprint:
                return None
            with np.load(self._path(system, seed, "npz"), allow_pickle=False) as arrays:
                return Row(content, **{name: arrays[name] for name in arrays.files})
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
            return None  # missing or damaged: it is computed again

    def write(self, row: Row) -> None:
        """Keeps a row; the JSON comes last, as the sign that the row is whole."""
        system, seed = row.content["system"], row.content["seed"]
        self.forget(system, seed)
        arrays = {"predicted": row.predicted, "umap": row.umap, "macro_f1": row.macro_f1}
        arrays = {name: found for name, found in arrays.items() if found is not None}
        with whole_file(self._path(system, seed, "npz")) as temporary:
            np.savez_compressed(temporary, **arrays)
        write_json(self._path(system, seed, "json"), row.content)

    def forget(self, system: str, seed: int) -> None:
        """Removes a row; the sign that it is whole goes first."""
        for suffix in ("json", "npz"):
            self._path(system, seed, suffix).unlink(missing_ok=True)

    def _path(self, system: str, seed: int, suffix: str) -> Path:
        return self.folder / f"{system}_seed{seed}.{suffix}"


def fingerprint_of(system: str, config: RunConfig, data_digest: str) -> str:
    """Of all that a row depends on: the system, its settings, the cells, and all versions.

    Parameters
    ----------
    config : the system's own, from `settings_of`.
    data_digest : from `digest_of`.
    """
    parts = [system, config.to_dict(), data_digest, versions()]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def digest_of(data: PairedData, truth: AtacTruth | None) -> str:
    """A hash of the cells, their counts and their labels, each in its order."""
    digest = hashlib.sha256()
    for matrix in (data.rna, data.atac, data.peaks):
        _add_matrix(digest, matrix)
    known = [] if truth is None else [truth.labels.tolist(), sorted(truth.level.items())]
    names = [data.genes, data.rna_cells, data.atac_cells, data.rna_labels]
    text = json.dumps([data.types, *(array.tolist() for array in names), known])
    digest.update(text.encode())
    return digest.hexdigest()


def _add_matrix(digest, matrix: sparse.csr_matrix | None) -> None:
    digest.update(repr(None if matrix is None else matrix.shape).encode())
    if matrix is not None:
        for part in (matrix.indptr, matrix.indices, matrix.data):
            digest.update(np.ascontiguousarray(part).data)
