"""How far a run is: seconds and memory a stage; a training bar with losses and the time left.

Where something is counted, a signal that asks the run to end is heard.
"""

from __future__ import annotations

import contextlib
import logging
import math
import sys
import time
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from scadv_tf import signals
from scadv_tf.memory import peak_memory_mb, resident_memory_mb

if TYPE_CHECKING:
    import keras
    from tqdm import tqdm

logger = logging.getLogger(__name__)

# What is logged, at --verbosity=1, when a training gets there.
MODEL_BUILT, FIRST_STEP = "the model is built", "the first step is done"


class Stages:
    """Names the stages of a run to the user and keeps what they cost.

    Attributes
    ----------
    seconds : stage -> its seconds.
    memory_mb : stage -> the largest resident memory of the process until its end, megabytes.
    resident_mb : stage -> the resident memory at its end, megabytes.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.memory_mb: dict[str, float] = {}
        self.resident_mb: dict[str, float] = {}

    @contextlib.contextmanager
    def stage(self, name: str, announcement: str) -> Iterator[None]:
        """Measures the body under `name`, which may come several times."""
        signals.due()
        logger.info("%s …", announcement)
        start = time.perf_counter()
        yield
        passed = time.perf_counter() - start
        self.seconds[name] = round(self.seconds.get(name, 0.0) + passed, 2)
        self.memory_mb[name], self.resident_mb[name] = peak_memory_mb(), resident_memory_mb()
        logger.debug("  stage %s: %.2f s, %.0f MB", name, passed, self.resident_mb[name])


def training_progress(epochs: int, steps: int, first: int = 0) -> keras.callbacks.Callback:
    """A Keras callback: a bar on a terminal, a line every few epochs elsewhere.

    Parameters
    ----------
    epochs : of the training.
    steps : of an epoch.
    first : epochs that are done before.
    """
    import keras

    class Progress(keras.callbacks.Callback):
        """Shows losses and the time left."""

        bar: Any = None

        def on_train_begin(self, logs: dict | None = None) -> None:
            self.start, self.untraced = time.perf_counter(), True
            logger.info("  %d epoch%s of %d steps", epochs, "s" * (epochs != 1), steps)
            logger.debug("  %s", MODEL_BUILT)
            done = first * steps
            self.bar = _bar(total=epochs * steps, initial=done, unit="step", desc="training")

        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            signals.due()
            if self.untraced:  # it takes long, since functions are traced then
                logger.debug("  %s", FIRST_STEP)
                self.untraced = False
            self.bar.update()
            if not self.bar.disable and (batch == 0 or (batch + 1) % 10 == 0):
                self.bar.set_postfix_str(_text(self.model.get_metrics_result()))

        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            done = epoch + 1
            if not self.bar.disable or done % max(1, epochs // 10):
                return
            left = (time.perf_counter() - self.start) / (done - first) * (epochs - done)
            logger.info("  epoch %d/%d, %.0f s left: %s", done, epochs, left, _text(logs))

        def on_train_end(self, logs: dict | None = None) -> None:
            if self.bar is not None:  # it began
                self.bar.close()

    return Progress()


class CellProgress:
    """How many cells are done: a bar on a terminal, a line every tenth elsewhere.

    Parameters
    ----------
    cells : their number.
    task : what is done to them, e.g. 'annotating'.
    """

    def __init__(self, cells: int, task: str):
        self._bar = _bar(total=cells, unit="cell", unit_scale=True, desc=task)
        self._cells, self._done, self._start = cells, 0, time.perf_counter()

    def update(self, cells: int) -> None:
        """Counts further cells."""
        signals.due()
        self._bar.update(cells)
        tenths = [10 * done // self._cells for done in (self._done, self._done + cells)]
        self._done += cells
        if self._bar.disable and tenths[0] < tenths[1] < 10:
            passed = time.perf_counter() - self._start
            left = passed / self._done * (self._cells - self._done)
            logger.info(
                "  %s of %s cells, %.0f s left", f"{self._done:,}", f"{self._cells:,}", left
            )

    def __enter__(self) -> CellProgress:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()


def _bar(**options: Any) -> tqdm:
    """A bar on a terminal where information is logged, or in a notebook; else it is not seen."""
    with warnings.catch_warnings():  # that a notebook has no widgets: then the bar is text
        warnings.filterwarnings("ignore", "IProgress not found")
        from tqdm.auto import tqdm

    if in_notebook():  # where nobody asks for a log to see a bar
        shown = logger.isEnabledFor(logging.WARNING)
    else:
        shown = logger.isEnabledFor(logging.INFO) and sys.stderr.isatty()
    return tqdm(**options, disable=not shown, leave=False)


def in_notebook() -> bool:
    """Whether cells of a notebook are run: that Jupyter is imported does not say so."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def _text(logs: dict | None) -> str:
    numbers = {name: float(value) for name, value in (logs or {}).items()}
    return ", ".join(f"{n} {value:.3g}" for n, value in numbers.items() if not math.isnan(value))
