"""Can a run be trusted, which cells not, and what next: red, amber or green, with its reasons.

No known label of an ATAC cell is looked at: where there are some, scores tell more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from scadv_tf.data.genome_fit import BetterGenome
from scadv_tf.evaluation.data_findings import (
    empty_findings,
    genome_findings,
    input_findings,
    name_findings,
)
from scadv_tf.evaluation.depth import DepthByType
from scadv_tf.evaluation.finding import AMBER, NOTE, RED, Finding, by_level
from scadv_tf.evaluation.findings import LOW_CONFIDENCE, Evidence, cell_findings, findings
from scadv_tf.evaluation.labelled_cells import Labels, as_text, stratified_sample
from scadv_tf.evaluation.markers import MarkerCheck, check_markers
from scadv_tf.modalities import MODALITIES
from scadv_tf.naming import ATAC

if TYPE_CHECKING:
    from scadv_tf.data.pairing import PairedData

GREEN = "green"
SENTENCES = {
    RED: "Do not trust these results.",
    AMBER: "Use these results with care.",
    GREEN: "Nothing speaks against these results.",
}
SAMPLED_CELLS = 3_000  # of each modality tell what all tell of markers, in a second
ROUNDING = 4


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """How far a run can be trusted.

    Attributes
    ----------
    findings : what speaks against it, the worst first.
    cells : a row a type, of RNA cells or given to ATAC cells: ``cells``, and how many of them are
        ``unknown``, of ``low_confidence`` (and not unknown), and ``usable`` (neither); None without
        labels.
    empty : modality -> cells without data, and of how many.
    markers : what marker genes say; None where they were not looked at.
    """

    findings: Sequence[Finding]
    cells: pd.DataFrame | None = None
    empty: Mapping[str, tuple[int, int]] | None = None
    markers: MarkerCheck | None = None

    @property
    def color(self) -> str:
        """'red', 'amber' or 'green': of the worst finding that is no mere note."""
        return next((f.level for f in self.findings if f.level != NOTE), GREEN)

    @property
    def sentence(self) -> str:
        """The colour in words, and the first sentence of what it is for."""
        if self.color == GREEN:
            return SENTENCES[GREEN]
        worst = self.findings[0].text.partition(". ")[0].removesuffix(".")
        return f"{SENTENCES[self.color]} {worst}."

    @property
    def texts(self) -> list[str]:
        """Each finding with its advice, the worst first."""
        return [str(finding) for finding in self.findings]

    def to_dict(self) -> dict:
        """Plain values for JSON."""
        found = {
            "color": self.color,
            "sentence": self.sentence,
            "reasons": [vars(finding) for finding in self.findings],
            "empty_cells": {name: number for name, (number, _) in (self.empty or {}).items()},
        }
        if self.cells is not None:
            found["cells"] = self.cells.to_dict("index")
        return found | ({} if self.markers is None else {"markers": _plain(self.markers)})

    def to_uns(self) -> dict:
        """Values that an .h5ad can hold, with tables where there is a row a type."""
        found: dict[str, Any] = {
            "color": self.color,
            "sentence": self.sentence,
            "reasons": np.array(self.texts, dtype=object),
        }
        if self.cells is not None:
            found["cells"] = self.cells
        if self.markers is not None and self.markers.by_type is not None:
            found |= {"markers": self.markers.by_type, "marker_dots": self.markers.dots}
        return found


def line_of(diagnosis: Mapping) -> str:
    """What the log says, of `Diagnosis.to_dict`."""
    return f"diagnosis: {diagnosis['color'].upper()}. {diagnosis['sentence']}"


def _plain(check: MarkerCheck) -> dict:
    found: dict[str, Any] = {"genes": check.genes, "abundance": round(check.abundance, ROUNDING)}
    if check.by_type is None:
        return found
    rows = check.by_type.round(ROUNDING).astype(object).to_dict("index")
    by_type = {
        name: {key: None if pd.isna(value) else value for key, value in row.items()}
        for name, row in rows.items()
    }
    for name in ("coactivity", "between_types", "likeness"):
        value = getattr(check, name)
        found[name] = None if value is None else round(value, ROUNDING)
    if check.unmarked is not None:
        found["unmarked_share"] = round(check.unmarked.share, ROUNDING)
    return found | {"by_type": by_type}


def diagnose(seen: Evidence) -> Diagnosis:
    """Of a run."""
    cells = None
    if seen.predicted is not None and seen.confidence is not None and seen.unknown is not None:
        cells = usable_cells(seen.predicted, seen.confidence, seen.unknown)
        if seen.rna_labels is not None:
            types = pd.Index(np.unique(as_text(seen.rna_labels)), dtype=object)
            cells = cells.reindex(cells.index.append(types.difference([*cells.index, ""])))
            cells = cells.fillna(0).astype(int)
    return Diagnosis(findings(seen), cells, seen.empty, seen.markers)


def diagnose_new_cells(
    modality: str,
    cells: int,
    *,
    empty: int = 0,
    unknown: int = 0,
    unsure: int = 0,
    matched_how: Mapping[str, int] | None = None,
    query: str = ATAC,
    better_genome: BetterGenome | None = None,
    missing: float = 0.0,
    unlike: tuple[str, str] | None = None,
) -> Diagnosis:
    """Of cells that an exported model was asked about.

    Parameters
    ----------
    modality : 'rna' or 'atac'.
    cells, empty : how many there are, and without data.
    unknown, unsure : how many of the others resemble no type, and have a label of low confidence.
    matched_how : how the genes of the input were matched with the model's, see `GeneMatch`.
    query : what cells that are not RNA are called.
    better_genome : that their peaks or fragments are of, where the model's genes are of another.
    missing : share of the model's genes that the input lacks.
    unlike : what the training's values are and these, where they are of another kind.
    """
    counted, others = {modality: (empty, cells)}, max(1, cells - empty)
    found = name_findings(matched_how or {}) + empty_findings(counted)
    found += genome_findings(better_genome) + input_findings(missing, unlike)
    found += cell_findings(unsure / others, unknown / others)
    return Diagnosis(by_level(finding.called(query) for finding in found), empty=counted)


def empty_cells(everything: PairedData, with_data: PairedData) -> dict[str, tuple[int, int]]:
    """Modality -> how many cells have no data, and of how many."""
    found = {}
    for modality in MODALITIES:
        cells, kept = (len(data.cells(modality)) for data in (everything, with_data))
        found[modality] = cells - kept, cells
    return found


def usable_cells(predicted: Labels, confidence: np.ndarray, unknown: np.ndarray) -> pd.DataFrame:
    """How many cells of each given type are of use, and why the others are not, see `Diagnosis`."""
    low = ~unknown & (confidence < LOW_CONFIDENCE)
    flags = {"cells": True, "unknown": unknown, "low_confidence": low, "usable": ~unknown & ~low}
    table = pd.DataFrame(flags, index=range(len(predicted)))
    counts = table.groupby(np.asarray(predicted, dtype=object)).sum().astype(int)
    return counts.sort_values("cells", ascending=False, kind="stable").rename_axis(None)


def sampled_cells(
    data: PairedData, called: np.ndarray | None, seed: int
) -> tuple[MarkerCheck, dict[str, DepthByType], float]:
    """Markers, depths and repeats of random cells, each type in its own share, see `Evidence`.

    Parameters
    ----------
    data : of cells with data; its counts may be stored on disk.
    called : type codes of the ATAC cells [A]; None without types.
    """
    labels = data.rna_labels
    nothing = [np.zeros(len(names), dtype=int) for names in (data.rna_cells, data.atac_cells)]
    by = [nothing[0] if labels is None else labels, nothing[1] if called is None else called]
    chosen = [stratified_sample(codes, SAMPLED_CELLS, seed) for codes in by]
    rna, atac = data.rna[chosen[0]], data.atac[chosen[1]]
    check = partial(check_markers, rna, atac, data.genes, measure=data.measure)
    if called is None or labels is None:
        return check(), {}, _repeated(atac)
    given, called = labels[chosen[0]], called[chosen[1]]
    depths = {
        "RNA": DepthByType.of(rna, data.types, given),
        ATAC: DepthByType.of(atac, data.types, called),
    }
    peaks = None if data.peaks is None else data.peaks[chosen[1]]
    return check(data.types, given, called, seed, peaks=peaks), depths, _repeated(atac)


def _repeated(counts: sparse.csr_matrix) -> float:
    """Share of cells [N, G] that have the very counts of another one."""
    marks = counts @ np.random.default_rng(0).random(counts.shape[1])
    numbers = np.unique(marks, return_counts=True)[1]
    return float(numbers[numbers > 1].sum() / max(1, len(marks)))
