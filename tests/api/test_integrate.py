"""Notebook use: AnnData in, the answers of the main job in them, nothing else of them changed."""

from __future__ import annotations

import json
import pickle
import warnings
from copy import deepcopy
from types import SimpleNamespace

import anndata
import mudata
import numpy as np
import pandas as pd
import pytest
from left_out import without_pictures
from one_model import alike
from scipy import sparse

import scadv_tf
from scadv_tf import RunConfig, training
from scadv_tf.annotate import annotate_file
from scadv_tf.data.answers import COLUMNS, PREFIX
from scadv_tf.data.synthetic import simulate
from scadv_tf.errors import InputError
from scadv_tf.labelling import AnnotateConfig

SETTINGS = {
    "label_key": "kind",
    "epochs": 1,
    "seed": 5,
    "encoder_sizes": (12, 6),
    "modality_adversarial": 0.0,  # half as many losses take half as long to trace
    "umap_neighbors": 10,
}
OURS = [f"{PREFIX}{name}" for name in COLUMNS]
WITHOUT_LABEL, DROPPED, EMPTY = 3, 4, 5  # rows
SAYS = "/"  # in the name of a type, which no folder of a file could have


@pytest.fixture(scope="module")
def tissue(tmp_path_factory):
    """Two AnnData of a tissue of 3 types, and the same as files; three cells are special."""
    folder = tmp_path_factory.mktemp("tissue")
    rna, atac, genes = simulate(cells=120, genes=150, types=4, difficulty=0.0, seed=1)
    genes[["chrom", "start", "end", "gene"]].to_csv(
        folder / "genes.bed", sep="\t", header=False, index=False
    )
    for adata, modality in ((rna, "rna"), (atac, "atac")):
        adata.X = sparse.csr_matrix(adata.X)
        adata.obs["kind"] = adata.obs.pop("cell_type").astype(str) + SAYS
        adata.obs["batch"] = pd.Categorical(np.where(np.arange(adata.n_obs) % 2, "a", "b"))
        adata.obs["scadv_note"] = np.arange(adata.n_obs)  # the user's own
        adata.layers["twice"] = adata.X * 2
        adata.obsm["X_umap"] = np.ones((adata.n_obs, 2))
        adata.uns["title"] = modality
        adata.X.data[slice(*adata.X.indptr[EMPTY : EMPTY + 2])] = 0
        adata.X.eliminate_zeros()
    rna.obs.loc[rna.obs_names[WITHOUT_LABEL], "kind"] = ""
    rna.obs.loc[rna.obs_names[DROPPED], "kind"] = "debris"
    rna.write_h5ad(folder / "rna.h5ad")
    atac.write_h5ad(folder / "atac.h5ad")
    return SimpleNamespace(
        rna=rna,
        atac=atac,
        folder=folder,
        settings=SETTINGS | {"genes": str(folder / "genes.bed"), "drop_types": ["debris"]},
    )


@pytest.fixture
def one_model():
    """What trains meanwhile does it by a model that was traced once; `integrated` is of its own."""
    with alike():
        yield


@pytest.fixture(scope="module")
def integrated(tissue):
    """(model, RNA, ATAC) after a run on AnnData that had been written into before."""
    rna, atac = tissue.rna.copy(), tissue.atac.copy()
    rna.obs.insert(0, "scadv_label", "of a former run")
    return scadv_tf.integrate(rna, atac, **tissue.settings), rna, atac


@pytest.fixture(scope="module")
def main_job(tissue):
    """The folder of results of the main job on the same cells, from files."""
    files = {name: str(tissue.folder / f"{name}.h5ad") for name in ("rna", "atac")}
    outputs = {name: str(tissue.folder / name) for name in ("output_dir", "export_dir")}
    with alike(), pytest.MonkeyPatch.context() as patch:
        without_pictures(patch)
        training.run(RunConfig.of(**tissue.settings, **files, **outputs))
    return tissue.folder / "output_dir"


def unchanged(adata, before, new=()) -> None:
    """All that an AnnData held before is there, in its order; of the table of cells no more."""
    names = [name for name in adata.obs if name not in new]
    assert names == [name for name in before.obs if name not in new]
    pd.testing.assert_frame_equal(adata.obs[names], before.obs[names])
    pd.testing.assert_frame_equal(adata.var, before.var)
    np.testing.assert_array_equal(adata.X.toarray(), before.X.toarray())
    assert adata.X.dtype == before.X.dtype and adata.X.format == before.X.format
    assert adata.layers.keys() == before.layers.keys()
    np.testing.assert_array_equal(adata.obsm["X_umap"], before.obsm["X_umap"])
    assert adata.uns["title"] == before.uns["title"]


def same_answers(first, second) -> None:
    pd.testing.assert_frame_equal(first.obs[OURS], second.obs[OURS])
    for name in ("X_scadv", "X_scadv_umap"):
        np.testing.assert_array_equal(first.obsm[name], second.obsm[name])


def close_answers(first, second, tolerance: float) -> None:
    for name in OURS:
        one, other = np.array(first.obs[name]), np.array(second.obs[name])
        if one.dtype.kind == "f":
            np.testing.assert_allclose(one, other, atol=tolerance)
        else:
            np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(first.obsm["X_scadv"], second.obsm["X_scadv"], atol=10 * tolerance)


@pytest.mark.slow
def test_the_answers_are_those_of_the_main_job_bit_for_bit(integrated, main_job):
    joint = anndata.read_h5ad(main_job / "integrated.h5ad")
    model, *cells = integrated
    for adata, modality in zip(cells, ("rna", "atac"), strict=True):
        written = joint[joint.obs["modality"] == modality]
        found = adata[written.obs["cell"].astype(str).to_numpy()]
        assert len(found) == adata.n_obs - 2 * (modality == "rna")
        for name in OURS:
            np.testing.assert_array_equal(np.array(found.obs[name]), np.array(written.obs[name]))
        np.testing.assert_array_equal(found.obsm["X_scadv"], written.obsm["X_scadv"])
        np.testing.assert_array_equal(found.obsm["X_scadv_umap"], written.obsm["X_umap"])
    metrics = json.loads((main_job / "metrics.json").read_text())
    same = metrics.keys() & model.metrics.keys() - {"seconds"}
    assert {"label_transfer", "silhouette_umap", "unknown_share", "type_shares"} <= same
    assert {name: metrics[name] for name in same} == {name: model.metrics[name] for name in same}


@pytest.mark.slow
def test_cells_that_were_left_out_are_unknown_and_nowhere(integrated):
    _, rna, atac = integrated
    for adata, rows in ((rna, [WITHOUT_LABEL, DROPPED, EMPTY]), (atac, [EMPTY])):
        assert adata.obs["scadv_unknown"].iloc[rows].all()
        assert (adata.obs["scadv_accepted_label"].iloc[rows] == "unknown").all()
        assert not adata.obsm["X_scadv"][rows].any()
        placed = np.isfinite(adata.obsm["X_scadv_umap"]).all(axis=1)
        assert np.flatnonzero(~placed).tolist() == rows


@pytest.mark.slow
def test_all_else_of_the_cells_stays_and_our_own_columns_are_replaced(tissue, integrated):
    model, rna, atac = integrated
    assert model.rna is rna and model.atac is atac
    for adata, before in ((rna, tissue.rna), (atac, tissue.atac)):
        unchanged(adata, before, OURS)
        assert set(OURS) <= set(adata.obs)
    assert rna.obs.columns[0] == "scadv_label" and "of a former run" not in {
        *rna.obs["scadv_label"]
    }
    assert set(rna.obs["scadv_label"]) <= set(model.types)


@pytest.mark.slow
def test_what_is_said_of_the_run_survives_a_file(integrated, tmp_path):
    model, _, atac = integrated
    with warnings.catch_warnings():  # that a name is none for a part of a file, as of a type with /
        warnings.simplefilter("error")
        atac.write_h5ad(tmp_path / "atac.h5ad")
    notes = anndata.read_h5ad(tmp_path / "atac.h5ad").uns["scadv"]
    assert notes["version"] == scadv_tf.__version__ and notes["modality"] == "atac"
    assert notes["settings"]["epochs"] == 1 and notes["settings"]["encoder_sizes"].tolist() == [
        12,
        6,
    ]
    assert "output_dir" not in notes["settings"]
    assert notes["warnings"].tolist() == model.warnings and model.warnings
    shares = notes["type_shares"]
    assert shares.index.tolist() == [*model.types] and all(SAYS in name for name in model.types)
    np.testing.assert_allclose(shares.sum(), 1, atol=1e-5)
    headline = notes["scores"]["label_transfer"]
    assert headline["macro_f1"] == model.metrics["label_transfer"]["macro_f1"]
    assert set(headline["per_type"].index) == set(model.metrics["label_transfer"]["per_type"])
    assert notes["scores"]["mixing_by_type"]["mixing"].to_dict() == model.metrics["mixing_by_type"]
    recognised = notes["scores"]["rna_left_out"]["recognised"]["share"].to_dict()
    assert recognised == model.metrics["rna_left_out"]["recognised"] != {}
    assert len(notes["history"]) == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("one_model")
def test_a_mudata_its_copy_and_other_formats_of_counts_give_the_same(tissue, integrated):
    rna, atac = tissue.rna.copy(), tissue.atac.copy()
    atac.X, rna.X = atac.X.tocsc(), rna.X.astype(np.int64)
    rna.raw = rna.copy()  # is not looked at
    mdata = mudata.MuData({"rna": rna, "atac": atac})
    before = {name: adata.copy() for name, adata in mdata.mod.items()}
    model = scadv_tf.integrate(mdata, copy=True, **tissue.settings)
    for name, adata in mdata.mod.items():
        unchanged(adata, before[name])
        assert "scadv" not in adata.uns and "X_scadv" not in adata.obsm
    same_answers(model.rna, integrated[1])
    same_answers(model.atac, integrated[2])


@pytest.mark.slow
@pytest.mark.usefixtures("one_model")
def test_a_backed_anndata_and_a_path_give_the_same(tissue, integrated):
    backed = anndata.read_h5ad(tissue.folder / "atac.h5ad", backed="r")
    model = scadv_tf.integrate(str(tissue.folder / "rna.h5ad"), backed, **tissue.settings)
    assert model.atac is backed and backed.isbacked
    same_answers(backed, integrated[2])
    used = integrated[1][model.rna.obs_names]
    assert model.rna.n_vars == 0 and model.rna.n_obs == integrated[1].n_obs - 2
    same_answers(model.rna, used)


def test_streamed_cells_are_those_of_the_files(tissue):
    """Held in memory, backed, or in a file: the same counts come, some at a time."""
    files = {name: str(tissue.folder / f"{name}.h5ad") for name in ("rna", "atac")}
    config = RunConfig.of(**tissue.settings, **files, memory_cells=50)
    expected, _ = training.read(config)
    backed = anndata.read_h5ad(files["atac"], backed="r")
    dense = tissue.rna.copy()
    dense.X = dense.X.toarray().astype(np.float64)
    for given in ({"rna": tissue.rna, "atac": backed}, {"rna": dense, "atac": tissue.atac}):
        found, _ = training.read(config, given=given)
        for name in ("rna", "atac", "peaks"):
            ours, theirs = getattr(found, name), getattr(expected, name)
            assert ours.account.digest == theirs.account.digest
            assert ours[7:9].nnz == theirs[7:9].nnz > 0
        assert found.rows["rna"].tolist() == expected.rows["rna"].tolist()


@pytest.mark.slow
@pytest.mark.usefixtures("one_model")
def test_a_streamed_training_gives_the_same_labels(tissue, integrated):
    backed = anndata.read_h5ad(tissue.folder / "atac.h5ad", backed="r")
    scadv_tf.integrate(tissue.rna.copy(), backed, **tissue.settings, memory_cells=50)
    first, second = backed.obs, integrated[2].obs
    np.testing.assert_array_equal(np.array(first["scadv_label"]), np.array(second["scadv_label"]))
    np.testing.assert_allclose(first["scadv_confidence"], second["scadv_confidence"], atol=0.02)


@pytest.mark.slow
def test_a_model_can_be_copied_and_pickled_after_it_was_used(tissue, integrated, main_job):
    # Before `loaded_once`: what stands in place of a class cannot be pickled.
    model, loaded = integrated[0], scadv_tf.load(main_job.parent / "export_dir")
    found = loaded.annotate(tissue.atac, "atac", copy=True)
    model.exported.load()
    for used in (model, loaded):  # TensorFlow's part is loaded, and cannot be copied
        assert pickle.dumps(used)
        assert deepcopy(used).types == used.types
    again = deepcopy(loaded).annotate(tissue.atac, "atac", copy=True)
    np.testing.assert_array_equal(again.obsm["X_scadv"], found.obsm["X_scadv"])
    for ours, theirs in zip(model.network.weights, deepcopy(model).network.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.usefixtures("loaded_once")
def test_new_cells_are_labelled_as_by_an_export(tissue, integrated, main_job, tmp_path):
    model, exports = integrated[0], main_job.parent / "export_dir"
    loaded = scadv_tf.load(exports)
    assert loaded.types == model.types and loaded.exported.folder == exports / "1"
    for modality, cells in (("rna", tissue.rna), ("atac", tissue.atac)):
        before, output = cells.copy(), tmp_path / f"{modality}.h5ad"
        source = tissue.folder / output.name
        given = {"model": str(exports), "input": str(source), "modality": modality}
        annotate_file(AnnotateConfig(output=str(output), **given))
        expected = anndata.read_h5ad(output)
        for found in (
            model.annotate(cells, modality, copy=True),
            loaded.annotate(cells, modality, copy=True, batch_size=50),
            loaded.annotate(source, modality),
        ):
            close_answers(found, expected, 1e-4)  # batches of other sizes round differently
            assert found.uns["scadv"]["modality"] == modality
        unchanged(cells, before)
        assert loaded.annotate(before, modality) is before and set(OURS) <= set(before.obs)


@pytest.mark.slow
def test_a_model_without_types_gives_the_embedding_and_takes_old_labels_away(tissue):
    settings = tissue.settings | {"mode": "unsupervised", "drop_types": ()}
    rna, atac = tissue.rna.copy()[:, ::-1], tissue.atac.copy()  # the former a view
    atac.obs["scadv_label"] = "of a former run"
    model = scadv_tf.integrate(rna, atac, **settings)
    assert model.types == () and not set(OURS) & set(atac.obs)
    assert rna.obsm["X_scadv"].shape == (120, 6) and "type_shares" not in rna.uns["scadv"]
    pictured = scadv_tf.pl.umap(rna, atac)
    assert len(pictured) == 2


REFUSED = {
    "a name with an error": ({"epoch": 3}, "epoch does not exist.*nearest name is epochs"),
    "of the output": ({"output_dir": "runs"}, "output_dir has no meaning here"),
    "several machines": ({"strategy": "multi_worker"}, "Several machines"),
    "no such column": ({"label_key": "none"}, "no column 'none'"),
    "no genome": ({"genes": ""}, "where the genes lie"),
    "out of range": ({"epochs": 0}, "epochs is out of range"),
    "a known name": ({"dataset": "pbmc"}, "brings its own cells"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_settings_are_refused_and_nothing_is_written(tissue, case):
    settings, message = REFUSED[case]
    rna, atac = tissue.rna.copy(), tissue.atac.copy()
    with pytest.raises(InputError, match=f"(?s){message}"):
        scadv_tf.integrate(rna, atac, **(tissue.settings | settings))
    for adata, before in ((rna, tissue.rna), (atac, tissue.atac)):
        unchanged(adata, before)
        assert "scadv" not in adata.uns and "X_scadv" not in adata.obsm


def test_bad_cells_are_refused_in_plain_words(tissue):
    negative = tissue.rna.copy()
    negative.X.data[0] = -1
    for rna, atac, message in (
        (negative, tissue.atac, "(?s)the RNA AnnData has negative values.*--rna_layer=twice"),
        (tissue.rna, tissue.rna, "one and the same AnnData"),
        (tissue.rna, None, "the file of --atac is not given"),
        (tissue.rna.X, tissue.atac, "neither a path nor an AnnData"),
        (None, None, "No data set was named"),
        ("none.h5ad", tissue.atac, "does not exist"),
    ):
        with pytest.raises(InputError, match=message):
            scadv_tf.integrate(rna, atac, **tissue.settings)


def test_a_part_of_a_backed_anndata_is_refused_before_any_work(tissue):
    backed = anndata.read_h5ad(tissue.folder / "atac.h5ad", backed="r")
    with pytest.raises(InputError, match=r"(?s)part of a backed AnnData.*to_memory\(\)"):
        scadv_tf.integrate(tissue.rna.copy(), backed[:60], **tissue.settings)


def test_a_layer_is_read_in_place_of_x(tissue):
    with pytest.raises(InputError, match="(?s)has no thrice.*one of: twice, X"):
        scadv_tf.integrate(tissue.rna, tissue.atac, rna_layer="thrice", **tissue.settings)


def test_gene_activity_adds_up_peaks_and_keeps_the_cells(tissue, tmp_path):
    table = pd.DataFrame({"kind": ["x", "y"]}, index=["c1", "c2"])
    peaks = ["chr1:100-200", "chr1:300-400", "chr1:5000-5100", "chr2:100-200"]
    counts = sparse.csr_matrix(np.array([[1, 2, 4, 8], [0, 3, 0, 5]], dtype=np.float32))
    cells = anndata.AnnData(counts, obs=table, var=pd.DataFrame(index=peaks))
    bed = tmp_path / "genes.bed"
    bed.write_text("chr1\t150\t350\tA\t0\t+\nchr1\t4000\t4500\tB\t0\t-\nchr3\t1\t9\tC\t0\t+\n")
    found = scadv_tf.gene_activity(cells, genes=bed, upstream=600)
    assert found.var_names.tolist() == ["A", "B"]
    # B runs backwards: 600 bases before its start are those after 4500.
    np.testing.assert_array_equal(found.X.toarray(), [[3, 4], [3, 0]])
    pd.testing.assert_frame_equal(found.obs, table)
    cells.write_h5ad(tmp_path / "peaks.h5ad")
    again = scadv_tf.gene_activity(tmp_path / "peaks.h5ad", genes=bed, upstream=600)
    np.testing.assert_array_equal(again.X.toarray(), found.X.toarray())
    with pytest.raises(InputError, match="the features are not peaks"):
        scadv_tf.gene_activity(found, genes=bed)
    with pytest.raises(InputError, match="where the genes lie"):
        scadv_tf.gene_activity(cells)
