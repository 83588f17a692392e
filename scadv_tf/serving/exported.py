"""An export as a Python object: raw counts in, types and latent vectors out, no training code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from scadv_tf.data.gene_activity import peak_intervals
from scadv_tf.data.pairing import Intervals
from scadv_tf.data.preprocessing import MODALITIES
from scadv_tf.errors import InputError
from scadv_tf.serving.batches import dense_inputs, sparse_inputs
from scadv_tf.serving.manifest import FORMAT

CELLS_AT_ONCE = 1000
_COORDINATES = {"chrom": str, "start": np.int64, "end": np.int64, "gene": str, "strand": str}


class ExportedModel:
    """A model as `scadv_tf.serving.export` wrote it. TensorFlow is loaded when it is first needed.

    A SavedModel is a program: load only what you trust.

    Parameters
    ----------
    folder : of one version, or of versions, of which the newest is taken.

    Attributes
    ----------
    folder : of the version.
    manifest : what ``manifest.json`` says.
    genes : names of the genes [G], text, in the order of counts.
    types : names of the K types; empty if none was taught.
    intervals : where peaks and genes lie, see `Intervals`; None if the training had no peaks.

    Raises
    ------
    InputError : there is no export, it is damaged, or was written by another version of scadv_tf.
    """

    def __init__(self, folder: str | Path):
        self.folder = find_version(folder)
        try:
            self.manifest = json.loads(self._asset("manifest.json"))
            if self.manifest["format"] != FORMAT:
                raise _other_format(self.folder, self.manifest["format"])
            self.genes = np.array(self._asset("genes.txt").splitlines(), dtype=str)
            self.types = tuple(self._asset("types.txt").splitlines())
            self.intervals = self._intervals()
            self._check_sizes()
        except InputError:
            raise
        except Exception as error:
            raise _damaged(self.folder, error) from error

    @property
    def peaks(self) -> int:
        """The number of peaks P by which neighbours are found; 0 without peaks or types."""
        return len(self.intervals.peaks) if "annotate_atac_peaks" in self.signatures else 0

    @property
    def latent_size(self) -> int:
        """The width Z of latent vectors."""
        return self.signatures["embed_rna"]["outputs"]["latent"]["shape"][1]

    @property
    def signatures(self) -> dict:
        """Name of each signature -> its inputs and outputs, from the manifest."""
        return self.manifest["signatures"]

    def load(self) -> None:
        """Loads TensorFlow and the model now, which takes seconds.

        Raises
        ------
        InputError : the model is damaged.
        """
        _ = self._model

    @cached_property
    def identity(self) -> dict[str, str]:
        """What tells this model from all others, as short texts."""
        import tensorflow as tf

        names = ("dataset", "version", "made", "data_sha256")
        known = {name: str(self.manifest.get(name, "")) for name in names}
        try:
            mark = tf.saved_model.experimental.read_fingerprint(str(self.folder)).singleprint()
        except (OSError, RuntimeError, ValueError):  # some tools copy the model without it
            mark = ""
        return known | {"fingerprint": mark}

    def annotate(
        self, counts: sparse.csr_matrix, modality: str, peaks: sparse.csr_matrix | None = None
    ) -> dict[str, np.ndarray]:
        """Types of cells, each by itself.

        Parameters
        ----------
        counts : raw counts, CSR [cells, G] in the order of `genes`.
        modality : 'rna' or 'atac'.
        peaks : of ATAC cells, CSR [cells, P] in the order of `intervals.peaks`, for better
            neighbours; only whether an entry is there and above 0 counts.

        Returns
        -------
        dict of ``latent`` [cells, Z], ``probabilities`` [cells, K], ``label`` (text),
        ``confidence``, ``novelty`` and ``unknown`` (bool) [cells].

        Raises
        ------
        InputError : the shapes do not fit, a count is negative or not finite, or the model has no
            types, or no peaks.
        """
        name = f"annotate_{modality}" + ("_sparse" if peaks is None else "_peaks")
        self._check(name, modality, counts, self.genes, "genes")
        if peaks is not None:
            self._check(name, modality, peaks, self.intervals.peaks, "peaks")
            if peaks.shape[0] != counts.shape[0]:
                raise _misfit("cells", counts.shape[0], peaks.shape[0])
        function = self._model.signatures[name]
        parts = []
        for rows in _slices(counts.shape[0]):
            given = sparse_inputs(counts[rows].astype(np.float32))
            if peaks is not None:
                cells, opened = _open(peaks[rows])
                given |= {"peak_cell_index": cells, "peak_index": opened}
            parts.append(_answer(function, given))
        return _joined(parts)

    def embed(self, counts: sparse.csr_matrix, modality: str) -> dict[str, np.ndarray]:
        """``latent`` [cells, Z] alone, which models without types give too; see `annotate`."""
        self._check(f"embed_{modality}", modality, counts, self.genes, "genes")
        function = self._model.signatures[f"embed_{modality}"]
        parts = []
        for rows in _slices(counts.shape[0]):
            parts.append(_answer(function, dense_inputs(counts[rows].astype(np.float32))))
        return _joined(parts)

    @cached_property
    def _model(self):
        import tensorflow as tf

        try:
            model = tf.saved_model.load(str(self.folder))
            missing = self.signatures.keys() - model.signatures.keys()
            if missing:
                raise ValueError(f"it lacks {', '.join(sorted(missing))}")
        except Exception as error:
            raise _damaged(self.folder, error) from error
        return model

    def _asset(self, name: str) -> str:
        return (self.folder / "assets" / name).read_text(encoding="utf-8")

    def _intervals(self) -> Intervals | None:
        if not (self.folder / "assets" / "peaks.txt").exists():
            return None
        names = self._asset("peaks.txt").splitlines()
        path = self.folder / "assets" / "gene_coordinates.tsv"
        genes = None
        if path.exists():
            genes = pd.read_csv(path, sep="\t", dtype=_COORDINATES, na_filter=False, quoting=3)
        peaks = peak_intervals(pd.DataFrame(index=pd.Index(names, dtype=object)))
        return Intervals(peaks, genes, self.manifest["upstream"])

    def _check_sizes(self) -> None:
        peaks = 0 if self.intervals is None else len(self.intervals.peaks)
        for name, found, told in (
            ("genes", len(self.genes), self.manifest["genes"]),
            ("types", list(self.types), self.manifest["types"]),
            ("peaks", peaks, self.manifest["peaks"] or peaks),
        ):
            if found != told:
                raise ValueError(f"{name}.txt has {found}, and manifest.json says {told}")

    def _check(self, signature: str, modality: str, counts, names, kind: str) -> None:
        if modality not in MODALITIES:
            raise ValueError(
                f"modality must be one of {MODALITIES}; received modality={modality!r}"
            )
        if signature not in self.signatures:
            raise InputError(
                what=f"the model has no signature {signature}",
                expected="a model that was taught types"
                + (" and had peaks" if kind == "peaks" or "peaks" in signature else ""),
                received=f"{self.folder}, which has {', '.join(self.signatures)}",
                advice="ask for latent vectors alone, by embed, or take another model",
            )
        if not counts.shape[0]:
            raise _misfit("cells", "1 or more", 0)
        if counts.shape[1] != len(names):
            raise _misfit(kind, len(names), counts.shape[1])
        if not (np.isfinite(counts.data).all() and (counts.data >= 0).all()):
            raise InputError(
                what="some counts are negative or not finite",
                expected="raw counts",
                received=f"values from {counts.data.min()} to {counts.data.max()}",
                advice="give the counts as they were measured",
            )


def find_version(folder: str | Path) -> Path:
    """The folder of a version: the given one, or the one of the largest number in it."""
    folder = Path(folder).expanduser()
    if (folder / "saved_model.pb").is_file():
        return folder
    entries = folder.iterdir() if folder.is_dir() else ()
    versions = [e for e in entries if e.name.isdecimal() and (e / "saved_model.pb").is_file()]
    if versions:
        return max(versions, key=lambda entry: int(entry.name))
    raise InputError(
        what="there is no exported model",
        expected="a folder with saved_model.pb, or a folder of such folders named 1, 2, …",
        received=f"{folder}, which " + _content(folder),
        advice="give --model=DIR as the main job's last line names it, e.g. savedmodels/pbmc",
    )


def _content(folder: Path) -> str:
    if not folder.exists():
        return "does not exist"
    if not folder.is_dir():
        return "is a file"
    return "holds " + (", ".join(sorted(e.name for e in folder.iterdir())[:5]) or "nothing")


def _damaged(folder: Path, error: Exception) -> InputError:
    return InputError(
        what=f"the model in {folder} cannot be used",
        expected="a complete export of scadv_tf, with its assets",
        received=f"{type(error).__name__}: {str(error)[:300]}",
        advice="export it again by train_main.py, or copy the whole folder of the version",
    )


def _other_format(folder: Path, received: object) -> InputError:
    return InputError(
        what=f"the model in {folder} was exported by another version of scadv_tf",
        expected=f"format {FORMAT} in its manifest.json",
        received=received,
        advice="use that version of scadv_tf, or export the model again",
    )


def _misfit(kind: str, expected: object, received: int) -> InputError:
    return InputError(
        what=f"the number of {kind} does not fit",
        expected=f"{expected} {kind}",
        received=received,
        advice="scadv_tf.serving.input_columns brings any table of features in the model's order",
    )


def _slices(cells: int) -> Iterator[slice]:
    for start in range(0, cells, CELLS_AT_ONCE):
        yield slice(start, min(start + CELLS_AT_ONCE, cells))


def _open(peaks: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Cells and peaks of the entries above 0, each pair once."""
    opened = sparse.csr_matrix(peaks > 0)
    opened.sum_duplicates()
    entries = opened.tocoo()
    return entries.row.astype(np.int64), entries.col.astype(np.int64)


def _answer(function, given: dict) -> dict[str, np.ndarray]:
    import tensorflow as tf

    tensors = {name: tf.constant(value) for name, value in given.items()}
    return {name: _numpy(tensor) for name, tensor in function(**tensors).items()}


def _numpy(tensor) -> np.ndarray:
    values = tensor.numpy()
    return np.char.decode(values.astype(bytes), "utf-8") if values.dtype == object else values


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
