"""Small models to serve: simulated cells and an untrained network, or real cells and an epoch."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from c_program import compiled
from serving_twin import AtacTwin, unit

from scadv_tf import RunConfig, fitting, load_dataset
from scadv_tf.annotation import Annotation, annotate_cells, fit_readout
from scadv_tf.data import preprocessing
from scadv_tf.data.datasets import DatasetSource, assemble
from scadv_tf.data.fingerprint import fingerprint
from scadv_tf.data.pairing import PairedData
from scadv_tf.data.sound_counts import are_counted
from scadv_tf.data.synthetic import simulate
from scadv_tf.data.training_cells import TrainingCells
from scadv_tf.modalities import MODALITIES
from scadv_tf.models.confidence import held_out_rows
from scadv_tf.serving.export import export
from scadv_tf.serving.manifest import Background
from scadv_tf.serving.served_model import Served, ServedModel

CLEAR = 1e-5  # a difference of cosines that no rounding in single precision makes

# Losses that train a generator, so that there is one to serve.
GENERATING = {"atac_adversarial": 0.1, "cycle": 0.1}
# No defaults here, so that a better default breaks no test.
SETTINGS = {
    "variable_genes": 0,
    "neighbors": 5,
    "smoothing_hops": 2,
    "lsi_size": 6,
    "neighbor_pca_size": 8,
    "projection_size": 7,
    "balance": True,
    "linear_share": 0.3,
    "neighbor_vote": 0.4,
    "calibration_share": 0.2,
    "unknown_share": 0.3,
    "encoder_sizes": (16, 9),
    "generator_sizes": (5,),
    "modality_discriminator_sizes": (4,),
    "atac_discriminator_sizes": (4,),
    **GENERATING,
}


@dataclass(frozen=True)
class Trained:
    """Cells, a model of them, what it says of them, and what of it is served."""

    data: PairedData
    cells: TrainingCells
    config: RunConfig
    annotation: Annotation
    served: Served

    @property
    def background(self) -> Background:
        """Some of what the main job says of a model."""
        return Background(
            dataset="tissue",
            fingerprint=fingerprint(self.data),
            cells={name: self.cells.cells(name) for name in MODALITIES},
            counted={name: are_counted(getattr(self.data, name)) for name in MODALITIES},
            type_cells=self.data.matching.rna_types,
            settings=self.config.to_dict(),
            scores={"label_transfer": None, "modality_mixing": 0.875},
            versions={"tensorflow": tf.__version__},
        )


@dataclass(frozen=True)
class Exported:
    """A version on the disk, as TensorFlow loads it when it is asked for, and what was exported."""

    version: Path
    trained: Trained

    @functools.cached_property
    def loaded(self):
        return tf.saved_model.load(str(self.version))


def paired(atac_cells: int, supervised: bool = True) -> PairedData:
    """90 RNA cells and some ATAC cells with peaks of one simulated tissue of 4 types, 120 genes."""
    rna, peaks, table = simulate(90, 120, types=4, difficulty=0.3, atac_cells=atac_cells)
    source = DatasetSource(label_key="cell_type", min_shared_genes=1, supervised=supervised)
    return assemble(rna, peaks, source, table)[0]


def emptied(data: PairedData, cell: int) -> PairedData:
    """The same cells, one of them without any count or open peak."""
    for counts in (data.atac, data.peaks):
        counts.data[counts.indptr[cell] : counts.indptr[cell + 1]] = 0
        counts.eliminate_zeros()
    return data


@pytest.fixture(scope="session")
def tissue() -> PairedData:
    """The training cells, 70 of them ATAC. Tests must not change them."""
    return paired(70)


@pytest.fixture(scope="session")
def new_tissue() -> PairedData:
    """80 further ATAC cells of the same tissue, the first of which is empty."""
    return emptied(paired(80), 0)


@pytest.fixture(scope="session")
def train(tissue):
    """A maker of models with random weights and a fitted readout: train(data, **settings).

    What is served does not depend on how well the weights were trained, and this takes no time;
    nor is anything traced. The same settings give the same model: tests must not change it.
    """
    made: dict[str, Trained] = {}

    def make(data=tissue, **settings) -> Trained:
        name = f"{id(data)} {settings}"
        if name not in made:
            tf.config.run_functions_eagerly(True)
            try:
                made[name] = build(data, settings)
            finally:
                tf.config.run_functions_eagerly(False)
        return made[name]

    def build(data, settings) -> Trained:
        config = RunConfig.of(**SETTINGS | settings)
        keras.utils.set_random_seed(0)
        cells = preprocessing.fit(data, config.preprocessing)
        labels, types = data.rna_labels, data.types
        if not config.training.supervised:
            labels, types = np.zeros(cells.cells("rna"), np.int32), ()
        model = fitting.build_model(cells, max(1, len(types)), config)
        for modality in MODALITIES:
            for _ in range(20):
                model.encoder.encode(tf.constant(cells.features[modality]), modality, True)
        kernel, bias = model.classifier.get_weights()
        model.classifier.set_weights([3 * kernel, bias + np.linspace(0, 1, len(bias))])
        *others, bias = model.generator.get_weights()
        model.generator.set_weights([*others, bias + 20 * np.cos(np.arange(len(bias)))])
        share = config.training.calibration_share if types else 0.0
        fit_readout(model, cells, labels, held_out_rows(labels, share, 0), config)
        answer = annotate_cells(model, cells, config)
        vote = config.evaluation.neighbor_vote
        return Trained(
            data, cells, config, answer, Served(model, cells.preprocessor, types, answer, vote)
        )

    return make


def exported_from(trained: Trained, folder: Path) -> Exported:
    """An export of a model that was made here."""
    return Exported(
        export(trained.served, folder, trained.background, trained.data.intervals), trained
    )


@pytest.fixture(scope="session")
def export_of():
    """`exported_from`, for models that a module of tests trains by itself."""
    return exported_from


@pytest.fixture(scope="session")
def exported(train, tmp_path_factory) -> Exported:
    """A model with all there is: types, peaks, averages, a generator."""
    return exported_from(train(), tmp_path_factory.mktemp("exported"))


@pytest.fixture(scope="session")
def without_types(train, tmp_path_factory) -> Exported:
    """A model of the unsupervised mode."""
    found = train(paired(70, supervised=False), mode="unsupervised", smoothing_hops=0)
    return exported_from(found, tmp_path_factory.mktemp("without_types"))


@pytest.fixture(scope="session")
def pbmc(tmp_path_factory) -> Exported:
    """Real cells, and a small network that was trained on them for one epoch."""
    data, _ = load_dataset("pbmc")
    losses = ("contrastive", "interpolation", "centroid", "modality_adversarial")
    losses += ("atac_adversarial",)
    config = RunConfig.of(
        epochs=1,
        batch_size=32,
        learning_rate=0.05,
        encoder_sizes=(64, 32),
        generator_sizes=(32,),
        modality_discriminator_sizes=(16,),
        cycle=0.1,
        **dict.fromkeys(losses, 0.0),
    )
    cells = preprocessing.fit(data, config.preprocessing)
    model, _ = fitting.fit(cells, data.rna_labels, len(data.types), config)
    answer = annotate_cells(model, cells, config)
    vote = config.evaluation.neighbor_vote
    served = Served(model, cells.preprocessor, data.types, answer, vote)
    trained = Trained(data, cells, config, answer, served)
    return exported_from(trained, tmp_path_factory.mktemp("pbmc"))


def clear_cells(trained: Trained) -> np.ndarray:
    """Rows of the ATAC cells whose last neighbour is nearer than the next cell, roundings aside."""
    data = trained.data
    twin = AtacTwin(trained, np.arange(data.atac.shape[0]))
    count = twin.lists.shape[1]
    gaps = []
    for peaks in (None, data.peaks):
        vectors = unit(twin.features(twin.counts, peaks))
        ranked = -np.partition(-vectors @ vectors.T, (count - 2, count - 1), axis=1)
        gaps.append(ranked[:, count - 2] - ranked[:, count - 1])
    return np.flatnonzero(np.min(gaps, axis=0) > CLEAR)


@pytest.fixture(scope="session")
def pbmc_cells(pbmc):
    """A function (modality, count) -> counts and peaks (of ATAC) of randomly chosen cells.

    None of them has neighbours that hang on a rounding.
    """
    data = pbmc.trained.data
    rows = {"rna": np.arange(data.rna.shape[0]), "atac": clear_cells(pbmc.trained)}
    assert len(rows["atac"]) > 0.95 * data.atac.shape[0]

    def choose(modality, count):
        chosen = np.random.default_rng(count).choice(rows[modality], count, replace=False)
        peaks = data.peaks[chosen] if modality == "atac" else None
        return getattr(data, modality)[chosen], peaks

    return choose


@pytest.fixture(scope="session")
def c_program_file(tmp_path_factory) -> Path:
    """The program of `annotate.c`."""
    return compiled(tmp_path_factory.mktemp("program"))


@pytest.fixture(scope="session")
def in_memory():
    """A function Trained -> the model as it is served, before it is written; one for each."""
    found: dict[int, ServedModel] = {}

    def serve(trained: Trained) -> ServedModel:
        return found.setdefault(id(trained), ServedModel(trained.served))

    return serve
