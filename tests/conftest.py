"""The main program as users start it, and what is seen on a picture or a page."""

from __future__ import annotations

import functools
import gc
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import forked
import pytest
from in_process import run_here
from xdist.scheduler import LoadFileScheduling

from scadv_tf import train
from scadv_tf.client import exported

# Fixtures that start a process or train a model: tests that ask for one are slow.
SLOW_FIXTURES = {
    "train_main",
    "train_apart",
    "train",
    "run",
    "make_model",
    "pbmc",
    "members",
    "c_program_file",
}


# Each worker of pytest-xdist computes by one thread. There are three on two cores, since workers
# wait a quarter of their time, for processes that they started.
for library in ("OMP", "OPENBLAS"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

# All that is imported and collected lasts to the end: it is not looked through for garbage, neither
# meanwhile nor each time that some is looked for.
gc.disable()

# Folders whose files share what is made once in a process: a worker gets such a folder as a whole.
TOGETHER = ("tests/serving",)
# What takes longest starts first, so that all workers end together.
LONG = (*TOGETHER, "tests/test_site", "tests/team", "tests/test_", "tests/api", "tests/models")


def pytest_collection_modifyitems(items):
    """Marks the tests that get a slow fixture; others are marked where they stand."""
    for item in items:
        if SLOW_FIXTURES & set(item.fixturenames):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: not_before(item.nodeid))


def pytest_collection_finish():
    gc.freeze()
    gc.enable()


def pytest_sessionfinish():
    """Nor is it at the end, where pytest looks for it five times."""
    gc.freeze()


def not_before(nodeid: str) -> int:
    """The place of a test's folder in the order of the folders."""
    return next((i for i, start in enumerate(LONG) if nodeid.startswith(start)), len(LONG))


class Scheduling(LoadFileScheduling):
    """The tests of a file go to one worker, as do the files of a folder that share much."""

    def _split_scope(self, nodeid):
        file = super()._split_scope(nodeid)
        return next((folder for folder in TOGETHER if file.startswith(folder)), file)


def pytest_xdist_make_scheduler(config, log):
    return Scheduling(config, log)


@pytest.fixture(scope="session")
def train_main():
    """A function (folder, *arguments) -> finished process with stdout, stderr and returncode."""

    def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, str(forked.PROGRAM), *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=400,
        )

    return run


@pytest.fixture(scope="session")
def train_apart():
    """Like `train_main`, in a process that finds its libraries imported."""
    return forked.finished


@pytest.fixture(scope="session")
def train_here():
    """Like `train_main`, but in this process, where TensorFlow has started already."""
    return functools.partial(run_here, train.start)


@pytest.fixture(scope="module")
def loaded_once():
    """Each model is loaded once, which takes longer than a few cells."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exported, "ExportedModel", functools.cache(exported.ExportedModel))
        yield


class Page(HTMLParser):
    """Collect what the tests ask for: tags with their attributes, and the text."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if data.strip() and self.cdata_elem != "script":
            self.texts.append(data.strip())

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def legend_of():
    return lambda ax: [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.fixture
def texts_of():
    return lambda ax: [text.get_text() for text in ax.texts]


@pytest.fixture
def read_page():
    return lambda path: Page(Path(path).read_text("utf-8"))
