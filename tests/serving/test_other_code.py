"""The export where there is no scadv_tf: TensorFlow alone, its tools, C, Keras, tf.data."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import c_program
import keras
import numpy as np
import pytest
import tensorflow as tf
from forked import finished
from same_answers import assert_close, assert_same_answers
from serving_twin import dense, entries, values_of


@pytest.fixture(scope="module")
def cells(new_tissue):
    """Cells and peaks of a request."""
    return new_tissue.atac[:7], new_tissue.peaks[:7]


@pytest.fixture(scope="module")
def answers(exported, cells):
    """What the loaded model says of these cells: signature -> its answer."""
    counts, peaks = cells
    arguments = {"dense": dense(counts), "sparse": entries(counts), "peaks": entries(counts, peaks)}
    found = {}
    for name, function in exported.loaded.signatures.items():
        if "expression" in function.structured_input_signature[1]:
            continue
        kind = name.split("_")[-1]
        given = arguments[kind if kind in arguments else "dense"]
        found[name] = (given, values_of(function(**given)))
    return found


# A fresh process with nothing but TensorFlow.

READER = """
    import sys

    import numpy as np
    import tensorflow as tf

    folder, given, found = sys.argv[1:]
    with_tensorflow = set(sys.modules)  # TensorFlow itself imports Keras
    loaded = tf.saved_model.load(folder)
    arguments = np.load(given)
    answers = {}
    for name, function in loaded.signatures.items():
        keys = [key for key in arguments if key.startswith(name + "/")]
        if keys:
            inputs = {key.split("/")[1]: tf.constant(arguments[key]) for key in keys}
            for output, values in function(**inputs).items():
                text = values.dtype == tf.string
                answers[f"{name}/{output}"] = values.numpy().astype(str) if text else values
    ours = {"scadv_tf", "tensorflow_probability", "tf_keras", "anndata", "scipy", "pandas"}
    later = {name for name in sys.modules.keys() - with_tensorflow if "keras" in name}
    strangers = (ours & sys.modules.keys()) - with_tensorflow
    answers["strangers"] = np.array(sorted(strangers | later), dtype=str)
    np.savez(found, **answers)
"""


def test_a_fresh_process_with_tensorflow_alone_gives_the_same_answers(exported, answers, tmp_path):
    given = {
        f"{name}/{key}": values.numpy()
        for name, (arguments, _) in answers.items()
        for key, values in arguments.items()
    }
    np.savez(tmp_path / "cells.npz", **given)
    program = tmp_path / "reader.py"
    program.write_text(textwrap.dedent(READER))
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, program, exported.version, tmp_path / "cells.npz", tmp_path / "found.npz"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "found.npz", allow_pickle=False) as file:
        found = dict(file)
    assert found.pop("strangers").tolist() == []
    assert len(answers) == 8
    for name, (_, expected) in answers.items():
        same = {key: found.pop(f"{name}/{key}") for key in expected}
        assert_same_answers(same, expected)
    assert not found


# A session, as TF Serving and C have one: it restores variables in another way than Python does.


def test_a_session_gives_the_same_answers(exported, answers, in_memory):
    one, model = {"expression": tf.ones((1, 120))}, in_memory(exported.trained)
    preprocessed = {
        name: (one, values_of(model.encoded(**one, modality=modality)))
        for name, modality in (("rna", "rna"), ("atac", "atac"), ("serving_default", "atac"))
    }
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta = tf.compat.v1.saved_model.load(session, ["serve"], str(exported.version))
        assert meta.signature_def.keys() - {"__saved_model_init_op"} == {*answers, *preprocessed}
        feed, asked = {}, {}
        for name, (given, _) in (answers | preprocessed).items():
            signature = meta.signature_def[name]
            feed |= {signature.inputs[key].name: values.numpy() for key, values in given.items()}
            asked[name] = {key: info.name for key, info in signature.outputs.items()}
        found = session.run(asked, feed)  # at once, so that one graph is made ready
    for name, (_, expected) in (answers | preprocessed).items():
        assert_same_answers(values_of(found[name]), expected)


# TensorFlow's command line.


def test_saved_model_cli_runs_a_signature(exported, answers, tmp_path):
    given, expected = answers["annotate_rna"]
    np.save(tmp_path / "counts.npy", given["counts"].numpy())
    place = importlib.util.find_spec("tensorflow.python.tools.saved_model_cli").origin
    done = finished(  # apart, since it has flags of the names of ours
        tmp_path,
        *("run", "--dir", str(exported.version), "--tag_set", "serve"),
        *("--signature_def", "annotate_rna"),
        *("--inputs", "counts=counts.npy", "--outdir", "found"),
        program=Path(place),
    )
    assert done.returncode == 0, done.stderr
    # Its file of labels is a pickle, which nobody should load: they are printed, too.
    printed = re.search(r"Result for output key label:\s*\[(.*?)\]", done.stdout, re.S).group(1)
    found = {"label": np.array(re.findall(r"b'([^']*)'", printed))}
    for name in expected.keys() - {"label"}:
        found[name] = np.load(tmp_path / "found" / f"{name}.npy", allow_pickle=False)
    assert_same_answers(found, expected)


# C.


def test_a_c_program_prints_the_same_labels(c_program_file, exported, cells, answers, tmp_path):
    path = c_program.write_counts(tmp_path / "counts.txt", cells[0].toarray())
    labels, confidence = c_program.labels_of(c_program.run(c_program_file, exported.version, path))
    expected = answers["annotate_rna"][1]
    assert labels == expected["label"].tolist()
    assert_close(confidence, expected["confidence"])


# The first two are refused by the model, see test_requests for all that it refuses.
BAD_FILES = {
    "width": ("2 3\n1 2 3 4 5 6\n", "expected raw counts, float32 [cells, 120]"),
    "negative": ("1 120\n" + "1 " * 119 + "-1\n", "A count is negative"),
    "too short": ("1 120\n1 2 3\n", "expected cells times genes numbers"),
    "no numbers": ("genes\n", "expected the numbers of cells and of genes first"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_the_c_program_says_what_is_wrong_with_counts(c_program_file, exported, tmp_path, case):
    text, message = BAD_FILES[case]
    (tmp_path / "counts.txt").write_text(text)
    done = c_program.run(c_program_file, exported.version, tmp_path / "counts.txt")
    assert done.returncode == 1 and message in done.stderr and not done.stdout


def test_the_c_program_says_what_is_wrong_with_a_model(
    c_program_file, without_types, cells, tmp_path
):
    path = c_program.write_counts(tmp_path / "counts.txt", cells[0].toarray())
    done = c_program.run(c_program_file, without_types.version, path)
    assert done.returncode == 1 and "has no signature" in done.stderr and not done.stdout
    done = c_program.run(c_program_file, tmp_path, path)
    assert done.returncode == 1 and "the model cannot be loaded" in done.stderr


# A layer of another Keras model.

TRAINED = {
    *("encoder_dense_0_kernel", "encoder_normalization_0_gamma", "encoder_normalization_0_beta"),
    *("encoder_dense_1_kernel", "encoder_normalization_1_gamma", "encoder_normalization_1_beta"),
}


def plain(variable: tf.Variable) -> str:
    """Its name, in which versions of Keras put one sign or the other between the parts."""
    return variable.name.removesuffix(":0").replace("/", "_")


@pytest.mark.parametrize("endpoint", ["annotate_rna", "embed_atac"])
def test_a_layer_gives_the_same_answers_and_is_fine_tuned_within_another_model(
    exported, cells, answers, endpoint
):
    """A step moves the trained weights, and nothing of the preprocessing or the readout."""
    keras.utils.set_random_seed(0)
    layer = keras.layers.TFSMLayer(str(exported.version), call_endpoint=endpoint)
    given, expected = answers[endpoint]
    assert_same_answers(values_of(layer(given["counts"])), expected)
    inputs = keras.Input((120,))
    model = keras.Model(inputs, keras.layers.Dense(2)(layer(inputs)["latent"]))
    model.compile(keras.optimizers.SGD(1e-4), "mse")
    counts, targets = cells[0].toarray(), np.random.default_rng(0).normal(size=(7, 2))
    names = {plain(variable) for variable in layer.trainable_variables}
    assert TRAINED <= names <= TRAINED | {"classifier_dense_0_kernel", "classifier_dense_0_bias"}
    before = [weight.numpy() for weight in layer.weights]
    losses = [model.train_on_batch(counts, targets) for _ in range(2)]
    moved = {
        plain(weight)
        for weight, old in zip(layer.weights, before, strict=True)
        if (weight.numpy() != old).any()
    }
    assert TRAINED <= moved <= names, moved  # a gradient reaches each of them
    assert losses[1] < losses[0]
    assert len(layer.weights) - len(names) > 8  # scales, projection, statistics, readout stay


def test_fine_tuning_changes_the_answers_of_the_layer_alone(exported, cells, answers):
    layer = keras.layers.TFSMLayer(str(exported.version), call_endpoint="annotate_rna")
    counts = tf.constant(cells[0].toarray())
    with tf.GradientTape() as tape:
        loss = -tf.reduce_mean(tf.math.log(layer(counts)["probabilities"][:, 0]))
    gradients = tape.gradient(loss, layer.trainable_variables)
    assert all(gradient is not None for gradient in gradients)
    keras.optimizers.SGD(0.1).apply(gradients, layer.trainable_variables)
    tuned = layer(counts)["probabilities"].numpy()
    expected = answers["annotate_rna"][1]["probabilities"]
    assert tuned[:, 0].mean() > expected[:, 0].mean() + 1e-3
    again = exported.loaded.signatures["annotate_rna"](counts=counts)["probabilities"]
    assert_close(again, expected)


# tf.data.


def test_the_model_in_a_tf_data_map(exported, cells, answers):
    counts = tf.constant(cells[0].toarray())
    function = exported.loaded.signatures["annotate_atac"]
    for size in (1, 3):
        dataset = tf.data.Dataset.from_tensor_slices(counts).batch(size)
        dataset = dataset.map(lambda batch: function(counts=batch), tf.data.AUTOTUNE)
        parts = [values_of(part) for part in dataset]
        assert len(parts) == -(-7 // size)
        found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        assert_same_answers(found, answers["annotate_atac"][1])


def test_a_bad_cell_in_a_tf_data_map_stops_there(exported, cells):
    counts = cells[0].toarray()
    counts[4, 2] = -1
    function = exported.loaded.signatures["annotate_rna"]
    dataset = tf.data.Dataset.from_tensor_slices(counts).batch(1)
    found = iter(dataset.map(lambda batch: function(counts=batch)))
    for _ in range(4):
        next(found)
    with pytest.raises(tf.errors.InvalidArgumentError, match="A count is negative"):
        next(found)
    assert next(found)["label"].shape == (1,)
