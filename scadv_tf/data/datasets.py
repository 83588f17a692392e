"""The data sets by name, each a recipe that ends in paired modalities.

A recipe takes the user's `DatasetSource`, fills in what it knows, and returns what `load` does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scadv_tf.config import DataConfig
from scadv_tf.data.cell_files import open_cells
from scadv_tf.data.gene_activity import (
    DEFAULT_UPSTREAM,
    count_linked,
    gene_activity,
    link_peaks,
    links_of_genes,
    peak_intervals,
)
from scadv_tf.data.gene_coordinates import GENOMES, load_genes
from scadv_tf.data.labels import labels_of
from scadv_tf.data.pairing import (
    MIN_SHARED_GENES,
    AtacTruth,
    Counts,
    Intervals,
    PairedData,
    pair,
)
from scadv_tf.data.readers import StoredModality, held, stored
from scadv_tf.data.stored_cells import Called
from scadv_tf.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

logger = logging.getLogger(__name__)

ASSETS = Path(__file__).parent / "assets"
LabelledPair = tuple[PairedData, AtacTruth | None]


@dataclass(frozen=True)
class DatasetSource:
    """Where a data set comes from and how to read it.

    Attributes
    ----------
    rna, atac : files or 10x folders; both may be the same file.
    atac_peaks : peaks of the same ATAC cells, for their neighbours, if atac holds gene activity.
    label_key, atac_label_key : columns of obs with the cell types; see `pair`.
    genome, genes : an embedded genome, or a BED, GTF or GFF (which wins); needed if atac is peaks.
    upstream : base pairs before the transcription start that count for a gene.
    rna_layer, atac_layer : '' for X, 'raw', or a layer.
    drop_types : cell types to leave out.
    min_shared_genes : fewer are refused.
    supervised : whether RNA labels are taught; if not, they may be missing, see `pair`.
    memory_cells : modalities with more cells stay on disk; 0 for none.
    scratch : folder for a file of those that has to be sorted by cell; '' for the system's.
    cells, difficulty, seed : of the synthetic data set only; see `simulate`.
    """

    rna: str = ""
    atac: str = ""
    atac_peaks: str = ""
    label_key: str = ""
    atac_label_key: str = ""
    genome: str = ""
    genes: str = ""
    upstream: int = DEFAULT_UPSTREAM
    rna_layer: str = ""
    atac_layer: str = ""
    drop_types: tuple[str, ...] = ()
    min_shared_genes: int = MIN_SHARED_GENES
    supervised: bool = True
    memory_cells: int = DataConfig.memory_cells
    scratch: str = ""
    cells: int = 2000
    difficulty: float = 0.5
    seed: int = 0

    def __post_init__(self):
        limits = {
            "genome": (self.genome in ("", *GENOMES), f"one of {', '.join(GENOMES)}"),
            "upstream": (self.upstream >= 0, "0 or more base pairs"),
            "memory_cells": (self.memory_cells == 0 or self.memory_cells > 1, "0, or 2 or more"),
            "min_shared_genes": (self.min_shared_genes >= 1, "1 or more"),
            "cells": (self.cells >= 1, "1 or more"),
            "difficulty": (0 <= self.difficulty <= 1, "a number from 0 to 1"),
        }
        for name, (good, expected) in limits.items():
            if not good:
                raise InputError(
                    what=f"--{name} is out of range",
                    expected=expected,
                    received=f"--{name}={getattr(self, name)}",
                    advice=f"correct --{name}"
                    + (", or give --genes=FILE for another genome" if name == "genome" else ""),
                )


_RECIPES: dict[str, Callable[[DatasetSource], LabelledPair]] = {}


def recipe(name: str) -> Callable:
    """Register a function DatasetSource -> (PairedData, AtacTruth or None) under a name."""

    def register(function: Callable[[DatasetSource], LabelledPair]) -> Callable:
        _RECIPES[name] = function
        return function

    return register


def available() -> list[str]:
    """The names that `load_dataset` knows."""
    return sorted(_RECIPES)


def load_dataset(name: str, source: DatasetSource | None = None) -> LabelledPair:
    """Load a data set by name.

    Parameters
    ----------
    name : one of `available()`.
    source : the user's choices; what the recipe needs and they leave open is filled in.

    Raises
    ------
    InputError : the name is unknown, files are given to a data set that brings its own, or the
        input is bad (see `load`).
    """
    source = source or DatasetSource()
    if name not in _RECIPES:
        raise InputError(
            what="there is no such data set",
            expected="one of: " + ", ".join(available()),
            received=f"--dataset={name}",
            advice="choose one of them; your own files: --rna=FILE --atac=FILE --label_key=KEY",
        )
    own_files = [f"--{k}={getattr(source, k)}" for k in ("rna", "atac") if getattr(source, k)]
    if own_files and name != "custom":
        raise InputError(
            what=f"the data set '{name}' brings its own cells",
            expected=f"no --rna and no --atac with --dataset={name}",
            received=" ".join(own_files),
            advice="for your own files use --dataset=custom; for this data set leave them out",
        )
    return _RECIPES[name](source)


def load(source: DatasetSource) -> LabelledPair:
    """Read the user's files and pair them.

    ATAC features that are peaks become gene activity, and the peaks are kept for the neighbours.

    Raises
    ------
    InputError : a file, a column or the gene coordinates are missing, or the data are unfit.
    """
    for name in ("rna", "atac", "atac_peaks"):
        _check_given(name, getattr(source, name), needed=name != "atac_peaks")
    if source.genes:
        _check_given("genes", source.genes, needed=True)
    rna = _modality(source, "rna", source.rna_layer)
    if source.supervised or source.label_key != DataConfig.label_key:
        labels_of(rna.obs, source.label_key, "rna")  # fails before any long work
    elif source.label_key not in rna.obs:
        logger.info("no column '%s' of known RNA types, and none is needed", source.label_key)
    atac = _modality(source, "atac", source.atac_layer)
    labels_of(atac.obs, source.atac_label_key, "atac")
    return assemble(rna, atac, source)


def _modality(source: DatasetSource, modality: str, layer: str) -> AnnData | StoredModality:
    """One modality of its file, its counts in memory or left on disk."""
    called = Called.of(modality)
    cells = open_cells(getattr(source, modality), modality, layer, source.scratch or None, called)
    if not source.memory_cells or cells.cells <= source.memory_cells:
        with cells:
            return held(cells)
    logger.info(
        "%s cells of %s are streamed from disk: more than --memory_cells=%d",
        f"{cells.cells:,}", modality.upper(), source.memory_cells,
    )  # fmt: skip
    return stored(cells)


def assemble(
    rna: AnnData | StoredModality,
    atac: AnnData | StoredModality,
    source: DatasetSource,
    genes: pd.DataFrame | None = None,
) -> LabelledPair:
    """Pair two modalities that are read already; see `load`.

    Parameters
    ----------
    rna, atac : as from `read_modality`, or `stored`; atac holds peaks or gene activity.
    source : its rna, atac and layers are not looked at.
    genes : coordinates as from `load_genes`; None takes those that source names.
    """
    found = peak_intervals(atac.var)
    peaks = peaks_in_genes = intervals = None
    if found is not None:
        genes = _genes_of(source) if genes is None else genes
        intervals = Intervals(found, genes, source.upstream)
        peaks = atac.X
        peaks_in_genes = count_linked(link_peaks(found, genes, source.upstream))
        atac = _as_activity(atac, found, genes, source.upstream)
    if source.atac_peaks:
        beside, peaks = _peaks_beside(atac, source)
        intervals = Intervals(beside, intervals and intervals.genes, source.upstream)
    paired, truth = pair(
        rna, atac, source.label_key, source.atac_label_key, peaks,
        source.drop_types, source.min_shared_genes, peaks_in_genes, source.supervised,
    )  # fmt: skip
    return replace(paired, intervals=intervals), truth


@recipe("pbmc")
def _pbmc(source: DatasetSource) -> LabelledPair:
    """Human blood, unpaired, embedded; ATAC is labelled at a coarser level than RNA."""
    return load(
        replace(
            source,
            rna=str(ASSETS / "pbmc" / "rna.h5ad"),
            atac=str(ASSETS / "pbmc" / "atac_peaks.h5ad"),
            label_key=source.label_key or "cell_type",
            atac_label_key=source.atac_label_key or "cell_type_broad",
            genome=source.genome or "hg19",
        )
    )


@recipe("synthetic")
def _synthetic(source: DatasetSource) -> LabelledPair:
    """Two modalities of one simulated tissue, through the same route as files."""
    from scadv_tf.data.synthetic import simulate

    rna, peaks, genes = simulate(source.cells, difficulty=source.difficulty, seed=source.seed)
    return assemble(rna, peaks, replace(source, label_key=source.label_key or "cell_type"), genes)


@recipe("custom")
def _custom(source: DatasetSource) -> LabelledPair:
    """The user's own files."""
    return load(source)


def _check_given(name: str, path: str, needed: bool) -> None:
    if path and Path(path).expanduser().exists():
        return
    if path or needed:
        raise InputError(
            what=f"the file of --{name} " + ("does not exist" if path else "is not given"),
            expected=f"--{name}=FILE with a file or folder that exists",
            received=path or "nothing",
            advice="give your own files by --rna=FILE --atac=FILE --label_key=KEY, or choose one "
            "of the data sets: " + ", ".join(n for n in available() if n != "custom"),
        )


def _genes_of(source: DatasetSource) -> pd.DataFrame:
    if source.genes or source.genome:
        return load_genes(source.genes or source.genome)
    raise InputError(
        what="the ATAC features are peaks, and it is not known where the genes lie",
        expected=f"--genome={'|'.join(GENOMES)}, or --genes=FILE",
        received="neither",
        advice="give --genome for an embedded genome, or --genes with a BED, GTF or GFF of yours",
    )


def _as_activity(
    atac: AnnData | StoredModality, intervals: pd.DataFrame, genes: pd.DataFrame, upstream: int
) -> AnnData | StoredModality:
    if isinstance(atac, StoredModality):
        links, names = links_of_genes(intervals, genes, upstream)
        activity = atac.X.chosen(np.arange(atac.n_obs), links)
        return replace(atac, X=activity, var=_genes_table(genes, names))
    from anndata import AnnData

    activity, names = gene_activity(atac.X, intervals, genes, upstream)
    return AnnData(activity, obs=atac.obs, var=_genes_table(genes, names))


def _genes_table(genes: pd.DataFrame, names: np.ndarray) -> pd.DataFrame:
    var = genes.set_index("gene").loc[names]
    var.index.name = None
    return var


def _peaks_beside(
    atac: AnnData | StoredModality, source: DatasetSource
) -> tuple[pd.DataFrame, Counts]:
    """The peaks [P] of another file and their counts [A, P], in the order of the ATAC cells."""
    called = Called("the file of peaks", "--atac_peaks", "--atac_layer")
    cells = open_cells(source.atac_peaks, "atac", "", source.scratch or None, called)
    on_disk = isinstance(atac, StoredModality)
    peaks = stored(cells) if on_disk else held(cells)
    intervals = peak_intervals(peaks.var)
    if intervals is None:
        raise InputError(
            what="the features of --atac_peaks are not peaks",
            expected="names like chr1:1000-2000",
            received=", ".join(peaks.var.index[:3]),
            advice="give the cells x peaks matrix, or leave --atac_peaks out",
        )
    rows = pd.Index(peaks.obs_names).get_indexer(atac.obs_names)
    missing = atac.obs_names[rows < 0]
    if len(missing):
        raise InputError(
            what=f"{len(missing):,} of {atac.n_obs:,} ATAC cells are not in --atac_peaks",
            expected="a file with the same cells, by name, as --atac",
            received=f"missing: {', '.join(missing[:3])}; there: {', '.join(peaks.obs_names[:3])}",
            advice="name the cells alike in both files, or leave --atac_peaks out",
        )
    if on_disk and np.any(rows[1:] < rows[:-1]):
        raise InputError(
            what="the cells of --atac_peaks are in another order than those of --atac",
            expected="the same order, since so many cells are streamed from disk",
            received=f"{atac.n_obs:,} cells, more than --memory_cells",
            advice="write one of the files in the order of the other, or leave --atac_peaks out",
        )
    return intervals, peaks.X.chosen(rows) if on_disk else peaks.X[rows]
