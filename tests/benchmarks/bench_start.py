"""How long users wait: seconds of --help, and of the main job to its first step, as JSON lines.

python tests/benchmarks/bench_start.py --dataset=pbmc

Each run is a fresh process; numbers are medians. Takes --runs (5) and every flag of train_main.py.
Where the time of the main job goes:
`program` until it reads (Python, the package, what reading needs), `read`, `start` (the import of
TensorFlow), `preprocess`, `build` (the model and the pipeline), `trace` (functions are made into
graphs, and the first step). `imports` says what the libraries' imports cost within these parts, in
the order of the main job; each counts only what those before it have not imported already.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from statistics import median

from absl import flags
from main_job import PROGRAM, ROOT, run_app

sys.path.insert(0, str(ROOT))

from scadv_tf.progress import FIRST_STEP, MODEL_BUILT  # noqa: E402

PROGRAMS = {
    "train_main.py": [str(PROGRAM)],
    "scadv_tf.compare": ["-m", "scadv_tf.compare"],
    "scadv_tf.annotate": ["-m", "scadv_tf.annotate"],
}
LIBRARIES = (
    "numpy scipy.sparse pandas scadv_tf.training anndata tensorflow keras "
    "scadv_tf.fitting sklearn.neighbors pynndescent tensorflow_probability"
).split()  # in the order of the main job
TIMED_IMPORTS = """
import importlib, json, sys, time
seconds = {}
for name in sys.argv[1:]:
    start = time.perf_counter()
    importlib.import_module(name)
    seconds[name] = time.perf_counter() - start
print(json.dumps(seconds))
"""


def help_seconds(program: list[str]) -> float:
    """Seconds of --help."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *program, "--help"], cwd=ROOT, capture_output=True)
    if b"--helpfull" not in done.stdout:
        sys.exit(f"{program}: {done.stderr.decode()[-2000:]}")
    return time.perf_counter() - start


def first_step(arguments: Sequence[str], folder: str) -> dict[str, float]:
    """Seconds of the parts of the main job until its first step is done; then it is ended."""
    places = [f"--output_dir={folder}/run", f"--export_dir={folder}/exports", "--verbosity=1"]
    command = [sys.executable, PROGRAM, *arguments, *places]
    start = time.perf_counter()
    parts, said, built = {}, [], None
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as job:
        for line in job.stderr:
            passed = time.perf_counter() - start
            said.append(line)
            if stage := re.search(r"stage (\w+): (\S+) s", line):
                name, seconds = stage[1], float(stage[2])
                if not parts:
                    parts["program"] = passed - seconds
                parts[name] = seconds
            elif MODEL_BUILT in line:
                built = passed
                parts["build"] = passed - sum(parts.values())
            elif FIRST_STEP in line:
                job.kill()
                return {"total": passed, **parts, "trace": passed - built}
    sys.exit("".join(said[-20:]))


def import_seconds() -> dict[str, float]:
    """Library -> seconds of its import."""
    command = [sys.executable, "-c", TIMED_IMPORTS, *flags.FLAGS.libraries]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def medians(rows: list[dict[str, float]]) -> dict[str, float]:
    """The median of each number."""
    return {name: round(median(row[name] for row in rows), 3) for name in rows[0]}


def main(arguments: list[str]) -> None:
    """Prints a line a program, one of the first step, one of the imports."""
    runs = flags.FLAGS.runs
    for name, program in PROGRAMS.items():
        seconds = median(help_seconds(program) for _ in range(runs))
        print(
            json.dumps({"what": "help", "program": name, "seconds": round(seconds, 3)}), flush=True
        )
    with tempfile.TemporaryDirectory() as folder:
        parts = medians([first_step(arguments, folder) for _ in range(runs)])
    print(
        json.dumps({"what": "first_step", "seconds": parts.pop("total"), "parts": parts}),
        flush=True,
    )
    modules = medians([import_seconds() for _ in range(runs)])
    total = round(sum(modules.values()), 3)
    print(json.dumps({"what": "imports", "seconds": total, "modules": modules}))


if __name__ == "__main__":
    flags.DEFINE_integer("runs", 5, "Runs of each.", lower_bound=1)
    flags.DEFINE_list("libraries", LIBRARIES, "Modules whose imports are timed, in this order.")
    run_app(main)
