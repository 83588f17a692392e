"""One system on prepared cells, as it runs in a process of its own: it sees no label of ATAC."""

from __future__ import annotations

import dataclasses
import importlib
from dataclasses import dataclass

import numpy as np

from scadv_tf.baselines import Transfer
from scadv_tf.comparison.systems import SYSTEMS
from scadv_tf.config import RunConfig
from scadv_tf.data.pairing import PairedData
from scadv_tf.data.preprocessing import TrainingCells
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
    rna_labels: np.ndarray


@dataclass(frozen=True, eq=False)
class Taken:
    """What a system gave back.

    Attributes
    ----------
    transfer : its labels and latent space.
    epoch_codes : predicted type codes after each epoch [epochs, A]; None without epochs.
    """

    transfer: Transfer
    epoch_codes: np.ndarray | None = None


def given_to(system: str, data: PairedData, cells: TrainingCells | None) -> Given:
    """What a system gets of the input: never the tables of cells, where known labels may stand."""
    raw = None
    if SYSTEMS[system].raw:
        tables = {"rna_obs": data.rna_obs[[]], "atac_obs": data.atac_obs[[]]}
        raw = dataclasses.replace(data, **tables)
    return Given(cells, raw, data.types, data.rna_labels)


def run_system(system: str, given: Given, config: RunConfig) -> Taken:
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
        return Taken(function(given.raw, seed))
    return Taken(function(given.cells, np.array(given.types)[given.rna_labels], seed))


def _ours(given: Given, config: RunConfig) -> Taken:
    from scadv_tf import fitting
    from scadv_tf.annotation import annotate_cells

    cells, types = given.cells, given.types
    watched = []

    def watch(epoch, probabilities, logs) -> None:
        watched.append(probabilities.argmax(axis=1).astype(np.int16))

    model, history = fitting.fit(cells, given.rna_labels, len(types), config, [watch])
    found = annotate_cells(model, cells, config)
    routes = transfer(found, types, given.rna_labels, config)
    result = Transfer(routes, found.probabilities, found.latent, history, found.unknown)
    return Taken(result, np.array(watched))
