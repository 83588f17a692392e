"""The data sets that are downloaded, on replicas of their files."""

from __future__ import annotations

import dataclasses
import errno
import logging
import multiprocessing
import sys

import anndata
import numpy as np
import pandas as pd
import pytest
from public_server import serving
from replicas import barcode, mouse_skin_files, pbmc_10k_files

import scadv_tf
from scadv_tf import RunConfig, training
from scadv_tf.data import datasets
from scadv_tf.data.datasets import DatasetSource, load_dataset
from scadv_tf.data.downloads import CHECKSUMS
from scadv_tf.data.recipes import conversion, mouse_skin, pbmc_10k, public_data
from scadv_tf.errors import InputError

MEASURED = "R1.01.R2.0{}.R3.06.P1.{}"


@pytest.fixture
def pbmc(tmp_path, write_10x_h5):
    """Five RNA cells, of which the object has four; five ATAC cells, of which one is good."""
    pbmc_10k_files(
        tmp_path,
        write_10x_h5,
        rna=[[1, 0, 2], [0, 3, 0], [9, 9, 9], [4, 0, 0], [0, 0, 5]],
        genes=["A1BG", "DUP", "DUP"],
        numbers=[6, 2, 999, 0, 3],
        atac=[[5000, 0], [2501, 2500], [0, 6000], [4999, 0], [5001, 0]],
        peaks=["chr1:100-200", "chr2:100-200"],
        called=[True, True, False, True, False],
    )
    return tmp_path


@pytest.fixture
def skin(tmp_path):
    """Three cells with types, one 'Mix' and one that the table lacks, in another order in ATAC."""
    names = [MEASURED.format(i, 53) for i in range(5)]
    types = [(MEASURED.format(i, "05"), names[i], kind) for i, kind in enumerate("xyx")]
    types.append((MEASURED.format(3, "05"), names[3], "Mix"))
    order = [3, 2, 0, 1]
    mouse_skin_files(
        tmp_path,
        rna=[[1, 0], [0, 2], [3, 4], [9, 9], [8, 8]],
        genes=["Xkr4", "Rp1"],
        rna_cells=[name.replace(".R", ",R").replace(".P", ",P") for name in names],
        atac=np.array([[0, 1], [2, 0], [0, 3], [7, 7]])[order],
        peaks=[("chr1", 3_214_500, 3_215_000), ("chr1", 4_290_900, 4_291_000)],
        atac_cells=[names[i] for i in order],
        types=types,
    )
    return tmp_path


def ready(data, folder) -> dict[str, anndata.AnnData]:
    return {each: anndata.read_h5ad(path) for each, path in data.ready(str(folder)).items()}


def test_rna_cells_of_pbmc_10k_are_those_that_the_object_describes(pbmc):
    rna = ready(pbmc_10k.DATA, pbmc)["rna"]
    # Cell 999 is not in it.
    assert rna.obs_names.tolist() == [barcode(number) for number in (6, 2, 0, 3)]
    np.testing.assert_array_equal(rna.X.toarray(), [[1, 0, 2], [0, 3, 0], [4, 0, 0], [0, 0, 5]])
    assert rna.obs["celltype"].tolist() == ["NK bright", "NK dim", "CD14+ Monocytes", "pre-B cell"]
    assert rna.obs["cell_type"].tolist() == ["NK cell", "NK cell", "CD14+ Monocytes", "pre-B cell"]
    assert rna.var["scadv_original_name"].tolist() == ["A1BG", "DUP", "DUP"]
    assert "CC BY 4.0" in rna.uns["notice"]


def test_atac_cells_of_pbmc_10k_have_more_than_5000_counts_and_were_called(pbmc):
    """Of 5000, 5001, 6000 (no cell), 4999 and 5001 (no cell) counts."""
    atac = ready(pbmc_10k.DATA, pbmc)["atac"]
    assert atac.obs_names.tolist() == [barcode(1)]
    np.testing.assert_array_equal(atac.X.toarray(), [[2501, 2500]])
    assert atac.var_names.tolist() == ["chr1:100-200", "chr2:100-200"]
    assert atac.obs["blacklist_region_fragments"].tolist() == [1]
    assert atac.obs["passed_filters"].tolist() == [8000] and "cell_type" not in atac.obs


def test_cells_of_mouse_skin_are_those_with_a_type_but_mix(skin):
    found = ready(mouse_skin.DATA, skin)
    names = [MEASURED.format(i, 53) for i in range(3)]
    assert found["rna"].obs_names.tolist() == names
    assert found["rna"].obs["cell_type"].tolist() == ["x", "y", "x"]
    np.testing.assert_array_equal(found["rna"].X.toarray(), [[1, 0], [0, 2], [3, 4]])
    assert found["rna"].var_names.tolist() == ["Xkr4", "Rp1"]
    assert found["atac"].obs_names.tolist() == [names[2], names[0], names[1]]
    assert found["atac"].obs["cell_type"].tolist() == ["x", "x", "y"]
    np.testing.assert_array_equal(found["atac"].X.toarray(), [[0, 3], [0, 1], [2, 0]])
    assert found["atac"].var_names.tolist() == ["chr1:3214500-3215000", "chr1:4290900-4291000"]


def test_blocks_of_cells_make_the_same_files(skin, monkeypatch):
    whole = ready(mouse_skin.DATA, skin)
    for path in skin.glob("*.h5ad"):
        path.unlink()
    monkeypatch.setattr(conversion, "CELLS_AT_ONCE", 1)
    for modality, found in ready(mouse_skin.DATA, skin).items():
        np.testing.assert_array_equal(found.X.toarray(), whole[modality].X.toarray())
        pd.testing.assert_frame_equal(found.obs, whole[modality].obs)


def test_mouse_skin_is_loaded_with_its_genome_and_its_truth(skin):
    data, truth = load_dataset("mouse_skin", DatasetSource(data_dir=str(skin), min_shared_genes=1))
    assert [data.types[label] for label in data.rna_labels] == ["x", "y", "x"]
    assert truth.labels.tolist() == ["x", "x", "y"]
    assert data.genes.tolist() == ["Xkr4", "Rp1"]  # of mm10, where these peaks lie
    np.testing.assert_array_equal(data.atac.toarray(), [[0, 3], [0, 1], [2, 0]])


def of_server(data, server):
    files = tuple(dataclasses.replace(f, address=server.address(f.name)) for f in data.files)
    return dataclasses.replace(data, files=files)


def test_what_is_not_there_is_downloaded_and_a_second_run_starts_at_once(skin, tmp_path):
    contents = {path.name: path.read_bytes() for path in skin.iterdir()}
    folder = tmp_path / "new" / "cache"
    with serving(contents) as server:
        first = ready(of_server(mouse_skin.DATA, server), folder)
        assert sorted(name for name, _ in server.asked) == sorted(contents)
        for name in contents:
            (folder / name).unlink()
        second = ready(of_server(mouse_skin.DATA, server), folder)
        assert len(server.asked) == len(contents)
    np.testing.assert_array_equal(first["rna"].X.toarray(), second["rna"].X.toarray())
    left = {"mouse_skin.v1.rna.h5ad", "mouse_skin.v1.atac.h5ad", CHECKSUMS, ".mouse_skin.lock"}
    assert {path.name for path in folder.iterdir()} == left


def _make_ready(data, folder) -> None:
    data.ready(str(folder))


@pytest.mark.slow
def test_of_two_processes_one_downloads_and_converts(skin, tmp_path):
    contents = {path.name: path.read_bytes() for path in skin.iterdir()}
    start, folder = multiprocessing.get_context("spawn"), tmp_path / "cache"
    with serving(contents) as server:
        given = of_server(mouse_skin.DATA, server), folder
        both = [start.Process(target=_make_ready, args=given) for _ in range(2)]
        for process in both:
            process.start()
        for process in both:
            process.join(120)
            assert process.exitcode == 0
        assert sorted(name for name, _ in server.asked) == sorted(contents)
    assert len(ready(mouse_skin.DATA, folder)["atac"]) == 3


def test_the_default_folder_is_the_users_cache(skin, tmp_path, monkeypatch):
    monkeypatch.setattr(public_data, "cache_folder", lambda: skin)
    assert mouse_skin.DATA.ready("")["rna"].parent == skin


def test_licence_citation_and_other_numbers_than_the_documents_are_told(skin, caplog):
    caplog.set_level(logging.INFO)
    mouse_skin.DATA.ready(str(skin))
    told = caplog.text
    assert "doi:10.1016/j.cell.2020.09.056" in told
    warned = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert warned == ["  3 cells; the document counts 32,231"] * 2


def test_nothing_is_left_half_converted(skin, monkeypatch):
    (skin / mouse_skin.PEAKS.name).write_bytes(b"\x1f\x8b damaged")
    with pytest.raises(InputError, match="could not be read"):
        mouse_skin.DATA.ready(str(skin))
    assert {path.name for path in skin.glob("*.h5ad")} == {"mouse_skin.v1.rna.h5ad"}
    assert not list(skin.glob(".part-*")) and not list(skin.glob(".scadv-*"))


def test_what_a_killed_conversion_left_is_removed_and_nothing_else(skin):
    left = [f".part-{'0' * 32}-{name}.v1.rna.h5ad" for name in ("mouse_skin", "pbmc_10k")]
    for name in left:
        (skin / name).write_text("half")
    mouse_skin.DATA.ready(str(skin))
    assert [path.name for path in skin.glob(".part-*")] == left[1:]


@pytest.mark.parametrize("left", [0, 20, 1000])
def test_cells_that_a_power_cut_has_left_damaged_are_made_again(skin, caplog, left):
    whole = ready(mouse_skin.DATA, skin)["atac"]
    path = skin / "mouse_skin.v1.atac.h5ad"
    path.write_bytes(path.read_bytes()[:left])
    found = ready(mouse_skin.DATA, skin)["atac"]
    np.testing.assert_array_equal(found.X.toarray(), whole.X.toarray())
    assert f"{path} is damaged: it is made again" in caplog.text


@pytest.mark.parametrize("name", [mouse_skin.PEAKS.name, mouse_skin.PEAK_BARCODES.name])
def test_a_damaged_table_beside_the_counts_is_told_by_its_name(skin, name):
    (skin / name).write_bytes((skin / name).read_bytes()[:-9])
    with pytest.raises(InputError) as error:
        mouse_skin.DATA.ready(str(skin))
    assert error.value.what == f"{skin / name} could not be read"
    assert error.value.received.startswith("EOFError: Compressed file ended before")


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "barcode,total\nx-1,5\n", ""])
def test_another_table_of_barcodes_is_refused(pbmc, text):
    (pbmc / pbmc_10k.BARCODES.name).write_text(text)
    with pytest.raises(InputError, match="could not be read") as error:
        pbmc_10k.DATA.ready(str(pbmc))
    assert "singlecell.csv" in str(error.value)


def test_files_of_different_experiments_are_told(pbmc):
    table = pbmc / pbmc_10k.BARCODES.name
    table.write_text(table.read_text().replace("-1,", "-2,"))
    with pytest.raises(InputError, match="names none of the cells") as error:
        pbmc_10k.DATA.ready(str(pbmc))
    assert barcode(0) in error.value.expected and "-2" in error.value.received


def test_another_object_of_r_is_refused(pbmc):
    (pbmc / pbmc_10k.OBJECT.name).write_bytes(b"no object")
    with pytest.raises(InputError, match=r"pbmc_10k_v3\.rds could not be read"):
        pbmc_10k.DATA.ready(str(pbmc))


def test_without_the_package_that_reads_r_nothing_is_downloaded(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rdata", None)
    with serving({}) as server, pytest.raises(InputError, match="object of R") as error:
        of_server(pbmc_10k.DATA, server).ready(str(tmp_path / "new"))
    assert "[rds]" in error.value.advice
    assert not server.asked and not (tmp_path / "new").exists()


@pytest.mark.parametrize("folder", ["file", "file/below"])
def test_what_can_be_no_folder_is_told(tmp_path, folder):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be put there") as error:
        mouse_skin.DATA.ready(str(tmp_path / folder))
    assert str(tmp_path / folder) in error.value.received


def test_a_folder_that_is_read_only_will_do_once_the_cells_are_converted(skin, monkeypatch):
    def refused(**_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(public_data.tempfile, "TemporaryFile", refused)
    with pytest.raises(InputError, match="cannot be put there") as error:
        mouse_skin.DATA.ready(str(skin))
    assert error.value.received == f"{skin} (Read-only file system)"
    monkeypatch.undo()
    mouse_skin.DATA.ready(str(skin))
    monkeypatch.setattr(public_data.tempfile, "TemporaryFile", refused)
    assert mouse_skin.DATA.ready(str(skin))["rna"].exists()


def test_every_published_file_has_a_safe_address():
    for data in (pbmc_10k.DATA, mouse_skin.DATA):
        assert data.name in datasets.available()
        for file in data.files:
            assert file.address.startswith("https://") and file.address.endswith(f"/{file.name}")


@pytest.fixture
def real_pbmc(tmp_path, write_10x_h5):
    """Real cells of the embedded pair in the files of pbmc_10k: 240 RNA cells, 150 ATAC cells."""
    rna, atac = (anndata.read_h5ad(datasets.ASSETS / "pbmc" / name) for name in
                 ("rna.h5ad", "atac_peaks.h5ad"))  # fmt: skip
    kinds = ["CD14+ Mono", "Memory CD4 T", "NK", "B"]  # by the last digit of the object's cells
    chosen = [np.flatnonzero(rna.obs["cell_type"] == kind)[:60] for kind in kinds]
    counts = rna.X[np.transpose(chosen).ravel()].toarray()
    pbmc_10k_files(
        tmp_path,
        write_10x_h5,
        rna=counts,
        genes=rna.var_names.tolist(),
        numbers=range(240),
        atac=atac.X[:150].toarray() * 50,  # these cells have peaks of two chromosomes alone
        peaks=atac.var_names.tolist(),
        called=[True] * 150,
    )
    return tmp_path


@pytest.mark.slow
def test_an_integration_runs_on_it(real_pbmc, caplog):
    caplog.set_level(logging.INFO)
    given = {"dataset": "pbmc_10k", "data_dir": str(real_pbmc)}
    quick = {"epochs": 1, "modality_adversarial": 0.0, "encoder_sizes": (32, 16)}
    model = scadv_tf.integrate(**given, **quick)
    assert "the document counts 9,432" in caplog.text and "CC BY 4.0" in caplog.text
    assert model.metrics["label_transfer"] is None  # no ATAC labels are known
    assert model.metrics["agreement"]["linear"] > 0.5
    atac = anndata.read_h5ad(real_pbmc / "pbmc_10k.v1.atac.h5ad")
    cells = model.atac.obs
    assert cells.index.tolist() == atac.obs_names.tolist() and 100 < len(cells) <= 150
    assert set(cells["scadv_label"]) <= {"CD14+ Monocytes", "CD4 Memory", "NK cell", "pre-B cell"}

    for file in pbmc_10k.DATA.files:  # they are not needed again
        (real_pbmc / file.name).unlink()
    again, truth = training.read(RunConfig.of(**given))
    assert again.atac_cells.tolist() == atac.obs_names.tolist() and truth is None
