"""The features of any table as the columns of a model: by names, in any order, some missing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scadv_tf import InputError
from scadv_tf.client.assets import assets_of
from scadv_tf.client.input_columns import input_columns

GENES = np.array(["CD3E", "MS4A1", "NKG7", "LYZ"])


def var(*names, **columns) -> pd.DataFrame:
    return pd.DataFrame(columns, index=list(names))


def gene_columns(table, genes):
    """Which features add up to which genes of a model."""
    return input_columns(table, "rna", assets_of(genes)).to_genes


def picked(table, genes=GENES) -> list[list[float]]:
    """What becomes of a cell with 1, 2, 4, 8 … counts of the features."""
    counts = 2.0 ** np.arange(len(table))
    columns = gene_columns(table, genes)
    assert columns.shape == (len(table), len(genes)) and columns.dtype == np.float32
    return (counts @ columns).tolist()


def test_genes_in_their_order_are_as_they_are(caplog):
    assert picked(var(*GENES)) == [1, 2, 4, 8]
    assert not caplog.text


def test_genes_in_another_order_and_strangers():
    assert picked(var("LYZ", "stranger", "CD3E", "NKG7", "MS4A1")) == [4, 16, 8, 1]


def test_features_of_the_same_gene_add_up():
    assert picked(var("LYZ", "CD3E", "LYZ", "NKG7", "MS4A1")) == [2, 16, 8, 5]


def test_names_are_matched_as_in_training():
    """Without Ensembl's version, ignoring case, by another column than the index."""
    genes = np.array(["ENSG00000000003.14", "Cd3e"])
    assert picked(var("CD3E", "ENSG00000000003.2"), genes) == [2, 1]
    table = var("ENSG1", "ENSG2", "ENSG3", "ENSG4", gene_name=["LYZ", "NKG7", "MS4A1", "CD3E"])
    assert picked(table) == [8, 4, 2, 1]


@pytest.mark.parametrize("there, told", [(4, None), (3, "25.0 %"), (1, "75.0 %")])
def test_missing_genes_are_0_and_their_share_is_told(caplog, there, told):
    found = picked(var(*GENES[:there], "stranger"))
    assert found == [1, 2, 4, 8][:there] + [0] * (4 - there)
    assert (told is None and not caplog.text) or told in caplog.text
    if told:
        assert f"({4 - there} of 4)" in caplog.text and "count as 0" in caplog.text


@pytest.mark.parametrize("missing, alarmed", [(1, False), (3, True)])
def test_many_missing_genes_call_for_a_look(caplog, missing, alarmed):
    genes = np.array([f"gene{number}" for number in range(10)])
    gene_columns(var(*genes[missing:]), genes)
    assert ("check the names and the species" in caplog.text) == alarmed


def test_no_gene_at_all_is_an_error_that_shows_both_sides():
    with pytest.raises(InputError, match="none of the model's genes") as caught:
        gene_columns(var("Actb", "Gapdh"), GENES)
    assert "CD3E" in caught.value.expected and "Actb" in caught.value.received
