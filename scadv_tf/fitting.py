"""Preprocessed cells in, a trained model out."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from scadv_tf import __version__
from scadv_tf.annotation import fit_readout, join_linear, probabilities
from scadv_tf.checkpoints import Checkpoints, KeepsTraining, Snapshot, history_rows, history_table
from scadv_tf.config import RunConfig, TrainingConfig
from scadv_tf.data.datasets import INPUTS
from scadv_tf.data.pipeline import Pass, Turns, training_batches
from scadv_tf.data.training_cells import TrainingCells
from scadv_tf.errors import InputError
from scadv_tf.evaluation.collapse import RATE_FACTOR
from scadv_tf.modalities import MODALITIES
from scadv_tf.models import optimizers
from scadv_tf.models.callbacks import (
    AtacPredictions,
    EpochSeconds,
    Hook,
    LabelChange,
    SoftLabelUpdate,
)
from scadv_tf.models.confidence import held_out_rows
from scadv_tf.models.divergence import Diverged, WatchesNumbers
from scadv_tf.models.phases import PhaseSchedule
from scadv_tf.models.precision import single_precision
from scadv_tf.models.scadv import ScAdv
from scadv_tf.not_none import not_none
from scadv_tf.progress import training_progress
from scadv_tf.team import Team, alone

logger = logging.getLogger(__name__)


Rate: TypeAlias = float | keras.optimizers.schedules.LearningRateSchedule

# By which the learning rates are multiplied each time that the training has diverged.
LOWERED = 0.5


def _course(config: TrainingConfig, learning_rate: float, steps: int) -> Rate:
    """A learning rate over the steps of the training."""
    if config.learning_rate_schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(learning_rate, max(1, steps))
    return learning_rate


def _optimizer(
    config: TrainingConfig, name: str, learning_rate: float, steps: int
) -> keras.optimizers.Optimizer:
    rate = _course(config, learning_rate, steps)
    settings = {"name": name, "global_clipnorm": config.gradient_clip_norm or None}
    if config.optimizer == "adam":
        return optimizers.Adam(rate, **settings)
    return optimizers.SGD(rate, momentum=config.momentum, nesterov=True, **settings)


def pass_of(cells: TrainingCells, config: TrainingConfig, replicas: int) -> Pass:
    """The pass over these cells: smaller batches for a small data set."""
    largest = max(cells.cells(name) for name in MODALITIES)
    settings = config.batch_size, config.min_batches, replicas, config.max_pass_steps
    return Pass.of(largest, *settings)


def build_model(
    cells: TrainingCells, types: int, config: RunConfig, team: Team | None = None
) -> ScAdv:
    """A compiled model for these cells, its fixed projection set."""
    preprocessor, training = cells.preprocessor, config.training
    components = preprocessor.components
    one_pass = pass_of(cells, training, 1 if team is None else team.replicas)
    steps = one_pass.steps * training.epochs
    size = 0 if components is None else components.shape[1]
    model = new_model(len(preprocessor.genes), types, size, steps, config)
    if components is not None:
        model.set_projection(components)
    return model


@single_precision()
def new_model(genes: int, types: int, projection_size: int, steps: int, config: RunConfig) -> ScAdv:
    """A compiled model, fresh.

    Parameters
    ----------
    genes, types, projection_size : see `ScAdv`.
    steps : of the whole training, in each phase.
    """
    training = config.training
    shape: dict[str, Any] = {
        "genes": genes,
        "types": types,
        "projection_size": projection_size,
        "reversal_strength": training.reversal_strength,
        "seed": training.seed,
    }
    model = ScAdv(**shape, network=config.network, loss=config.loss)
    model.total_steps = steps * len(model.phases)
    model.compile(
        _optimizer(training, "optimizer", training.learning_rate, steps),
        _optimizer(training, "alignment_optimizer", training.alignment_learning_rate, steps),
        jit_compile=False,
    )
    return model


@single_precision()
def fit(
    cells: TrainingCells,
    rna_labels: np.ndarray | None,
    types: int,
    config: RunConfig,
    hooks: Sequence[Hook] = (),
    callbacks: Sequence[keras.callbacks.Callback] = (),
    team: Team | None = None,
    checkpoints: Checkpoints | None = None,
) -> tuple[ScAdv, pd.DataFrame]:
    """Trains a model by Algorithm 1 and fits its readout; no label of an ATAC cell comes in here.

    Parameters
    ----------
    rna_labels, types : type codes of all RNA cells of the data, those without data among them, and
        the number of types; not looked at in the unsupervised mode, where all cells are of one
        type.
    hooks : called with each epoch's predictions of the ATAC cells, see `AtacPredictions`.
    callbacks : further Keras callbacks.
    team : replicas and workers that train together; None for one replica. All workers call this
        with the same cells, and all get the same model.
    checkpoints : where an unfinished training is kept; None keeps none.

    Returns
    -------
    The model, and the history: a row an epoch with the mean losses and what the hooks logged.

    Raises
    ------
    InputError : the training diverged, the checkpoint is of another training, or another worker is
        lost.
    """
    training, team = config.training, team or alone()
    keras.utils.set_random_seed(training.seed)
    share = training.calibration_share
    if not training.supervised:
        rna_labels, types, share = np.zeros(cells.cells("rna"), np.int32), 1, 0.0
    else:
        rna_labels = cells.chosen("rna", not_none(rna_labels))
    held_out = held_out_rows(rna_labels, share, training.seed)
    taught = np.setdiff1d(np.arange(len(rna_labels)), held_out)
    identity = _identity(cells, rna_labels, types, config)
    team.check_alike("data or settings", int(identity[:15], 16))
    with team.strategy.scope():
        model = build_model(cells, types, config, team)
        join_linear(model, cells, config)
    task = _Task(cells, taught, rna_labels, config, model, team, identity)
    history = task.train(hooks, callbacks, checkpoints)
    if team.mirrors:
        model = _without_replicas(model)
    fit_readout(model, cells, rna_labels, held_out, config)
    return model, history


class _Task:
    """A training: model, batches, soft labels and what has been learned so far."""

    def __init__(
        self,
        cells: TrainingCells,
        rna_rows: np.ndarray,
        rna_labels: np.ndarray,
        config: RunConfig,
        model: ScAdv,
        team: Team,
        identity: str,
    ):
        self.cells, self.rna_rows, self.rna_labels = cells, rna_rows, rna_labels
        self.config, self.model, self.team, self.identity = config, model, team, identity
        training = config.training
        self.soft = np.zeros((cells.cells("atac"), model.types), dtype=np.float32)
        self.one_pass = pass_of(cells, training, team.replicas)
        change = training.early_stopping_patience, training.early_stopping_change
        self.label_change = LabelChange(model, *change)
        self.earlier: list[dict] = []
        self.times_lowered = 0

    def train(
        self,
        hooks: Sequence[Hook],
        callbacks: Sequence[keras.callbacks.Callback],
        checkpoints: Checkpoints | None,
    ) -> pd.DataFrame:
        """Trains to the end, from the beginning or from a checkpoint; returns the history."""
        tables = checkpoints.restore(self.model, self.identity) if checkpoints else {}
        first = 0
        if checkpoints and tables:
            first = self._restore(tables)
            logger.info("Going on after epoch %d of %s", first, checkpoints.path)
        self.team.check_alike("the epoch that they start from", first)
        keeps = KeepsTraining(self._tables, self.identity, checkpoints)
        done = False
        while not done:
            try:
                self._fit(first, hooks, callbacks, keeps)
                done = True
            except Diverged as failure:
                first = self._go_back(not_none(keeps.last), failure)
        table = pd.DataFrame(self._rows())
        if RATE_FACTOR in table:
            table = table.fillna({RATE_FACTOR: 1.0})
        table.insert(0, "epoch", np.arange(1, len(table) + 1))
        return table

    def _fit(
        self,
        first: int,
        hooks: Sequence[Hook],
        callbacks: Sequence[keras.callbacks.Callback],
        keeps: KeepsTraining,
    ) -> None:
        """Trains from an epoch on to the end.

        Raises
        ------
        Diverged : a number is not finite.
        """
        epochs, steps = self.config.training.epochs, self.one_pass.steps * len(self.model.phases)
        self.model.history = keras.callbacks.History()  # that of an earlier call is told already
        watch, progress = WatchesNumbers(), training_progress(epochs, steps, first)
        every_epoch, turns = [*self._label_hooks(), *hooks], None
        if self.team.endless:
            turns = Turns(first)
            every_epoch.append(turns.next_after)
        predictions = AtacPredictions(lambda: watch.checked(self._predict()), every_epoch)
        try:
            with self.team.together():
                self.model.fit(
                    self.team.distributed(self._batches(first, turns)),
                    epochs=epochs,
                    initial_epoch=first,
                    steps_per_epoch=steps if self.team.endless else None,
                    callbacks=[
                        PhaseSchedule(self.one_pass.steps),
                        watch,
                        predictions,
                        *callbacks,
                        keeps,
                        EpochSeconds(),
                        progress,
                    ],
                    shuffle=False,
                    verbose=0,
                )
        finally:
            progress.on_train_end()
            if turns:
                turns.end()

    def _go_back(self, last: Snapshot, failure: Diverged) -> int:
        """Sets the training as it was after its last good epoch, with lower learning rates.

        Returns
        -------
        The epoch to go on with.

        Raises
        ------
        InputError : it was done as often as is wanted.
        """
        times, most = self.times_lowered, self.config.training.divergence_retries
        if times >= most:
            raise InputError(
                what="The training diverged: a loss or a gradient is not finite.",
                expected="finite losses and gradients in every step",
                received=f"{failure}"
                + (f", with learning rates times {LOWERED**times:g}" if times else ""),
                advice="Lower --learning_rate and --alignment_learning_rate, or set "
                "--gradient_clip_norm.",
            )
        epoch = self._restore(last.restore(self.model))
        self._lower_rates(times + 1)
        logger.warning(
            "%s: going back to the end of epoch %d, with learning rates times %g from now on",
            *(failure, epoch, LOWERED**self.times_lowered),
        )
        return epoch

    def _lower_rates(self, times: int) -> None:
        """Sets the learning rates that hold after the training has diverged so often."""
        training, self.times_lowered = self.config.training, times
        steps = self.one_pass.steps * training.epochs
        rates = {
            "optimizer": training.learning_rate,
            "alignment_optimizer": training.alignment_learning_rate,
        }
        for phase in self.model.phases:
            rate = rates[phase.optimizer] * LOWERED**times
            getattr(self.model, phase.optimizer).learning_rate = _course(training, rate, steps)
        self.model.train_function = None  # which the former rates are compiled into

    def _batches(self, first_epoch: int, turns: Turns | None) -> tf.data.Dataset:
        loss, model = self.config.loss, self.model
        return training_batches(
            self.cells,
            self.rna_rows,
            self.rna_labels,
            self.soft,
            self.one_pass,
            len(model.phases),
            self.config.training.seed,
            mixing_alpha=loss.interpolation_alpha if loss.interpolation else 0.0,
            with_partners=loss.contrastive > 0 and loss.contrastive_pair == "neighbor",
            shard=self.team.worker,
            first_epoch=first_epoch,
            turns=turns,
        )

    def _predict(self) -> np.ndarray:
        """Probabilities of the types of the ATAC cells, of which each worker asks for a part."""
        features = self.cells.features["atac"]

        def of(part: slice) -> np.ndarray:
            return probabilities(self.model, features[part], "atac")

        return self.team.shared(of, features.shape[0])

    def _label_hooks(self) -> list[Hook]:
        """What is made of each epoch's predicted types: soft labels in place, early stopping."""
        training, loss = self.config.training, self.config.loss
        if not training.supervised:
            return []
        if self.cells.balance is not None:
            shares = self.cells.balance.composition.atac_shares
        else:
            shares = np.bincount(self.rna_labels[self.rna_rows], minlength=self.model.types)
            shares = shares / len(self.rna_rows)
        warmup = max(1, round(loss.centroid_warmup * self.config.training.epochs))
        settings = warmup, loss.prior_power, loss.sharpening
        update = SoftLabelUpdate(self.soft, self.cells.neighbors, shares, *settings)
        return [update, self.label_change]

    def _rows(self) -> list[dict]:
        """The history so far, a row an epoch."""
        history = self.model.history.history
        rows = [dict(zip(history, row, strict=True)) for row in zip(*history.values(), strict=True)]
        if self.times_lowered:
            rows = [row | {RATE_FACTOR: LOWERED**self.times_lowered} for row in rows]
        return self.earlier + rows

    def _tables(self, epoch: int) -> dict[str, np.ndarray]:
        """What a checkpoint keeps beside the model, for a training that goes on with `epoch`."""
        last = self.label_change.last
        return {
            "epoch": np.array(epoch),
            "soft_labels": self.soft,
            "last_types": np.zeros(0, np.int64) if last is None else last,
            "calm_epochs": np.array(self.label_change.calm_epochs),
            "times_lowered": np.array(self.times_lowered),
            "history": history_table(self._rows()),
        }

    def _restore(self, tables: dict[str, np.ndarray]) -> int:
        """Takes up what was kept beside the model; returns the epoch to go on with."""
        self.soft[:] = tables["soft_labels"]
        self.label_change.last = tables["last_types"] if len(tables["last_types"]) else None
        self.label_change.calm_epochs = int(tables["calm_epochs"])
        self.earlier = history_rows(tables["history"])
        if times := int(tables.get("times_lowered", 0)):  # which older checkpoints lack
            self._lower_rates(times)
        return int(tables["epoch"])


def _identity(cells: TrainingCells, rna_labels: np.ndarray, types: int, config: RunConfig) -> str:
    """A hash of what must be the same for workers to train together, or a training to go on."""
    settings = config.to_dict()
    del settings["output"]
    # Neither who trains nor how long it is tried changes what comes of it.
    left_out = "strategy", "divergence_retries"
    settings["training"] = {k: v for k, v in settings["training"].items() if k not in left_out}
    # Files may lie elsewhere on another machine, and what is done afterwards may be another.
    places = "data_dir", *INPUTS
    settings["data"] = {k: v for k, v in settings["data"].items() if k not in places}
    settings["evaluation"] = {"linear_share": config.evaluation.linear_share}
    sizes = [types, *(cells.cells(name) for name in MODALITIES)]
    # The counts of all cells are in the fingerprint: what was learned of others is of no use.
    marks = [__version__, cells.fingerprint, settings, sizes]
    digest = hashlib.sha256(json.dumps(marks, sort_keys=True).encode())
    digest.update("\n".join(map(str, cells.preprocessor.genes)).encode())
    digest.update(np.ascontiguousarray(rna_labels, dtype=np.int64).data)
    return digest.hexdigest()


def _without_replicas(model: ScAdv) -> ScAdv:
    """The same model, of variables of its own: to be asked and exported."""
    plain = ScAdv.from_config(model.get_config())
    for variable, trained in zip(plain.weights, model.weights, strict=True):
        variable.assign(trained.numpy())
    return plain


def reporters(config: RunConfig, folder: Path) -> list[keras.callbacks.Callback]:
    """TensorBoard, where the configuration asks for it."""
    if not config.output.tensorboard:
        return []
    return [keras.callbacks.TensorBoard(str(folder / "tensorboard"), write_graph=False)]
