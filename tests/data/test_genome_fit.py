"""Peaks of another genome than the genes are told of, and the right one is named."""

from __future__ import annotations

import json

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scadv_tf
from scadv_tf.data.datasets import DatasetSource, assemble
from scadv_tf.data.gene_coordinates import GENOMES, load_genes
from scadv_tf.data.genome_fit import better_genome, fitting_genome
from scadv_tf.data.regions import windows_of
from scadv_tf.errors import InputError
from scadv_tf.evaluation.finding import RED
from scadv_tf.evaluation.findings import Evidence, findings


def peaks_of(genome: str, on_starts: int, elsewhere: int, width: int = 500) -> pd.DataFrame:
    """Some on transcription starts of a genome, the others a gene's length before them."""
    genes = load_genes(genome)
    genes = genes.sample(on_starts + elsewhere, random_state=0, ignore_index=True)
    starts = np.where(genes["strand"] == "-", genes["end"] - 1, genes["start"])
    starts[on_starts:] = np.maximum(starts[on_starts:] - 40_000, 0)
    return pd.DataFrame(
        {"chrom": genes["chrom"], "start": starts - width // 2, "end": starts + width // 2}
    )


@pytest.mark.parametrize("genome", GENOMES)
def test_the_genome_of_peaks_is_found(genome):
    assert fitting_genome(peaks_of(genome, 100, 900)) == genome


@pytest.mark.parametrize("right", GENOMES)
@pytest.mark.parametrize("given", GENOMES)
def test_peaks_of_another_genome_are_found(right, given):
    found = better_genome(peaks_of(right, 90, 910), load_genes(given))
    if right == given:
        assert found is None
    else:
        assert found.name == right and found.peaks == 1000
        assert f"% of 1,000 peaks lie on a transcription start of {right}" in str(found)


def test_genes_of_ones_own_are_judged_by_those_that_both_have():
    """A short list has few starts, which is no sign of another genome."""
    genes = load_genes("hg38")
    peaks = peaks_of("hg38", 90, 910)
    assert better_genome(peaks, genes.sample(600, random_state=1)) is None
    shifted = genes.assign(start=genes["start"] + 5000, end=genes["end"] + 5000)
    assert better_genome(peaks, shifted).name == "hg38"
    assert better_genome(peaks, shifted.assign(gene="made-up " + shifted["gene"])) is None


@pytest.mark.parametrize("on_starts, sure", [(24, False), (40, True)])
def test_few_peaks_prove_nothing(on_starts, sure):
    """Of 24 on starts and none on another's, the difference is under five deviations."""
    assert (fitting_genome(peaks_of("hg38", on_starts, 500)) == "hg38") == sure


def test_windows_of_a_whole_genome_fit_any():
    genes = load_genes("hg38")
    windows = windows_of(genes[genes["chrom"] == "chr19"], 2000)
    assert fitting_genome(windows) == ""
    assert better_genome(windows, load_genes("hg19")) is None


def cells_of(peaks: pd.DataFrame) -> tuple[anndata.AnnData, anndata.AnnData]:
    names = peaks["chrom"] + ":" + peaks["start"].astype(str) + "-" + peaks["end"].astype(str)
    counts = sparse.random(20, len(peaks), 0.2, "csr", random_state=0, dtype=np.float32)
    counts.data[:] = 1
    atac = anndata.AnnData(counts, var=pd.DataFrame(index=names.to_numpy()))
    genes = load_genes("hg19")["gene"].to_numpy()[:3000]
    rna = anndata.AnnData(sparse.csr_matrix(np.ones((20, 3000), np.float32)))
    rna.var_names, rna.obs["cell_type"] = genes, ["T", "B"] * 10
    return rna, atac


def test_a_training_is_told_at_once_and_its_diagnosis_is_red(caplog):
    rna, atac = cells_of(peaks_of("hg19", 90, 910))
    data, _ = assemble(rna, atac, DatasetSource(genome="hg38", min_shared_genes=1))
    assert "The peaks are of hg19, and the genes are not" in caplog.text
    matching = json.loads(json.dumps(data.matching.to_dict()))
    (found,) = [f for f in findings(Evidence({}, matching)) if f.level == RED]
    assert found.text in caplog.text and "--genome=hg19" in found.advice
    caplog.clear()
    data, _ = assemble(rna, atac, DatasetSource(genome="hg19", min_shared_genes=1))
    assert data.matching.better_genome is None and "The peaks" not in caplog.text


def test_who_gives_no_genome_is_told_which_fits(caplog):
    _, atac = cells_of(peaks_of("mm10", 90, 910))
    with pytest.raises(InputError) as error:
        scadv_tf.gene_activity(atac)
    assert error.value.received == "neither"
    assert error.value.advice.endswith("these peaks fit --genome=mm10")
    scadv_tf.gene_activity(atac, genome="hg19")
    assert "The peaks are of mm10" in caplog.text
