"""Seurat in R: for real where it is installed, and what users are told where it is not."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from scadv_tf.baselines import seurat
from scadv_tf.errors import InputError


@pytest.fixture(scope="module")
def result(tissue):
    if seurat.installed_version() is None:
        pytest.skip("R with Seurat is not installed")
    return seurat.seurat(tissue.data, seed=0)


@pytest.fixture
def rscript(tmp_path, monkeypatch):
    """A maker of a program Rscript that has Seurat, but runs these lines of shell instead."""

    def make(lines: str) -> None:
        program = tmp_path / "Rscript"
        versions = '[ "$1 $2" = "--vanilla -e" ] && echo Seurat 5.1.0 4.4.1 && exit'
        program.write_text(f"#!/bin/sh\n{versions}\n{lines}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return make


def test_every_route_beats_chance_and_keeps_the_names(result, tissue):
    assert set(result.routes) == {"label_transfer", "seurat_lsi", "svm", "knn"}
    most_common = max(np.mean(tissue.truth == name) for name in tissue.data.types)
    for predicted in result.routes.values():
        assert predicted.shape == (140,)
        assert set(predicted) <= set(tissue.data.types)
        assert np.mean(predicted == tissue.truth) > most_common + 0.2


def test_probabilities_are_those_of_the_sorted_types(result, tissue):
    assert result.probabilities.shape == (140, 4)
    assert (result.probabilities >= 0).all()
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1, rtol=1e-12)
    best = np.array(tissue.data.types)[result.probabilities.argmax(axis=1)]
    np.testing.assert_array_equal(best, result.routes["label_transfer"])


def test_the_latent_space_has_rna_cells_first_in_their_order(result, tissue):
    assert result.latent.shape == (290, 30)
    assert np.isfinite(result.latent).all()
    rna, types = result.latent[:150], tissue.rna_types
    near = KNeighborsClassifier(15).fit(rna[:100], types[:100])
    assert np.mean(near.predict(rna[100:]) == types[100:]) > 0.8


def test_few_cells_without_peaks_and_another_seed(result, tissue):
    """All neighbourhoods shrink with the cells; no LSI without peaks; the seed has no say."""
    few = replace(
        tissue.data,
        rna=tissue.data.rna[:40],
        rna_labels=tissue.data.rna_labels[:40],
        atac=tissue.data.atac[:25],
        peaks=None,
    )
    first, second = (seurat.seurat(few, seed) for seed in (0, 1))
    assert set(first.routes) == {"label_transfer", "svm", "knn"}
    assert first.latent.shape == (65, 30)
    assert not seurat.SEEDED
    for route, predicted in first.routes.items():
        np.testing.assert_array_equal(predicted, second.routes[route])
    np.testing.assert_allclose(first.probabilities, second.probabilities, atol=1e-6)


@pytest.mark.parametrize(
    ("printed", "version"),
    [
        ("Seurat 5.1.0 4.4.1", "5.1.0 (R 4.4.1)"),
        ("R says hello\nSeurat 5.1.0 4.4.1", "5.1.0 (R 4.4.1)"),
        ("R says hello", None),
        ("", None),
    ],
)
def test_the_versions_of_seurat_and_r(rscript, monkeypatch, printed, version):
    rscript("exit 1")
    done = SimpleNamespace(returncode=0, stdout=printed)
    monkeypatch.setattr("subprocess.run", lambda *_, **__: done)
    assert seurat.installed_version() == version


def test_r_runs_without_the_profile_of_the_user(tissue, rscript):
    rscript('echo "got $1" >&2; exit 3')
    with pytest.raises(InputError, match="got --vanilla"):
        seurat.seurat(tissue.data, seed=0)


def test_missing_r_is_told_with_what_to_do(tissue, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="apt-get install r-base-core r-cran-seurat"):
        seurat.seurat(tissue.data, seed=0)


def test_missing_seurat_is_told_with_what_to_do(tissue, tmp_path, monkeypatch):
    program = tmp_path / "Rscript"
    program.write_text("#!/bin/sh\necho \"there is no package called 'Seurat'\" >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(InputError, match=r"no package Seurat[^$]*install\.packages\('Seurat'\)"):
        seurat.seurat(tissue.data, seed=0)


def test_a_failure_of_r_is_quoted(tissue, rscript):
    rscript('for i in $(seq 99); do echo "line $i" >&2; done; echo "Error: no anchors" >&2; exit 3')
    with pytest.raises(InputError) as caught:
        seurat.seurat(tissue.data, seed=0)
    assert "exit status 3" in str(caught.value)
    assert "line 99\nError: no anchors" in str(caught.value)
    assert "line 50" not in str(caught.value)


def test_labels_are_needed(tissue):
    with pytest.raises(InputError, match="label_key"):
        seurat.seurat(replace(tissue.data, rna_labels=None), seed=0)
