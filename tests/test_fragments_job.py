"""From fragments to labels and to the cells of a next sample, without any peaks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from scadv_tf.annotate import AnnotateConfig, annotate_file
from scadv_tf.client.exported import ExportedModel
from scadv_tf.data.gene_activity import peak_intervals
from scadv_tf.data.synthetic import simulate

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
def test_a_new_samples_fragments_by_a_model_of_windows(train_main, tmp_path):
    rna, atac, genes = simulate(80, 150, types=3, difficulty=0.2, atac_cells=2 * CELLS)
    rna.write_h5ad(tmp_path / "rna.h5ad")
    bed = genes.assign(score=0)[["chrom", "start", "end", "gene", "score", "strand"]]
    bed.to_csv(tmp_path / "genes.bed", sep="\t", header=False, index=False)
    parts = {"old": fragments_of(atac[:CELLS]), "new": fragments_of(atac[CELLS:])}
    for name, table in parts.items():
        path = tmp_path / f"{name}_fragments.tsv.gz"
        table.to_csv(path, sep="\t", header=False, index=False)
    done = train_main(
        tmp_path, "--rna=rna.h5ad", "--atac=old_fragments.tsv.gz", "--genes=genes.bed",
        "--min_fragments=1", "--epochs=1", "--export_dir=model",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    labels = pd.read_csv(tmp_path / "runs/custom/predictions.csv")
    assert labels["cell"].tolist() == sorted(set(parts["old"]["cell"]))

    in_windows(parts["new"], ExportedModel(tmp_path / "model").intervals.peaks).write_h5ad(
        tmp_path / "counted.h5ad"
    )
    answers = []
    for given in ("new_fragments.tsv.gz", "counted.h5ad"):
        fragments = {"min_fragments": 1} if given.startswith("new") else {}
        annotate_file(
            AnnotateConfig(
                model=str(tmp_path / "model"),
                input=str(tmp_path / given),
                modality="atac",
                output=str(tmp_path / "labels.csv"),
                **fragments,
            )  # fmt: skip
        )
        answers.append(pd.read_csv(tmp_path / "labels.csv"))
    assert answers[0]["cell"].tolist() == sorted(set(parts["new"]["cell"]))
    pd.testing.assert_frame_equal(*answers)
