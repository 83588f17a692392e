"""The report's pictures from what an integration left in two AnnData."""

from __future__ import annotations

import sys
from types import ModuleType

import anndata
import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scadv_tf import pl
from scadv_tf.errors import InputError

TYPES = ["a", "b", "c"]
# Of two types with a marker each, in the cells called so and in the others.
DOTS = pd.DataFrame(
    {
        "type": ["a", "b", "a", "b"],
        "gene": ["g", "h", "g", "h"],
        "cells": ["a", "a", "b", "b"],
        "open": [0.5, 0.25, 0.125, 0.5],
        "activity": [2.0, 1.0, 1.0, 1.0],
    }
)


def integrated(modality: str, cells: int = 30) -> AnnData:
    """Cells as `integrate` leaves them; the last has no data."""
    types = pd.Categorical([TYPES[i % 3] for i in range(cells)])
    adata = AnnData(
        obs=pd.DataFrame(
            {
                "kind": ["a", *types[1:]],
                "scadv_label": types,
                "scadv_confidence": np.linspace(0.1, 0.9, cells),
                "batch": [f"batch {i % 2}" for i in range(cells)],
            },
            index=[f"{modality}{i}" for i in range(cells)],
        )
    )
    adata.obsm["X_scadv_umap"] = np.random.default_rng(0).normal(size=(cells, 2))
    adata.obsm["X_scadv_umap"][-1] = np.nan
    shares = pd.DataFrame({"rna": [0.5, 0.3, 0.2], "atac": [0.1, 0.1, 0.8]}, index=TYPES)
    adata.uns["scadv"] = {
        "modality": modality,
        "settings": {"label_key": "kind", "atac_label_key": ""},
        "history": pd.DataFrame({"epoch": [1, 2], "center": [2.0, 1.0], "macro_f1": [0.5, 0.75]}),
        "type_shares": shares,
        "diagnosis": {"marker_dots": DOTS},
    }
    return adata


@pytest.fixture
def cells():
    return integrated("rna"), integrated("atac", 21)


def points(ax) -> int:
    return sum(len(collection.get_offsets()) for collection in ax.collections)


def test_umap_shows_all_cells_that_have_a_place(cells, legend_of):
    by_type, by_modality = pl.umap(*cells)
    assert points(by_type) == points(by_modality) == 29 + 20
    assert legend_of(by_type) == ["1  a", "2  b", "3  c"]
    assert legend_of(by_modality) == ["ATAC", "RNA"]
    assert points(pl.umap(cells[1])[0]) == 20


def test_umap_by_a_column_of_text_or_numbers(cells, legend_of):
    by_batch, _ = pl.umap(*cells, color="batch")
    assert legend_of(by_batch) == ["batch 0", "batch 1"]
    axes = pl.umap(*cells, color="scadv_confidence")
    assert axes[2].get_title() == "scadv_confidence" and points(axes[2]) == 49


@pytest.mark.filterwarnings("ignore")  # mudata is to change
def test_of_a_mudata_what_was_integrated_is_shown_whatever_it_is_called(cells, legend_of):
    rna, query = cells
    kinds = rna.obs.pop("kind")
    beside = query.copy()
    del beside.uns["scadv"]
    both = mudata.MuData({"rna": rna, "prot": query, "atac": beside[:, :0].copy()})
    both.obs["kind"] = kinds.reindex(both.obs_names)  # types stand in the whole one's table
    by_type, by_modality = pl.umap(both)
    assert points(by_type) == points(by_modality) == 49
    assert legend_of(by_type) == ["1  a", "2  b", "3  c"]
    (first, _) = pl.umap(both["rna"], query)
    assert points(first) == 49 and len(pl.umap(both, color="kind")) == 2
    assert sum(bar.get_height() for bar in pl.confidence(both).patches) == 20
    both.mod["atac"].uns["scadv"] = dict(query.uns["scadv"])
    with pytest.raises(InputError, match="(?s)not certain.*prot, atac"):
        pl.confidence(both)
    del both.mod["atac"].uns["scadv"], query.uns["scadv"]
    with pytest.raises(InputError, match="no ATAC that was integrated"):
        pl.losses(both)


COLORS = {
    "gaps": [None, "x", np.nan] + ["y"] * 27,
    "bytes": [b"x", "y"] * 15,
    "lists": [["x"], ["y"], np.nan] * 10,
    "truth values with gaps": pd.array([pd.NA, True, False] * 10, dtype="boolean"),
    "numbers with gaps": pd.array([pd.NA, 1, 2] * 10, dtype="Int64"),
}


@pytest.mark.parametrize("case", COLORS)
def test_a_column_of_color_may_be_of_any_type(cells, legend_of, case):
    rna, name = cells[0], f"of {case}"
    rna.obs[name] = pd.Series(
        COLORS[case], rna.obs_names, dtype=getattr(COLORS[case], "dtype", object)
    )
    panels = pl.umap(rna, color=name)
    if "with gaps" in case:
        assert panels[2].get_title() == name and points(panels[2]) == 29
    else:
        shown = {"lists": ["['x']", "['y']", "no label"], "bytes": ["x", "y"]}
        assert legend_of(panels[0]) == shown.get(case, ["x", "y", "no label"])


def test_columns_of_one_name_and_names_that_are_numbers_are_drawn_as_they_were_integrated(cells):
    rna = cells[0]
    rna.obs = pd.concat([rna.obs, rna.obs[["kind"]]], axis=1)
    rna.obs.index = pd.RangeIndex(len(rna))
    assert points(pl.umap(*cells)[0]) == points(pl.umap(*cells, color="kind")[0]) == 49
    assert pl.confusion(rna).get_yticklabels()


def test_a_column_is_named_by_text_and_must_be_there(cells):
    rna, atac = cells
    rna.obs["own"] = "x"
    with pytest.raises(InputError, match="(?s)The ATAC cells have no column 'own'.*one of: kind, "):
        pl.umap(rna, atac, color="own")
    for wrong in (5, ["kind"], rna.obs["kind"], True):
        with pytest.raises(InputError, match="(?s)argument color is no text.*of type"):
            pl.umap(rna, color=wrong)
        with pytest.raises(InputError, match="(?s)argument key is no text.*of type"):
            pl.confusion(atac, wrong)
    atac.obs["own"] = ["unknown", *[np.nan] * 20]
    for none in (atac, atac[:0]):
        with pytest.raises(InputError, match=r"no known type in obs\['own'\]"):
            pl.confusion(none, "own")
    both = anndata.concat([rna, atac], uns_merge="same")
    with pytest.raises(InputError, match=r"no uns\['scadv'\] of an integration"):
        pl.umap(both)


def test_nothing_and_a_path_are_refused():
    with pytest.raises(InputError, match="No cells were given"):
        pl.umap()
    for draw in (pl.umap, pl.losses):
        with pytest.raises(InputError, match="(?s)A path was given.*read_h5ad"):
            draw("integrated.h5ad")


def test_confusion_leaves_out_cells_without_data_or_label(cells, texts_of):
    atac = cells[1]
    atac.obs["kind"] = ["b", "unknown", *atac.obs["kind"][2:]]
    ax = pl.confusion(atac)
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["a (6)", "b (7)", "c (6)"]
    assert "86" in texts_of(ax)  # six of the seven b
    atac.obs["other"] = "a"
    assert [label.get_text() for label in pl.confusion(atac, "other").get_yticklabels()] == [
        "a (20)"
    ]


def test_shares_are_bars_the_largest_at_the_top(cells, legend_of):
    ax = pl.shares(cells[0])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "a", "c"]
    widths = [round(bar.get_width()) for bar in ax.patches]
    assert widths == [30, 50, 20, 10, 10, 80]
    assert legend_of(ax) == ["RNA cells", "ATAC cells, estimated"]


def test_curves_and_confidence(cells):
    (panel,) = [ax for ax in pl.losses(cells[0]) if ax.get_title(loc="left")]
    assert panel.lines[0].get_ydata().tolist() == [2, 1]
    assert pl.learning_curve(cells[1]).lines[0].get_ydata().tolist() == [0.5, 0.75]
    assert sum(bar.get_height() for bar in pl.confidence(cells[1]).patches) == 20


def test_markers_are_dots_by_share_and_activity(cells):
    ax = pl.markers(cells[1])
    dots = ax.collections[0]
    assert dots.get_offsets().tolist() == [[0, 0], [1, 0], [0, 1], [1, 1]]
    sizes = dots.get_sizes() / dots.get_sizes().max()
    assert sizes.tolist() == [1, 0.5, 0.25, 1]
    assert dots.get_array().tolist() == [1, 0, 0, 0]  # h is as active in both
    assert [patch.get_xy() for patch in ax.patches] == [(-0.5, -0.5), (0.5, 0.5)]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["g", "h"]


@pytest.mark.parametrize(
    "draw",
    [pl.umap, pl.confusion, pl.confidence, pl.shares, pl.markers, pl.losses, pl.learning_curve],
)
def test_what_is_missing_is_told(cells, draw):
    with pytest.raises(InputError, match="The cells have no"):
        draw(AnnData(obs=cells[0].obs[["kind"]]))


def test_a_column_that_is_not_there_is_told(cells):
    with pytest.raises(InputError, match="no column 'none'"):
        pl.umap(*cells, color="none")
    del cells[0].uns["scadv"]["type_shares"]
    with pytest.raises(InputError, match="type_shares"):
        pl.shares(cells[0])


def test_a_notebook_shows_the_picture(cells, monkeypatch):
    shown = []
    shell, display = ModuleType("IPython"), ModuleType("IPython.display")
    shell.version_info = (9, 0)
    shell.get_ipython = lambda: type("Shell", (), {"kernel": object()})()
    display.Image, display.display = lambda data: data, shown.append
    core = ModuleType("IPython.core")  # which older versions of matplotlib ask for
    core.pylabtools = ModuleType("IPython.core.pylabtools")
    monkeypatch.setitem(sys.modules, "IPython.core", core)
    monkeypatch.setitem(sys.modules, "IPython", shell)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    pl.shares(cells[0])
    (picture,) = shown
    assert picture.startswith(b"\x89PNG")
