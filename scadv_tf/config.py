"""Every setting of a run, as frozen dataclasses that check themselves.

A field is a command-line flag of the same name (see `scadv_tf.flags`), so its metadata carry the
sentence that ``--help`` prints and the values that are allowed. This module imports nothing but the
standard library, so ``--help`` is quick and a configuration can be read where TensorFlow is absent.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
from typing import Any

from scadv_tf.errors import InputError
from scadv_tf.modes import defaults_of
from scadv_tf.settings import Checked, option, require


@dataclasses.dataclass(frozen=True)
class DataConfig(Checked):
    """Where the cells come from and how genes and labels are matched."""

    dataset: str = option(
        "",
        "A known data set (pbmc, synthetic; pbmc_10k, mouse_skin, which are downloaded), or a name "
        "for your own --rna and --atac files.",
    )
    data_dir: str = option(
        "",
        "Folder for the files of a data set that is downloaded: those that are there, by the names "
        "that they have where they are published, are not downloaded; the others, and the two "
        ".h5ad that are made of them, are put there. Default: the user's cache.",
    )
    rna: str = option("", "RNA cells: .h5ad, .h5mu, either as .zarr, 10x .h5 or an mtx folder.")
    atac: str = option(
        "",
        "ATAC cells in the same formats: peaks, or gene activity made elsewhere; or fragments.tsv, "
        "gzipped or not, which are counted in --peaks, else in windows of the genome. Several "
        "files, separated by commas, are taken together on the features that all have. Or cells "
        "of another modality, see --query_kind.",
    )
    query_kind: str = option(
        "accessibility",
        "What --atac measures: accessibility (or a mark of active chromatin), expression (RNA of "
        "another technology, a spatial panel), protein (antibodies, by names), methylation (levels "
        "of genes, 0 to 1 or percent) or repressive_mark (such as H3K27me3).",
        choices=("accessibility", "expression", "protein", "methylation", "repressive_mark"),
    )
    query_direction: str = option(
        "auto",
        "Whether more of it means more expression (same) or less (opposite); auto: opposite for "
        "repressive_mark, learned from the genes' means for methylation, else same.",
        choices=("auto", "same", "opposite"),
    )
    modality_name: str = option(
        "",
        "What the cells of --atac are called in messages, pictures and the report, such as ADT; "
        "default: by --query_kind.",
    )
    atac_peaks: str = option(
        "", "Peaks of the same ATAC cells, used to find neighbours if --atac holds gene activity."
    )
    peaks: str = option("", "BED file of the peaks in which the fragments of --atac are counted.")
    barcodes: str = option(
        "",
        "List of the cells among the barcodes of the fragments, one a line, or Cell Ranger's "
        "singlecell.csv or per_barcode_metrics.csv; a list for each of several files, separated by "
        "commas; default: by --min_fragments.",
    )
    min_fragments: int = option(
        1000, "Fewest fragments of a barcode that is a cell, without --barcodes.", minimum=1
    )
    label_key: str = option("cell_type", "Column of the RNA cells' obs that holds their types.")
    atac_label_key: str = option(
        "",
        "Column of the ATAC cells' obs with known types, for evaluation only; default: "
        "--label_key if it is there. If the RNA cells have it too, as a coarser grouping, scores "
        "are at its level.",
    )
    rna_labels: str = option(
        "",
        "Table of the RNA cells' types, a .csv or .tsv of cell,label such as Loupe exports, in "
        "place of the column --label_key; its further columns join obs, for --rna_batch_key.",
    )
    atac_labels: str = option(
        "", "The same for the ATAC cells, as --rna_labels, in place of --atac_label_key."
    )
    rna_batch_key: str = option(
        "",
        "Column of the RNA cells' obs that names their donor, lane or technology, which is "
        "corrected for; default: none is.",
    )
    atac_batch_key: str = option(
        "", "The same of the ATAC cells, as --rna_batch_key; default: of several files, which one."
    )
    genome: str = option(
        "",
        "Genome of the peaks: hg38 (GRCh38), hg19 (GRCh37) or mm10 (GRCm38). Needed when the ATAC "
        "features are peaks; for any other genome give --genes.",
    )
    genes: str = option("", "Gene coordinates of your own (GTF or BED) in place of --genome.")
    upstream: int = option(
        2000,
        "Bases by which a gene body is extended upstream when peaks are summed.",
        minimum=0,
        maximum=1_000_000_000,
    )
    rna_layer: str = option("", "Layer of the RNA file to read ('raw' for .raw); default: X.")
    atac_layer: str = option("", "Layer of the ATAC file to read ('raw' for .raw); default: X.")
    genome_group: str = option("", "Genome to read of a 10x .h5 that holds several, such as hg19.")
    drop_types: tuple = option(
        (),
        "Types to leave out of both modalities, separated by commas (such as 'unassigned'); the "
        "one setting that uses known ATAC labels for more than scores.",
    )
    min_shared_genes: int = option(
        50,
        "Refuse to run when fewer genes than this are shared; by default 10 of proteins.",
        minimum=1,
    )
    memory_cells: int = option(
        30_000,
        "Most cells of a modality that are held in memory; a larger one is streamed from disk. It "
        "changes the order of cells in the training alone. 0: no limit.",
        minimum=0,
    )
    synthetic_cells: int = option(
        2000, "Cells in each modality of --dataset=synthetic.", minimum=50
    )
    synthetic_difficulty: float = option(
        0.5, "Difficulty of --dataset=synthetic, from 0 to 1.", minimum=0, maximum=1
    )


@dataclasses.dataclass(frozen=True)
class PreprocessingConfig(Checked):
    """What is learned from the data before training, and stored with the model."""

    variable_genes: int = option(
        3000, "Genes kept, most variable in both modalities first; 0 keeps all.", minimum=0
    )
    neighbors: int = option(
        0,
        "ATAC cells over which each ATAC cell is averaged, itself included, weighted by how many "
        "neighbours they share; 0: by the numbers of ATAC cells and RNA types and the cells' open "
        "features, from 5 to 35; 1: no neighbours anywhere.",
        minimum=0,
    )
    smoothing_hops: int = option(
        2,
        "How often that average is taken; with --neighbors=0 twice at most, and once where that "
        "comes to fewer than 8 or so few features are open that they are found by chance; 0 turns "
        "the denoising off and leaves the neighbours to the contrastive pairs, the soft labels and "
        "the vote.",
        minimum=0,
    )
    lsi_size: int = option(
        15, "Dimensions of the latent semantic index of the peaks, for neighbours.", minimum=2
    )
    neighbor_pca_size: int = option(
        50, "Joint principal components of the genes, for neighbours.", minimum=2
    )
    projection_size: int = option(
        50,
        "Joint principal components that the encoder's first, fixed layer projects on, at most: "
        "one for each 10 cells of the smaller modality, 20 or more; 0 leaves that layer out, as in "
        "the document, and with it --balance and --linear_share, which start from it.",
        minimum=0,
    )

    balance: bool = option(
        True,
        "Weigh cells so that both modalities have the same composition of types, as far as it can "
        "be guessed, wherever one is compared with the other as a whole; false: all cells alike.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.variable_genes != 1,
            "The setting variable_genes keeps a single gene.",
            "0 for all genes, or at least 2",
            "variable_genes=1",
        )


@dataclasses.dataclass(frozen=True)
class NetworkConfig(Checked):
    """Sizes of the five networks."""

    encoder_sizes: tuple = option((1024, 128), "Widths of the encoder's layers.", minimum=1)
    modality_discriminator_sizes: tuple = option(
        (64, 64), "Hidden widths of the modality discriminator.", minimum=1
    )
    atac_discriminator_sizes: tuple = option(
        (512, 512), "Hidden widths of the discriminator of real and generated ATAC.", minimum=1
    )
    generator_sizes: tuple = option((1024,), "Hidden widths of the generator.", minimum=1)
    discriminator_condition: str = option(
        "types",
        "What the modality discriminator sees beside the latent vector: nothing (the document), "
        "or the predicted types, so that modalities are aligned type by type.",
        choices=("none", "types"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            bool(self.encoder_sizes),
            "The encoder has no layers.",
            "encoder_sizes with at least one width",
            "encoder_sizes=()",
        )


def _weight(default: float, sentence: str, needs_labels: bool = False) -> Any:
    """The weight of a loss; of one that needs labels, it is 0 in the unsupervised mode."""
    return option(default, sentence, minimum=0, weight=True, needs_labels=needs_labels)


@dataclasses.dataclass(frozen=True)
class LossConfig(Checked):
    """Weights of the losses (0: not computed) and their constants."""

    cross_entropy: float = _weight(1.0, "Weight of the cross-entropy on RNA labels.", True)
    contrastive: float = _weight(
        0.0,
        "Weight of the contrastive loss on pairs of ATAC copies; by default 0.1 with "
        "smoothing_hops 0.",
    )
    contrastive_rna: float = _weight(
        0.0, "Weight of the contrastive loss on pairs of RNA copies (unsupervised mode)."
    )
    interpolation: float = _weight(
        0.0, "Weight of interpolation consistency between modalities.", True
    )
    centroid: float = _weight(
        2.0, "Weight of the distance between the modalities' centroids of each type.", True
    )
    center: float = _weight(0.0, "Weight of the center loss.", True)
    modality_adversarial: float = _weight(
        1.0, "Weight of the adversarial loss that mixes the modalities."
    )
    atac_adversarial: float = _weight(0.0, "Weight of the adversarial loss of generated ATAC.")
    cycle: float = _weight(0.0, "Weight of the cycle consistency of latent vectors.")
    label_smoothing: float = option(
        0.0, "Label smoothing of the cross-entropy.", minimum=0, maximum=0.9
    )
    contrastive_pair: str = option(
        "neighbor",
        "The two copies of the contrastive loss: the same ATAC cell with noise twice (the "
        "document), or the cell and one of its neighbours, with noise each.",
        choices=("same", "neighbor"),
    )
    temperature: float = option(0.1, "Temperature of the contrastive loss.", minimum=1e-3)
    noise: float = option(
        0.3, "Gaussian noise on contrastive copies, in standard deviations of each gene.", minimum=0
    )
    interpolation_target: str = option(
        "interpolated_output",
        "Target of interpolation consistency: the teacher's interpolated outputs, or (as the "
        "document prints it) its outputs for scaled inputs.",
        choices=("interpolated_output", "scaled_input"),
    )
    interpolation_alpha: float = option(
        0.2, "Both parameters of the Beta distribution of the mixing weight.", minimum=1e-3
    )
    interpolation_rampup: float = option(
        0.3,
        "Share of the training over which the interpolation weight rises to its full value.",
        minimum=0,
        maximum=1,
    )
    teacher_momentum: float = option(
        0.99, "Largest momentum of the moving-average teacher.", minimum=0, maximum=1
    )
    center_confidence: float = option(
        0.8,
        "Classifier confidence from which ATAC cells join the center loss.",
        minimum=0,
        maximum=1,
    )
    centroid_warmup: float = option(
        0.1, "Share of the epochs before ATAC cells get soft labels.", minimum=0, maximum=1
    )
    centroid_momentum: float = option(
        0.7, "Share of the old centroid that each batch keeps.", minimum=0, maximum=1
    )
    prior_power: float = option(
        0.0,
        "How strongly soft labels are pulled towards the type shares that are expected of the ATAC "
        "cells, from 0 to 1: guessed ones with --balance, else the RNA cells'.",
        minimum=0,
        maximum=1,
    )
    sharpening: float = option(
        1.0, "Power to which soft labels are raised before they are renormalised.", minimum=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        weights = self.weights()
        require(
            any(weights.values()),
            "No loss has a weight above 0.",
            f"at least one of {', '.join(weights)}",
            "0 for all",
        )

    @classmethod
    def weight_names(cls, needs_labels: bool = False) -> tuple[str, ...]:
        """The losses by name; or only those that need labels."""
        wanted = "needs_labels" if needs_labels else "weight"
        return tuple(f.name for f in dataclasses.fields(cls) if f.metadata.get(wanted))

    def weights(self) -> dict[str, float]:
        """Loss -> its weight."""
        return {name: getattr(self, name) for name in self.weight_names()}


@dataclasses.dataclass(frozen=True)
class TrainingConfig(Checked):
    """How the two phases are optimised."""

    mode: str = option(
        "semi_supervised",
        "Whether RNA labels are taught and transferred (semi_supervised), or none is taught or "
        "needed and one joint embedding comes of it (unsupervised). In the latter, losses that "
        "need labels weigh 0, and defaults are smoothing_hops 0, balance false, contrastive and "
        "contrastive_rna 3, atac_adversarial and cycle 0.1, noise 1, temperature 0.3, epochs 20.",
        choices=("semi_supervised", "unsupervised"),
    )
    epochs: int = option(10, "Passes of Algorithm 1, each with both phases.", minimum=1)
    max_pass_steps: int = option(
        250,
        "Most steps of a pass over the cells: of a large data set, an epoch sees a part of the "
        "cells, drawn anew each time; 0: no limit.",
        minimum=0,
    )
    batch_size: int = option(256, "Cells of each modality in a batch.", minimum=3)
    min_batches: int = option(
        10,
        "Fewest batches of a pass: small data sets get smaller batches, but not below 32 cells.",
        minimum=1,
    )
    optimizer: str = option(
        "sgd", "Optimizer of both phases; sgd has Nesterov momentum.", choices=("sgd", "adam")
    )
    learning_rate: float = option(0.01, "Learning rate of representation learning.", minimum=0)
    alignment_learning_rate: float = option(0.01, "Learning rate of modality alignment.", minimum=0)
    momentum: float = option(0.9, "Momentum of sgd.", minimum=0, maximum=1)
    learning_rate_schedule: str = option(
        "cosine", "Course of both learning rates.", choices=("cosine", "constant")
    )
    gradient_clip_norm: float = option(
        5.0, "Largest norm of all gradients of a step together; 0 does not clip.", minimum=0
    )
    divergence_retries: int = option(
        2,
        "How often a training in which a loss or gradient is not finite goes back to its last good "
        "epoch, with half the learning rates, before it ends with an error.",
        minimum=0,
    )
    reversal_strength: float = option(
        1.0, "Factor that reversed gradients reach at the end of the training.", minimum=0
    )
    early_stopping_patience: int = option(
        0,
        "Stop after this many epochs in a row in which almost no ATAC cell changed its predicted "
        "type (needs no ATAC label); 0 trains all epochs.",
        minimum=0,
    )
    early_stopping_change: float = option(
        0.002, "The share of ATAC cells that counts as almost none.", minimum=0, maximum=1
    )
    calibration_share: float = option(
        0.1,
        "Share of the RNA cells of each type that is held out of the training, to calibrate the "
        "probabilities and the threshold of unknown cells; 0 does neither.",
        minimum=0,
        maximum=0.5,
    )
    strategy: str = option(
        "none",
        "Who trains: one device; mirrored: all GPUs of this machine; multi_worker: the machines in "
        "the environment variable TF_CONFIG, which are all given the same command.",
        choices=("none", "mirrored", "multi_worker"),
    )
    seed: int = option(0, "Seed of everything random.", minimum=0, maximum=2**32 - 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.supervised or not self.early_stopping_patience,
            "Early stopping watches predicted types, and the unsupervised mode has none.",
            "early_stopping_patience=0 with mode=unsupervised",
            f"early_stopping_patience={self.early_stopping_patience}",
        )

    @property
    def supervised(self) -> bool:
        """Whether the RNA labels are taught."""
        return self.mode != "unsupervised"


@dataclasses.dataclass(frozen=True)
class EvaluationConfig(Checked):
    """How predictions are made from a trained model and looked at."""

    neighbor_vote: float = option(
        0.5,
        "Share of the final probabilities of an ATAC cell that is the mean of its neighbours'; by "
        "default 1 with smoothing_hops 0.",
        minimum=0,
        maximum=1,
    )
    linear_share: float = option(
        0.5,
        "Share of the probabilities that is the linear guess's of the same features, which holds "
        "the network where it drifts; needs --balance; 0: the network alone.",
        minimum=0,
        maximum=1,
    )
    unknown_share: float = option(
        0.1,
        "Share of held-out RNA cells of known types that the threshold of unknown ATAC cells would "
        "call unknown; 0 calls no more than the most doubtful one so.",
        minimum=0,
        maximum=1,
    )
    align_latent: bool = option(
        True,
        "Give the latent vectors of the ATAC cells of each predicted type the mean and covariance "
        "of its RNA cells; labels are not touched by it.",
    )
    knn_neighbors: int = option(30, "Neighbours of the kNN label transfer.", minimum=1)
    umap_neighbors: int = option(30, "Neighbours of the UMAP pictures.", minimum=2)


@dataclasses.dataclass(frozen=True)
class OutputConfig(Checked):
    """Where the results go."""

    output_dir: str = option(
        "", "Folder of the results; default: runs/<dataset>, runs/custom without."
    )
    export_dir: str = option(
        "",
        "Folder of the exported encoder's versions; default: savedmodels/<dataset>, "
        "savedmodels/custom without.",
    )
    resume: bool = option(
        False,
        "Go on from the checkpoint that an interrupted training left in <output_dir>/checkpoints; "
        "start from the beginning if there is none.",
    )
    checkpoint_seconds: float = option(
        60.0, "Least seconds between two checkpoints; they are written between epochs.", minimum=0
    )
    tensorboard: bool = option(False, "Write TensorBoard logs to <output_dir>/tensorboard.")


SECTIONS = {
    "data": DataConfig,
    "preprocessing": PreprocessingConfig,
    "network": NetworkConfig,
    "loss": LossConfig,
    "training": TrainingConfig,
    "evaluation": EvaluationConfig,
    "output": OutputConfig,
}


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """All settings of one run, by section.

    The unsupervised mode has some defaults of its own, and so have runs without denoising
    (`smoothing_hops` 0); see `scadv_tf.modes`. They hold for what was not given: single settings
    in `of`, `from_dict` and on the command line, whole sections here. A section that is given here
    stays as it is, with the defaults of its class, and changing the mode by `dataclasses.replace`
    changes no other setting. Losses that need labels weigh 0 in the unsupervised mode, whatever is
    given.
    """

    data: DataConfig = DataConfig()
    preprocessing: PreprocessingConfig = None  # type: ignore[assignment]  # None is: by the mode
    network: NetworkConfig = NetworkConfig()
    loss: LossConfig = None  # type: ignore[assignment]  # by the mode and the denoising
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = None  # type: ignore[assignment]  # by the denoising
    output: OutputConfig = OutputConfig()

    def __post_init__(self) -> None:
        given = self.preprocessing
        hops = None if given is None else given.smoothing_hops
        defaults = defaults_of(self.training.mode, hops)
        for name in ("preprocessing", "loss", "evaluation"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, SECTIONS[name](**defaults.get(name, {})))
        if not self.training.supervised:
            names = LossConfig.weight_names(needs_labels=True)
            weights: dict[str, Any] = dict.fromkeys(names, 0.0)
            object.__setattr__(self, "loss", dataclasses.replace(self.loss, **weights))
        self._check_text()

    def _check_text(self) -> None:
        """Results tell all settings as text, and TensorFlow takes paths so: told before any work.

        Raises
        ------
        InputError : a text, such as the path of a folder that an old system named, is no Unicode.
        """
        settings = {n: v for part in self.to_dict().values() for n, v in part.items()}
        for name, value in settings.items():
            texts = value if isinstance(value, tuple) else (value,)
            try:
                "".join(map(str, texts)).encode()
            except UnicodeEncodeError:
                raise InputError(
                    what=f"The setting {name} is no text in UTF-8.",
                    expected="names of files and folders, and other text, in UTF-8",
                    received=f"{name}={value!r}",
                    advice="Rename it, or make a link to it: ln -s NAME new_name",
                ) from None

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Sections as plain dictionaries, ready for JSON."""
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        """The settings as indented JSON text."""
        return json.dumps(self.to_dict(), indent=2)

    @classmethod
    def of(cls, **settings: Any) -> RunConfig:
        """The configuration with these settings, by the names of the flags.

        Parameters
        ----------
        settings : such as ``mode="unsupervised", epochs=5``; the others are defaults.

        Raises
        ------
        InputError : a setting is unknown, or a value is out of its bounds.
        """
        sections = {
            field.name: name
            for name, section in SECTIONS.items()
            for field in dataclasses.fields(section)
        }
        for name in settings:
            if name not in sections:
                nearest = difflib.get_close_matches(name, sections, n=1, cutoff=0)
                raise InputError(
                    what=f"The setting {name} does not exist.",
                    expected="the names of the flags",
                    received=name,
                    advice=f"The nearest name is {nearest[0]}; see docs/python.md or the flags in "
                    "--help.",
                )
        values: dict[str, dict[str, Any]] = {}
        for name, value in settings.items():
            values.setdefault(sections[name], {})[name] = value
        return cls.from_dict(values)

    @classmethod
    def from_dict(cls, values: dict[str, dict[str, Any]]) -> RunConfig:
        """The inverse of `to_dict`; settings that are not there are defaults.

        Raises
        ------
        InputError : a section or a setting is unknown, or a value is out of its bounds.
        """
        sections = values.values() if isinstance(values, dict) else [values]
        if not all(isinstance(section, dict) for section in sections):
            raise InputError(
                what="The configuration is not one of this package.",
                expected="a dictionary of settings for each section",
                received=repr(values)[:300],
                advice="Take a config.json that a run has written.",
            )
        unknown = [name for name in values if name not in SECTIONS]
        for name, section in SECTIONS.items():
            known = {field.name for field in dataclasses.fields(section)}
            unknown += [f"{name}.{key}" for key in values.get(name, {}) if key not in known]
        if unknown:
            raise InputError(
                what="The configuration has settings that this version does not know.",
                expected=f"sections {', '.join(SECTIONS)} with the flags' names",
                received=", ".join(unknown),
                advice="Remove them, or use the version of scadv_tf that wrote the file.",
            )
        mode = values.get("training", {}).get("mode")
        hops = values.get("preprocessing", {}).get("smoothing_hops")
        given = {name: dict(section) for name, section in defaults_of(mode, hops).items()}
        for name, section in values.items():
            given[name] = given.get(name, {}) | section
        return cls(**{name: SECTIONS[name](**section) for name, section in given.items()})

    @classmethod
    def from_json(cls, text: str) -> RunConfig:
        """The inverse of `to_json`."""
        try:
            values: Any = json.loads(text)
        except ValueError:
            values = text  # which is refused as what it is
        return cls.from_dict(values)
