"""The replicas and workers that train one model together, by `tf.distribute`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from scadv_tf import signals
from scadv_tf.cluster import cluster_place
from scadv_tf.data.shuffling import Shard
from scadv_tf.errors import InputError

# What TensorFlow raises where another worker does not answer.
LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


@dataclass(frozen=True, eq=False)
class Team:
    """This process, and the others that train with it.

    Attributes
    ----------
    strategy : of TensorFlow; its default one for a single replica.
    worker : this worker's number among how many; worker 0 is the chief, which alone writes files.
    """

    strategy: tf.distribute.Strategy
    worker: Shard = Shard()

    @property
    def chief(self) -> bool:
        """Whether this worker writes the files."""
        return self.worker.index == 0

    @property
    def mirrors(self) -> bool:
        """Whether variables are those of a strategy, be it for a single replica."""
        return self.strategy is not alone().strategy

    @property
    def replicas(self) -> int:
        """Replicas of the model, of all workers."""
        return self.strategy.num_replicas_in_sync

    def distributed(self, batches: tf.data.Dataset) -> Iterable:
        """This worker's batches, dealt to its replicas; an epoch's, or without an end.

        Keras counts elements, and each replica takes one: where a worker of several has several
        replicas, `fit` must be told the number of steps, and batches go on from epoch to epoch.
        """
        if self.worker.count == 1:
            return batches  # Keras splits them
        if self.endless:
            size = batches.element_spec["rna"].shape[0] // self.replicas_of_worker
            batches = batches.rebatch(size, drop_remainder=True).repeat()
        return self.strategy.distribute_datasets_from_function(lambda context: batches)

    @property
    def endless(self) -> bool:
        """Whether `distributed` batches go on from epoch to epoch."""
        return self.worker.count > 1 and self.replicas_of_worker > 1

    @property
    def replicas_of_worker(self) -> int:
        """Replicas on this machine."""
        return self.replicas // self.worker.count

    def check_alike(self, what: str, value: int) -> None:
        """Fails where the workers do not all have the same number, such as a hash of their data.

        Raises
        ------
        InputError : on every worker.
        """
        if self.worker.count == 1:
            return
        with self.together():
            values = self._gathered(np.array([value], np.int64)).tolist()
        if len(set(values)) > 1:
            raise InputError(
                what=f"The workers differ in {what}.",
                expected="the same command, files and software on every machine",
                received=", ".join(f"worker {i}: {v}" for i, v in enumerate(values)),
                advice="Give all workers the same flags and files; to resume, a folder that all "
                "of them can read.",
            )

    def shared(self, function: Callable[[slice], np.ndarray], rows: int) -> np.ndarray:
        """What a function gives for all rows [rows, W]: each worker asks it for a part of them."""
        if self.worker.count == 1:
            return function(slice(0, rows))
        size = -(-rows // self.worker.count)
        start = min(self.worker.index * size, rows)
        own = function(slice(start, min(start + size, rows)))
        padded = np.zeros((size, *own.shape[1:]), own.dtype)
        padded[: len(own)] = own
        return self._gathered(padded)[:rows]

    def _gathered(self, values: np.ndarray) -> np.ndarray:
        """Arrays of one shape of all workers, one below the other."""
        first = self.replicas_of_worker * self.worker.index

        def own() -> tf.Tensor:
            # Of a worker's replicas, the first one hands on.
            number = tf.distribute.get_replica_context().replica_id_in_sync_group
            return tf.constant(values)[: tf.where(number == first, len(values), 0)]

        @tf.function
        def gather() -> tf.Tensor:
            return self.strategy.gather(self.strategy.run(own), axis=0)

        return gather().numpy()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Turns the loss of another worker into one clear error.

        Raises
        ------
        InputError : another worker does not answer any more.
        """
        try:
            yield
        except LOST as error:
            if self.worker.count == 1:
                raise
            raise InputError(
                what=f"Worker {self.worker.index} has lost another worker.",
                expected=f"all {self.worker.count} workers to answer until the end",
                received=_reason(str(error.message)),
                advice="Look at the other workers' last messages. Then start all workers again "
                "with the same command and --resume: the training goes on from the last "
                "checkpoint.",
            ) from error


def _reason(message: str) -> str:
    """The line of TensorFlow's long message that says why."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    told = [line for line in lines if "ollective" in line or "task" in line or "onnect" in line]
    return [*told, *lines, "no message"][0][:300]


def alone() -> Team:
    """A team of one replica."""
    return Team(tf.distribute.get_strategy())


def team_of(strategy: str) -> Team:
    """The team that a flag asks for; for several machines at the very start of a process.

    Parameters
    ----------
    strategy : 'none'; 'mirrored' for all GPUs of this machine; 'multi_worker' for the machines in
        the environment variable ``TF_CONFIG``.

    Raises
    ------
    InputError : ``TF_CONFIG`` is missing or makes no sense.
    """
    if strategy == "none":
        return alone()
    if strategy == "mirrored":
        return Team(tf.distribute.MirroredStrategy(_devices()))
    workers = tf.distribute.MultiWorkerMirroredStrategy()
    signals.take_back()
    return Team(workers, cluster_place())


def _devices() -> list[str]:
    """All GPUs, or where there are none, all logical processors that TensorFlow was told of."""
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    return [device.name for device in tf.config.list_logical_devices(kind)]
