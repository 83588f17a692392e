"""The folder of an export: what stands in it, and that it is there whole or not at all."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from serving_twin import values_of

from scadv_tf import InputError
from scadv_tf.data.fingerprint import fingerprint
from scadv_tf.data.gene_activity import link_peaks, peak_intervals
from scadv_tf.serving import export as exporting
from scadv_tf.serving.export import export, next_version
from scadv_tf.serving.manifest import Background
from scadv_tf.serving.served_model import ServedModel
from scadv_tf.serving.signatures import signatures
from scadv_tf.serving.warmup import FILE, write_warmup_requests

ANSWER = {"latent", "probabilities", "label", "confidence", "novelty", "unknown"}
READOUT = {"latent", "logits", "probabilities", "uncertainty", "distance", "novelty", "unknown"}
ENTRIES = {"cell_index": "int64", "gene_index": "int64", "count": "float32"}
PEAKS = {"peak_cell_index": "int64", "peak_index": "int64"}
NUMBER = {"number_of_cells": "int64"}
# Signature -> (inputs with their types, outputs).
EMBEDDING = {
    **{f"embed_{name}": ({"counts": "float32"}, {"latent"}) for name in ("rna", "atac")},
    **{name: ({"expression": "float32"}, READOUT) for name in ("rna", "atac", "serving_default")},
}
TRANSLATION = {"translate": ({"counts": "float32"}, {"accessibility"})}
ANNOTATION = {
    **{f"annotate_{name}": ({"counts": "float32"}, ANSWER) for name in ("rna", "atac")},
    **{f"annotate_{name}_sparse": (ENTRIES | NUMBER, ANSWER) for name in ("rna", "atac")},
}
BY_PEAKS = {"annotate_atac_peaks": (ENTRIES | PEAKS | NUMBER, ANSWER)}
EVERYTHING = EMBEDDING | TRANSLATION | ANNOTATION | BY_PEAKS
SAVED_MODEL = {
    "saved_model.pb",
    "fingerprint.pb",
    "variables/variables.index",
    "variables/variables.data-00000-of-00001",
}
ASSETS = {"assets/genes.txt", "assets/types.txt", "assets/manifest.json"}
WITH_PEAKS = {"assets/peaks.txt", "assets/gene_coordinates.tsv"}
BESIDE = {"MODEL_CARD.md", FILE}


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def strict_json(path: Path) -> dict:
    def refuse(constant):
        raise ValueError(f"{constant} is not JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


@pytest.fixture(scope="module", autouse=True)
def traced_once():
    """A model that is exported several times is traced once, which takes longer than the rest."""
    made = {}

    def of(served):
        if id(served) not in made:
            made[id(served)] = served, ServedModel(served)  # both are kept, and so is the number
        return made[id(served)][1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "ServedModel", of)
        patch.setattr(exporting, "signatures", functools.cache(signatures))
        yield


@pytest.fixture(scope="module")
def small(train):
    """What is quickest to export: no types, no neighbours, no generator."""
    losses = {"atac_adversarial": 0.0, "cycle": 0.0}
    return train(mode="unsupervised", neighbors=1, variable_genes=20, **losses).served


@pytest.fixture(scope="module")
def manifest(exported):
    return strict_json(exported.version / "assets" / "manifest.json")


# Signatures.


@pytest.mark.parametrize("settings, missing", [
    ({}, {}),
    ({"atac_adversarial": 0.0, "cycle": 0.0}, TRANSLATION),
    ({"atac_adversarial": 0.0}, {}),
    ({"cycle": 0.0}, {}),
    ({"neighbors": 1}, BY_PEAKS),
    ({"smoothing_hops": 0}, {}),
    ({"mode": "unsupervised"}, ANNOTATION | BY_PEAKS),
], ids=lambda value: "-".join(value))  # fmt: skip
def test_there_is_a_signature_for_what_was_trained_and_no_other(train, settings, missing):
    found = signatures(ServedModel(train(**settings).served))
    assert set(found) == EVERYTHING.keys() - missing.keys()


def test_without_peaks_none_are_asked_for(train, tissue):
    data = dataclasses.replace(tissue, peaks=None, intervals=None)
    assert set(signatures(ServedModel(train(data).served))) == EVERYTHING.keys() - BY_PEAKS.keys()


def test_the_signatures_have_fixed_names_and_types_and_a_free_number_of_cells(exported):
    assert set(exported.loaded.signatures) == set(EVERYTHING)
    for name, function in exported.loaded.signatures.items():
        inputs, outputs = EVERYTHING[name]
        given = function.structured_input_signature[1]
        assert {key: spec.dtype.name for key, spec in given.items()} == inputs
        assert set(function.structured_outputs) == outputs
        sizes = {key: spec.shape.as_list()[:1] for key, spec in given.items()}
        assert sizes == {key: [] if key == "number_of_cells" else [None] for key in inputs}
        widths = {"latent": 9, "probabilities": 4, "logits": 4, "accessibility": 120}
        for key, spec in function.structured_outputs.items():
            assert spec.shape.as_list() == [None, *([widths[key]] if key in widths else [])]
            dtypes = {"label": tf.string, "unknown": tf.bool}
            assert spec.dtype == dtypes.get(key, tf.float32)


def test_the_default_is_that_of_preprocessed_atac_cells(exported):
    cells = tf.constant(exported.trained.cells.genes("atac")[:7])
    found = values_of(exported.loaded.signatures["serving_default"](expression=cells))
    for name, values in exported.loaded.signatures["atac"](expression=cells).items():
        np.testing.assert_array_equal(found[name], values)
    rna = exported.loaded.signatures["rna"](expression=cells)["latent"]
    assert np.abs(found["latent"] - rna).max() > 0.01  # each modality by its own statistics


# Files.


def test_a_version_holds_a_saved_model_and_plain_text_alone(exported, without_types):
    """Every file is named here, so that there can be no pickle."""
    expected = SAVED_MODEL | ASSETS | WITH_PEAKS | BESIDE
    assert files(exported.version) == files(without_types.version) == expected


def test_only_what_serves_is_exported(exported, without_types):
    """No discriminator or teacher; without types nothing of the training cells."""
    for found in (exported, without_types):
        checkpoint = found.version / "variables" / "variables"
        saved = [name.split("/") for name, _ in tf.train.list_variables(str(checkpoint))]
        parts = {name[0] for name in saved} - {"_CHECKPOINTABLE_OBJECT_GRAPH"}
        assert parts == {"weights", "scales", *(["reference"] if found is exported else [])}
        networks = {name[1] for name in saved if name[0] == "weights"}
        assert networks == {"encoder", "classifier", "readout", "generator"}


def test_without_a_generator_none_is_exported(small, tmp_path):
    export(small, tmp_path)
    saved = tf.train.list_variables(str(tmp_path / "1" / "variables" / "variables"))
    assert not [name for name, _ in saved if "generator" in name]
    assert [name for name, _ in saved if name.startswith("weights/encoder")]


def test_another_user_may_read_the_version(exported):
    for path in (exported.version, *exported.version.rglob("*")):
        mode = path.stat().st_mode
        assert mode & 0o044 == 0o044 and (path.is_file() or mode & 0o011 == 0o011), path


def test_genes_types_and_peaks_are_named_in_their_order(exported):
    assets, data = exported.version / "assets", exported.trained.data
    assert (assets / "genes.txt").read_text().splitlines() == data.genes.tolist()
    assert (assets / "types.txt").read_text().splitlines() == list(data.types)
    assert len(data.types) == 4
    names = (assets / "peaks.txt").read_text().splitlines()
    found = peak_intervals(pd.DataFrame(index=names))
    expected = data.intervals.peaks
    assert len(names) == data.peaks.shape[1]
    for column in ("chrom", "start", "end"):
        assert found[column].tolist() == expected[column].tolist()


def test_the_coordinates_of_genes_make_the_same_gene_activity(exported, manifest):
    path = exported.version / "assets" / "gene_coordinates.tsv"
    genes = pd.read_csv(path, sep="\t", keep_default_na=False)
    intervals = exported.trained.data.intervals
    assert list(genes.columns) == ["chrom", "start", "end", "gene", "strand"]
    assert genes["gene"].tolist() == intervals.genes["gene"].tolist()
    links = link_peaks(intervals.peaks, genes, manifest["upstream"])
    expected = link_peaks(intervals.peaks, intervals.genes, intervals.upstream)
    assert (links != expected).nnz == 0 and expected.nnz > 100


def test_without_intervals_there_are_no_tables_of_them(small, tmp_path):
    version = export(small, tmp_path)
    assert files(version) == SAVED_MODEL | ASSETS | BESIDE
    assert (version / "assets" / "types.txt").read_text() == ""
    manifest = strict_json(version / "assets" / "manifest.json")
    assert manifest["upstream"] is None and manifest["peaks"] == 0


def test_peaks_beside_gene_activity_come_without_coordinates_of_genes(small, exported, tmp_path):
    intervals = dataclasses.replace(exported.trained.data.intervals, genes=None)
    version = export(small, tmp_path, intervals=intervals)
    assert files(version) == SAVED_MODEL | ASSETS | BESIDE | {"assets/peaks.txt"}


def test_assets_are_found_by_who_loads_the_model(exported):
    texts = {
        name: Path(asset.asset_path.numpy().decode()).read_bytes()
        for name, asset in exported.loaded.assets.items()
    }
    written = {path.name: path.read_bytes() for path in (exported.version / "assets").iterdir()}
    assert texts == written


def test_names_are_utf8(small, tmp_path):
    names = np.array([f"gène {number}" for number in range(20)])
    preprocessor = dataclasses.replace(small.preprocessor, genes=names)
    version = export(dataclasses.replace(small, preprocessor=preprocessor), tmp_path)
    assert (version / "assets" / "genes.txt").read_bytes().decode().split("\n")[:-1] == [*names]


# The manifest.


def test_the_manifest_says_what_was_trained(exported, manifest):
    trained = exported.trained
    background = trained.background
    assert manifest["format"] == 1 and manifest["version"] == 1
    made = pd.Timestamp(manifest["made"])
    assert made.utcoffset().total_seconds() == 0
    assert abs(pd.Timestamp.now(tz="UTC") - made) < pd.Timedelta("1h")
    assert manifest["genes"] == 120 and manifest["types"] == list(trained.data.types)
    assert manifest["peaks"] == trained.data.peaks.shape[1] > 120
    assert manifest["reference_cells"] == 70 and manifest["averages"] == 2
    assert manifest["upstream"] == trained.data.intervals.upstream == 2000
    assert manifest["dataset"] == "tissue"
    assert manifest["data_sha256"] == fingerprint(trained.data)
    assert len(manifest["data_sha256"]) == len(hashlib.sha256().hexdigest())
    assert manifest["training_cells"] == {"rna": 90, "atac": 70}
    assert sum(manifest["rna_cells_by_type"].values()) == 90
    assert manifest["rna_cells_by_type"].keys() == set(trained.data.types)
    assert manifest["settings"] == json.loads(trained.config.to_json())
    assert manifest["scores"] == background.scores
    assert manifest["versions"] == {"tensorflow": tf.__version__}
    assert manifest["trained_on_counts"] == {"rna": True, "atac": True}
    assert manifest["batches"] == {}
    assert manifest["query"] == {"kind": "accessibility", "name": "ATAC", "direction": 1}
    assert len(manifest) == 21  # a new entry belongs here too


def test_the_manifest_has_a_hash_of_each_asset(exported, manifest):
    assets = exported.version / "assets"
    names = {path.name for path in assets.iterdir()} - {"manifest.json"}
    assert manifest["sha256"].keys() == names and len(names) == 4
    for name, mark in manifest["sha256"].items():
        assert hashlib.sha256((assets / name).read_bytes()).hexdigest() == mark


def test_the_manifest_describes_every_signature_as_it_is(exported, manifest):
    assert manifest["signatures"].keys() == exported.loaded.signatures.keys()
    for name, function in exported.loaded.signatures.items():
        described = manifest["signatures"][name]
        actual = {
            "inputs": function.structured_input_signature[1],
            "outputs": function.structured_outputs,
        }
        for side, specs in actual.items():
            expected = {
                key: {"dtype": spec.dtype.name, "shape": spec.shape.as_list()}
                for key, spec in specs.items()
            }
            assert described[side] == expected


def test_the_manifest_of_a_model_without_types(without_types):
    found = strict_json(without_types.version / "assets" / "manifest.json")
    assert found["types"] == [] and found["rna_cells_by_type"] == {}
    assert found["signatures"].keys() == (EMBEDDING | TRANSLATION).keys()
    assert found["reference_cells"] == found["averages"] == 0
    assert found["settings"]["training"]["mode"] == "unsupervised"


def test_a_manifest_that_is_no_strict_json_is_refused(small, tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        export(small, tmp_path, Background(scores={"modality_mixing": float("nan")}))
    assert not list(tmp_path.iterdir())


# The model card.


def card_of(found) -> str:
    return (found.version / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_the_card_of_a_model_with_labels(exported):
    text, data = card_of(exported), exported.trained.data
    assert text.startswith("# Model card: tissue, version 1\n")
    assert "its cell type, and how sure that is" in text
    for line in (
        "| cells | rna 90, atac 70 |",
        "| values | rna counts, atac counts |",
        "| genes | 120 |",
        f"| peaks | {data.peaks.shape[1]} |",
        "| mode, epochs, seed | semi_supervised, 10, 0 |",
        f"| data | tissue (SHA-256 {fingerprint(data)}) |",
        "| modality mixing | 0.875 |",
        *(f"| {name} | {count} |" for name, count in data.matching.rna_types.items()),
    ):
        assert line in text.splitlines()
    assert "averaged with the nearest of 70 cells" in text and "by its genes alone" in text
    # Nobody knew the labels of the ATAC cells here.
    assert "Labels of ATAC cells were not known" in text
    assert "it could not be checked" in text and "see the calibration error" not in text


def test_the_card_of_a_model_without_types(without_types):
    text = card_of(without_types)
    assert "No type was taught" in text and "| mode, epochs, seed | unsupervised, 20, 0 |" in text
    for word in ("label", "confidence", "unknown`", "averaged", "Labels of ATAC", "how sure"):
        assert word not in text.replace("No label is given", "")


CARD = {
    "scored": (
        {"scores": {"label_transfer": {"macro_f1": 0.9, "weighted_f1": 0.8, "accuracy": 0.7},
                    "calibration_error": 0.0625}},
        ("| macro f1 of the labels of the ATAC cells (label transfer) | 0.900 |",
         "| calibration error | 0.062 |", "took no part in it", "see the calibration error"),
        ("could not be checked", "were not known", "classifier"),
    ),
    "nothing known": (
        {"scores": {}, "dataset": "", "fingerprint": "", "settings": {}},
        ("# Model card: unnamed", "SHA-256 unknown", "| mode, epochs, seed | ?, ?, ? |"),
        ("| score | value |", "No type"),
    ),
    "cells not counted": ({"type_cells": {}}, ("| A1 | ? |",), ("No type was taught",)),
    "not calibrated": (
        {"settings": {"training": {"calibration_share": 0.0}}},
        ("`confidence` was not calibrated, and no cell is called `unknown`",),
        ("calibrated on RNA", "marks cells"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CARD)
def test_the_card_says_what_is_known_and_no_more(exported, manifest, case):
    from scadv_tf.serving.manifest import manifest as make
    from scadv_tf.serving.manifest import model_card

    changes, there, absent = CARD[case]
    background = dataclasses.replace(exported.trained.background, **changes)
    names = ("genes", "types", "peaks", "reference_cells", "averages", "query")
    text = model_card(make(background, {}, {name: manifest[name] for name in names}, 3))
    assert all(part in text for part in there) and not any(part in text for part in absent)


@pytest.mark.parametrize("changes, there, absent", [
    ({"averages": 0}, ("labelled with the help of the nearest of 70",), ("averaged",)),
    ({"peaks": 0}, ("averaged with the nearest of 70", "| peaks | none |"), ("genes alone",)),
    ({"reference_cells": 0}, (), ("nearest",)),
    ({"reference_cells": 20000}, ("nearest of 20,000 cells",), ()),
], ids=str)  # fmt: skip
def test_the_card_says_how_new_cells_are_answered(manifest, changes, there, absent):
    from scadv_tf.serving.manifest import model_card

    text = model_card(manifest | changes)
    assert all(part in text for part in there) and not any(part in text for part in absent)


def test_the_card_is_a_table_everywhere(exported, without_types):
    """As many cells in each row as in its head, so that Markdown draws it."""
    for found in (exported, without_types):
        rows = [line for line in card_of(found).splitlines() if line.startswith("|")]
        assert len(rows) > 9 and {line.count("|") for line in rows} == {3}


# Versions.


def test_versions_grow_and_older_ones_stay_as_they_are(small, tmp_path):
    versions = [export(small, tmp_path) for _ in range(2)]
    assert versions == [tmp_path / "1", tmp_path / "2"]
    first = {path: path.read_bytes() for path in versions[0].rglob("*") if path.is_file()}
    (tmp_path / "10").mkdir()
    assert export(small, tmp_path) == tmp_path / "11"
    assert {path: path.read_bytes() for path in versions[0].rglob("*") if path.is_file()} == first
    numbers = [strict_json(tmp_path / n / "assets/manifest.json")["version"] for n in ("1", "11")]
    assert numbers == [1, 11]
    assert (
        (tmp_path / "11" / "MODEL_CARD.md")
        .read_text()
        .startswith("# Model card: unnamed, version 11")
    )


@pytest.mark.parametrize(
    "entries, version",
    [
        ((), 1),
        (("README.md", "old", ".export-3"), 1),
        (("2", "1"), 3),
        (("9", "10"), 11),
        ((str(2**63 - 2),), 2**63 - 1),
    ],
)
def test_the_next_version_is_one_more_than_the_largest_number(tmp_path, entries, version):
    for entry in entries:
        (tmp_path / entry).mkdir()
    assert next_version(tmp_path) == version
    assert next_version(tmp_path / "not there") == 1


@pytest.mark.parametrize("last", [2**63 - 1, 10**30])
def test_a_version_that_no_server_can_hold_is_not_made(small, tmp_path, last):
    (tmp_path / str(last)).mkdir()
    with pytest.raises(InputError, match="no version left"):
        export(small, tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == [str(last)]


def test_two_exports_at_once_each_get_a_version(small, tmp_path):
    folder, found = tmp_path / "model", []
    threads = [threading.Thread(target=lambda: found.append(export(small, folder))) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [folder / "1", folder / "2"]
    numbers = [strict_json(path / "assets/manifest.json")["version"] for path in sorted(found)]
    assert numbers == [1, 2]
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_what_a_killed_export_left_goes_with_the_next(small, tmp_path):
    folder = tmp_path / "model"
    for left in (folder / ".export-x", tmp_path / ".export-model-x", tmp_path / ".export-other-x"):
        (left / "model").mkdir(parents=True)
    export(small, folder)
    assert [entry.name for entry in folder.iterdir()] == ["1"]
    # That of another model may be under way on a file system without locks.
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".export-other-x", "model"]


FAULTS = {
    "saving": "tensorflow.saved_model.save",
    "the card": "scadv_tf.serving.export.model_card",
    "the requests": "scadv_tf.serving.export.write_warmup_requests",
    "the name": "scadv_tf.serving.export.os.rename",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_export_that_fails_leaves_nothing(small, tmp_path, monkeypatch, fault):
    def fail(*arguments, **settings):
        raise OSError("no space left on device")

    (tmp_path / "4").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(FAULTS[fault], fail)
        with pytest.raises(OSError, match="no space left"):
            export(small, tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["4"]
    assert not files(tmp_path)


def test_a_version_that_came_meanwhile_is_not_overwritten(small, tmp_path, monkeypatch):
    save = tf.saved_model.save

    def slow_save(*arguments, **settings):
        (tmp_path / "1").mkdir()
        (tmp_path / "1" / "other").write_text("of another export")
        save(*arguments, **settings)

    monkeypatch.setattr(tf.saved_model, "save", slow_save)
    with pytest.raises(OSError):
        export(small, tmp_path)
    assert files(tmp_path) == {"1/other"}


def test_a_server_that_polls_never_sees_half_a_version(small, tmp_path):
    """A thread looks all the time; what it sees first of a version is what there is at last."""
    seen, looks, done = {}, [], threading.Event()

    def poll():
        while not done.is_set():
            for entry in os.listdir(tmp_path):
                if entry.isdecimal() and entry not in seen:
                    seen[entry] = {name: (tmp_path / entry / name).stat().st_size
                                   for name in files(tmp_path / entry)}  # fmt: skip
            looks.append(len(seen))
            time.sleep(0.001)

    thread = threading.Thread(target=poll)
    thread.start()
    versions = [export(small, tmp_path) for _ in range(2)]
    time.sleep(0.1)
    done.set()
    thread.join()
    assert looks.count(0) > 20 and looks.count(1) > 20  # it looked while they were written
    for version in versions:
        assert seen[version.name] == {
            name: (version / name).stat().st_size for name in SAVED_MODEL | ASSETS | BESIDE
        }


# Requests to warm up with.


def test_each_signature_is_warmed_up_once_and_answers(exported):
    prediction_log_pb2 = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    asked = []
    for record in tf.data.TFRecordDataset(str(exported.version / FILE)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        inputs = {key: tf.constant(tf.make_ndarray(v)) for key, v in request.inputs.items()}
        function = exported.loaded.signatures[request.model_spec.signature_name]
        expected = function.structured_input_signature[1]
        assert {k: v.dtype for k, v in inputs.items()} == {k: v.dtype for k, v in expected.items()}
        answer = values_of(function(**inputs))
        assert {len(values) for values in answer.values()} == {2}
        for values in answer.values():
            assert values.dtype.kind != "f" or np.isfinite(values).all()
        asked.append(request.model_spec.signature_name)
    assert sorted(asked) == sorted(EVERYTHING.keys() - {"serving_default"})
    assert (exported.version / FILE).parts[-2:] == ("assets.extra", "tf_serving_warmup_requests")


def test_without_the_protos_there_are_no_requests_and_all_else(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(__import__("sys").modules, "tensorflow_serving.apis", None)
    with caplog.at_level("INFO"):
        assert write_warmup_requests(tmp_path, {}) is None
    assert "scadv_tf[serving]" in caplog.text and not list(tmp_path.iterdir())
