"""Defaults that depend on other settings; standard library only, used by `config`."""

from __future__ import annotations

from typing import Any

# Defaults of the unsupervised mode. Denoised ATAC cells lie too close together to be mixed with RNA
# cells where no label says which belong together; the contrastive losses do that work instead.
# Nor may labels that the cells have all the same weigh them.
UNSUPERVISED: dict[str, dict[str, Any]] = {
    "preprocessing": {"smoothing_hops": 0, "balance": False},
    "loss": {
        "contrastive": 3.0,
        "contrastive_rna": 3.0,
        "noise": 1.0,
        "temperature": 0.3,
        "atac_adversarial": 0.1,
        "cycle": 0.1,
    },
    "training": {"epochs": 20},  # contrastive losses are slow to shape a space
}
# Where neighbours do not denoise the input, they act on the training and on the labels instead.
NOT_DENOISED = {"loss": {"contrastive": 0.1}, "evaluation": {"neighbor_vote": 1.0}}


def defaults_of(mode: str | None, smoothing_hops: int | None) -> dict[str, dict[str, Any]]:
    """Section -> {setting: its default}, where these differ from those in `config`.

    Parameters
    ----------
    mode, smoothing_hops : as given; None if they were not.
    """
    if mode == "unsupervised":
        return UNSUPERVISED
    return NOT_DENOISED if smoothing_hops == 0 else {}
