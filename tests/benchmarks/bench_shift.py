"""How systems stand perturbed data: a row a perturbation, system and seed, as JSON lines.

python tests/benchmarks/bench_shift.py --dataset=pbmc --systems=scadv,linear,harmony --seeds=3
python tests/benchmarks/bench_shift.py --rna=RNA.h5ad --atac=ATAC.h5ad --rows=none,cells_

The perturbations are those of `shifts.py`, each drawn anew at each seed, so that all systems run at
every seed. ATAC cells of a type that no RNA type stands for are left out; --novel keeps them as
cells without label, which disturb and do not count. Nor do those count whose RNA type vanished from
a sample. Macro F1 is the mean over the labels that ATAC has in that row.

A line a perturbation, system and seed, then one with the means of that perturbation. In
--output_dir (default: runs/<dataset>_shift) `shift.json` holds every score, `table.md` the means,
the worst case and the mean over the perturbations; finished rows are kept in `rows/`, so the same
command goes on where it was. --rows takes a part of the grid, by names or beginnings of names. In
place of the grid --lineages takes samples that lack a whole lineage, or are of one alone, and --odd
those of `odd_samples.py`, odd in other ways than composition: doublets, ambient counts, wrong RNA
labels, RNA types in parts, and depth that goes with the type.

Takes all flags of train_main.py. Each system runs in a process of its own, which costs some seconds
a row, or with --noapart in this one, by which no answer changes; the preparation is made once a
perturbation and seed, and counted for each system.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np  # noqa: E402
from absl import flags  # noqa: E402

from scadv_tf import console  # noqa: E402
from scadv_tf import flags as scadv_flags  # noqa: E402
from scadv_tf.comparison.systems import ComparisonConfig  # noqa: E402
from scadv_tf.errors import InputError  # noqa: E402

HELP = {
    "output_dir": "Folder of the results; default: runs/<dataset>_shift.",
    "export_dir": "Not used here.",
    "tensorboard": "Not used here.",
}

logger = logging.getLogger("scadv_tf.bench_shift")


def read(config):
    """The data and the known labels, which must be there; without the novel cells, if so asked."""
    import shifts

    from scadv_tf import training
    from scadv_tf.comparison.run import all_held

    data, truth = training.read(all_held(config))
    if truth is None or not config.training.supervised:
        raise InputError(
            what="Perturbations are scored by label transfer to ATAC cells of known types.",
            expected="known ATAC labels, and --mode=semi_supervised",
            received=f"{'no' if truth is None else 'some'} labels, --mode={config.training.mode}",
            advice="Give --atac_label_key=COLUMN, or a data set that has labels.",
        )
    if flags.FLAGS.novel:
        return data, truth
    kept = np.flatnonzero(~shifts.orphans(data, truth))
    logger.info("left out: %d ATAC cells of types that RNA lacks", len(truth.labels) - len(kept))
    return shifts.chosen_cells(data, truth, np.arange(len(data.rna_cells)), kept)


def chosen_shifts(found: list, wanted: Sequence[str]) -> list:
    """Perturbations whose names begin with one of the wanted words; all where none is wanted.

    Raises
    ------
    InputError : a word begins no name.
    """
    names = [shift.name for shift in found]
    unknown = [word for word in wanted if not any(name.startswith(word) for name in names)]
    if unknown:
        raise InputError(
            what="--rows names a perturbation that these data do not have.",
            expected="the beginning of one of: " + ", ".join(names),
            received=f"--rows={','.join(unknown)}",
            advice="Correct --rows, or leave it out for all.",
        )
    return [shift for shift in found if not wanted or shift.name.startswith(tuple(wanted))]


def rows_of(shift, data, truth, seeds: list, chosen: ComparisonConfig, folder: Path) -> Iterator:
    """The content of each row of one perturbation, all systems at a seed before the next."""
    from scadv_tf.comparison.rows import failed_row

    for config in seeds:
        seed = config.training.seed
        try:
            shifted = shift.apply(data, truth, seed)
        except InputError as error:
            for system in chosen.systems:
                yield {"row": shift.name} | failed_row(system, seed, str(error)).content
            continue
        told = {"row": shift.name} | account_of(data.types, *shifted)
        for content in rows_at_seed(shift.name, *shifted, config, chosen, folder):
            yield told | content


def account_of(all_types: tuple[str, ...], data, truth) -> dict:
    """What is left of the cells and the RNA types, a type in parts being left."""
    from odd_samples import type_of

    return {
        "rna_cells": len(data.rna_cells),
        "atac_cells": len(data.atac_cells),
        "atac_cells_scored": int(np.sum(truth.labels != "")),
        "types_gone": sorted(set(all_types) - {*data.types, *map(type_of, data.types)}),
    }


def run_here(function: Callable, *arguments: object, imports: Sequence[str] = ()):
    """As `run_apart`, in this process: without the seconds of a start, but its death is ours."""
    from scadv_tf.comparison.apart import Outcome, called

    start = time.perf_counter()
    for module in imports:
        importlib.import_module(module)
    outside = time.perf_counter() - start
    return Outcome(**called(function, arguments), outside_seconds=outside)


def rows_at_seed(name: str, data, truth, config, chosen, folder: Path) -> Iterator[dict]:
    """The content of each system's row on perturbed data, run or taken up."""
    from scadv_tf.comparison.apart import run_apart
    from scadv_tf.comparison.fingerprint import digest_of
    from scadv_tf.comparison.rows import RowRunner
    from scadv_tf.comparison.run import run_row
    from scadv_tf.comparison.store import RowStore

    store = RowStore(folder / "rows" / re.sub(r"[^\w.%+-]+", "_", name))
    place = run_apart if flags.FLAGS.apart else run_here
    runner, digest = RowRunner(data, truth, umap=False, place=place), digest_of(data, truth)
    for system in chosen.systems:
        if chosen.rerun:
            store.forget(system, config.training.seed)
        row, is_kept = run_row(system, config, store, runner, digest)
        logger.info("%s, %s, seed %d%s", name, system, row.content["seed"], " (kept)" * is_kept)
        yield row.content


def content_of(rows: list[dict], dataset: str, config, chosen: ComparisonConfig) -> dict:
    """What ``shift.json`` holds."""
    from shift_table import gap_of, means_of, summary_of

    from scadv_tf.results import versions

    means = means_of(rows, chosen.systems)
    summary = summary_of(means, chosen.systems)
    return {
        "dataset": dataset,
        "systems": list(chosen.systems),
        "seeds": chosen.seeds,
        "novel_cells_kept": flags.FLAGS.novel,
        "config": config.to_dict(),
        "versions": versions(),
        "rows": rows,
        "means": means,
        "summary": summary,
        "difference": {
            name: gap_of(scores["macro_f1"]) for name, scores in (means | summary).items()
        },
    }


def main() -> None:
    """Runs the grid and prints its lines; files are written anew after each perturbation."""
    config, chosen = scadv_flags.to_config(), scadv_flags.to_section(ComparisonConfig)
    from odd_samples import of_odd
    from shift_table import line_of, mean_line_of
    from shifts import grid, of_lineages

    from scadv_tf.comparison.run import at_seed
    from scadv_tf.result_folder import check_writable
    from scadv_tf.training import dataset_name

    dataset = dataset_name(config.data)
    folder = Path(config.output.output_dir or Path("runs") / f"{dataset}_shift")
    check_writable(folder)
    data, truth = read(config)
    seeds = [at_seed(config, config.training.seed + i) for i in range(chosen.seeds)]
    rows = []
    asked = [of_lineages] * flags.FLAGS.lineages + [of_odd] * flags.FLAGS.odd
    found = [shift for group in asked or [grid] for shift in group(data, truth)]
    for shift in chosen_shifts(found, flags.FLAGS.rows):
        for content in rows_of(shift, data, truth, seeds, chosen, folder):
            rows.append(content)
            print(json.dumps(line_of(content, dataset)), flush=True)
        print(json.dumps(mean_line_of(shift.name, rows, chosen.systems, dataset)), flush=True)
        table = write(folder, content_of(rows, dataset, config, chosen))
    print(table, file=sys.stderr)


def write(folder: Path, content: dict) -> str:
    """Writes both files; returns the table."""
    from shift_table import table_of

    from scadv_tf.files import write_whole
    from scadv_tf.results import write_json

    write_json(folder / "shift.json", content)
    table = "\n".join(table_of(content["rows"], content["systems"])) + "\n"
    write_whole(folder / "table.md", table.encode())
    return table


if __name__ == "__main__":
    scadv_flags.define(more=[ComparisonConfig], help_of=HELP)
    flags.DEFINE_list("rows", [], "Names of perturbations, or beginnings of names; default: all.")
    flags.DEFINE_bool("lineages", False, "Whole lineages missing or alone, in place of the grid.")
    flags.DEFINE_bool("odd", False, "Doublets, ambient counts, wrong labels …, not the grid.")
    flags.DEFINE_bool("apart", True, "Run each system in a process of its own.")
    flags.DEFINE_bool("novel", False, "Keep ATAC cells of types that RNA lacks; they never count.")
    console.run_app(main)
