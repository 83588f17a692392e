"""What notebooks give as arguments, as the package takes them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from scadv_tf.data.anndata_cells import is_path
from scadv_tf.errors import InputError
from scadv_tf.files import at_home


def plain(value: Any) -> Any:
    """A setting without NumPy's numbers and pathlib's paths; lists of them too."""
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if is_path(value):
        return os.fspath(value)
    return value.item() if isinstance(value, np.generic) else value


def folder_of(given: str | Path) -> Path:
    """The path of a folder; ~ is the user's own. Absolute: it holds if a notebook goes elsewhere.

    Raises
    ------
    InputError : it is no path.
    """
    if not is_path(given) or isinstance(os.fspath(given), bytes):
        raise InputError(
            what="What was given is not the path of a folder.",
            expected="text, or a pathlib.Path",
            received=f"{given!r:.100}, of type {type(given).__name__}",
            advice="Name the folder, such as 'savedmodels/blood'.",
        )
    return at_home(given).absolute()
