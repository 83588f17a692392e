"""What was learned comes back from its file as it was, without a pickle."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from scadv_tf.config import PreprocessingConfig
from scadv_tf.data import preprocessor_file
from scadv_tf.data.normalization import dense
from scadv_tf.data.preprocessing import MODALITIES, fit
from scadv_tf.data.preprocessor_file import load_preprocessor, save_preprocessor

CASES = {
    "peaks": {},
    "no peaks": {"keep_peaks": False},
    "three averages": {"smoothing_hops": 3},
    "no denoising": {"smoothing_hops": 0},
    "no neighbours": {"neighbors": 1},
    "no projection": {"projection_size": 0},
    "chosen genes": {"variable_genes": 40},
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def preprocessor(request, tissue):
    changed = {"variable_genes": 0, "neighbors": 5, "smoothing_hops": 2} | request.param
    data = tissue if changed.pop("keep_peaks", True) else dataclasses.replace(tissue, peaks=None)
    return fit(data, PreprocessingConfig(**changed), seed=3).preprocessor


def test_a_loaded_preprocessor_does_the_same(tmp_path, preprocessor, new_tissue):
    save_preprocessor(tmp_path / "fit.npz", preprocessor)
    loaded = load_preprocessor(tmp_path / "fit.npz")
    np.testing.assert_array_equal(loaded.genes, preprocessor.genes)
    columns = np.isin(new_tissue.genes, preprocessor.genes)
    counts = {name: getattr(new_tissue, name)[:, columns] for name in MODALITIES}
    for modality in MODALITIES:
        for peaks in (new_tissue.peaks, None):
            np.testing.assert_array_equal(
                loaded.transform(counts[modality], modality, peaks),
                preprocessor.transform(counts[modality], modality, peaks),
            )


def test_the_projection_and_the_seed_come_back(tmp_path, preprocessor):
    save_preprocessor(tmp_path / "fit.npz", preprocessor)
    loaded = load_preprocessor(tmp_path / "fit.npz")
    assert (loaded.components is None) == (preprocessor.components is None)
    if loaded.components is not None:
        np.testing.assert_array_equal(loaded.components, preprocessor.components)
    assert (loaded.neighborhood is None) == (preprocessor.neighborhood is None)
    if loaded.neighborhood is not None:
        assert loaded.neighborhood.seed == 3
        np.testing.assert_array_equal(
            loaded.neighborhood.neighbors, preprocessor.neighborhood.neighbors
        )


def test_the_weights_and_the_averages_come_back_to_the_bit(tmp_path, tissue):
    before = fit(tissue, PreprocessingConfig(neighbors=5, smoothing_hops=3), seed=3)
    save_preprocessor(tmp_path / "fit.npz", before.preprocessor)
    loaded = load_preprocessor(tmp_path / "fit.npz").neighborhood
    for part in ("data", "indices", "indptr"):
        expected = getattr(before.neighbor_weights, part)
        np.testing.assert_array_equal(getattr(loaded.weights, part), expected)
    assert len(loaded.levels) == 3
    for level, expected in zip(loaded.levels, before.preprocessor.neighborhood.levels, strict=True):
        np.testing.assert_array_equal(dense(level), dense(expected))


def test_a_second_round_changes_nothing(tmp_path, preprocessor):
    save_preprocessor(tmp_path / "a.npz", preprocessor)
    save_preprocessor(tmp_path / "b.npz", load_preprocessor(tmp_path / "a.npz"))
    with np.load(tmp_path / "a.npz") as first, np.load(tmp_path / "b.npz") as second:
        assert set(first) == set(second)
        for name in first:
            np.testing.assert_array_equal(first[name], second[name])


def test_the_file_holds_plain_arrays_of_text_and_numbers(tmp_path, preprocessor):
    save_preprocessor(tmp_path / "fit.npz", preprocessor)
    with np.load(tmp_path / "fit.npz", allow_pickle=False) as arrays:
        kinds = {name: arrays[name].dtype.kind for name in arrays}
    assert set(kinds.values()) <= set("Ubif") and kinds["genes"] == "U"


def test_gene_names_may_be_objects(tmp_path, preprocessor):
    objects = dataclasses.replace(preprocessor, genes=preprocessor.genes.astype(object))
    save_preprocessor(tmp_path / "fit.npz", objects)
    np.testing.assert_array_equal(load_preprocessor(tmp_path / "fit.npz").genes, objects.genes)


def test_a_pickle_is_refused(tmp_path):
    np.savez(tmp_path / "evil.npz", genes=np.array([print], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load_preprocessor(tmp_path / "evil.npz")


def test_a_failed_write_leaves_the_old_file(tmp_path, preprocessor, monkeypatch):
    save_preprocessor(tmp_path / "fit.npz", preprocessor)
    before = (tmp_path / "fit.npz").read_bytes()

    def fail(file, **arrays):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(preprocessor_file.np, "savez_compressed", fail)
    with pytest.raises(OSError, match="disk full"):
        save_preprocessor(tmp_path / "fit.npz", preprocessor)
    assert [path.name for path in tmp_path.iterdir()] == ["fit.npz"]
    assert (tmp_path / "fit.npz").read_bytes() == before
