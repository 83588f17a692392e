"""Integrates unpaired single-cell RNA-seq and ATAC-seq, and transfers cell-type labels.

Names are imported when they are first used, so that ``import scadv_tf`` does not load TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for checkers and editors: the names below, with their hints
    from scadv_tf import pl as pl
    from scadv_tf.annotation import annotate_cells as annotate_cells
    from scadv_tf.annotation import encode as encode
    from scadv_tf.api.activity import gene_activity as gene_activity
    from scadv_tf.api.integration import integrate as integrate
    from scadv_tf.api.models import load as load
    from scadv_tf.client.client import Client as Client
    from scadv_tf.client.exported import ExportedModel as ExportedModel
    from scadv_tf.config import RunConfig as RunConfig
    from scadv_tf.data.answers import CellAnswers as CellAnswers
    from scadv_tf.data.datasets import DatasetSource as DatasetSource
    from scadv_tf.data.datasets import load_dataset as load_dataset
    from scadv_tf.data.pairing import AtacTruth as AtacTruth
    from scadv_tf.data.pairing import PairedData as PairedData
    from scadv_tf.data.preprocessor import Preprocessor as Preprocessor
    from scadv_tf.data.spreadsheets import read_predictions as read_predictions
    from scadv_tf.data.synthetic import simulate as simulate
    from scadv_tf.errors import InputError as InputError
    from scadv_tf.fitting import fit as fit
    from scadv_tf.models.scadv import ScAdv as ScAdv
    from scadv_tf.serving.export import export as export
    from scadv_tf.training import run as run

__version__ = "0.1.0"

_HOMES = {
    "AtacTruth": "scadv_tf.data.pairing",
    "CellAnswers": "scadv_tf.data.answers",
    "Client": "scadv_tf.client.client",
    "DatasetSource": "scadv_tf.data.datasets",
    "ExportedModel": "scadv_tf.client.exported",
    "InputError": "scadv_tf.errors",
    "PairedData": "scadv_tf.data.pairing",
    "Preprocessor": "scadv_tf.data.preprocessor",
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


def __getattr__(name: str) -> Any:
    if name == "pl":
        return importlib.import_module("scadv_tf.pl")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
