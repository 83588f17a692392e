"""The fingerprint of the data: the same for the same cells, another for anything else."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from preprocessing_twins import without_peaks

from scadv_tf import load_dataset
from scadv_tf.data.datasets import DatasetSource
from scadv_tf.data.fingerprint import fingerprint


def changed(matrix, part):
    """The same matrix but for one number in one of its arrays."""
    other = matrix.copy()
    array = getattr(other, part)
    if part == "data":
        array[3] += 1
    elif part == "indices":
        array[:2] = array[1::-1].copy()
    else:
        array[1] -= 1
    return other


CHANGES = {
    **{
        f"{name}.{part}": (lambda data, name=name, part=part: {
            name: changed(getattr(data, name), part)
        })
        for name in ("rna", "atac", "peaks")
        for part in ("data", "indices", "indptr")
    },
    "no peaks": lambda data: {"peaks": None},
    "genes": lambda data: {"genes": data.genes[::-1]},
    "rna cells": lambda data: {"rna_cells": np.char.add(data.rna_cells, "x")},
    "atac cells": lambda data: {"atac_cells": data.atac_cells[::-1]},
    "types": lambda data: {"types": tuple(name.lower() for name in data.types)},
    "labels": lambda data: {"rna_labels": data.rna_labels[::-1]},
    "no labels": lambda data: {"rna_labels": None},
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_another_number_or_name_makes_another_fingerprint(tissue, change):
    other = dataclasses.replace(tissue, **CHANGES[change](tissue))
    assert fingerprint(other) != fingerprint(tissue)


def test_all_these_fingerprints_differ(tissue):
    found = {fingerprint(dataclasses.replace(tissue, **make(tissue))) for make in CHANGES.values()}
    assert len(found) == len(CHANGES)


def test_it_is_64_hexadecimal_digits(tissue):
    found = fingerprint(tissue)
    assert len(found) == 64 and set(found) <= set("0123456789abcdef")


def test_only_numbers_and_names_count(tissue):
    """Not the width of indices and labels, nor the tables that go along."""
    rna = tissue.rna.copy()
    rna.indices, rna.indptr = rna.indices.astype(np.int64), rna.indptr.astype(np.int64)
    same = dataclasses.replace(
        tissue,
        rna=rna,
        rna_labels=tissue.rna_labels.astype(np.int64),
        atac_obs=tissue.atac_obs.iloc[:, :0],
    )
    assert same.rna.indices.dtype != tissue.rna.indices.dtype
    assert fingerprint(same) == fingerprint(tissue)


def test_names_do_not_run_together(tissue):
    first = dataclasses.replace(without_peaks(tissue), types=("a", "bc"))
    second = dataclasses.replace(without_peaks(tissue), types=("ab", "c"))
    assert fingerprint(first) != fingerprint(second)


@pytest.mark.slow
def test_it_is_the_same_in_another_process():
    """Nothing random goes in, such as Python's own hashes."""
    code = (
        "from scadv_tf import load_dataset\n"
        "from scadv_tf.data.datasets import DatasetSource\n"
        "from scadv_tf.data.fingerprint import fingerprint\n"
        "source = DatasetSource(synthetic_cells=60, seed=1)\n"
        "print(fingerprint(load_dataset('synthetic', source)[0]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    data, _ = load_dataset("synthetic", DatasetSource(synthetic_cells=60, seed=1))
    assert done.stdout.strip() == fingerprint(data), done.stderr
