"""Weights for tests that are about all parts of the model, of losses that are off by default."""

from __future__ import annotations

ALL_LOSSES = {"contrastive": 0.01, "interpolation": 0.1, "atac_adversarial": 0.1, "cycle": 0.1}
