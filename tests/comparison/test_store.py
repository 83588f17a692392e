"""A kept row is taken up as it was written, or made again."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from scadv_tf.comparison.store import Row, RowStore

CONTENT = {
    "system": "svm",
    "seed": 0,
    "error": None,
    "fingerprint": "f",
    "label_transfer": {"macro_f1": 0.5},
    "seconds": {"total": 1.5},
}


@pytest.fixture
def store(tmp_path):
    store = RowStore(tmp_path)
    store.write(Row(CONTENT, np.array(["A", "B"]), np.ones((4, 2), np.float32)))
    return store


def test_a_row_is_read_as_it_was_written(store):
    row = store.read("svm", 0, "f")
    assert row.content == CONTENT and row.macro_f1 is None
    assert row.predicted.tolist() == ["A", "B"] and row.umap.shape == (4, 2)
    assert store.read("svm", 0, "g") is None and store.read("svm", 1, "f") is None


def without(name):
    return lambda row: {key: value for key, value in row.items() if key != name}


DAMAGES = {
    **{f"without {name}": without(name) for name in (*CONTENT, "sha256")},
    "only the fingerprint": lambda row: {"fingerprint": row["fingerprint"]},
    "another score": lambda row: row | {"label_transfer": {"macro_f1": 0.9}},
    "text for a number": lambda row: row | {"seconds": "long"},
    "one field more": lambda row: row | {"classifier": None},
    "no mark": lambda row: row | {"sha256": None},
    "a list": lambda row: [row],
    "null": lambda row: None,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_row_that_was_changed_is_made_again(store, tmp_path, damage):
    path = tmp_path / "svm_seed0.json"
    path.write_text(json.dumps(DAMAGES[damage](json.loads(path.read_text()))))
    assert store.read("svm", 0, "f") is None
    store.write(Row(CONTENT, np.array(["A", "B"])))
    assert store.read("svm", 0, "f").content == CONTENT


@pytest.mark.parametrize("name", ["svm_seed0.json", "svm_seed0.npz"])
@pytest.mark.parametrize("kept", [0, 0.5, 0.99])
def test_half_a_file_is_made_again(store, tmp_path, name, kept):
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(kept * len(content))])
    assert store.read("svm", 0, "f") is None


@pytest.mark.parametrize("name", ["svm_seed0.json", "svm_seed0.npz"])
def test_a_pipe_is_not_waited_for(store, tmp_path, name):
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    assert store.read("svm", 0, "f") is None


def test_a_row_without_an_end_is_made_again(store, tmp_path):
    (tmp_path / "svm_seed0.json").write_text("[" * 100_000)
    assert store.read("svm", 0, "f") is None


def test_arrays_of_another_row_are_not_taken(store, tmp_path):
    other = RowStore(tmp_path / "other")
    other.write(Row(CONTENT, np.array(["B", "B"]), np.ones((4, 2), np.float32)))
    (tmp_path / "svm_seed0.npz").write_bytes((other.folder / "svm_seed0.npz").read_bytes())
    assert store.read("svm", 0, "f") is None


def test_the_order_of_fields_does_not_matter(store, tmp_path):
    path = tmp_path / "svm_seed0.json"
    path.write_text(json.dumps(dict(reversed(json.loads(path.read_text()).items()))))
    assert store.read("svm", 0, "f").content == CONTENT
