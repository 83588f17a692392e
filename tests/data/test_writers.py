"""The integrated file holds both modalities, and what was found, for any scverse tool."""

from __future__ import annotations

import dataclasses

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scadv_tf.data import joint_obs, rows, writers
from scadv_tf.data.answers import CellAnswers, most_probable
from scadv_tf.data.h5ad_parts import write_counts
from scadv_tf.data.joint_obs import plain
from scadv_tf.data.pairing import pair
from scadv_tf.data.rows import DiskRows
from scadv_tf.data.writers import write_integrated

TYPES = ("x", "y", "z")
PROBABILITIES = {
    "rna": np.array([[0.9, 0.1, 0], [0.1, 0.8, 0.1], [0.7, 0.3, 0]], np.float32),
    "atac": np.array([[0.1, 0.6, 0.3], [0.5, 0.25, 0.25]], np.float32),
}
UNKNOWN = {"rna": np.zeros(3, dtype=bool), "atac": np.array([False, True])}
LATENT = np.arange(20.0).reshape(5, 4)
UMAP = np.arange(10.0).reshape(5, 2)


@pytest.fixture
def data(adata):
    """Three RNA and two ATAC cells; the name 'c1' is in both; the tables have awkward columns."""
    rna = adata(
        [[1, 0, 2], [0, 3, 0], [4, 5, 6]],
        ["A", "B", "C"],
        ["c1", "c2", "c3"],
        cell_type=pd.Categorical(["x", "y", "x"]),
        batch=[1, 2, 3],
        fraction=[0.5, np.nan, 0.25],
        good=[True, False, True],
        modality=["theirs"] * 3,
        mixed=["text", 7, None],
        count=pd.array([1, None, 3], dtype="Int64"),
        day=pd.to_datetime(["2020-01-01", None, "2020-01-03"]),
    )
    atac = adata(
        [[7, 8, 0], [0, 9, 0]], ["A", "B", "C"], ["c1", "d2"], batch=[8, 9], sample=["s", "t"]
    )
    rna.obs.index.name = "barcode"
    return pair(rna, atac, "cell_type", min_shared_genes=1)[0]


@pytest.fixture
def written(tmp_path, data):
    path = tmp_path / "out" / "integrated.h5ad"
    write(path, data)
    assert [found.name for found in path.parent.iterdir()] == ["integrated.h5ad"]
    return anndata.read_h5ad(path)


def answers_of(probabilities, unknown, latent, types=TYPES) -> dict[str, CellAnswers]:
    """The answers for both modalities; the novelty is the least probability."""
    first = len(unknown["rna"])
    latents = {"rna": latent[:first], "atac": latent[first : len(latent)]}
    return {
        name: CellAnswers(
            latents[name], values, values.min(axis=1), unknown[name], most_probable(values, types)
        )
        for name, values in probabilities.items()
    }


def write(path, data):
    write_integrated(path, data, answers_of(PROBABILITIES, UNKNOWN, LATENT), UMAP)


def test_rna_cells_come_first_and_each_cell_keeps_its_name(written):
    assert written.obs["modality"].tolist() == ["rna"] * 3 + ["atac"] * 2
    assert written.obs["cell"].tolist() == ["c1", "c2", "c3", "c1", "d2"]
    assert written.obs_names.is_unique
    assert written.obs_names.tolist() == ["c1-rna", "c2-rna", "c3-rna", "c1-atac", "d2-atac"]


def test_counts_of_the_shared_genes(written):
    expected = [[1, 0, 2], [0, 3, 0], [4, 5, 6], [7, 8, 0], [0, 9, 0]]
    np.testing.assert_array_equal(written.X.toarray(), expected)
    assert written.var_names.tolist() == ["A", "B", "C"]


def test_what_was_found(written):
    assert written.obs["scadv_label"].tolist() == ["x", "y", "x", "y", "x"]
    np.testing.assert_allclose(
        written.obs["scadv_confidence"], [0.9, 0.8, 0.7, 0.6, 0.5], rtol=1e-6
    )
    assert written.obs["scadv_unknown"].tolist() == [False, False, False, False, True]
    assert written.obs["scadv_unknown"].dtype == bool
    assert written.obs["scadv_accepted_label"].tolist() == ["x", "y", "x", "y", "unknown"]
    np.testing.assert_allclose(written.obs["scadv_novelty"], [0, 0.1, 0, 0.1, 0.25], rtol=1e-6)
    np.testing.assert_array_equal(written.obsm["X_scadv"], LATENT)
    np.testing.assert_array_equal(written.obsm["X_umap"], UMAP)
    assert written.obsm["X_scadv"].dtype == written.obsm["X_umap"].dtype == np.float32
    for column in ("modality", "scadv_label"):
        assert isinstance(written.obs[column].dtype, pd.CategoricalDtype)


def test_the_columns_of_both_inputs_are_kept(written):
    obs = written.obs
    assert obs["batch"].tolist() == [1, 2, 3, 8, 9]
    assert obs["cell_type"].tolist() == ["x", "y", "x", "", ""]
    assert obs["sample"].tolist() == ["", "", "", "s", "t"]
    np.testing.assert_array_equal(obs["fraction"], [0.5, np.nan, 0.25, np.nan, np.nan])
    assert obs["mixed"].tolist() == ["text", "7", "", "", ""]
    assert [str(value) for value in obs["good"][:3]] == ["True", "False", "True"]
    assert obs["count"].tolist()[0] == 1 and obs["count"].tolist()[2] == 3
    assert [str(value)[:10] for value in obs["day"][:3]] == ["2020-01-01", "", "2020-01-03"]


def test_the_data_are_left_alone(written, data):
    assert list(data.rna_obs["modality"]) == ["theirs"] * 3
    assert "scadv_label" not in data.rna_obs and "scadv_label" not in data.atac_obs
    assert list(data.rna_obs.index) == ["c1", "c2", "c3"]


class Stored:
    """Counts that are read by consecutive rows alone, as those on disk are."""

    def __init__(self, counts):
        self._counts, self.shape, self.longest = counts, counts.shape, 0

    def __getitem__(self, part):
        assert isinstance(part, slice)
        self.longest = max(self.longest, part.stop - part.start)
        return self._counts[part]


def as_anndata_writes(path, data, answers, latent, umap):
    """A plain twin: everything is held, joined and written by anndata."""
    parts = {}
    for modality in ("rna", "atac"):
        obs = plain(getattr(data, f"{modality}_obs"))
        obs["cell"], obs["modality"] = getattr(data, f"{modality}_cells"), modality
        said, types = answers[modality], [*TYPES, "unknown"]
        if said.label is not None:
            obs["scadv_label"] = said.label.astype(object)
            obs["scadv_confidence"] = said.probabilities.max(axis=1)
            accepted = np.where(said.unknown, "unknown", said.label)
            obs["scadv_accepted_label"] = accepted.astype(object)
            obs["scadv_novelty"] = said.novelty
            obs["scadv_unknown"] = said.unknown
        obs.index = pd.Index(obs["cell"].to_numpy(dtype=object))
        var = pd.DataFrame(index=data.genes)
        parts[modality] = anndata.AnnData(getattr(data, modality), obs=obs, var=var)
    joint = anndata.concat(parts, join="outer", index_unique="-")
    joint.obs = plain(joint.obs)
    if said.label is not None:
        joint.obs["scadv_label"] = pd.Categorical(joint.obs["scadv_label"], types[:-1])
        accepted = pd.Categorical(joint.obs["scadv_accepted_label"], types)
        joint.obs["scadv_accepted_label"] = accepted
    joint.obsm = {"X_scadv": latent.astype(np.float32), "X_umap": umap.astype(np.float32)}
    joint.write_h5ad(path, compression="gzip")


def awkward(random, cells: int) -> dict:
    """Columns of many kinds, some of names that the file gives to others."""
    names = ["a", "b", "c", "d", "e", "cell", "modality", "scadv_label", "scadv_unknown"]
    kinds = [
        random.integers(0, 9, cells),
        random.normal(size=cells).astype(np.float32),
        random.random(cells) < 0.5,
        np.array([f"b{i}" for i in random.integers(0, 12, cells)], dtype=object),
        np.array([f"only {i}" for i in range(cells)], dtype=object),
        pd.Categorical.from_codes(random.integers(-1, 3, cells), ["u", "v", "w"]),
        pd.Categorical(random.integers(0, 3, cells)),
        pd.array(np.where(random.random(cells) < 0.3, None, 1), dtype="Int64"),
        pd.array(random.random(cells) < 0.4, dtype="boolean"),
        pd.to_datetime(["2020-01-01", None] * cells)[:cells],
        np.array(["x", 1, None, 2.5] * cells, dtype=object)[:cells],
        np.full(cells, np.nan),
    ]
    return {names[i]: kinds[k] for i, k in zip(*random.integers(0, (9, 12), (6, 2)).T, strict=True)}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_the_file_is_what_anndata_would_write(adata, tmp_path, monkeypatch, seed):
    monkeypatch.setattr(writers, "CELLS_AT_ONCE", 3)
    monkeypatch.setattr(joint_obs, "TEXTS_AT_ONCE", 4)
    monkeypatch.setattr(rows, "BLOCK_BYTES", 100)
    random, cells, genes = np.random.default_rng(seed), {"rna": 11, "atac": 8}, list("ABCDEFG")
    tables = {}
    for modality, number in cells.items():
        names = [f"c{i + 4 * (modality == 'atac') * (seed % 3)}" for i in range(number)]
        counts = random.poisson(0.5, (number, 7))
        tables[modality] = adata(counts, genes, names, **awkward(random, number))
    data = pair(tables["rna"], tables["atac"], "", min_shared_genes=1, supervised=False)[0]
    shares = {name: random.dirichlet([1, 1, 1], n).astype(np.float32) for name, n in cells.items()}
    unknown = {name: random.random(n) < 0.3 for name, n in cells.items()}
    spaces = random.normal(size=(19, 5)), random.normal(size=(19, 2))
    types = () if seed == 4 else TYPES
    held = answers_of(shares, unknown, spaces[0], types)
    as_anndata_writes(tmp_path / "twin.h5ad", data, held, *spaces)
    stored = dataclasses.replace(data, rna=Stored(data.rna), atac=Stored(data.atac))
    on_disk = DiskRows(tmp_path / "latent", 5)
    on_disk[0:19] = spaces[0]
    write_integrated(tmp_path / "held.h5ad", data, held, spaces[1])
    found = answers_of(shares, unknown, on_disk, types)
    write_integrated(tmp_path / "stored.h5ad", stored, found, spaces[1])
    assert stored.rna.longest == stored.atac.longest == 3
    expected = content(tmp_path / "twin.h5ad")
    assert content(tmp_path / "held.h5ad") == content(tmp_path / "stored.h5ad") == expected


def content(path) -> dict:
    """All that an HDF5 file says, but how its arrays are cut into chunks."""
    found = {}

    def look(name, item):
        attributes = {key: np.asarray(value).tolist() for key, value in item.attrs.items()}
        found[name] = repr(attributes)
        if isinstance(item, h5py.Dataset):
            found[name] += repr((item.dtype, item.shape, item.compression, item[()].tolist()))

    with h5py.File(path) as file:
        look("/", file)
        file.visititems(look)
    return found


def test_numbers_with_gaps_of_both_kinds_join(adata, tmp_path):
    """Whole numbers with gaps beside fractions become a kind that anndata does not write."""
    rna = adata([[1], [2]], ["A"], dose=pd.array([1, None], dtype="Int64"))
    atac = adata([[1], [2]], ["A"], dose=[0.5, np.nan])
    data = pair(rna, atac, "", min_shared_genes=1, supervised=False)[0]
    answers = dict.fromkeys(("rna", "atac"), CellAnswers(np.zeros((2, 3))))
    write_integrated(tmp_path / "joint.h5ad", data, answers, np.zeros((4, 2)))
    found = anndata.read_h5ad(tmp_path / "joint.h5ad").obs["dose"]
    np.testing.assert_array_equal(found, [1, np.nan, 0.5, np.nan])


def test_more_texts_than_make_a_category_stay_text(data, tmp_path, monkeypatch, written):
    assert isinstance(written.obs["cell"].dtype, pd.CategoricalDtype)  # c1 is in both
    assert isinstance(written.obs["cell_type"].dtype, pd.CategoricalDtype)
    monkeypatch.setattr(joint_obs, "MANY_TEXTS", 2)
    write(tmp_path / "many.h5ad", data)
    many = anndata.read_h5ad(tmp_path / "many.h5ad").obs
    assert many["cell"].dtype == many["cell_type"].dtype == object
    assert many.astype(str).equals(written.obs.astype(str))


def test_counts_that_end_too_soon_are_told(tmp_path):
    part = sparse.csr_matrix((2, 3), dtype=np.float32)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        with pytest.raises(ValueError, match="expected 5 rows; received 4"):
            write_counts(file, "X", [part, part], (5, 3))


def test_a_failed_write_leaves_nothing(tmp_path, data):
    class Broken(Stored):
        def __getitem__(self, part):
            assert list(tmp_path.iterdir())  # the file is there, under another name
            raise OSError("disk full")

    broken = dataclasses.replace(data, atac=Broken(data.atac))
    with pytest.raises(OSError, match="disk full"):
        write(tmp_path / "integrated.h5ad", broken)
    assert not list(tmp_path.iterdir())
