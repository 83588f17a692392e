"""An export as a Python object: raw counts in, types and latent vectors out, no training code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from scadv_tf.client.assets import OF_BATCHES, Assets, damaged, mark_of, names_beside
from scadv_tf.client.batches import (
    Matrix,
    batch_codes,
    batch_inputs,
    check_modality,
    check_signature,
    dense_inputs,
    model_batches,
    sparse_inputs,
)
from scadv_tf.data.answers import CellAnswers
from scadv_tf.data.measures import Measure
from scadv_tf.errors import InputError
from scadv_tf.files import at_home
from scadv_tf.libraries import quiet_libraries, quiet_start

if TYPE_CHECKING:
    import tensorflow as tf

CELLS_AT_ONCE = 1000
FIRST_VERSION, LAST_VERSION = 1, 2**63 - 1  # TF Serving holds them in 64 bits


class ExportedModel:
    """A model as `scadv_tf.serving.export` wrote it. TensorFlow is loaded when it is first needed.

    A SavedModel is a program: load only what you trust.

    Parameters
    ----------
    folder : of one version, or of versions, of which the newest is taken.

    Attributes
    ----------
    folder : of the version.
    assets : what stands beside it; also genes, types, intervals and manifest, see `Assets`.

    Raises
    ------
    InputError : there is no export, it is damaged, or was written by another version of scadv_tf.
    """

    def __init__(self, folder: str | Path):
        self.folder = find_version(folder)
        self.assets = Assets.read(self.folder)
        self.genes, self.types = self.assets.genes, self.assets.types
        self.intervals, self.manifest = self.assets.intervals, self.assets.manifest

    def __getstate__(self) -> dict[str, object]:
        """For copies and other processes, which load TensorFlow's part from the folder anew."""
        return {name: held for name, held in vars(self).items() if name != "_model"}

    @property
    def peaks(self) -> int:
        """The number of peaks P by which neighbours are found; 0 without peaks or types."""
        return self.assets.peaks

    @property
    def measure(self) -> Measure:
        """What the ATAC cells' numbers are."""
        return self.assets.measure

    @property
    def latent_size(self) -> int:
        """The width Z of latent vectors, as the graph has it."""
        return self._model.signatures["embed_rna"].structured_outputs["latent"].shape[1]

    def load(self) -> None:
        """Loads TensorFlow and the model now, without noise, which takes seconds.

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
        self,
        counts: sparse.csr_matrix,
        modality: str,
        peaks: sparse.csr_matrix | None = None,
        batches: Sequence[str] | np.ndarray | None = None,
    ) -> CellAnswers:
        """Types of cells, each by itself.

        Parameters
        ----------
        counts : raw counts, CSR [cells, G] in the order of `genes`; levels of methylation as
            `scadv_tf.data.levels.held_levels` gives them.
        modality : 'rna' or 'atac'.
        peaks : of ATAC cells, CSR [cells, P] in the order of `intervals.peaks`, for better
            neighbours; only whether an entry is there and above 0 counts.
        batches : the name of each cell's batch [cells], of a model that corrected for those of its
            training; a cell of any other lies where the mean of the training's cells does.

        Raises
        ------
        InputError : the shapes do not fit, a count is negative or not finite, or the model has no
            types, or no peaks or batches of these cells where some are given.
        """
        name = f"annotate_{modality}" + ("_sparse" if peaks is None else "_peaks")
        return self._asked(name, modality, counts, peaks, sparse_inputs, batches)

    def embed(
        self,
        counts: sparse.csr_matrix,
        modality: str,
        batches: Sequence[str] | np.ndarray | None = None,
    ) -> CellAnswers:
        """Latent vectors alone, which models without types give too; see `annotate`."""
        name = f"embed_{modality}"
        return self._asked(name, modality, counts, None, dense_inputs, batches)

    def _asked(
        self,
        name: str,
        modality: str,
        counts: Matrix,
        peaks: Matrix | None,
        inputs: Callable,
        batches: Sequence[str] | np.ndarray | None,
    ) -> CellAnswers:
        check_modality(modality)
        check_signature(name, self.assets.signatures)
        codes = batch_codes(batches, counts.shape[0], self.assets, modality)
        parts = model_batches(counts, peaks, self.assets, CELLS_AT_ONCE)
        parts = zip(parts, batch_inputs(codes, CELLS_AT_ONCE), strict=False)
        function = self._model.signatures[name if codes is None else name + OF_BATCHES]
        given = (inputs(*(p for p in rows if p is not None)) | more for rows, more in parts)
        return CellAnswers.from_outputs((_answer(function, each) for each in given), self.types)

    @cached_property
    def _model(self) -> Any:
        with quiet_start(), quiet_libraries():
            return self._loaded()

    def _loaded(self) -> Any:
        import tensorflow as tf

        try:
            model = tf.saved_model.load(str(self.folder))
            missing = self.assets.signatures.keys() - model.signatures.keys()
            if missing:
                raise ValueError(f"it lacks {', '.join(sorted(missing))}")
            mark = getattr(model, "mark_of_names", None)  # which an older export does not have
            if mark is not None and mark().numpy().decode() != mark_of(names_beside(self.folder)):
                raise ValueError("its assets name other genes, types or peaks than its graph has")
        except Exception as error:
            raise damaged(self.folder, error) from error
        return model


def next_version(folder: Path) -> int:
    """One more than the largest version in a folder; the first where there is none.

    Raises
    ------
    InputError : the numbers are used up.
    """
    entries = folder.iterdir() if folder.is_dir() else ()
    numbers = [int(entry.name) for entry in entries if entry.name.isdecimal()]
    version = max(numbers, default=FIRST_VERSION - 1) + 1
    if version > LAST_VERSION:
        raise InputError(
            what="there is no version left for the export",
            expected=f"versions of at most {LAST_VERSION}, as TF Serving knows them",
            received=f"version {version - 1} in {folder}",
            advice="remove or rename that folder, or give another --export_dir",
        )
    return version


def find_version(folder: str | Path) -> Path:
    """The folder of a version: the given one, or the one of the largest number in it.

    Raises
    ------
    InputError : there is none, its number is out of range, or it holds what is no file.
    """
    folder = at_home(folder)
    if (folder / "saved_model.pb").is_file():
        return _known(folder)
    entries = folder.iterdir() if folder.is_dir() else ()
    versions = [e for e in entries if e.name.isdecimal() and (e / "saved_model.pb").is_file()]
    if versions:
        return _known(max(versions, key=lambda entry: int(entry.name)))
    raise InputError(
        what="there is no exported model",
        expected="a folder with saved_model.pb, or a folder of such folders named 1, 2, …",
        received=f"{folder}, which " + _content(folder),
        advice="give the folder that a training named after 'export:', e.g. savedmodels/pbmc",
    )


def _known(version: Path) -> Path:
    """The folder of a version, unless its number is too large or it holds what is no file."""
    if version.name.isdecimal() and int(version.name) > LAST_VERSION:
        raise InputError(
            what="the version is out of range",
            expected=f"a folder named 1, 2, … {LAST_VERSION}, as TF Serving knows them",
            received=f"{version}",
            advice="rename the folder, or name another version",
        )
    for path in version.rglob("*"):
        if path.exists() and not (path.is_file() or path.is_dir()):
            # To open a named pipe would wait for ever.
            raise damaged(version, ValueError(f"{path.name} is neither file nor folder"))
    return version


def _content(folder: Path) -> str:
    if not folder.exists():
        return "does not exist"
    if not folder.is_dir():
        return "is a file"
    return "holds " + (", ".join(sorted(e.name for e in folder.iterdir())[:5]) or "nothing")


def _answer(function: Callable, given: dict) -> dict[str, np.ndarray]:
    import tensorflow as tf

    tensors = {name: tf.constant(value) for name, value in given.items()}
    return {name: _numpy(tensor) for name, tensor in function(**tensors).items()}


def _numpy(tensor: tf.Tensor) -> np.ndarray:
    values = tensor.numpy()
    return np.char.decode(values.astype(bytes), "utf-8") if values.dtype == object else values
