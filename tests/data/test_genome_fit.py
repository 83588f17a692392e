"""Peaks or fragments of another genome than the genes are told of, and the right one is named."""

from __future__ import annotations

import functools
import json
from types import SimpleNamespace

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scadv_tf
from scadv_tf.client.assets import Assets
from scadv_tf.client.input_columns import counting_of
from scadv_tf.client.new_cells import checked_columns
from scadv_tf.data import genome_fit
from scadv_tf.data.cell_files import open_cells
from scadv_tf.data.datasets import DatasetSource, assemble, load
from scadv_tf.data.fragment_table import FragmentTable
from scadv_tf.data.gene_coordinates import GENOMES, load_genes
from scadv_tf.data.genome_fit import better_genome, busy_places, fitting_genome, genome_of_fragments
from scadv_tf.data.measures import Measure
from scadv_tf.data.pairing import Intervals
from scadv_tf.data.regions import windows_of
from scadv_tf.data.stored_cells import Choices
from scadv_tf.errors import InputError
from scadv_tf.evaluation.finding import RED
from scadv_tf.evaluation.findings import Evidence, findings

pytestmark = pytest.mark.slow

# Each table is read once. Nobody changes it.
genes_of = functools.cache(load_genes)


def peaks_of(
    genome: str, on_starts: int, elsewhere: int, width: int = 500, chrom: str = ""
) -> pd.DataFrame:
    """Some on transcription starts of a genome, the others a gene's length before them."""
    genes = genes_of(genome)
    genes = genes[genes["chrom"] == chrom] if chrom else genes
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
    found = better_genome(peaks_of(right, 90, 910), genes_of(given))
    if right == given:
        assert found is None
    else:
        assert found.name == right and found.peaks == 1000
        assert f"% of 1,000 peaks lie on a transcription start of {right}" in str(found)


def test_genes_of_ones_own_are_judged_by_those_that_both_have():
    """A short list has few starts, which is no sign of another genome."""
    genes = genes_of("hg38")
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
    genes = genes_of("hg38")
    windows = windows_of(genes[genes["chrom"] == "chr19"], 2000)
    assert fitting_genome(windows) == ""
    assert better_genome(windows, genes_of("hg19")) is None


def cells_of(peaks: pd.DataFrame) -> tuple[anndata.AnnData, anndata.AnnData]:
    names = peaks["chrom"] + ":" + peaks["start"].astype(str) + "-" + peaks["end"].astype(str)
    counts = sparse.random(20, len(peaks), 0.2, "csr", random_state=0, dtype=np.float32)
    counts.data[:] = 1
    atac = anndata.AnnData(counts, var=pd.DataFrame(index=names.to_numpy()))
    genes = genes_of("hg19")["gene"].to_numpy()[:3000]
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


# Fragments: where many of them lie are peaks.


def fragments_of(genome: str, background: int = 5000, chrom: str = "") -> pd.DataFrame:
    """Ten in each of 1,000 peaks, of which 90 are on starts, and some anywhere; of 20 cells."""
    draw = np.random.default_rng(0)
    peaks = peaks_of(genome, 90, 910, chrom=chrom)
    chrom = np.concatenate([np.repeat(peaks["chrom"], 10), draw.choice(peaks["chrom"], background)])
    middle = np.repeat(peaks["start"] + 250, 10) + draw.integers(-100, 100, 10 * len(peaks))
    middle = np.concatenate([middle, draw.integers(1000, 50_000_000, background)])
    cells = np.char.add("cell", (np.arange(len(chrom)) % 20).astype(str))
    start = np.maximum(middle - 80, 0)
    return pd.DataFrame({"chrom": chrom, "start": start, "end": start + 160, "cell": cells})


@pytest.fixture
def written(tmp_path):
    """Writes fragments to a file, and gives its path."""

    def write(fragments: pd.DataFrame, name: str = "fragments.tsv"):
        fragments.to_csv(tmp_path / name, sep="\t", header=False, index=False)
        return tmp_path / name

    return write


def test_where_many_fragments_lie_by_hand(written, tmp_path):
    """With 8, 7, 1, 1 and 1 in places of 500 bases the mean is 3.6, and twice that more than 7."""
    middles = [("1", 499)] * 8 + [("chr2", 1000)] * 7 + [("1", 500), ("1", 1999), ("chr2", 999)]
    rows = [(chrom, middle - 50, middle + 50, "A") for chrom, middle in middles]
    found = busy_places(FragmentTable(written(pd.DataFrame(rows)), tmp_path))
    assert found.to_numpy().tolist() == [["chr1", 0, 500]]


@pytest.mark.parametrize("right", GENOMES)
def test_the_genome_of_fragments_is_found(right, written, tmp_path):
    table = FragmentTable(written(fragments_of(right)), tmp_path)
    for given in GENOMES:
        found = genome_of_fragments(table, genes_of(given))
        if right == given:
            assert found is None
        else:
            assert found.name == right
            assert str(found).startswith(f"The fragments are of {right}, and the genes are not: ")
            assert f"places with many fragments lie on a transcription start of {right}" in str(
                found
            )


def test_some_of_many_fragments_do(written, tmp_path, monkeypatch):
    table = FragmentTable(written(fragments_of("hg38")), tmp_path)
    of_all = busy_places(table)
    monkeypatch.setattr(genome_fit, "MOST_FRAGMENTS", 8000)  # every second
    places = busy_places(table)
    assert 0.5 * len(of_all) < len(places.merge(of_all)) < len(of_all)
    assert genome_of_fragments(table, genes_of("hg19")).name == "hg38"


def test_fragments_anywhere_are_of_no_genome(written, tmp_path):
    """As many in each place as chance gives: most places are no peaks, and those that are, none."""
    fragments = fragments_of("hg38", background=20_000).iloc[10_000:]
    table = FragmentTable(written(fragments), tmp_path)
    assert all(genome_of_fragments(table, genes_of(given)) is None for given in GENOMES)


def of_chr1(genome: str) -> pd.DataFrame:
    """Its genes, in few windows."""
    return genes_of(genome).query("chrom == 'chr1'").reset_index(drop=True)


@pytest.mark.parametrize("way", ["held", "streamed", "two files"])
def test_a_training_on_windows_of_another_genome_is_told(way, written, tmp_path, caplog):
    genes = of_chr1("hg38").assign(score=0)
    genes = genes[["chrom", "start", "end", "gene", "score", "strand"]]
    genes.to_csv(tmp_path / "genes.bed", sep="\t", header=False, index=False)
    rna, _ = cells_of(peaks_of("hg19", 9, 91))
    rna = rna[:, : len(genes)].copy()
    rna.var_names = genes["gene"].to_numpy()[: rna.n_vars]
    rna.write_h5ad(tmp_path / "rna.h5ad")
    fragments = fragments_of("hg19", chrom="chr1")
    paths = [written(fragments)]
    if way == "two files":
        paths.append(written(fragments.assign(cell="b" + fragments["cell"]), "b_fragments.tsv"))
    source = DatasetSource(
        rna=str(tmp_path / "rna.h5ad"), atac=",".join(map(str, paths)),
        genes=str(tmp_path / "genes.bed"), min_fragments=100, min_shared_genes=1,
        scratch=str(tmp_path), memory_cells=5 if way == "streamed" else 0,
    )  # fmt: skip
    data, _ = load(source)
    assert "The fragments are of hg19, and the genes are not" in caplog.text
    matching = json.loads(json.dumps(data.matching.to_dict()))
    (found,) = [f for f in findings(Evidence({}, matching)) if f.level == RED]
    assert found.text in caplog.text and "bring fragments to another genome" in found.advice


@pytest.mark.parametrize("given", ["hg19", "hg38"])
def test_new_fragments_of_another_genome_than_the_models_are_told_of(given, written, caplog):
    genes = of_chr1(given)
    intervals = Intervals(windows_of(genes, 2000), genes, 2000)
    assets = Assets(genes["gene"].to_numpy(dtype=str), intervals=intervals)
    model = SimpleNamespace(assets=assets, measure=Measure(), manifest={})
    choices = Choices(counting_of(assets, min_fragments=100))
    path = written(fragments_of("hg38", chrom="chr1"))
    with open_cells(str(path), "atac", choices=choices) as source:
        found = checked_columns(source, "atac", model).better_genome
    assert (found and found.name) == (None if given == "hg38" else "hg38")
    assert ("The fragments are of hg38" in caplog.text) == (found is not None)
