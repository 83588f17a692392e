"""What speaks against the cells that were given, whatever was made of them: names, values, depth.

See `scadv_tf.evaluation.findings` on the thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping

from scadv_tf.data.emptiness import MANY, UNFILTERED
from scadv_tf.data.gene_matching import MANY_MISSING
from scadv_tf.data.genome_fit import BetterGenome
from scadv_tf.evaluation.depth import DepthByType
from scadv_tf.evaluation.finding import AMBER, COMMON_SHARE, FEW_CELLS, NOTE, RED, Finding, joined
from scadv_tf.evaluation.left_out import LeftOut

# Half of the barcodes without data: no tissue gives that, an unfiltered matrix ten times as many.
MOSTLY_EMPTY = 0.5
# Up to 0.26 in RNA and 0.34 in ATAC on seven real pairs and their perturbations, from 0.44 on where
# a large type was given a fifth of its counts. 0.4 is half as many open genes again.
UNLIKE_DEPTH = 0.4
# Median cosine of RNA cells to their nearest: 0.08 to 0.17 of counts and their logarithms on four
# real sets, 0.50 to 0.82 where cells are averaged over five or fifteen.
AVERAGED = 0.3
# Cells of one experiment are all different but for some that are all but empty.
REPEATED = 0.05
# Cohen's kappa of RNA cells that were left out, 'slight' and 'moderate' by Landis and Koch (1977):
# 0.00 of labels in another order than the cells and 0.34 to 0.42 where half are; of four real sets
# and their rows of 300 cells or more 0.57 and above (docs/trust.md).
NO_LABELS, POOR_LABELS = 0.2, 0.5
# A type that more cells of its own are taken for another than are called by its name.
RECOGNISED = 0.5


def name_findings(matched_how: Mapping[str, int]) -> list[Finding]:
    """Of genes of two species (CD3D, Cd3d), which match in spite of upper and lower case."""
    genes = sum(matched_how.values())
    by_case = matched_how.get("case", 0)
    if not genes or 2 * by_case <= genes:
        return []
    return [
        Finding(
            RED,
            f"{by_case:,} of {genes:,} gene names match only when upper and lower case are taken "
            "as one, as those of mouse (Cd3d) and human (CD3D) do.",
            "Check that all cells are of one species. If so, write the gene names alike; if not, "
            "map them to the other species' genes first, by a table of orthologues.",
        )
    ]


def genome_findings(better: BetterGenome | None) -> list[Finding]:
    """Of a genome that the peaks or fragments are of, and the genes are not."""
    if better is None:
        return []
    advice = (
        f"Give --genome={better.name}, or the genes of the genome that the {better.of} are of. To "
        f"bring {better.of} to another genome, use UCSC's liftOver."
    )
    return [Finding(RED, str(better), advice)]


def input_findings(missing: float, unlike: tuple[str, str] | None) -> list[Finding]:
    """Of new cells whose genes or values are not those that the model was trained on.

    Parameters
    ----------
    missing : share of the model's genes that they lack.
    unlike : what the training's values are and theirs, where these are of another kind.
    """
    found = []
    if missing > MANY_MISSING:
        text = f"{missing:.0%} of the model's genes are not in the input and count as 0."
        advice = "Check the names of the genes, the species, and of peaks the genome."
        found.append(Finding(AMBER, text, advice))
    if unlike is not None:
        text = f"The model was trained on {unlike[0]}, and the input has {unlike[1]}."
        advice = f"Give {unlike[0]}, such as by --layer: these answers may be wrong."
        found.append(Finding(AMBER, text, advice))
    return found


def empty_findings(empty: Mapping[str, tuple[int, int]]) -> list[Finding]:
    """Of cells without data, modality -> how many, and of how many."""
    found = []
    for modality, (number, cells) in empty.items():
        share = number / max(1, cells)
        if share > MANY:
            level = RED if share >= MOSTLY_EMPTY else AMBER
            text = (
                f"{number:,} of {cells:,} {modality.upper()} cells are empty or nearly empty; "
                f"{UNFILTERED}."
            )
            advice = "Cell Ranger calls it filtered_feature_bc_matrix, or filtered_peak_bc_matrix."
            found.append(Finding(level, text, advice))
    return found


def depth_findings(modality: str, depth: DepthByType) -> list[Finding]:
    """Of types that depth alone would tell apart: the other modality need not have it so."""
    if depth.spread <= UNLIKE_DEPTH:
        return []
    common = depth.median[depth.cells >= COMMON_SHARE * depth.cells.sum()]
    told = depth.median if len(common) < 2 else common
    ends = [f"{genes:,.0f} ({name})" for name, genes in told.iloc[[0, -1]].items()]
    text = (
        f"Depth goes with the type of {modality} cells: a typical one has from {ends[0]} to "
        f"{ends[1]} genes with counts. Cells may be taken for a type for their depth."
    )
    advice = (
        f"Check marker genes. If the {modality} cells come of several experiments, name the column "
        f"of these by --{modality.lower()}_batch_key. If not, run it again with the deeper cells "
        "brought to fewer counts (scanpy.pp.downsample_counts), and doubt the labels that change."
    )
    return [Finding(AMBER, text, advice)]


def label_findings(left_out: LeftOut | None) -> list[Finding]:
    """Of RNA labels that do not go with the RNA counts, as those in another order than the cells.

    Fewer cells than `FEW_CELLS` may be too few to learn sound types from.
    """
    if left_out is None or len(left_out.recognised) < 2:
        return []
    if left_out.kappa < POOR_LABELS:
        none = left_out.kappa < NO_LABELS and left_out.cells >= FEW_CELLS
        text = (
            f"RNA labels go {'hardly' if none else 'poorly'} with the RNA counts: of RNA cells "
            "that were left out, "
            f"{left_out.accuracy:.0%} are called their own type (Cohen's kappa "
            f"{left_out.kappa:.2f}; 0 is chance, sound sets have 0.57 or more)."
        )
        advice = (
            "Check that the labels are of these cells, in their order: look at a marker gene by "
            "label. A table by --rna_labels is joined by the cells' names. Types that are finer "
            "than these counts can tell are to be grouped."
        )
        return [Finding(RED if none else AMBER, text, advice)]
    common = left_out.calls.sum(axis=1) >= COMMON_SHARE * left_out.cells
    poor = [
        f"{name} ({share:.0%}; most others are called {left_out.taken_for(name)})"
        for name, share in left_out.recognised.items()
        if share < RECOGNISED and common[name]
    ]
    if not poor:
        return []
    text = (
        f"RNA itself hardly tells {joined(poor)} from other types: so few RNA cells of theirs that "
        "were left out are called so."
    )
    advice = (
        "Group these with the type that they are taken for, or doubt which of the two ATAC cells "
        "are called."
    )
    return [Finding(AMBER, text, advice)]


def value_findings(likeness: float | None) -> list[Finding]:
    """Of RNA values that are no counts, and may be averages."""
    if likeness is None:
        return []
    if likeness > AVERAGED:
        text = (
            "RNA cells are nearly the same as their nearest, as cells are that were averaged or "
            f"imputed (median cosine {likeness:.2f}; of counts 0.08 to 0.17)."
        )
        advice = (
            "Give the counts from before that. Noise that neighbours share is learned for a "
            "difference of types, and all is surer than it should be."
        )
        return [Finding(AMBER, text, advice)]
    text = "The RNA values are no whole numbers, as logarithms and corrected counts are."
    advice = (
        "Give raw counts where you have them, such as --rna_layer=counts; new cells need alike."
    )
    return [Finding(NOTE, text, advice)]


def repeated_findings(share: float) -> list[Finding]:
    """Of cells that are there more than once."""
    if share < REPEATED:
        return []
    text = f"{share:.0%} of the ATAC cells have the very counts of another one: they repeat."
    advice = "Leave each in once; what else is told of numbers of cells holds for fewer."
    return [Finding(AMBER, text, advice)]
