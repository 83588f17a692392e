"""Runs systems side by side on one data set: scores, table, pictures and a report.

python -m scadv_tf.compare --dataset=pbmc --systems=scadv,harmony,svm --seeds=3
python -m scadv_tf.compare --rna=RNA.h5ad --atac=ATAC.h5ad --label_key=cell_type --genome=hg38

Takes all flags of train_main.py too. Rows that are finished are kept in <output_dir>/rows, so an
interrupted comparison goes on where it was.
"""

from __future__ import annotations

import sys

from absl import flags

from scadv_tf import config, console, systems
from scadv_tf import flags as scadv_flags
from scadv_tf.systems import ComparisonConfig

INTERRUPTED = 130


def main() -> None:
    """Flags to configuration to run; exit code 1 if every system failed."""
    settings = scadv_flags.to_config()
    chosen = ComparisonConfig(**scadv_flags.section_values(ComparisonConfig))
    from scadv_tf import comparison  # after the flags have been checked: it takes seconds

    try:
        content = comparison.run(settings, chosen)
    except KeyboardInterrupt:
        print("interrupted: the same command goes on after the finished rows", file=sys.stderr)
        sys.exit(INTERRUPTED)
    if all(row["error"] is not None for row in content["rows"]):
        print("error: every system failed, see above", file=sys.stderr)
        sys.exit(1)


def _define_flags() -> None:
    scadv_flags.define()
    scadv_flags.define_section(ComparisonConfig)
    flags.FLAGS["output_dir"].help = "Folder of the results; default: runs/<dataset>_comparison."
    for name in ("export_dir", "tensorboard"):
        flags.FLAGS[name].help = "Not used by a comparison."
    for module in (config, systems):
        flags.adopt_module_key_flags(sys.modules[module.__name__])


if __name__ == "__main__":
    _define_flags()
    console.run_app(main)
