"""What speaks against a run, in plain language: how bad it is, and what to do about it.

No label of an ATAC cell is looked at but the predicted ones. The thresholds are conventions of this
project, not laws; each has its reason, and docs/trust.md the numbers of real and of spoilt data.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from scadv_tf.data.genome_fit import BetterGenome
from scadv_tf.data.measures import ACCESSIBILITY, KINDS, Kind
from scadv_tf.data.paired_labels import RARE_TYPE_CELLS
from scadv_tf.evaluation.data_findings import (
    depth_findings,
    empty_findings,
    genome_findings,
    label_findings,
    name_findings,
    repeated_findings,
    value_findings,
)
from scadv_tf.evaluation.depth import DepthByType
from scadv_tf.evaluation.finding import (
    AMBER,
    COMMON_SHARE,
    FEW_CELLS,
    NOTE,
    RED,
    Finding,
    by_level,
    joined,
)
from scadv_tf.evaluation.labelled_cells import Labels, as_text, coded
from scadv_tf.evaluation.left_out import LeftOut
from scadv_tf.evaluation.marker_findings import marker_findings
from scadv_tf.evaluation.markers import MarkerCheck
from scadv_tf.naming import ATAC

# chance gives 1; below half of that, most neighbours are of the cell's own modality.
POOR_MIXING = 0.5
# Rousseeuw's rule of thumb for a silhouette: up to 0.25 there is no substantial structure.
SEPARATED_MODALITIES = 0.25
# A known report of modalities that would not mix came down to 267 shared genes.
FEW_SHARED_GENES = 500
# A label that is sure by less than one half is, if calibrated, more likely wrong than right.
LOW_CONFIDENCE = 0.5
# Some doubtful cells are in every set; a quarter is more than filtering should have to remove.
MANY_UNSURE_CELLS = 0.25
# Where most cells are none of the types, the labels of the others are of little use.
MOSTLY_UNKNOWN = 0.5
# Shares of one tissue differ between donors and assays; threefold is beyond what we let pass.
SHARE_FOLD = 3.0
# Fine types of one kind are often called by another's name; in a fifth of the cells is too much.
LEAST_AGREEMENT = 0.8
# Someone who keeps cells above 0.8 would then get 65 % right instead of 80 %.
POOR_CALIBRATION = 0.15
_NO_TYPE = re.compile(
    r"(?i)doublet|multiplet|low[\W_]*quality|unassigned|undefined|ambiguous|debris|ambient|"
    r"contamina|art[ei]fact|\bdying\b|\bdead\b"
)
# What reading the data told in these words, and is told here with its advice.
TOLD = (
    "are empty or nearly empty",
    "match only when upper and lower case are taken as one",
    f"types with fewer than {RARE_TYPE_CELLS} RNA cells",
)


UNTAUGHT = [
    Finding(
        AMBER,
        "No types were taught: shared genes alone tie RNA and ATAC cells, and no label was "
        "checked. That they mix, the maps of the latent vectors bring about by themselves.",
        "Check marker genes before you read a cluster as one type, and give RNA labels if there "
        "are any.",
    )
]


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a run is judged by; what is not given is not judged.

    Attributes
    ----------
    metrics : the content of metrics.json; modality_mixing, silhouette_modality and agreement are
        looked at.
    matching : the account of what matched; shared_genes and matched_how are looked at.
    rna_labels : [R] types of the RNA cells; None where none were taught, as in the unsupervised
        mode.
    predicted : [A] types given to the ATAC cells, at the level of the RNA types.
    confidence, unknown : [A] of those, in [0, 1]; whether they resemble no type.
    markers : of the same cells.
    depths : what the cells of a modality are called -> depth of its types, given or called.
    empty : modality -> how many cells have no data, and of how many.
    repeated : share of the ATAC cells that have the very counts of another one.
    untaught : whether no types were taught.
    left_out : RNA cells that were not learned from; None where nothing told.
    rna_likeness : of RNA cells to their nearest, see `likeness_of_nearest`, where their values are
        no whole numbers; None of counts.
    """

    metrics: Mapping
    matching: Mapping
    rna_labels: Labels | None = None
    predicted: Labels | None = None
    confidence: np.ndarray | None = None
    unknown: np.ndarray | None = None
    markers: MarkerCheck | None = None
    depths: Mapping[str, DepthByType] = field(default_factory=dict)
    empty: Mapping[str, tuple[int, int]] | None = None
    repeated: float = 0.0
    untaught: bool = False
    left_out: LeftOut | None = None
    rna_likeness: float | None = None


def findings(seen: Evidence) -> list[Finding]:
    """All that looks doubtful in a run, the worst first."""
    metrics, matching, rna_labels = seen.metrics, seen.matching, seen.rna_labels
    found = name_findings(matching.get("matched_how") or {}) + empty_findings(seen.empty or {})
    better = matching.get("better_genome")
    found += genome_findings(BetterGenome(**better) if better else None)
    found += label_findings(seen.left_out)
    found += _gene_findings(matching) + value_findings(seen.rna_likeness)
    found += UNTAUGHT * seen.untaught
    labels = {"RNA": rna_labels, "ATAC": seen.predicted}
    cells = {name: len(given) for name, given in labels.items() if given is not None}
    if seen.markers is not None:
        found += marker_findings(seen.markers, _kind(matching), *cells.values())
    found += _size_findings(cells) + repeated_findings(seen.repeated)
    found += _space_findings(metrics, rna_labels is not None)
    if rna_labels is not None:
        nuclear = not _kind(matching).in_genes
        found += _type_findings(as_text(rna_labels), seen.predicted, nuclear)
    for modality, depth in seen.depths.items():
        found += depth_findings(modality, depth)
    found += _agreement_findings(metrics.get("agreement") or {})
    low = None if seen.confidence is None else np.asarray(seen.confidence, float) < LOW_CONFIDENCE
    found += cell_findings(_share(low), _share(seen.unknown))
    return by_level(finding.called(matching.get("query", ATAC)) for finding in found)


def untold_by_findings(warnings: Iterable[str]) -> list[str]:
    """Those of the warnings of reading the data that no finding repeats."""
    return [text for text in warnings if not any(part in text for part in TOLD)]


def calibration_warning(error: float | None) -> list[str]:
    """Of the calibration error, which known ATAC labels tell: a score, and part of no diagnosis."""
    if error is None or error <= POOR_CALIBRATION:
        return []
    return [
        f"The confidence is off by {error:.2f} on average. Use it to rank cells, not as the "
        "probability that a label is right."
    ]


def cell_findings(unsure: float, unknown: float) -> list[Finding]:
    """Of the share of cells with a label of low confidence, and of those that resemble no type."""
    found = []
    if unknown > MANY_UNSURE_CELLS:
        level = RED if unknown > MOSTLY_UNKNOWN else AMBER
        text = f"{unknown:.0%} of the cells resemble no type that was taught."
        advice = "Check tissue and species. If both fit, they are of types that the RNA cells lack."
        found.append(Finding(level, text, advice))
    if unsure > MANY_UNSURE_CELLS:
        text = f"{unsure:.0%} of the cells have a label with a confidence below {LOW_CONFIDENCE}."
        advice = (
            "Leave these cells out of what follows, or group the RNA types more coarsely. Types "
            "that the RNA data lacks also look like this."
        )
        found.append(Finding(AMBER, text, advice))
    return found


def _share(flags: np.ndarray | None) -> float:
    """Of the cells, 0 without any."""
    return 0.0 if flags is None or not len(flags) else float(np.mean(flags))


def _gene_findings(matching: Mapping) -> list[Finding]:
    genes = matching.get("shared_genes")
    if genes is None or genes >= FEW_SHARED_GENES:
        return []
    text = (
        f"Only {genes:,} genes are shared by the two modalities; {FEW_SHARED_GENES} or more are "
        "advisable."
    )
    advice = (
        "Check that the genome fits the peaks, that both files use the same kind of gene names, "
        "and that the files were not cut down to few genes."
    )
    if _kind(matching).in_genes:
        advice = (
            "A panel tells apart the types that its genes mark, and no others: check those that it "
            "has no marker of, and group those that it cannot tell."
        )
    return [Finding(AMBER, text, advice)]


def _size_findings(cells: Mapping[str, int]) -> list[Finding]:
    """Of modalities with few cells."""
    few = [f"{number:,} {name}" for name, number in cells.items() if 0 < number < FEW_CELLS]
    if not few:
        return []
    text = (
        f"There are only {joined(few)} cells: below {FEW_CELLS}, labels hang on which cells were "
        "drawn, and confidences may be far too high."
    )
    advice = "Take more cells, or group the RNA types more coarsely and check marker genes by hand."
    return [Finding(AMBER, text, advice)]


def _kind(matching: Mapping) -> Kind:
    return KINDS[matching.get("kind", ACCESSIBILITY)]


def _space_findings(metrics: Mapping, labelled: bool) -> list[Finding]:
    mixing, apart = metrics.get("modality_mixing"), metrics.get("silhouette_modality")
    found = []
    if mixing is not None and mixing < POOR_MIXING:
        text = (
            f"RNA and ATAC cells mix poorly: a cell has {mixing:.0%} of the neighbours of the "
            "other modality that chance would give. "
            f"{'Labels can still be right, but do' if labelled else 'Do'} not read distances "
            "between modalities."
        )
        advice = (
            "Check that both samples are of the same tissue and genome, and that --align_latent "
            "was not turned off. Beyond that, "
            f"{'a higher --centroid, or ' if labelled else ''}averaging over fewer --neighbors "
            f"mixes them more{'' if labelled else ', and so do RNA labels, where you have them'}."
        )
        found.append(Finding(AMBER, text, advice))
    if apart is not None and apart > SEPARATED_MODALITIES:
        text = (
            f"RNA and ATAC cells form separate groups in the latent space (silhouette {apart:.2f}; "
            "0 or less is good)."
        )
        advice = (
            "Look at the UMAP by modality before you use the integrated cells"
            f"{' for anything but labels' if labelled else ''}."
        )
        found.append(Finding(AMBER, text, advice))
    return found


def _type_findings(
    rna_labels: np.ndarray, predicted: Labels | None, nuclear: bool
) -> list[Finding]:
    rna_cells = _count(rna_labels)
    found = []
    if rare := [name for name, cells in rna_cells.items() if cells < RARE_TYPE_CELLS]:
        text = (
            f"Fewer than {RARE_TYPE_CELLS} RNA cells are of type {joined(rare, 'or')}: too few to "
            "learn from."
        )
        advice = "Merge these types into related ones, drop them, or check their labels by hand."
        found.append(Finding(NOTE, text, advice))
    if named := [name for name in rna_cells if _NO_TYPE.search(name)]:
        text = (
            f"By their names, RNA cells called {joined(named, 'or')} are of no type: ATAC cells "
            "are called so for what they are like, surely and wrongly."
        )
        advice = f"Leave them out: --drop_types={','.join(named)}."
        found.append(Finding(AMBER, text, advice))
    if predicted is None or not len(predicted):
        return found
    atac_cells = _count(as_text(predicted))
    if not (rna_cells and atac_cells):
        return found
    found += _absence_findings(rna_cells, atac_cells, nuclear)
    return found + _share_findings(rna_cells, atac_cells)


def _is_common(cells: Mapping[str, int], name: str) -> bool:
    return cells.get(name, 0) >= COMMON_SHARE * sum(cells.values())


def _absence_findings(
    rna_cells: Mapping[str, int], atac_cells: Mapping[str, int], nuclear: bool
) -> list[Finding]:
    """Of the rarer RNA types that no ATAC cell was given; the shares of common ones tell."""
    missed = [n for n in rna_cells if n not in atac_cells and not _is_common(rna_cells, n)]
    if not missed:
        return []
    text = f"No ATAC cell was labelled {joined(missed, 'or')}."
    for_example = " (platelets and red cells have no nucleus)" if nuclear else ""
    advice = (
        f"This is right if the ATAC sample lacks them{for_example}; if not, look for their "
        "marker genes among the ATAC cells."
    )
    return [Finding(NOTE, text, advice)]


def _share_findings(rna_cells: Mapping[str, int], atac_cells: Mapping[str, int]) -> list[Finding]:
    """Of the common types whose share differs very much between the modalities."""
    differing = []
    for name in rna_cells.keys() | atac_cells.keys():
        if not (_is_common(rna_cells, name) or _is_common(atac_cells, name)):
            continue
        shares = [cells.get(name, 0) / sum(cells.values()) for cells in (rna_cells, atac_cells)]
        if max(shares) > SHARE_FOLD * min(shares):
            rna_share, atac_share = shares
            atac = f"{atac_share:.1%} of ATAC cells" if atac_share else "no ATAC cell"
            differing.append(f"{name} ({rna_share:.1%} of RNA, {atac})")
    if not differing:
        return []
    text = (
        f"The share of some types differs more than {SHARE_FOLD:.0f}-fold between the modalities: "
        f"{joined(sorted(differing))}."
    )
    advice = (
        "This is right if the samples differ so; if not, treat these labels with care and check "
        "their marker genes; cells of a type that got none may be among those of a near one."
    )
    return [Finding(AMBER, text, advice)]


def _agreement_findings(agreement: Mapping[str, float]) -> list[Finding]:
    """Of other ways to the labels, where they come to other types."""
    names = {
        "linear": "a linear classifier of the same features",
        "svm": "an SVM on the latent vectors",
        "knn": "the nearest RNA cells",
    }
    doubted = [
        f"{names[route]} on {1 - share:.0%}"
        for route, share in agreement.items()
        if route in names and share < LEAST_AGREEMENT
    ]
    if not doubted:
        return []
    text = (
        f"Other ways to the labels come to another type: {joined(doubted)} of the ATAC cells. One "
        "of them is wrong there."
    )
    advice = (
        "Check marker genes before you use their labels (a run's predictions.csv has a column of "
        "each way)."
    )
    return [Finding(AMBER, text, advice)]


def _count(labels: np.ndarray) -> dict[str, int]:
    names, (codes,) = coded(labels)
    cells = np.bincount(codes, minlength=len(names))
    return {name: int(n) for name, n in zip(names, cells, strict=True) if name != ""}
