"""One row of a comparison: a system at a seed, from the prepared cells to its scores."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from scadv_tf.baselines.transfer import Transfer
from scadv_tf.comparison.apart import Outcome, run_apart
from scadv_tf.comparison.contestant import given_to, run_system
from scadv_tf.comparison.store import Row
from scadv_tf.comparison.systems import SYSTEMS
from scadv_tf.config import PreprocessingConfig, RunConfig
from scadv_tf.data import preprocessing
from scadv_tf.data.labels import HEADLINE
from scadv_tf.data.pairing import AtacTruth, PairedData
from scadv_tf.data.rows import Rows
from scadv_tf.data.training_cells import TrainingCells
from scadv_tf.errors import InputError
from scadv_tf.evaluation.embedding import umap_2d
from scadv_tf.libraries import quiet_start
from scadv_tf.scoring import SCORES, epoch_macro_f1, score

logger = logging.getLogger(__name__)

MEASURES = (HEADLINE, *SCORES, "seconds", "peak_memory_mb")


class RowRunner:
    """Runs rows on one input. Preparation and scores are made here, the system runs elsewhere.

    Parameters
    ----------
    data : the input of all systems.
    truth : known labels of the ATAC cells, which stay in this process; None without.
    umap : whether each row has a UMAP and its silhouette, which can take longer than the system.
    place : where the system runs: `run_apart`, or what is called like it.
    """

    def __init__(
        self,
        data: PairedData,
        truth: AtacTruth | None,
        umap: bool = True,
        place: Callable[..., Outcome] = run_apart,
    ):
        self._data, self._truth, self._draws, self._place = data, truth, umap, place
        self._prepared: dict[tuple[PreprocessingConfig, int], tuple[TrainingCells, float]] = {}
        self._umap_is_compiled = False

    def run(self, system: str, config: RunConfig) -> Row:
        """The finished row, or a row that says why the system failed.

        Parameters
        ----------
        config : the system's own, from `settings_of`.
        """
        try:
            return self._run(system, config)
        except Exception as error:  # whatever fails, the other systems run
            is_told = isinstance(error, InputError)
            if not is_told:
                logger.warning("%s failed unexpectedly.", system, exc_info=error)
            text = str(error) if is_told else f"{type(error).__name__}: {error}"
            return failed_row(system, config.training.seed, text)

    def _run(self, system: str, config: RunConfig) -> Row:
        seed, prepare = config.training.seed, 0.0
        cells = None
        if not SYSTEMS[system].raw:
            cells, prepare = self._prepare(config.preprocessing, seed)
        given = given_to(system, self._data, cells)
        outcome = self._place(run_system, system, given, config, imports=[SYSTEMS[system].home])
        if outcome.error is not None:
            return failed_row(system, seed, outcome.error)
        return self._scored(system, config, outcome, prepare)

    def _prepare(self, config: PreprocessingConfig, seed: int) -> tuple[TrainingCells, float]:
        """Cells and the seconds that they took, shared by the systems of a seed."""
        if any(kept_seed != seed for _, kept_seed in self._prepared):
            self._prepared.clear()
        if (config, seed) not in self._prepared:
            self._prepared[config, seed] = _timed(preprocessing.fit, self._data, config, seed)
        return self._prepared[config, seed]

    def _scored(self, system: str, config: RunConfig, outcome: Outcome, prepare: float) -> Row:
        found: Transfer = outcome.value
        seed = config.training.seed
        umap, drawing = self._umap(found.latent, config)
        metrics, scoring = _timed(
            score,
            found.routes,
            found.probabilities,
            found.latent,
            umap,
            self._data,
            self._truth,
            seed,
            found.unknown,
        )
        seconds = {
            "prepare": prepare,
            "start": outcome.outside_seconds,
            "fit": outcome.seconds,
            "umap": drawing,
            "score": scoring,
        }
        seconds["total"] = sum(seconds.values())
        metrics["seconds"] = {name: round(passed, 2) for name, passed in seconds.items()}
        metrics["peak_memory_mb"] = outcome.peak_memory_mb
        if found.history is not None:
            metrics["epochs_trained"] = len(found.history)
        curve = self._learning_curve(found)
        if curve is not None and found.history is not None:
            # The rest of the fit comes after the last epoch.
            passed = prepare + outcome.outside_seconds + np.cumsum(found.history["seconds"])
            epochs = {"seconds": passed.round(2).tolist(), "scores": curve.round(4).tolist()}
            metrics["epochs"] = epochs
        content = {"system": system, "seed": seed, "error": None, **metrics}
        predicted = np.asarray(found.routes[HEADLINE], dtype=str)
        return Row(content, predicted, umap, curve)

    def _umap(self, latent: Rows | None, config: RunConfig) -> tuple[np.ndarray | None, float]:
        """The UMAP, if there is a latent space and it is wanted, and its seconds."""
        if latent is None or not self._draws:
            return None, 0.0
        if not self._umap_is_compiled:
            # Takes seconds once a process, which are not the first row's. umap-learn also imports
            # TensorFlow, which makes itself heard.
            with quiet_start():
                umap_2d(np.random.default_rng(0).normal(size=(60, 3)), seed=0, neighbors=5)
            self._umap_is_compiled = True
        return _timed(umap_2d, latent, config.training.seed, config.evaluation.umap_neighbors)

    def _learning_curve(self, found: Transfer) -> np.ndarray | None:
        if found.epoch_codes is None or self._truth is None:
            return None
        types, truth = self._data.types, self._truth
        return np.array([epoch_macro_f1(codes, types, truth) for codes in found.epoch_codes])


def _timed(function: Callable, *arguments: Any) -> tuple[Any, float]:
    """What a function returns, and the seconds that it took."""
    start = time.perf_counter()
    return function(*arguments), time.perf_counter() - start


def failed_row(system: str, seed: int, error: str) -> Row:
    """A row without scores that says why."""
    return Row({"system": system, "seed": seed, "error": error} | dict.fromkeys(MEASURES))
