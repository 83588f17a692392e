"""The trained encoder and classifier as a SavedModel that needs nothing but TensorFlow."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from scadv_tf.models.scadv import ScAdv

FIRST_VERSION = 1


class _ServedEncoder(tf.Module):
    """The parts of a model that serve, with the signatures' functions and the assets."""

    def __init__(self, model: ScAdv, assets: dict[str, Path]):
        super().__init__()
        self.encoder, self.classifier = model.encoder, model.classifier
        self.readout = model.readout
        self.assets = {name: tf.saved_model.Asset(str(path)) for name, path in assets.items()}
        spec = tf.TensorSpec((None, model.genes), tf.float32, name="expression")
        self.rna = tf.function(lambda expression: self._encode(expression, "rna"), [spec])
        self.atac = tf.function(lambda expression: self._encode(expression, "atac"), [spec])

    def _encode(self, expression, modality):
        latent = self.encoder(expression, modality=modality, training=False)
        features = self.encoder.project(expression)
        return self.readout(latent, self.classifier(latent), features, modality=modality)


def next_version(folder: Path) -> int:
    """One more than the largest version in the folder."""
    if not folder.is_dir():
        return FIRST_VERSION
    versions = [int(entry.name) for entry in folder.iterdir() if entry.name.isdecimal()]
    return max(versions, default=FIRST_VERSION - 1) + 1


def export(
    model: ScAdv,
    genes: Sequence[str],
    types: Sequence[str],
    folder: str | Path,
    extra_files: Sequence[Path] = (),
) -> Path:
    """Writes ``folder/<version>``, which appears whole: a server that polls never sees half of it.

    Signatures take ``expression``, float32 [cells, G], preprocessed as in training, and give
    ``latent`` [cells, Z], ``logits`` and ``probabilities`` [cells, K], ``uncertainty``,
    ``distance``, ``novelty`` and ``unknown`` [cells]: ``atac`` (also the ``serving_default``) and
    ``rna``, which differ in the statistics of batch normalisation and in the map of the latent
    vectors.
    The assets ``genes.txt`` and ``types.txt`` name the columns, a line each.

    Parameters
    ----------
    extra_files : files that are copied to ``assets.extra``, which serving ignores.

    Returns
    -------
    The folder of the new version.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    version = folder / str(next_version(folder))
    with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as scratch:
        assets = {}
        for name, lines in (("genes", genes), ("types", types)):
            assets[name] = Path(scratch) / f"{name}.txt"
            assets[name].write_text("\n".join(lines) + "\n", encoding="utf-8")
        served = _ServedEncoder(model, assets)
        target = Path(scratch) / "model"
        signatures = {
            "serving_default": served.atac,
            "atac": served.atac,
            "rna": served.rna,
        }
        tf.saved_model.save(served, str(target), signatures=signatures)
        if extra_files:
            (target / "assets.extra").mkdir()
            for file in extra_files:
                shutil.copy(file, target / "assets.extra" / Path(file).name)
        target.chmod(0o755)
        os.rename(target, version)
    return version
