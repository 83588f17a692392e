"""Known faults of the installed packages, where the service that knows of them can be reached.

They are told as warnings in pytest's summary and fail nothing: bounds are loose and nothing is
pinned, so that a new environment has the mended version by itself, and what an advisory of today
says of somebody else's package is no fault of the change that is tested.
"""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import sys
import sysconfig
import threading
import time
import warnings
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

import scadv_tf

SETTINGS = Path(scadv_tf.__file__).parents[1] / "setup.cfg"
SERVICE = "https://api.osv.dev/v1/query"
PATIENCE = 4.0  # seconds to find out whether it is there, whatever the network does
FAULT = {
    "id": "MADE-UP-1",
    "affected": [
        {
            "package": {"name": "requests", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9999.1"}]}],
        }
    ],
}


def audit(service: str) -> dict[str, list[str]]:
    """Installed package -> a line on each of its known faults."""
    command = [
        *(sys.executable, "-m", "pip_audit", "--path", sysconfig.get_path("purelib")),
        *("--vulnerability-service", "osv", "--osv-url", service),
        *("--format", "json", "--progress-spinner", "off", "--timeout", "5"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    if done.returncode not in (0, 1):  # 1: faults were found
        raise ConnectionError(done.stderr[-500:])
    return {
        _plain(package["name"]): [
            f"{package['name']} {package['version']} has the known fault {fault['id']}, mended in "
            + (", ".join(fault["fix_versions"]) or "no version yet")
            for fault in package.get("vulns", ())
        ]
        for package in json.loads(done.stdout)["dependencies"]
        if "version" in package
    }


def answers(service: str, patience: float = PATIENCE) -> bool:
    """Whether a service says anything in time; to look up its name alone may take longer."""
    said = []

    def ask() -> None:
        try:
            said.append(requests.post(service, json={}, timeout=patience).status_code)
        except requests.RequestException:
            pass

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(patience)
    return bool(said)


def required() -> set[str]:
    """The packages that this one needs."""
    settings = configparser.ConfigParser()
    settings.read(SETTINGS)
    lines = settings["options"]["install_requires"].split()
    return {_plain(re.match(r"[\w.-]+", line)[0]) for line in lines}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@contextmanager
def served(handler: type[BaseHTTPRequestHandler]):
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()


class Knowing(BaseHTTPRequestHandler):
    """Knows one fault, of requests."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known = asked.get("package", {}).get("name") == "requests"
        content = json.dumps({"vulns": [FAULT]} if known else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


class Silent(Knowing):
    """Takes a request and never answers."""

    def do_POST(self):
        time.sleep(10)


@pytest.mark.slow
def test_known_faults_of_the_installed_packages_are_told():
    if not answers(SERVICE):
        pytest.skip(f"{SERVICE}, which knows the faults of packages, cannot be reached")
    try:
        found = audit(SERVICE)
    except (ConnectionError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"{SERVICE} was there, and then did not answer: {error}")
    assert required() <= found.keys()
    for line in (line for lines in found.values() for line in lines):
        warnings.warn(line, stacklevel=1)


@pytest.mark.slow
def test_a_fault_that_a_service_knows_is_found_and_no_other():
    with served(Knowing) as service:
        assert answers(service)
        found = audit(service)
    (line,) = found.pop("requests")
    assert "MADE-UP-1" in line and "9999.1" in line
    assert not any(found.values())
    assert required() - {"requests"} <= found.keys()


@pytest.mark.slow
def test_a_service_that_is_silent_or_away_is_not_waited_for():
    start = time.monotonic()
    with served(Silent) as service:
        assert not answers(service, 0.5)
    assert not answers("http://127.0.0.1:1/v1/query")
    assert time.monotonic() - start < 2 + PATIENCE
