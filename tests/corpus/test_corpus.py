"""A corpus of damaged inputs: each ends in a typed error or in the right result."""

from __future__ import annotations

import sys
from collections import Counter

import pytest
from damaged_inputs import KINDS
from judge import HERE, RIGHT, TYPED, counted, judge_all

EACH = 26  # damaged inputs of each kind


@pytest.mark.slow
def test_every_input_is_refused_in_four_parts_or_read_rightly():
    found, told = counted(judge_all(EACH))
    for kind, numbers in found.items():
        print(f"{kind:26s}", dict(numbers))
    assert not told
    assert found.keys() == KINDS.keys() and sum(map(Counter.total, found.values())) > 300
    for kind, numbers in found.items():  # the damages do damage, and what is sound is not refused
        assert numbers[TYPED] >= EACH // 10 and numbers[RIGHT] >= 1, kind


def test_a_crash_is_seen_and_the_next_inputs_are_judged(monkeypatch, tmp_path):
    program = tmp_path / "crashes.py"
    program.write_text(
        "import json, os, sys\n"
        "for number in range(int(sys.argv[2]), 4):\n"
        "    print(json.dumps([number, 'kind', number]), flush=True)\n"
        "    if number == 2: os.kill(os.getpid(), 11)\n"
        "    print(json.dumps('right result'), flush=True)\n"
    )
    monkeypatch.setattr(sys.modules["judge"], "HERE", program)
    monkeypatch.setattr(
        sys.modules["judge"], "order", lambda numbers: [("kind", i) for i in range(4)]
    )
    found, told = counted(judge_all(3))
    assert found == {"kind": {TYPED: 0, RIGHT: 3, "others": 1}}
    assert told == ["kind, number 2: the process ended with -11"] and HERE.exists()
