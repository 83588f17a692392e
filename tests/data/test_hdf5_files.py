"""HDF5 files are opened, unless HDF5 itself would never come to an end with them."""

from __future__ import annotations

import struct

import h5py
import numpy as np
import pytest

from scadv_tf.data import hdf5_files
from scadv_tf.data.cell_files import open_cells
from scadv_tf.data.hdf5_files import HEAP, open_hdf5
from scadv_tf.errors import InputError

TEXTS = ["T cell", "GCOL", "naive"]


@pytest.fixture
def path(tmp_path):
    with h5py.File(tmp_path / "cells.h5ad", "w") as file:
        file.attrs["encoding-type"] = "anndata"
        file["names"] = np.array(TEXTS, dtype=h5py.string_dtype())
    return tmp_path / "cells.h5ad"


def objects(content: bytes) -> list[tuple[int, int, int]]:
    """The place, number and length of each text in the first heap, and of what is free."""
    start = content.index(HEAP)
    (size,) = struct.unpack_from("<Q", content, start + 8)
    found, place = [], start + 16
    while place + 16 <= start + size:
        number, length = struct.unpack_from("<H6xQ", content, place)
        found.append((place, number, length))
        place += 16 + (length + 7) // 8 * 8 if number else length
    return found


def test_a_sound_file_is_opened(path):
    found = objects(path.read_bytes())
    assert sorted(length for _, number, length in found if number) == [4, 5, 6, 7]  # of "anndata"
    assert found[-1][1] == 0  # the rest is free
    with open_hdf5(path) as file:
        assert file["names"].asstr()[:].tolist() == TEXTS


@pytest.mark.parametrize("which", [0, -1], ids=["a text", "what is free"])
@pytest.mark.parametrize("length", [0, 2**64 - 16], ids=["none", "backwards"])
def test_a_heap_that_leads_back_to_itself_is_refused(path, which, length):
    content = bytearray(path.read_bytes())
    place = objects(content)[which][0]
    struct.pack_into("<H6xQ", content, place, 0, length)
    path.write_bytes(content)
    with pytest.raises(OSError, match="damaged"):
        open_hdf5(path)
    with pytest.raises(InputError, match="could not be read"):
        open_cells(path, "rna")


@pytest.mark.parametrize("block", [1, 7, 8, 100])
def test_heaps_are_found_wherever_the_file_is_cut_into_blocks(path, monkeypatch, block):
    monkeypatch.setattr(hdf5_files, "BLOCK", block)
    content = b"GC" + HEAP + b"O" + HEAP * 2 + b"GCOL"
    path.write_bytes(content)
    with open(path, "rb") as file:
        assert [*hdf5_files._places(file, HEAP)] == [2, 11, 19]


def test_other_files_are_left_to_hdf5(path):
    path.write_bytes(b"")
    with pytest.raises(OSError, match="signature"):
        open_hdf5(path)
