"""What stands beside the graph of an export: names of genes, types and peaks, and its manifest."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from scadv_tf.data.features import interval_names
from scadv_tf.data.gene_activity import peak_intervals
from scadv_tf.data.measures import KINDS, Measure
from scadv_tf.data.pairing import Intervals
from scadv_tf.errors import InputError

logger = logging.getLogger(__name__)

FORMAT = 1  # of the manifest; grows when a program that reads manifests must change
GENES, TYPES, PEAKS, COORDINATES = "genes.txt", "types.txt", "peaks.txt", "gene_coordinates.tsv"
NAMES = (GENES, TYPES, PEAKS, COORDINATES)  # files of them
MANIFEST = "manifest.json"
OF_BATCHES = "_of_batches"  # behind the name of a signature that takes the cells' batches
MARKS = "sha256"  # in the manifest: file -> hash
_COLUMNS = {"chrom": str, "start": np.int64, "end": np.int64, "gene": str, "strand": str}


@dataclass(frozen=True, eq=False)
class Assets:
    """What a model takes and gives, without the model.

    Attributes
    ----------
    genes : names of the genes [G], text, in the order of counts.
    types : names of the K types; empty if none was taught.
    intervals : where peaks and genes lie, see `Intervals`; None if the training had no peaks.
    manifest : what ``manifest.json`` says; empty where only the genes are known.
    version : the number of the folder that they lie in; None without.
    """

    genes: np.ndarray
    types: tuple[str, ...] = ()
    intervals: Intervals | None = None
    manifest: dict = field(default_factory=dict)
    version: int | None = None

    @classmethod
    def read(cls, version: Path) -> Assets:
        """Those of the folder of a version.

        Raises
        ------
        InputError : they are damaged, or were written by another version of scadv_tf.
        """
        folder = version / "assets"
        try:
            manifest = json.loads(_text(folder, MANIFEST))
            if manifest["format"] != FORMAT:
                raise _other_format(version, manifest["format"])
            _check_marks(folder, manifest, names_beside(version))
            genes = np.array(_names(_text(folder, GENES)), dtype=str)
            types = tuple(_names(_text(folder, TYPES)))
            found = cls(genes, types, _intervals(folder, manifest), manifest, _number(version))
            found._check_sizes()
            found._check_kinds()
        except InputError:
            raise
        except Exception as error:
            raise damaged(version, error) from error
        return found

    @property
    def signatures(self) -> dict:
        """Name of each signature -> its inputs and outputs."""
        return self.manifest.get("signatures", {})

    @property
    def batches(self) -> dict[str, list[str]]:
        """Modality -> the training's batches, where these are corrected for."""
        return self.manifest.get("batches", {})

    @property
    def measure(self) -> Measure:
        """What the ATAC cells' numbers are; accessibility of an older export."""
        return Measure(**self.manifest.get("query", {}))

    @property
    def peaks(self) -> int:
        """The number of peaks P by which neighbours are found; 0 without peaks or types."""
        if self.intervals is None or "annotate_atac_peaks" not in self.signatures:
            return 0
        return len(self.intervals.peaks)

    def texts(self) -> dict[str, str]:
        """Name of each file -> its content; the manifest holds a hash of each of the others."""
        found = {GENES: _lines(self.genes), TYPES: _lines(self.types)}
        if self.intervals is not None:
            peaks, genes = self.intervals.peaks, self.intervals.genes
            found[PEAKS] = _lines(interval_names(peaks))
            if genes is not None:
                found[COORDINATES] = genes[[*_COLUMNS]].to_csv(
                    sep="\t", index=False, quoting=csv.QUOTE_NONE
                )
        manifest = self.manifest | {MARKS: {name: _mark(text) for name, text in found.items()}}
        return found | {MANIFEST: json.dumps(manifest, indent=2, allow_nan=False)}

    def _check_sizes(self) -> None:
        peaks = 0 if self.intervals is None else len(self.intervals.peaks)
        for name, found, told in (
            ("genes", len(self.genes), self.manifest["genes"]),
            ("types", list(self.types), self.manifest["types"]),
            ("peaks", peaks, self.manifest["peaks"] or peaks),
        ):
            if found != told:
                raise ValueError(f"{name}.txt has {found}, and {MANIFEST} says {told}")

    def _check_kinds(self) -> None:
        """Else whatever takes them would meet another kind, with the cells half done."""
        for name in ("signatures", "batches", "query", "trained_on_counts"):
            if not isinstance(self.manifest.get(name, {}), dict):
                raise ValueError(f"{name} of {MANIFEST} is no table")
        if not all(isinstance(names, list) for names in self.batches.values()):
            raise ValueError(f"batches of {MANIFEST} are no lists")
        if self.intervals is not None and type(self.intervals.upstream) is not int:
            raise ValueError(f"upstream of {MANIFEST} is no whole number")
        if self.measure.kind not in KINDS:
            raise ValueError(f"{self.measure.kind} is no kind of query")


def assets_of(genes: str | os.PathLike | Iterable[str]) -> Assets:
    """What is known of a model by its genes.

    Parameters
    ----------
    genes : their names; or the path of a ``genes.txt``: if it lies in the folder of a version, all
        of its assets are read.

    Raises
    ------
    InputError : a file cannot be read, or there is no name.
    """
    received, version = genes, None
    if isinstance(genes, (str, os.PathLike)):
        path = Path(genes).absolute()
        if path.parent.name == "assets":
            version = _number(path.parent.parent)
            if (path.parent / MANIFEST).is_file():
                return Assets.read(path.parent.parent)
        try:
            genes = _names(_plain_file(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            received, genes = f"{genes} ({type(error).__name__})", []
    names = np.asarray(genes, dtype=str)
    if names.ndim != 1 or not names.size or not names[0]:
        raise InputError(
            what="the model's genes are not known",
            expected="their names, or the file assets/genes.txt of the served version",
            received=received,
            advice="give genes='<export>/<version>/assets/genes.txt', a copy of it, or its lines",
        )
    return Assets(names, version=version)


def damaged(version: Path, error: Exception) -> InputError:
    """The error of an export that cannot be read."""
    return InputError(
        what=f"the model in {version} cannot be used",
        expected="a complete export of scadv_tf, with its assets",
        received=f"{type(error).__name__}: {str(error)[:300]}",
        advice="export it again by train_main.py, or copy the whole folder of the version",
    )


def _other_format(version: Path, received: object) -> InputError:
    return InputError(
        what=f"the model in {version} was exported by another version of scadv_tf",
        expected=f"format {FORMAT} in its {MANIFEST}",
        received=received,
        advice="use that version of scadv_tf, or export the model again",
    )


def _intervals(folder: Path, manifest: dict) -> Intervals | None:
    if not (folder / PEAKS).exists():
        return None
    names = _names(_text(folder, PEAKS))
    path, genes = folder / COORDINATES, None
    if path.exists():
        genes = pd.read_csv(path, sep="\t", dtype=_COLUMNS, na_filter=False, quoting=csv.QUOTE_NONE)
    peaks = peak_intervals(pd.DataFrame(index=pd.Index(names, dtype=object)))
    return Intervals(peaks, genes, manifest["upstream"])


def _number(version: Path) -> int | None:
    return int(version.name) if version.name.isdecimal() else None


def mark_of(texts: Mapping[str, str]) -> str:
    """One hash of the files of names, see `Assets.texts`, which the graph keeps too."""
    return _mark("".join(_mark(texts[name]) for name in NAMES if name in texts))


def names_beside(version: Path) -> dict[str, str]:
    """Name of each file of names that stands beside a graph -> its content."""
    folder = version / "assets"
    return {name: _text(folder, name) for name in NAMES if (folder / name).exists()}


def _check_marks(folder: Path, manifest: dict, texts: dict[str, str]) -> None:
    """The graph knows genes, peaks and types by their order: names in another would be wrong."""
    marks = manifest.get(MARKS)
    if marks is None:
        logger.warning("%s is of an older export: nothing tells if it was changed", folder)
        return
    for name in sorted(texts.keys() | marks.keys()):
        if name not in texts or _mark(texts[name]) != marks.get(name):
            raise ValueError(f"{name} is not as it was written: its hash is not that of {MANIFEST}")


def _mark(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _text(folder: Path, name: str) -> str:
    return _plain_file(folder / name).read_bytes().decode("utf-8")


def _plain_file(path: Path) -> Path:
    """The path of a file; to read a named pipe would wait for ever."""
    if path.exists() and not path.is_file():
        raise ValueError(f"{path.name} is not a plain file")
    return path


def _lines(names: Iterable[str]) -> str:
    return "".join(f"{name}\n" for name in names)


def _names(lines: str) -> list[str]:
    """The inverse of `_lines`: other characters that may end a line are part of a name."""
    names = lines.rstrip("\n")
    return names.split("\n") if names else []
