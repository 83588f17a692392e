"""What the main job makes of its configuration before any training."""

from __future__ import annotations

import numpy as np
import pytest

from scadv_tf.config import DataConfig, RunConfig
from scadv_tf.data.synthetic import simulate
from scadv_tf.errors import InputError
from scadv_tf.training import dataset_name, read


@pytest.fixture
def files(tmp_path):
    rna, peaks, genes = simulate(cells=60, genes=120, types=3, difficulty=0.0, seed=0)
    genes[["chrom", "start", "end", "gene"]].to_csv(
        tmp_path / "genes.bed", sep="\t", header=False, index=False
    )
    peaks.obs["none"] = np.repeat("", peaks.n_obs)
    rna.write_h5ad(tmp_path / "rna.h5ad")
    peaks.write_h5ad(tmp_path / "atac.h5ad")
    names = {"rna": "rna.h5ad", "atac": "atac.h5ad", "genes": "genes.bed"}
    return {name: str(tmp_path / file) for name, file in names.items()}


def test_known_atac_labels_are_read_apart_from_the_cells(files):
    data, truth = read(RunConfig(data=DataConfig(**files)))
    assert len(truth.labels) == data.atac.shape[0]
    assert data.peaks is not None


def test_an_empty_label_column_is_no_truth(files):
    _, truth = read(RunConfig(data=DataConfig(**files, atac_label_key="none")))
    assert truth is None


def test_a_name_of_their_own_for_the_users_files(files):
    config = RunConfig(data=DataConfig(**files, dataset="my_tissue"))
    assert dataset_name(config.data) == "my_tissue"
    assert len(read(config)[0].types) == 3


def test_no_data_set_at_all_is_refused():
    with pytest.raises(InputError, match="No data set was named"):
        dataset_name(DataConfig())
