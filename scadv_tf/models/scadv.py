"""The model: five networks, a readout, and a `train_step` for the two alternating phases.

The milestone-2 model and the ablations are choices of loss weights, not other classes.
"""

from __future__ import annotations

import dataclasses

import keras
import tensorflow as tf

from scadv_tf.config import LossConfig, NetworkConfig
from scadv_tf.models import losses
from scadv_tf.models.layers import STATE, GradientReversal
from scadv_tf.models.loss_means import LossMeans
from scadv_tf.models.networks import DenseNetwork, Encoder, View
from scadv_tf.models.optimizers import SummedGradients
from scadv_tf.models.phases import ALIGNMENT, PHASES, SERVES
from scadv_tf.models.readout import Readout
from scadv_tf.models.replicas import replica_count, replica_number, summed

CENTER_RATE = 0.5  # share of the way to a batch's mean that centres move (Wen et al. 2016)


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
    precision : 'float32', or 'bfloat16' for the matrix products of the training; variables,
        normalisation and losses are float32 always.
    total_steps : steps of the whole training, both phases; schedules follow the share done.
    reversal_strength : factor of reversed gradients at the end of the training.
    seed : of the noise.
    """

    def __init__(
        self,
        genes: int,
        types: int,
        network: NetworkConfig | None = None,
        loss: LossConfig | None = None,
        projection_size: int = 0,
        precision: str = "float32",
        total_steps: int = 1,
        reversal_strength: float = 1.0,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.genes, self.types = genes, types
        self.network = network or NetworkConfig()
        self.loss_config = loss or LossConfig()
        self.projection_size = projection_size
        self.precision = precision
        self.total_steps = total_steps
        self.reversal_strength = reversal_strength
        self.seed = seed
        self.active = {name: self._weight(name) for phase in PHASES for name in phase.losses}
        self.active = {name: weight for name, weight in self.active.items() if weight > 0}
        self.phases = tuple(p for p in PHASES if any(name in self.active for name in p.losses))
        self.phase = None
        self._make_networks()
        self._make_state()
        self.means = {
            phase.name: LossMeans([n for n in phase.losses if n in self.active], name=phase.name)
            for phase in self.phases
        }

    def _weight(self, name: str) -> float:
        return getattr(self.loss_config, name)

    def _make_networks(self) -> None:
        sizes = self.network
        latent, features = self.latent_size, self.feature_size
        by_type = sizes.discriminator_condition == "types"
        self.encoder = Encoder(sizes.encoder_sizes, self.projection_size, name="encoder")
        self.encoder.build((None, self.genes))
        self.classifier = self._dense("classifier", latent, self.types)
        self.modality_discriminator = self._dense(
            "modality_discriminator",
            latent * self.types if by_type else latent,
            1,
            sizes.modality_discriminator_sizes,
        )
        self.atac_discriminator = self._dense(
            "atac_discriminator", features, 1, sizes.atac_discriminator_sizes
        )
        self.generator = self._dense("generator", latent, features, sizes.generator_sizes)
        self.reversal = GradientReversal(name="reversal")
        self.readout = Readout(self.types, latent, features)
        self.reversal.build((None, latent))
        self.readout.build()
        self.has_teacher = "interpolation" in self.active
        if self.has_teacher:
            self.teacher_encoder = Encoder(sizes.encoder_sizes, name="teacher_encoder")
            self.teacher_encoder.build((None, features))
            self.teacher_classifier = self._dense("teacher_classifier", latent, self.types)
            self.teacher_encoder.trainable = False
            self.teacher_classifier.trainable = False
        self.built = True

    @property
    def feature_size(self) -> int:
        """Width D of what the trained layers start from."""
        return self.projection_size or self.genes

    @property
    def latent_size(self) -> int:
        """Width Z of the latent vectors."""
        return self.network.encoder_sizes[-1]

    def _dense(self, name: str, inputs: int, outputs: int, hidden=()) -> DenseNetwork:
        network = DenseNetwork(outputs, hidden, name=name)
        network.build((None, inputs))
        return network

    def _make_state(self) -> None:
        """Counters and running centroids: state of the training that no gradient moves."""
        latent = self.latent_size

        def state(shape, name, dtype="float32"):
            return self.add_weight(
                shape=shape, dtype=dtype, initializer="zeros", name=name, **STATE
            )

        self.steps_done = state((), "steps_done", "int64")
        if "centroid" in self.active:
            self.centroids = state((2, self.types, latent), "centroids")
            self.centroids_known = state((2, self.types), "centroids_known")
        if "center" in self.active:
            self.centers = state((self.types, latent), "centers")

    def set_projection(self, components) -> None:
        """Sets the encoder's fixed first layer to components [G, D]."""
        self.encoder.projection.set_weights([components])

    def synchronize_teacher(self) -> None:
        """Makes the teacher equal to the student."""
        if self.has_teacher:
            for teacher, student in self._teacher_pairs():
                teacher.assign(student)

    def call(self, expression, modality="atac", training=False):
        """Logits [B, K] of cells of one modality."""
        return self.classifier(self.encoder(expression, modality=modality, training=training))

    # Nothing in them branches on tensors, and autograph would take seconds to find that out.
    @tf.function(reduce_retracing=True, autograph=False)
    def encode(self, features, modality):
        """What the model says of cells, given by features [B, D]: what `Readout.call` returns."""
        latent = self.encoder.encode(features, modality)
        return self.readout(latent, self.classifier(latent), features, modality=modality)

    @tf.function(reduce_retracing=True, autograph=False)
    def classify(self, features, modality):
        """The probabilities [B, K] of that answer alone, without the maps of latent vectors."""
        logits = self.classifier(self.encoder.encode(features, modality))
        return self.readout.probabilities(logits, features)

    def compile(self, optimizer, alignment_optimizer=None, **kwargs):
        """Takes an optimizer a phase; the losses are the model's own.

        Parameters
        ----------
        optimizer : of representation learning.
        alignment_optimizer : of modality alignment; not needed if that phase has no loss.
        """
        if alignment_optimizer is None and ALIGNMENT in self.phases:
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
            self._optimizer_of(phase).build(self.variables_of(phase))

    def _optimizer_of(self, phase):
        return self.alignment_optimizer if phase is ALIGNMENT else self.optimizer

    def variables_of(self, phase) -> list:
        """The trainable variables that a phase may move: those of networks its losses reach."""
        names = [n for n in phase.networks if self.active.keys() & set(SERVES.get(n, phase.losses))]
        networks = [getattr(self, name) for name in names]
        return [variable for network in networks for variable in network.trainable_variables]

    def state_variables(self) -> list:
        """All that a training moves: weights, counters, and what the optimizers keep."""
        optimizers = {self._optimizer_of(phase) for phase in self.phases}
        ordered = [o for o in (self.optimizer, self.alignment_optimizer) if o in optimizers]
        return [*self.weights, *(v for optimizer in ordered for v in optimizer.variables)]

    def make_train_function(self, force=False):
        """Compiles one function a phase, each traced while its phase is set."""
        if self.train_function is None or force:
            functions = {phase.name: self._compiled_steps() for phase in self.phases}
            self.train_function = lambda iterator: functions[self._set_phase().name](iterator)
        return self.train_function

    def _compiled_steps(self):
        """A function that takes `steps_per_execution` batches of the current phase.

        Keras' own would bring each step's results together from all replicas.
        """

        def steps(iterator):
            for _ in range(self.steps_per_execution):
                self.distribute_strategy.run(self.train_step, args=(next(iterator),))
            return {}

        if self.run_eagerly:
            return steps
        return tf.function(steps, jit_compile=self.jit_compile, autograph=False)

    def _maybe_symbolic_build(self, *args, **kwargs):
        """Nothing is left to build, and Keras would take a batch of each worker to find out."""

    def _set_phase(self):
        if self.phase is None:
            raise RuntimeError(
                "Expected a phase to be set before a step; received none. "
                "Pass PhaseSchedule to fit as a callback."
            )
        return self.phase

    def train_step(self, batch):
        """One step of the current phase; its losses join the epoch's means, see `metrics`."""
        phase = self.phase
        with tf.GradientTape() as tape:
            values = getattr(self, f"{phase.name}_losses")(batch)
            total = tf.add_n([self.active[name] * value for name, value in values.items()])
        variables = self.variables_of(phase)
        gradients, values = _exchanged(tape.gradient(total, variables), values)
        self._optimizer_of(phase).apply(gradients, variables)
        self._after_step(phase)
        self.means[phase.name].update_state(values)
        return {}

    def _after_step(self, phase) -> None:
        self.steps_done.assign_add(1)
        if self.has_teacher and "classifier" in phase.networks:
            self._update_teacher()

    @property
    def metrics(self):
        """The epoch means of the active losses."""
        return list(self.means.values())

    def training_fraction(self):
        """The share of the training that is done, in [0, 1]."""
        return tf.cast(self.steps_done, "float32") / float(self.total_steps)

    def reversal_factor(self):
        """``2 / (1 + exp(-10 p)) - 1`` of the share p of training done (Ganin et al. 2016)."""
        return self.reversal_strength * (
            2.0 / (1.0 + tf.exp(-10.0 * self.training_fraction())) - 1.0
        )

    # Representation learning.

    def representation_losses(self, batch) -> dict:
        """Losses of labelled RNA, of ATAC structure and of type-wise agreement."""
        latents = self._encode_views(self._representation_views(batch))
        rna_types = tf.one_hot(batch["rna_label"], self.types)
        values = {}
        if "cross_entropy" in self.active:
            values["cross_entropy"] = losses.cross_entropy(
                batch["rna_label"],
                self.classifier(latents["rna"]),
                self.loss_config.label_smoothing,
            )
        for name in ("contrastive", "contrastive_rna"):
            if name in self.active:
                values[name] = self._contrastive(latents[name])
        if "interpolation" in self.active:
            values["interpolation"] = self._interpolation(batch, latents["mixed"]) * self._rampup()
        if "centroid" in self.active:
            values["centroid"] = self._centroid(
                latents["rna"], rna_types, latents["atac"], batch["atac_soft_label"]
            )
        if "center" in self.active:
            values["center"] = self._center(latents["rna"], rna_types, latents["atac"])
        return values

    def _representation_views(self, batch) -> dict:
        """Name -> the batches that this phase encodes."""
        # Without the ATAC pass the normalisation would have no statistics of real ATAC cells.
        views = {"rna": View(batch["rna"], "rna"), "atac": View(batch["atac"], "atac")}
        if "contrastive" in self.active:
            partner = batch.get("atac_partner", batch["atac"])
            views["contrastive"] = View(self._copies(batch["atac"], partner, 0), "atac", False)
        if "contrastive_rna" in self.active:
            copies = self._copies(batch["rna"], batch["rna"], 1)
            views["contrastive_rna"] = View(copies, "rna", False)
        if "interpolation" in self.active:
            share = batch["mixing_weight"]
            mixed = share * batch["rna"] + (1 - share) * batch["atac"]
            views["mixed"] = View(mixed, None)
        return views

    def _encode_views(self, views: dict) -> dict:
        latents = self.encoder.encode_views(list(views.values()), precision=self.precision)
        return dict(zip(views, latents, strict=True))

    def _copies(self, cells, partners, stream: int):
        """Cells and their partners, both [B, D], with noise each: [2B, D].

        The noise follows from the seed, the step, the replica and the number of the stream.
        """
        copies = tf.concat([cells, partners], axis=0)
        first = self.seed + tf.cast(2 * replica_number() + stream, "int64") * 2**32
        seed = tf.stack([first, tf.convert_to_tensor(self.steps_done)])
        # White noise on the genes is white noise on their orthonormal components too.
        return copies + self.loss_config.noise * tf.random.stateless_normal(tf.shape(copies), seed)

    def _contrastive(self, copies):
        first, second = tf.split(copies, 2)
        return losses.contrastive(first, second, self.loss_config.temperature)

    def _interpolation(self, batch, mixed_latent):
        rna, atac, share = batch["rna"], batch["atac"], batch["mixing_weight"]
        if self.loss_config.interpolation_target == "scaled_input":
            target = self._teach(share * rna, "rna") + self._teach((1 - share) * atac, "atac")
        else:
            target = share * self._teach(rna, "rna") + (1 - share) * self._teach(atac, "atac")
        return losses.interpolation(tf.nn.softmax(self.classifier(mixed_latent)), target)

    def _teach(self, features, modality):
        view = View(features, modality)
        latent = self.teacher_encoder.encode_views([view], False, self.precision)[0]
        return tf.nn.softmax(self.teacher_classifier(latent))

    def _rampup(self):
        span = max(self.loss_config.interpolation_rampup, 1e-6)
        return tf.minimum(1.0, self.training_fraction() / span)

    def _update_teacher(self) -> None:
        """Moves the teacher; its momentum warms up, so it is never far behind a young student."""
        steps = tf.cast(self.steps_done, "float32")
        momentum = tf.minimum(1 - 1 / (steps + 1), self.loss_config.teacher_momentum)
        for old, new in self._teacher_pairs():
            # In this form equal weights stay equal to the last bit.
            old.assign_add((1 - momentum) * (new - old))

    def _teacher_pairs(self) -> list:
        """Each variable of the teacher with the student's; the teacher needs no projection."""
        student = self.encoder.trained_weights() + self.classifier.weights
        teacher = self.teacher_encoder.trained_weights() + self.teacher_classifier.weights
        return list(zip(teacher, student, strict=True))

    def _centroid(self, rna_latent, rna_types, atac_latent, atac_soft_labels):
        groups = [(rna_latent, rna_types), (atac_latent, atac_soft_labels)]
        means = losses.means_by_type(groups)
        (rna, rna_known), (atac, atac_known) = (
            self._running_centroids(side, *pair) for side, pair in enumerate(means)
        )
        return losses.centroid(rna, atac, rna_known * atac_known)

    def _running_centroids(self, side: int, means, weight):
        """Old centroids mixed with the batch's, whose part carries the gradient."""
        seen = tf.cast(weight > 0.5, means.dtype)
        old, known = self.centroids[side], self.centroids_known[side]
        keep = tf.where(known > 0, self.loss_config.centroid_momentum, 0.0)
        rate = ((1 - keep) * seen)[:, None]
        mixed = (1 - rate) * old + rate * means
        known = tf.maximum(known, seen)
        side_row = tf.one_hot(side, 2)
        detached = tf.stop_gradient(mixed)
        self.centroids.assign_add(side_row[:, None, None] * (detached - old))
        self.centroids_known.assign_add(side_row[:, None] * (known - self.centroids_known[side]))
        return mixed, known

    def _center(self, rna_latent, rna_types, atac_latent):
        means, weight = losses.type_means(rna_latent, rna_types)
        present = tf.cast(weight > 0, means.dtype)[:, None]
        self.centers.assign_add(CENTER_RATE * present * (tf.stop_gradient(means) - self.centers))
        probabilities = tf.stop_gradient(tf.nn.softmax(self.classifier(atac_latent)))
        sure = tf.reduce_max(probabilities, axis=1) > self.loss_config.center_confidence
        atac_types = tf.one_hot(tf.argmax(probabilities, axis=1), self.types)
        atac_types *= tf.cast(sure, "float32")[:, None]
        centers = tf.identity(self.centers)
        return losses.center(rna_latent, rna_types, centers) + losses.center(
            atac_latent, atac_types, centers
        )

    # Modality alignment.

    def alignment_losses(self, batch) -> dict:
        """Losses of the two discriminators, and of the cycle through generated ATAC."""
        values = {}
        strength = self.reversal_factor()
        views = {"rna": View(batch["rna"], "rna")}
        if "modality_adversarial" in self.active:
            views["atac"] = View(batch["atac"], "atac")
        latents = self._encode_views(views)
        if "modality_adversarial" in self.active:
            values["modality_adversarial"] = losses.adversarial(
                *(self._modality_logits(latents[name], strength) for name in ("rna", "atac"))
            )
        if "atac_adversarial" in self.active or "cycle" in self.active:
            generated = self.generator(latents["rna"], precision=self.precision)
        if "atac_adversarial" in self.active:
            values["atac_adversarial"] = losses.adversarial(
                self.atac_discriminator(batch["atac"], precision=self.precision),
                self.atac_discriminator(
                    self.reversal(generated, strength=strength), precision=self.precision
                ),
            )
        if "cycle" in self.active:
            cycled = self._encode_views({"cycled": View(generated, "atac", False)})["cycled"]
            values["cycle"] = losses.cycle(cycled, latents["rna"])
        return values

    def _modality_logits(self, latent, strength):
        reversed_latent = self.reversal(latent, strength=strength)
        if self.network.discriminator_condition == "types":
            # The outer product with the predicted types (Long et al. 2018): a discriminator a type.
            types = tf.stop_gradient(tf.nn.softmax(self.classifier(latent)))
            outer = types[:, :, None] * reversed_latent[:, None, :]
            reversed_latent = tf.reshape(outer, (-1, self.types * latent.shape[-1]))
        return self.modality_discriminator(reversed_latent)

    def get_config(self):
        """The arguments of `__init__`, as plain values."""
        return {
            "name": self.name,
            "genes": self.genes,
            "types": self.types,
            "network": dataclasses.asdict(self.network),
            "loss": dataclasses.asdict(self.loss_config),
            "projection_size": self.projection_size,
            "precision": self.precision,
            "total_steps": self.total_steps,
            "reversal_strength": self.reversal_strength,
            "seed": self.seed,
        }

    def get_compile_config(self):
        """The optimizers, so that a loaded model can go on training."""
        if not self.compiled:
            return None
        optimizers = {"optimizer": self.optimizer, "alignment_optimizer": self.alignment_optimizer}
        return {
            name: keras.saving.serialize_keras_object(optimizer)
            for name, optimizer in optimizers.items()
        }

    def compile_from_config(self, config):
        """The inverse of `get_compile_config`."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    @classmethod
    def from_config(cls, config):
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
