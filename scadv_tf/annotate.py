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
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from scadv_tf import console, signals
from scadv_tf import flags as scadv_flags
from scadv_tf.config import DataConfig
from scadv_tf.errors import InputError
from scadv_tf.files import at_home, same_file, unwritable
from scadv_tf.folders import made_folder, scratch_folder
from scadv_tf.naming import ATAC
from scadv_tf.settings import Checked, option, option_of, require

if TYPE_CHECKING:
    import numpy as np

    from scadv_tf.client.exported import ExportedModel
    from scadv_tf.client.input_columns import InputColumns
    from scadv_tf.data.annotated_files import AnnotatedH5ad, AnnotatedTable
    from scadv_tf.data.answers import CellAnswers
    from scadv_tf.data.cell_files import CellFile
    from scadv_tf.evaluation.diagnosis import Diagnosis

logger = logging.getLogger("scadv_tf.annotate")  # __name__ is __main__ here

OUTPUTS = (".h5ad", ".csv")


@dataclass(frozen=True)
class AnnotateConfig(Checked):
    """What to annotate with what."""

    model: str = option("", "Folder of an export, or of its versions: the newest is taken.")
    input: str = option(
        "",
        "New cells: .h5ad, .h5mu, .zarr, 10x .h5, or an mtx folder, raw counts; of ATAC also "
        "fragments.tsv, gzipped or not, which are counted in the peaks of the training.",
    )
    modality: str = option("", "What the cells are: rna or atac.")
    output: str = option("", "File to write, .h5ad or .csv; an older one is replaced.")
    layer: str = option("", "Where the counts are: raw, or a layer; default: X.")
    genome_group: str = option_of(DataConfig, "genome_group")
    barcodes: str = option("", "List of the cells among the barcodes of fragments, as in training.")
    min_fragments: int = option_of(DataConfig, "min_fragments")
    batch_key: str = option(
        "",
        "Column of the cells' obs that names their donor, lane or technology, of a model that "
        "was trained with such a column; a name that it does not know is not corrected for.",
    )
    batch_size: int = option(1000, "Cells to read at a time.", minimum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("model", "input", "modality", "output"):
            require(
                bool(getattr(self, name)),
                f"--{name} is missing.",
                "--model=DIR --input=FILE --modality=rna|atac --output=FILE",
                f"no --{name}",
            )
        require(
            self.modality in ("rna", "atac"),
            "There is no such modality.",
            "--modality=rna or --modality=atac",
            f"--modality={self.modality}",
        )


@dataclass
class Summary:
    """What was found in how many cells; seconds to start, and to annotate.

    Attributes
    ----------
    modality, columns : of the cells.
    query : what those that are not RNA are called.
    unknown, empty, unsure : cells that resemble no type, among them those without data; and cells
        with data whose label has a low confidence.
    """

    modality: str
    columns: InputColumns
    query: str = ATAC
    cells: int = 0
    unknown: int = 0
    empty: int = 0
    unsure: int = 0
    types: Counter = field(default_factory=Counter)
    start: float = 0.0
    seconds: float = 0.0

    def add(self, answers: CellAnswers) -> None:
        """Counts some more cells."""
        from scadv_tf.evaluation.findings import LOW_CONFIDENCE

        self.cells += len(answers.latent)
        unknown, probabilities = answers.unknown, answers.probabilities
        if answers.label is None or unknown is None or probabilities is None:
            unknown = empty = ~answers.latent[:].any(axis=1)
        else:
            # Nothing but a cell without data is of any type alike.
            empty = (answers.confidence == probabilities.min(axis=1)) & unknown
            self.unsure += int((~empty & (answers.confidence < LOW_CONFIDENCE)).sum())
            self.types.update(answers.label.tolist())
        self.unknown += int(unknown.sum())
        self.empty += int(empty.sum())

    def lines(self) -> list[str]:
        """For the user."""
        from scadv_tf.evaluation.diagnosis import line_of

        lines = [f"{self.cells:,} cells in {self.seconds:.1f} s, after {self.start:.1f} s to start"]
        if not self.types and self.cells > self.empty:
            lines.append("The model was taught no types: there are latent vectors, and no labels")
        if self.types:
            share = 100 * self.unknown / self.cells
            lines.append(f"{self.unknown:,} of them ({share:.1f} %) resemble no known type")
        if self.empty:
            lines.append(self._of_empty())
        width = max(map(len, self.types), default=0)
        for name, number in self.types.most_common():
            lines.append(f"  {name:{width}s} {number:9,d} {100 * number / self.cells:6.1f} %")
        return [*lines, line_of(self.diagnosis().to_dict())]

    def diagnosis(self) -> Diagnosis:
        """Whether to trust that."""
        from scadv_tf.evaluation.diagnosis import diagnose_new_cells

        return diagnose_new_cells(
            self.modality,
            self.cells,
            empty=self.empty,
            unknown=self.unknown - self.empty,
            unsure=self.unsure,
            matched_how=self.columns.matched_how,
            query=self.query,
            better_genome=self.columns.better_genome,
            missing=self.columns.missing,
            unlike=self.columns.unlike,
        )

    def _of_empty(self) -> str:
        from scadv_tf.data.emptiness import MANY, UNFILTERED

        text = f"{self.empty:,} of them are empty or nearly empty, and "
        text += "unknown for that" if self.types else "have a latent vector of 0"
        return f"{text}; {UNFILTERED}" if self.empty > MANY * self.cells else text


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


def summary_and_batches(
    source: CellFile, model: ExportedModel, modality: str, batch_key: str, flag: str
) -> tuple[Summary, np.ndarray | None]:
    """A summary of no cells yet, and the batch of each cell as from `batches_asked`.

    Parameters
    ----------
    source : open.
    batch_key, flag : column of the batches, '' for none, and what asks for it.

    Raises
    ------
    InputError : the model cannot answer for such cells.
    """
    from scadv_tf.client.batches import batches_asked
    from scadv_tf.client.new_cells import checked_columns

    columns = checked_columns(source, modality, model)
    batches = batches_asked(source.table, model.assets, modality, batch_key, flag)
    return Summary(modality, columns, model.measure.name), batches


def answer_all(
    source: CellFile,
    model: ExportedModel,
    summary: Summary,
    batches: np.ndarray | None,
    at_once: int,
    take: Callable[[np.ndarray, CellAnswers], object],
) -> None:
    """Asks a model about all cells, `at_once` at a time, and counts its answers.

    Parameters
    ----------
    summary, batches : as from `summary_and_batches`.
    take : gets the names of some cells and the answers for them.
    """
    from scadv_tf.client.new_cells import answers_of
    from scadv_tf.progress import CellProgress

    asked = summary.modality, at_once, batches
    with CellProgress(source.cells, "annotating") as progress:
        for names, answers in answers_of(source, summary.columns, model, *asked):
            take(names, answers)
            summary.add(answers)
            progress.update(len(names))


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
        if isinstance(error, RuntimeError) and "errno" not in str(error):
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
