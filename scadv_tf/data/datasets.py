"""The data sets by name, each a recipe that ends in paired modalities.

A recipe takes the user's `DatasetSource`, fills in what it knows, and returns what `load` does.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from scadv_tf.config import DataConfig
from scadv_tf.data.anndata_cells import is_path
from scadv_tf.data.batch_offsets import batches_of
from scadv_tf.data.cell_files import open_cells
from scadv_tf.data.features import feature_names
from scadv_tf.data.fragments import are_fragments
from scadv_tf.data.gene_activity import (
    are_called_as_peaks,
    count_linked,
    links_of_genes,
    peak_intervals,
)
from scadv_tf.data.gene_coordinates import GENOMES, embedded_genome, load_genes
from scadv_tf.data.genome_fit import BetterGenome, better_genome, fitting_genome
from scadv_tf.data.label_tables import columns_from
from scadv_tf.data.labels import column_called, labels_of
from scadv_tf.data.measures import FEWEST_OF_A_PANEL, Measure
from scadv_tf.data.pairing import AtacTruth, Counts, Intervals, PairedData, pair
from scadv_tf.data.readers import StoredModality, held, stored
from scadv_tf.data.recipes import mouse_skin, pbmc_10k
from scadv_tf.data.recipes.public_data import PublicData
from scadv_tf.data.regions import read_peaks, windows_of
from scadv_tf.data.several_files import COLUMN, paths_of, together
from scadv_tf.data.stored_cells import Called, Choices, Counting
from scadv_tf.data.tenx_h5 import has_genomes
from scadv_tf.errors import InputError
from scadv_tf.files import at_home, is_there, same_file
from scadv_tf.modalities import MODALITIES
from scadv_tf.settings import option

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

logger = logging.getLogger(__name__)

CUSTOM = "custom"  # what cells of the user's are called that have no name
ASSETS = Path(__file__).parent / "assets"
LabelledPair = tuple[PairedData, AtacTruth | None]
# 'rna', 'atac' or 'atac_peaks' -> an object that is read in place of a file.
Given = Mapping[str, "AnnData | MuData"]
# Settings that name files beside those of the cells.
BESIDE = ("atac_peaks", "rna_labels", "atac_labels", "genes", "peaks", "barcodes")
INPUTS = ("rna", "atac", *BESIDE)  # the settings that are paths of files
CELLS_COMPARED = 1000  # whose counts say whether two modalities are the same


@dataclass(frozen=True)
class DatasetSource(DataConfig):
    """Where a data set comes from and how to read it: the settings of the data, and these."""

    supervised: bool = option(
        True, "Whether RNA labels are taught; if not, they may be missing, see `pair`."
    )
    scratch: str = option(
        "", "Folder for a file on disk that has to be sorted by cell; '' for the system's."
    )
    seed: int = option(0, "Seed of the synthetic data set.", minimum=0)


def available() -> list[str]:
    """The names that `load_dataset` knows."""
    return sorted(_RECIPES)


def load_dataset(
    name: str, source: DatasetSource | None = None, given: Given | None = None
) -> LabelledPair:
    """Load a data set by name.

    Parameters
    ----------
    name : one of `available()`.
    source : the user's choices; what the recipe needs and they leave open is filled in.
    given : what is read in place of the files that source names.

    Raises
    ------
    InputError : the name is unknown, files are given to a data set that brings its own, the genome
        is not embedded, or the input is bad (see `load`).
    """
    source, given = source or DatasetSource(), given or {}
    if name not in _RECIPES:
        raise InputError(
            what="there is no such data set",
            expected="one of: " + ", ".join(available()),
            received=f"--dataset={name}",
            advice="choose one of them; your own files: --rna=FILE --atac=FILE --label_key=KEY",
        )
    if name != CUSTOM:
        _refuse_files(name, source, ("rna", "atac"), given)
    if source.genome and not source.genes:
        embedded_genome(source.genome)  # fails before any long work
    return load(source, given) if given else _RECIPES[name](source)


def _refuse_files(
    name: str, source: DatasetSource, settings: Sequence[str], given: Given | None = None
) -> None:
    """Refuses what these settings name, of a data set that would not look at it."""
    files = [f"--{k}={getattr(source, k)}" for k in settings if getattr(source, k)]
    files += [f"{k}={type(cells).__name__}" for k, cells in (given or {}).items()]
    if files:
        raise InputError(
            what=f"the data set '{name}' brings its own cells",
            expected=" and ".join(f"no --{k}" for k in settings) + f" with --dataset={name}",
            received=" ".join(files),
            advice="for your own files use --dataset=custom; for this data set leave them out",
        )


def load(source: DatasetSource, given: Given | None = None) -> LabelledPair:
    """Read the user's files and pair them.

    ATAC features that are peaks become gene activity, and the peaks are kept for the neighbours.

    Parameters
    ----------
    given : see `load_dataset`.

    Raises
    ------
    InputError : a file, a column or the gene coordinates are missing, or the data are unfit.
    """
    given = given or {}
    for name in INPUTS:
        if name not in given:
            path = getattr(source, name)
            for each in paths_of(path) if name in ("atac", "barcodes") else [path]:
                _check_given(name, each, needed=name in ("rna", "atac"))
    rna, _ = _modality(source, "rna", source.rna_layer, given)
    _check_genes(rna.var)
    if source.rna_labels:
        source = replace(source, label_key=source.label_key or DataConfig.label_key)
        _take_columns(
            rna, source.rna_labels, "--rna_labels", source.label_key, source.rna_batch_key,
            other_key=source.atac_label_key, stated=source.label_key != DataConfig.label_key,
        )  # fmt: skip
    if source.supervised or source.label_key != DataConfig.label_key:
        labels_of(rna.obs, source.label_key, "rna")  # fails before any long work
    elif column_called(rna.obs, source.label_key) is None:
        logger.info("no column '%s' of known RNA types, and none is needed", source.label_key)
    _batches_of(rna.obs, source, "rna")
    atac, better = _modality(source, "atac", source.atac_layer, given)
    alike = not given and same_file(source.rna, source.atac) and _same_counts(rna, atac)
    if source.atac_labels:
        key = source.atac_label_key or source.label_key or DataConfig.label_key
        if _take_columns(
            atac, source.atac_labels, "--atac_labels", key, source.atac_batch_key,
            stated=bool(source.atac_label_key),
        ):  # fmt: skip
            source = replace(source, atac_label_key=key)
    if "atac" not in given and len(paths_of(source.atac)) > 1:
        source = replace(source, atac_batch_key=source.atac_batch_key or COLUMN)
    _batches_of(atac.obs, source, "atac")
    labels_of(atac.obs, source.atac_label_key, "atac")
    data, truth = assemble(rna, atac, source, beside=given.get("atac_peaks"), better=better)
    if alike:
        data.matching.warnings.append(
            "--rna and --atac are the same counts of one file, so its labels are given back: give "
            "the file of the other modality, or a layer of it. Where a file holds both, "
            "var['feature_types'] (Gene Expression, Peaks) tells its features apart."
        )
    return data, truth


def _same_counts(rna: AnnData | StoredModality, atac: AnnData | StoredModality) -> bool:
    """Whether one modality was read as both: the other has other features, or other counts."""
    same = rna.var.index.equals(atac.var.index) and rna.n_obs == atac.n_obs
    return same and not (rna.X[:CELLS_COMPARED] != atac.X[:CELLS_COMPARED]).nnz


def _take_columns(
    cells: AnnData | StoredModality, path: str, flag: str, key: str, batch_key: str, **more: Any
) -> bool:
    """Adds the columns of a table to those of cells, see `columns_from`; whether labels are there.

    Labels and batches, which are asked for, stand in place of what the cells have; others do not.
    """
    labelled = column_called(cells.obs, key) is not None
    found = columns_from(path, cells.obs_names, flag, key, batch_key, labelled=labelled, **more)
    for name, column in found.items():
        if name in (key, batch_key) or name not in cells.obs:
            cells.obs[name] = column
    return key in found


def _modality(
    source: DatasetSource, modality: str, layer: str, given: Given
) -> tuple[AnnData | StoredModality, BetterGenome | None]:
    """One modality of its file, its counts in memory or left on disk; and see `StoredCells`."""
    called, found = Called.of(modality), given.get(modality, getattr(source, modality))
    options = modality, layer, source.scratch or None, called
    choices = choices_of(source, modality)
    if modality == "atac" and is_path(found):
        if len(paths := paths_of(found)) > 1:
            with contextlib.ExitStack() as stack:
                files = [
                    stack.enter_context(open_cells(path, *options, each))
                    for path, each in zip(paths, _of_each(choices, len(paths)), strict=True)
                ]
                better = next(filter(None, (file.stored.better_genome for file in files)), None)
                return together(files, source.memory_cells, source.atac_batch_key), better
        (found,) = paths
    cells = open_cells(found, *options, choices)
    better = cells.stored.better_genome
    if not source.memory_cells or cells.cells <= source.memory_cells:
        with cells:
            return held(cells), better
    logger.info(
        "%s cells of %s are streamed: more than --memory_cells=%d",
        f"{cells.cells:,}", modality.upper(), source.memory_cells,
    )  # fmt: skip
    return stored(cells), better


def assemble(
    rna: AnnData | StoredModality,
    atac: AnnData | StoredModality,
    source: DatasetSource,
    genes: pd.DataFrame | None = None,
    beside: AnnData | MuData | None = None,
    better: BetterGenome | None = None,
) -> LabelledPair:
    """Pair two modalities that are read already; see `load`.

    Parameters
    ----------
    rna, atac : as from `held` or `stored`; atac holds peaks or gene activity.
    source : its rna, atac and layers are not looked at.
    genes : coordinates as from `load_genes`; None takes those that source names.
    beside : the peaks of the same ATAC cells, in place of the file that source names.
    better : the genome that their fragments are of, where the genes are of another.
    """
    measure, found = Measure.of(source), peak_intervals(atac.var)
    _check_features(measure, atac.var, found is not None, beside or source.atac_peaks)
    peaks = peaks_in_genes = intervals = None
    if found is not None:
        genes = genes_of(source, found) if genes is None else genes
        intervals = Intervals(found, genes, source.upstream)
        peaks = atac.X
        better = better or better_genome(found, genes)
        links, linked = links_of_genes(found, genes, source.upstream)
        peaks_in_genes = count_linked(links)
        atac = as_activity(atac, links, linked)
    beside = source.atac_peaks or None if beside is None else beside
    if beside is not None:
        found, peaks = _peaks_beside(atac, beside, source)
        intervals = Intervals(found, intervals and intervals.genes, source.upstream)
    paired, truth = pair(
        rna, atac, source.label_key, source.atac_label_key, peaks,
        source.drop_types, _fewest_genes(source, measure), peaks_in_genes, source.supervised,
        measure,
    )  # fmt: skip
    matching = replace(paired.matching, better_genome=better)
    batches = _batches(paired, source)
    return replace(paired, intervals=intervals, batches=batches, matching=matching), truth


def _check_genes(rna_var: pd.DataFrame) -> None:
    """Refuses RNA cells with peaks."""
    if are_called_as_peaks(rna_var):
        raise InputError(
            what="the features of the RNA cells are peaks",
            expected="genes",
            received=", ".join(feature_names(rna_var)[:3]),
            advice="check that --rna and --atac are not swapped",
        )


def _check_features(measure: Measure, var: pd.DataFrame, are_peaks: bool, beside: object) -> None:
    """Refuses peaks where there can be none."""
    if measure.of_kind.in_genes and (are_peaks or beside):
        raise InputError(
            what=f"peaks were given, and --query_kind={measure.kind} has none",
            expected="features that are genes" + (" or antibodies" if measure.is_protein else ""),
            received=", ".join(feature_names(var)[:3]) if are_peaks else "--atac_peaks",
            advice="sum them up to genes first (levels: the mean over each gene's body), or choose "
            "--query_kind=accessibility or repressive_mark, whose peaks are summed by themselves",
        )


def _fewest_genes(source: DatasetSource, measure: Measure) -> int:
    """How many genes must be shared: the user's number, or by default what the kind allows."""
    given = source.min_shared_genes != DataConfig.min_shared_genes
    is_few = measure.of_kind.panel and not given
    return FEWEST_OF_A_PANEL if is_few else source.min_shared_genes


def _batches(data: PairedData, source: DatasetSource) -> dict[str, pd.Categorical]:
    """Modality -> the batches of its cells, where there are several."""
    found = {name: _batches_of(data.obs(name), source, name) for name in MODALITIES}
    return {name: batches for name, batches in found.items() if batches is not None}


def _batches_of(obs: pd.DataFrame, source: DatasetSource, modality: str) -> pd.Categorical | None:
    key = getattr(source, f"{modality}_batch_key")
    return batches_of(obs, key, f"--{modality}_batch_key", f"--{modality}_labels")


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


def _synthetic(source: DatasetSource) -> LabelledPair:
    """Two modalities of one simulated tissue, through the same route as files."""
    from scadv_tf.data.synthetic import simulate

    _refuse_files("synthetic", source, BESIDE)
    rna, peaks, genes = simulate(
        source.synthetic_cells, difficulty=source.synthetic_difficulty, seed=source.seed
    )
    return assemble(rna, peaks, replace(source, label_key=source.label_key or "cell_type"), genes)


def _published(data: PublicData) -> Callable[[DatasetSource], LabelledPair]:
    """The recipe of a data set that is downloaded."""

    def load_published(source: DatasetSource) -> LabelledPair:
        ready = data.ready(source.data_dir)
        files: dict[str, Any] = {modality: str(path) for modality, path in ready.items()}
        return load(replace(source, **files, genome=source.genome or data.genome))

    return load_published


_RECIPES: dict[str, Callable[[DatasetSource], LabelledPair]] = {
    CUSTOM: load,
    "pbmc": _pbmc,
    "synthetic": _synthetic,
    pbmc_10k.DATA.name: _published(pbmc_10k.DATA),
    mouse_skin.DATA.name: _published(mouse_skin.DATA),
}


def _check_given(name: str, path: str, needed: bool) -> None:
    if path and is_there(path):
        return
    if path or needed:
        advice = f"check the path of --{name}" if name in BESIDE else (
            "give your own files by --rna=FILE --atac=FILE --label_key=KEY, or choose one "
            "of the data sets: " + ", ".join(n for n in available() if n != CUSTOM)
        )  # fmt: skip
        if len(several := paths_of(path)) > 1 and all(map(is_there, several)):
            advice = f"join these files, and give one: --{name} takes no several, as --atac does"
        raise InputError(
            what=f"the file of --{name} " + ("does not exist" if path else "is not given"),
            expected=f"--{name}=FILE with a file or folder that exists",
            received=path or "nothing",
            advice=advice,
        )


def choices_of(source: DatasetSource, name: str) -> Choices:
    """What is chosen of the file of --`name`; it refuses what none of the files has a use for.

    Fragments, if they are given, are counted in the user's peaks, or in windows.
    """

    genes = functools.cache(lambda: genes_of(source))

    def intervals() -> pd.DataFrame:
        if not source.peaks:
            return windows_of(genes(), source.upstream)
        if not source.atac_peaks:  # then gene activity is made, too
            genes()  # fails before any long work
        return read_peaks(source.peaks)

    def files(is_such: Callable[[Path], bool]) -> list[str]:
        paths = {each: paths_of(getattr(source, each)) for each in ("rna", "atac", "atac_peaks")}
        return [
            each
            for each, parts in paths.items()
            if any(path and is_such(at_home(path)) for path in parts)
        ]

    names = "peaks", "barcodes", "min_fragments"
    flags = [f"--{name}" for name in names if getattr(source, name) != getattr(DataConfig, name)]
    refused = () if name == "rna" or files(are_fragments) else tuple(flags)
    counting = source.barcodes, source.min_fragments, refused, not source.peaks
    by_genome = files(has_genomes)
    group = source.genome_group if name in by_genome or not by_genome else ""
    known = genes if source.genes or source.genome else None
    return Choices(Counting(intervals, *counting, known), group, Measure.of(source))


def _of_each(choices: Choices, files: int) -> list[Choices]:
    """The choices for each of several files of fragments: a list of barcodes has those of one."""
    counting = choices.counting
    lists = paths_of(counting.barcodes) if counting.barcodes else [""] * files
    if len(lists) != files:
        raise InputError(
            what="it is not known which barcodes are cells in which file of --atac",
            expected=f"{files} lists in --barcodes, separated by commas, in the order of the files",
            received=f"--barcodes={counting.barcodes}",
            advice="give a list for each file: the same barcode is another cell in another sample",
        )
    return [replace(choices, counting=replace(counting, barcodes=each)) for each in lists]


def genes_of(source: DataConfig, peaks: pd.DataFrame | None = None) -> pd.DataFrame:
    """The gene coordinates of ``genes`` or ``genome``, see `load_genes`.

    Parameters
    ----------
    peaks : that lie among them, as from `peak_intervals`; they tell what to advise.

    Raises
    ------
    InputError : neither is given, or they cannot be read.
    """
    if source.genes or source.genome:
        return load_genes(source.genes or embedded_genome(source.genome))
    fitting = "" if peaks is None else fitting_genome(peaks)
    raise InputError(
        what="the ATAC cells have peaks or fragments, and it is not known where the genes lie",
        expected=f"--genome={'|'.join(GENOMES)}, or --genes=FILE",
        received="neither",
        advice="give --genome for an embedded genome, or --genes with a BED, GTF or GFF of yours"
        + (f"; these peaks fit --genome={fitting}" if fitting else ""),
    )


def as_activity(
    atac: AnnData | StoredModality, links: sparse.csr_matrix, genes: pd.DataFrame
) -> AnnData | StoredModality:
    """The same cells with gene activity, the sum of the linked peaks, in place of peaks.

    Parameters
    ----------
    links, genes : as from `links_of_genes`.
    """
    if isinstance(atac, StoredModality):
        return replace(atac, X=atac.X.chosen(np.arange(atac.n_obs), links), var=genes)
    from anndata import AnnData

    return AnnData(sparse.csr_matrix(atac.X @ links, dtype=np.float32), obs=atac.obs, var=genes)


def _peaks_beside(
    atac: AnnData | StoredModality, beside: str | AnnData | MuData, source: DatasetSource
) -> tuple[pd.DataFrame, Counts]:
    """The peaks [P] of another file and their counts [A, P], in the order of the ATAC cells."""
    called = Called("the file of peaks", "--atac_peaks", "--atac_layer")
    choices = choices_of(source, "atac_peaks")
    cells = open_cells(beside, "atac", "", source.scratch or None, called, choices)
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
