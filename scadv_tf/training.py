"""The main job: read, preprocess, fit, evaluate, export, write."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scadv_tf.client.exported import next_version
from scadv_tf.cluster import cluster_place
from scadv_tf.config import DataConfig, RunConfig
from scadv_tf.data import preprocessing
from scadv_tf.data.batch_differences import batch_warnings
from scadv_tf.data.datasets import (
    CUSTOM,
    DatasetSource,
    Given,
    LabelledPair,
    available,
    load_dataset,
)
from scadv_tf.data.labels import HEADLINE
from scadv_tf.data.measures import Measure
from scadv_tf.data.pairing import AtacTruth, PairedData
from scadv_tf.data.rows import some_rows
from scadv_tf.data.sound_counts import are_counted
from scadv_tf.errors import InputError
from scadv_tf.evaluation.diagnosis import Diagnosis, diagnose, empty_cells, line_of, sampled_cells
from scadv_tf.evaluation.embedding import umap_2d
from scadv_tf.evaluation.findings import Evidence
from scadv_tf.evaluation.left_out import LeftOut
from scadv_tf.evaluation.smoothness import CELLS, likeness_of_nearest
from scadv_tf.files import at_home
from scadv_tf.folders import made_folder, one_run, scratch_folder
from scadv_tf.libraries import quiet_start
from scadv_tf.memory import peak_memory_mb
from scadv_tf.modalities import MODALITIES
from scadv_tf.naming import named, query_called
from scadv_tf.not_none import not_none
from scadv_tf.progress import Stages
from scadv_tf.result_folder import check_what_stands, check_writable, not_writable
from scadv_tf.results import METRICS, REPORT, Results, versions, write_json, write_results
from scadv_tf.scoring import ROUTES, agreement, learning_curve_hook, score, transfer, type_shares

if TYPE_CHECKING:
    import pandas as pd
    from keras.callbacks import Callback

    from scadv_tf.annotation import Annotation
    from scadv_tf.checkpoints import Checkpoints
    from scadv_tf.data.training_cells import TrainingCells
    from scadv_tf.models.scadv import ScAdv
    from scadv_tf.serving.manifest import Background
    from scadv_tf.serving.served_model import Served
    from scadv_tf.team import Team

logger = logging.getLogger(__name__)


def run(config: RunConfig) -> dict:
    """Trains on the configured cells and writes every result.

    Nothing is written before the input has been read and found good.

    Returns
    -------
    The content of ``metrics.json``; nothing on a worker that is not the chief.

    Raises
    ------
    InputError : the input or a setting is unfit.
    """
    name, stages = dataset_name(config.data), Stages()
    folder = at_home(config.output.output_dir or Path("runs") / name)
    export_dir = at_home(config.output.export_dir or Path("savedmodels") / name)
    alone = config.training.strategy != "multi_worker"
    chief = alone or cluster_place().index == 0  # fails early
    for path in (folder, export_dir):
        check_writable(path)
    check_what_stands(config.data, folder)
    next_version(export_dir)
    with contextlib.ExitStack() as stack:
        for path in (folder, export_dir) if chief else (folder,):
            try:
                stack.enter_context(made_folder(path))
            except OSError as error:
                raise not_writable(path, f"{type(error).__name__}: {error}") from error
        if chief:  # which alone writes results
            stack.enter_context(one_run(folder))
        scratch = stack.enter_context(scratch_folder(folder))
        stack.enter_context(query_called(Measure.of(config.data).name))
        return _run(config, folder, export_dir, scratch, stages)


def _run(config: RunConfig, folder: Path, export_dir: Path, scratch: Path, stages: Stages) -> dict:
    everything = read_and_tell(config, scratch, stages)
    team = start_tensorflow(config, stages)
    from scadv_tf import checkpoints, fitting
    from scadv_tf.serving.export import export

    output = config.output
    kept = checkpoints.Checkpoints(
        folder / "checkpoints", output.checkpoint_seconds, output.resume, team.chief
    )
    with kept.through_a_stop():
        reporters = fitting.reporters(config, folder)
        trained = train(everything, config, scratch, stages, team, kept, reporters)
        if not team.chief:
            logger.info("Trained. The chief, worker 0, writes the results.")
            return {}
        results = evaluate(trained, config, stages)
        with stages.stage("export", "Exporting the encoder"):
            # It says 'done', so it goes before the first of the results that it stands for.
            (folder / METRICS).unlink(missing_ok=True)
            checkpoints.save_weights(trained.model, config, folder / "checkpoints")
            served, background = exportable(trained, results)
            version = export(served, export_dir, background, trained.everything.intervals)
        results = dataclasses.replace(results, export=version)
        _write(folder, results, of_all(trained, results), stages)
    kept.remove()
    return results.metrics


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
    """A trained model and the cells that it was trained on.

    Attributes
    ----------
    history : a row an epoch.
    cells : as the model sees them.
    data, truth : the cells that have data, which are trained on, scored and shown.
    everything, truth_of_all : all cells of the input, those without data among them.
    """

    model: ScAdv
    history: pd.DataFrame
    cells: TrainingCells
    data: PairedData
    truth: AtacTruth | None
    everything: PairedData
    truth_of_all: AtacTruth | None


def read_and_tell(
    config: RunConfig, scratch: Path | None, stages: Stages, given: Given | None = None
) -> LabelledPair:
    """The configured cells, see `read`; what was matched is logged."""
    with stages.stage("read", f"Reading {config.data.dataset or CUSTOM}"):
        data, truth = read(config, scratch, given)
    for line in data.matching.text().splitlines():
        logger.info("  %s", line)
    return data, truth


def start_tensorflow(config: RunConfig, stages: Stages) -> Team:
    """Imports TensorFlow and all that needs it, with no word of theirs; returns who trains.

    Raises
    ------
    InputError : a notebook has imported Keras, and it works by another library.
    """
    keras = sys.modules.get("keras")
    if keras is not None and keras.config.backend() != "tensorflow":
        raise InputError(
            what="Keras works by another library than TensorFlow in this process.",
            expected="tensorflow",
            received=f"{keras.config.backend()}, since Keras was imported",
            advice="Restart the notebook, and before anything imports Keras set "
            "os.environ['KERAS_BACKEND'] = 'tensorflow'.",
        )
    with stages.stage("start", "Starting TensorFlow"), quiet_start():
        from scadv_tf import fitting  # noqa: F401 (for its imports, which take seconds)
        from scadv_tf.team import team_of

        return team_of(config.training.strategy)


def train(
    everything: LabelledPair,
    config: RunConfig,
    scratch: Path,
    stages: Stages,
    team: Team,
    kept: Checkpoints | None = None,
    reporters: Sequence[Callback] = (),
) -> Trained:
    """Preprocesses and trains.

    Parameters
    ----------
    everything : as from `read`.
    scratch : folder for what is too large for memory.
    team, kept, reporters : see `fitting.fit`.
    """
    from scadv_tf import fitting

    with stages.stage("preprocess", "Preprocessing, finding neighbours"):
        seed, most = config.training.seed, config.data.memory_cells
        cells = preprocessing.fit(everything[0], config.preprocessing, seed, scratch, most)
    measure = cells.preprocessor.measure
    everything = dataclasses.replace(everything[0], measure=measure), everything[1]
    data, truth = _of_cells(cells, *everything)
    _tell_of_query(measure, batch_warnings(cells, data), data)
    with stages.stage("train", "Training"):
        hooks = [learning_curve_hook(data.types, truth)] if data.types and truth else []
        given = cells, everything[0].rna_labels, len(data.types), config, hooks, reporters
        model, history = fitting.fit(*given, team, kept)
    return Trained(model, history, cells, data, truth, *everything)


def _tell_of_query(measure: Measure, warnings: list[str], data: PairedData) -> None:
    """What preprocessing learned of the query, and warnings, in its name."""
    if account := measure.account():
        logger.info("  %s", account)
        data.matching.names.append(account)
    found = [*warnings, *filter(None, [measure.doubt()])]
    data.matching.warnings.extend(named(text, measure.name) for text in found)


def _of_cells(
    cells: TrainingCells, data: PairedData, truth: AtacTruth | None
) -> tuple[PairedData, AtacTruth | None]:
    """The cells that have data, which are trained on, scored and shown."""
    kept = cells.with_data
    truth = None if truth is None else truth.of_cells(kept["atac"])
    # Where cells without data alone have labels, nothing can be scored.
    return data.of_cells(kept), truth if truth is not None and truth.known else None


def evaluate(trained: Trained, config: RunConfig, stages: Stages) -> Results:
    """What the model says of the cells that have data, and all scores."""
    from scadv_tf.annotation import annotate_cells

    seed, data, truth = config.training.seed, trained.data, trained.truth
    with stages.stage("transfer", "Transferring labels" if data.types else "Encoding the cells"):
        annotation = annotate_cells(trained.model, trained.cells, config, data.types)
        if data.types:
            answers = transfer(annotation, not_none(data.rna_labels), config)
            annotation = dataclasses.replace(annotation, voted=answers)
    with stages.stage("umap", "Drawing the UMAP"):
        umap = umap_2d(annotation.latent, seed, config.evaluation.umap_neighbors)
    with stages.stage("score", "Scoring"):
        spaces = annotation.latent, umap
        if not data.types:
            metrics = score({}, None, *spaces, data, truth, seed)
        else:
            without_data = len(trained.everything.atac_cells) - len(data.atac_cells)
            given = *spaces, data, truth, seed, answers.unknown, without_data
            metrics = score(answers.routes, answers.probabilities, *given)
            shares = type_shares(answers, not_none(data.rna_labels))
            metrics |= {"type_shares": shares, "agreement": agreement(answers.routes)}
            if left_out := left_out_of(trained):
                metrics["rna_left_out"] = left_out.to_dict()
    with stages.stage("diagnose", "Looking for marker genes"):
        found = diagnosis_of(trained, annotation, metrics, seed)
        metrics["diagnosis"] = found.to_dict()
    return Results(config, data, truth, annotation, umap, trained.history, metrics, found)


def diagnosis_of(trained: Trained, annotation: Annotation, metrics: dict, seed: int) -> Diagnosis:
    """Whether to trust what a model says; no known label of an ATAC cell is looked at."""
    data, answers = trained.data, annotation.voted
    called, labels = None, {}
    if data.types:
        called = np.asarray(not_none(answers.label).codes)
        labels = {
            "rna_labels": data.known_rna_types(),
            "predicted": answers.routes[HEADLINE],
            "confidence": answers.confidence,
            "unknown": answers.unknown,
        }
    markers, depths, repeated = sampled_cells(data, called, seed)
    seen = Evidence(
        metrics,
        data.matching.to_dict(),
        markers=markers,
        depths=depths,
        empty=empty_cells(trained.everything, data),
        repeated=repeated,
        untaught=not data.types,
        left_out=left_out_of(trained),
        rna_likeness=_likeness(data, seed),
        **labels,
    )
    return diagnose(seen)


def left_out_of(trained: Trained) -> LeftOut | None:
    """What RNA cells that the linear guess did not learn from are called; None without one."""
    balance = trained.cells.balance
    return None if balance is None else LeftOut.of(balance.guess.left_out, trained.data.types)


def _likeness(data: PairedData, seed: int) -> float | None:
    """Of RNA cells to their nearest; None of counts, which are each cell's own."""
    if are_counted(data.rna):
        return None
    return likeness_of_nearest(data.rna[some_rows(len(data.rna_cells), CELLS, seed)])


def of_all(trained: Trained, results: Results) -> Results:
    """The results of all cells, those without data too."""
    return results.of_all(trained.everything, trained.truth_of_all, trained.cells.with_data)


def exportable(trained: Trained, results: Results) -> tuple[Served, Background]:
    """What is exported of a model: itself with its preprocessing, and where it comes from."""
    from scadv_tf.serving.manifest import Background
    from scadv_tf.serving.served_model import Served

    data, config = trained.everything, results.config
    background = Background(
        dataset=config.data.dataset or CUSTOM,
        fingerprint=trained.cells.fingerprint,
        cells={modality: trained.cells.cells(modality) for modality in MODALITIES},
        counted={modality: are_counted(data.counts(modality)) for modality in MODALITIES},
        type_cells=data.matching.rna_types,
        settings=config.to_dict(),
        scores=results.metrics,
        versions=versions(),
    )
    vote, preprocessor = config.evaluation.neighbor_vote, trained.cells.preprocessor
    served = Served(trained.model, preprocessor, data.types, results.annotation, vote)
    return served, background


def _write(folder: Path, results: Results, of_all: Results, stages: Stages) -> None:
    """Writes everything, `metrics.json` last, and says where it is."""
    metrics, export = results.metrics, results.export
    metrics |= {"epochs_trained": len(results.history), "export": str(export)}
    with stages.stage("write", f"Writing results to {folder}"):
        metrics |= {"seconds": stages.seconds, "memory_mb": stages.memory_mb}
        metrics |= {"resident_mb": stages.resident_mb, "peak_memory_mb": peak_memory_mb()}
        write_results(folder, results, of_all)
    write_json(folder / METRICS, metrics)
    for line in summary(metrics, results.warnings, folder, not_none(export)):
        logger.info("%s", line)


def summary(metrics: dict, warnings: list[str], folder: Path, export: Path) -> list[str]:
    """The last lines that a user sees."""
    lines = []
    for route in (*ROUTES, "linear"):
        if metrics.get(route) is not None:
            scores = metrics[route]
            lines.append(
                f"{route:15s} macro F1 {scores['macro_f1']:.3f}   weighted F1 "
                f"{scores['weighted_f1']:.3f}   accuracy {scores['accuracy']:.3f}"
            )
    lines += [f"warning: {text}" for text in warnings]
    lines.append(f"modality mixing {metrics['modality_mixing']:.2f}")
    lines += [f"report: {folder / REPORT}", f"export: {export}"]
    return [*lines, line_of(metrics["diagnosis"])]


def dataset_name(data: DataConfig) -> str:
    """The name of the data set: the user's, or 'custom' for files without a name.

    Raises
    ------
    InputError : neither a name nor a file is given.
    """
    if not data.dataset and not (data.rna or data.atac):
        raise InputError(
            what="No data set was named.",
            expected="--dataset=" + "|".join(available()) + ", or --rna and --atac",
            received="neither",
            advice="Try --dataset=pbmc, or give two files: --rna=FILE --atac=FILE.",
        )
    return data.dataset or CUSTOM


def read(
    config: RunConfig, scratch: Path | None = None, given: Given | None = None
) -> LabelledPair:
    """The configured cells, paired; the known ATAC labels apart from them.

    Parameters
    ----------
    scratch : folder for files that are read from disk and have to be sorted first.
    given : what is read in place of the configured files, see `load_dataset`.

    Raises
    ------
    InputError : see `load_dataset`; or there are no labels to teach.
    """
    name, training = config.data.dataset, config.training
    source = DatasetSource(
        **dataclasses.asdict(config.data),
        supervised=training.supervised,
        seed=training.seed,
        scratch=str(scratch or ""),
    )
    own = bool(source.rna or source.atac or given)
    # A name of their own for the user's files only names the folders of the results.
    recipe = CUSTOM if own and name not in available() else name
    data, truth = load_dataset(recipe, source, given)
    if training.supervised and data.rna_labels is None:
        raise InputError(
            what="The RNA cells have no labels to transfer.",
            expected="the column of the RNA cells' types",
            received=f"--label_key={config.data.label_key!r}",
            advice="Give --label_key=COLUMN, or --mode=unsupervised, which needs no labels.",
        )
    return data, truth
