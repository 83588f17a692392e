"""The model: five networks, a readout, and a `train_step` for the two alternating phases.

The milestone-2 model and the ablations are choices of loss weights, not other classes.
"""

from __future__ import annotations

import dataclasses

import keras
import tensorflow as tf

from scadv_tf.config import LossConfig, NetworkConfig
from scadv_tf.models import losses
from scadv_tf.models.layers import GradientReversal
from scadv_tf.models.networks import DenseNetwork, Encoder
from scadv_tf.models.phases import ALIGNMENT, PHASES, SERVES
from scadv_tf.models.readout import Readout

CENTER_RATE = 0.5  # share of the way to a batch's mean that centres move (Wen et al. 2016)


@keras.saving.register_keras_serializable(package="scadv_tf")
class ScAdv(keras.Model):
    """Adversarial, cycle-consistent, semi-supervised integration of RNA and ATAC cells.

    Parameters
    ----------
    genes : number of genes G of the input.
    types : number of cell types K.
    network : sizes of the networks.
    loss : weights of the losses; those of weight 0 are not computed, and a phase without any
        loss is left out.
    projection_size : width of the encoder's fixed projection; 0 for none.
    total_steps : steps of the whole training, both phases; schedules follow the share done.
    reversal_strength : factor of reversed gradients at the end of the training.
    """

    def __init__(
        self,
        genes: int,
        types: int,
        network: NetworkConfig | None = None,
        loss: LossConfig | None = None,
        projection_size: int = 0,
        total_steps: int = 1,
        reversal_strength: float = 1.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.genes, self.types = genes, types
        self.network = network or NetworkConfig()
        self.loss_config = loss or LossConfig()
        self.projection_size = projection_size
        self.total_steps = total_steps
        self.reversal_strength = reversal_strength
        self.active = {name: self._weight(name) for phase in PHASES for name in phase.losses}
        self.active = {name: weight for name, weight in self.active.items() if weight > 0}
        self.phases = tuple(p for p in PHASES if any(name in self.active for name in p.losses))
        self.phase = None
        self._make_networks()
        self._make_state()
        self.trackers = {name: keras.metrics.Mean(name=name) for name in self.active}

    def _weight(self, name: str) -> float:
        return getattr(self.loss_config, name)

    def _make_networks(self) -> None:
        sizes = self.network
        latent = sizes.encoder_sizes[-1]
        self.encoder = self._new_encoder("encoder")
        self.classifier = self._new_classifier("classifier")
        self.modality_discriminator = DenseNetwork(
            1, sizes.modality_discriminator_sizes, name="modality_discriminator"
        )
        self.atac_discriminator = DenseNetwork(
            1, sizes.atac_discriminator_sizes, name="atac_discriminator"
        )
        self.generator = DenseNetwork(self.genes, sizes.generator_sizes, name="generator")
        self.reversal = GradientReversal(name="reversal")
        self.readout = Readout(self.types, latent, self.projection_size or self.genes)
        by_type = sizes.discriminator_condition == "types"
        self.modality_discriminator.build((None, latent * self.types if by_type else latent))
        self.atac_discriminator.build((None, self.genes))
        self.generator.build((None, latent))
        self.reversal.build((None, latent))
        self.readout.build()
        self.has_teacher = "interpolation" in self.active
        if self.has_teacher:
            self.teacher_encoder = self._new_encoder("teacher_encoder")
            self.teacher_classifier = self._new_classifier("teacher_classifier")
            self.teacher_encoder.trainable = False
            self.teacher_classifier.trainable = False
        self.built = True

    def _new_encoder(self, name: str) -> Encoder:
        encoder = Encoder(self.network.encoder_sizes, self.projection_size, name=name)
        encoder.build((None, self.genes))
        return encoder

    def _new_classifier(self, name: str) -> DenseNetwork:
        classifier = DenseNetwork(self.types, name=name)
        classifier.build((None, self.network.encoder_sizes[-1]))
        return classifier

    def _make_state(self) -> None:
        """Counters and running centroids: state of the training that no gradient moves."""
        latent = self.network.encoder_sizes[-1]

        def state(shape, name, dtype="float32"):
            return self.add_weight(
                shape=shape, dtype=dtype, initializer="zeros", trainable=False, name=name
            )

        self.steps_done = state((), "steps_done", "int64")
        if "centroid" in self.active:
            self.centroids = state((2, self.types, latent), "centroids")
            self.centroids_known = state((2, self.types), "centroids_known")
        if "center" in self.active:
            self.centers = state((self.types, latent), "centers")

    def set_projection(self, components) -> None:
        """Sets the encoder's fixed first layer (and the teacher's) to components [G, D]."""
        self.encoder.projection.set_weights([components])
        self.synchronize_teacher()

    def synchronize_teacher(self) -> None:
        """Makes the teacher equal to the student."""
        if self.has_teacher:
            self.teacher_encoder.set_weights(self.encoder.get_weights())
            self.teacher_classifier.set_weights(self.classifier.get_weights())

    def call(self, expression, modality="atac", training=False):
        """Logits [B, K] of cells of one modality."""
        return self.classifier(self.encoder(expression, modality=modality, training=training))

    @tf.function(reduce_retracing=True)
    def encode(self, expression, modality):
        """What the model says of cells, for inference: the dictionary of `Readout.call`."""
        latent = self.encoder(expression, modality=modality, training=False)
        features = self.encoder.project(expression)
        return self.readout(latent, self.classifier(latent), features, modality=modality)

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

    def make_train_function(self, force=False):
        """Compiles one function a phase, each traced while its phase is set."""
        if self.train_function is not None and not force:
            return self.train_function
        functions = {}
        for phase in self.phases:
            super().make_train_function(force=True)
            functions[phase.name] = self.train_function

        def train_function(iterator):
            if self.phase is None:
                raise RuntimeError(
                    "Expected a phase to be set before a step; received none. "
                    "Pass PhaseSchedule to fit as a callback."
                )
            return functions[self.phase.name](iterator)

        self.train_function = train_function
        return train_function

    def train_step(self, batch):
        """One step of the current phase; returns the epoch's mean losses so far."""
        phase = self.phase
        with tf.GradientTape() as tape:
            values = getattr(self, f"{phase.name}_losses")(batch)
            total = tf.add_n([self.active[name] * value for name, value in values.items()])
        variables = self.variables_of(phase)
        gradients = tape.gradient(total, variables)
        self._optimizer_of(phase).apply(gradients, variables)
        self._after_step(phase)
        for name, value in values.items():
            self.trackers[name].update_state(value)
        return {name: tracker.result() for name, tracker in self.trackers.items()}

    def _after_step(self, phase) -> None:
        self.steps_done.assign_add(1)
        if self.has_teacher and "classifier" in phase.networks:
            self._update_teacher()

    @property
    def metrics(self):
        """The epoch means of the active losses."""
        return list(self.trackers.values())

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
        values = {}
        rna_latent = self.encoder(batch["rna"], modality="rna", training=True)
        # Without this pass the normalisation would have no statistics of real ATAC cells.
        atac_latent = self.encoder(batch["atac"], modality="atac", training=True)
        rna_types = tf.one_hot(batch["rna_label"], self.types)
        if "cross_entropy" in self.active:
            values["cross_entropy"] = losses.cross_entropy(
                batch["rna_label"],
                self.classifier(rna_latent),
                self.loss_config.label_smoothing,
            )
        if "contrastive" in self.active:
            partner = batch.get("atac_partner", batch["atac"])
            values["contrastive"] = self._contrastive(batch["atac"], partner, "atac")
        if "contrastive_rna" in self.active:
            values["contrastive_rna"] = self._contrastive(batch["rna"], batch["rna"], "rna")
        if "interpolation" in self.active:
            values["interpolation"] = self._interpolation(batch) * self._rampup()
        if "centroid" in self.active:
            values["centroid"] = self._centroid(
                rna_latent, rna_types, atac_latent, batch["atac_soft_label"]
            )
        if "center" in self.active:
            values["center"] = self._center(rna_latent, rna_types, atac_latent)
        return values

    def _contrastive(self, cells, partners, modality):
        """Contrastive loss of cells and their partners, both [B, G], with noise each."""
        copies = tf.concat([cells, partners], axis=0)
        copies += self.loss_config.noise * tf.random.normal(tf.shape(copies))
        latent = self.encoder(copies, modality=modality, training=True, update_statistics=False)
        first, second = tf.split(latent, 2)
        return losses.contrastive(first, second, self.loss_config.temperature)

    def _interpolation(self, batch):
        rna, atac, share = batch["rna"], batch["atac"], batch["mixing_weight"]
        mixed = share * rna + (1 - share) * atac
        student = self.classifier(self.encoder(mixed, modality=None, training=True))
        if self.loss_config.interpolation_target == "scaled_input":
            target = self._teach(share * rna, "rna") + self._teach((1 - share) * atac, "atac")
        else:
            target = share * self._teach(rna, "rna") + (1 - share) * self._teach(atac, "atac")
        return losses.interpolation(tf.nn.softmax(student), target)

    def _teach(self, expression, modality):
        latent = self.teacher_encoder(expression, modality=modality, training=False)
        return tf.nn.softmax(self.teacher_classifier(latent))

    def _rampup(self):
        span = max(self.loss_config.interpolation_rampup, 1e-6)
        return tf.minimum(1.0, self.training_fraction() / span)

    def _update_teacher(self) -> None:
        """Moves the teacher; its momentum warms up, so it is never far behind a young student."""
        steps = tf.cast(self.steps_done, "float32")
        momentum = tf.minimum(1 - 1 / (steps + 1), self.loss_config.teacher_momentum)
        pairs = (
            (self.teacher_encoder, self.encoder),
            (self.teacher_classifier, self.classifier),
        )
        for teacher, student in pairs:
            for old, new in zip(teacher.weights, student.weights, strict=True):
                # In this form equal weights stay equal to the last bit.
                old.assign_add((1 - momentum) * (new - old))

    def _centroid(self, rna_latent, rna_types, atac_latent, atac_soft_labels):
        rna, rna_known = self._running_centroids(0, rna_latent, rna_types)
        atac, atac_known = self._running_centroids(1, atac_latent, atac_soft_labels)
        return losses.centroid(rna, atac, rna_known * atac_known)

    def _running_centroids(self, side: int, latent, type_weights):
        """Old centroids mixed with the batch's, whose part carries the gradient."""
        means, weight = losses.type_means(latent, type_weights)
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
        rna_latent = self.encoder(batch["rna"], modality="rna", training=True)
        if "modality_adversarial" in self.active:
            atac_latent = self.encoder(batch["atac"], modality="atac", training=True)
            values["modality_adversarial"] = losses.adversarial(
                self._modality_logits(rna_latent, strength),
                self._modality_logits(atac_latent, strength),
            )
        if "atac_adversarial" in self.active or "cycle" in self.active:
            generated = self.generator(rna_latent)
        if "atac_adversarial" in self.active:
            values["atac_adversarial"] = losses.adversarial(
                self.atac_discriminator(batch["atac"]),
                self.atac_discriminator(self.reversal(generated, strength=strength)),
            )
        if "cycle" in self.active:
            cycled_latent = self.encoder(
                generated, modality="atac", training=True, update_statistics=False
            )
            values["cycle"] = losses.cycle(cycled_latent, rna_latent)
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
            "total_steps": self.total_steps,
            "reversal_strength": self.reversal_strength,
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
