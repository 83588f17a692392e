"""The main job: read, preprocess, fit, evaluate, export, write."""

from __future__ import annotations

import dataclasses
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scadv_tf.config import DataConfig, RunConfig
from scadv_tf.data import preprocessing
from scadv_tf.data.datasets import DatasetSource, available, load_dataset
from scadv_tf.data.fingerprint import fingerprint
from scadv_tf.data.pairing import AtacTruth, PairedData
from scadv_tf.errors import InputError
from scadv_tf.evaluation import umap_2d
from scadv_tf.progress import Stages, peak_memory_mb, quiet_start
from scadv_tf.results import Results, versions, warnings_of, write_json, write_results
from scadv_tf.scoring import learning_curve_hook, score, transfer

if TYPE_CHECKING:
    from scadv_tf.data.preprocessing import TrainingCells
    from scadv_tf.models.scadv import ScAdv

logger = logging.getLogger(__name__)


def run(config: RunConfig) -> dict:
    """Trains on the configured cells and writes every result.

    Nothing is written before the input has been read and found good.

    Returns
    -------
    The content of ``metrics.json``.

    Raises
    ------
    InputError : the input or a setting is unfit.
    """
    stages = Stages()
    name = dataset_name(config.data)
    folder = Path(config.output.output_dir or Path("runs") / name)
    export_dir = Path(config.output.export_dir or Path("savedmodels") / name)
    for path in (folder, export_dir):
        check_writable(path)
    with stages.stage("read", f"Reading {name}"):
        data, truth = read(config)
    for line in data.matching.text().splitlines():
        logger.info("  %s", line)
    with stages.stage("start", "Starting TensorFlow"), quiet_start():
        from scadv_tf import fitting
    with stages.stage("preprocess", "Preprocessing, finding neighbours"):
        cells = preprocessing.fit(data, config.preprocessing, config.training.seed)
    with stages.stage("train", f"Training {config.training.epochs} epochs"):
        watch = data.types and truth is not None
        hooks = [learning_curve_hook(data.types, truth)] if watch else []
        reporters = fitting.reporters(config, folder)
        given = cells, data.rna_labels, len(data.types)
        model, history = fitting.fit(*given, config, hooks, reporters)
    found = _evaluate(model, cells, data, truth, config, stages)
    with stages.stage("export", "Exporting the encoder"):
        fitting.save_checkpoint(model, config, folder / "checkpoints")
        export = _export(model, cells, data, found, config, export_dir)
    results = Results(config, data, truth, **found, history=history, export=export)
    _write(folder, results, stages)
    return results.metrics


def _evaluate(
    model: ScAdv,
    cells: TrainingCells,
    data: PairedData,
    truth: AtacTruth | None,
    config: RunConfig,
    stages: Stages,
) -> dict:
    """The fields of `Results` that a trained model brings."""
    from scadv_tf.annotation import annotate_cells

    seed = config.training.seed
    with stages.stage("transfer", "Transferring labels" if data.types else "Encoding the cells"):
        annotation = annotate_cells(model, cells, config)
        routes, answers = {}, (None, None)
        if data.types:
            routes = transfer(annotation, data.types, data.rna_labels, config)
            answers = annotation.probabilities, annotation.unknown
    with stages.stage("umap", "Drawing the UMAP"):
        umap = umap_2d(annotation.latent, seed, config.evaluation.umap_neighbors)
    with stages.stage("score", "Scoring"):
        probabilities, unknown = answers
        spaces = annotation.latent, umap
        metrics = score(routes, probabilities, *spaces, data, truth, seed, unknown)
    return {"routes": routes, "annotation": annotation, "umap": umap, "metrics": metrics}


def _export(
    model: ScAdv,
    cells: TrainingCells,
    data: PairedData,
    found: dict,
    config: RunConfig,
    folder: Path,
) -> Path:
    """Exports the model with its preprocessing; returns the folder of the version."""
    from scadv_tf.serving.export import export
    from scadv_tf.serving.manifest import Background
    from scadv_tf.serving.served_model import Served

    background = Background(
        dataset=dataset_name(config.data),
        fingerprint=fingerprint(data),
        cells={"rna": len(data.rna_cells), "atac": len(data.atac_cells)},
        type_cells=data.matching.rna_types,
        settings=config.to_dict(),
        scores=found["metrics"],
        versions=versions(),
    )
    vote, seed = config.evaluation.neighbor_vote, config.training.seed
    answer = found["annotation"]
    served = Served(model, cells.preprocessor, data.types, answer, vote, seed)
    return export(served, folder, background, data.intervals)


def _write(folder: Path, results: Results, stages: Stages) -> None:
    """Writes everything, `metrics.json` last, and says where it is."""
    metrics, export = results.metrics, results.export
    metrics |= {"epochs_trained": len(results.history), "export": str(export)}
    with stages.stage("write", f"Writing results to {folder}"):
        metrics |= {"seconds": stages.seconds, "peak_memory_mb": peak_memory_mb()}
        write_results(folder, results)
    write_json(folder / "metrics.json", metrics)
    for line in summary(metrics, warnings_of(results), folder, export):
        logger.info("%s", line)


def summary(metrics: dict, warnings: list[str], folder: Path, export: Path) -> list[str]:
    """The last lines that a user sees."""
    lines = []
    for route in ("label_transfer", "classifier", "svm", "knn"):
        if metrics[route] is not None:
            scores = metrics[route]
            lines.append(
                f"{route:15s} macro F1 {scores['macro_f1']:.3f}   weighted F1 "
                f"{scores['weighted_f1']:.3f}   accuracy {scores['accuracy']:.3f}"
            )
    lines += [f"warning: {text}" for text in warnings]
    lines.append(f"modality mixing {metrics['modality_mixing']:.2f}")
    return [*lines, f"report: {folder / 'report.html'}", f"export: {export}"]


def dataset_name(data: DataConfig) -> str:
    """The name of the data set: the user's, or 'custom' for files without a name."""
    if not data.dataset and not (data.rna or data.atac):
        raise InputError(
            what="No data set was named.",
            expected="--dataset=" + "|".join(available()) + ", or --rna and --atac",
            received="neither",
            advice="Try --dataset=pbmc, or give two files: --rna=FILE --atac=FILE.",
        )
    return data.dataset or "custom"


def read(config: RunConfig) -> tuple[PairedData, AtacTruth | None]:
    """The configured cells, paired; the known ATAC labels apart from them."""
    values = dataclasses.asdict(config.data)
    name = values.pop("dataset")
    values["cells"] = values.pop("synthetic_cells")
    values["difficulty"] = values.pop("synthetic_difficulty")
    training = config.training
    source = DatasetSource(**values, seed=training.seed, supervised=training.supervised)
    own = bool(source.rna or source.atac)
    # A name of their own for the user's files only names the folders of the results.
    recipe = "custom" if own and name not in available() else name
    data, truth = load_dataset(recipe, source)
    if truth is not None and not np.any(truth.labels != ""):
        truth = None  # a column of gaps is no label
    if training.supervised and data.rna_labels is None:
        raise InputError(
            what="The RNA cells have no labels to transfer.",
            expected="the column of the RNA cells' types",
            received=f"--label_key={config.data.label_key!r}",
            advice="Give --label_key=COLUMN, or --mode=unsupervised, which needs no labels.",
        )
    return data, truth


def check_writable(folder: Path) -> None:
    """Fails before any work if results could not be written."""
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise InputError(
            what="Results cannot be written there.",
            expected="a folder that may be written to, or one that can be made",
            received=f"{folder} ({existing} is {'read-only' if existing.is_dir() else 'a file'})",
            advice="Give another --output_dir or --export_dir.",
        )
