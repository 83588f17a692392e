"""From the features of any input to the genes and peaks that an exported model knows."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from scipy import sparse

from scadv_tf.client.assets import Assets
from scadv_tf.data.antibodies import as_genes
from scadv_tf.data.features import feature_names, interval_names
from scadv_tf.data.gene_activity import count_linked, link_peaks, overlaps, peak_intervals, reached
from scadv_tf.data.gene_matching import INDEX, MANY_MISSING, GeneMatch, match_features
from scadv_tf.data.genome_fit import BetterGenome, better_genome
from scadv_tf.data.matching_report import in_steps
from scadv_tf.data.pairing import Intervals
from scadv_tf.data.stored_cells import Counting
from scadv_tf.errors import InputError
from scadv_tf.not_none import not_none

logger = logging.getLogger(__name__)

# Overlapping peaks stand for the training's if they reach this share of them, and if each stands
# for no more than so many on average. On held-out blood cells with altered peaks, neighbours found
# so are better than by genes down to such a share, and worse where peaks were merged further.
ENOUGH_OVERLAP = 0.25
MOST_PEAKS_FOR_ONE = 2.5


@dataclass(frozen=True, eq=False)
class InputColumns:
    """What the F features of an input are to a model.

    Attributes
    ----------
    to_genes : CSR [F, G], which features add up to which gene.
    to_peaks : CSR [F, P], which features open which peak; None if neighbours are found by genes.
    matched_how : how many genes were matched in which way, see `GeneMatch`.
    better_genome : that the peaks or fragments are of, where the model's genes are of another.
    missing : share of the model's genes that the input lacks.
    unlike : what the training's values are and the input's, where these are of another kind.
    """

    to_genes: sparse.csr_matrix
    to_peaks: sparse.csr_matrix | None = None
    matched_how: dict[str, int] = field(default_factory=dict)
    better_genome: BetterGenome | None = None
    missing: float = 0.0
    unlike: tuple[str, str] | None = None

    def genes(self, counts: sparse.csr_matrix) -> sparse.csr_matrix:
        """Counts [cells, G] of the model's genes, the same whatever the order of the features."""
        # Sums in double precision, so that the order in which counts add up leaves no trace.
        return _ordered(counts.astype(np.float64) @ self.to_genes)

    def peaks(self, counts: sparse.csr_matrix) -> sparse.csr_matrix | None:
        """Positive where a peak of the model is open [cells, P]; None if they are not used."""
        if self.to_peaks is None:
            return None
        return _ordered((counts > 0).astype(np.float32) @ self.to_peaks)


def input_columns(var: pd.DataFrame, modality: str, model: Assets) -> InputColumns:
    """How the features of an input become the model's.

    RNA and gene activity go by the names of genes. Peaks add up to gene activity with the gene
    coordinates of the training; beside that, they stand for the peaks of the training if these are
    among them, or if enough of these are overlapped by them.

    Parameters
    ----------
    var : table of the F features.
    modality : 'rna' or 'atac'.
    model : what stands beside it.

    Raises
    ------
    InputError : no gene is known; peaks were given as RNA, or to a model that does not know where
        genes lie.
    """
    if modality == "rna":
        return _by_names(_rna_match(var, model), model)
    peaks = peak_intervals(var)
    if peaks is None:
        if model.peaks:
            logger.info("the input has gene activity and no peaks: neighbours are found by genes")
        return _by_names(_query_match(var, model), model)
    if model.intervals is None or model.intervals.genes is None:
        raise _no_places(f"peaks such as {', '.join(feature_names(var)[:3])}")
    links, match = _activity(peaks, model.intervals, model.genes)
    to_genes = sparse.csr_matrix(links @ _columns(match))
    better = better_genome(peaks, model.intervals.genes)
    known = _known_peaks(peaks, model)
    return replace(_by_names(match, model), to_genes=to_genes, to_peaks=known, better_genome=better)


def _by_names(match: GeneMatch, model: Assets) -> InputColumns:
    missing = 1 - len(match.genes) / len(model.genes)
    return InputColumns(_columns(match), matched_how=match.matched_how, missing=missing)


def counting_of(
    model: Assets, barcodes: str = "", min_fragments: int = Counting.min_fragments
) -> Counting:
    """How fragments become counts for a model: in the peaks, or windows, of its training.

    Parameters
    ----------
    barcodes, min_fragments : see `Counting`.
    """

    def intervals() -> pd.DataFrame:
        if model.intervals is None or model.intervals.genes is None:
            raise _no_places("fragments")
        return model.intervals.peaks

    chosen = {"--barcodes": barcodes, "--min_fragments": min_fragments != Counting.min_fragments}
    given = tuple(flag for flag, is_given in chosen.items() if is_given)
    places = None if model.intervals is None else model.intervals.genes
    genes = None if places is None else lambda: places
    return Counting(intervals, barcodes, min_fragments, given, genes=genes)


def _columns(match: GeneMatch) -> sparse.csr_matrix:
    """Which features add up to which of the model's genes, float32 CSR of zeros and ones [F, G]."""
    return sparse.csr_matrix(match.atac_sum @ match.rna_sum.T, dtype=np.float32)


def gene_match(var: pd.DataFrame, genes: np.ndarray, summed: bool = True) -> GeneMatch:
    """The genes of a model, as RNA, and the features of an input, matched as in training.

    Missing genes are 0, as unmeasured ones were in training.

    Parameters
    ----------
    var : table of F features, names in the index or in a column such as 'gene_name'.
    genes : names of the model's genes [G].
    summed : see `match_features`.

    Raises
    ------
    InputError : no gene is known.
    """
    try:
        match = match_features(_table_of(genes), var, 1, summed)
    except InputError as error:
        raise InputError(
            what="none of the model's genes is in the input",
            expected=f"genes such as {', '.join(map(str, genes[:3]))}",
            received=f"features such as {', '.join(map(str, var.index[:3]))}",
            advice="name the genes as in training, in the index or a column of var such as "
            "'gene_name', and check the species; for peaks the model must know where genes lie",
        ) from error
    _tell(match, len(genes))
    return match


def _table_of(genes: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(index=pd.Index(genes, dtype=object))


def _query_match(var: pd.DataFrame, model: Assets) -> GeneMatch:
    """The same of query cells, whose features may be antibodies, or levels that do not add up."""
    measure = model.measure
    if measure.is_protein:
        var, antibodies = as_genes(var, _table_of(model.genes))
        for line in antibodies.lines():
            logger.info(line)
    return gene_match(var, model.genes, summed=not measure.is_levels)


def _tell(match: GeneMatch, genes: int) -> None:
    """Tells what was matched, as a training does."""
    logger.info("genes of the model: %s (%s)", f"{len(match.genes):,}", in_steps(match.matched_how))
    if match.names_from[1] != INDEX:
        logger.info("gene names: from the column var['%s']", match.names_from[1])
    if match.duplicates_summed:
        logger.info("repeated genes: %s columns added to another", f"{match.duplicates_summed:,}")
    for warning in match.warnings("check that the cells are of the species of the training"):
        logger.warning(warning)
    missing = genes - len(match.genes)
    if missing:
        logger.warning(
            "%.1f %% of the model's genes (%d of %d) are not in the input and count as 0%s",
            100 * missing / genes,
            missing,
            genes,
            ": check the names and the species" if missing > MANY_MISSING * genes else "",
        )


def _rna_match(var: pd.DataFrame, model: Assets) -> GeneMatch:
    try:
        return gene_match(var, model.genes)
    except InputError:
        if peak_intervals(var) is None:
            raise
    raise InputError(
        what="the features are peaks, which RNA does not have",
        expected="genes",
        received=", ".join(feature_names(var)[:3]),
        advice="if the cells are ATAC, give --modality=atac",
    )


def _activity(
    peaks: pd.DataFrame, intervals: Intervals, genes: np.ndarray
) -> tuple[sparse.csr_matrix, GeneMatch]:
    """Which of P' peaks count for which genes [P', G'], and which of the model's these are."""
    links = link_peaks(peaks, intervals.genes, intervals.upstream)
    # As in training, a gene without any peak was not measured.
    measured = reached(links)
    if not measured.any():
        raise InputError(
            what="no peak lies in any gene that the model knows of",
            expected=f"peaks such as {_examples(intervals.peaks)}",
            received=_examples(peaks),
            advice="give peaks of the genome that the model was trained with",
        )
    names = pd.Index(not_none(intervals.genes)["gene"].to_numpy()[measured], dtype=object)
    return links[:, measured], gene_match(pd.DataFrame(index=names), genes)


def _known_peaks(peaks: pd.DataFrame, model: Assets) -> sparse.csr_matrix | None:
    """Which of P' peaks stand for which of the model's P, CSR [P', P]; None if too few do."""
    if not model.peaks or model.intervals is None:
        return None
    known = model.intervals.peaks
    same = _same(peaks, known)
    named = known["chrom"].ne("").to_numpy()
    if reached(same)[named].all():
        logger.info(
            "peaks: the %s of the training; neighbours are found by them", f"{len(known):,}"
        )
        return same
    overlapping = overlaps(peaks, known)
    share = float(reached(overlapping)[named].mean())
    for_one = overlapping.nnz / max(1, count_linked(overlapping))
    enough = share >= ENOUGH_OVERLAP and for_one <= MOST_PEAKS_FOR_ONE
    logger.info(
        "peaks: %.1f %% of the training's %s are overlapped, %.1f by each that overlaps any; "
        "neighbours are found by %s",
        100 * share,
        f"{len(known):,}",
        for_one,
        "them" if enough else "genes",
    )
    return overlapping if enough else None


def _no_places(received: str) -> InputError:
    return InputError(
        what="the model does not know where genes lie, as it was trained on gene activity, or "
        "is known by the names of its genes alone",
        expected="cells x genes",
        received=received,
        advice="make gene activity of them, as for the training, and give that; if the "
        "training had peaks, name the genes by the path of its assets/genes.txt",
    )


def _examples(peaks: pd.DataFrame) -> str:
    return ", ".join(interval_names(peaks[peaks["chrom"] != ""].head(3)))


def _same(peaks: pd.DataFrame, known: pd.DataFrame) -> sparse.csr_matrix:
    """Zeros and ones [P', P]: which peaks are the same interval."""
    columns = ["chrom", "start", "end"]
    tables = []
    for name, table in (("row", peaks), ("column", known)):
        table = table[columns].reset_index(drop=True).rename_axis(name).reset_index()
        tables.append(table[table["chrom"] != ""])
    pairs = tables[0].merge(tables[1], on=columns)
    ones = np.ones(len(pairs), dtype=np.float32)
    return sparse.csr_matrix((ones, (pairs["row"], pairs["column"])), (len(peaks), len(known)))


def _ordered(counts: sparse.spmatrix) -> sparse.csr_matrix:
    found = sparse.csr_matrix(counts, dtype=np.float32)
    found.sort_indices()
    return found
