"""The temperature that makes probabilities as sure as they are right (Guo et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# From 1 on: that answers are too modest about RNA cells is no reason to be surer of ATAC cells.
TEMPERATURES = (1.0, 20.0)
# Standard deviation of log T before any cell is seen, about that of trainings on hundreds of cells.
SPREAD = 0.25


def most_probable_temperature(log_likelihood: Callable[[float], float]) -> float:
    """The most probable temperature T, of which logits are divided: one number, at least 1.

    Beforehand log T is normal around 0 with the deviation `SPREAD`, which counts where cells are
    few: were four all wrong, their likelihood alone would be sure of nothing.

    Parameters
    ----------
    log_likelihood : temperature -> the sum over cells whose types are known, and were not learned
        from, of the log of their own type's probability.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        likelihood = log_likelihood(float(np.exp(log_temperature)))
        return float((log_temperature / SPREAD) ** 2 / 2 - likelihood)

    return float(np.exp(minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded").x))
