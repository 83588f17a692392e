"""The export in a fresh process with TensorFlow alone, and what stands in its folder."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf

from scadv_tf.config import LossConfig, NetworkConfig
from scadv_tf.models.readout import KNOTS
from scadv_tf.models.scadv import ScAdv
from scadv_tf.serving.export import export, next_version

GENES = ("CD3E", "Ms4a1", "ENSG00000000003", "gène", "A", "B")
TYPES = ("T cell", "B cell", "naïve β-cell")
LATENT = 4
THRESHOLD = 0.5  # between the cells that the tests ask for
WIDTHS = {
    "latent": (LATENT,),
    "logits": (len(TYPES),),
    "probabilities": (len(TYPES),),
    "uncertainty": (),
    "distance": (),
    "novelty": (),
    "unknown": (),
}


@pytest.fixture(scope="module")
def model():
    """A small model whose modalities have moving statistics far apart, and a fitted readout."""
    keras.utils.set_random_seed(0)
    network = NetworkConfig(encoder_sizes=(7, LATENT))
    model = ScAdv(len(GENES), len(TYPES), network, LossConfig(), projection_size=5)
    random = np.random.default_rng(0)
    for modality, mean in (("rna", 0.0), ("atac", 3.0)):
        for _ in range(5):
            cells = random.normal(mean, 1 + mean, size=(20, len(GENES))).astype(np.float32)
            model.encoder(cells, modality=modality, training=True)
    readout = model.readout
    readout.matrices.assign(random.normal(size=readout.matrices.shape))
    readout.offsets.assign(random.normal(size=readout.offsets.shape))
    readout.temperature.assign(0.4)
    readout.centers.assign(random.normal(size=readout.centers.shape))
    readout.variances.assign(random.uniform(1, 3, size=readout.variances.shape))
    readout.uncertainty_knots.assign(np.linspace(0, 1, KNOTS))
    readout.distance_knots.assign(np.linspace([0, 0], [3, 6], KNOTS, axis=1))
    readout.unknown_threshold.assign(THRESHOLD)
    return model


@pytest.fixture(scope="module")
def version(model, tmp_path_factory):
    """The folder of one export."""
    folder = tmp_path_factory.mktemp("exports")
    extra = folder / "settings.json"
    extra.write_text("{}")
    return export(model, GENES, TYPES, folder / "tissue", [extra])


def cells(count):
    random = np.random.default_rng(count)
    return random.normal(1, 2, size=(count, len(GENES))).astype(np.float32)


def assert_same(served, expected):
    assert served.keys() == expected.keys() == WIDTHS.keys()
    for name in WIDTHS:
        np.testing.assert_allclose(served[name], expected[name], atol=1e-5, err_msg=name)


# A fresh process.

READER = """
    import sys

    import numpy as np
    import tensorflow as tf

    folder, given, found = sys.argv[1:]
    with_tensorflow = set(sys.modules)  # TensorFlow itself imports Keras
    loaded = tf.saved_model.load(folder)
    answers = {}
    for name, expression in np.load(given).items():
        for signature, function in loaded.signatures.items():
            for output, values in function(expression=tf.constant(expression)).items():
                answers[f"{name}/{signature}/{output}"] = values.numpy()
    for name, asset in loaded.assets.items():
        with open(asset.asset_path.numpy(), encoding="utf-8") as file:
            answers[f"asset/{name}"] = np.array(file.read().splitlines())
    ours = {"scadv_tf", "tensorflow_probability", "tf_keras", "anndata"}
    later = {name for name in sys.modules.keys() - with_tensorflow if "keras" in name}
    answers["strangers"] = np.array(sorted(ours & sys.modules.keys() | later), dtype=str)
    np.savez(found, **answers)
"""


@pytest.fixture(scope="module")
def answers(version, tmp_path_factory):
    """What a fresh process with nothing but TensorFlow reads from the export."""
    folder = tmp_path_factory.mktemp("client")
    np.savez(folder / "cells.npz", one=cells(1), seven=cells(7))
    program = folder / "reader.py"
    program.write_text(textwrap.dedent(READER))
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, program, version, folder / "cells.npz", folder / "answers.npz"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    with np.load(folder / "answers.npz", allow_pickle=False) as answers:
        return dict(answers)


def test_the_fresh_process_needs_nothing_but_tensorflow(answers):
    assert answers["strangers"].tolist() == []


@pytest.mark.parametrize("name, count", [("one", 1), ("seven", 7)])
@pytest.mark.parametrize(
    "signature, modality", [("serving_default", "atac"), ("atac", "atac"), ("rna", "rna")]
)
def test_a_fresh_process_gives_what_the_model_gives(
    model, answers, name, count, signature, modality
):
    served = {output: answers[f"{name}/{signature}/{output}"] for output in WIDTHS}
    assert_same(served, model.encode(cells(count), modality))
    shapes = {output: values.shape for output, values in served.items()}
    assert shapes == {output: (count, *width) for output, width in WIDTHS.items()}
    np.testing.assert_allclose(served["probabilities"].sum(axis=1), 1, rtol=1e-5)


def test_a_fresh_process_serves_the_fitted_readout(model, answers):
    """The latent vectors of ATAC cells are moved, those of RNA cells not; some are unknown."""
    for modality, is_moved in (("rna", False), ("atac", True)):
        served = answers[f"seven/{modality}/latent"]
        trained = model.encoder(cells(7), modality=modality, training=False)
        assert (np.abs(served - trained).max(axis=1) > 0.1).all() == is_moved
        logits = answers[f"seven/{modality}/logits"]
        np.testing.assert_allclose(logits, model(cells(7), modality=modality) / 0.4, atol=1e-5)
    np.testing.assert_allclose(
        answers["seven/rna/latent"],
        model.encoder(cells(7), modality="rna", training=False),
        atol=1e-5,
    )
    novelty, unknown = (answers[f"seven/atac/{name}"] for name in ("novelty", "unknown"))
    np.testing.assert_array_equal(unknown, novelty > THRESHOLD)
    assert unknown.dtype == bool and 0 < unknown.mean() < 1 and len(set(novelty)) > 3


def test_the_two_modalities_are_served_by_their_own_statistics(answers):
    assert np.abs(answers["seven/rna/latent"] - answers["seven/atac/latent"]).max() > 0.01


def test_the_assets_name_the_genes_and_types_in_order(answers):
    assert answers["asset/genes"].tolist() == list(GENES)
    assert answers["asset/types"].tolist() == list(TYPES)


# The signatures.


@pytest.fixture(scope="module")
def loaded(version):
    return tf.saved_model.load(str(version))


def test_the_signatures_have_fixed_names_and_a_free_number_of_cells(loaded):
    assert set(loaded.signatures) == {"serving_default", "atac", "rna"}
    for function in loaded.signatures.values():
        inputs = function.structured_input_signature[1]
        assert inputs == {
            "expression": tf.TensorSpec((None, len(GENES)), tf.float32, name="expression")
        }
        outputs = function.structured_outputs
        assert {name: tuple(spec.shape[1:]) for name, spec in outputs.items()} == WIDTHS
        dtypes = {name: spec.dtype for name, spec in outputs.items()}
        assert dtypes == dict.fromkeys(WIDTHS, tf.float32) | {"unknown": tf.bool}


def test_a_wrong_number_of_genes_is_refused(loaded):
    with pytest.raises(tf.errors.InvalidArgumentError):
        loaded.signatures["atac"](expression=tf.zeros((2, len(GENES) + 1)))


def test_serving_changes_no_statistics(loaded):
    first = loaded.signatures["atac"](expression=tf.constant(cells(7)))
    loaded.signatures["rna"](expression=tf.constant(10 * cells(7)))
    again = loaded.signatures["atac"](expression=tf.constant(cells(7)))
    for name in WIDTHS:
        np.testing.assert_array_equal(first[name], again[name])


# The folder.


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_the_folder_holds_a_saved_model_and_plain_text_alone(version):
    """Every file is named here, so that there can be no pickle."""
    assert files(version) == {
        "saved_model.pb",
        "fingerprint.pb",
        "variables/variables.index",
        "variables/variables.data-00000-of-00001",
        "assets/genes.txt",
        "assets/types.txt",
        "assets.extra/settings.json",
    }


def test_only_what_serves_is_exported(model, version):
    """No discriminator, generator or teacher: their weights would double the size."""
    saved = tf.train.list_variables(str(version / "variables" / "variables"))
    numbers = sum(int(np.prod(shape)) for name, shape in saved if not name.startswith("_CHECK"))
    parts = (model.encoder, model.classifier, model.readout)
    assert numbers == sum(weight.size for part in parts for weight in part.get_weights())


def test_another_user_may_read_the_version(version):
    assert version.stat().st_mode & 0o055 == 0o055


def test_versions_grow(model, tmp_path):
    versions = [export(model, GENES, TYPES, tmp_path) for _ in range(2)]
    assert versions == [tmp_path / "1", tmp_path / "2"]
    first = files(versions[0])
    (tmp_path / "10").mkdir()
    assert export(model, GENES, TYPES, tmp_path) == tmp_path / "11"
    assert files(tmp_path / "1") == first


@pytest.mark.parametrize(
    "entries, version",
    [((), 1), (("README.md", "old", ".export-3"), 1), (("2", "1"), 3), (("9", "10"), 11)],
)
def test_the_next_version_is_one_more_than_the_largest_number(tmp_path, entries, version):
    for entry in entries:
        (tmp_path / entry).mkdir()
    assert next_version(tmp_path) == version


def test_the_first_version_of_a_folder_that_is_not_there(tmp_path):
    assert next_version(tmp_path / "new") == 1


def fail_to_save(*arguments, **settings):
    raise OSError("no space left on device")


@pytest.mark.parametrize("fault", ["saving", "extra file"])
def test_an_export_that_fails_leaves_no_version(model, tmp_path, monkeypatch, fault):
    export(model, GENES, TYPES, tmp_path)
    before = files(tmp_path)
    extra = [tmp_path / "missing.npz"] if fault == "extra file" else []
    with monkeypatch.context() as patch:
        if fault == "saving":
            patch.setattr(tf.saved_model, "save", fail_to_save)
        with pytest.raises(OSError):
            export(model, GENES, TYPES, tmp_path, extra)
    assert [entry.name for entry in tmp_path.iterdir()] == ["1"]
    assert files(tmp_path) == before
    assert export(model, GENES, TYPES, tmp_path) == tmp_path / "2"


def test_a_server_that_polls_never_sees_half_a_version(model, tmp_path, monkeypatch):
    """While the model is written the folder shows no version; then the same folder is renamed."""
    seen, written = [], []
    save = tf.saved_model.save

    def spying_save(served, folder, **settings):
        save(served, folder, **settings)
        seen.extend(entry.name for entry in tmp_path.iterdir())
        written.append(os.stat(folder).st_ino)

    monkeypatch.setattr(tf.saved_model, "save", spying_save)
    version = export(model, GENES, TYPES, tmp_path)
    assert len(seen) == 1 and not seen[0].isdecimal()
    assert written == [version.stat().st_ino]
    assert [entry.name for entry in tmp_path.iterdir()] == ["1"]
