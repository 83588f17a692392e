"""Integrates unpaired single-cell RNA-seq and ATAC-seq, and transfers cell-type labels.

Names are imported when they are first used, so that ``import scadv_tf`` does not load TensorFlow.
"""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

_HOMES = {
    "AtacTruth": "scadv_tf.data.pairing",
    "CellAnswers": "scadv_tf.data.answers",
    "Client": "scadv_tf.client.client",
    "DatasetSource": "scadv_tf.data.datasets",
    "ExportedModel": "scadv_tf.client.exported",
    "InputError": "scadv_tf.errors",
    "PairedData": "scadv_tf.data.pairing",
    "Preprocessor": "scadv_tf.data.preprocessing",
    "RunConfig": "scadv_tf.config",
    "ScAdv": "scadv_tf.models.scadv",
    "annotate_cells": "scadv_tf.annotation",
    "encode": "scadv_tf.annotation",
    "export": "scadv_tf.serving.export",
    "fit": "scadv_tf.fitting",
    "gene_activity": "scadv_tf.api.activity",
    "integrate": "scadv_tf.api.integration",
    "load": "scadv_tf.api.models",
    "load_dataset": "scadv_tf.data.datasets",
    "read_predictions": "scadv_tf.data.spreadsheets",
    "run": "scadv_tf.training",
    "simulate": "scadv_tf.data.synthetic",
}

__all__ = sorted([*_HOMES, "pl"])


def __getattr__(name: str) -> object:
    if name == "pl":
        return importlib.import_module("scadv_tf.pl")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
