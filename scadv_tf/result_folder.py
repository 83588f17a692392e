"""The folder of a run's results: whether it can be written to, and what it holds already."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterable
from pathlib import Path

from scadv_tf.config import SECTIONS, DataConfig
from scadv_tf.data.datasets import INPUTS
from scadv_tf.data.several_files import paths_of
from scadv_tf.errors import InputError
from scadv_tf.files import at_home, same_file, unwritable
from scadv_tf.results import CONFIG, FILES, REPORT

logger = logging.getLogger(__name__)


def check_writable(folder: Path) -> None:
    """Fails before any work if results could not be written.

    Raises
    ------
    InputError : nothing can be written there.
    """
    if why := unwritable(folder):
        raise not_writable(folder, why)


def not_writable(folder: Path, why: str) -> InputError:
    """That results cannot be written there."""
    return InputError(
        what="Results cannot be written there.",
        expected="a folder that may be written to, or one that can be made",
        received=f"{folder} ({why})",
        advice="Give another --output_dir or --export_dir.",
    )


def check_what_stands(data: DataConfig, folder: Path) -> None:
    """Fails if results would take the place of anything but those of a former run.

    Where that run was of other cells, a line says that its results go.

    Raises
    ------
    InputError : an input has the path of a result, or a file that is none does.
    """
    results = [folder / name for name in (*FILES, REPORT)]
    for setting in INPUTS:
        given = getattr(data, setting)
        for path in paths_of(given) if given else ():
            if any(same_file(path, result) for result in results):
                raise _in_the_way(
                    "The results would take the place of an input.",
                    "inputs that are called otherwise than the results, or lie elsewhere",
                    f"--{setting}={given}, in the folder of the results, {folder}",
                )
    former = former_results(folder, (*FILES, REPORT), CONFIG, SECTIONS)
    if former is None or not isinstance(former["data"], dict):
        return
    other = [
        name
        for name in ("dataset", *INPUTS)
        if _places(former["data"].get(name)) != _places(getattr(data, name))
    ]
    if other:
        logger.warning(
            "%s holds the results of a run with another %s: this run's take their place; to keep "
            "them, stop it and give another --output_dir, or a name by --dataset",
            folder,
            " and ".join(f"--{name}" for name in other),
        )


def former_results(
    folder: Path, files: Iterable[str], sign: str, keys: Iterable[str]
) -> dict | None:
    """The JSON file by which former results are known; None where nothing stands in their place.

    Parameters
    ----------
    files : that results are written to.
    sign, keys : the one of them by which they are known, and what it holds.

    Raises
    ------
    InputError : such files are there, and are none of ours.
    """
    content = None
    with contextlib.suppress(OSError, ValueError):
        content = json.loads((folder / sign).read_text(encoding="utf-8"))
    if isinstance(content, dict) and content.keys() >= {*keys}:
        return content
    foreign = [name for name in files if (folder / name).is_file()]
    if foreign:
        raise _in_the_way(
            "The results would take the place of other files.",
            "an empty or new folder, or that of former results of the same command",
            f"{folder}, which holds {', '.join(foreign)}, and no {sign} of such results",
        )
    return None


def _places(given: object) -> list[Path]:
    """Where the files of a setting lie, however they are called."""
    return [at_home(path).resolve() for path in paths_of(str(given))] if given else []


def _in_the_way(what: str, expected: str, received: str) -> InputError:
    return InputError(
        what=what, expected=expected, received=received, advice="Give another --output_dir."
    )
