"""Runs systems side by side on one data set: scores, table, pictures and a report.

python -m scadv_tf.compare --dataset=pbmc --systems=scadv,harmony,svm --seeds=3
python -m scadv_tf.compare --rna=RNA.h5ad --atac=ATAC.h5ad --label_key=cell_type --genome=hg38

Takes all flags of train_main.py too. Rows that are finished are kept in <output_dir>/rows, so an
interrupted comparison goes on where it was.
"""

from __future__ import annotations

import sys

from scadv_tf import console, signals
from scadv_tf import flags as scadv_flags
from scadv_tf.comparison.systems import ComparisonConfig

HELP = {
    "output_dir": "Folder of the results; default: runs/<dataset>_comparison.",
    "export_dir": "Not used by a comparison.",
    **dict.fromkeys(
        ("tensorboard", "strategy", "resume", "checkpoint_seconds"), "Not used by a comparison."
    ),
}


def main() -> None:
    """Flags to configuration to run; exit code 1 if every system failed."""
    settings = scadv_flags.to_config()
    chosen = scadv_flags.to_section(ComparisonConfig)
    from scadv_tf.comparison.run import run  # after the flags have been checked: it takes seconds

    with signals.noted(lambda: "The same command goes on after the finished rows."):
        content = run(settings, chosen)
    if all(row["error"] is not None for row in content["rows"]):
        print("error: every system failed, see above", file=sys.stderr)
        sys.exit(1)


def start() -> None:
    """The whole program."""
    scadv_flags.define(more=[ComparisonConfig], help_of=HELP)
    console.run_app(main)


if __name__ == "__main__":
    start()
