"""Trains scadv_tf on a data set and writes scores, predictions, pictures, a report and an export.

python train_main.py --dataset=pbmc
python train_main.py --rna=RNA.h5ad --atac=ATAC.h5ad --label_key=cell_type --genome=hg38
python train_main.py --rna=RNA.h5ad --atac=ATAC.h5ad --genome=hg38 --mode=unsupervised
"""

from __future__ import annotations

from scadv_tf import console
from scadv_tf import flags as scadv_flags


def main() -> None:
    """Flags to configuration to run."""
    settings = scadv_flags.to_config()
    from scadv_tf import training  # after the flags have been checked: it takes seconds

    training.run(settings)


def start() -> None:
    """The whole program."""
    scadv_flags.define()
    console.run_app(main)


if __name__ == "__main__":
    start()
