"""Fragments of a new sample, by a model that was trained on windows of the genome."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from scadv_tf.annotate import annotate_file
from scadv_tf.client.exported import ExportedModel
from scadv_tf.data.datasets import DatasetSource, load
from scadv_tf.data.gene_activity import peak_intervals
from scadv_tf.data.synthetic import simulate
from scadv_tf.labelling import AnnotateConfig
from scadv_tf.serving.export import export

CELLS = 60  # of each sample


def fragments_of(atac: AnnData) -> pd.DataFrame:
    """A fragment of one base, at the beginning of its peak, for each count."""
    counts = atac.X.tocoo()
    times = counts.data.astype(int)
    places = peak_intervals(atac.var).iloc[np.repeat(counts.col, times)]
    cells = np.repeat(atac.obs_names[counts.row], times)
    columns = {"chrom": places["chrom"], "start": places["start"], "end": places["start"] + 1}
    return pd.DataFrame(columns | {"cell": cells}).reset_index(drop=True)


def in_windows(fragments: pd.DataFrame, windows: pd.DataFrame) -> AnnData:
    """The same counted apart from the package: which window begins last before a fragment."""
    windows = windows.assign(name=windows.index).sort_values("start")
    found = pd.merge_asof(
        fragments.sort_values("start"), windows, on="start", by="chrom", suffixes=("", "_of")
    )
    found = found[found["start"] < found["end_of"]]
    counts = pd.crosstab(found["cell"], found["name"])
    counts = counts.reindex(columns=windows.index.sort_values(), fill_value=0)
    var = pd.DataFrame(index=counts.columns.to_numpy(dtype=object))
    obs = pd.DataFrame(index=counts.index.to_numpy(dtype=object))
    return AnnData(sparse.csr_matrix(counts.to_numpy(np.float32)), obs=obs, var=var)


@pytest.mark.slow
def test_a_new_samples_fragments_by_a_model_of_windows(train, tmp_path):
    rna, atac, genes = simulate(90, 120, types=4, difficulty=0.3, atac_cells=2 * CELLS)
    rna.write_h5ad(tmp_path / "rna.h5ad")
    bed = genes.assign(score=0)[["chrom", "start", "end", "gene", "score", "strand"]]
    bed.to_csv(tmp_path / "genes.bed", sep="\t", header=False, index=False)
    samples = {"old": fragments_of(atac[:CELLS]), "new": fragments_of(atac[CELLS:])}
    for name, table in samples.items():
        table.to_csv(tmp_path / f"{name}_fragments.tsv.gz", sep="\t", header=False, index=False)
    data, _ = load(
        DatasetSource(
            rna=str(tmp_path / "rna.h5ad"),
            atac=str(tmp_path / "old_fragments.tsv.gz"),
            genes=str(tmp_path / "genes.bed"),
            min_fragments=1,
            min_shared_genes=1,
            scratch=str(tmp_path),
        )  # fmt: skip
    )
    trained = train(data)
    version = export(trained.served, tmp_path / "model", trained.background, data.intervals)
    windows = ExportedModel(version).intervals.peaks
    in_windows(samples["new"], windows).write_h5ad(tmp_path / "counted.h5ad")

    def labels_of(name: str, **settings) -> pd.DataFrame:
        given = {"model": str(version), "input": str(tmp_path / name), "modality": "atac"}
        annotate_file(AnnotateConfig(output=str(tmp_path / "labels.csv"), **given, **settings))
        return pd.read_csv(tmp_path / "labels.csv")

    found = labels_of("new_fragments.tsv.gz", min_fragments=1)
    assert found["cell"].tolist() == sorted(set(samples["new"]["cell"]))
    assert found["label"].nunique() > 1
    pd.testing.assert_frame_equal(found, labels_of("counted.h5ad"))
