"""A trained model together with its preprocessing, as one TensorFlow graph: raw counts in."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from scadv_tf.annotation import Annotation
from scadv_tf.data.measures import Measure
from scadv_tf.data.preprocessor import Preprocessor
from scadv_tf.modalities import MODALITIES
from scadv_tf.models.scadv import ScAdv
from scadv_tf.not_none import not_none
from scadv_tf.serving.arrays import FixedScale, constant, without_offsets
from scadv_tf.serving.comparable import comparable, log_normalized
from scadv_tf.serving.reference import ReferenceCells

GENERATOR_LOSSES = {"atac_adversarial", "cycle"}
PARTS = ("encoder", "classifier", "readout")


class Untracked:
    """A Keras model that `tf.saved_model.save` does not look into.

    It would save each of its variables as a copy, and restore the copy in place of the variable
    that the functions read, wherever a session loads the model: in TF Serving and in C
    (https://github.com/tensorflow/tensorflow/issues/72963). TensorFlow's own variables, which
    Keras wraps, are saved as they are.
    """

    def __init__(self, model: ScAdv):
        self.encoder, self.classifier = model.encoder, model.classifier
        self.generator, self.readout = model.generator, model.readout

    def weights(self, parts: list[str]) -> dict[str, list[tf.Variable]]:
        """Name of each part -> its variables."""
        return {name: [v.value for v in getattr(self, name).variables] for name in parts}

    # Nearly every signature asks for it: traced once a modality, it takes an export less time.
    @tf.function(autograph=False)
    def answer(self, features: tf.Tensor, modality: str) -> dict:
        """What `Readout` says of features [B, D]."""
        latent = self.encoder.encode(features, modality=modality)
        logits = self.classifier(latent)
        return self.readout(latent, logits, features, modality=modality)


@dataclass(frozen=True)
class Served:
    """What is served: a model, what its preprocessing learned, and its answer for training cells.

    Attributes
    ----------
    types : K names; empty if no type was taught.
    annotation : of the training cells; new ATAC cells are outvoted by the nearest of them.
    neighbor_vote : share of the final probabilities that is the neighbours'.
    """

    model: ScAdv
    preprocessor: Preprocessor
    types: tuple[str, ...]
    annotation: Annotation
    neighbor_vote: float


class ServedModel(tf.Module):
    """Raw gene counts to latent vectors, types and confidence, for cells of either modality.

    RNA cells get what the model says of them in training. A new ATAC cell stands alone, where
    training averages each with its neighbours among all: it is averaged with its nearest training
    cells instead, as often as those were, and their probabilities take part in its own.
    """

    def __init__(self, served: Served):
        super().__init__()
        model, preprocessor = served.model, served.preprocessor
        self.model = Untracked(model)
        self.genes = len(preprocessor.genes)
        self.vote = served.neighbor_vote
        self.type_names = tuple(served.types)
        self.translates = bool(GENERATOR_LOSSES & model.active.keys())
        self.weights = self.model.weights([*PARTS, *(["generator"] if self.translates else [])])
        self.least_open = dict(preprocessor.least_open)
        self.measures = {"rna": Measure(), "atac": preprocessor.measure}
        self.comparable = {name: comparable(each) for name, each in self.measures.items()}
        self.scales = {name: FixedScale(scale) for name, scale in preprocessor.scales.items()}
        self.batches = preprocessor.batches
        self.offsets = {name: constant(found) for name, found in preprocessor.offsets.items()}
        self.reference = self._reference_cells(served)
        self.peaks = 0 if self.reference is None else self.reference.peaks

    def _reference_cells(self, served: Served) -> ReferenceCells | None:
        reference, atac = served.preprocessor.reference, served.annotation.atac
        if reference is None or reference.lists.shape[1] == 1:
            return None
        if not (served.types or reference.levels):
            return None  # no label to vote on, and no average
        answers = (
            not_none(atac.probabilities)[reference.rows],
            not_none(atac.novelty)[reference.rows],
        )
        return ReferenceCells(reference, answers)

    def annotate(
        self,
        counts: tf.Tensor,
        modality: str,
        open_peaks: tf.SparseTensor | None = None,
        members: tf.Tensor | None = None,
    ) -> dict:
        """The answer for cells, each by itself.

        One without data is unknown and of any type alike, with a latent vector of 0.

        Parameters
        ----------
        counts : raw gene counts [B, G]; of methylation held levels, see `scadv_tf.data.levels`.
        modality : 'rna' or 'atac'.
        open_peaks : sparse tensor [B, P] of ones at the open peaks of ATAC cells, or None.
        members : 1 for each cell's batch [B, batches]; None for cells of no batch.

        Returns
        -------
        dict of ``latent`` [B, Z], ``probabilities`` [B, K], ``label`` (text), ``confidence``,
        ``novelty`` and ``unknown`` (bool) [B].
        """
        features, neighbors = self._features(counts, modality, open_peaks, members)
        answer = self.model.answer(features, modality)
        probabilities, novelty = answer["probabilities"], answer["novelty"]
        if neighbors is not None and self.reference is not None:
            voted = neighbors.mean(probabilities, self.reference.probabilities)
            probabilities = (1 - self.vote) * probabilities + self.vote * voted
            others = self.reference.novelty[:, None]
            novelty = neighbors.mean(novelty[:, None], others)[:, 0]
        has_data = self._has_data(counts, modality, open_peaks)
        probabilities = _where(has_data, probabilities, 1 / len(self.type_names))
        novelty = tf.where(has_data, novelty, 1.0)
        unknown = novelty > self.model.readout.unknown_threshold
        return {
            "latent": _where(has_data, answer["latent"], 0.0),
            "probabilities": probabilities,
            "label": tf.gather(list(self.type_names), tf.argmax(probabilities, axis=1)),
            "confidence": tf.reduce_max(probabilities, axis=1),
            "novelty": novelty,
            "unknown": unknown | ~has_data,
        }

    def embed(self, counts: tf.Tensor, modality: str, members: tf.Tensor | None = None) -> dict:
        """``latent`` [B, Z] of cells, as `annotate` gives it."""
        features, _ = self._features(counts, modality, members=members)
        latent = self.model.answer(features, modality)["latent"]
        return {"latent": _where(self._has_data(counts, modality), latent, 0.0)}

    def translate(self, counts: tf.Tensor) -> dict:
        """``accessibility`` [B, G]: what the generator makes of RNA cells.

        In the units of the ATAC cells' averaged genes: log(1 + counts per 10,000), at least 0; of
        proteins and levels what `Measure.comparable` gives.
        """
        features, _ = self._features(counts, "rna")
        latent = self.model.encoder.encode(features, modality="rna")
        genes = self.model.encoder.unproject(self.model.generator(latent))
        generated = self.scales["atac"].undo(genes)
        is_logarithm = self.comparable["atac"] is log_normalized
        return {"accessibility": tf.nn.relu(generated) if is_logarithm else generated}

    def encoded(self, expression: tf.Tensor, modality: str) -> dict:
        """The answer of `Readout` for cells preprocessed as in training [B, G]."""
        return self.model.answer(self.model.encoder.project(expression), modality)

    def _has_data(
        self, counts: tf.Tensor, modality: str, open_peaks: tf.SparseTensor | None = None
    ) -> tf.Tensor:
        """Which cells have as many open features as in training a cell with data had, bool [B]."""
        opened, kind = tf.math.count_nonzero(counts, axis=1, dtype=tf.float32), modality
        if open_peaks is not None and "peaks" in self.least_open:
            opened += tf.reshape(tf.sparse.reduce_sum(open_peaks, axis=1), [-1])
            kind = "peaks"
        return opened >= self.least_open.get(kind, 1)

    def _features(
        self,
        counts: tf.Tensor,
        modality: str,
        open_peaks: tf.SparseTensor | None = None,
        members: tf.Tensor | None = None,
    ) -> tuple:
        """What the trained layers start from [B, D], and the neighbours of ATAC cells."""
        assert modality in MODALITIES
        logged, scale = self.comparable[modality](counts), self.scales[modality]
        offsets, neighbors = self.offsets.get(modality), None
        if modality == "atac" and self.reference is not None:
            neighbors = self.reference.neighbors(logged, open_peaks, members)
        if self.reference is None or neighbors is None or not self.reference.levels:
            features = self.model.encoder.project(scale.apply(logged))
            return without_offsets(features, members, offsets), neighbors
        # Averages of a cell's own genes and of others' are as good after a linear projection as
        # before, and D is far smaller than G. Values are not cut, which would not be linear.
        features = self.model.encoder.project(scale.uncut(logged))
        features = without_offsets(features, members, offsets)
        for level in self.reference.levels:
            features = neighbors.mean(features, level)
        return features, neighbors


def _where(cells: tf.Tensor, values: tf.Tensor, otherwise: float) -> tf.Tensor:
    """Values [B, W] of these cells, bool [B], and another for the others."""
    return tf.where(cells[:, None], values, otherwise)
