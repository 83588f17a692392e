"""Finished rows of a comparison on disk, so that a rerun need not compute them again."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scadv_tf.files import whole_file
from scadv_tf.results import write_json


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
