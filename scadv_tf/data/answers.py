"""What is said of cells: one record, and one table of its columns for all that write it.

A new column is a line of `COLUMNS`, and, if it follows from no other field, a field of
`CellAnswers`: every file and every AnnData has it then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd

from scadv_tf.data.emptiness import scatter_fields
from scadv_tf.data.labels import HEADLINE, UNKNOWN
from scadv_tf.data.rows import Rows

if TYPE_CHECKING:
    from anndata import AnnData

Column: TypeAlias = np.ndarray | pd.Categorical

PREFIX = "scadv_"  # of columns in a table of cells that has others too
LATENT = "X_scadv"  # the latent vectors' place in obsm
UMAP = "X_scadv_umap"  # that of the UMAP in an AnnData of the user's, who may have an X_umap
DIGITS = 6  # of numbers in a .csv


@dataclass(frozen=True, eq=False)
class CellAnswers:
    """What is said of N cells; of a model that was taught no types, the latent vectors alone.

    Attributes
    ----------
    latent : [N, Z], in memory or on disk.
    probabilities : of the K types [N, K].
    novelty : how little a cell is like those of the types, from 0 to 1 [N].
    unknown : bool [N], cells that resemble no type, or have no data.
    label : the most probable type [N]; None where there are no types, or they have no names.
    other_routes : route -> the types that it gives the cells [N], text.
    uncertainty, distance : what `novelty` is made of [N], see `Readout`; None where not told.
    version : of the served model that says so; None where none is.
    """

    latent: Rows
    probabilities: np.ndarray | None = None
    novelty: np.ndarray | None = None
    unknown: np.ndarray | None = None
    label: pd.Categorical | None = None
    other_routes: dict[str, np.ndarray] = field(default_factory=dict)
    uncertainty: np.ndarray | None = None
    distance: np.ndarray | None = None
    version: int | None = None

    @classmethod
    def of_no_cells(cls, types: tuple[str, ...], latent_size: int) -> CellAnswers:
        """None yet, of a model of these types: it has the columns that others have."""
        latent, none = (np.zeros((0, size), np.float32) for size in (latent_size, 1 + len(types)))
        return cls(latent, none, none[:, 0], none[:, 0] > 0, most_probable(none, types))

    @classmethod
    def from_outputs(
        cls,
        parts: Iterable[dict[str, np.ndarray]],
        types: tuple[str, ...] | None = None,
        version: int | None = None,
    ) -> CellAnswers:
        """Of the outputs of a served model for consecutive cells, label as text.

        Parameters
        ----------
        types : names of all K types; None for those that are found.
        """
        parts = list(parts)
        whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        label = whole.get("label")
        return cls(
            whole["latent"],
            whole.get("probabilities"),
            whole.get("novelty"),
            whole.get("unknown"),
            None if label is None else pd.Categorical(label.astype(object), types),
            version=version,
        )

    @property
    def confidence(self) -> np.ndarray:
        """Probability of the label [N]."""
        assert self.probabilities is not None  # asked for where there are labels
        return self.probabilities.max(axis=1)

    @property
    def accepted_label(self) -> pd.Categorical:
        """The label [N], 'unknown' where a cell resembles no type."""
        assert self.label is not None  # asked for where there are labels
        names = self.label.categories.union([UNKNOWN], sort=False)
        found = self.label.set_categories(names)
        found[self.unknown] = UNKNOWN
        return found

    @property
    def routes(self) -> dict[str, np.ndarray]:
        """Route -> types [N], objects of str; the headline first. Empty without labels."""
        if self.label is None:
            return {}
        return {HEADLINE: np.asarray(self.label, dtype=object), **self.other_routes}

    def columns(self, cells: slice = slice(None)) -> dict[str, Column]:
        """The columns of some of the cells, of all by default; none without labels."""
        if self.label is None:
            return {}
        held: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        held = {name: v for name, v in held.items() if isinstance(v, np.ndarray | pd.Categorical)}
        part = replace(self, **{name: values[cells] for name, values in held.items()})
        return {name: column(part) for name, column in COLUMNS.items()}

    def table(self, cells: slice = slice(None)) -> dict[str, Column]:
        """The same for a .csv, numbers rounded."""
        return {
            name: values.round(DIGITS) if getattr(values.dtype, "kind", "") == "f" else values
            for name, values in self.columns(cells).items()
        }

    def write_into(self, adata: AnnData) -> None:
        """Writes ``obs['scadv_label']``, … and ``obsm['X_scadv']``, in place of older ones."""
        write_into(adata, self)

    def of_all(self, kept: np.ndarray) -> CellAnswers:
        """Also of the cells without data: unknown, any type alike, a latent vector of 0.

        Their label is the first of the types, all of which are as probable, and that of the other
        routes 'unknown'.

        Parameters
        ----------
        kept : which of all cells these are, bool [all cells].
        """
        types = 1 if self.probabilities is None else self.probabilities.shape[1]
        fills = {
            "latent": 0,
            "probabilities": 1 / types,
            "novelty": 1,
            "unknown": True,
            "label": 0,
            "other_routes": UNKNOWN,
            "uncertainty": 1,
            "distance": np.nan,
        }
        return scatter_fields(self, kept, fills)


# Name of each column -> how it follows from the record.
COLUMNS: dict[str, Callable[[CellAnswers], Column]] = {
    name: attrgetter(name)
    for name in ("label", "confidence", "accepted_label", "novelty", "unknown")
}


def most_probable(probabilities: np.ndarray, types: tuple[str, ...]) -> pd.Categorical | None:
    """The most probable of K named types [N], from [N, K]; None without names."""
    if not types:
        return None
    return pd.Categorical.from_codes(probabilities.argmax(axis=1), [*types])


def obs_columns(*answers: CellAnswers) -> dict[str, Column]:
    """The columns for a table of cells, ``scadv_label``, …; of several records one by one."""
    found = [each.columns() for each in answers]
    return {f"{PREFIX}{name}": _joined([columns[name] for columns in found]) for name in found[0]}


def write_into(adata: AnnData, *answers: CellAnswers) -> None:
    """Writes ``obs['scadv_label']``, … and ``obsm['X_scadv']``, in place of older ones.

    Parameters
    ----------
    adata : of the cells of all records, one after the other. Nothing else of it changes, but that
        what was said of earlier answers goes.
    """
    columns = obs_columns(*answers)
    adata.obsm.pop(UMAP, None)
    adata.uns.pop("scadv", None)
    adata.obsm[LATENT] = np.concatenate([each.latent[:] for each in answers])
    # One by one: anndata makes a whole new table's index text, and refuses one of several levels.
    for name, values in columns.items():
        adata.obs[name] = values
    for name in {f"{PREFIX}{name}" for name in COLUMNS} - columns.keys():
        adata.obs.drop(columns=name, errors="ignore", inplace=True)


def _joined(parts: list[Column]) -> Column:
    if isinstance(parts[0], pd.Categorical):
        return pd.api.types.union_categoricals(parts)
    return np.concatenate(parts)
