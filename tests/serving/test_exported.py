"""An export as a Python object answers as the model in memory does, and says what is wrong."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from same_answers import assert_close, assert_same_answers, dict_of
from scipy import sparse
from serving_twin import training_answer, values_of

from scadv_tf import InputError
from scadv_tf.client import exported as exported_module
from scadv_tf.client.assets import assets_of
from scadv_tf.client.exported import ExportedModel, find_version

OUTPUTS = ("latent", "probabilities", "label", "confidence", "novelty", "unknown")


@pytest.fixture(scope="module")
def model(exported):
    return ExportedModel(exported.version)


def sparse_tensor(peaks):
    entries = sparse.csr_matrix(peaks > 0).tocoo()
    places = np.stack([entries.row, entries.col], axis=1).astype(np.int64)
    ones = np.ones(len(places), dtype=np.float32)
    return tf.sparse.reorder(tf.SparseTensor(places, ones, entries.shape))


def same(found, expected):
    assert_same_answers(dict_of(found), values_of(expected))


def test_it_knows_what_it_was_made_of(exported, model):
    data = exported.trained.data
    assert model.folder == exported.version
    assert model.genes.tolist() == data.genes.tolist() and model.types == tuple(data.types)
    assert model.manifest["dataset"] == "tissue" and model.identity["dataset"] == "tissue"
    assert all(isinstance(text, str) for text in model.identity.values())
    assert model.peaks == data.peaks.shape[1] and model.latent_size == 9
    columns = ["chrom", "start", "end"]
    assert model.intervals.upstream == data.intervals.upstream
    pd.testing.assert_frame_equal(
        model.intervals.peaks[columns].reset_index(drop=True),
        data.intervals.peaks[columns].reset_index(drop=True),
    )
    columns += ["gene", "strand"]
    pd.testing.assert_frame_equal(model.intervals.genes[columns], data.intervals.genes[columns])


@pytest.mark.parametrize("kind", ["rna", "atac", "peaks"])
def test_it_answers_as_the_model_in_memory(exported, model, in_memory, new_tissue, kind):
    modality = "rna" if kind == "rna" else "atac"
    counts = getattr(new_tissue, modality)
    peaks = new_tissue.peaks if kind == "peaks" else None
    opened = None if peaks is None else sparse_tensor(peaks)
    expected = in_memory(exported.trained).annotate(tf.constant(counts.toarray()), modality, opened)
    found = model.annotate(counts, modality, peaks)
    same(found, expected)
    assert len(set(found.label)) > 1 and 0 < found.unknown.mean() < 1
    assert tuple(found.label.categories) == model.types
    if kind != "peaks":
        assert_close(model.embed(counts, modality).latent, found.latent)


def test_rna_cells_of_the_training_get_what_training_said(exported, model):
    trained = exported.trained
    found = model.annotate(trained.data.rna, "rna")
    assert_same_answers(dict_of(found), training_answer(trained))


def test_peaks_change_the_neighbours(model, new_tissue):
    by_genes = model.annotate(new_tissue.atac, "atac").probabilities
    by_peaks = model.annotate(new_tissue.atac, "atac", new_tissue.peaks).probabilities
    assert np.abs(by_genes - by_peaks).max() > 0.01


def test_only_whether_a_peak_is_open_counts(model, new_tissue):
    expected = model.annotate(new_tissue.atac, "atac", new_tissue.peaks)
    peaks = sparse.coo_matrix(7 * new_tissue.peaks)
    parts = [np.concatenate([array, array]) for array in (peaks.data, peaks.row, peaks.col)]
    twice = sparse.csr_matrix((parts[0], (parts[1], parts[2])), shape=peaks.shape)
    found = model.annotate(new_tissue.atac, "atac", twice)
    for name in OUTPUTS:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("size", [1, 7, 80])
def test_the_number_of_cells_at_once_does_not_matter(model, new_tissue, monkeypatch, size):
    expected = model.annotate(new_tissue.atac, "atac", new_tissue.peaks)
    monkeypatch.setattr(exported_module, "CELLS_AT_ONCE", size)
    found = model.annotate(new_tissue.atac, "atac", new_tissue.peaks)
    assert_same_answers(dict_of(found), dict_of(expected))


def test_a_model_without_types_only_embeds(without_types, in_memory, new_tissue):
    model = ExportedModel(without_types.version)
    assert model.types == () and model.peaks == 0
    served = in_memory(without_types.trained)
    for modality in ("rna", "atac"):
        counts = getattr(new_tissue, modality)
        expected = served.embed(tf.constant(counts.toarray()), modality)["latent"]
        found = model.embed(counts, modality)
        assert found.label is None and found.probabilities is None
        assert_close(found.latent, expected)
        with pytest.raises(InputError, match=f"no signature annotate_{modality}"):
            model.annotate(counts, modality)


# What does not fit.


def test_counts_of_another_shape_are_refused(model, new_tissue):
    with pytest.raises(InputError, match="number of genes"):
        model.annotate(new_tissue.atac[:, :-1], "atac")
    with pytest.raises(InputError, match="number of peaks"):
        model.annotate(new_tissue.atac, "atac", new_tissue.peaks[:, 1:])
    with pytest.raises(InputError, match="number of cells"):
        model.annotate(new_tissue.atac, "atac", new_tissue.peaks[1:])
    with pytest.raises(InputError, match="number of cells"):
        model.annotate(new_tissue.atac[:0], "atac")
    with pytest.raises(InputError, match="no such modality"):
        model.annotate(new_tissue.atac, "peaks")
    with pytest.raises(InputError, match="no signature annotate_rna_peaks"):
        model.annotate(new_tissue.rna, "rna", new_tissue.peaks)


@pytest.mark.parametrize("bad", [-1, np.nan, np.inf, 2e30])
def test_counts_that_are_none_are_refused(model, new_tissue, bad):
    counts = new_tissue.atac.copy()
    counts.data[5] = bad
    for ask in (model.annotate, model.embed):
        with pytest.raises(InputError, match="negative, above 1e.30 or not a number"):
            ask(counts, "atac")


@pytest.mark.parametrize("kind", ["float16", "float64", "uint8", "longdouble"])
def test_dense_counts_may_be_of_any_kind_of_numbers(model, new_tissue, kind):
    counts = new_tissue.rna[:20].toarray().clip(max=200)
    given = counts.astype(kind)
    found, expected = (model.annotate(each, "rna") for each in (given, sparse.csr_matrix(counts)))
    assert_same_answers(dict_of(found), dict_of(expected))


@pytest.mark.parametrize("kind", [object, str, complex])
def test_what_does_not_hold_numbers_is_refused(model, new_tissue, kind):
    with pytest.raises(InputError, match="does not hold numbers as such"):
        model.annotate(new_tissue.rna[:3].toarray().astype(kind), "rna")


def test_a_model_that_was_asked_goes_to_another_process(model, new_tissue):
    """As joblib and Dask send it; TensorFlow's part is loaded there."""
    expected = model.embed(new_tissue.rna[:5], "rna")
    there = pickle.loads(pickle.dumps(model))
    assert "_model" not in vars(there) and "_model" in vars(model)
    assert_close(there.embed(new_tissue.rna[:5], "rna").latent[:], expected.latent[:])


def test_masked_values_are_refused(model, new_tissue):
    counts = np.ma.masked_equal(new_tissue.rna[:3].toarray(), 0)
    with pytest.raises(InputError, match="masked values"):
        model.annotate(counts, "rna")


# Folders.


def test_the_newest_version_is_taken(exported, tmp_path):
    for version in ("2", "10", "9"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "saved_model.pb").touch()
    for other in ("11", ".export-x"):  # of an export that is under way
        (tmp_path / other).mkdir()
    assert find_version(tmp_path) == tmp_path / "10"
    assert find_version(tmp_path / "2") == tmp_path / "2"
    assert ExportedModel(exported.version.parent).folder == exported.version


@pytest.mark.parametrize("content", ["missing", "file", "empty", "other"])
def test_a_folder_that_is_no_export(tmp_path, content):
    folder = tmp_path / "model"
    if content == "file":
        folder.write_text("x")
    elif content != "missing":
        folder.mkdir()
    if content == "other":
        (folder / "weights.bin").touch()
    with pytest.raises(InputError, match="no exported model") as error:
        ExportedModel(folder)
    told = {"missing": "does not exist", "file": "is a file", "empty": "holds nothing"}
    assert told.get(content, "holds weights.bin") in error.value.received


@pytest.fixture
def copied(exported, tmp_path):
    return shutil.copytree(exported.version, tmp_path / "1")


def changed(folder, **changes):
    path = folder / "assets" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_an_export_of_another_format(copied):
    changed(copied, format=2)
    with pytest.raises(InputError, match="another version of scadv_tf") as error:
        ExportedModel(copied)
    assert error.value.received == 2


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def turned(path):
    path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))


def replaced(path, text, by):
    before = path.read_text()
    path.write_text(before.replace(text, by, 1))
    assert path.read_text() != before


def turned_with_its_hash(folder, name):
    """As where the whole assets are those of another export."""
    path = folder / "assets" / name
    turned(path)
    known = json.loads((folder / "assets" / "manifest.json").read_text())["sha256"]
    changed(folder, sha256=known | {name: hashlib.sha256(path.read_bytes()).hexdigest()})


def piped(path):
    path.unlink()
    os.mkfifo(path)


DAMAGES = {
    "no assets": lambda folder: shutil.rmtree(folder / "assets"),
    "no manifest": lambda folder: (folder / "assets" / "manifest.json").unlink(),
    "half a manifest": lambda folder: cut(folder / "assets" / "manifest.json"),
    "a manifest without signatures": lambda folder: changed(folder, signatures=None),
    "signatures that are none": lambda folder: changed(folder, signatures=["embed_rna"]),
    "batches that are none": lambda folder: changed(folder, batches={"rna": 3}),
    "no query": lambda folder: changed(folder, query=None),
    "a query of more": lambda folder: changed(folder, query={"more": 1}),
    "a query of another kind": lambda folder: changed(folder, query={"kind": "smell"}),
    "counts or not of neither": lambda folder: changed(folder, trained_on_counts=5),
    "genes that reach nowhere": lambda folder: changed(folder, upstream="far"),
    "fewer genes": lambda folder: (folder / "assets" / "genes.txt").write_text("A\nB\n"),
    "other types": lambda folder: (folder / "assets" / "types.txt").write_text("A\nB\n"),
    "fewer peaks": lambda folder: (folder / "assets" / "peaks.txt").write_text("chr1:1-2\n"),
    "genes in another order": lambda folder: turned(folder / "assets" / "genes.txt"),
    "types in another order": lambda folder: turned(folder / "assets" / "types.txt"),
    "peaks in another order": lambda folder: turned(folder / "assets" / "peaks.txt"),
    "genes of another export": lambda folder: turned_with_its_hash(folder, "genes.txt"),
    "peaks of another export": lambda folder: turned_with_its_hash(folder, "peaks.txt"),
    "another place of a gene": lambda folder: replaced(
        folder / "assets" / "gene_coordinates.tsv", "\t+", "\t-"
    ),
    "no coordinates": lambda folder: (folder / "assets" / "gene_coordinates.tsv").unlink(),
    "no peaks": lambda folder: (folder / "assets" / "peaks.txt").unlink(),
    "a pipe for genes": lambda folder: piped(folder / "assets" / "genes.txt"),
    "a pipe for the manifest": lambda folder: piped(folder / "assets" / "manifest.json"),
    "a pipe for variables": lambda folder: piped(folder / "variables" / "variables.index"),
    "no graph": lambda folder: (folder / "saved_model.pb").write_bytes(b"nothing"),
    "half a graph": lambda folder: cut(folder / "saved_model.pb"),
    "no variables": lambda folder: shutil.rmtree(folder / "variables"),
    "half the variables": lambda folder: cut(next((folder / "variables").glob("*.data-*"))),
}


def test_a_copy_without_its_fingerprint_still_serves(copied, model):
    (copied / "fingerprint.pb").unlink()
    copy = ExportedModel(copied)
    assert model.identity["fingerprint"].count("/") == 3
    assert copy.identity == model.identity | {"fingerprint": ""}
    copy.load()


def test_an_older_export_without_hashes_is_taken_with_a_word(copied, model, caplog):
    path = copied / "assets" / "manifest.json"
    content = json.loads(path.read_text())
    del content["sha256"]
    path.write_text(json.dumps(content))
    assert ExportedModel(copied).genes.tolist() == model.genes.tolist()
    assert "older export" in caplog.text


@pytest.mark.parametrize("number", [2**63, 10**25])
def test_a_version_beyond_64_bits_is_refused(copied, tmp_path, number):
    copied.rename(tmp_path / str(number))
    for folder in (tmp_path, tmp_path / str(number)):
        with pytest.raises(InputError, match="version is out of range"):
            ExportedModel(folder)


def test_genes_by_a_pipe_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "genes.txt")
    with pytest.raises(InputError, match="genes are not known"):
        assets_of(tmp_path / "genes.txt")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_export(copied, damage):
    DAMAGES[damage](copied)
    with pytest.raises(InputError, match="cannot be used") as error:
        ExportedModel(copied).load()
    assert str(copied) in error.value.what


def test_the_width_of_latent_vectors_is_that_of_the_graph(copied, model):
    changed(copied, signatures={})
    assert ExportedModel(copied).latent_size == model.latent_size
