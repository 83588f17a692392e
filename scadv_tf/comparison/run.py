"""Systems side by side on one prepared input: rows run one by one, are kept, and are set out."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

from scadv_tf.comparison.fingerprint import digest_of, fingerprint_of
from scadv_tf.comparison.results import REPORT, write_comparison
from scadv_tf.comparison.rows import RowRunner, failed_row
from scadv_tf.comparison.store import Row, RowStore
from scadv_tf.comparison.summary import summarize
from scadv_tf.comparison.systems import SYSTEMS, ComparisonConfig, settings_of
from scadv_tf.comparison.table import comparison_table
from scadv_tf.comparison.time_to_quality import time_lines, time_to_exceed
from scadv_tf.config import RunConfig
from scadv_tf.data.cell_blocks import TAUGHT_CELLS
from scadv_tf.data.labels import HEADLINE
from scadv_tf.data.measures import Measure
from scadv_tf.data.pairing import AtacTruth, PairedData
from scadv_tf.errors import InputError
from scadv_tf.files import at_home
from scadv_tf.folders import made_folder, one_run
from scadv_tf.naming import query_called
from scadv_tf.progress import Stages
from scadv_tf.result_folder import check_writable, former_results
from scadv_tf.results import versions, write_json
from scadv_tf.training import dataset_name, read_and_tell

RIVAL = "harmony"
COMPARISON = "comparison.json"
logger = logging.getLogger(__name__)


def run(config: RunConfig, chosen: ComparisonConfig) -> dict:
    """Runs each system at each seed and writes what came of it.

    The input is read once, at the first seed, and preprocessed once a seed as the main job does.
    A system in which nothing is random runs at the first seed only.

    Returns
    -------
    The content of ``comparison.json``. A row that failed says why in its ``error``.

    Raises
    ------
    InputError : the input or a setting is unfit for all systems.
    """
    if not config.training.supervised:
        raise InputError(
            what="A comparison is of label transfer, and the unsupervised mode transfers none.",
            expected="--mode=semi_supervised",
            received=f"--mode={config.training.mode}",
            advice="Leave --mode out; for one joint embedding without labels use train_main.py.",
        )
    name = dataset_name(config.data)
    folder = at_home(config.output.output_dir or Path("runs") / f"{name}_comparison")
    check_writable(folder)
    # Refuses a folder with such files of others; rows of a former comparison are taken up.
    former_results(folder, (REPORT, COMPARISON), COMPARISON, ("systems", "rows"))
    seeds = [at_seed(config, config.training.seed + i) for i in range(chosen.seeds)]
    query = Measure.of(config.data).name
    with query_called(query):
        data, truth = read_and_tell(all_held(config), None, Stages())
        if truth is None or not truth.known:
            logger.warning(
                "the ATAC cells have no known labels: all systems are run, and none is scored; "
                "--atac_label_key or --atac_labels names them"
            )
    with made_folder(folder), one_run(folder), query_called(query):
        # The report says 'done': it goes first and comes last.
        (folder / REPORT).unlink(missing_ok=True)
        rows, content = run_rows(data, truth, chosen, seeds, folder)
        report = write_comparison(folder, content, rows, data, truth)
    for line in comparison_table(content["rows"], content["systems"]):
        print(line)
    for rival, found in content["time_to_exceed"].items():
        for line in time_lines(found, rival):
            print(line)
    logger.info("report: %s", report)
    return content


def all_held(config: RunConfig) -> RunConfig:
    """The same settings with all cells in memory, where the other systems need them."""
    return dataclasses.replace(config, data=dataclasses.replace(config.data, memory_cells=0))


def at_seed(config: RunConfig, seed: int) -> RunConfig:
    """The same settings at another seed."""
    return dataclasses.replace(config, training=dataclasses.replace(config.training, seed=seed))


def first_seed_only(chosen: ComparisonConfig, data: PairedData) -> list[str]:
    """The systems in which nothing is random, nor in what they are given.

    Preprocessing draws cells by the seed where there are more than teach it.
    """
    drawn = max(len(data.rna_cells), len(data.atac_cells)) > TAUGHT_CELLS
    own = {name: SYSTEMS[name] for name in chosen.systems}
    return [n for n, system in own.items() if not system.seeded and (system.raw or not drawn)]


def plan_of(
    chosen: ComparisonConfig, seeds: list[RunConfig], once: list[str]
) -> list[tuple[str, RunConfig]]:
    """The rows in the order in which they run: all systems at a seed, then the next seed.

    Parameters
    ----------
    once : systems that run at the first seed only.
    """
    return [
        (system, config)
        for config in seeds
        for system in chosen.systems
        if system not in once or config is seeds[0]
    ]


def run_rows(
    data: PairedData,
    truth: AtacTruth | None,
    chosen: ComparisonConfig,
    seeds: list[RunConfig],
    folder: Path,
) -> tuple[list[Row], dict]:
    """Runs or takes up each row; ``comparison.json`` is written anew after each.

    Parameters
    ----------
    seeds : the configuration at each seed.

    Returns
    -------
    The rows in the order in which they ran, and the content of ``comparison.json``.
    """
    store, runner, digest = (
        RowStore(folder / "rows"),
        RowRunner(data, truth),
        digest_of(data, truth),
    )
    once = first_seed_only(chosen, data)
    plan = plan_of(chosen, seeds, once)
    if chosen.rerun:
        for system, config in plan:
            store.forget(system, config.training.seed)
    rows: list[Row] = []
    content: dict = {}
    for place, (system, config) in enumerate(plan, start=1):
        seed = config.training.seed
        logger.info("[%d/%d] %s, seed %d …", place, len(plan), system, seed)
        row, is_kept = run_row(system, config, store, runner, digest)
        logger.info("    %s%s", _in_short(row.content), " (kept)" if is_kept else "")
        rows.append(row)
        content = content_of(rows, seeds[0], chosen, once)
        write_json(folder / COMPARISON, content)
    return rows, content


def run_row(
    system: str, config: RunConfig, store: RowStore, runner: RowRunner, digest: str
) -> tuple[Row, bool]:
    """A row, run or taken up, and whether it was there already.

    Parameters
    ----------
    config : of the comparison at the row's seed.
    digest : of the runner's input, from `digest_of`.
    """
    try:
        settings = settings_of(system, config)
    except InputError as error:
        return failed_row(system, config.training.seed, str(error)), False
    fingerprint = fingerprint_of(system, settings, digest)
    kept = store.read(system, config.training.seed, fingerprint)
    if kept is not None:
        return kept, True
    row = runner.run(system, settings)
    row.content["fingerprint"] = fingerprint
    if row.content["error"] is None:
        store.write(row)
    return row, False


def _in_short(content: dict) -> str:
    """A row in a line."""
    if content["error"] is not None:
        return "failed: " + content["error"].replace("\n", "\n    ")
    scores = content[HEADLINE]
    parts = [] if scores is None else [f"macro F1 {scores['macro_f1']:.3f}"]
    if content["modality_mixing"] is not None:
        parts.append(f"mixing {content['modality_mixing']:.2f}")
    return ", ".join([*parts, f"{content['seconds']['total']:.0f} s"])


def content_of(
    rows: list[Row], config: RunConfig, chosen: ComparisonConfig, once: list[str]
) -> dict:
    """What ``comparison.json`` holds: rows by system and seed, and means over the seeds.

    Parameters
    ----------
    config : at the first seed.
    once : systems that run at that one only.
    """
    order = {system: place for place, system in enumerate(chosen.systems)}
    found = sorted(
        (row.content for row in rows), key=lambda row: (order[row["system"]], row["seed"])
    )
    first = config.training.seed
    return {
        "dataset": dataset_name(config.data),
        "systems": list(chosen.systems),
        "definitions": {system: SYSTEMS[system].sentence for system in chosen.systems},
        "seeds": list(range(first, first + chosen.seeds)),
        "first_seed_only": once,
        "config": config.to_dict(),
        "versions": versions(),
        "rows": found,
        "summary": summarize(found, chosen.systems),
        "time_to_exceed": {RIVAL: time_to_exceed(found, chosen.systems, RIVAL)},
    }
