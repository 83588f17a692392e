"""Exports of models whose query is no ATAC give new cells what the training gave them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import anndata
import numpy as np
import pytest
import tensorflow as tf
from same_answers import assert_close
from scipy import sparse

from scadv_tf.annotate import annotate_file
from scadv_tf.client.exported import ExportedModel
from scadv_tf.data.datasets import DatasetSource, load
from scadv_tf.data.levels import held_levels, plain_levels
from scadv_tf.data.measures import Measure
from scadv_tf.data.synthetic import simulate
from scadv_tf.labelling import AnnotateConfig
from scadv_tf.serving.comparable import comparable

pytestmark = pytest.mark.slow

ANTIBODIES = ["CD3", "CD4", "CD8a", "CD19", "CD14", "CD16", "CD56", "HLA-DR", "CD27", "CD45RA"]
GENES = ["CD3E", "CD4", "CD8A", "CD19", "CD14", "FCGR3A", "NCAM1", "HLA-DRA", "CD27", "PTPRC"]
# Each cell by itself: then what is said of it does not depend on how it came.
ALONE = {"neighbors": 1, "smoothing_hops": 0, "min_shared_genes": 5, "atac_adversarial": 0.0}
ALONE |= {"cycle": 0.0}


@dataclass(frozen=True)
class Query:
    """A training on a file of a query, and its export."""

    file: Path
    trained: object
    model: ExportedModel


def cells_of(kind: str) -> tuple[anndata.AnnData, anndata.AnnData]:
    """RNA cells of a simulated tissue, and some of them as if they were of another kind."""
    rna, _, _ = simulate(90, 40, types=3, difficulty=0.3, atac_cells=60)
    random = np.random.default_rng(0)
    query = rna[random.permutation(rna.n_obs)[:60]].copy()
    counts = query.X.toarray()
    if kind == "protein":
        names = [f"{name}_TotalSeqB" for name in ANTIBODIES]
        counts = random.poisson(5 + 20 * counts[:, : len(names)]).astype(np.float32)
        query = anndata.AnnData(sparse.csr_matrix(counts), obs=query.obs)
        query.var_names = names
        rna.var_names = GENES + list(rna.var_names[len(GENES) :])
    if kind == "methylation":
        levels = np.clip(0.9 - 0.1 * counts + random.normal(0, 0.05, counts.shape), 0, 1)
        levels[random.random(counts.shape) < 0.2] = np.nan
        query = anndata.AnnData(levels.astype(np.float32), obs=query.obs, var=query.var)
    return rna, query


@pytest.fixture(scope="module", params=["protein", "methylation", "repressive_mark"])
def query(request, train, export_of, tmp_path_factory) -> Query:
    folder, kind = tmp_path_factory.mktemp(request.param), request.param
    for name, cells in zip(("rna", "query"), cells_of(kind), strict=True):
        cells.write_h5ad(folder / f"{name}.h5ad")
    files = {"rna": str(folder / "rna.h5ad"), "atac": str(folder / "query.h5ad")}
    data, _ = load(DatasetSource(**files, query_kind=kind, min_shared_genes=5))
    trained = train(data, query_kind=kind, **ALONE)
    version = export_of(trained, folder / "export").version
    return Query(folder / "query.h5ad", trained, ExportedModel(version))


def test_a_file_gets_what_the_training_gave(query, tmp_path):
    output = tmp_path / "annotated.h5ad"
    given = {"model": str(query.model.folder), "input": str(query.file), "modality": "atac"}
    annotate_file(AnnotateConfig(**given, output=str(output)))
    found, expected = anndata.read_h5ad(output), query.trained.annotation.atac
    assert_close(found.obsm["X_scadv"], expected.latent)
    assert_close(found.obs["scadv_confidence"].to_numpy(), expected.probabilities.max(axis=1))
    types = np.array(query.model.types)[expected.probabilities.argmax(axis=1)]
    assert np.array_equal(found.obs["scadv_label"], types)
    assert found.obs["scadv_label"].nunique() > 1


def test_the_graph_transforms_as_the_training_does(query):
    measure, data = query.trained.cells.preprocessor.measure, query.trained.data
    columns = np.searchsorted(np.sort(data.genes), query.model.genes)
    counts = data.atac[:, np.argsort(data.genes)[columns]]
    found = comparable(measure)(tf.constant(counts.toarray())).numpy()
    assert_close(found, measure.comparable(counts).toarray())


def test_the_manifest_says_what_the_query_measures(query):
    measure = query.trained.cells.preprocessor.measure
    told = json.loads((query.model.folder / "assets" / "manifest.json").read_text())["query"]
    assert told == measure.to_dict() and query.model.measure == Measure(**told)
    card = (query.model.folder / "MODEL_CARD.md").read_text()
    assert f"unpaired RNA-seq and {measure.name}" in card and "ATAC" not in card


def test_plain_levels_are_refused_by_a_server():
    refused = [[0.0, 0.3], [np.nan, 1.5], [2.1, 0.0], [-1.0, 0.0]]
    from scadv_tf.serving.checks import checked_dense

    for values in refused:
        with pytest.raises(tf.errors.InvalidArgumentError, match="2 less the level"):
            checked_dense(tf.constant([values]), 2, levels=True)
    sound = tf.constant([[0.0, 1.0], [2.0, 1.25]])
    assert np.array_equal(checked_dense(sound, 2, levels=True), sound)


def test_entries_of_levels_are_those_of_rows(query):
    if not query.model.measure.is_levels:
        pytest.skip("of methylation alone")
    held = query.trained.data.atac[:5]
    sparsely = query.model.annotate(held, "atac")
    densely = tf.saved_model.load(str(query.model.folder)).signatures["annotate_atac"](
        counts=tf.constant(held.toarray())
    )
    assert_close(sparsely.probabilities, densely["probabilities"].numpy())
    assert_close(held_levels(plain_levels(held)).toarray(), held.toarray())
