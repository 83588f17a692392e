"""Names that hold line breaks come through lists of a name a line."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scadv_tf.client.assets import Assets
from scadv_tf.data.gene_coordinates import chromosomes
from scadv_tf.data.one_line import one_line
from scadv_tf.data.pairing import Intervals, pair

BREAKS = [chr(n) for n in range(0x2100) if len(f"a{chr(n)}b".splitlines()) > 1] + ["\r\n"]


@pytest.mark.parametrize("between", BREAKS)
def test_a_break_of_any_kind_becomes_a_space(between):
    assert one_line(f"B{between}cell") == "B cell"
    assert one_line("B  cell ") == "B  cell "  # all else stays


def test_a_letter_and_its_mark_are_one_sign(adata):
    """macOS takes them apart, in names of files and lists made of these."""
    assert one_line("Mu\u0308ller") == "M\u00fcller"
    genes = ["A", "B"]
    rna = adata([[1, 2]] * 4, genes, cell_type=["Mu\u0308ller", "M\u00fcller", "T", "B"])
    atac = adata([[1, 2]] * 2, genes, cell_type=["M\u00fcller", "T"])
    for name in ("Mu\u0308ller", "M\u00fcller"):
        data, _ = pair(rna, atac, "cell_type", drop_types=[name], min_shared_genes=1)
        assert data.types == ("B", "T") and len(data.atac_cells) == 1


@pytest.mark.parametrize("unseen", ["\u00ad", "\u200b", "\u2060", "\ufeff"])
def test_names_that_look_alike_are_alike(adata, unseen):
    genes = ["A", "B"]
    labels = [f"{unseen}T cell", "T cell", f"T{unseen} cell", "B"]
    rna = adata([[1, 2]] * 4, genes, cell_type=labels)
    atac = adata([[1, 2]] * 2, [f"A{unseen}", "B"], cell_type=["T cell", "B"])
    data, truth = pair(rna, atac, "cell_type", min_shared_genes=1)
    assert data.types == ("B", "T cell") and data.genes.tolist() == genes
    assert one_line("Z\u200c\u200d") == "Z\u200c\u200d"  # these join letters, or part them


@pytest.mark.parametrize("between", BREAKS)
def test_types_and_genes_of_a_training_are_of_one_line(adata, between):
    genes = [f"A{between}1", "B", "C"]
    rna = adata([[1, 2, 3]] * 4, genes, cell_type=[f"B{between}cell", "T", "T", "T"])
    atac = adata([[1, 2, 3]] * 2, genes, cell_type=["T", f"B{between}cell"])
    given = {"drop_types": [f"B{between}cell"], "min_shared_genes": 1, "supervised": False}
    data, truth = pair(rna, atac, "cell_type", min_shared_genes=1)
    assert data.types == ("B cell", "T") and data.genes.tolist() == ["A 1", "B", "C"]
    assert truth.labels.tolist() == ["T", "B cell"]
    assert len(pair(rna, atac, "cell_type", **given)[0].rna_cells) == 3


def test_chromosomes_are_of_one_line():
    assert chromosomes(pd.Series(["chr1\x851", "chr2"])).tolist() == ["chr1 1", "chr2"]


@pytest.mark.parametrize("names", [[], ["T"], ["T\x85cell", "B\u2028cell", "NK"]])
def test_a_list_is_read_as_it_was_written(tmp_path, names):
    """Exports of earlier versions have such names."""
    manifest = {"format": 1, "genes": 1, "types": names, "peaks": 0}
    (tmp_path / "assets").mkdir()
    for name, text in Assets(np.array(["A"]), tuple(names), manifest=manifest).texts().items():
        (tmp_path / "assets" / name).write_text(text, encoding="utf-8")
    assert Assets.read(tmp_path).types == tuple(names)


def test_coordinates_keep_the_names_of_genes(tmp_path):
    """A table of genes may have signs in them that other tables mean something by."""
    names = ['IL2"x', '"A"', "B'", "C,D"]
    genes = pd.DataFrame({"chrom": "1", "start": 1, "end": 9, "gene": names, "strand": "+"})
    peaks = pd.DataFrame({"chrom": ["1"], "start": [1], "end": [9]})
    manifest = {"format": 1, "genes": 4, "types": [], "peaks": 1, "upstream": 0}
    written = Assets(np.array(names), (), Intervals(peaks, genes, 0), manifest)
    (tmp_path / "assets").mkdir()
    for name, text in written.texts().items():
        (tmp_path / "assets" / name).write_text(text, encoding="utf-8")
    found = Assets.read(tmp_path)
    assert found.genes.tolist() == names and found.intervals.genes["gene"].tolist() == names
