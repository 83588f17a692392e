"""Reads damaged inputs in a process that may crash, and says of each what came of it.

python tests/corpus/judge.py NUMBERS START: of all inputs, NUMBERS of each kind, those from START.
A line each: the place in the order, the kind, the number, and 'typed error', 'right result' or what
went wrong.
"""

from __future__ import annotations

import json
import logging
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve()
TYPED, RIGHT = "typed error", "right result"
MEMORY = 16 * 2**30  # bytes of address space, so that a huge size is refused and not swapped in
PATIENCE = 4  # seconds of computing for one input, and sixty times as many by the clock


def order(numbers: int) -> list[tuple[str, int]]:
    """All inputs: of each kind the one without a fault, and so many with one."""
    from damaged_inputs import KINDS

    return [(kind, number) for kind in KINDS for number in range(numbers + 1)]


def main() -> None:
    """Judges from a place in the order to the end."""
    numbers, start = int(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    logging.disable()
    from damaged_inputs import KINDS

    with tempfile.TemporaryDirectory() as place:
        for kind in KINDS:  # imports what they need, which no input's seconds have room for
            outcome(kind, 0, Path(place))
        for number, (kind, which) in enumerate(order(numbers)):
            if number < start:
                continue
            print(json.dumps([number, kind, which]), flush=True)
            signal.setitimer(signal.ITIMER_PROF, PATIENCE)
            signal.alarm(60 * PATIENCE)
            print(json.dumps(outcome(kind, which, Path(place))), flush=True)
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.alarm(0)


def outcome(kind: str, number: int, folder: Path) -> str:
    """What comes of an input, of which nothing is left."""
    from damaged_inputs import damaged

    path, modality = damaged(kind, number, folder)
    found = judged(path, modality, number == 0)
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return found


def judged(path: Path, modality: str, faultless: bool) -> str:
    """What comes of reading a file held and streamed."""
    import numpy as np
    from damaged_inputs import COUNTS

    outcomes = [_read(way, path, modality) for way in (_held, _streamed)]
    faults = [found for found in outcomes if isinstance(found, str) and found != TYPED]
    if faults:
        return faults[0]
    held, streamed = outcomes
    if isinstance(held, str) or isinstance(streamed, str):
        return TYPED if held == streamed else f"held {_short(held)}, streamed {_short(streamed)}"
    for cells in (held, streamed):
        counts = cells.X
        indices = counts.indices
        if not (np.isfinite(counts.data).all() and (counts.data >= 0).all()):
            return "values that are no counts"
        if len(indices) and not 0 <= indices.min() <= indices.max() < counts.shape[1]:
            return "indices outside"
        if counts.shape != (len(cells.obs), len(cells.var)):
            return "tables of another size"
    if (held.X != streamed.X).nnz or list(held.obs_names) != list(streamed.obs_names):
        return "held and streamed differ"
    if faultless and modality == "rna" and not np.array_equal(held.X.toarray(), COUNTS):
        return "other counts"
    return RIGHT


def _short(found) -> str:
    return found if isinstance(found, str) else RIGHT


def _read(way, path: Path, modality: str):
    from scadv_tf.errors import InputError
    from scadv_tf.refusals import refusal

    try:
        return way(path, modality)
    except InputError:
        return TYPED
    except Exception as error:  # what a program would end with as a traceback
        told = f"{type(error).__name__}: {str(error)[:200]}"
        return TYPED if refusal(error) else told


def _open(path: Path, modality: str):
    from scadv_tf.data.cell_files import open_cells
    from scadv_tf.data.stored_cells import Called, Choices, Counting

    choices = Choices(_counting(Counting))
    return open_cells(path, modality, called=Called.of(modality), choices=choices)


def _counting(kind):
    import pandas as pd

    names = [f"chr{i}:{start}-{start + 2000}" for i in (1, 2, 3) for start in (0, 2000, 4000, 6000)]
    places = pd.DataFrame([name.replace("-", ":").split(":") for name in names], index=names)
    places.columns = ["chrom", "start", "end"]
    places = places.astype({"start": "int64", "end": "int64"})
    return kind(intervals=lambda: places, min_fragments=1)


def _held(path: Path, modality: str):
    from scadv_tf.data.readers import held

    with _open(path, modality) as source:
        return held(source)


def _streamed(path: Path, modality: str):
    from anndata import AnnData
    from scipy import sparse

    from scadv_tf.data.readers import stored
    from scadv_tf.data.rows import blocks

    found = stored(_open(path, modality))
    _ = found.X.account  # the look at all counts
    counts = sparse.vstack([block for _, block in blocks(found.X, 5)], format="csr")
    return AnnData(counts, obs=found.obs.set_axis(found.obs_names), var=found.var)


def judge_all(numbers: int) -> Iterator[tuple[str, int, str]]:
    """Kind, number and outcome of each input; a process that crashes is started again after it."""
    start, total = 0, len(order(numbers))
    while start < total:
        words = [sys.executable, str(HERE), str(numbers), str(start)]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        asked = None
        with process:
            for line in process.stdout:
                content = json.loads(line)
                if isinstance(content, list):
                    asked = content
                else:
                    yield *asked[1:], content
                    start, asked = asked[0] + 1, None
            said = process.stderr.read()
        if asked is not None:
            yield *asked[1:], f"the process ended with {process.returncode}"
            start = asked[0] + 1
        elif process.returncode:
            raise RuntimeError(f"{words} ended with {process.returncode}: {said[-2000:]}")


def counted(outcomes: Iterator[tuple[str, int, str]]) -> tuple[dict[str, Counter], list[str]]:
    """Kind -> how many typed errors, right results and others; and the others in words."""
    found, told = {}, []
    for kind, number, outcome in outcomes:
        of_kind = found.setdefault(kind, Counter({TYPED: 0, RIGHT: 0, "others": 0}))
        sound = outcome in (TYPED, RIGHT) and (number > 0 or outcome == RIGHT)
        of_kind[outcome if sound else "others"] += 1
        if not sound:
            told.append(f"{kind}, number {number}: {outcome}")
    return found, told


if __name__ == "__main__":
    main()
