"""Cells with labels: these as text and codes, a sample of every type, and checks of such arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import pandas as pd

from scadv_tf.data.rows import Rows, as_rows, blocks
from scadv_tf.errors import InputError

Labels: TypeAlias = Sequence[str] | np.ndarray | pd.Series
CODED_AT_ONCE = 100_000  # texts of so many cells are objects at a time


def as_text(labels: Labels) -> np.ndarray:
    """Labels as an array of str, in which a missing value (None, NaN) is ''.

    What is text already, of fixed width or as objects, is handed back as it is: do not write to it.
    """
    if isinstance(labels, np.ndarray) and labels.dtype.kind == "U":
        return labels
    values = np.asarray(labels, dtype=object)
    if pd.api.types.infer_dtype(values, skipna=False) == "string":
        return values
    series = pd.Series(values, dtype=object)
    return series.where(series.notna(), "").astype(str).to_numpy(dtype=object)


def coded(*labels: Labels) -> tuple[np.ndarray, list[np.ndarray]]:
    """Names that occur in any of the labels [K], sorted objects of str, and codes [cells] of each.

    A code is a position among the names; a missing value is the name ''. ``names[codes]`` costs 8
    bytes a cell, while an array of text costs 4 bytes a character.
    """
    places: dict[str, int] = {}
    found = []
    for text in map(as_text, labels):
        codes = np.empty(len(text), dtype=np.intp)
        for start in range(0, len(text), CODED_AT_ONCE):
            part = slice(start, start + CODED_AT_ONCE)
            numbers, names = pd.factorize(text[part].astype(object))
            known = [places.setdefault(str(name), len(places)) for name in names]
            codes[part] = np.array(known, dtype=np.intp)[numbers]
        found.append(codes)
    names = sorted(places)
    rank = np.empty(len(names), dtype=np.intp)
    rank[[places[name] for name in names]] = np.arange(len(names))
    return np.array(names, dtype=object), [rank[codes] for codes in found]


def check_lengths(what: str, **arrays: Sequence | Rows) -> None:
    """Refuse arrays that do not describe the same cells."""
    lengths = {
        name: array.shape[0] if hasattr(array, "shape") else len(array)
        for name, array in arrays.items()
    }
    if len(set(lengths.values())) > 1:
        raise InputError(
            what=f"The arrays given to {what} do not describe the same cells.",
            expected=f"one entry a cell in each of {', '.join(lengths)}",
            received=", ".join(f"{name}: {length}" for name, length in lengths.items()),
            advice="Pass arrays of the same cells in the same order.",
        )


def check_finite(name: str, coordinates: np.ndarray | Rows) -> Rows:
    """Return the coordinates as rows of two dimensions, refused unless all are finite."""
    coordinates = as_rows(coordinates)
    bad, plain = 0, len(coordinates.shape) == 2
    if plain:
        for _, block in blocks(coordinates):
            bad += int((~np.isfinite(block).all(axis=1)).sum())
    if bad or not plain:
        received = f"shape {coordinates.shape}"
        if plain:
            received = f"{bad} of {coordinates.shape[0]} cells with NaN or infinite values"
        raise InputError(
            what=f"{name} cannot be used as coordinates of cells.",
            expected="finite numbers, one row a cell and one column a dimension",
            received=received,
            advice="If the training diverged, lower the learning rate or clip the gradients.",
        )
    return coordinates


def stratified_sample(labels: Labels, max_cells: int, seed: int) -> np.ndarray:
    """Sorted positions of about `max_cells` cells, every type in its own share.

    Each type keeps at least one cell, so that rare types never vanish; this is why there may be a
    few cells more than `max_cells`.
    """
    if len(labels) <= max_cells:
        return np.arange(len(labels))
    random = np.random.default_rng(seed)
    numbers = np.asarray(labels).dtype.kind in "iub"
    codes = np.unique(labels, return_inverse=True)[1] if numbers else coded(labels)[1][0]
    chosen = []
    for code in range(codes.max() + 1):
        cells = np.flatnonzero(codes == code)
        kept = max(1, len(cells) * max_cells // len(labels))
        chosen.append(random.choice(cells, kept, replace=False))
    return np.sort(np.concatenate(chosen))
