"""Both modalities in, labels and one embedding written into them: the main job without files."""

from __future__ import annotations

import dataclasses
import tempfile
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scadv_tf import __version__, signals
from scadv_tf.api.arguments import plain
from scadv_tf.api.cells import by_type, target_of, texts, uns_of_scores, uns_of_settings
from scadv_tf.api.models import IntegratedModel
from scadv_tf.config import DataConfig, OutputConfig, RunConfig
from scadv_tf.data.anndata_cells import anndata_of, is_mudata, is_path, without_counts
from scadv_tf.data.answers import COLUMNS, PREFIX, UMAP, write_into
from scadv_tf.data.emptiness import scatter
from scadv_tf.data.measures import Measure
from scadv_tf.errors import InputError
from scadv_tf.folders import scratch_folder
from scadv_tf.modalities import MODALITIES
from scadv_tf.naming import query_called
from scadv_tf.not_none import not_none
from scadv_tf.progress import Stages

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from scadv_tf.data.answers import CellAnswers
    from scadv_tf.results import Results


def integrate(
    rna: AnnData | MuData | str | Path | None = None,
    atac: AnnData | MuData | str | Path | None = None,
    *,
    copy: bool = False,
    batch_key: str = "",
    **settings: object,
) -> IntegratedModel:
    """Trains on both modalities and writes labels and one embedding into them.

    What the same cells, settings and seed give in ``scadv train`` is what they give here. Into both
    AnnData come ``obs['scadv_label']``, ``…_confidence``, ``…_accepted_label``, ``…_novelty`` and
    ``…_unknown``, ``obsm['X_scadv']`` (the latent vectors), ``obsm['X_scadv_umap']`` (of both
    together) and ``uns['scadv']`` (settings, version, scores, warnings, …), in place of those of a
    former run; all else stays as it is, and everything does if an error is raised. Cells that were
    left out, for want of data or of an RNA label or by ``drop_types``, are 'unknown', with a latent
    vector of 0 and no place on the UMAP.

    Parameters
    ----------
    rna, atac : raw counts: an AnnData, in memory or backed, or whatever ``--rna`` and ``--atac``
        take; query cells that are no ATAC by the setting ``query_kind``. Or a MuData with both,
        alone. Neither with ``dataset='pbmc'``, which brings its own.
    copy : whether to write into copies in memory and leave what was given as it is.
    batch_key : column of both tables of cells with their donor, lane or technology, which is
        corrected for; of one modality alone: rna_batch_key, atac_batch_key.
    settings : the flags of ``scadv train`` by name, such as ``label_key='cell_type'``,
        ``genome='hg38'``, ``epochs=10``, ``seed=0``; ``atac_peaks`` may be an AnnData. Those of the
        output, such as output_dir, are no settings here: no file is written.

    Returns
    -------
    The model. ``model.rna`` and ``model.atac`` are the AnnData that were written into: those given,
    or their copies; of a path, one with the table of the cells used, but without counts.

    Raises
    ------
    InputError : the cells or a setting are unfit.
    """
    from scadv_tf import training

    config, given = _asked(rna, atac, batch_key, settings)
    measure = Measure.of(config.data)
    cells = {n: anndata_of(given[n], measure.features_of(n)) for n in MODALITIES if n in given}
    _check_apart(cells)
    targets = {name: target_of(adata, name, copy) for name, adata in cells.items()}
    if not given:
        training.dataset_name(config.data)  # one must be named
    stages = Stages()
    with scratch_folder(Path(tempfile.gettempdir())) as scratch, query_called(measure.name):
        with signals.interruptible():
            everything = training.read_and_tell(config, scratch, stages, given)
            team = training.start_tensorflow(config, stages)
            trained = training.train(everything, config, scratch, stages, team)
            results = training.evaluate(trained, config, stages)
            served, background = training.exportable(trained, results)
            of_all = training.of_all(trained, results)
            notes = _notes(results)
            results.metrics.update(epochs_trained=len(results.history), seconds=stages.seconds)
        _write(of_all, cells, notes, targets)
    return IntegratedModel(results, served, background, of_all.data.intervals, targets)


def _asked(
    rna: AnnData | MuData | str | Path | None,
    atac: AnnData | MuData | str | Path | None,
    batch_key: str,
    settings: dict[str, Any],
) -> tuple[RunConfig, dict[str, AnnData | MuData]]:
    """The settings, in which paths stand, and what is read in place of files; see `integrate`."""
    keys = {"rna_batch_key": batch_key, "atac_batch_key": batch_key}
    settings = ({} if batch_key is None else keys) | settings
    if atac is None and is_mudata(rna):
        atac = rna
    given = {"rna": rna, "atac": atac, "atac_peaks": settings.pop("atac_peaks", None)}
    given = {name: each for name, each in given.items() if each is not None}
    config = _configured(settings | {n: each for n, each in given.items() if is_path(each)})
    _check_keys(config.data)
    objects = {name: each for name, each in given.items() if not is_path(each)}
    return config, objects


def _configured(settings: dict) -> RunConfig:
    """The configuration of settings as notebooks have them: paths, and numbers of NumPy."""
    for field in dataclasses.fields(OutputConfig):
        if field.name in settings:
            raise InputError(
                what=f"The setting {field.name} has no meaning here: no file is written.",
                expected="settings of the data, the model and the training",
                received=f"{field.name}={settings[field.name]!r}",
                advice="Leave it out. The model is exported by model.export(folder); a folder of "
                "results comes from `scadv train`.",
            )
    config = RunConfig.of(**{name: plain(value) for name, value in settings.items()})
    if config.training.strategy == "multi_worker":
        raise InputError(
            what="Several machines cannot train from within Python.",
            expected="strategy='none' or 'mirrored'",
            received="strategy='multi_worker'",
            advice="Start `scadv train --strategy=multi_worker` on each machine.",
        )
    return config


def _check_keys(data: DataConfig) -> None:
    """Refuses columns of answers as known labels: the new answers would take their place."""
    written = {f"{PREFIX}{name}" for name in COLUMNS}
    for setting in ("label_key", "atac_label_key", "rna_batch_key", "atac_batch_key"):
        if (key := getattr(data, setting)) in written:
            raise InputError(
                what="A column of earlier answers is to be read, and will be written to.",
                expected="a column of another name",
                received=f"{setting}={key!r}",
                advice=f"Copy it first, e.g. adata.obs['given'] = adata.obs['{key}'], and name it.",
            )


def _check_apart(cells: dict[str, AnnData]) -> None:
    """Refuses one AnnData for both modalities: the answers of one would replace the other's."""
    if len(cells) == 2 and cells["rna"] is cells["atac"]:
        raise InputError(
            what="RNA and ATAC are one and the same AnnData.",
            expected="two AnnData, or a MuData with both modalities",
            received="the same object twice",
            advice="Give each its own, e.g. adata[:, adata.var['feature_types'] == "
            "'Gene Expression'].copy() and the same with 'Peaks'.",
        )


def _write(
    results: Results,
    given: dict[str, AnnData],
    notes: dict[str, object],
    targets: dict[str, AnnData],
) -> None:
    """Writes what is said of all cells into the targets; of a path, into cells without counts."""
    for modality, (found, umap) in _answers(results, given).items():
        if modality not in targets:
            cells = results.data.obs(modality), results.data.cells(modality)
            targets[modality] = without_counts(*cells)
        adata = targets[modality]
        write_into(adata, found)
        adata.obsm[UMAP] = umap
        adata.uns["scadv"] = deepcopy(notes) | {"modality": modality}


def _answers(
    results: Results, given: dict[str, AnnData]
) -> dict[str, tuple[CellAnswers, np.ndarray]]:
    """Modality -> the answers and the UMAP [cells, 2] of all cells of what was given."""
    data, start, found = results.data, 0, {}
    for modality, answers in results.annotation.answers.items():
        rows = data.rows[modality]
        umap = results.umap[start : start + len(rows)]
        start += len(rows)
        if modality in given:
            kept = np.zeros(given[modality].n_obs, dtype=bool)
            kept[rows] = True
            answers, umap = answers.of_all(kept), scatter(umap, kept, np.nan)
        found[modality] = answers, umap
    return found


def _notes(results: Results) -> dict[str, object]:
    """What ``uns['scadv']`` says of both modalities."""
    metrics = dict(results.metrics)
    del metrics["diagnosis"]
    shares = metrics.pop("type_shares", None)
    notes = {
        "version": __version__,
        "settings": uns_of_settings(results.config),
        "scores": uns_of_scores(metrics),
        "history": results.history,
        "warnings": texts(results.warnings),
        "diagnosis": not_none(results.diagnosis).to_uns(),
    }
    return notes if shares is None else notes | {"type_shares": by_type(shares)}
