"""What the labels of two paired modalities say: which cells to use, types, truth, and warnings.

Labels of ATAC cells are for scores only: they are handed on apart, as `AtacTruth`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from scadv_tf.data.labels import (
    UNKNOWN,
    UNLABELLED,
    CellChoice,
    choose_cells,
    column_called,
    label_level,
    labels_of,
    without_unknown,
)
from scadv_tf.data.one_line import first_of
from scadv_tf.errors import InputError

# With fewer cells, one cell more or less is over a tenth of the type.
RARE_TYPE_CELLS = 10
MOST_NAMES = 5  # in a sentence


@dataclass(frozen=True, eq=False)
class AtacTruth:
    """Known labels of the ATAC cells: for evaluation only.

    Attributes
    ----------
    labels : text [A]; '' for a cell without label.
    level : RNA type -> its name among the ATAC labels, which may be coarser.
    """

    labels: np.ndarray
    level: dict[str, str]

    @property
    def names(self) -> list[str]:
        """The different labels, sorted."""
        return [name for name in np.unique(self.labels).tolist() if name != UNLABELLED]

    @property
    def known(self) -> bool:
        """Whether there are labels, and any of them names an RNA type, where there are types."""
        types = set(self.level.values())
        return bool(self.names) and (not types or not types.isdisjoint(self.names))

    def of_cells(self, kept: np.ndarray) -> AtacTruth:
        """Of the kept cells alone, bool [A]."""
        return replace(self, labels=self.labels[kept])

    def coarsen(self, predicted_types: Sequence[str] | np.ndarray) -> np.ndarray:
        """RNA types [A] named at the level of the ATAC labels; other names stay as they are."""
        names = map(str, predicted_types)
        return np.array([self.level.get(name, name) for name in names], dtype=str)

    def confidence(self, probabilities: np.ndarray, types: Sequence[str]) -> np.ndarray:
        """Probability [A] of the predicted label's name at the level of the ATAC labels.

        The most probable type decides the label; the probabilities of all types [A, K] that share
        its coarse name add up.
        """
        names = self.coarsen(types)
        same = names[:, None] == names[None, :]
        return np.take_along_axis(
            probabilities @ same, probabilities.argmax(axis=1)[:, None], axis=1
        )[:, 0]


@dataclass(frozen=True, eq=False)
class PairedLabels:
    """Which cells are used, and what is known of them.

    Attributes
    ----------
    cells : which cells of the input these are, R RNA cells and A ATAC cells.
    rna : labels of the RNA cells [R], text; '' where there is none.
    types : the K names of their types, sorted; none where no labels are taught.
    taught : whether they are taught.
    truth : what is known of the ATAC cells.
    truth_key : the column that says so; '' without.
    """

    cells: CellChoice
    rna: np.ndarray
    types: tuple[str, ...]
    taught: bool
    truth: AtacTruth
    truth_key: str

    @classmethod
    def of(
        cls,
        rna_obs: pd.DataFrame,
        atac_obs: pd.DataFrame,
        label_key: str,
        atac_label_key: str,
        drop_types: Sequence[str],
        supervised: bool,
    ) -> PairedLabels:
        """Those of two tables of cells; for the rest see `scadv_tf.data.pairing.pair`.

        Raises
        ------
        InputError : a missing column, an ambiguous level, an unknown type to drop, no cell left, or
            fewer than two types.
        """
        in_rna, in_atac = (column_called(obs, label_key) is not None for obs in (rna_obs, atac_obs))
        truth_key = atac_label_key or (label_key if in_atac else "")
        if not (supervised or in_rna):
            label_key = ""
        rna = labels_of(rna_obs, label_key, "rna")
        atac = labels_of(atac_obs, truth_key, "atac")
        level = label_level(rna_obs, rna, truth_key)
        taught = supervised and bool(label_key)
        cells = choose_cells(rna, atac, level, drop_types, labelled=taught)
        rna, atac = without_unknown(rna[cells.rna]), without_unknown(atac[cells.atac])
        types = _types_of(rna, label_key) if taught else ()
        left = set(np.unique(rna).tolist())
        truth = AtacTruth(atac, {name: level[name] for name in level if name in left})
        return cls(cells, rna, types, taught, truth, truth_key)

    @property
    def codes(self) -> np.ndarray | None:
        """Positions of the RNA cells' labels in types, int32 [R]; None where none are taught."""
        return np.searchsorted(self.types, self.rna).astype(np.int32) if self.taught else None

    def check_data(self, with_data: np.ndarray) -> None:
        """Refuses to teach where the RNA cells with data, bool [R], are of one type or none."""
        types = np.unique(self.rna[with_data]).tolist()
        if self.taught and len(types) < 2:
            raise InputError(
                what="the RNA cells with data are of fewer than two cell types",
                expected="at least two types with counts in the shared genes",
                received=f"{', '.join(types) or 'none'}; {np.sum(~with_data):,} of "
                f"{len(with_data):,} cells are empty or nearly empty there",
                advice="check that the file holds raw counts of the labelled cells, and that both "
                "modalities are of the same species and genome",
            )

    def account(self, with_data: np.ndarray) -> dict:
        """What a `MatchingReport` says of them, `with_data` as in `check_data`."""
        of_all, of_use = (
            {name: int(np.sum(labels == name)) for name in self.types}
            for labels in (self.rna, self.rna[with_data])
        )
        return {
            "rna_cells": len(self.cells.rna),
            "atac_cells": len(self.cells.atac),
            "rna_types": of_all,
            "rare_types": {name: n for name, n in of_use.items() if n < RARE_TYPE_CELLS},
            "cells_without_label": self.cells.without_label,
            "dropped_cells": self.cells.dropped,
        }

    def warnings(self, with_data: np.ndarray) -> list[str]:
        """What is to be told of them, `with_data` as in `check_data`."""
        taught = self._of_taught(self.rna[with_data]) if self.taught else []
        return [*taught, *self._of_vocabulary()]

    def _of_taught(self, with_data: np.ndarray) -> list[str]:
        """Of labels that are missing, rare or strange, given those of the RNA cells with data."""
        cells, truth = self.cells, self.truth
        warnings = []
        if cells.without_label:
            warnings.append(f"{cells.without_label:,} RNA cells without a label were left out")
        if cells.called_unknown:
            warnings[-1] += (
                f", {cells.called_unknown:,} of them because '{UNKNOWN}' names no type: "
                "give it another name if they are one"
            )
        types, numbers = np.unique(with_data, return_counts=True)
        rare = [f"{t} ({n})" for t, n in zip(types, numbers, strict=True) if n < RARE_TYPE_CELLS]
        empty = [name for name in truth.level if name not in types]
        if empty:
            warnings.append(
                "no RNA cell of these types has data, so that none can be learned: "
                + ", ".join(empty)
            )
        if rare:
            warnings.append(
                f"types with fewer than {RARE_TYPE_CELLS} RNA cells can hardly be learned: "
                + ", ".join(rare)
            )
        unknown = sorted({*truth.names} - {*truth.level.values()})
        if unknown and truth.level and truth.known:
            warnings.append(
                "no RNA type stands for these ATAC labels, which count as errors: "
                + ", ".join(unknown)
            )
        return warnings

    def _of_vocabulary(self) -> list[str]:
        """Of known ATAC labels that name no RNA type."""
        truth = self.truth
        if truth.known or not truth.names:
            return []
        types = sorted(set(truth.level.values()))
        found, taught = (first_of(names, MOST_NAMES) for names in (truth.names, types))
        return [
            f"the ATAC labels in the column '{self.truth_key}' ({found}) share no name with the "
            f"RNA types ({taught}): they count as not known, and there are no scores. For scores "
            "name them as the types, or give the RNA cells a column of that name with the ATAC "
            "label of each type"
        ]


def _types_of(rna_labels: np.ndarray, label_key: str) -> tuple[str, ...]:
    types = tuple(str(name) for name in np.unique(rna_labels) if name != UNLABELLED)
    if len(types) < 2:
        raise InputError(
            what="the RNA cells have fewer than two cell types",
            expected=f"at least two types in the column '{label_key}'",
            received=", ".join(types) or "none",
            advice="check --label_key and --drop_types: with one type there is nothing to transfer "
            "(--mode=unsupervised needs no types)",
        )
    return types


def check_several_of_a_type(rna_labels: np.ndarray, types: Sequence[str]) -> None:
    """Refuses RNA cells [R] of which each is of another type: nothing varies within one.

    Parameters
    ----------
    rna_labels : positions in types, of cells with data.
    """
    codes = np.unique(rna_labels)
    if len(codes) == len(rna_labels):
        raise InputError(
            what="each labelled RNA cell with data is of a cell type of its own",
            expected="types of several cells, which tell how cells of one type differ",
            received=f"{len(codes):,} types of {len(rna_labels):,} cells, such as "
            f"{first_of([types[code] for code in codes], MOST_NAMES)}",
            advice="check --label_key: names of cells are no types, nor are means of types cells",
        )
