"""How fast fragments become counts, and with how much memory, as a line of JSON.

python tests/benchmarks/bench_fragments.py --fragments=5000000

Makes a gzipped file of so many fragments of 10,000 cells, beside 200,000 other barcodes that have a
fifth of them, sorted by place as Cell Ranger does, and 100,000 peaks. `read` and `count` are the
seconds in which the fragments are made numbers and the cells' counts of all peaks are read, a
thousand cells at a time; `zcat` those of ``zcat FILE | wc -l`` right before, and `ratio` is theirs.
`cpu` and `zcat_cpu` are seconds of processors, which tell more where the machine has other work.
All are medians of `--rounds`; `compile` comes once a process, whatever the file.
"""

from __future__ import annotations

import gzip
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from absl import app, flags

sys.path.insert(0, str(Path(__file__).parents[2]))

from scadv_tf.data.cell_files import open_cells  # noqa: E402
from scadv_tf.data.regions import as_regions  # noqa: E402
from scadv_tf.data.stored_cells import Choices, Counting  # noqa: E402
from scadv_tf.memory import peak_memory_mb  # noqa: E402

CELLS, OTHERS, PEAKS = 10_000, 200_000, 100_000
CHROMOSOMES, LENGTH, PEAK = 20, 150_000_000, 900
AT_ONCE = 1_000_000

FLAGS = flags.FLAGS
flags.DEFINE_integer("fragments", 5_000_000, "How many fragments.", lower_bound=CHROMOSOMES)
flags.DEFINE_integer("rounds", 5, "How often it is measured, for the medians.", lower_bound=1)


def write(path: Path, fragments: int) -> None:
    """Writes the file, some fragments of each chromosome at a time."""
    draw = np.random.default_rng(0)
    bases = draw.choice(list("ACGT"), (CELLS + OTHERS, 16))
    barcodes = np.array(["".join(row) + "-1" for row in bases])
    chunks = -(-fragments // CHROMOSOMES // AT_ONCE)
    with gzip.open(path, "wt") as file:
        for part in range(CHROMOSOMES * chunks):
            size = fragments * (part + 1) // (CHROMOSOMES * chunks)
            size -= fragments * part // (CHROMOSOMES * chunks)
            window = LENGTH // chunks
            start = np.sort(draw.integers(0, window, size)) + part % chunks * window
            of_cell, of_other = draw.integers(CELLS, size=size), draw.integers(OTHERS, size=size)
            owner = np.where(draw.random(size) < 0.8, of_cell, CELLS + of_other)
            columns = {
                "chrom": f"chr{part // chunks + 1}", "start": start,
                "end": start + draw.integers(30, 600, size), "barcode": barcodes[owner],
                "reads": draw.integers(1, 5, size),
            }  # fmt: skip
            pd.DataFrame(columns).to_csv(file, sep="\t", header=False, index=False)


def peaks() -> pd.DataFrame:
    """Peaks of one length, of which some overlap."""
    start = np.random.default_rng(1).integers(0, LENGTH, PEAKS)
    chrom = [f"chr{number % CHROMOSOMES + 1}" for number in range(PEAKS)]
    places = pd.DataFrame({"chrom": chrom, "start": start, "end": start + PEAK})
    return as_regions(places.drop_duplicates())


def measured(path: Path, fragments: int, rounds: int) -> dict[str, float]:
    """Seconds and megabytes."""
    intervals = peaks()
    import anndata  # noqa: F401 (whatever reads cells needs it)

    begun = time.perf_counter()
    from scadv_tf.data.fragment_table import FragmentTable

    small = path.with_name("small.tsv")
    small.write_text("chr1\t0\t9\tA-1\t1\n")
    FragmentTable(small, path.parent)
    compiled, before = time.perf_counter() - begun, peak_memory_mb()
    minimum = max(1, fragments // CELLS // 2)
    choices = Choices(Counting(lambda: intervals, min_fragments=minimum))
    rows = pd.DataFrame([one_round(path, choices) for _ in range(rounds)]).median().to_dict()
    seconds = rows["read"] + rows["count"]
    return {
        "fragments": fragments, "rounds": rounds,
        **{name: round(value, 2) for name, value in rows.items()},
        "fragments_a_second": round(fragments / seconds), "compile": round(compiled, 2),
        "memory_before_mb": before, "peak_memory_mb": peak_memory_mb(),
    }  # fmt: skip


def one_round(path: Path, choices: Choices) -> dict[str, float]:
    """Seconds of zcat, and then of reading and counting."""
    children, start = processor_seconds(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(f"zcat '{path}' | wc -l", shell=True, check=True, capture_output=True)
    zcat = time.perf_counter() - start
    children = processor_seconds(resource.RUSAGE_CHILDREN) - children
    own, start = processor_seconds(resource.RUSAGE_SELF), time.perf_counter()
    with open_cells(path, "atac", scratch=path.parent, choices=choices) as source:
        read = time.perf_counter() - start
        counts = sum(int(chunk.counts.sum()) for chunk in source.chunks(1000))
    seconds = time.perf_counter() - start
    return {
        "cells": source.cells, "counts": counts, "zcat": zcat, "read": read,
        "count": seconds - read, "ratio": seconds / zcat, "zcat_cpu": children,
        "cpu": processor_seconds(resource.RUSAGE_SELF) - own,
    }  # fmt: skip


def processor_seconds(of: int) -> float:
    """Those of this process so far, or of the children that have ended."""
    used = resource.getrusage(of)
    return used.ru_utime + used.ru_stime


def main(_) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fragments.tsv.gz"
        # In a process of its own, so that its memory does not count.
        code = "import sys, pathlib, bench_fragments as bench; "
        code += "bench.write(pathlib.Path(sys.argv[1]), int(sys.argv[2]))"
        subprocess.run(
            [sys.executable, "-c", code, path, str(FLAGS.fragments)],
            cwd=Path(__file__).parent,
            check=True,
        )
        print(json.dumps(measured(path, FLAGS.fragments, FLAGS.rounds)))


if __name__ == "__main__":
    app.run(main)
