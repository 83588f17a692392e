"""An exported model asked about all cells of an open file, some at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from scadv_tf.client.input_columns import InputColumns, input_columns
from scadv_tf.data.cell_files import CellFile
from scadv_tf.data.sound_counts import looks_counted, looks_transformed
from scadv_tf.data.stored_matrices import StoredMatrix

if TYPE_CHECKING:
    from scadv_tf.client.assets import Assets
    from scadv_tf.client.exported import ExportedModel
    from scadv_tf.data.answers import CellAnswers

logger = logging.getLogger(__name__)

COUNTS, NO_COUNTS = "counts", "values that are no counts, as log-normalised ones"


def checked_columns(source: CellFile, modality: str, model: ExportedModel) -> InputColumns:
    """How the input's features become the model's; warns of values of another kind than trained.

    Raises
    ------
    InputError : see `input_columns`.
    """
    columns = input_columns(source.var, modality, model.assets)
    if source.stored.better_genome is not None:
        columns = replace(columns, better_genome=source.stored.better_genome)
    return replace(columns, unlike=unlike(model.assets, modality, source.stored.matrix))


def unlike(assets: Assets, modality: str, values: StoredMatrix) -> tuple[str, str] | None:
    """What the training's values were and these are, where they are of another kind; it is told."""
    trained_on_counts = assets.manifest.get("trained_on_counts", {}).get(modality)
    if trained_on_counts is None or (modality == "atac" and assets.measure.is_levels):
        return None
    if not (looks_transformed if trained_on_counts else looks_counted)(values):
        return None
    trained, given = (COUNTS, NO_COUNTS) if trained_on_counts else (NO_COUNTS, COUNTS)
    logger.warning(
        "the model was trained on %s, and the input has %s: give the former, such as by "
        "--layer, or the answers will be wrong",
        trained, given,
    )  # fmt: skip
    return trained, given


def answers_of(
    source: CellFile,
    columns: InputColumns,
    model: ExportedModel,
    modality: str,
    at_once: int,
    batches: np.ndarray | None = None,
) -> Iterator[tuple[np.ndarray, CellAnswers]]:
    """Names [n] of consecutive cells and what is said of them: `at_once` of all cells at a time.

    Of a model that knows no types, latent vectors alone.

    Parameters
    ----------
    batches : as from `batches_asked`.
    """
    start = 0
    for chunk in source.chunks(at_once):
        counts = columns.genes(chunk.counts)
        stop = start + counts.shape[0]
        of_chunk = None if batches is None else batches[start:stop]
        if model.types:
            peaks = columns.peaks(chunk.counts)
            answers = model.annotate(counts, modality, peaks, of_chunk)
        else:
            answers = model.embed(counts, modality, of_chunk)
        start = stop
        yield chunk.cells, answers
