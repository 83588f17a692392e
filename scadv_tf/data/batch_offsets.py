"""Batches of one modality, such as donors, lanes or technologies: how far each lies from the rest.

A batch is moved by one vector, its offset, in each space that cells are compared in. Means alone
would take a difference of composition for one of measurement, so types are told apart from batches
by least squares, ``values = types @ a + batches @ offsets``, as limma's removeBatchEffect does with
a design (Ritchie et al. 2015): a batch may lack a type, or have more of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from scadv_tf.data.labels import UNLABELLED, column_in, column_texts
from scadv_tf.errors import InputError

# A batch counts as if so many cells more of it lay where the others do: few cells prove little, and
# where batches and types cannot be told apart, it is the types that stay.
PRIOR_CELLS = 30.0
FEWEST_BATCHES = 2
_TYPE_PRIOR = 1e-3  # cells; a type that nobody has gets no number that is not finite


def batches_of(
    obs: pd.DataFrame, key: str, flag: str = "", table: str = ""
) -> pd.Categorical | None:
    """The batch of each cell [cells], missing where it has none; None where there is but one.

    Parameters
    ----------
    obs : the table of cells.
    key : a column of it; '' for no batches.
    flag, table : the flags that name the column, and a table of such columns; for the messages.

    Raises
    ------
    InputError : obs has no such column, or it names no batch.
    """
    if not key:
        return None
    elsewhere = f"of 10x files and fragments, a table of cell,label,{key} by {table} brings it"
    texts = column_texts(column_of_batches(obs, key, flag, elsewhere))
    names = [name for name in np.unique(texts).tolist() if name != UNLABELLED]
    if not names:
        raise InputError(
            what=f"the column '{key}' names no batch",
            expected="a name of a donor, lane or library for each cell",
            received=f"{flag}={key}, a column of gaps",
            advice=f"name another column, or leave {flag} out",
        )
    return pd.Categorical(texts, names) if len(names) >= FEWEST_BATCHES else None


def column_of_batches(obs: pd.DataFrame, key: str, flag: str, elsewhere: str) -> pd.Series:
    """That column, which must be there; see `batches_of`.

    Parameters
    ----------
    elsewhere : how cells of a file without columns get it, for the message.
    """
    return column_in(
        obs,
        key,
        what=f"the cells have no column '{key}' of batches",
        received=f"{flag}={key}",
        advice=f"name the column with the donors, lanes or libraries, or leave {flag} out; "
        + elsewhere,
    )


def memberships(batches: pd.Categorical) -> np.ndarray:
    """1 for each cell's batch, float32 [cells, B]; zeros for a cell that has none."""
    return (batches.codes[:, None] == np.arange(len(batches.categories))).astype(np.float32)


def without_offsets(
    values: np.ndarray, members: np.ndarray | None, offsets: np.ndarray | None
) -> np.ndarray:
    """Values [cells, W] less the offset [B, W] of each cell's batches; unchanged without any."""
    if members is None or offsets is None:
        return values
    return (values - members @ offsets).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Design:
    """Of what batches and types some cells are.

    Attributes
    ----------
    members : share of each batch in a cell [cells, B]: averages of cells are of several.
    types : probabilities of the types [cells, K]; None where nothing is known of them.
    """

    members: np.ndarray
    types: np.ndarray | None = None

    def offsets(self, values: np.ndarray) -> np.ndarray:
        """How far each batch lies from the mean of these cells, float32 [B, W], of [cells, W]."""
        types = np.ones((len(values), 1)) if self.types is None else self.types
        design = np.hstack([types, self.members]).astype(np.float64)
        prior = np.repeat([_TYPE_PRIOR, PRIOR_CELLS], [types.shape[1], self.members.shape[1]])
        products = design.T @ design + np.diag(prior)
        found = np.linalg.solve(products, design.T @ values)[types.shape[1] :]
        return (found - self.members.mean(axis=0, dtype=np.float64) @ found).astype(np.float32)
