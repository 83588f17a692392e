"""Labels and embeds new cells with an exported model, without training.

python -m scadv_tf.annotate --model=savedmodels/pbmc --input=rna.h5ad --modality=rna \\
  --output=annotated.h5ad

The input is an .h5ad, .h5mu, .zarr, 10x .h5 or a 10x folder with raw counts; its genes may come in
any order. Of ATAC, peaks, gene activity or fragments. Cells are read and written some at a time, so
that memory does not grow with their number. The output is an .h5ad (labels in obs, latent vectors
in obsm['X_scadv'], no counts) or, if its name ends so, a .csv (cell, label, confidence,
accepted_label, novelty, unknown); it appears whole or not at all.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from scadv_tf import console, signals
from scadv_tf import flags as scadv_flags
from scadv_tf.errors import InputError
from scadv_tf.files import at_home, same_file, unwritable
from scadv_tf.folders import made_folder, scratch_folder
from scadv_tf.labelling import AnnotateConfig, Summary, answer_all, summary_and_batches
from scadv_tf.refusals import is_full_disk
from scadv_tf.settings import require

if TYPE_CHECKING:
    from scadv_tf.client.exported import ExportedModel
    from scadv_tf.data.annotated_files import AnnotatedH5ad, AnnotatedTable
    from scadv_tf.data.cell_files import CellFile

logger = logging.getLogger("scadv_tf.annotate")  # __name__ is __main__ here

OUTPUTS = (".h5ad", ".csv")


def annotate_file(config: AnnotateConfig) -> Summary:
    """Annotates the cells of a file; see the head of this module.

    Raises
    ------
    InputError : the model, the input or the output is unfit; then nothing is written.
    """
    start = time.perf_counter()
    output = _checked_output(config)
    from scadv_tf.client.exported import ExportedModel
    from scadv_tf.client.input_columns import counting_of
    from scadv_tf.data.cell_files import open_cells
    from scadv_tf.data.stored_cells import Choices
    from scadv_tf.naming import query_called

    model = ExportedModel(config.model)
    logger.info("model: %s", model.folder)
    counting = counting_of(model.assets, config.barcodes, config.min_fragments)
    choices = Choices(counting, config.genome_group, model.measure)
    with (
        query_called(model.measure.name),
        _room_for(output) as scratch,
        open_cells(config.input, config.modality, config.layer, scratch, choices=choices) as source,
    ):
        logger.info("input: %s, %s cells", source.path, f"{source.cells:,}")
        asked = config.modality, config.batch_key, "--batch_key"
        summary, batches = summary_and_batches(source, model, *asked)
        logger.info("Starting TensorFlow …")
        model.load()
        ready = time.perf_counter()
        part = scratch / output.name
        with _told_of_the_disk(output):
            with _opened(part, source, model, config.modality) as file:
                answer_all(source, model, summary, batches, config.batch_size, file.write)
                file.note("diagnosis", summary.diagnosis().to_uns())
            os.replace(part, output)
    summary.start, summary.seconds = ready - start, time.perf_counter() - ready
    logger.info("output: %s", output)
    return summary


def _opened(
    path: Path, source: CellFile, model: ExportedModel, modality: str
) -> AnnotatedTable | AnnotatedH5ad:
    """The output, ready for answers."""
    from scadv_tf.data.annotated_files import AnnotatedH5ad, AnnotatedTable

    if path.suffix.casefold() == ".csv":
        return AnnotatedTable(path)
    notes = model.identity | {"modality": modality, "input": source.path.name}
    with source.readable():  # the table of cells is copied from there
        return AnnotatedH5ad(
            path, source.cells, model.types, model.latent_size, notes, source.stored.obs
        )


def _checked_output(config: AnnotateConfig) -> Path:
    """The path of the output; made sure of before any work."""
    output = at_home(config.output)
    require(
        output.suffix.casefold() in OUTPUTS,
        "The format of the output is not known.",
        f"--output=FILE that ends in {' or '.join(OUTPUTS)}",
        f"--output={config.output}",
    )
    same = any(same_file(output, given) for given in (config.input, config.barcodes) if given)
    if same or output.is_dir():
        raise InputError(
            what="The output is the input." if same else "The output is a folder.",
            expected="--output=FILE, another file than an input",
            received=f"--output={config.output}",
            advice="Give another --output.",
        )
    if why := unwritable(output.parent):
        raise _not_writable(output, why)
    return output


@contextlib.contextmanager
def _room_for(output: Path) -> Iterator[Path]:
    """A scratch folder beside the output, from where it gets its name once it is whole."""
    folder = output.absolute().parent
    with contextlib.ExitStack() as stack:
        with _told_of_the_disk(output):
            stack.enter_context(made_folder(folder))
            scratch = stack.enter_context(scratch_folder(folder))
        yield scratch


@contextlib.contextmanager
def _told_of_the_disk(output: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:  # HDF5 raises both on a full disk
        if isinstance(error, RuntimeError) and not is_full_disk(error):
            raise
        raise _not_writable(output, f"{type(error).__name__}: {error}") from error


def _not_writable(output: Path, received: str) -> InputError:
    return InputError(
        what="The output cannot be written.",
        expected="a folder with space in it that may be written to",
        received=f"{output} ({received})",
        advice="Give another --output.",
    )


def main() -> None:
    """Flags to annotation; the summary goes to the standard output."""
    config = scadv_flags.to_section(AnnotateConfig)
    with signals.noted(lambda: "Nothing was written."):
        summary = annotate_file(config)
    print("\n".join(summary.lines()))


def start() -> None:
    """The whole program."""
    scadv_flags.define_section(AnnotateConfig)
    console.run_app(main)


if __name__ == "__main__":
    start()
