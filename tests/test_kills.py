"""Runs that are killed anywhere and go on: the same results to the last bit, and nothing left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from forked import finished

PROGRAM = Path(__file__).parent / "benchmarks" / "bench_kills.py"
KILLS = 20


@pytest.mark.slow
def test_kills_change_nothing_and_leave_nothing():
    words = f"--kills={KILLS}", "--again=0.95"
    done = finished(PROGRAM.parent, *words, program=PROGRAM, timeout=1200)
    assert done.returncode == 0, done.stderr[-3000:]
    training, annotation = map(json.loads, done.stdout.splitlines())
    for found in (training, annotation):
        assert found["SIGKILL"] + found["SIGTERM"] == found["kills"] > 0
        assert found["differences"] == found["leftovers"] == found["others"] == 0, done.stderr
        assert found["finished"] >= 1 and sum(found["stages"].values()) == found["kills"]
    assert training["kills"] + annotation["kills"] == KILLS
    assert len(training["stages"]) >= 3  # they were spread
