"""What a new format of files costs: a function, and a name in `FORMATS`."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from reading import read_modality
from scipy import sparse

from scadv_tf.data import cell_files
from scadv_tf.data.cell_files import open_cells
from scadv_tf.data.readers import stored
from scadv_tf.data.rows import blocks
from scadv_tf.data.stored_cells import StoredCells
from scadv_tf.data.stored_matrices import DenseRows
from scadv_tf.errors import InputError


class Names(list):
    """Names of cells that slices read."""

    def __getitem__(self, part):
        return np.array(list(self)[part], dtype=str)


def read_json(asked, file):
    """Cells of a .json of rows; None where the file is none."""
    if asked.path.suffix != ".json":
        return None
    content = json.loads(asked.path.read_text())
    names = Names(content["cells"])
    table = pd.DataFrame({"cell_type": content["types"]}, index=pd.RangeIndex(len(names)))
    matrix = DenseRows(np.array(content["counts"], dtype=float))
    return StoredCells(".json", matrix, names, pd.DataFrame(index=content["genes"]), lambda: table)


@pytest.fixture
def path(monkeypatch, tmp_path):
    monkeypatch.setattr(cell_files, "FORMATS", (*cell_files.FORMATS, read_json))
    found = tmp_path / "cells.json"
    found.write_text(json.dumps(CONTENT))
    return found


CONTENT = {
    "cells": ["a", "b", "c"],
    "types": ["T", "B", "T"],
    "genes": ["CD3D", "MS4A1"],
    "counts": [[3, 0], [0, 2], [1, 0]],
}


def test_a_function_and_a_name_make_a_format(path):
    held = read_modality(path, "rna")
    streamed = stored(open_cells(path, "rna"))
    for cells in (held, streamed):
        assert list(cells.obs_names) == ["a", "b", "c"]
        assert list(cells.obs["cell_type"]) == ["T", "B", "T"]
        assert list(cells.var.index) == ["CD3D", "MS4A1"]
    counts = sparse.vstack([block for _, block in blocks(streamed.X, 2)])
    np.testing.assert_array_equal(held.X.toarray(), CONTENT["counts"])
    np.testing.assert_array_equal(counts.toarray(), CONTENT["counts"])


def test_its_values_are_checked_as_those_of_all(path):
    path.write_text(json.dumps(CONTENT | {"counts": [[3, 0], [0, -2], [1, 0]]}))
    with pytest.raises(InputError, match="-2"):
        read_modality(path, "rna")
