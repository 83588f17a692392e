"""A trained model as a SavedModel that takes raw counts and needs nothing but TensorFlow."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from scadv_tf.client.assets import Assets, mark_of
from scadv_tf.client.exported import next_version
from scadv_tf.data.pairing import Intervals
from scadv_tf.folders import in_turn, remove_leftovers, scratch_folder
from scadv_tf.serving.manifest import Background, manifest, model_card
from scadv_tf.serving.served_model import Served, ServedModel
from scadv_tf.serving.signatures import DEFAULT, signatures
from scadv_tf.serving.warmup import write_warmup_requests

SCRATCH = ".export-"


def export(
    served: Served,
    folder: str | Path,
    background: Background | None = None,
    intervals: Intervals | None = None,
) -> Path:
    """Writes ``folder/<version>``, which appears whole: a server that polls never sees half of it.

    Of several exports to one folder at once, each waits for the others and gets its own version.

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
    with in_turn(folder), _beside(folder) as scratch:
        version = next_version(folder)
        target = scratch / "model"
        _write(target, scratch, served, background or Background(), intervals, version)
        target.chmod(0o755)
        os.rename(target, folder / str(version))
    return folder / str(version)


@contextlib.contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """A scratch folder that no server polls, from which a rename leads to a folder.

    It lies beside the folder, and in it only where that is the root of its file system, or where
    nothing can be written beside it.
    """
    folder = folder.absolute()
    around = folder.parent
    same = around.stat().st_dev == folder.stat().st_dev and os.access(around, os.W_OK)
    remove_leftovers(folder, SCRATCH)
    name = f"{SCRATCH}{folder.name}-"
    with scratch_folder(around if same else folder, name) as scratch:
        yield scratch


def _write(
    target: Path,
    scratch: Path,
    served: Served,
    background: Background,
    intervals: Intervals | None,
    version: int,
) -> None:
    model = ServedModel(served)
    functions: dict[str, Any] = signatures(model)
    traced = {name: function.get_concrete_function() for name, function in functions.items()}
    content = manifest(background, traced, _sizes(model), version)
    content["upstream"] = intervals.upstream if intervals is not None else None
    assets = Assets(served.preprocessor.genes, served.types, intervals, content)
    model.assets, texts = {}, assets.texts()
    model.mark_of_names = tf.function(lambda: tf.constant(mark_of(texts)), input_signature=[])
    for name, text in texts.items():
        (scratch / name).write_text(text, encoding="utf-8")
        model.assets[name] = tf.saved_model.Asset(str(scratch / name))
    tf.saved_model.save(model, str(target), signatures=traced)
    (target / "MODEL_CARD.md").write_text(model_card(content), encoding="utf-8")
    write_warmup_requests(target, {name: functions[name] for name in functions if name != DEFAULT})


def _sizes(model: ServedModel) -> dict:
    return {
        "genes": model.genes,
        "types": list(model.type_names),
        "peaks": model.peaks,
        "reference_cells": 0 if model.reference is None else model.reference.count,
        "query": model.measures["atac"].to_dict(),
        "batches": {name: list(names) for name, names in model.batches.items()},
        "averages": 0 if model.reference is None else len(model.reference.levels),
    }
