from __future__ import annotations

import subprocess
import sys

import mudata
import numpy as np
import pandas as pd
import pytest

from scadv_tf.data import datasets
from scadv_tf.data.datasets import DatasetSource, available, load, load_dataset
from scadv_tf.data.label_tables import columns_from
from scadv_tf.errors import InputError

LABELS = ["x", "y"] * 10


@pytest.fixture
def files(tmp_path, adata):
    """Two genes, A at chr1:0-100 and B at chr1:200-300, in four forms of input."""
    rna = adata(np.arange(40).reshape(20, 2), ["A", "B"], cell_type=LABELS)
    peaks = adata(
        [[1, 2, 4, 8], [0, 1, 0, 1], [3, 0, 0, 0]],
        ["chr1:10-20", "chr1:50-60", "chr1:210-220", "chr1:900-950"],
        ["a0", "a1", "a2"],
        cell_type=["x", "y", "x"],
    )
    activity = adata([[5, 6], [7, 8]], ["B", "A"], ["a2", "a0"])
    names = {"rna": rna, "peaks": peaks, "activity": activity}
    for name, content in names.items():
        content.write_h5ad(tmp_path / f"{name}.h5ad")
    (tmp_path / "genes.bed").write_text("chr1\t0\t100\tA\t0\t+\n1\t200\t300\tB\t0\t-\n")
    paths = {name: str(tmp_path / f"{name}.h5ad") for name in names}
    return paths | {"genes": str(tmp_path / "genes.bed")}


def source(**fields) -> DatasetSource:
    return DatasetSource(
        **({"label_key": "cell_type", "min_shared_genes": 1, "upstream": 0} | fields)
    )


def test_peaks_become_gene_activity_and_are_kept(files):
    data, truth = load(source(rna=files["rna"], atac=files["peaks"], genes=files["genes"]))
    assert list(data.genes) == ["A", "B"]
    np.testing.assert_array_equal(data.atac.toarray(), [[3, 4], [1, 0], [3, 0]])
    np.testing.assert_array_equal(data.peaks.toarray(), [[1, 2, 4, 8], [0, 1, 0, 1], [3, 0, 0, 0]])
    assert truth.labels.tolist() == ["x", "y", "x"]
    assert data.matching.peaks == 4 and data.matching.peaks_in_genes == 3


def test_upstream_is_passed_on(files):
    # 650 bases before the start of B, which lies on the minus strand, reach the last peak.
    data, _ = load(
        source(rna=files["rna"], atac=files["peaks"], genes=files["genes"], upstream=650)
    )
    np.testing.assert_array_equal(data.atac.toarray()[:, 1], [12, 1, 0])


def test_gene_activity_needs_no_coordinates(files):
    data, truth = load(source(rna=files["rna"], atac=files["activity"]))
    np.testing.assert_array_equal(data.atac.toarray(), [[6, 5], [8, 7]])
    assert data.peaks is None and truth is None


def test_peaks_beside_gene_activity_follow_the_order_of_its_cells(files):
    data, _ = load(source(rna=files["rna"], atac=files["activity"], atac_peaks=files["peaks"]))
    assert data.atac_cells.tolist() == ["a2", "a0"]
    np.testing.assert_array_equal(data.peaks.toarray(), [[3, 0, 0, 0], [1, 2, 4, 8]])


def test_peaks_beside_gene_activity_must_have_its_cells(tmp_path, files, adata):
    others = tmp_path / "others.h5ad"
    adata(np.ones((20, 2)), ["A", "B"]).write_h5ad(others)
    with pytest.raises(InputError, match="20 of 20 ATAC cells are not in --atac_peaks"):
        load(source(rna=files["rna"], atac=str(others), atac_peaks=files["peaks"]))
    with pytest.raises(InputError, match="are not peaks"):
        load(source(rna=files["rna"], atac=files["activity"], atac_peaks=files["activity"]))


def test_peaks_without_coordinates_tell_both_ways_out(files):
    with pytest.raises(InputError, match="not known where the genes lie") as error:
        load(source(rna=files["rna"], atac=files["peaks"]))
    assert "--genome" in error.value.advice and "--genes" in error.value.advice


def test_ensembl_identifiers_meet_the_ids_of_a_gtf(tmp_path, files, adata):
    ids = ["ENSG00000000001", "ENSG00000000002"]
    adata(np.ones((20, 2)), ids, cell_type=LABELS).write_h5ad(tmp_path / "ids.h5ad")
    lines = [("1", "100", ids[0], "A"), ("201", "300", ids[1], "B")]
    gtf = "".join(
        f'1\tx\tgene\t{s}\t{e}\t.\t+\t.\tgene_id "{i}.7"; gene_name "{n}";\n'
        for s, e, i, n in lines
    )
    (tmp_path / "genes.gtf").write_text(gtf)
    data, _ = load(
        source(
            rna=str(tmp_path / "ids.h5ad"), atac=files["peaks"], genes=str(tmp_path / "genes.gtf")
        )
    )
    assert data.genes.tolist() == ids
    np.testing.assert_array_equal(data.atac.toarray(), [[3, 4], [1, 0], [3, 0]])
    assert data.matching.atac_names_from == "gene_id"


@pytest.mark.parametrize("memory_cells", [0, 2])
def test_labels_may_come_in_tables(tmp_path, files, memory_cells):
    rows = [f"cell{i}\ttype {i % 2}" for i in reversed(range(19))]
    (tmp_path / "rna.tsv").write_text("\n".join(rows))
    (tmp_path / "atac.csv").write_text('Barcode,Cell type\na1,"type 1, late"\na0,type 0\n')
    tables = {"rna_labels": tmp_path / "rna.tsv", "atac_labels": tmp_path / "atac.csv"}
    given = {name: str(path) for name, path in tables.items()} | {"memory_cells": memory_cells}
    data, truth = load(source(rna=files["rna"], atac=files["activity"], label_key="", **given))
    assert data.types == ("type 0", "type 1") and data.matching.cells_without_label == 1
    assert data.rna_labels.tolist() == [i % 2 for i in range(19)]
    assert truth.labels.tolist() == ["", "type 0"]  # a2 is not in the table


DONORS = ["old", "new", ""]


@pytest.mark.parametrize("memory_cells", [0, 2])
def test_a_table_brings_further_columns_such_as_batches(tmp_path, files, memory_cells):
    rows = [f"cell{i},{LABELS[i]},{DONORS[i % 3]},1{i}" for i in reversed(range(20))]
    (tmp_path / "rna.csv").write_text("\n".join(["cell,label,donor,n", *rows]))
    (tmp_path / "atac.csv").write_text("cell,lane,n,n\na1,1,5,6\na0,2,5,6\na2,,5,6\n")
    tables = {f"{name}_labels": str(tmp_path / f"{name}.csv") for name in ("rna", "atac")}
    keys = {"rna_batch_key": "donor", "atac_batch_key": "lane", "memory_cells": memory_cells}
    data, truth = load(
        source(rna=files["rna"], atac=files["peaks"], genes=files["genes"], **tables, **keys)
    )
    assert data.rna_labels.tolist() == [i % 2 for i in range(20)]
    assert [*data.batches["rna"].categories] == ["new", "old"]
    assert data.batches["rna"].codes.tolist() == [[1, 0, -1][i % 3] for i in range(20)]
    assert data.rna_obs["n"].tolist() == [f"1{i}" for i in range(20)]
    assert [*data.batches["atac"].categories] == ["1", "2"]
    assert data.batches["atac"].codes.tolist() == [1, 0, -1]
    # The labels that the file has stay, since a column of batches is none; `n` may be either.
    assert truth.labels.tolist() == ["x", "y", "x"] and "n" not in data.atac_obs


def test_a_table_replaces_what_it_is_asked_for_alone(tmp_path, files):
    header = "cell,label,cell_type,donor\n"
    rows = "".join(f"cell{i},{i % 2},{i % 3},{i % 4}\n" for i in range(20))
    (tmp_path / "rna.csv").write_text(header + rows)
    given = {"rna": files["rna"], "atac": files["activity"], "rna_batch_key": "donor"}
    data, _ = load(source(rna_labels=str(tmp_path / "rna.csv"), label_key="label", **given))
    assert data.types == ("0", "1") and len(data.batches["rna"].categories) == 4
    assert data.rna_obs["cell_type"].tolist() == LABELS


def test_a_column_of_several_texts_a_cell_is_left_out_and_told(tmp_path, caplog):
    (tmp_path / "labels.csv").write_text("cell,type,donor,n\nc1,T,old,1\nc1,T,old,2\nc2,B,new,3\n")
    found = columns_from(str(tmp_path / "labels.csv"), ["c1", "c2"], "--rna_labels", "type")
    assert {name: [*texts] for name, texts in found.items()} == {
        "type": ["T", "B"],
        "donor": ["old", "new"],
    }
    assert "--rna_labels: the column 'n' is left out, of which c1 has 1 and 2" in caplog.messages


@pytest.mark.parametrize("first", ["c1,T,7", "c9,T,8", "AAACCCGG-1,T,9"])
def test_columns_without_a_heading_have_no_name(tmp_path, first):
    (tmp_path / "labels.csv").write_text(f"{first}\nc1,T,7\nc2,B,7\nc3,T,8\nc4,B,9\n")
    found = columns_from(str(tmp_path / "labels.csv"), ["c1", "c2"], "--rna_labels", "type")
    assert {name: [*texts] for name, texts in found.items()} == {"type": ["T", "B"]}


def test_a_batch_key_that_nobody_has_tells_of_tables(files):
    given = {"rna": files["rna"], "atac": files["activity"], "atac_batch_key": "lane"}
    with pytest.raises(InputError, match="no column 'lane'") as error:
        load(source(**given))
    assert "a table of cell,label,lane by --atac_labels" in error.value.advice


LABELLED = [(f"cell{i}", "T, naïve" if i % 2 else "B cell") for i in range(19)]
TABLES = {
    "semicolons": "".join(f"{cell};{label}\n" for cell, label in LABELLED),
    "numbers of rows before the names": ",cell,label\n"
    + "".join(f'{i},{cell},"{label}"\n' for i, (cell, label) in enumerate(LABELLED)),
    "of R, with spaces": '"x"\n' + "".join(f'"{cell}" "{label}"\n' for cell, label in LABELLED),
    "labels first": "label\tcell\n" + "".join(f"{label}\t{cell}\n" for cell, label in LABELLED),
    "among other columns": "cell,orig.ident,Cell_Type\n"
    + "".join(f'{cell},sample,"{label}"\n' for cell, label in LABELLED),
    "by another heading, behind numbers": "barcode,n_counts,leiden,Cell type label\n"
    + "".join(f'{cell},{i},0,"{label}"\n' for i, (cell, label) in enumerate(LABELLED)),
    "the key's heading before others": "barcode,label,cell.type\n"
    + "".join(f'{cell},other,"{label}"\n' for cell, label in LABELLED),
    "a mark at each line's end": "cell;cell_type\n"
    + "".join(f"{cell};{label};\n" for cell, label in LABELLED),
    "of an old Macintosh": "\r".join(f"{cell}\t{label}" for cell, label in LABELLED),
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("kind", TABLES)
def test_tables_of_labels_as_other_programs_save_them(tmp_path, kind, encoding):
    path = tmp_path / "labels.txt"
    path.write_bytes(TABLES[kind].encode(encoding))
    cells, labels = zip(*reversed(LABELLED), strict=True)
    found = columns_from(str(path), ["cell19", *cells], "--rna_labels", "cell_type")["cell_type"]
    assert pd.isna(found[0]) and found.tolist()[1:] == list(labels)


def test_a_table_of_labels_gives_the_types_of_the_cells_in_it(tmp_path, files):
    (tmp_path / "labels.txt").write_text(TABLES["semicolons"], encoding="utf-8")
    given = {"rna": files["rna"], "atac": files["activity"], "label_key": "cell_type"}
    data, _ = load(source(rna_labels=str(tmp_path / "labels.txt"), **given))
    assert data.types == ("B cell", "T, naïve")
    assert data.rna_labels.tolist() == [i % 2 for i in range(19)]


def test_labels_behind_the_names_are_told_where_headings_say_nothing(tmp_path, caplog):
    rows = "".join(f"c{i},{i % 2},{i}\n" for i in range(4))
    (tmp_path / "labels.csv").write_text(f"cell,leiden,n\n{rows}")
    path, cells = str(tmp_path / "labels.csv"), [f"c{i}" for i in range(4)]
    assert (
        columns_from(path, cells, "--rna_labels", "cell_type")["cell_type"].tolist()
        == ["0", "1"] * 2
    )
    assert "--rna_labels: labels are taken from column 2, 'leiden'" in caplog.messages


@pytest.mark.parametrize("form", ["{}", "s1_{}-1", "s1#{}-1", "{}.1"])
def test_cells_of_a_table_of_labels_by_their_bases(tmp_path, form):
    bases = ["AAACCCGG", "AAACCCGT", "AAACCCTT"]
    rows = "".join(f"{form.format(name)},T{i}\n" for i, name in enumerate(bases))
    (tmp_path / "labels.csv").write_text(f"Barcode,Cell type\n{rows}")
    cells = [f"{name}-1" for name in reversed(bases)] + ["TTTTTTTT-1"]
    found = columns_from(str(tmp_path / "labels.csv"), cells, "--rna_labels", "type")["type"]
    assert found.tolist()[:3] == ["T2", "T1", "T0"] and found.isna().tolist() == [False] * 3 + [
        True
    ]


@pytest.mark.parametrize(
    "heading, line",
    [(",barcode,cell_type", "{n},{name},T{n}"), ("cell_type,barcode", "T{n},{name}"),
     ("sample,barcode,cell_type", "s1,{name},T{n}"), ("a,b,cell_type", "x,{name},T{n}")],
)  # fmt: skip
def test_barcodes_without_endings_may_stand_in_any_column(tmp_path, heading, line):
    bases = ["AAACCCGG", "AAACCCGT", "AAACCCTT"]
    rows = [line.format(n=n, name=name) for n, name in enumerate(bases)]
    (tmp_path / "labels.csv").write_text("\n".join([heading, *rows]))
    cells = [f"{name}-1" for name in bases]
    found = columns_from(str(tmp_path / "labels.csv"), cells, "--rna_labels", "cell_type")
    assert found["cell_type"].tolist() == ["T0", "T1", "T2"]


@pytest.mark.parametrize(
    "heading, line",
    [(",cell,cell_type", "{row},{cell},T{cell}"), ("leiden,cell,cell_type", "{two},{cell},T{cell}"),
     ("leiden,name,cell_type", "{two},{cell},T{cell}")],
)  # fmt: skip
def test_numbers_of_rows_or_clusters_are_no_names_of_cells(tmp_path, heading, line):
    """Cells that are called by numbers; the table has them from the third on, in another order."""
    cells = [str(number) for number in range(12)]
    rows = [
        line.format(row=row, cell=cell, two=row % 2)
        for row, cell in enumerate([7, 3, 11, 2, 5, 4, 6, 10, 8, 9])
    ]
    (tmp_path / "labels.csv").write_text("\n".join([heading, *rows]))
    found = columns_from(str(tmp_path / "labels.csv"), cells, "--rna_labels", "cell_type")
    assert found["cell_type"].isna().tolist() == [True] * 2 + [False] * 10
    assert found["cell_type"].tolist()[2:] == [f"T{cell}" for cell in range(2, 12)]


SCORED = ",orig.ident,predicted.celltype.score,predicted.celltype,mapping.score"


def test_scores_are_no_types(tmp_path, caplog):
    rows = [f"c{i},s,0.{i},T{i % 2},1" for i in range(4)]
    (tmp_path / "labels.csv").write_text("\n".join([SCORED, *rows]))
    path, cells = str(tmp_path / "labels.csv"), [f"c{i}" for i in range(4)]
    found = columns_from(path, cells, "--rna_labels", "cell_type")
    assert found["cell_type"].tolist() == ["T0", "T1"] * 2
    assert found["predicted.celltype.score"].tolist() == ["0.0", "0.1", "0.2", "0.3"]


def test_a_named_column_that_the_table_lacks_is_refused(tmp_path):
    rows = [f"c{i},s,0.{i},T{i % 2},1" for i in range(4)]
    (tmp_path / "labels.csv").write_text("\n".join([SCORED, *rows]))
    given = str(tmp_path / "labels.csv"), ["c0", "c1"]
    with pytest.raises(InputError, match="no column 'celltype.l2'") as error:
        columns_from(*given, "--rna_labels", "celltype.l2", stated=True)
    assert "predicted.celltype, mapping.score" in error.value.received
    assert "--label_key" in error.value.advice
    (tmp_path / "labels.csv").write_text("cell,kind\nc0,T\nc1,B\n")  # there is no other to mean
    found = columns_from(*given, "--rna_labels", "celltype.l2", stated=True)
    assert found["celltype.l2"].tolist() == ["T", "B"]


@pytest.mark.parametrize("heading, taken", [("donor", False), ("annotation", True), ("x", False)])
def test_labels_of_the_file_give_way_to_those_of_the_table_alone(
    tmp_path, files, heading, taken, caplog
):
    rows = "".join(f"cell{i},new {i % 2}\n" for i in range(20))
    (tmp_path / "rna.csv").write_text(f"cell,{heading}\n{rows}")
    given = {"rna": files["rna"], "atac": files["activity"]}
    data, _ = load(source(rna_labels=str(tmp_path / "rna.csv"), **given))
    assert data.types == (("new 0", "new 1") if taken else tuple(sorted(set(LABELS))))
    assert ("in place of those of the file" in caplog.text) == taken
    assert ("labels stay those of the file" in caplog.text) == (not taken)
    assert taken or data.rna_obs[heading].tolist() == ["new 0", "new 1"] * 10


def test_the_level_of_the_atac_labels_is_no_label_of_the_rna_cells(tmp_path, files):
    rows = "".join(f"cell{i},broad {LABELS[i]}\n" for i in range(20))
    (tmp_path / "rna.csv").write_text(f"cell,cell_type_broad\n{rows}")
    (tmp_path / "atac.csv").write_text("cell,cell_type_broad\na0,broad x\na1,broad y\n")
    tables = {f"{name}_labels": str(tmp_path / f"{name}.csv") for name in ("rna", "atac")}
    given = {"rna": files["rna"], "atac": files["activity"], "atac_label_key": "cell_type_broad"}
    data, truth = load(source(**given, **tables))
    assert data.types == tuple(sorted(set(LABELS)))
    assert truth.level == {name: f"broad {name}" for name in data.types}


def test_cells_of_several_samples_are_not_matched_by_their_bases(tmp_path):
    (tmp_path / "labels.csv").write_text("s1_AAACCCGG,T\ns2_AAACCCGT,B\n")
    with pytest.raises(InputError, match="names none of the cells") as error:
        columns_from(
            str(tmp_path / "labels.csv"), ["AAACCCGG-1", "AAACCCGT-1"], "--rna_labels", "type"
        )
    assert error.value.received == "names such as s1_AAACCCGG, s2_AAACCCGT"


def test_a_label_that_a_comma_would_cut_is_refused(tmp_path):
    (tmp_path / "labels.csv").write_text("cell,type\nc1,T\nc2,NK, bright\n")
    with pytest.raises(InputError, match="could not be read") as error:
        columns_from(str(tmp_path / "labels.csv"), ["c1", "c2"], "--rna_labels", "type")
    assert "'c2 | NK | bright' has 3 fields, and the first line 2" in error.value.received


@pytest.mark.parametrize(
    "text, what",
    [
        ("x,T\ny,B\n", "names none of the cells"),
        ("cell1,T\ncell1,B\n", "several labels"),
        ("cell1\ncell2\n", "could not be read"),
        ("", "could not be read"),
        ('cell1,"T\ncell2,B\n', "quotation marks opens, and none closes it"),
        ('cell1,"T\n' + "cell2,B\n" * 20_000, "quotation marks opens, and none closes it"),
    ],
)
def test_a_table_that_does_not_label_the_cells(tmp_path, files, text, what):
    (tmp_path / "labels.csv").write_text(text)
    given = {"rna": files["rna"], "atac": files["activity"]}
    with pytest.raises(InputError, match=what) as error:
        load(source(rna_labels=str(tmp_path / "labels.csv"), **given))
    assert "--rna_labels" in str(error.value)


def test_both_modalities_from_one_h5mu(tmp_path, files, adata):
    cells = [f"c{i}" for i in range(20)]
    rna = adata(np.ones((20, 2)), ["A", "B"], cells)
    atac = adata(np.ones((20, 2)), ["chr1:10-20", "chr1:210-220"], cells)
    with mudata.set_options(pull_on_update=False):
        both = mudata.MuData({"rna": rna, "atac": atac})
        both.obs["cell_type"] = LABELS
        both.write(tmp_path / "both.h5mu")
    path = str(tmp_path / "both.h5mu")
    data, truth = load(source(rna=path, atac=path, genes=files["genes"]))
    assert data.types == ("x", "y") and truth.labels.tolist() == LABELS


@pytest.mark.parametrize("memory_cells", [30_000, 4])
def test_a_file_of_one_modality_as_both_is_told(tmp_path, files, adata, memory_cells):
    """But not two layers of one file, such as counts and gene activity of the same cells."""
    link = tmp_path / "link.h5ad"
    link.symlink_to(files["rna"])
    given = {"genes": "", "memory_cells": memory_cells, "scratch": str(tmp_path)}
    told = "--rna and --atac are the same counts of one file"
    data, _ = load(source(rna=files["rna"], atac=str(link), **given))
    assert any(told in text for text in data.matching.warnings)
    both = adata(np.arange(40).reshape(20, 2), ["A", "B"], cell_type=LABELS)
    both.layers["activity"] = both.X * 2
    both.write_h5ad(tmp_path / "both.h5ad")
    path = str(tmp_path / "both.h5ad")
    data, _ = load(source(rna=path, atac=path, atac_layer="activity", **given))
    assert not any(told in text for text in data.matching.warnings)
    np.testing.assert_array_equal(data.atac[:].toarray(), data.rna[:].toarray() * 2)


def test_both_modalities_from_one_10x_file(write_10x_h5, files):
    kinds = ["Gene Expression"] * 2 + ["Peaks"] * 2
    names = ["A", "B", "chr1:10-20", "chr1:210-220"]
    path = str(write_10x_h5([[1, 0, 2, 3], [0, 1, 4, 5]], names, names, kinds))
    data, truth = load(source(rna=path, atac=path, genes=files["genes"], label_key=""))
    np.testing.assert_array_equal(data.rna.toarray(), [[1, 0], [0, 1]])
    np.testing.assert_array_equal(data.atac.toarray(), [[2, 3], [4, 5]])
    assert data.rna_labels is None and truth is None


def test_labels_are_checked_before_atac_is_read(files, monkeypatch):
    read = []
    original = datasets.open_cells
    monkeypatch.setattr(datasets, "open_cells", lambda *a: (read.append(a[1]), original(*a))[1])
    with pytest.raises(InputError, match="no column 'type'"):
        load(source(rna=files["rna"], atac=files["activity"], label_key="type"))
    assert read == ["rna"]


@pytest.mark.parametrize("missing", ["rna", "atac", "atac_peaks", "genes"])
def test_missing_files_are_told_before_anything_is_read(files, missing, monkeypatch):
    monkeypatch.setattr(datasets, "open_cells", lambda *a: pytest.fail("was read"))
    given = {"rna": files["rna"], "atac": files["peaks"]} | {missing: "no/such.h5ad"}
    with pytest.raises(InputError, match=f"the file of --{missing} does not exist"):
        load(source(**given))


def test_swapped_files_are_told(files):
    with pytest.raises(InputError, match="features of the RNA cells are peaks") as error:
        load(source(rna=files["peaks"], atac=files["rna"], genes=files["genes"]))
    assert "--rna and --atac are not swapped" in error.value.advice


@pytest.mark.parametrize("missing", ["rna", "atac"])
def test_own_data_need_both_files(files, missing):
    given = {"rna": files["rna"], "atac": files["activity"]} | {missing: ""}
    with pytest.raises(InputError, match=f"--{missing} is not given") as error:
        load_dataset("custom", source(**given))
    assert "pbmc" in error.value.advice


def test_unknown_name_lists_the_names_and_own_files():
    assert available() == ["custom", "mouse_skin", "pbmc", "pbmc_10k", "synthetic"]
    with pytest.raises(InputError, match="custom, mouse_skin, pbmc, pbmc_10k, synthetic") as error:
        load_dataset("pbcm")
    assert "--rna=FILE --atac=FILE" in error.value.advice


def test_files_are_refused_where_the_data_set_has_its_own(files):
    with pytest.raises(InputError, match="brings its own cells"):
        load_dataset("pbmc", source(rna=files["rna"]))
    with pytest.raises(InputError, match="brings its own cells"):  # it would not be looked at
        load_dataset("synthetic", source(genes=files["genes"]))


@pytest.mark.parametrize(
    "field, value",
    [
        ("upstream", -1),
        ("upstream", 10**9 + 1),
        ("min_shared_genes", 0),
        ("synthetic_difficulty", 1.1),
        ("synthetic_cells", 0),
        ("seed", -1),
    ],
)
def test_a_source_checks_itself(field, value):
    with pytest.raises(InputError, match=f"The setting {field} "):
        DatasetSource(**{field: value})


@pytest.mark.parametrize("genome", ["GRCm39", "mm39", "hg17", "rn7", "BDGP6", "human"])
@pytest.mark.parametrize("name", ["pbmc", "synthetic", "custom"])
def test_a_genome_that_is_not_embedded_asks_for_its_genes(files, name, genome):
    """Before anything is read."""
    own = {"rna": files["rna"], "atac": files["rna"]} if name == "custom" else {}
    with pytest.raises(InputError, match="not embedded") as error:
        load_dataset(name, source(**own, genome=genome))
    assert error.value.received == f"--genome={genome}"
    assert "hg19 (grch37)" in error.value.expected and "--genes=FILE" in error.value.advice


def test_with_genes_of_ones_own_a_genome_may_have_any_name(files):
    own = {name: files[of] for name, of in (("rna", "rna"), ("atac", "peaks"), ("genes", "genes"))}
    data, _ = load_dataset("custom", source(genome="mm39", **own))
    assert list(data.genes) == ["A", "B"]


def test_a_recipe_can_be_added(monkeypatch):
    monkeypatch.setitem(datasets._RECIPES, "mine", lambda given: (given.seed, None))
    assert "mine" in available()
    assert load_dataset("mine", DatasetSource(seed=7)) == (7, None)


@pytest.fixture(scope="module")
def pbmc():
    return load_dataset("pbmc")


def test_pbmc(pbmc):
    data, truth = pbmc
    assert data.rna.shape[0] == 2638 and data.atac.shape[0] == 2252
    assert 1050 <= len(data.genes) <= 1110 and len(set(data.genes)) == len(data.genes)
    assert data.peaks.shape == (2252, 4512)
    assert len(data.types) == 9
    assert set(truth.level.values()) == {"T/NK", "Myeloid", "B", "Platelet"}
    assert set(truth.labels) == {"T/NK", "Myeloid", "B"}
    assert data.matching.rare_types == {}


def test_pbmc_gene_activity_knows_its_biology(pbmc):
    """Markers on chromosomes 10 and 11: MS4A1 is open in B, CD3E in T, LMO2 in myeloid cells."""
    data, truth = pbmc
    depth = np.asarray(data.peaks.sum(axis=1)).ravel()
    rates = data.atac.toarray() / depth[:, None]
    groups = ["B", "T/NK", "Myeloid"]
    for gene, group in {"MS4A1": "B", "CD3E": "T/NK", "LMO2": "Myeloid"}.items():
        of_gene = rates[:, list(data.genes).index(gene)]
        means = [of_gene[truth.labels == name].mean() for name in groups]
        assert groups[int(np.argmax(means))] == group, (gene, means)


@pytest.mark.slow
def test_pbmc_takes_the_users_choices():
    data, truth = load_dataset(
        "pbmc", DatasetSource(label_key="cell_type_broad", drop_types=("B",))
    )
    assert data.types == ("Myeloid", "Platelet", "T/NK")
    assert set(truth.labels) == {"Myeloid", "T/NK"}


def test_synthetic_goes_the_way_of_files():
    data, truth = load_dataset(
        "synthetic", DatasetSource(synthetic_cells=60, synthetic_difficulty=0.2, seed=3)
    )
    assert data.rna.shape[0] == data.atac.shape[0] == 60
    assert data.peaks.shape[1] > len(data.genes) > 500
    assert set(truth.labels) == set(data.types)
    assert data.matching.peaks_in_genes < data.matching.peaks


@pytest.mark.slow
def test_the_import_is_light_and_free_of_models():
    code = (
        "import sys; from scadv_tf.data import datasets, gene_activity, readers, synthetic; "
        "heavy = {'tensorflow', 'keras', 'absl', 'anndata', 'scanpy', 'matplotlib', "
        "'sklearn', 'h5py'}; sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
