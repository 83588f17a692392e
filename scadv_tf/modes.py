"""The settings of the unsupervised mode, made from those of the other; standard library only."""

from __future__ import annotations

import dataclasses

from scadv_tf.config import SECTIONS, RunConfig

LABEL_LOSSES = ("cross_entropy", "interpolation", "centroid", "center")
# Defaults of the unsupervised mode. Denoised ATAC cells lie too close together to be mixed with RNA
# cells where no label says which belong together; the contrastive losses do that work instead.
UNSUPERVISED = {
    "preprocessing": {"smoothing_hops": 0},
    "loss": {"contrastive": 3.0, "contrastive_rna": 3.0, "noise": 1.0, "temperature": 0.3},
    "training": {"mode": "unsupervised"},
}


def unsupervised(config: RunConfig) -> RunConfig:
    """The settings of the unsupervised mode: its defaults in place of those of the other mode.

    What differs from the other mode's defaults was chosen, and stays; but losses that need labels
    get weight 0. Done twice, it changes nothing more.
    """
    changed = {}
    for name, defaults in UNSUPERVISED.items():
        section, others = getattr(config, name), SECTIONS[name]()
        values = {
            key: value
            for key, value in defaults.items()
            if getattr(section, key) == getattr(others, key)
        }
        if name == "loss":
            values |= dict.fromkeys(LABEL_LOSSES, 0.0)
        changed[name] = dataclasses.replace(section, **values)
    return dataclasses.replace(config, **changed)
