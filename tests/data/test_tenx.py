from __future__ import annotations

import numpy as np
import pytest
from reading import read_modality
from scipy import sparse

from scadv_tf.data.features import feature_names
from scadv_tf.errors import InputError

COUNTS = [[1, 0, 2], [0, 3, 0]]


def test_cell_ranger_3_h5_is_split_by_feature_type(write_10x_h5):
    path = write_10x_h5(
        COUNTS,
        ids=["ENSG1", "ENSG2", "chr1:1-9"],
        names=["A", "B", "chr1:1-9"],
        kinds=["Gene Expression", "Gene Expression", "Peaks"],
    )
    rna, atac = read_modality(path, "rna"), read_modality(path, "atac")
    np.testing.assert_array_equal(rna.X.toarray(), [[1, 0], [0, 3]])
    np.testing.assert_array_equal(atac.X.toarray(), [[2], [0]])
    assert sparse.isspmatrix_csr(rna.X) and rna.X.dtype == np.float32
    assert list(rna.var_names) == ["A", "B"] and list(rna.var["gene_ids"]) == ["ENSG1", "ENSG2"]
    assert list(rna.obs_names) == ["c0-1", "c1-1"]


def test_cell_ranger_2_h5(write_10x_h5):
    path = write_10x_h5(COUNTS, ids=["ENSG1", "ENSG2", "ENSG3"], names=["A", "B", "A"])
    rna = read_modality(path, "rna")
    np.testing.assert_array_equal(rna.X.toarray(), COUNTS)
    assert list(rna.var_names) == ["A", "B", "A-1"]
    assert list(feature_names(rna.var)) == ["A", "B", "A"]


def test_a_10x_file_of_one_kind_fits_only_that_modality(write_10x_h5):
    path = write_10x_h5(COUNTS, ["1", "2", "3"], ["A", "B", "C"], ["Gene Expression"] * 3)
    assert read_modality(path, "rna").n_vars == 3
    with pytest.raises(InputError, match="holds no ATAC features") as error:
        read_modality(path, "atac")
    assert error.value.expected == "Peaks"


def test_10x_has_no_layers(write_10x_h5):
    path = write_10x_h5(COUNTS, ["1", "2", "3"], ["A", "B", "C"], ["Gene Expression"] * 3)
    with pytest.raises(InputError, match="no layers"):
        read_modality(path, "rna", "raw")


@pytest.mark.parametrize("gzipped", [True, False])
@pytest.mark.parametrize("prefix", ["", "GSM1_sample_"])
def test_mtx_folder_with_features_of_two_kinds(write_10x_mtx, gzipped, prefix):
    lines = [
        ["ENSG1", "A", "Gene Expression", "chr1", "0", "9"],
        ["ENSG2", "NA", "Gene Expression", "chr1", "0", "9"],
        ["chr1:1-9", "chr1:1-9", "Peaks", "chr1", "1", "9"],
    ]
    folder = write_10x_mtx(COUNTS, lines, gzipped=gzipped, prefix=prefix)
    rna, atac = read_modality(folder, "rna"), read_modality(folder, "atac")
    np.testing.assert_array_equal(rna.X.toarray(), [[1, 0], [0, 3]])
    np.testing.assert_array_equal(atac.X.toarray(), [[2], [0]])
    assert list(rna.var_names) == ["A", "NA"]  # a symbol, not a missing value
    assert list(rna.obs_names) == ["c0-1", "c1-1"]


@pytest.mark.parametrize("gzipped", [True, False])
def test_mtx_folder_whose_names_lie_about_gzip(write_10x_mtx, gzipped):
    """Browsers decompress what they download, and leave .gz in its name; or add it."""
    folder = write_10x_mtx(COUNTS, [["1", "A"], ["2", "B"], ["3", "C"]], gzipped=gzipped)
    for path in folder.iterdir():
        other = path.with_suffix("") if gzipped else path.with_name(f"{path.name}.gz")
        path.rename(other)
    rna = read_modality(folder, "rna")
    np.testing.assert_array_equal(rna.X.toarray(), COUNTS)
    assert list(rna.var_names) == ["A", "B", "C"]


@pytest.mark.parametrize("value", ["nan", "NaN", "-nan", "NA", "inf"])
@pytest.mark.parametrize("form", ["coordinate", "array"])
def test_values_of_an_mtx_that_are_not_finite_are_placed(write_10x_mtx, form, value):
    folder = write_10x_mtx([[1, 0], [0, 3]], [["1", "A"], ["2", "B"]], gzipped=False)
    body = f"2 2 2\n1 1 1\n2 2 {value}\n" if form == "coordinate" else f"2 2\n1\n0\n0\n{value}\n"
    (folder / "matrix.mtx").write_text(f"%%MatrixMarket matrix {form} real general\n" + body)
    with pytest.raises(InputError, match="values that are not finite") as error:
        read_modality(folder, "rna")
    assert "first in cell c1-1, feature B" in error.value.received


@pytest.mark.parametrize(
    "body", ["2 2 2\n1 1 1\n2 2\n", "2 2 2\n1 1 1\nnan 2 1\n", "2 2 1\n1 1 x\n"]
)
def test_an_mtx_with_a_line_that_is_none_is_damaged(write_10x_mtx, body):
    folder = write_10x_mtx([[1, 0], [0, 3]], [["1", "A"], ["2", "B"]], gzipped=False)
    (folder / "matrix.mtx").write_text("%%MatrixMarket matrix coordinate real general\n" + body)
    with pytest.raises(InputError, match="could not be read"):
        read_modality(folder, "rna")


@pytest.mark.parametrize("gzipped", [True, False])
def test_mtx_folder_of_cell_ranger_2(write_10x_mtx, gzipped):
    lines = [["ENSG1", "A"], ["ENSG2", "B"], ["ENSG3", "C"]]
    folder = write_10x_mtx(COUNTS, lines, features="genes.tsv", gzipped=gzipped)
    rna = read_modality(folder, "rna")
    np.testing.assert_array_equal(rna.X.toarray(), COUNTS)
    assert list(rna.var["gene_ids"]) == ["ENSG1", "ENSG2", "ENSG3"]


def test_mtx_folder_of_cell_ranger_atac(write_10x_mtx):
    lines = [["# id=x"], ["chr1", "1", "9"], ["chr1", "20", "30"], ["chr2", "5", "6"]]
    folder = write_10x_mtx(COUNTS, lines, features="peaks.bed", gzipped=False)
    atac = read_modality(folder, "atac")
    assert list(atac.var_names) == ["chr1:1-9", "chr1:20-30", "chr2:5-6"]
    with pytest.raises(InputError, match="holds no RNA features"):
        read_modality(folder, "rna")


def test_the_matrix_itself_may_be_named(write_10x_mtx):
    lines = [["ENSG1", "A"], ["ENSG2", "B"], ["ENSG3", "C"]]
    write_10x_mtx(COUNTS, lines, prefix="one_")
    folder = write_10x_mtx(np.array(COUNTS) * 2, lines, prefix="two_")
    rna = read_modality(folder / "two_matrix.mtx.gz", "rna")
    np.testing.assert_array_equal(rna.X.toarray(), np.array(COUNTS) * 2)
    with pytest.raises(InputError, match="not a folder of one matrix") as error:
        read_modality(folder, "rna")  # which of the two?
    assert error.value.received == "one_matrix.mtx.gz, two_matrix.mtx.gz"


def test_mtx_files_that_do_not_belong_together(write_10x_mtx):
    folder = write_10x_mtx(COUNTS, [["ENSG1", "A"], ["ENSG2", "B"]])
    with pytest.raises(InputError, match="do not belong together") as error:
        read_modality(folder, "rna")
    assert error.value.received == "3 x 2 in matrix.mtx.gz"


def test_a_folder_without_a_matrix(tmp_path):
    with pytest.raises(InputError, match="not a folder of one matrix") as error:
        read_modality(tmp_path, "rna")
    assert error.value.received == "an empty folder"
