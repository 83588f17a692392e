"""One system on prepared cells, as it runs in a process of its own: it sees no label of ATAC."""

from __future__ import annotations

import dataclasses
import importlib
from dataclasses import dataclass

import numpy as np

from scadv_tf.baselines.transfer import Transfer
from scadv_tf.comparison.systems import SYSTEMS
from scadv_tf.config import RunConfig
from scadv_tf.data.emptiness import scatter, scatter_fields
from scadv_tf.data.labels import UNKNOWN
from scadv_tf.data.pairing import PairedData
from scadv_tf.data.training_cells import TrainingCells
from scadv_tf.scoring import transfer


@dataclass(frozen=True, eq=False)
class Given:
    """All that a system gets.

    Attributes
    ----------
    cells : preprocessed; None for a system that preprocesses by itself.
    raw : the counts, for such a system; else None.
    types : the K names of the RNA cell types, sorted.
    rna_labels : type codes [R].
    """

    cells: TrainingCells | None
    raw: PairedData | None
    types: tuple[str, ...]
    rna_labels: np.ndarray | None


def given_to(system: str, data: PairedData, cells: TrainingCells | None) -> Given:
    """What a system gets of the input: never the tables of cells, where known labels may stand."""
    raw = None
    if SYSTEMS[system].raw:
        tables = {"rna_obs": data.rna_obs[[]], "atac_obs": data.atac_obs[[]]}
        raw = dataclasses.replace(data, **tables)
    return Given(cells, raw, data.types, data.rna_labels)


def run_system(system: str, given: Given, config: RunConfig) -> Transfer:
    """Runs a system by its name.

    Parameters
    ----------
    config : the system's own, from `settings_of`.

    Raises
    ------
    InputError : the system cannot run on this input, or what it needs is not installed.
    """
    chosen = SYSTEMS[system]
    if chosen.losses is not None:
        return _ours(given, config)
    function = getattr(importlib.import_module(chosen.home), chosen.function)
    seed = config.training.seed
    if chosen.raw:
        return function(given.raw, seed)
    assert given.cells is not None and given.rna_labels is not None  # `raw` alone goes without
    labels = given.cells.chosen("rna", given.rna_labels)
    found = function(given.cells, np.array(given.types)[labels], seed)
    return _of_all(_of_all_types(found, labels, len(given.types)), given.cells)


def _ours(given: Given, config: RunConfig) -> Transfer:
    from scadv_tf import fitting
    from scadv_tf.annotation import annotate_cells

    cells, types = given.cells, given.types
    assert cells is not None and given.rna_labels is not None
    watched = []

    def watch(epoch: int, probabilities: np.ndarray, logs: dict) -> None:
        watched.append(probabilities.argmax(axis=1).astype(np.int16))

    model, history = fitting.fit(cells, given.rna_labels, len(types), config, [watch])
    found = annotate_cells(model, cells, config, types)
    answers = transfer(found, cells.chosen("rna", given.rna_labels), config)
    kept = cells.with_data["atac"]
    result = Transfer(
        answers.routes,
        answers.probabilities,
        found.latent,
        history,
        answers.unknown,
        np.array([scatter(codes, kept, 0) for codes in watched]),
    )
    return _of_all(result, cells)


def _of_all_types(found: Transfer, labels: np.ndarray, types: int) -> Transfer:
    """With probabilities of 0 for the types of which no RNA cell has data."""
    if found.probabilities is None or found.probabilities.shape[1] == types:
        return found
    probabilities = np.zeros((len(found.probabilities), types), found.probabilities.dtype)
    probabilities[:, np.unique(labels)] = found.probabilities
    return dataclasses.replace(found, probabilities=probabilities)


def _of_all(found: Transfer, cells: TrainingCells) -> Transfer:
    """Also of the cells without data, of which no system sees anything."""
    kept = cells.with_data["atac"]
    share = None if found.probabilities is None else 1 / found.probabilities.shape[1]
    fills = {"routes": UNKNOWN, "probabilities": share, "unknown": True}
    found = scatter_fields(found, kept, fills)
    return scatter_fields(found, np.concatenate([cells.with_data["rna"], kept]), {"latent": 0})
