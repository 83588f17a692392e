"""The features of an input, in any order and form, become the genes and peaks of a model."""

from __future__ import annotations

import logging
import re

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scadv_tf import InputError
from scadv_tf.client.assets import Assets
from scadv_tf.client.input_columns import InputColumns, input_columns
from scadv_tf.data.gene_coordinates import load_genes
from scadv_tf.data.measures import Measure
from scadv_tf.data.pairing import Intervals
from scadv_tf.evaluation.diagnosis import diagnose_new_cells


class Model:
    """What of an exported model is looked at: genes and where they and the peaks lie."""

    def __init__(self, genes, peaks=(), table=None):
        self.genes = np.array(genes)
        self.peaks = len(peaks)
        self.intervals, self.measure = None, Measure()
        if peaks:
            parts = [re.split("[:-]", name) if name else ("", 0, 0) for name in peaks]
            frame = pd.DataFrame(parts, columns=["chrom", "start", "end"])
            frame = frame.astype({"start": int, "end": int})
            self.intervals = Intervals(frame, table, upstream=100)


GENES = ["A", "B", "C"]
TABLE = pd.DataFrame(
    {
        "chrom": ["chr1", "chr1", "chr2"],
        "start": [1000, 5000, 1000],
        "end": [2000, 6000, 2000],
        "gene": GENES,
        "strand": ["+", "-", "."],
    }
)
PEAKS = ["chr1:900-950", "chr1:1500-1600", "chr1:5500-5600", "chr2:1900-1950"]


def features(*names, **columns):
    return pd.DataFrame(columns, index=list(names))


def of(var, modality, model, rows) -> tuple[InputColumns, list, list | None]:
    columns = input_columns(var, modality, model)
    counts = sparse.csr_matrix(np.array(rows, dtype=np.float32))
    peaks = columns.peaks(counts)
    opened = None if peaks is None else (peaks.toarray() > 0).astype(int).tolist()
    return columns, columns.genes(counts).toarray().tolist(), opened


# Genes.


def test_genes_by_hand():
    """In another order, one of them twice, one missing, one unknown."""
    var = features("B", "X", "A", "B.1", scadv_original_name=["B", "X", "A", "B"])
    _, genes, peaks = of(var, "rna", Model(GENES), [[1, 10, 100, 1000], [0, 5, 0, 2]])
    assert genes == [[100, 1001, 0], [0, 2, 0]] and peaks is None


def test_the_warning_states_the_share_of_missing_genes(caplog):
    with caplog.at_level(logging.WARNING):
        input_columns(features("C", "A", "X"), "rna", Model([*GENES, "D"]))
    assert "50.0 % of the model's genes (2 of 4) are not in the input" in caplog.text


def test_what_is_matched_is_told_as_in_a_training(caplog):
    caplog.set_level(logging.INFO)
    var = features("1", "2", "3", Symbol=["A", "B", "B"])
    input_columns(var, "rna", Model(GENES))
    told = "2 by exact name, 0 without version, 0 with - for _ or ., 0 ignoring case"
    assert f"genes of the model: 2 ({told})" in caplog.text
    assert "gene names: from the column var['Symbol']" in caplog.text
    assert "repeated genes: 1 columns added to another" in caplog.text
    assert "upper and lower case" not in caplog.text


@pytest.mark.parametrize("names, told", [("Cd3d Ms4a1 LYZ", True), ("Cd3d MS4A1 LYZ", False)])
@pytest.mark.parametrize("modality", ["rna", "atac"])
def test_genes_of_another_species_are_told(caplog, names, told, modality):
    input_columns(features(*names.split()), modality, Model(["CD3D", "MS4A1", "LYZ"]))
    warnings = [r.message for r in caplog.records if "upper and lower case" in r.message]
    assert len(warnings) == told
    assert all("check that the cells are of the species" in text for text in warnings)


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_features_leaves_no_trace(seed):
    """Not even in the last bit of sums of numbers that are no integers."""
    random = np.random.default_rng(seed)
    names = np.repeat([f"g{i}" for i in range(12)], 4)
    values = random.lognormal(sigma=3, size=(30, 48)).astype(np.float32)
    values[random.uniform(size=values.shape) < 0.5] = 0
    model = Model([f"g{i}" for i in range(12)])
    found = []
    for order in (np.arange(48), random.permutation(48)):
        columns = input_columns(features(*names[order]), "rna", model)
        found.append(columns.genes(sparse.csr_matrix(values[:, order])))
    np.testing.assert_array_equal(found[0].toarray(), found[1].toarray())
    np.testing.assert_array_equal(found[0].indices, found[1].indices)


def test_no_known_gene_is_an_error():
    with pytest.raises(InputError, match="none of the model's genes"):
        input_columns(features("X", "Y"), "rna", Model(GENES))


def test_peaks_given_as_rna_are_told():
    with pytest.raises(InputError, match="which RNA does not have") as error:
        input_columns(features(*PEAKS), "rna", Model(GENES, PEAKS, TABLE))
    assert "--modality=atac" in error.value.advice


def test_coordinates_beside_gene_names_make_no_peaks_of_rna():
    var = features(*GENES, chrom="chr1", start=[1, 2000, 3000], end=[500, 2500, 3500])
    assert of(var, "rna", Model(GENES), [[1, 2, 3]])[1] == [[1, 2, 3]]


def test_gene_activity_goes_by_genes(caplog):
    with caplog.at_level(logging.INFO):
        _, genes, peaks = of(features("C", "A"), "atac", Model(GENES, PEAKS, TABLE), [[3, 1]])
    assert genes == [[1, 0, 3]] and peaks is None
    assert "neighbours are found by genes" in caplog.text


# Peaks.


@pytest.mark.parametrize("form", ["{}:{}-{}", "{}_{}_{}", "{}-{}-{}"])
def test_the_peaks_of_the_training_in_any_order_and_spelling(caplog, form):
    names = [form.format(*re.split("[:-]", PEAKS[i])) for i in (2, 0, 3, 1)]
    with caplog.at_level(logging.INFO):
        model = Model(GENES, PEAKS, TABLE)
        _, genes, peaks = of(features(*names), "atac", model, [[5, 0, 1, 2], [0, 3, 0, 0]])
    # The first peak lies before gene A, which reads to the right; the others in A, B and C.
    assert genes == [[2, 5, 1], [3, 0, 0]]
    assert peaks == [[0, 1, 1, 1], [1, 0, 0, 0]]
    assert "the 4 of the training; neighbours are found by them" in caplog.text


def test_further_peaks_change_nothing_but_the_genes_they_lie_in():
    var = features(*PEAKS, "chr1:940-1400", "chr9:1-100")
    _, genes, peaks = of(var, "atac", Model(GENES, PEAKS, TABLE), [[0, 0, 0, 1, 2, 4]])
    assert genes == [[2, 0, 1]] and peaks == [[0, 0, 0, 1]]


def test_a_training_peak_without_a_name_is_closed():
    known = [*PEAKS[:2], "", *PEAKS[2:]]
    _, _, peaks = of(features(*PEAKS), "atac", Model(GENES, known, TABLE), [[1, 1, 1, 1]])
    assert peaks == [[1, 1, 0, 1, 1]]


def test_other_peaks_open_those_that_they_overlap(caplog):
    """The first two are one peak here, the third is shifted, the last is missing."""
    var = features("chr1:940-1501", "chr1:5599-5700", "chr2:1000-1100")
    with caplog.at_level(logging.INFO):
        model = Model(GENES, PEAKS, TABLE)
        _, genes, peaks = of(var, "atac", model, [[1, 0, 1], [0, 7, 0]])
    assert genes == [[1, 0, 1], [0, 7, 0]]
    assert peaks == [[1, 1, 0, 0], [0, 0, 1, 0]]
    assert "75.0 % of the training's 4 are overlapped, 1.5 by each" in caplog.text
    assert "neighbours are found by them" in caplog.text


@pytest.mark.parametrize(
    "names, told",
    [
        (("chr1:1200-1300", "chr2:1000-1100"), "0.0 % of"),
        (("chr1:1-6000", "chr2:1000-1100"), "75.0 % of the training's 4 are overlapped, 3.0 by"),
    ],
    ids=["too few", "merged too far"],
)
def test_peaks_that_tell_too_little_are_left_out(caplog, names, told):
    with caplog.at_level(logging.INFO):
        model = Model(GENES, PEAKS, TABLE)
        _, genes, peaks = of(features(*names), "atac", model, [[4, 2]])
    assert genes[0][0] == 4 and genes[0][2] == 2 and peaks is None
    assert told in caplog.text and "neighbours are found by genes" in caplog.text


def test_genes_without_a_peak_count_as_missing(caplog):
    with caplog.at_level(logging.WARNING):
        input_columns(features(*PEAKS[:3]), "atac", Model(GENES, PEAKS, TABLE))
    assert "33.3 % of the model's genes (1 of 3) are not in the input" in caplog.text


def test_a_model_that_finds_no_neighbours_by_peaks_gets_none():
    model = Model(GENES, PEAKS, TABLE)
    model.peaks = 0
    assert of(features(*PEAKS), "atac", model, [[0, 1, 1, 1]])[1:] == ([[1, 1, 1]], None)


@pytest.mark.parametrize("model", [Model(GENES), Model(GENES, PEAKS, None)])
def test_peaks_for_a_model_that_knows_no_places(model):
    with pytest.raises(InputError, match="does not know where genes lie"):
        input_columns(features(*PEAKS), "atac", model)


def test_peaks_of_another_genome():
    with pytest.raises(InputError, match="no peak lies in any gene") as error:
        input_columns(features("chr7:1-5", "chr8:1-5"), "atac", Model(GENES, PEAKS, TABLE))
    assert "chr1:900-950" in error.value.expected and "chr7:1-5" in error.value.received


def of_query(kind: str, genes: list[str]) -> Assets:
    """What stands beside a model whose query is of such a kind."""
    manifest = {"query": {"kind": kind, "name": kind, "direction": 1}}
    return Assets(np.array(genes), ("T", "B"), None, manifest)


def test_antibodies_become_genes_and_those_of_one_gene_add_up(caplog):
    caplog.set_level(logging.INFO)
    model = of_query("protein", ["PTPRC", "CD3E"])
    names = ["CD3_TotalSeqB", "CD45RA", "CD45RO", "IgG1_control", "adt_XY"]
    columns = input_columns(features(*names), "atac", model)
    counts = sparse.csr_matrix([[1.0, 2, 3, 50, 60]])
    assert columns.genes(counts).toarray().tolist() == [[5, 1]]
    assert "left out: isotype controls and tags IgG1_control" in caplog.text
    # RNA is looked for as it is.
    with pytest.raises(InputError, match="none of the model's genes"):
        input_columns(features("CD45RA"), "rna", model)


def test_levels_of_one_gene_do_not_add_up():
    model = of_query("methylation", ["G1", "G2"])
    columns = input_columns(features("G2", "G1", "G2"), "atac", model)
    held = sparse.csr_matrix([[1.25, 2.0, 1.75], [0, 1.0, 2.0]])
    assert columns.genes(held).toarray().tolist() == [[2, 1.25], [1, 0]]


def test_peaks_for_a_model_of_a_panel_are_refused():
    with pytest.raises(InputError, match="does not know where genes lie"):
        input_columns(features("chr1:10-20"), "atac", of_query("protein", ["CD3E"]))


def test_peaks_of_another_assembly_are_told_of(caplog):
    def starts_of(genome: str) -> list[str]:
        genes = load_genes(genome).query("strand == '+'").iloc[::100]
        places = zip(genes["chrom"], genes["start"], strict=True)
        return [f"{chrom}:{start - 100}-{start + 100}" for chrom, start in places]

    table = load_genes("hg19")
    model = Model(table["gene"], starts_of("hg19"), table)
    found = input_columns(features(*starts_of("hg38")), "atac", model)
    assert found.better_genome.name == "hg38" and "The peaks are of hg38" in caplog.text
    assert input_columns(features(*starts_of("hg19")), "atac", model).better_genome is None
    diagnosis = diagnose_new_cells("atac", 9, better_genome=found.better_genome)
    assert diagnosis.color == "red" and str(found.better_genome) in diagnosis.texts[0]
