"""Checkpoints: from which an interrupted training goes on, and the weights of a finished one."""

from __future__ import annotations

import json
import logging
import time
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from scadv_tf import __version__, signals
from scadv_tf.config import RunConfig
from scadv_tf.errors import InputError
from scadv_tf.files import check_room, whole_file, write_whole
from scadv_tf.models.scadv import ScAdv
from scadv_tf.not_none import not_none

logger = logging.getLogger(__name__)

Tables = dict[str, np.ndarray]
FILE = "training.npz"
VARIABLE = "variable/"  # in front of the paths of variables
_WITH_NAMES = 1 << 21  # bytes that a file of weights may have beside them


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A training between two epochs, in memory.

    Attributes
    ----------
    tables : what the model and its optimizers keep, by the paths of the variables, and what is kept
        beside them.
    """

    tables: Tables

    @classmethod
    def of(cls, model: ScAdv, beside: Tables) -> Snapshot:
        """A copy of the model as it is now, its optimizers and other tables."""
        found = {name: variable.numpy() for name, variable in _variables(model).items()} | beside
        return cls({name: np.array(values) for name, values in found.items()})

    def restore(self, model: ScAdv) -> Tables:
        """Sets the model as it was and returns the tables kept beside it."""
        variables = _variables(model)
        for name, variable in variables.items():
            variable.assign(self.tables[name])
        return {name: table for name, table in self.tables.items() if name not in variables}


def _variables(model: ScAdv) -> dict:
    return {VARIABLE + path: v for path, v in model.training_state().items()}


@dataclass(eq=False)
class Checkpoints:
    """Where an unfinished training is kept, and how often.

    As it was after its last epoch it is also held in memory, so that a signal, which comes within
    an epoch, loses nothing before that.

    Attributes
    ----------
    folder : of the checkpoint; one file, which is written anew.
    seconds : least time between two of them; they are written between epochs.
    resume : whether to go on from one that is there.
    chief : whether this process writes; the other workers only read.
    """

    folder: Path
    seconds: float = 60.0
    resume: bool = False
    chief: bool = True
    _held: Snapshot | None = field(default=None, init=False, repr=False)

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / FILE

    def remove(self) -> None:
        """Removes what a finished training needs no more."""
        if self.chief:
            self.path.unlink(missing_ok=True)

    def restore(self, model: ScAdv, identity: str) -> Tables:
        """Sets the model as it was and returns the tables kept beside it; none without a file.

        Raises
        ------
        InputError : the file is damaged, of another version of this package, or of another
            training.
        """
        if not self.resume:
            return {}
        if not self.path.exists():
            logger.info("No checkpoint in %s: starting from the beginning.", self.folder)
            return {}
        tables = self._read()
        version = str(tables.pop("version", "unknown"))
        _check_version(version == __version__, f"{self.path}, version {version}")
        if str(tables.pop("identity", "")) != identity:
            raise InputError(
                what="The checkpoint is of another training.",
                expected="the same cells, counts, labels and settings as when it was written",
                received=f"{self.path}, of other input or settings",
                advice="Give the input and settings of that training, or start without --resume.",
            )
        wanted = {(name, tuple(v.shape)) for name, v in _variables(model).items()}
        kept = {(name, v.shape) for name, v in tables.items() if name.startswith(VARIABLE)}
        differ = sorted({name for name, _ in wanted ^ kept})
        _check_version(not differ, f"{self.path}, with another {', '.join(differ[:3])}")
        return Snapshot(tables).restore(model)

    def _read(self) -> Tables:
        try:
            if not self.path.is_file():
                raise ValueError("it is no file")  # to open a named pipe would wait for ever
            with np.load(self.path, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        # RuntimeError: of what is no archive of ours, such as an encrypted one.
        except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
            raise InputError(
                what="The checkpoint cannot be read.",
                expected="a file that a training has written",
                received=f"{self.path} ({type(error).__name__}: {error})",
                advice="Start without --resume.",
            ) from error

    def hold(self, training: Snapshot, identity: str) -> None:
        """Holds a training, which `save` writes."""
        marks = {"version": np.array(__version__), "identity": np.array(identity)}
        # At once, as a signal may come at any time.
        self._held = Snapshot(training.tables | marks)

    def save(self) -> None:
        """Writes what is held, whole or not at all."""
        with whole_file(self.path) as part, open(part, "wb") as file:
            tables: dict[str, Any] = not_none(self._held).tables
            np.savez(file, **tables)

    def through_a_stop(self) -> AbstractContextManager[None]:
        """Writes what is held if a signal ends the block, and has the user told how to go on."""
        return signals.noted(self._kept_for_later)

    def _kept_for_later(self) -> str:
        if self._held and self.chief:
            try:
                self.save()
            except OSError as error:
                return f"The training could not be kept: {error}"
        if self._held or ((self.resume or not self.chief) and self.path.exists()):
            return f"The same command with --resume goes on from {self.path}"
        return "No epoch was finished, so nothing is kept: the same command starts anew."


def _check_version(same: bool, received: str) -> None:
    if not same:
        raise InputError(
            what="The checkpoint is of another version of scadv_tf.",
            expected=f"version {__version__}, with the variables that it trains",
            received=received,
            advice="Go on with the version that wrote it, or start without --resume.",
        )


class KeepsTraining(keras.callbacks.Callback):
    """Keeps the training between two epochs, and writes a checkpoint where one is due.

    Parameters
    ----------
    tables : gives what is kept beside the model, for a training that goes on with an epoch.
    identity : what must be the same for a training to go on.
    checkpoints : None where there is nothing to be written.

    Attributes
    ----------
    last : the training as it was before its first epoch, or after the last one.
    """

    def __init__(
        self, tables: Callable[[int], Tables], identity: str, checkpoints: Checkpoints | None = None
    ):
        super().__init__()
        self.tables, self.identity, self.checkpoints = tables, identity, checkpoints
        self.last: Snapshot | None = None

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Starts the clock."""
        self.seconds, self.first = time.monotonic(), True

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Keeps what the epoch before left; only now its row of the history is complete."""
        self.last = Snapshot.of(self.model, self.tables(epoch))
        if not self.first and self._hold() and self.checkpoints is not None:
            if time.monotonic() - self.seconds >= self.checkpoints.seconds:
                self.checkpoints.save()
                self.seconds = time.monotonic()
        self.first = False

    def on_train_end(self, logs: dict | None = None) -> None:
        """Holds the finished training, for a signal that comes while it is evaluated."""
        self.last = Snapshot.of(self.model, self.tables(self.params["epochs"]))
        self._hold()

    def _hold(self) -> bool:
        """Hands it to the checkpoints, where this process writes some."""
        if self.last is None or self.checkpoints is None or not self.checkpoints.chief:
            return False
        self.checkpoints.hold(self.last, self.identity)
        return True


def history_table(rows: list[dict]) -> np.ndarray:
    """Rows of a history as one text, which needs no pickle."""
    return np.array(json.dumps(rows))


def history_rows(table: np.ndarray) -> list[dict]:
    """The inverse of `history_table`."""
    return json.loads(str(table))


def save_weights(model: ScAdv, config: RunConfig, folder: Path) -> None:
    """Writes all weights, those of the discriminators and the teacher too, and the settings."""
    folder.mkdir(parents=True, exist_ok=True)
    # HDF5 would crash on a full disk.
    check_room(folder, _WITH_NAMES + sum(weights.nbytes for weights in model.get_weights()))
    with whole_file(folder / "model.weights.h5") as temporary:
        model.save_weights(temporary)
    write_whole(folder / "config.json", config.to_json().encode())
