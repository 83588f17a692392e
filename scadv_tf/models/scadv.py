"""The model: five networks, a readout, and a `train_step` for the two alternating phases.

The milestone-2 model and the ablations are choices of loss weights, not other classes.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from scadv_tf.config import LossConfig, NetworkConfig
from scadv_tf.models.alignment import ALIGNMENT
from scadv_tf.models.layers import STATE, GradientReversal
from scadv_tf.models.loss_means import LossMeans
from scadv_tf.models.networks import DenseNetwork, Encoder, built
from scadv_tf.models.optimizers import SummedGradients
from scadv_tf.models.phases import Phase
from scadv_tf.models.readout import Readout
from scadv_tf.models.replicas import replica_count, summed
from scadv_tf.models.representation import REPRESENTATION

PHASES = (REPRESENTATION, ALIGNMENT)


def _one_graph_a_modality(method: Callable) -> Callable:
    """A method of the features of cells and their modality as a graph, for any number of cells.

    Left to itself, TensorFlow would trace it anew for the second number.
    """
    # Nothing in it branches on tensors, and autograph would take seconds to find that out.
    graphs = tf.function(method, autograph=False)

    @functools.wraps(method)
    def called(self: ScAdv, features: np.ndarray | tf.Tensor, modality: str) -> Any:
        cells = tf.TensorSpec((None, self.feature_size), tf.float32)
        graph = graphs.__get__(self, type(self)).get_concrete_function(cells, modality)
        return graph(tf.convert_to_tensor(features, tf.float32))

    return called


@keras.saving.register_keras_serializable(package="scadv_tf")
class ScAdv(keras.Model):
    """Adversarial, cycle-consistent, semi-supervised integration of RNA and ATAC cells.

    Parameters
    ----------
    genes : number of genes G.
    types : number of cell types K.
    network : sizes of the networks.
    loss : weights of the losses; those of weight 0 are not computed, and a phase without any
        loss is left out.
    projection_size : width of the encoder's fixed projection; 0 for none. Training works on what
        it gives, the features [B, D] (or on the genes, without it): made once for all cells.
    total_steps : steps of the whole training, both phases; schedules follow the share done.
    reversal_strength : factor of reversed gradients at the end of the training.
    seed : of the noise.
    """

    train_function: Callable | None  # None until it is compiled

    def __init__(
        self,
        genes: int,
        types: int,
        network: NetworkConfig | None = None,
        loss: LossConfig | None = None,
        projection_size: int = 0,
        total_steps: int = 1,
        reversal_strength: float = 1.0,
        seed: int = 0,
        name: str = "scadv",
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        self.genes, self.types = genes, types
        self.network = network or NetworkConfig()
        self.loss_config = loss or LossConfig()
        self.projection_size = projection_size
        self.total_steps = total_steps
        self.reversal_strength = reversal_strength
        self.seed = seed
        self.active = {name: w for name, w in self.loss_config.weights().items() if w > 0}
        phases = (phase.only(self.active) for phase in PHASES)
        self.phases = tuple(phase for phase in phases if phase.losses)
        self.phase: Phase | None = None
        self._make_networks()
        self.steps_done = self.new_state((), "steps_done", "int64")
        self.means = {}
        for phase in self.phases:
            for loss in phase.losses:
                for name, kept in loss.state(self).items():
                    setattr(self, name, kept)
            names = [loss.name for loss in phase.losses]
            self.means[phase.name] = LossMeans(names, name=phase.name)
        self.built = True

    def _make_networks(self) -> None:
        sizes, latent, features = self.network, self.latent_size, self.feature_size
        self.encoder = built(
            Encoder(sizes.encoder_sizes, self.projection_size, name="encoder"), self.genes
        )
        self.classifier = built(DenseNetwork(self.types, name="classifier"), latent)
        by_type = self.types if sizes.discriminator_condition == "types" else 1
        for name, inputs, outputs in (
            ("modality_discriminator", latent * by_type, 1),
            ("atac_discriminator", features, 1),
            ("generator", latent, features),
        ):
            network = DenseNetwork(outputs, getattr(sizes, f"{name}_sizes"), name=name)
            setattr(self, name, built(network, inputs))
        self.reversal = built(GradientReversal(name="reversal"), latent)
        self.readout = built(Readout(self.types, latent, features, name="readout"), latent)

    @property
    def feature_size(self) -> int:
        """Width D of what the trained layers start from."""
        return self.projection_size or self.genes

    @property
    def latent_size(self) -> int:
        """Width Z of the latent vectors."""
        return self.network.encoder_sizes[-1]

    def new_state(
        self, shape: tuple[int, ...], name: str, dtype: str = "float32"
    ) -> keras.Variable:
        """A variable of zeros that no gradient moves, such as a counter or a running mean."""
        return self.add_weight(shape=shape, dtype=dtype, initializer="zeros", name=name, **STATE)

    def set_projection(self, components: np.ndarray) -> None:
        """Sets the encoder's fixed first layer to components [G, D]."""
        self.encoder.projection.set_weights([components])

    def call(
        self, expression: tf.Tensor, modality: str = "atac", training: bool = False
    ) -> tf.Tensor:
        """Logits [B, K] of cells of one modality."""
        return self.classifier(self.encoder(expression, modality=modality, training=training))

    @_one_graph_a_modality
    def encode(self, features: tf.Tensor, modality: str) -> tf.Tensor:
        """What the model says of cells, given by features [B, D]: what `Readout.call` returns."""
        latent = self.encoder.encode(features, modality)
        return self.readout(latent, self.classifier(latent), features, modality=modality)

    @_one_graph_a_modality
    def classify(self, features: tf.Tensor, modality: str) -> tf.Tensor:
        """The probabilities [B, K] of that answer alone, without the maps of latent vectors."""
        logits = self.classifier(self.encoder.encode(features, modality))
        return self.readout.probabilities(logits, features)

    def compile(self, optimizer: Any, alignment_optimizer: Any = None, **kwargs: Any) -> None:
        """Takes an optimizer a phase; the losses are the model's own.

        Parameters
        ----------
        optimizer : of representation learning.
        alignment_optimizer : of modality alignment; not needed if that phase has no loss.
        """
        needed = {phase.optimizer for phase in self.phases}
        if alignment_optimizer is None and "alignment_optimizer" in needed:
            raise ValueError(
                "Expected an optimizer for modality alignment, since some of its losses have a "
                "weight above 0; received alignment_optimizer=None"
            )
        given = [optimizer] if alignment_optimizer is None else [optimizer, alignment_optimizer]
        several = self.distribute_strategy.num_replicas_in_sync > 1
        if several and not all(isinstance(one, SummedGradients) for one in given):
            raise ValueError(
                "Expected optimizers of scadv_tf.models.optimizers with several replicas, or "
                f"gradients would be added up twice; received {given}"
            )
        super().compile(optimizer=optimizer, **kwargs)
        self.alignment_optimizer = alignment_optimizer
        for phase in self.phases:
            getattr(self, phase.optimizer).build(self.variables_of(phase))

    def variables_of(self, phase: Phase) -> list:
        """The trainable variables that a phase moves: those of its losses' networks."""
        networks = [getattr(self, name) for name in phase.networks]
        return [variable for network in networks for variable in network.trainable_variables]

    def training_state(self) -> dict:
        """All that a training moves, by its path: weights, counters, what the optimizers keep."""
        optimizers = [getattr(self, phase.optimizer) for phase in self.phases]
        return {v.path: v for owner in (self, *optimizers) for v in owner.variables}

    def make_train_function(self, force: bool = False) -> Callable:
        """Compiles one function a phase, each traced while its phase is set."""
        if self.train_function is None or force:
            functions = {phase.name: self._compiled_steps() for phase in self.phases}
            self.train_function = lambda iterator: functions[self._set_phase().name](iterator)
        return self.train_function

    def _compiled_steps(self) -> Callable:
        """A function that takes `steps_per_execution` batches of the current phase.

        Keras' own would bring each step's results together from all replicas.
        """

        def steps(iterator: Iterator) -> dict:
            for _ in range(self.steps_per_execution):
                self.distribute_strategy.run(self.train_step, args=(next(iterator),))
            return {}

        if self.run_eagerly:
            return steps
        return tf.function(steps, jit_compile=self.jit_compile, autograph=False)

    def _maybe_symbolic_build(self, *args: Any, **kwargs: Any) -> None:
        """Nothing is left to build, and Keras would take a batch of each worker to find out."""

    def _set_phase(self) -> Phase:
        if self.phase is None:
            raise RuntimeError(
                "Expected a phase to be set before a step; received none. "
                "Pass PhaseSchedule to fit as a callback."
            )
        return self.phase

    def train_step(self, batch: dict) -> dict:
        """One step of the current phase; its losses join the epoch's means, see `metrics`."""
        phase = self._set_phase()
        with tf.GradientTape() as tape:
            values = phase.values(self, batch)
            total = tf.add_n([self.active[name] * value for name, value in values.items()])
        variables = self.variables_of(phase)
        gradients, values = _exchanged(tape.gradient(total, variables), values)
        # In the words of Keras' clipping, so that TensorFlow computes it once for both.
        squares = [keras.ops.sum(keras.ops.square(gradient)) for gradient in gradients]
        norm = keras.ops.sqrt(keras.ops.sum(keras.ops.stack(squares)))
        getattr(self, phase.optimizer).apply(gradients, variables)
        self.steps_done.assign_add(1)
        for loss in phase.losses:
            loss.after_step(self)
        self.means[phase.name].update_state(values, norm)
        return {}

    @property
    def metrics(self) -> list[LossMeans]:
        """The epoch means of the active losses."""
        return list(self.means.values())

    def training_fraction(self) -> tf.Tensor:
        """The share of the training that is done, in [0, 1]."""
        return tf.cast(self.steps_done, "float32") / float(self.total_steps)

    def get_config(self) -> dict:
        """The arguments of `__init__`, as plain values."""
        plain = ("genes", "types", "projection_size", "total_steps", "reversal_strength", "seed")
        return {
            "name": self.name,
            "network": dataclasses.asdict(self.network),
            "loss": dataclasses.asdict(self.loss_config),
            **{name: getattr(self, name) for name in plain},
        }

    def get_compile_config(self) -> dict | None:
        """The optimizers, so that a loaded model can go on training."""
        if not self.compiled:
            return None
        names = ("optimizer", "alignment_optimizer")
        return {n: keras.saving.serialize_keras_object(getattr(self, n)) for n in names}

    def compile_from_config(self, config: dict) -> None:
        """The inverse of `get_compile_config`."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    @classmethod
    def from_config(cls, config: dict) -> ScAdv:
        """The inverse of `get_config`."""
        config = dict(config)
        config["network"] = NetworkConfig(**config["network"])
        config["loss"] = LossConfig(**config["loss"])
        return cls(**config)


def _exchanged(gradients: list, values: dict) -> tuple[list, dict]:
    """Gradients and losses of the whole batch, from those of each replica's share of it."""
    if replica_count() == 1:
        return gradients, values
    parts = [part / replica_count() for part in (*gradients, *values.values())]
    parts = summed(parts)
    gradients, losses_of_all = parts[: len(gradients)], parts[len(gradients) :]
    return gradients, dict(zip(values, losses_of_all, strict=True))
