"""Processes that train together over the loopback."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).with_name("train.py")
PATIENCE = 300  # seconds: far more than a worker needs on a busy machine


class Members:
    """Starts members of a team and waits for them."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.processes: list[subprocess.Popen] = []

    def start(self, *settings: str, config: dict | None = None) -> None:
        """Starts ``train.py``; `config` becomes ``TF_CONFIG``."""
        environment = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"}
        if config is not None:
            environment["TF_CONFIG"] = json.dumps(config)
        command = [sys.executable, str(SCRIPT), str(self.folder), *settings]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        self.processes.append(subprocess.Popen(command, env=environment, **pipes))

    def start_workers(self, *settings: str, own: tuple[list[str], ...] = ([], [])) -> None:
        """Starts two workers, each with the common settings and some of its own."""
        hosts = [f"localhost:{port}" for port in free_ports(2)]
        for index, more in enumerate(own):
            task = {"type": "worker", "index": index}
            config = {"cluster": {"worker": hosts}, "task": task}
            self.start('strategy="multi_worker"', "cores=1", *settings, *more, config=config)

    def wait(self) -> list[tuple[int, str]]:
        """Exit code and output of each, in the order in which they were started."""
        try:
            outputs = [process.communicate(timeout=PATIENCE)[0] for process in self.processes]
        finally:
            for process in self.processes:
                process.kill()
        codes = [process.returncode for process in self.processes]
        self.processes = []
        return list(zip(codes, outputs, strict=True))

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
