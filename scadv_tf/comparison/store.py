"""Finished rows of a comparison on disk, so that a rerun need not compute them again."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scadv_tf.files import write_whole
from scadv_tf.results import write_json

MARK = "sha256"  # of the rest of a row, which tells whether it is as it was written
# What comes of a file that was not written so.
_DAMAGED = (ValueError, LookupError, TypeError, AttributeError, RecursionError, zipfile.BadZipFile)


@dataclass(frozen=True, eq=False)
class Row:
    """One system at one seed.

    Attributes
    ----------
    content : its entry in comparison.json.
    predicted : types of the ATAC cells [A] by the headline route, text; None if it failed.
    umap : float32 [R + A, 2], RNA cells first; None without a latent space, or not wanted.
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
        files = [self._path(system, seed, suffix) for suffix in ("json", "npz")]
        if not all(path.is_file() for path in files):
            return None  # to open a named pipe would wait for ever
        try:
            text, arrays = (path.read_bytes() for path in files)
            content = json.loads(text.decode("utf-8"))
            mark = content.pop(MARK)
            if content["fingerprint"] != fingerprint or mark != _mark(content, arrays):
                return None
            with np.load(io.BytesIO(arrays), allow_pickle=False) as found:
                return Row(content, **{name: found[name] for name in found.files})
        except (*_DAMAGED, OSError):
            return None  # missing or damaged: it is computed again

    def write(self, row: Row) -> None:
        """Keeps a row; the JSON comes last, as the sign that the row is whole."""
        system, seed = row.content["system"], row.content["seed"]
        self.forget(system, seed)
        kept = {"predicted": row.predicted, "umap": row.umap, "macro_f1": row.macro_f1}
        arrays: dict[str, Any] = {n: found for n, found in kept.items() if found is not None}
        packed = io.BytesIO()
        np.savez_compressed(packed, **arrays)
        write_whole(self._path(system, seed, "npz"), packed.getvalue())
        mark = {MARK: _mark(row.content, packed.getvalue())}
        write_json(self._path(system, seed, "json"), row.content | mark)

    def forget(self, system: str, seed: int) -> None:
        """Removes a row; the sign that it is whole goes first."""
        for suffix in ("json", "npz"):
            self._path(system, seed, suffix).unlink(missing_ok=True)

    def _path(self, system: str, seed: int, suffix: str) -> Path:
        return self.folder / f"{system}_seed{seed}.{suffix}"


def _mark(content: dict, arrays: bytes) -> str:
    """A hash of a row: its entry, whatever the order of its fields, and its packed arrays."""
    text = json.dumps(content, sort_keys=True).encode()
    return hashlib.sha256(text + hashlib.sha256(arrays).digest()).hexdigest()
