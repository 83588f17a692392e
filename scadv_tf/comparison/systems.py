"""The systems that can be set side by side, by name; standard library only.

The rows of our own model are choices of losses: one model, no code of their own.
"""

from __future__ import annotations

import dataclasses
import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from scadv_tf.config import EvaluationConfig, LossConfig, PreprocessingConfig, RunConfig
from scadv_tf.settings import Checked, option, require

# Of the document's losses in its systems, where the configuration leaves a loss out.
DOCUMENT_WEIGHTS = {
    "contrastive": 0.01,
    "interpolation": 0.1,
    "atac_adversarial": 0.1,
    "cycle": 0.1,
    "center": 0.1,
}
# Joint principal components for the systems that need them, where the configuration has none.
PROJECTION_SIZE = 50
WEIGHTS = LossConfig.weight_names()


@dataclass(frozen=True)
class System:
    """One system of a comparison.

    Attributes
    ----------
    sentence : what it is.
    home : the module of its function.
    function : its name there.
    losses : kept losses of our model, the weights of all others are 0; None for other systems.
    denoised : whether it gets the denoised ATAC cells that our model gets.
    balanced : whether their scales are of cells weighed as for our model, see `--balance`.
    raw : whether it gets the counts of all genes, to preprocess them by itself.
    literal : whether it has the document's own form: no neighbours, no projection, no weights.
    """

    sentence: str
    home: str
    function: str
    losses: tuple[str, ...] | None = None
    denoised: bool = False
    balanced: bool = False
    raw: bool = False
    literal: bool = False

    @property
    def seeded(self) -> bool:
        """Whether another seed gives another result."""
        return self.losses is not None or self._module().SEEDED

    @property
    def installed_version(self) -> str | None:
        """The version of what others wrote for it; None if that is missing or only this package."""
        if self.losses is not None:  # not asked, since its import takes seconds
            return None
        ask = getattr(self._module(), "installed_version", None)
        return ask() if ask else None

    def _module(self) -> ModuleType:
        return importlib.import_module(self.home)


def _ours(sentence: str, *losses: str) -> System:
    return System(sentence, "scadv_tf.fitting", "fit", losses, denoised=True)


def _baseline(sentence: str, home: str, function: str, **choices: Any) -> System:
    return System(sentence, f"scadv_tf.baselines.{home}", function, **choices)


_NCE = ("cross_entropy", "contrastive")
_ADV = (*_NCE, "modality_adversarial")
_CYC = (*_ADV, "atac_adversarial", "cycle")
SYSTEMS = {
    "scadv": _ours("ScAdv with all losses, as configured.", *WEIGHTS),
    "milestone2": _ours(
        "ScAdv with cross-entropy, center loss and modality adversary only, the milestone 2.",
        *("cross_entropy", "center", "modality_adversarial"),
    ),
    "ce": _ours("ScAdv with the cross-entropy on RNA labels alone.", "cross_entropy"),
    "ce_nce": _ours("ce and the contrastive loss on ATAC cells.", *_NCE),
    "ce_nce_adv": _ours("ce_nce and the modality adversary.", *_ADV),
    "ce_nce_adv_cyc": _ours("ce_nce_adv, the generator's adversary and the cycle loss.", *_CYC),
    "ce_nce_adv_cyc_ict": _ours(
        "ce_nce_adv_cyc and interpolation consistency.", *_CYC, "interpolation"
    ),
    "document": System(
        "The document's own form: all its losses on standardised genes, each cell by itself.",
        "scadv_tf.fitting",
        "fit",
        (*_CYC, "interpolation"),
        literal=True,
    ),
    "harmony": _baseline(
        "Harmony on the joint principal components, then an SVM.", "harmony", "harmony"
    ),
    "seurat": _baseline("Seurat, by anchors that CCA finds.", "seurat", "seurat", raw=True),
    "svm": _baseline("An SVM on the genes, nothing integrated.", "plain", "svm"),
    "logistic": _baseline(
        "Logistic regression on the genes, nothing integrated.", "plain", "logistic"
    ),
    "linear": _baseline(
        "Logistic regression on the denoised components that scadv starts from.",
        "plain",
        "linear",
        denoised=True,
        balanced=True,
    ),
    "guess": _baseline(
        "The linear guess that is part of scadv's answer, alone: what its network adds is to be "
        "seen against it.",
        "plain",
        "guess",
        denoised=True,
        balanced=True,
    ),
    "harmony_denoised": _baseline(
        "Harmony on the denoised ATAC cells that scadv gets: what the denoising alone does.",
        "harmony",
        "harmony",
        denoised=True,
    ),
}
DEFAULT = tuple(name for name in SYSTEMS if name not in ("harmony_denoised", "document"))


@dataclass(frozen=True)
class ComparisonConfig(Checked):
    """Which systems are compared, and how often."""

    systems: tuple = option(
        DEFAULT,
        "Systems to compare, separated by commas; harmony_denoised is Harmony on the denoised "
        "ATAC cells that scadv gets.",
    )
    seeds: int = option(
        3, "How many seeds: --seed and those that follow it.", minimum=1, maximum=10_000
    )
    rerun: bool = option(False, "Run all rows anew; else finished ones in the folder are kept.")

    def __post_init__(self) -> None:
        super().__post_init__()
        names = tuple(dict.fromkeys(name.strip() for name in self.systems))
        object.__setattr__(self, "systems", names)
        unknown = [name for name in names if name not in SYSTEMS]
        require(
            bool(names) and not unknown,
            "--systems names a system that does not exist." if names else "No system is named.",
            f"one or more of {', '.join(SYSTEMS)}",
            f"--systems={','.join(unknown)}",
        )


def settings_of(system: str, config: RunConfig) -> RunConfig:
    """The settings that a system runs with; those that it does not read are the defaults.

    Raises
    ------
    InputError : all losses of the system have a configured weight of 0.
    """
    chosen, plain = SYSTEMS[system], RunConfig()
    if chosen.losses is not None:
        losses = _weighted(config.loss, chosen.losses)
        ours = dataclasses.replace(config, loss=losses, data=plain.data, output=plain.output)
        ours = ours if chosen.losses == WEIGHTS else _as_in_the_document(ours)
        return _literal(ours) if chosen.literal else ours
    preprocessing = plain.preprocessing
    if not chosen.raw:
        preprocessing = _with_components(config.preprocessing, chosen)
    return RunConfig(
        preprocessing=preprocessing,
        training=dataclasses.replace(plain.training, seed=config.training.seed),
        evaluation=EvaluationConfig(umap_neighbors=config.evaluation.umap_neighbors),
    )


def _as_in_the_document(config: RunConfig) -> RunConfig:
    """The classifier's own answer and the latent vectors as trained: what the document had."""
    evaluation = dataclasses.replace(
        config.evaluation, neighbor_vote=0.0, linear_share=0.0, align_latent=False
    )
    return dataclasses.replace(config, evaluation=evaluation)


def _literal(config: RunConfig) -> RunConfig:
    """The same on the genes of cells that stand alone and weigh the same."""
    preprocessing = dataclasses.replace(
        config.preprocessing, neighbors=1, smoothing_hops=0, projection_size=0, balance=False
    )
    network = dataclasses.replace(config.network, discriminator_condition="none")
    loss = dataclasses.replace(config.loss, contrastive_pair="same")
    return dataclasses.replace(config, preprocessing=preprocessing, network=network, loss=loss)


def _with_components(config: PreprocessingConfig, chosen: System) -> PreprocessingConfig:
    return dataclasses.replace(
        config,
        neighbors=config.neighbors if chosen.denoised else 1,
        balance=config.balance and chosen.balanced,
        projection_size=config.projection_size or PROJECTION_SIZE,
    )


def _weighted(config: LossConfig, kept: tuple[str, ...]) -> LossConfig:
    weights: dict[str, Any] = {
        name: getattr(config, name) if name in kept else 0.0 for name in WEIGHTS
    }
    if kept != WEIGHTS:
        for name in DOCUMENT_WEIGHTS.keys() & kept:
            weights[name] = weights[name] or DOCUMENT_WEIGHTS[name]
    return dataclasses.replace(config, **weights)
