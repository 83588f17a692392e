"""Warnings in plain language: what looks doubtful in a run, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from scadv_tf.evaluation.metrics import Labels, as_text, coded

# The thresholds are conventions of this project, not laws. Each with its reason:
# chance gives 1; below half of that, most neighbours are of the cell's own modality.
POOR_MIXING = 0.5
# Rousseeuw's rule of thumb for a silhouette: up to 0.25 there is no substantial structure.
SEPARATED_MODALITIES = 0.25
# With fewer cells, one cell more or less is over a tenth of the type.
RARE_TYPE_CELLS = 10
# A known report of modalities that would not mix came down to 267 shared genes.
FEW_SHARED_GENES = 500
# A label that is sure by less than one half is, if calibrated, more likely wrong than right.
LOW_CONFIDENCE = 0.5
# Some doubtful cells are in every set; a quarter is more than filtering should have to remove.
MANY_UNSURE_CELLS = 0.25
# Shares of one tissue differ between donors and assays; threefold is beyond what we let pass.
SHARE_FOLD = 3.0
# Shares of rare types differ manifold by chance, so only types this common are judged.
COMMON_SHARE = 0.05
# Fine types of one kind are often called by another's name; in a fifth of the cells is too much.
LEAST_AGREEMENT = 0.8
# Someone who keeps cells above 0.8 would then get 65 % right instead of 80 %.
POOR_CALIBRATION = 0.15


def plain_warnings(
    metrics: Mapping,
    matching: Mapping,
    rna_labels: Labels | None = None,
    predicted: Labels | None = None,
    confidence: np.ndarray | None = None,
) -> list[str]:
    """Say in plain language what looks doubtful in a run, and what to do about it.

    Parameters
    ----------
    metrics : the content of metrics.json; silhouette_modality (the silhouette of the modality in
        the latent space) and agreement are looked at where they are given.
    matching : the account of what matched; looked at for shared_genes.
    rna_labels : [R] types of the RNA cells; None where none were taught, as in the unsupervised
        mode.
    predicted : [A] types given to the ATAC cells, at the level of the RNA types.
    confidence : [A] of those, in [0, 1].

    Returns
    -------
    Sentences; none when nothing looks doubtful. What is not given is not judged.
    """
    found = _space_warnings(metrics, rna_labels is not None) + _gene_warnings(matching)
    if rna_labels is not None:
        found += _type_warnings(as_text(rna_labels), predicted)
    found += _agreement_warnings(metrics.get("agreement") or {})
    if confidence is not None and len(confidence):
        found += _confidence_warnings(np.asarray(confidence, dtype=float))
    error = metrics.get("calibration_error")
    if error is not None and error > POOR_CALIBRATION:
        found.append(
            f"The confidence is off by {error:.2f} on average. Use it to rank cells, not as the "
            "probability that a label is right."
        )
    return found


def _space_warnings(metrics: Mapping, labelled: bool) -> list[str]:
    mixing, apart = metrics.get("modality_mixing"), metrics.get("silhouette_modality")
    found = []
    if mixing is not None and mixing < POOR_MIXING:
        found.append(
            f"RNA and ATAC cells mix poorly: a cell has {mixing:.0%} of the neighbours of the "
            "other modality that chance would give. "
            f"{'Labels can still be right, but do' if labelled else 'Do'} not read distances "
            "between modalities. Check that both samples are of the same tissue and genome, and "
            "that --align_latent was not turned off. Beyond that, "
            f"{'a higher --centroid, or ' if labelled else ''}averaging over fewer --neighbors "
            f"mixes them more{'' if labelled else ', and so do RNA labels, where you have them'}."
        )
    if apart is not None and apart > SEPARATED_MODALITIES:
        found.append(
            f"RNA and ATAC cells form separate groups in the latent space (silhouette {apart:.2f}; "
            "0 or less is good). Look at the UMAP by modality before you use the integrated cells"
            f"{' for anything but labels' if labelled else ''}."
        )
    return found


def _gene_warnings(matching: Mapping) -> list[str]:
    genes = matching.get("shared_genes")
    if genes is None or genes >= FEW_SHARED_GENES:
        return []
    return [
        (
            f"Only {genes:,} genes are shared by the two modalities; {FEW_SHARED_GENES} or more "
            "are advisable. Check that the genome fits the peaks, that both files use the same "
            "kind of gene names, and that the files were not cut down to few genes."
        )
    ]


def _type_warnings(rna_labels: np.ndarray, predicted: Labels | None) -> list[str]:
    rna_cells = _count(rna_labels)
    found = []
    if rare := [name for name, cells in rna_cells.items() if cells < RARE_TYPE_CELLS]:
        found.append(
            f"Fewer than {RARE_TYPE_CELLS} RNA cells are of type {_join(rare, 'or')}: too few to "
            "learn from. Merge these types into related ones, drop them, or check their labels by "
            "hand."
        )
    if predicted is None or not len(predicted):
        return found
    atac_cells = _count(as_text(predicted))
    if missed := [name for name in rna_cells if name not in atac_cells]:
        found.append(
            f"No ATAC cell was labelled {_join(missed, 'or')}. This is right if the ATAC sample "
            "lacks them (platelets and red cells have no nucleus); if not, look for their marker "
            "genes among the ATAC cells."
        )
    return found + _share_warnings(rna_cells, atac_cells)


def _share_warnings(rna_cells: Mapping[str, int], atac_cells: Mapping[str, int]) -> list[str]:
    """Warn of the common types whose share differs very much between the modalities."""
    differing = []
    for name in rna_cells.keys() & atac_cells.keys():
        rna_share = rna_cells[name] / sum(rna_cells.values())
        atac_share = atac_cells[name] / sum(atac_cells.values())
        low, high = sorted((rna_share, atac_share))
        if high >= COMMON_SHARE and high > SHARE_FOLD * low:
            differing.append(f"{name} ({rna_share:.1%} of RNA, {atac_share:.1%} of ATAC cells)")
    if not differing:
        return []
    return [
        (
            f"The share of some types differs more than {SHARE_FOLD:.0f}-fold between the "
            f"modalities: {_join(sorted(differing))}. This is right if the samples differ so; if "
            "not, treat these labels with care and check their marker genes."
        )
    ]


def _agreement_warnings(agreement: Mapping[str, float]) -> list[str]:
    """Warn where other ways to the labels come to other types."""
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
    return [
        (
            f"Other ways to the labels come to another type: {_join(doubted)} of the ATAC cells. "
            "One of them is wrong there. Look at the cells where columns of predictions.csv "
            "differ, and check marker genes before you use their labels."
        )
    ]


def _confidence_warnings(confidence: np.ndarray) -> list[str]:
    unsure = np.mean(confidence < LOW_CONFIDENCE)
    if unsure <= MANY_UNSURE_CELLS:
        return []
    return [
        (
            f"{unsure:.0%} of the ATAC cells have a label with a confidence below "
            f"{LOW_CONFIDENCE}. Leave these cells out of what follows, or group the RNA types more "
            "coarsely. Types that the RNA data lacks also look like this."
        )
    ]


def _count(labels: np.ndarray) -> dict[str, int]:
    names, (codes,) = coded(labels)
    cells = np.bincount(codes, minlength=len(names))
    return {name: int(n) for name, n in zip(names, cells, strict=True) if name != ""}


def _join(names: Sequence[str], word: str = "and") -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}"
