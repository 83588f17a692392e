"""What marker genes say against a run, see `scadv_tf.evaluation.markers`."""

from __future__ import annotations

import numpy as np
import pandas as pd

from scadv_tf.data.measures import ACCESSIBILITY, KINDS, Kind
from scadv_tf.data.paired_labels import RARE_TYPE_CELLS
from scadv_tf.evaluation.finding import AMBER, COMMON_SHARE, FEW_CELLS, NOTE, RED, Finding, joined
from scadv_tf.evaluation.markers import MarkerCheck
from scadv_tf.not_none import not_none

# Deviations by which marker genes go together more than random genes do: up to 2.5 with shuffled
# names of real pairs (4.2 in a small simulated tissue), and to 3.6 where no type is shared; 14 and
# more on real pairs, 5 and more with few cells or counts.
UNRELATED_MARKERS, WEAK_MARKERS = 4.0, 8.0
# Of fewer genes than this most are markers of some type, and random ones of their abundance are so
# too. Of 60 and 108 random genes of pbmc, rightly named, markers go together by -0.8 to 4.0
# deviations, differences are by 0.66 to 2.9 those of types, and the mean is liker by up to 0.37: as
# with shuffled names.
FEW_GENES = 200
# They do not tell where the cells are of one type: then nothing varies that could go together.
ONE_TYPE = 0.9
# Spearman's correlation of abundances over its deviation by chance, 1 / sqrt(genes): below 2 with
# shuffled names, 5 and more on real pairs, 3 with a hundred cells.
UNRELATED_GENES = 2.5
# Abundances of RNA beside RNA agree by 0.98, beside gene activity by 0.14 to 0.68.
AS_RNA = 0.9
# By so much what tells called types apart is what tells RNA types apart: 0.88 and more on real
# pairs and their perturbations, 0.83 and less on most pairs without a common type or near
# relatives. Of few cells it may be anything.
UNRELATED_DIFFERENCES, WEAK_DIFFERENCES = 0.8, 0.85
# Where markers go together as clearly as this, differences alone are no reason for red: up to 13
# deviations where no type is shared.
STRONG_MARKERS = 15.0
# From here on they speak for markers that are too weak to tell: 0.945 and more of real pairs with
# markers at chance, 0.88 and less where no type is shared.
SURE_DIFFERENCES = 0.94
# The mean of all ATAC cells is by so much liker to a single type than to the types that they were
# called: up to 0.07 on real pairs, their perturbations and such that lack a lineage, 0.14 and more
# of most samples of sorted cells whose labels are nearly all wrong. Of few genes it may be by
# chance.
LIKER, FAR_LIKER, LIKER_DEVIATIONS = 0.08, 0.12, 5
# Of seven real pairs as they are none, of their perturbations (97 rows) up to 0.04, but where some
# 35 odd cells of pbmc are many, and of five with under 0.75 of the labels right; 0.08 to 0.29 where
# RNA lacks the B cells or monocytes of bone marrow (docs/trust.md).
UNMARKED_SHARE = 0.05
# An area of one half is chance; two deviations below .5 is a type whose cells lack its markers.
CHANCE_AUROC, SURE_DEVIATIONS = 0.5, 2.0


def marker_findings(check: MarkerCheck, kind: Kind, *cells: int) -> list[Finding]:
    """Of marker genes that do not go together, or are not active in the cells called so.

    Parameters
    ----------
    kind : of what the ATAC cells' numbers are.
    cells : numbers of cells of the modalities.
    """
    unrelated = check.abundance * np.sqrt(check.genes) < UNRELATED_GENES
    names = (
        "Check the gene names of the ATAC side, that --genome is that of its peaks, and that the "
        "columns of the matrix are in the order of the names."
    )
    if kind.in_genes:
        names = names.replace(", that --genome is that of its peaks,", "")
    if kind.panel:  # of which neither abundances nor random genes tell anything
        return [] if check.by_type is None else _called_findings(check.by_type)
    if check.coactivity is None or check.by_type is None:
        text = (
            "Genes that are abundant in RNA are not so in ATAC (Spearman's correlation "
            f"{check.abundance:.2f} over {check.genes:,} genes)."
        )
        return [Finding(AMBER, text, names)] if unrelated else []
    if check.genes < FEW_GENES:
        text = (
            f"Only {check.genes:,} genes are measured in both modalities: too few for marker genes "
            "to tell whether names and types fit."
        )
        advice = f"Check by hand that cells show the markers of the types they were called. {names}"
        return [Finding(AMBER, text, advice), *_called_findings(check.by_type)]
    found = _coactivity_findings(check, unrelated, names, min(cells))
    found += _difference_findings(check, min(cells)) + _mean_findings(check)
    found += _cluster_findings(check)
    if kind is KINDS[ACCESSIBILITY]:
        found += _rna_findings(check.abundance)
    return found + _called_findings(check.by_type)


def _rna_findings(abundance: float) -> list[Finding]:
    """Of accessibility that is as expression is."""
    if abundance <= AS_RNA:
        return []
    text = (
        "The same genes are abundant in ATAC as in RNA (Spearman's correlation "
        f"{abundance:.2f}; of real pairs up to 0.7): the ATAC cells seem to be RNA."
    )
    advice = (
        "Check which file --atac is. For RNA of another technology give --query_kind=expression."
    )
    return [Finding(AMBER, text, advice)]


def _coactivity_findings(
    check: MarkerCheck, unrelated: bool, names: str, cells: int
) -> list[Finding]:
    coactivity, by_type = not_none(check.coactivity), not_none(check.by_type)
    if coactivity >= WEAK_MARKERS:
        return []
    told = (
        f"{coactivity:.1f} standard deviations above random genes; below "
        f"{UNRELATED_MARKERS:.0f} is chance, sound pairs lie beyond {WEAK_MARKERS:.0f}"
    )
    if unrelated:
        text = (
            "Marker genes of the RNA types go together in the ATAC cells hardly more than random "
            f"genes do ({told}). Nor are the genes that are abundant in RNA so in ATAC (Spearman's "
            f"correlation {check.abundance:.2f}). Either the gene names do not fit, or the samples "
            "have no type in common."
        )
        return [Finding(RED, text, names)]
    if coactivity >= UNRELATED_MARKERS:
        text = f"Marker genes of the RNA types go together only weakly in the ATAC cells ({told})."
        advice = "Few cells or counts look like this, and types that few ATAC cells are of."
        return [Finding(AMBER, text, f"{advice} Check marker genes by hand before using a label.")]
    text = (
        "Marker genes of the RNA types go together in the ATAC cells no more than random genes do "
        f"({told})."
    )
    if cells < FEW_CELLS:
        text += f" But {cells:,} cells are too few to tell."
        return [Finding(AMBER, text, "Take more cells, or check marker genes by hand.")]
    between = check.between_types
    if between is not None and between >= SURE_DIFFERENCES:
        text += f" But types differ in them as RNA types do (by {between:.0%})."
        advice = "Few counts look like this. Check marker genes by hand before using a label."
        return [Finding(AMBER, text, advice)]
    called = by_type["cells"]
    if called.max() >= ONE_TYPE * called.sum():
        text += f" But nearly all cells were called {called.idxmax()}, and one type cannot tell."
        return [Finding(AMBER, text, "Check by hand that they show the marker genes of that type.")]
    text += (
        " Genes that are abundant in RNA are so in ATAC, so the names seem to fit, but the ATAC "
        "cells seem to be of none of the RNA types, or all of one."
    )
    return [Finding(RED, text, f"Check that both samples are of one tissue. {names}")]


def _difference_findings(check: MarkerCheck, cells: int) -> list[Finding]:
    """Of called types that differ by what varies within RNA types."""
    share = check.between_types
    if share is None or share >= WEAK_DIFFERENCES or cells < FEW_CELLS:
        return []
    text = (
        "What tells the ATAC cells of one called type from the others is in part what varies among "
        f"RNA cells of one type: by {share:.0%} it is what tells RNA types apart; below "
        f"{UNRELATED_DIFFERENCES:.0%} the ATAC cells seem to be of none of the RNA types, sound "
        f"pairs lie beyond {WEAK_DIFFERENCES:.0%}."
    )
    advice = (
        "Check that both samples are of one tissue, and that RNA has the types that you expect in "
        "ATAC."
    )
    weak = check.coactivity is None or check.coactivity < STRONG_MARKERS
    return [Finding(RED if share < UNRELATED_DIFFERENCES and weak else AMBER, text, advice)]


def _mean_findings(check: MarkerCheck) -> list[Finding]:
    """Of a type that all ATAC cells together are far liker to than to what they were called."""
    if check.likeness is None:
        return []
    by_type = not_none(check.by_type)
    liker = by_type["likeness"].max() - check.likeness
    if not liker >= max(LIKER, LIKER_DEVIATIONS / np.sqrt(check.genes)):
        return []
    best = by_type["likeness"].idxmax()
    share = by_type["cells"][best] / by_type["cells"].sum()
    text = (
        f"All ATAC cells together are most like {best} (a partial correlation over the genes of "
        f"{by_type['likeness'][best]:.2f}), which {share:.0%} of them were called, and less like "
        f"the types that they were called, in these shares ({check.likeness:.2f}); sound pairs lie "
        f"below a difference of {LIKER:.2f}, from {FAR_LIKER:.2f} on most labels were wrong."
    )
    advice = (
        f"If the sample is of {best} and its relatives, as sorted cells are, leave the types that "
        "it cannot have out of RNA (--drop_types), and run again."
    )
    return [Finding(RED if liker >= FAR_LIKER else AMBER, text, advice)]


def _cluster_findings(check: MarkerCheck) -> list[Finding]:
    """Of clusters of ATAC cells that show nothing of the type that they were called."""
    if check.unmarked is None or check.unmarked.share < UNMARKED_SHARE:
        return []
    names = not_none(check.by_type).index[[*check.unmarked.types]]
    text = (
        f"{check.unmarked.share:.0%} of the ATAC cells lie in clusters that show nothing of the "
        f"type that they were called ({joined(names)}), though other cells of that name may: these "
        "may be of a type that the RNA cells lack, or doublets."
    )
    advice = (
        "Colour the UMAP by these types' marker genes, and look up what marks the clusters without "
        "them. Give RNA cells of their type, or leave them out."
    )
    return [Finding(AMBER, text, advice)]


def _called_findings(by_type: pd.DataFrame) -> list[Finding]:
    """Of types whose markers are no more active in the cells called so than in the others."""
    least = CHANCE_AUROC + SURE_DEVIATIONS * auroc_deviation(by_type)
    many = by_type["cells"] >= RARE_TYPE_CELLS
    unmarked = by_type[many & (by_type["auroc"] < least)]
    if unmarked.empty:
        return []
    share = unmarked["cells"].sum() / by_type["cells"].sum()
    text = (
        f"In the ATAC cells called {joined(unmarked.index)} ({share:.0%} of all), the marker "
        "genes of that type are no more active than in the other cells."
    )
    advice = "Look at the dot plot of the marker genes before you use these labels."
    return [Finding(AMBER if share >= COMMON_SHARE else NOTE, text, advice)]


def auroc_deviation(by_type: pd.DataFrame) -> pd.Series:
    """Standard deviation of an area under the ROC curve of chance, [K], of Mann and Whitney."""
    called = by_type["cells"].clip(lower=1)
    others = (called.sum() - called).clip(lower=1)
    return np.sqrt((1 / called + 1 / others) / 12)
