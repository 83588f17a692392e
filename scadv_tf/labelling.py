"""New cells that an exported model labels: what is asked, and what was found in how many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scadv_tf.config import DataConfig
from scadv_tf.naming import ATAC
from scadv_tf.settings import Checked, option, option_of, require

if TYPE_CHECKING:
    import numpy as np

    from scadv_tf.client.exported import ExportedModel
    from scadv_tf.client.input_columns import InputColumns
    from scadv_tf.data.answers import CellAnswers
    from scadv_tf.data.cell_files import CellFile
    from scadv_tf.evaluation.diagnosis import Diagnosis


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
