"""New cells of the training's batches get from an export what those got in training."""

from __future__ import annotations

import copy
import dataclasses
from types import SimpleNamespace

import anndata
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from same_answers import assert_close
from serving_twin import averaging_of_new, opened
from two_donors import donors, of_donors

from scadv_tf import InputError
from scadv_tf.annotate import annotate_file
from scadv_tf.client.batches import batch_codes
from scadv_tf.client.exported import ExportedModel
from scadv_tf.data.batch_offsets import memberships
from scadv_tf.data.normalization import log_normalize
from scadv_tf.labelling import AnnotateConfig
from scadv_tf.serving.served_model import ServedModel


@pytest.fixture(scope="module")
def trained(tissue, train):
    """A model of cells of two donors."""
    return train(of_donors(tissue))


@pytest.fixture(scope="module")
def model(trained, export_of, tmp_path_factory):
    return ExportedModel(export_of(trained, tmp_path_factory.mktemp("batches")).version)


def test_the_manifest_names_the_batches_and_the_old_signatures_stay(model, exported):
    assert model.assets.batches == {"rna": ["new", "old"], "atac": ["new", "old"]}
    plain = ExportedModel(exported.version).assets.signatures
    there = model.assets.signatures
    assert {name: there[name]["inputs"] for name in plain} == {
        name: each["inputs"] for name, each in plain.items()
    }
    more = {f"{name}_of_batches" for name in plain if name.startswith(("annotate", "embed"))}
    assert there.keys() - plain.keys() == more


@pytest.mark.parametrize("signature", ["annotate", "embed"])
def test_rna_cells_of_a_known_batch_are_embedded_as_in_training(model, trained, signature):
    data, ask = trained.data, getattr(model, signature)
    found = ask(data.rna, "rna", batches=data.batches["rna"])
    assert_close(found.latent, trained.annotation.rna.latent)
    assert np.abs(ask(data.rna, "rna").latent - found.latent).max() > 0.01


def test_a_new_batch_is_none(model, trained):
    counts = trained.data.rna[:8]
    found, plain = (
        model.annotate(counts, "rna", batches=["third"] * 8),
        model.annotate(counts, "rna"),
    )
    np.testing.assert_allclose(found.latent, plain.latent, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(), (1, 1)])
def test_batches_that_are_no_list_are_refused(model, trained, shape):
    counts = tf.constant(trained.data.rna[:1].toarray())
    ask = model._model.signatures["embed_rna_of_batches"]
    assert ask(counts=counts, batch=tf.zeros(1, tf.int64))["latent"].shape == (1, 9)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"expected shape \[\?\]"):
        ask(counts=counts, batch=tf.zeros(shape, tf.int64))


@pytest.mark.parametrize("with_peaks", [True, False])
def test_new_atac_cells_are_corrected_before_they_are_compared_and_averaged(
    trained, new_tissue, with_peaks
):
    preprocessor, reference = trained.cells.preprocessor, trained.cells.preprocessor.reference
    counts = new_tissue.atac[1:31]
    peaks = new_tissue.peaks[1:31] if with_peaks else None
    members, logged = memberships(donors(30)), log_normalize(counts)
    vectors = reference.space.vectors(logged, peaks, members)
    similarity = vectors @ reference.vectors["peaks" if with_peaks else "genes"].T
    nearest = np.argsort(-similarity, axis=1)[:, : reference.lists.shape[1] - 1]
    own, others = averaging_of_new(nearest, reference.lists)
    expected = preprocessor.features(logged, "atac", members)
    for level in reference.levels:
        expected = own * expected + others @ level
    given = tf.constant(counts.toarray()), "atac", opened(peaks) if with_peaks else None
    found, _ = ServedModel(trained.served)._features(*given, members=tf.constant(members))
    same = np.isclose(found.numpy(), expected, rtol=1e-3, atol=1e-3).all(axis=1)
    assert same.mean() > 0.9  # a neighbour may hang on a rounding
    plain, _ = ServedModel(trained.served)._features(*given)
    assert np.abs(plain.numpy() - expected).max() > 0.1


def test_peaks_and_batches_are_asked_together(model, trained):
    data = trained.data
    given = data.atac[:6], "atac", data.peaks[:6]
    found = model.annotate(*given, batches=data.batches["atac"][:6])
    assert found.probabilities.shape == (6, 4)
    assert np.abs(found.probabilities - model.annotate(*given).probabilities).max() > 1e-4


def test_a_batch_out_of_range_and_a_wrong_number_are_refused(model, trained):
    function = tf.saved_model.load(str(model.folder)).signatures["embed_rna_of_batches"]
    counts = tf.constant(trained.data.rna[:2].toarray())
    for batch, said in (([0, 2], "out of range"), ([0], "number of batches")):
        with pytest.raises(tf.errors.InvalidArgumentError, match=said):
            function(counts=counts, batch=tf.constant(batch, tf.int64))
    with pytest.raises(InputError, match="number of batches"):
        model.annotate(trained.data.rna[:2], "rna", batches=["old"])


@pytest.mark.parametrize("modality", ["rna", "atac"])
@pytest.mark.parametrize("ask", ["annotate", "embed"])
def test_batches_that_the_model_does_not_correct_for_are_refused(model, trained, ask, modality):
    """Of one modality, though it corrects for the other's."""
    counts, other = getattr(trained.data, modality)[:2], {"rna": "atac", "atac": "rna"}[modality]
    batches = {other: model.assets.batches[other]}
    assets = dataclasses.replace(model.assets, manifest=model.manifest | {"batches": batches})
    of_other = copy.copy(model)
    of_other.assets = assets
    with pytest.raises(InputError, match=f"no batches of {modality.upper()} cells") as error:
        getattr(of_other, ask)(counts, modality, batches=["old", "new"])
    assert f"--{modality}_batch_key" in error.value.expected
    assert error.value.received == "batches of 2 cells" and "batches out" in error.value.advice


def test_one_name_is_that_of_one_cell(model, trained):
    """And no list of its letters."""
    data = trained.data
    one, listed = (model.embed(data.rna[:1], "rna", names) for names in ("old", ["old"]))
    np.testing.assert_array_equal(one.latent, listed.latent)
    with pytest.raises(InputError, match="number of batches") as error:
        model.embed(data.rna[:3], "rna", "old")
    assert error.value.received == "1"


@pytest.fixture
def cells_file(trained, tmp_path):
    data = trained.data
    obs = pd.DataFrame({"donor": data.batches["rna"]}, index=data.rna_cells)
    adata = anndata.AnnData(data.rna, obs=obs, var=pd.DataFrame(index=data.genes))
    adata.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


def asked(model, cells_file, **more):
    output = cells_file.with_name("annotated.h5ad")
    given = {"model": str(model.folder), "input": str(cells_file), "modality": "rna"}
    annotate_file(AnnotateConfig(**given, output=str(output), batch_size=17, **more))
    return anndata.read_h5ad(output)


def test_the_program_takes_the_column(model, trained, cells_file):
    found = asked(model, cells_file, batch_key="donor")
    assert_close(found.obsm["X_scadv"], trained.annotation.rna.latent)


def test_what_the_program_refuses(model, exported, cells_file):
    with pytest.raises(InputError, match="no column 'lane'"):
        asked(model, cells_file, batch_key="lane")
    with pytest.raises(InputError, match="corrects for no batches"):
        asked(ExportedModel(exported.version), cells_file, batch_key="donor")


@pytest.mark.parametrize(
    "names",
    [
        [1, 2, 3],
        np.array([1, 2, 3]),
        pd.Series([1, 2, 3], index=["a", "b", "c"]),
        pd.Categorical([1, 2, 3]),
        pd.Series([1.0, 2.0, 3.0]),
        ["1", " 2", "3"],
        np.array([b"1", b"2", b"3"], dtype=object),
        pd.Series(["1", "2", None]),
    ],
    ids=str,
)
def test_batches_are_named_as_the_trainings_were_read(names):
    """A lane may be the number 1, which the training calls '1'."""
    assets = SimpleNamespace(manifest={"batches": True}, batches={"rna": ["1", "2"]})
    assert batch_codes(names, 3, assets, "rna").tolist() == [0, 1, -1]
