"""Cell type labels: read, brought to one level, and used to choose cells."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from scadv_tf.data.one_line import one_line
from scadv_tf.data.type_lists import types_of_list
from scadv_tf.errors import InputError

UNLABELLED = ""
# What a result calls a cell that resembles no type. As the label of a cell, in upper or lower case,
# it says the same: it names no type.
UNKNOWN = "unknown"
HEADLINE = "label_transfer"  # the route whose labels are the answer's own
# How a missing label looks after another tool has turned the column into text, in any case.
_MISSING = ("", "na", "n/a", "nan", "<na>", "none", "null", "nat", "n.a.", "#n/a", "#na")
_QUOTED = re.compile(r"""b?(["'])(.*)\1""")  # b'T cell', "T cell"
_FLAGS = {"rna": "--label_key", "atac": "--atac_label_key"}


@dataclass(frozen=True, eq=False)
class CellChoice:
    """The cells to use (row numbers), and how many were left out for which reason.

    Of the cells without label, `called_unknown` had the label 'unknown'.
    """

    rna: np.ndarray
    atac: np.ndarray
    without_label: int
    called_unknown: int
    dropped: dict[str, int]


def labels_of(obs: pd.DataFrame, key: str, modality: str) -> np.ndarray:
    """The labels of one modality's cells as text of one line [cells]; '' where there is none.

    Parameters
    ----------
    obs : the table of cells.
    key : a column of it, or the text of its name; '' gives cells without labels.
    modality : 'rna' or 'atac', for the error message.

    Raises
    ------
    InputError : obs has no such column.
    """
    if not key:
        return np.full(len(obs), UNLABELLED)
    flag, unneeded = _FLAGS[modality], "; --mode=unsupervised needs no labels"
    column = column_in(
        obs,
        key,
        what=f"the {modality.upper()} cells have no column '{key}'",
        received=f"{flag}={key}",
        advice=f"name the column with the cell types by {flag}"
        + (unneeded if modality == "rna" else ""),
    )
    return column_texts(column)


def column_called(obs: pd.DataFrame, key: str) -> pd.Series | None:
    """The column of this name, or whose name, such as the number 0, is this text; None without."""
    name = key if key in obs else next((name for name in obs if str(name) == key), None)
    return None if name is None else obs[name]


def column_in(obs: pd.DataFrame, key: str, what: str, received: str, advice: str) -> pd.Series:
    """The same, which must be there: else an InputError that says so, and which there are."""
    column = column_called(obs, key)
    if column is None:
        raise InputError(
            what=what,
            expected="one of: " + (", ".join(map(str, obs.columns)) or "none: obs has no column"),
            received=received,
            advice=advice,
        )
    return column


def column_texts(column: pd.Series) -> np.ndarray:
    """A column of names as text of one line [cells]; '' where there is none."""
    try:
        codes, values = pd.factorize(column)  # a million texts of their own would take 100 MB
    except TypeError:  # lists or arrays in its cells
        codes, values = pd.factorize(column.map(str))
    names = [_name(value) for value in values]
    names = [UNLABELLED if name.casefold() in _MISSING else name for name in names]
    if all(name.removesuffix(".0").lstrip("-").isdecimal() for name in names if name):
        # Cluster numbers that a missing value has made floats.
        names = [name.removesuffix(".0") for name in names]
    return np.array([*names, UNLABELLED], dtype=str)[codes]  # the code of what is missing is -1


def _name(value: object) -> str:
    """A name as plain text: without quotes, line breaks, and spaces of a kind of their own."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    text = re.sub(r"\s", " ", one_line(text)).strip()
    return _QUOTED.sub(r"\2", text).strip() if _QUOTED.fullmatch(text) else text


def without_unknown(labels: np.ndarray) -> np.ndarray:
    """The labels [cells] with '' in place of 'unknown', which is no type."""
    return np.where(np.char.lower(labels) == UNKNOWN, UNLABELLED, labels)


def label_level(rna_obs: pd.DataFrame, rna_labels: np.ndarray, atac_key: str) -> dict[str, str]:
    """RNA type -> its name among the ATAC labels.

    Where rna_obs has a column with the name of the ATAC labels, it gives the coarse label of
    each type; otherwise both modalities are at the same level and each type is itself.

    Raises
    ------
    InputError : a type has no coarse label, or several.
    """
    types = [str(name) for name in np.unique(without_unknown(rna_labels)) if name != UNLABELLED]
    if not atac_key or column_called(rna_obs, atac_key) is None:
        return {name: name for name in types}
    coarse = labels_of(rna_obs, atac_key, "rna")
    level = {}
    for name in types:
        found = sorted(set(coarse[rna_labels == name].tolist()) - {UNLABELLED})
        if len(found) != 1:
            raise InputError(
                what=f"the type '{name}' has {len(found)} labels in the RNA column '{atac_key}'",
                expected="exactly one coarse label for each type, as ATAC has labels of that level",
                received=", ".join(found) or "no label",
                advice=f"correct the column '{atac_key}' of the RNA cells, or remove it if both "
                "modalities are labelled at the same level",
            )
        level[name] = found[0]
    return level


def choose_cells(
    rna_labels: np.ndarray,
    atac_labels: np.ndarray,
    level: dict[str, str],
    drop_types: Sequence[str],
    labelled: bool,
) -> CellChoice:
    """Leave out cells of dropped types and, if RNA is labelled at all, RNA cells without label.

    A dropped coarse label takes its types along; a coarse label whose types are all dropped goes.

    Raises
    ------
    InputError : an unknown or ambiguous type to drop, or no cell left in a modality.
    """
    names = [name for labels in (rna_labels, atac_labels) for name in np.unique(labels).tolist()]
    known = {*level.values(), *names} - {UNLABELLED}
    drop_types = types_of_list(drop_types, known)
    types = {fine for fine, coarse in level.items() if {fine, coarse} & {*drop_types}}
    remaining = {coarse for fine, coarse in level.items() if fine not in types}
    emptied = {level[fine] for fine in types} - remaining
    rna_dropped = np.isin(rna_labels, [*types, *drop_types])
    atac_dropped = np.isin(atac_labels, [*drop_types, *emptied])
    without_label = labelled & (without_unknown(rna_labels) == UNLABELLED) & ~rna_dropped
    choice = CellChoice(
        rna=np.flatnonzero(~rna_dropped & ~without_label),
        atac=np.flatnonzero(~atac_dropped),
        without_label=int(np.sum(without_label)),
        called_unknown=int(np.sum(without_label & (rna_labels != UNLABELLED))),
        dropped={"rna": int(np.sum(rna_dropped)), "atac": int(np.sum(atac_dropped))},
    )
    if not (len(choice.rna) and len(choice.atac)):
        raise InputError(
            what="no cell is left in one modality",
            expected="RNA cells with a label, and ATAC cells",
            received=f"{len(choice.rna)} RNA cells, {len(choice.atac)} ATAC cells; "
            f"{choice.without_label} RNA cells have no label",
            advice="check --label_key and --drop_types; --mode=unsupervised needs no labels",
        )
    return choice
