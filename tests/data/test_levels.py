"""Levels of methylation: 'none' and 'not covered' stay two things, from any file to the model."""

from __future__ import annotations

from types import SimpleNamespace

import anndata
import numpy as np
import pytest
from lazy_arrays import Lazy
from scipy import sparse

from scadv_tf.data.cell_files import open_cells
from scadv_tf.data.levels import held_levels, plain_levels
from scadv_tf.data.measures import METHYLATION, Measure
from scadv_tf.data.stored_cells import Choices
from scadv_tf.errors import InputError

NAN = np.nan
LEVELS = np.array([[0.0, 1.0, NAN], [0.25, NAN, 0.5], [0.0, 0.75, 0.0]], dtype=np.float32)
HELD = [[2, 1, 0], [1.75, 0, 1.5], [2, 1.25, 2]]


def stored_sparsely(levels: np.ndarray, nan: bool) -> sparse.csr_matrix:
    """Each covered level an entry, those of 0 too; the others absent, or stored as NaN."""
    wanted = np.ones(levels.shape, dtype=bool) if nan else ~np.isnan(levels)
    rows, columns = np.nonzero(wanted)
    return sparse.csr_matrix((levels[wanted], (rows, columns)), shape=levels.shape)


def read(path, rows: int = 2) -> np.ndarray:
    """What a file holds, some rows at a time."""
    choices = Choices(measure=Measure(METHYLATION))
    with open_cells(path, "atac", choices=choices) as source:
        return np.vstack([chunk.counts.toarray() for chunk in source.chunks(rows)])


def written(levels, folder):
    path = folder / "levels.h5ad"
    anndata.AnnData(levels).write_h5ad(path)
    return path


def test_levels_by_hand():
    assert held_levels(LEVELS).toarray().tolist() == HELD
    np.testing.assert_array_equal(plain_levels(held_levels(LEVELS)), LEVELS)


@pytest.mark.parametrize("nan", [True, False])
def test_a_sparse_matrix_has_what_was_covered(nan):
    assert held_levels(stored_sparsely(LEVELS, nan)).toarray().tolist() == HELD


def by_cell(levels: np.ndarray) -> sparse.csr_matrix:
    return stored_sparsely(levels, nan=False)


@pytest.mark.parametrize("largest", [1, 100])
@pytest.mark.parametrize("form", [np.asarray, by_cell, lambda v: by_cell(v).tocsc()])
def test_files_of_levels_and_of_percent_are_the_same(tmp_path, form, largest):
    found = read(written(form(LEVELS * np.float32(largest)), tmp_path))
    np.testing.assert_allclose(found, HELD, rtol=1e-6)


@pytest.mark.parametrize("form", [np.asarray, by_cell])
@pytest.mark.parametrize("kind", ["methylation", "Methylation"])
def test_counts_beside_the_levels_make_no_percent_of_them(tmp_path, form, kind):
    """Of a file that holds RNA too, levels alone tell whether they are shares or percent."""
    both = np.hstack([np.full((3, 2), 7, dtype=np.float32), LEVELS])
    adata = anndata.AnnData(form(both))
    adata.var["feature_types"] = ["Gene Expression"] * 2 + [kind] * 3
    adata.write_h5ad(tmp_path / "both.h5ad")
    np.testing.assert_allclose(read(tmp_path / "both.h5ad"), HELD, rtol=1e-6)


@pytest.mark.parametrize("largest", [1, 100])
def test_a_rounding_error_makes_no_percent_and_no_refusal(tmp_path, largest):
    """A level a little above 1, as sums over sites round it, or below 0."""
    levels = LEVELS.copy()
    levels[0, :2] = np.float32(-1e-7), np.nextafter(np.float32(1), np.float32(2))
    levels *= np.float32(largest)
    np.testing.assert_allclose(read(written(levels, tmp_path)), HELD, rtol=1e-6)
    np.testing.assert_allclose(held_levels(levels).toarray(), HELD, rtol=1e-6)
    assert held_levels(levels).max() == 2 and held_levels(levels).data.min() == 1


def test_an_anndata_is_read_as_its_file(tmp_path):
    adata = anndata.AnnData(LEVELS)
    assert read(adata).tolist() == read(written(LEVELS, tmp_path)).tolist() == HELD
    np.testing.assert_array_equal(adata.X, LEVELS)  # and stays as it is


@pytest.mark.parametrize("form", [np.asarray, by_cell, lambda v: by_cell(v).tocsc()])
def test_blocks_of_dask_are_read_as_what_they_hold(form):
    """A level of 0 in dense blocks was covered; what sparse ones do not store was not."""
    adata = anndata.AnnData(np.zeros_like(LEVELS))
    given = SimpleNamespace(
        X=Lazy(LEVELS, form), raw=None, layers={}, obs=adata.obs, obs_names=adata.obs_names,
        var=adata.var, obsm={}, uns={},
    )  # fmt: skip
    assert read(given).tolist() == HELD


@pytest.mark.parametrize(("value", "shown"), [(-0.5, "-0.5"), (140.0, "140"), (np.inf, "inf")])
def test_what_is_no_level_is_refused_in_four_parts(tmp_path, value, shown):
    levels = LEVELS.copy()
    levels[1, 2] = value
    with pytest.raises(InputError, match="levels.h5ad has values that are no levels") as error:
        read(written(levels, tmp_path), rows=3)
    told = error.value
    assert told.received.startswith(f"{shown}, the first in row 1, column 2")
    assert "from 0 to 1, or percent" in told.expected and "not counts of sites" in told.advice
