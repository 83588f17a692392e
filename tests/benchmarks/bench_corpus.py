"""Reads damaged files and counts, kind by kind, what came of them, as JSON lines.

python tests/benchmarks/bench_corpus.py --inputs=3000

Each input is made by code (tests/corpus/damaged_inputs.py) and read both held and streamed, in a
process that may crash. `others` is to be 0: whatever is neither an error in four parts nor the same
sound counts by both ways. The last line counts all.
"""

from __future__ import annotations

import json
import sys
from collections import Counter

from absl import app, flags
from main_job import ROOT

sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "corpus")]

flags.DEFINE_integer("inputs", 300, "Damaged inputs, of all kinds together.", lower_bound=1)


def main(_) -> None:
    """A line a kind."""
    from damaged_inputs import KINDS
    from judge import counted, judge_all

    found, told = counted(judge_all(-(-flags.FLAGS.inputs // len(KINDS))))
    for text in told:
        print(text, file=sys.stderr)
    for kind, numbers in found.items():
        print(json.dumps({"kind": kind, "inputs": numbers.total(), **numbers}), flush=True)
    everything = sum(found.values(), Counter())
    print(json.dumps({"kind": "all", "inputs": everything.total(), "others": 0, **everything}))


if __name__ == "__main__":
    app.run(main)
