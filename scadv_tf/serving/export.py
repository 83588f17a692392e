"""A trained model as a SavedModel that takes raw counts and needs nothing but TensorFlow."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import tensorflow as tf

from scadv_tf.client.assets import Assets
from scadv_tf.data.pairing import Intervals
from scadv_tf.serving.manifest import Background, manifest, model_card
from scadv_tf.serving.served_model import Served, ServedModel
from scadv_tf.serving.signatures import DEFAULT, signatures
from scadv_tf.serving.warmup import write_warmup_requests

FIRST_VERSION = 1


def next_version(folder: Path) -> int:
    """One more than the largest version in the folder."""
    if not folder.is_dir():
        return FIRST_VERSION
    versions = [int(entry.name) for entry in folder.iterdir() if entry.name.isdecimal()]
    return max(versions, default=FIRST_VERSION - 1) + 1


def export(
    served: Served,
    folder: str | Path,
    background: Background | None = None,
    intervals: Intervals | None = None,
) -> Path:
    """Writes ``folder/<version>``, which appears whole: a server that polls never sees half of it.

    For the signatures see `scadv_tf.serving.signatures`. Assets: ``genes.txt``, ``types.txt`` and
    ``peaks.txt`` name the columns, a line each; ``gene_coordinates.tsv`` and the manifest say how
    peaks become gene activity; ``manifest.json`` says all else. Beside them stand
    ``MODEL_CARD.md`` and, for TF Serving, requests to warm up with.

    Parameters
    ----------
    intervals : where peaks and genes lie; None without peaks.

    Returns
    -------
    The folder of the new version.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    version = next_version(folder)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as scratch:
        target = Path(scratch) / "model"
        _write(target, Path(scratch), served, background or Background(), intervals, version)
        target.chmod(0o755)
        os.rename(target, folder / str(version))
    return folder / str(version)


def _write(
    target: Path,
    scratch: Path,
    served: Served,
    background: Background,
    intervals: Intervals | None,
    version: int,
) -> None:
    model = ServedModel(served)
    functions = signatures(model)
    content = manifest(background, functions, _sizes(model), version)
    content["upstream"] = intervals.upstream if intervals is not None else None
    assets = Assets(served.preprocessor.genes, served.types, intervals, content)
    model.assets = {}
    for name, text in assets.texts().items():
        (scratch / name).write_text(text, encoding="utf-8")
        model.assets[name] = tf.saved_model.Asset(str(scratch / name))
    tf.saved_model.save(model, str(target), signatures=functions)
    (target / "MODEL_CARD.md").write_text(model_card(content), encoding="utf-8")
    write_warmup_requests(target, {name: functions[name] for name in functions if name != DEFAULT})


def _sizes(model: ServedModel) -> dict:
    return {
        "genes": model.genes,
        "types": list(model.type_names),
        "peaks": model.peaks,
        "reference_cells": 0 if model.reference is None else model.reference.count,
        "averages": 0 if model.reference is None else len(model.reference.levels),
    }
