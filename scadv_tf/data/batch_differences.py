"""Columns that look like batches and differ strongly, though nobody asked to correct for them."""

from __future__ import annotations

import contextlib

import numpy as np
import pandas as pd

from scadv_tf.data.batch_offsets import Design, batches_of, memberships
from scadv_tf.data.pairing import PairedData
from scadv_tf.data.rows import some_rows, take
from scadv_tf.data.training_cells import TrainingCells
from scadv_tf.errors import InputError
from scadv_tf.modalities import MODALITIES

NAMES = ("sample", "batch", "donor", "patient", "subject", "individual", "lane", "library")
NAMES += ("orig.ident", "chemistry", "technology")
MOST_BATCHES = 50  # a column of more names cells, not batches
FEWEST_CELLS = 20  # of a batch that says something
# Of the variance within types. Random halves of simulated cells have under 0.01.
STRONG = 0.1
LOOKED_AT = 20_000  # random cells


def batch_warnings(cells: TrainingCells, data: PairedData) -> list[str]:
    """A sentence for each modality in which such a column differs strongly; no ATAC label comes in.

    Parameters
    ----------
    cells : preprocessed.
    data : those that have data, in their order.
    """
    found = []
    for name in MODALITIES:
        if name in data.batches:
            continue
        shares = {
            column: share_between(cells, data, name, batches)
            for column, batches in _candidates(data.obs(name)).items()
        }
        column = max(shares, key=shares.__getitem__, default=None)
        if column is not None and shares[column] > STRONG:
            found.append(
                f"the {name.upper()} cells differ strongly by their column '{column}': it explains "
                f"{shares[column]:.0%} of the variance within types. If these are donors, lanes or "
                f"technologies, give --{name}_batch_key={column}"
            )
    return found


def share_between(
    cells: TrainingCells, data: PairedData, modality: str, batches: pd.Categorical
) -> float:
    """Share of the features' variance within types that lies between batches, from 0 to 1.

    Types of RNA cells are the known ones, those of ATAC cells guessed; all are one where none is.
    """
    rows = some_rows(cells.cells(modality), LOOKED_AT, seed=0)
    values = take(cells.features[modality], rows).astype(np.float64)
    types = np.ones((len(rows), 1))
    if modality == "rna" and data.rna_labels is not None:
        types = np.eye(len(data.types))[data.rna_labels[rows]]
    elif cells.balance is not None:
        types = cells.balance.guess(values)
    members = memberships(batches[rows])
    moved = members @ Design(members, types).offsets(values)
    within = values - types @ np.linalg.lstsq(types, values, rcond=None)[0]
    return float(min(1, np.square(moved).sum() / max(np.square(within).sum(), 1e-12)))


def _candidates(obs: pd.DataFrame) -> dict[str, pd.Categorical]:
    """Columns that are called like batches, with some of them of enough cells each."""
    found = {}
    for column in obs.columns:
        if str(column).casefold().removesuffix("_id").removesuffix("_name") not in NAMES:
            continue
        batches = None
        with contextlib.suppress(InputError):  # what was not asked for stops nothing
            batches = batches_of(obs, column)
        if batches is None or len(batches.categories) > MOST_BATCHES:
            continue
        if np.sum(batches.value_counts() >= FEWEST_CELLS) > 1:
            found[column] = batches
    return found
