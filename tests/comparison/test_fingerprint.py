"""What makes a finished row unfit to be taken up: other cells, labels, versions, or code."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

import scadv_tf
from scadv_tf.comparison.fingerprint import code_digest, digest_of, fingerprint_of
from scadv_tf.comparison.systems import settings_of
from scadv_tf.config import RunConfig


def test_the_fingerprint_follows_the_cells_and_their_labels(cells):
    data, truth = cells
    other = data.rna.copy()
    other.data[0] += 1
    labels = truth.labels.copy()
    labels[0] = "another"
    peaks = data.peaks.copy()
    peaks.indices[:2] = peaks.indices[1::-1].copy()
    inputs = [
        (data, truth),
        (data, None),
        (data, dataclasses.replace(truth, labels=labels)),
        (dataclasses.replace(data, rna=other), truth),
        (dataclasses.replace(data, peaks=peaks), truth),
        (dataclasses.replace(data, peaks=None), truth),
        (dataclasses.replace(data, genes=data.genes[::-1]), truth),
        (dataclasses.replace(data, rna_labels=data.rna_labels[::-1]), truth),
    ]
    digests = [digest_of(*given) for given in inputs]
    assert len(set(digests)) == len(inputs)
    assert digest_of(data, truth) == digests[0]
    config = settings_of("ce", RunConfig())
    found = {fingerprint_of(system, config, d) for system in ("ce", "scadv") for d in digests}
    assert len(found) == 2 * len(inputs)


def found_with(monkeypatch, system: str, name: str, value) -> str:
    """The fingerprint of a system's row where a name has another value."""
    with monkeypatch.context() as patch:
        patch.setattr(name, lambda *_: value)
        return fingerprint_of(system, settings_of(system, RunConfig()), "digest")


def test_a_row_of_another_version_of_a_package_is_not_kept(monkeypatch):
    name = "scadv_tf.comparison.fingerprint.versions"
    versions = [{"harmonypy": "0.1.0"}, {"harmonypy": "2.1.0"}]
    assert len({found_with(monkeypatch, "harmony", name, v) for v in versions}) == 2


def test_the_version_of_seurat_matters_to_its_row_and_is_not_asked_for_others(monkeypatch):
    name = "scadv_tf.baselines.seurat.installed_version"
    versions = "4.3.0 (R 4.2.2)", "4.3.0 (R 4.4.1)", "5.1.0 (R 4.4.1)", None
    assert len({found_with(monkeypatch, "seurat", name, v) for v in versions}) == 4
    for system in ("scadv", "harmony", "svm"):
        assert len({found_with(monkeypatch, system, name, v) for v in versions}) == 1


@pytest.mark.parametrize("system", ["scadv", "seurat", "svm"])
def test_a_row_of_other_code_is_not_kept(monkeypatch, system):
    name = "scadv_tf.comparison.fingerprint.code_digest"
    assert len({found_with(monkeypatch, system, name, d) for d in ("one", "other")}) == 2


@pytest.fixture
def installed(tmp_path):
    """The package, installed twice, and what only one installation has."""
    sources = shutil.ignore_patterns("__pycache__", "assets")
    first = shutil.copytree(Path(scadv_tf.__file__).parent, tmp_path / "first", ignore=sources)
    second = shutil.copytree(first, tmp_path / "second")
    (second / "__pycache__").mkdir()
    (second / "__pycache__" / "config.cpython-311.pyc").write_bytes(b"compiled")
    return first, second


def test_the_same_source_installed_elsewhere_is_the_same_code(installed):
    first, second = installed
    assert code_digest(first) == code_digest(second)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("models/losses.py", lambda path: path.write_text(path.read_text() + "# more\n")),
        ("baselines/seurat.R", lambda path: path.write_text("stop()")),
        ("models/losses.py", lambda path: path.rename(path.with_name("loss.py"))),
        ("models/losses.py", lambda path: path.unlink()),
    ],
    ids=["python", "R", "renamed", "removed"],
)
def test_a_change_of_any_source_file_is_other_code(installed, name, change):
    first, second = installed
    change(second / name)
    assert code_digest(first) != code_digest(second)
