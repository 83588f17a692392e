"""Processes that train together over the loopback."""

from __future__ import annotations

import json
import socket
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
import train
from forked import fork

PATIENCE = 300  # seconds: far more than a worker needs on a busy machine


class Members:
    """Starts members of a team and waits for them."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.started: list[tuple[BaseProcess, Path]] = []

    def start(self, *settings: str, config: dict | None = None) -> None:
        """Starts ``train.py`` in a process; `config` becomes ``TF_CONFIG``."""
        output = self.folder / f"{len(self.started)}.txt"
        given = self.folder, train.settings_of(settings), json.dumps(config), output
        process = fork(train.member, *given)
        self.started.append((process, output))

    def start_workers(self, *settings: str, own: tuple[list[str], ...] = ([], [])) -> None:
        """Starts two workers, each with the common settings and some of its own."""
        hosts = [f"localhost:{port}" for port in free_ports(2)]
        for index, more in enumerate(own):
            task = {"type": "worker", "index": index}
            config = {"cluster": {"worker": hosts}, "task": task}
            self.start('strategy="multi_worker"', "cores=1", *settings, *more, config=config)

    def wait(self) -> list[tuple[int, str]]:
        """Exit code and output of each, in the order in which they were started."""
        ended = []
        for process, output in self.started:
            process.join(PATIENCE)
            process.kill()  # if it still runs
            process.join()
            ended.append((process.exitcode, output.read_text(encoding="utf-8")))
        self.started = []
        return ended

    def results(self, worker: int = 0) -> dict:
        """What a member has written."""
        with np.load(self.folder / f"{worker}.npz") as file:
            found = {name: file[name] for name in file.files}
        return found | {"steps": json.loads(str(found["steps"]))}


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("localhost", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="session")
def members(tmp_path_factory):
    """A function: members that share a new folder."""
    return lambda: Members(tmp_path_factory.mktemp("team"))
