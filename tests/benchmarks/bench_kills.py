"""Kills runs anywhere, lets them go on, and compares what comes out to the last bit, as JSON.

python tests/benchmarks/bench_kills.py --kills=200

A tiny training with checkpoints, and a tiny annotation, are killed by SIGKILL or SIGTERM at random
moments: half of them after some seconds of computing, half just before some operation on a file.
Then the same command, a training with --resume, runs in the same folder, and may be killed again.
What finishes in the end is compared with a run that nothing disturbed. Printed are the kills by
signal and by stage; `differences` of results, `leftovers` in the folders, and `others`: runs that
ended otherwise than by their signal, such as with a traceback. All three are to be 0. An export
that was whole before the kill stays: `further_exports` counts them.

To start a process at once, this program imports everything and forks; TensorFlow has no threads
until it is first used. The UMAP, which compiles for seconds, is replaced by two columns, and of the
pictures one is drawn.
"""

from __future__ import annotations

import collections
import contextlib
import gc
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from absl import app, flags
from main_job import ROOT

sys.path.insert(0, str(ROOT))

import scadv_tf  # noqa: E402

flags.DEFINE_integer("kills", 20, "Kills of both jobs together.", lower_bound=1)
flags.DEFINE_float("annotations", 0.25, "Share of them that hits the annotation.")
flags.DEFINE_float("again", 0.8, "Share of the runs that go on which are killed too.")
flags.DEFINE_integer("moments", 0, "Seed of signals and moments.")
flags.DEFINE_string("keep", "", "Folder in which that of a run that differs is kept.")

# A small graph: most of what a run of so few cells takes is the tracing of functions.
TRAINING = (
    "--rna=rna.h5ad --atac=atac.h5ad --atac_label_key=cell_type --min_shared_genes=50 "
    "--epochs=4 --resume --variable_genes=80 --projection_size=8 --neighbors=1 --nobalance "
    "--centroid=0 --modality_adversarial=0 --encoder_sizes=4 --knn_neighbors=5 "
    "--checkpoint_seconds=0 --output_dir=run --export_dir=served/model"
).split()
ANNOTATION = "--model=model --input=rna.h5ad --modality=rna --output=answers.h5ad".split()
ANNOTATION += ["--batch_size=20"]
PATIENCE = 900.0  # seconds after which a run hangs
STAGES = {  # what is logged when they begin
    "Reading": "read",
    "Starting": "start",
    "Preprocessing": "preprocess",
    "Training": "train",
    "Going on": "train",
    "epoch": "train",
    "Transferring": "transfer",
    "Drawing": "umap",
    "Scoring": "score",
    "Exporting": "export",
    "Writing": "write",
    "report:": "end",
}
MEASURED = re.compile(r"seconds|memory_mb|resident_mb|export$")  # in metrics.json


class Job:
    """A command in a folder of its own.

    Parameters
    ----------
    start : the program.
    arguments : of the command line; paths are relative to the folder.
    given : files and folders that the folder holds at first.
    """

    def __init__(self, name: str, start: Callable[[], None], arguments, given: tuple[Path, ...]):
        self.name, self.start, self.arguments, self.given = name, start, arguments, given

    def new_folder(self, folder: Path) -> Path:
        """Fills the folder with what is given."""
        folder.mkdir()
        for path in self.given:
            copy = shutil.copytree if path.is_dir() else shutil.copy
            copy(path, folder / path.name)
        return folder

    def run(self, folder: Path, kill: tuple[int, str, float] | None = None) -> tuple[int, str, int]:
        """Runs it, maybe kills it; returns its exit code, what it said, its file operations.

        Parameters
        ----------
        kill : signal, and the moment: ('seconds', of computing) or ('operation', its number).
        """
        said, counted = folder.with_suffix(".log"), folder.with_suffix(".count")
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            self._in_child(folder, said, counted, kill)
        code = _ended(child, kill)
        operations = int(counted.read_text()) if counted.exists() else 0
        counted.unlink(missing_ok=True)
        return code, said.read_text(errors="replace"), operations

    def _in_child(self, folder: Path, said: Path, counted: Path, kill) -> None:
        """Never returns: above are the frames of the parent, which are not to be left here."""
        code = 70
        try:
            log = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.chdir(folder)
            operations = Operations(folder, kill)
            sys.argv = [self.name, *self.arguments]
            try:
                self.start()
            except SystemExit as end:
                code = end.code or 0
            counted.write_text(str(operations.done))
            sys.stderr.flush()
        finally:
            if code == 70:
                sys.excepthook(*sys.exc_info())
            os._exit(code)


class Operations:
    """Counts what Python does with files in a folder; a signal comes just before one of them."""

    def __init__(self, folder: Path, kill: tuple[int, str, float] | None):
        self.place, self.kill, self.done = str(folder) + os.sep, kill, 0
        sys.addaudithook(self.look)

    def look(self, event: str, arguments: tuple) -> None:
        """Called before each operation."""
        if event != "open" and not event.startswith(("os.", "shutil.", "tempfile.")):
            return
        paths = [os.fspath(one) for one in arguments if isinstance(one, (str, os.PathLike))]
        if not any(os.path.abspath(path).startswith(self.place) for path in paths):
            return
        self.done += 1
        if self.kill and self.kill[1:] == ("operation", self.done):
            os.kill(os.getpid(), self.kill[0])


def _ended(child: int, kill) -> int:
    """Waits for a process, and kills it in its time; its exit code, negative for a signal."""
    start, sent = time.monotonic(), False
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if kill and kill[1] == "seconds" and not sent and _computed(child) >= kill[2]:
            os.kill(child, kill[0])
            sent = True
        if time.monotonic() - start > PATIENCE:
            os.kill(child, signal.SIGABRT)
        time.sleep(0.005)


def _computed(process: int) -> float:
    """Seconds of processor time of a process so far: they depend little on other work."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def stage_of(said: str) -> str:
    """The stage that a run was in, by its log."""
    stage = "begin"
    for line in said.splitlines():
        stage = next(
            (name for start, name in STAGES.items() if line.strip().startswith(start)), stage
        )
    return stage


def digest(folder: Path) -> dict:
    """What a run must have made, to the last bit, without times and the number of the export."""
    found = {}
    if (folder / "run").exists():
        metrics = json.loads((folder / "run/metrics.json").read_text())
        found["metrics"] = {k: v for k, v in metrics.items() if not MEASURED.search(k)}
        found["predictions"] = (folder / "run/predictions.csv").read_bytes()
        rows = (folder / "run/history.csv").read_text().splitlines()
        timed = [name.endswith("seconds") for name in rows[0].split(",")]
        found["history"] = [
            [cell for cell, of_time in zip(row.split(","), timed, strict=True) if not of_time]
            for row in rows
        ]
        found |= of_hdf5(folder / "run/checkpoints/model.weights.h5", "weights")
        found |= of_hdf5(folder / "run/integrated.h5ad", "integrated")
        version = folder / metrics["export"]
        found |= {
            f"export/{path.relative_to(version)}": path.read_bytes()
            for path in version.rglob("*")
            if path.parent.name == "variables" or path.suffix == ".txt"
        }
    else:
        found |= of_hdf5(folder / "answers.h5ad", "answers")
    return found


def of_hdf5(path: Path, name: str) -> dict:
    """Name of each array -> its bytes."""
    import h5py
    import numpy as np

    found = {}

    def add(key, item):
        if isinstance(item, h5py.Dataset):
            value = np.asarray(item[()])
            found[f"{name}/{key}"] = (
                str(value.tolist()) if value.dtype == object else value.tobytes()
            )

    with h5py.File(path) as file:
        file.visititems(add)
    return found


def names(folder: Path) -> set[str]:
    """All files and folders, those of an export as if it had the version 1."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    return {re.sub(r"^served/model/\d+", "served/model/1", name) for name in found}


@dataclass(frozen=True)
class Undisturbed:
    """A run that nothing kills: its folder, its seconds of computing, its file operations."""

    folder: Path
    seconds: float
    operations: int

    @classmethod
    def of(cls, job: Job, place: Path) -> Undisturbed:
        """Runs the job; ends this program if it fails."""
        folder, start = job.new_folder(place / f"{job.name}_undisturbed"), os.times()
        code, said, operations = job.run(folder)
        if code:
            sys.exit(f"{job.name} ends with {code} by itself:\n{said}")
        end = os.times()
        seconds = end.children_user + end.children_system
        return cls(folder, seconds - start.children_user - start.children_system, operations)


def measure(
    job: Job, normal: Undisturbed, kills: int, place: Path, draw: random.Random, keep: str
) -> dict:
    """Kills a job so often; returns the counts."""
    expected, files = digest(normal.folder), names(normal.folder)
    found = dict.fromkeys(("kills", "SIGKILL", "SIGTERM", "finished"), 0)
    found |= dict.fromkeys(("differences", "leftovers", "others", "further_exports"), 0)
    stages, told = collections.Counter(), []
    folder = None
    while found["kills"] < kills or folder is not None:
        if folder is None:
            folder, first = job.new_folder(place / f"{job.name}_{found['finished']}"), True
        kill = None
        if found["kills"] < kills and (first or draw.random() < flags.FLAGS.again):
            number = draw.choice([signal.SIGKILL, signal.SIGTERM])
            by_seconds = draw.random() < 0.5
            if by_seconds:
                moment = draw.uniform(0, normal.seconds)
            else:
                moment = draw.randint(1, normal.operations)
            kill = number, "seconds" if by_seconds else "operation", moment
        first = False
        code, said, _ = job.run(folder, kill)
        if kill and code in (-kill[0], 128 + kill[0]):
            found["kills"] += 1
            found[kill[0].name] += 1
            stages[stage_of(said)] += 1
            continue
        if code:
            found["others"] += 1
            told.append(f"{kill} -> {code}: {said[-2000:]}")
        else:
            made, left = digest(folder), names(folder)
            differ = sorted(
                k for k in made.keys() | expected.keys() if made.get(k) != expected.get(k)
            )
            found["differences"] += bool(differ)
            found["leftovers"] += len(left ^ files)
            found["further_exports"] += len([*folder.glob("served/model/*")][1:])
            if differ or left != files:
                told.append(f"after {kill}: {differ[:9]} {sorted(left ^ files)[:9]}")
                if keep:
                    shutil.copytree(folder, Path(keep) / folder.name)
        found["finished"] += 1
        shutil.rmtree(folder)
        folder = None
    for text in told:
        print(text, file=sys.stderr)
    found |= {"stages": dict(stages), "seconds_of_one": round(normal.seconds, 1)}
    return {"job": job.name, **found}


def one_picture(folder: Path, results) -> list[tuple[str, Path]]:
    """In place of seven, which take longer than all other files together."""
    from matplotlib.figure import Figure

    from scadv_tf.evaluation.style import save

    figure = Figure(figsize=(2, 2))
    figure.add_subplot().plot(results.umap)
    save(figure, folder / "umap.png")
    return [("UMAP", folder / "umap.png")]


def import_all() -> None:
    """All that the jobs import, and what replaces what takes them longest."""
    from scadv_tf.libraries import quiet_start

    with quiet_start():
        import matplotlib.pyplot  # noqa: F401

        import scadv_tf.annotate
        import scadv_tf.client.exported
        import scadv_tf.fitting
        import scadv_tf.run_figures
        import scadv_tf.serving.export
        import scadv_tf.train
        import scadv_tf.training
    gc.freeze()  # or each process would look through it, and so copy it
    scadv_tf.training.umap_2d = lambda latent, seed, neighbors: latent[:, :2]
    scadv_tf.results.write_figures = one_picture


def write_cells(place: Path) -> tuple[Path, Path]:
    """Two files of cells of the same types, counts of genes: the RNA and the ATAC cells."""
    from scadv_tf.data.synthetic import simulate

    cells, _, _ = simulate(120, genes=100, types=3, difficulty=0)
    files = place / "rna.h5ad", place / "atac.h5ad"
    for path, part in zip(files, (cells[::2], cells[1::2]), strict=True):
        part.write_h5ad(path)
    return files


def jobs(place: Path) -> Iterator[tuple[Job, Undisturbed]]:
    """Both, each with a run of it. What the training exports is the model of the annotation."""
    rna, atac = write_cells(place)
    training = Job("training", scadv_tf.train.start, TRAINING, (rna, atac))
    normal = Undisturbed.of(training, place)
    yield training, normal
    given = normal.folder / "served/model", rna
    annotation = Job("annotation", scadv_tf.annotate.start, ANNOTATION, given)
    yield annotation, Undisturbed.of(annotation, place)


def main(_) -> None:
    """A line a job."""
    given = flags.FLAGS
    of_annotation = round(given.annotations * given.kills)
    draw, start = random.Random(given.moments), time.perf_counter()
    import_all()
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        numbers = given.kills - of_annotation, of_annotation
        for (job, normal), number in zip(jobs(place), numbers, strict=True):
            with contextlib.suppress(KeyboardInterrupt):
                line = measure(job, normal, number, place, draw, given.keep)
                line["seconds"] = round(time.perf_counter() - start, 1)
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    app.run(main)
