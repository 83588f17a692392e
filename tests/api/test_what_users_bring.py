"""Objects and arguments of notebooks that are unusual, but sound; and those that are not."""

from __future__ import annotations

from types import SimpleNamespace

import anndata
import mudata
import numpy as np
import pandas as pd
import pytest
from lazy_arrays import Lazy
from scipy import sparse

import scadv_tf
from scadv_tf import training
from scadv_tf.api import models
from scadv_tf.data.answers import CellAnswers
from scadv_tf.data.cell_files import open_cells
from scadv_tf.data.labels import column_texts
from scadv_tf.data.measures import Measure
from scadv_tf.errors import InputError

COUNTS = np.array([[0, 2, 1], [3, 0, 0], [0, 0, 5], [1, 1, 0]], dtype=np.float32)


@pytest.fixture
def cells():
    """Four cells of two types with three genes."""
    table = pd.DataFrame({"kind": list("aabb")}, index=["c1", "c2", "c3", "c4"])
    genes = pd.DataFrame(index=["A", "B", "C"])
    return anndata.AnnData(sparse.csr_matrix(COUNTS), obs=table, var=genes)


NAMES = {
    "numbers": pd.RangeIndex(4),
    "all alike": pd.Index(["c"] * 4),
    "categories": pd.CategoricalIndex(list("wxyz")),
    "two levels": pd.MultiIndex.from_product([["l1", "l2"], ["x", "y"]]),
}


@pytest.mark.parametrize("case", NAMES)
@pytest.mark.parametrize("taught", [True, False])
def test_names_of_cells_stay_what_they_are_when_answers_are_written(cells, case, taught):
    cells.obs.index = NAMES[case]
    cells.obs["scadv_label"] = "of a former run"
    latent = np.arange(8, dtype=np.float32).reshape(4, 2)
    shares = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [1, 0]])
    label = pd.Categorical(["a", "b", "b", "a"])
    answers = CellAnswers(latent, shares, shares[:, 1], shares[:, 1] > 0.75, label)
    (answers if taught else CellAnswers(latent)).write_into(cells)
    pd.testing.assert_index_equal(cells.obs.index, NAMES[case], exact=True)
    assert cells.obs["kind"].tolist() == list("aabb")
    if taught:
        assert cells.obs["scadv_label"].tolist() == list("abba")
        assert cells.obs["scadv_accepted_label"].tolist() == ["a", "unknown", "b", "a"]
    else:
        assert cells.obs.columns.tolist() == ["kind"]
    np.testing.assert_array_equal(cells.obsm["X_scadv"], latent)


@pytest.mark.parametrize(
    "kind", [np.asarray, sparse.csr_matrix, sparse.csc_array, sparse.coo_matrix]
)
@pytest.mark.parametrize("layer", ["", "counts"])
def test_a_lazy_matrix_is_computed_some_rows_at_a_time(cells, kind, layer):
    """Of dense blocks or of sparse ones, as anndata's read_elem_lazy gives them."""
    many = np.tile(COUNTS, (600, 1)).astype(np.int64)
    lazy, names = Lazy(many, kind), np.arange(2400).astype(str)
    given = SimpleNamespace(
        X=lazy, raw=None, layers={"counts": lazy}, obs=pd.DataFrame(index=names), obs_names=names,
        var=cells.var, obsm={}, uns={},
    )  # fmt: skip
    with open_cells(given, "rna", layer) as source:
        (everything,) = source.chunks(source.cells)
        some = source.counts(1, 3)
    assert everything.counts.dtype == np.float32 and everything.counts.nnz == 6 * 600
    np.testing.assert_array_equal(everything.counts.toarray(), many)
    np.testing.assert_array_equal(some.toarray(), COUNTS[1:3])
    assert max(lazy.computed) < 2400


class Reached(Exception):
    """The cells are read, and nothing was found wrong."""


@pytest.fixture
def reading(monkeypatch):
    """`integrate` up to where TensorFlow would be started, and `annotate` to where a model is."""

    def reached(*_, **__):
        raise Reached

    monkeypatch.setattr(training, "start_tensorflow", reached)
    monkeypatch.setattr(models, "summary_and_batches", reached)


def of_many_genes(first: int, name: str) -> anndata.AnnData:
    """Four cells of two types with twenty genes."""
    genes = pd.DataFrame(index=[f"G{i}" for i in range(20)])
    table = pd.DataFrame({"kind": list("aabb")}, index=[f"{name}{i}" for i in range(4)])
    counts = np.arange(first, first + 80, dtype=np.float32).reshape(4, 20)
    return anndata.AnnData(sparse.csr_matrix(counts), obs=table, var=genes)


@pytest.mark.filterwarnings("ignore")  # mudata is to change
@pytest.mark.usefixtures("reading")
@pytest.mark.parametrize("same_cells", [True, False])
def test_a_mudata_of_other_modalities_has_its_own_table_and_is_labelled_too(same_cells):
    rna, protein = of_many_genes(1, "c"), of_many_genes(2, "c" if same_cells else "q")
    both = mudata.MuData({"rna": rna, "prot": protein, "atac": of_many_genes(3, "p")})
    both.obs["donor"] = ["x", "y"] * (both.n_obs // 2)
    with pytest.raises(Reached):
        scadv_tf.integrate(
            both, query_kind="protein", label_key="kind", batch_key="donor", min_shared_genes=9
        )
    exported = SimpleNamespace(measure=Measure("protein", "protein"))
    del both.mod["atac"]
    with pytest.raises(Reached):
        models.AnnotationModel(exported).annotate(both, "atac")


@pytest.fixture
def model():
    """That of an export of RNA and ATAC, none of which is asked for."""
    return models.AnnotationModel(SimpleNamespace(measure=Measure()))


WRONG = {
    "text for a number": {"batch_size": "3"},
    "no cells at a time": {"batch_size": 0},
    "fewer than none": {"batch_size": -1},
    "parts of a cell": {"batch_size": 1.5},
    "a layer by its number": {"layer": 0},
    "several layers": {"layer": ["X"]},
    "a column itself": {"batch_key": pd.Series(["x", "y"])},
    "several columns": {"batch_key": ["donor"]},
    "a column by a number": {"batch_key": 0},
    "a truth value": {"batch_key": False},
}


@pytest.mark.usefixtures("reading")
@pytest.mark.parametrize("case", WRONG)
def test_arguments_of_another_type_are_refused_in_words(model, case):
    cells, given = of_many_genes(1, "c"), WRONG[case]
    (name,) = given
    with pytest.raises(InputError, match=f"(?s)setting {name} .*expected: .*received: {name}="):
        model.annotate(cells, "rna", **given)
    if name == "batch_key":
        with pytest.raises(InputError, match="(?s)setting rna_batch_key has the wrong type"):
            scadv_tf.integrate(cells, of_many_genes(2, "q"), **given)


@pytest.mark.usefixtures("reading")
def test_what_is_left_out_as_none_and_numbers_of_numpy_are_taken(model):
    cells = of_many_genes(1, "c")
    with pytest.raises(Reached):
        model.annotate(cells, "rna", layer=None, batch_key=None, batch_size=np.int64(5))
    settings = {"encoder_sizes": [np.int64(8), np.int32(4)], "drop_types": (), "label_key": "kind"}
    query = of_many_genes(2, "q")
    with pytest.raises(Reached):
        scadv_tf.integrate(cells, query, batch_key=None, min_shared_genes=9, **settings)


@pytest.mark.parametrize("given", [None, 3, b"model", ["model"]])
def test_a_folder_is_a_path(given):
    with pytest.raises(InputError, match=r"(?s)not the path of a folder.*received: .*of type \w"):
        scadv_tf.load(given)
    with pytest.raises(InputError, match="not the path of a folder"):
        models.IntegratedModel.export(SimpleNamespace(_export=(None, None, None)), given)


def test_a_folder_holds_when_the_notebook_goes_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(models, "ExportedModel", lambda folder: SimpleNamespace(folder=folder))
    loaded = scadv_tf.load("model")
    monkeypatch.chdir("/")
    assert loaded.exported.folder.is_dir()


@pytest.mark.parametrize("modality", ["rna", "atac"])
def test_a_table_is_no_anndata(model, modality):
    """pandas' tables have a method called mod."""
    cells = {name: of_many_genes(1, name) for name in ("rna", "atac")}
    cells[modality] = cells[modality].to_df()
    with pytest.raises(InputError, match="(?s)neither a path nor an AnnData.*DataFrame"):
        scadv_tf.integrate(**cells)
    with pytest.raises(InputError, match="(?s)neither a path nor an AnnData.*DataFrame"):
        model.annotate(cells[modality], modality)
    with pytest.raises(InputError, match="(?s)neither a path nor an AnnData.*DataFrame"):
        scadv_tf.gene_activity(cells[modality], genome="hg38")


def test_a_lazy_table_is_refused_as_that(model, cells):
    """Of anndata's read_lazy, whose tables are none of pandas'."""
    parts = {name: getattr(cells, name) for name in ("X", "raw", "var", "obsm", "uns", "layers")}
    lazy = SimpleNamespace(**parts, obs=SimpleNamespace(), isbacked=False)
    for ask in (scadv_tf.integrate, model.annotate):
        with pytest.raises(InputError, match=r"(?s)RNA cells is not in memory.*to_memory\(\)"):
            ask(lazy, "rna")


@pytest.mark.usefixtures("reading")
def test_a_column_of_lists_is_one_of_texts(cells):
    rna, query = of_many_genes(1, "c"), of_many_genes(2, "q")
    rna.obs["kind"] = pd.Series([["a", "b"], np.nan, ["c"], ["c"]], rna.obs_names, dtype=object)
    assert column_texts(rna.obs["kind"]).tolist() == ["['a', 'b']", "", "['c']", "['c']"]
    with pytest.raises(Reached):
        scadv_tf.integrate(rna, query, label_key="kind", batch_key="kind", min_shared_genes=9)


@pytest.mark.usefixtures("reading")
def test_a_matrix_of_other_things_than_numbers_is_told_as_that_if_it_is_asked_for():
    cells, query = of_many_genes(1, "c"), of_many_genes(2, "q")
    settings = {"label_key": "kind", "min_shared_genes": 9}
    for kind in (object, complex, str):
        cells.layers["other"] = cells.X.toarray().astype(kind)
        received = cells.layers["other"].dtype
        with pytest.raises(InputError, match=rf"(?s)not hold numbers.*{received}.*astype"):
            scadv_tf.integrate(cells, query, rna_layer="other", **settings)
        with pytest.raises(Reached):
            scadv_tf.integrate(cells, query, **settings)


@pytest.mark.usefixtures("reading")
@pytest.mark.parametrize("setting", ["label_key", "atac_label_key", "batch_key"])
def test_columns_that_answers_go_to_are_no_known_labels(setting):
    """A reference that was labelled by this package: its labels would be replaced in place."""
    rna, atac = of_many_genes(1, "c"), of_many_genes(2, "q")
    for cells in (rna, atac):
        cells.obs["scadv_label"] = cells.obs["kind"]
    given = {"label_key": "kind", "min_shared_genes": 9} | {setting: "scadv_label"}
    with pytest.raises(InputError, match="column of earlier answers") as error:
        scadv_tf.integrate(rna, atac, **given)
    assert "adata.obs['given'] = adata.obs['scadv_label']" in error.value.advice
    assert rna.obs["scadv_label"].tolist() == list("aabb")
