"""What the end of a main job takes longest for, left out where a test does not look at it."""

from __future__ import annotations

from pathlib import Path

from pytest import MonkeyPatch


def without_pictures(patch: MonkeyPatch) -> None:
    """Whatever runs in this process draws none; their folder is there."""
    patch.setattr("scadv_tf.results.write_figures", _none)


def without_export(patch: MonkeyPatch) -> None:
    """Nor is its model exported."""
    patch.setattr("scadv_tf.serving.export.export", lambda *_: Path("not exported"))


def _none(folder: Path, results: object) -> list:
    folder.mkdir(exist_ok=True)
    return []
