"""Preprocessed cells in, a trained model out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from scadv_tf.annotation import encode, fit_readout
from scadv_tf.config import RunConfig, TrainingConfig
from scadv_tf.data.pipeline import fitting_batch_size, steps_of_pass, training_batches
from scadv_tf.data.preprocessing import TrainingCells
from scadv_tf.errors import InputError
from scadv_tf.files import whole_file, write_whole
from scadv_tf.models.callbacks import AtacPredictions, Hook, LabelChange, SoftLabelUpdate
from scadv_tf.models.confidence import held_out_rows
from scadv_tf.models.phases import PhaseSchedule
from scadv_tf.models.scadv import ScAdv
from scadv_tf.progress import training_progress


def _optimizer(config: TrainingConfig, learning_rate: float, steps: int):
    rate = learning_rate
    if config.learning_rate_schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(learning_rate, max(1, steps))
    clip = config.gradient_clip_norm or None
    if config.optimizer == "adam":
        return keras.optimizers.Adam(rate, global_clipnorm=clip)
    return keras.optimizers.SGD(rate, momentum=config.momentum, nesterov=True, global_clipnorm=clip)


def batch_size_of(cells: TrainingCells, config: TrainingConfig) -> int:
    """The configured batch size, or a smaller one for a small data set."""
    return fitting_batch_size(cells, config.batch_size, config.min_batches)


def build_model(cells: TrainingCells, types: int, config: RunConfig) -> ScAdv:
    """A compiled model for these cells, its fixed projection set."""
    preprocessor, training = cells.preprocessor, config.training
    components = preprocessor.components
    steps = steps_of_pass(cells, batch_size_of(cells, training)) * training.epochs
    shape = {
        "genes": len(preprocessor.genes),
        "types": types,
        "projection_size": 0 if components is None else components.shape[1],
        "reversal_strength": training.reversal_strength,
    }
    model = ScAdv(**shape, network=config.network, loss=config.loss)
    model.total_steps = steps * len(model.phases)
    if components is not None:
        model.set_projection(components)
    model.synchronize_teacher()
    model.compile(
        _optimizer(training, training.learning_rate, steps),
        _optimizer(training, training.alignment_learning_rate, steps),
        jit_compile=False,
    )
    return model


def fit(
    cells: TrainingCells,
    rna_labels: np.ndarray | None,
    types: int,
    config: RunConfig,
    hooks: Sequence[Hook] = (),
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> tuple[ScAdv, pd.DataFrame]:
    """Trains a model by Algorithm 1 and fits its readout; no label of an ATAC cell comes in here.

    Parameters
    ----------
    rna_labels, types : type codes [R] and the number of types; not looked at in the unsupervised
        mode, where all cells are of one type.
    hooks : called with each epoch's predictions of the ATAC cells (see `AtacPredictions`).
    callbacks : further Keras callbacks.

    Returns
    -------
    The model, and the history: a row an epoch with the mean losses and what the hooks logged.

    Raises
    ------
    InputError : the training diverged.
    """
    training = config.training
    keras.utils.set_random_seed(training.seed)
    share = training.calibration_share
    if not training.supervised:
        rna_labels, types, share = np.zeros(cells.cells("rna"), np.int32), 1, 0.0
    held_out = held_out_rows(rna_labels, share, training.seed)
    taught = np.setdiff1d(np.arange(len(rna_labels)), held_out)
    labels = rna_labels[taught].astype(np.int32)
    model, history = _train(cells.with_rna(taught), labels, types, config, hooks, callbacks)
    fit_readout(model, cells, rna_labels, held_out, config)
    return model, history


def _train(
    cells: TrainingCells,
    rna_labels: np.ndarray,
    types: int,
    config: RunConfig,
    hooks: Sequence[Hook],
    callbacks: Sequence[keras.callbacks.Callback],
) -> tuple[ScAdv, pd.DataFrame]:
    training, loss = config.training, config.loss
    model = build_model(cells, types, config)
    soft = np.zeros((cells.cells("atac"), types), dtype=np.float32)
    batch_size = batch_size_of(cells, training)
    batches = training_batches(
        cells,
        rna_labels,
        soft,
        batch_size,
        len(model.phases),
        training.seed,
        mixing_alpha=loss.interpolation_alpha if model.has_teacher else 0.0,
        partners=loss.contrastive > 0 and loss.contrastive_pair == "neighbor",
    )
    if training.supervised:
        shares = np.bincount(rna_labels, minlength=types) / len(rna_labels)
        hooks = [*_label_hooks(model, cells, soft, shares, config), *hooks]
    predictions = AtacPredictions(lambda: encode(model, cells, "atac").probabilities, hooks)
    steps = steps_of_pass(cells, batch_size)
    progress = training_progress(training.epochs, steps * len(model.phases))
    history = model.fit(
        batches,
        epochs=training.epochs,
        callbacks=[PhaseSchedule(steps), predictions, *callbacks, progress],
        shuffle=False,
        verbose=0,
    )
    table = pd.DataFrame(history.history)
    _check_finite(table[list(model.active)])
    table.insert(0, "epoch", np.arange(1, len(table) + 1))
    return model, table


def _label_hooks(
    model: ScAdv, cells: TrainingCells, soft: np.ndarray, shares: np.ndarray, config: RunConfig
) -> list[Hook]:
    """What is made of each epoch's predicted types: soft labels in place, and early stopping."""
    training, loss = config.training, config.loss
    warmup = max(1, round(loss.centroid_warmup * training.epochs))
    settings = warmup, loss.prior_power, loss.sharpening
    return [
        SoftLabelUpdate(soft, cells.neighbor_weights, shares, *settings),
        LabelChange(model, training.early_stopping_patience, training.early_stopping_change),
    ]


def _check_finite(losses: pd.DataFrame) -> None:
    bad = losses.columns[~np.isfinite(losses).all()]
    if len(bad):
        raise InputError(
            what="The training diverged: a loss is not a number or infinite.",
            expected="finite losses in every epoch",
            received=", ".join(f"{name}={losses[name].iloc[-1]}" for name in bad),
            advice="Lower --learning_rate and --alignment_learning_rate, or set "
            "--gradient_clip_norm.",
        )


def reporters(config: RunConfig, folder: Path) -> list[keras.callbacks.Callback]:
    """TensorBoard, where the configuration asks for it."""
    if not config.output.tensorboard:
        return []
    return [keras.callbacks.TensorBoard(str(folder / "tensorboard"), write_graph=False)]


def save_checkpoint(model: ScAdv, config: RunConfig, folder: Path) -> None:
    """Writes all weights, those of the discriminators and the teacher too, and the settings."""
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / "model.weights.h5") as temporary:
        model.save_weights(temporary)
    write_whole(folder / "config.json", config.to_json().encode())
