"""The functions of a served model that others call, with their inputs checked."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from scadv_tf.client.assets import OF_BATCHES
from scadv_tf.modalities import MODALITIES
from scadv_tf.serving.checks import (
    checked_batches,
    checked_dense,
    checked_sparse,
    checked_standardised,
)
from scadv_tf.serving.served_model import ServedModel

DEFAULT = "serving_default"


def signatures(model: ServedModel) -> dict[str, Callable]:
    """Name -> function with a fixed input signature.

    * ``annotate_rna``, ``annotate_atac``, ``embed_rna``, ``embed_atac``, ``translate`` take
      ``counts``, float32 [cells, genes]; the first two only if types were taught, the last only if
      a generator was trained.
    * ``annotate_rna_sparse``, ``annotate_atac_sparse`` take the entries that are not zero:
      ``cell_index`` and ``gene_index``, int64 [N], ``count``, float32 [N], and
      ``number_of_cells``, an int64 scalar. Counts of the same cell and gene add up.
    * ``annotate_atac_peaks``, if the training had peaks, takes these and the open peaks of the same
      cells, ``peak_cell_index`` and ``peak_index``, int64 [M]; a pair may be given twice.
    * Each of these for a modality whose batches the training corrected for is there a second time,
      its name with ``_of_batches`` behind: it takes ``batch`` too, int64 [cells], the position of
      each cell's batch in the manifest's ``batches``, or -1 for a cell of another batch. The first
      one takes all cells for such.
    * ``rna``, ``atac`` and ``serving_default`` (the latter) take ``expression``, float32
      [cells, genes], preprocessed as in training, and give what `Readout` gives.

    Whatever else is given is refused with an error of what was expected, see
    `scadv_tf.serving.checks`.
    """
    # Traced once a modality, whatever form the counts come in.
    annotate = tf.function(model.annotate, autograph=False)
    found: dict[str, Callable] = {}
    for modality in MODALITIES:
        found |= _of_modality(model, annotate, modality)
        if batches := len(model.batches.get(modality, ())):
            with_batches = _of_modality(model, annotate, modality, batches)
            found |= {f"{name}{OF_BATCHES}": each for name, each in with_batches.items()}
    if model.translates:
        found["translate"] = _dense(model, model.translate)
    found |= {modality: _preprocessed(model, modality) for modality in MODALITIES}
    found[DEFAULT] = found["atac"]
    return found


def _of_modality(
    model: ServedModel, annotate: Callable, modality: str, batches: int = 0
) -> dict[str, Callable]:
    """The signatures for raw counts of a modality; those that take batches, of so many."""
    found = {f"embed_{modality}": _dense(model, model.embed, modality, batches=batches)}
    if model.type_names:
        found[f"annotate_{modality}"] = _dense(model, annotate, modality, batches=batches)
        found[f"annotate_{modality}_sparse"] = _sparse(model, annotate, modality, batches)
        if modality == "atac" and model.peaks:
            found["annotate_atac_peaks"] = _with_peaks(model, annotate, batches)
    return found


def _graph(specs: list[tf.TensorSpec]) -> Callable:
    # Nothing here branches on tensors, and autograph would take seconds to find that out.
    return tf.function(input_signature=specs, autograph=False)


def _batch(batches: int) -> list[tf.TensorSpec]:
    return [tf.TensorSpec((None,), tf.int64, "batch")] * bool(batches)


def _members(batch: tuple, cells: tf.Tensor, batches: int) -> dict:
    """The argument of the model that says of which batches the cells are; none without."""
    return {"members": checked_batches(batch[0], cells, batches)} if batches else {}


def _dense(model: ServedModel, method: Callable, *modality: str, batches: int = 0) -> Callable:
    # The width is free here, and checked with a message that says what it must be.
    @_graph([tf.TensorSpec((None, None), tf.float32, "counts"), *_batch(batches)])
    def signature(counts: tf.Tensor, *batch: tf.Tensor) -> dict:
        counts = checked_dense(counts, model.genes, _levels(model, *modality))
        return method(counts, *modality, **_members(batch, tf.shape(counts)[0], batches))

    return signature


def _entries(*names: str, values: bool) -> list[tf.TensorSpec]:
    specs = [tf.TensorSpec((None,), tf.int64, name) for name in names]
    return [*specs, tf.TensorSpec((None,), tf.float32, "count")] if values else specs


_NUMBER = tf.TensorSpec((), tf.int64, "number_of_cells")


def _sparse(model: ServedModel, annotate: Callable, modality: str, batches: int) -> Callable:
    @_graph([*_entries("cell_index", "gene_index", values=True), _NUMBER, *_batch(batches)])
    def signature(
        cell_index: tf.Tensor,
        gene_index: tf.Tensor,
        count: tf.Tensor,
        number_of_cells: tf.Tensor,
        *batch: tf.Tensor,
    ) -> dict:
        given = cell_index, gene_index, count, number_of_cells
        counts = _densified(model, *given, levels=_levels(model, modality))
        return annotate(counts, modality, **_members(batch, tf.shape(counts)[0], batches))

    return signature


def _with_peaks(model: ServedModel, annotate: Callable, batches: int) -> Callable:
    @_graph(
        [
            *_entries("cell_index", "gene_index", values=True),
            *_entries("peak_cell_index", "peak_index", values=False),
            _NUMBER,
            *_batch(batches),
        ]
    )
    def signature(
        cell_index: tf.Tensor,
        gene_index: tf.Tensor,
        count: tf.Tensor,
        peak_cell_index: tf.Tensor,
        peak_index: tf.Tensor,
        number_of_cells: tf.Tensor,
        *batch: tf.Tensor,
    ) -> dict:
        counts = _densified(model, cell_index, gene_index, count, number_of_cells)
        entries = peak_cell_index, peak_index, None, number_of_cells
        cells, peaks, _, number = checked_sparse(*entries, model.peaks, "peaks.txt")
        opened = _opened(cells, peaks, tf.stack([number, model.peaks]))
        members = _members(batch, tf.shape(counts)[0], batches)
        return annotate(counts, "atac", opened, **members)

    return signature


def _opened(cells: tf.Tensor, peaks: tf.Tensor, shape: tf.Tensor) -> tf.SparseTensor:
    """Ones at the open peaks of cells, in order, each once however often it was given."""
    ones = tf.ones_like(cells, dtype=tf.float32)
    opened = tf.sparse.reorder(tf.SparseTensor(tf.stack([cells, peaks], axis=1), ones, shape))
    places = opened.indices[:, 0] * shape[1] + opened.indices[:, 1]
    before = tf.pad(places, [[1, 0]], constant_values=-1)[:-1]
    return tf.sparse.retain(opened, places != before)


def _levels(model: ServedModel, modality: str = "rna") -> bool:
    """Whether the cells of a modality come as levels."""
    return model.measures[modality].is_levels


def _densified(
    model: ServedModel,
    cell_index: tf.Tensor,
    gene_index: tf.Tensor,
    count: tf.Tensor,
    number_of_cells: tf.Tensor,
    levels: bool = False,
) -> tf.Tensor:
    entries = cell_index, gene_index, count, number_of_cells
    cells, genes, values, number = checked_sparse(*entries, model.genes, "genes.txt")
    places, shape = tf.stack([cells, genes], axis=1), tf.stack([number, model.genes])
    counts = tf.reshape(tf.scatter_nd(places, values, shape), (-1, model.genes))
    return checked_dense(counts, model.genes, levels) if levels else counts


def _preprocessed(model: ServedModel, modality: str) -> Callable:
    @_graph([tf.TensorSpec((None, model.genes), tf.float32, "expression")])
    def signature(expression: tf.Tensor) -> dict:
        return model.encoded(checked_standardised(expression, model.genes), modality)

    return signature
