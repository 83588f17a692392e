"""Whether what a server answers is what an scadv_tf model says of cells."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

# Output -> kinds of numpy's dtypes, and the number of dimensions. A whole number is a number too.
OUTPUTS = {
    "label": ("U", 1),
    "confidence": ("fiu", 1),
    "novelty": ("fiu", 1),
    "unknown": ("b", 1),
    "latent": ("fiu", 2),
    "probabilities": ("fiu", 2),
}
_CALLED = {"U": "text", "fiu": "finite numbers", "b": "true or false"}


def expected_outputs(cells: int) -> str:
    """In words."""
    words = [
        f"{name} ({_CALLED[kinds]}, {'a row' if size == 2 else 'one'} a cell)"
        for name, (kinds, size) in OUTPUTS.items()
    ]
    return f"of {cells} cells: {', '.join(words)}"


def misfit(found: Mapping[str, np.ndarray], cells: int, types: tuple[str, ...]) -> str:
    """What is wrong with outputs; nothing for those of a model.

    Parameters
    ----------
    cells : how many were asked about.
    types : that the model knows; none where that is not known.
    """
    for name, (kinds, size) in OUTPUTS.items():
        if name not in found:
            return f"{', '.join(found) or 'nothing'}, without {name}"
        values = found[name]
        if values.ndim != size or len(values) != cells or 0 in values.shape[1:]:
            return f"{name} of shape {values.shape}"
        if values.dtype.kind not in kinds:
            return f"{name} of {values.dtype}"
        if "f" in kinds and not np.isfinite(values).all():
            return f"{name} with numbers that are not finite"
    if types and found["probabilities"].shape[1] != len(types):
        return f"probabilities of {found['probabilities'].shape[1]} types, not {len(types)}"
    strange = sorted(set(found["label"].tolist()) - set(types)) if types else []
    return f"the label {strange[0]!r}, which is no type of the model" if strange else ""
