"""Compiles `annotate.c` against the TensorFlow that Python uses, and runs it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import tensorflow as tf

SOURCE = Path(__file__).with_name("annotate.c")


def compiled(folder: Path) -> Path:
    """The program, in a folder; skips the test where there is nothing to compile it with."""
    wheel = Path(tf.sysconfig.get_lib())
    libraries = [wheel / f"libtensorflow_{part}.so.2" for part in ("cc", "framework")]
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (gcc or cc) is on the PATH")
    missing = [str(path) for path in libraries if not path.exists()]
    if missing:
        pytest.skip(f"this TensorFlow has no C library: {', '.join(missing)}")
    # The linker that is gcc's own takes ten seconds to read TensorFlow's symbols.
    quick = [f"-fuse-ld={name}" for name in ("gold", "lld") if shutil.which(f"ld.{name}")][:1]
    program = folder / "annotate"
    done = subprocess.run(
        [
            *(compiler, "-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", *quick, SOURCE),
            *("-isystem", tf.sysconfig.get_include(), *libraries),
            *(f"-Wl,-rpath,{wheel}", "-o", program),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return program


def run(program: Path, *arguments) -> subprocess.CompletedProcess:
    """The finished program, with no Python in its environment."""
    environment = {"PATH": os.environ["PATH"], "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.run(
        [program, *map(str, arguments)], env=environment, capture_output=True, text=True
    )


def write_counts(path: Path, counts) -> Path:
    """Dense counts as the program reads them."""
    rows = (" ".join(f"{value:.9g}" for value in row) for row in counts)
    path.write_text(f"{len(counts)} {counts.shape[1]}\n" + "\n".join(rows) + "\n")
    return path


def labels_of(done: subprocess.CompletedProcess) -> tuple[list[str], list[float]]:
    """The labels and confidences that the program printed."""
    assert done.returncode == 0, done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    return [label for label, _ in lines], [float(confidence) for _, confidence in lines]
