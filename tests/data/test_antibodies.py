"""Which genes antibodies stand for, whatever is written around their targets."""

from __future__ import annotations

import pandas as pd
import pytest

from scadv_tf.data.antibodies import antibodies_of, as_genes

HUMAN = ["CD3E", "CD4", "CD8A", "PTPRC", "FCGR3A", "HLA-DRA", "PDCD1", "NCAM1", "IGHD", "TRDC"]
HUMAN += ["TNFRSF9", "CEACAM1", "ITGA2B", "XYZ12"]
MOUSE = ["Cd3e", "Ptprc", "Fcgr3", "H2-Aa", "Klrb1c", "Adgre1", "Cd4"]


@pytest.mark.parametrize(
    ("name", "gene"),
    [
        ("CD3", "CD3E"),
        ("CD45RA", "PTPRC"),
        ("CD16", "FCGR3A"),
        ("HLA-DR", "HLA-DRA"),
        ("HLA.DR_TotalSeqC", "HLA-DRA"),
        ("CD8a", "CD8A"),
        ("CD3_TotalSeqB", "CD3E"),
        ("anti-CD3 (UCHT1)", "CD3E"),
        ("adt_CD3", "CD3E"),
        ("Hu.CD3-UCHT1", "CD3E"),
        ("CD3:UCHT1|CD3E|AHS0231|pAbO", "CD3E"),
        ("A0034_CD3", "CD3E"),
        ("170Er_CD3", "CD3E"),
        ("CD56(NCAM16.2)", "NCAM1"),
        ("CD279 (PD-1)", "PDCD1"),
        ("PD-1", "PDCD1"),
        ("anti-human IgD", "IGHD"),
        ("TCR γ/δ", "TRDC"),
        ("4-1BB", "TNFRSF9"),
        ("CD66a/c/e", "CEACAM1"),
        ("CD4.1", "CD4"),  # a second CD4, not CD41
        ("CD41", "ITGA2B"),
        ("prot_XYZ12", "XYZ12"),  # a gene's own symbol
    ],
)
def test_names_of_antibodies(name, gene):
    found = antibodies_of([name], HUMAN)
    assert found.genes.tolist() == [gene] and not found.controls and not found.unknown


@pytest.mark.parametrize(
    "name",
    [
        "IgG1",
        "Mouse-IgG2a",
        "Rat IgG2b, κ Isotype Ctrl",
        "isotype_MOPC.21",
        "IgG1_control_TotalSeqB",
    ]
    + ["Hashtag1", "HTO_2"],
)
def test_controls_and_tags_are_left_out(name):
    found = antibodies_of([name, "CD3"], HUMAN)
    assert found.controls == [name] and found.genes.tolist() == ["", "CD3E"]
    assert name in found.lines()[1] and not found.warnings()


def test_what_is_not_known_is_told():
    found = antibodies_of(["CD3", "Q-99"], HUMAN)
    assert found.genes.tolist() == ["CD3E", ""] and found.unknown == ["Q-99"]
    assert "left out: Q-99" in found.warnings()[0]
    assert found.lines() == ["antibodies: 1 of 2 name a gene, such as CD3 for CD3E"]


def test_of_mouse_by_the_genes_of_the_reference():
    names = ["CD3", "B220", "CD16/32", "I-A/I-E", "NK1.1", "F4/80"]
    assert antibodies_of(names, MOUSE).genes.tolist() == MOUSE[:6]


def test_symbols_may_stand_in_a_column_of_the_reference():
    var = pd.DataFrame({"gene_name": HUMAN}, index=[f"ENSG{i:011d}" for i in range(len(HUMAN))])
    found, _ = as_genes(pd.DataFrame(index=["CD8a", "IgG1"]), var)
    assert found.index.tolist() == ["CD8A", ""]
