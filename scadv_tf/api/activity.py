"""Peaks of an AnnData or a file to gene activity."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scadv_tf.api.arguments import plain
from scadv_tf.config import DataConfig
from scadv_tf.data.anndata_cells import is_path
from scadv_tf.data.cell_files import open_cells
from scadv_tf.data.datasets import DatasetSource, as_activity, choices_of, genes_of
from scadv_tf.data.gene_activity import DEFAULT_UPSTREAM, links_of_genes, peak_intervals
from scadv_tf.data.genome_fit import better_genome
from scadv_tf.data.readers import held
from scadv_tf.data.stored_cells import Called
from scadv_tf.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


def gene_activity(
    peaks: AnnData | MuData | str | Path,
    *,
    genome: str = "",
    genes: str | Path = "",
    upstream: int = DEFAULT_UPSTREAM,
    layer: str = "",
    barcodes: str | Path = "",
    min_fragments: int = DataConfig.min_fragments,
) -> AnnData:
    """The counts of the peaks in each gene and just before it, added up, as `integrate` does it.

    Parameters
    ----------
    peaks : ATAC cells with peaks, in whatever form `integrate` takes them; left as they are. Of a
        file of fragments, those in windows that add up to the genes.
    genome : hg38, hg19 or mm10, whose gene coordinates are embedded.
    genes : gene coordinates of your own (GTF or BED) in its place.
    upstream : base pairs before the transcription start that count as the gene's.
    layer : where the counts are: 'raw', or a layer; by default X.
    barcodes, min_fragments : which barcodes of a file of fragments are cells: those of a list, or
        those with so many fragments.

    Returns
    -------
    A new AnnData: X is CSR float32 [cells, genes with a peak], var has the coordinates, obs is that
    of the peaks.

    Raises
    ------
    InputError : the features are no peaks, it is not said where the genes lie, or none has a peak.
    """
    given = {"genome": genome, "genes": genes, "upstream": upstream, "atac_layer": layer}
    given |= {"barcodes": barcodes, "min_fragments": min_fragments}
    given |= {"atac": peaks} if is_path(peaks) else {}
    wanted = DatasetSource(**{name: plain(value) for name, value in given.items()})
    called, choices = Called("the file of peaks", "peaks", "layer"), choices_of(wanted, "atac")
    with open_cells(peaks, "atac", layer, called=called, choices=choices) as source:
        atac, better = held(source), source.stored.better_genome
    intervals = peak_intervals(atac.var)
    if intervals is None:
        raise InputError(
            what="the features are not peaks",
            expected="names like chr1:1000-2000",
            received=", ".join(atac.var_names[:3]),
            advice="give the cells x peaks matrix; gene activity needs no conversion",
        )
    places = genes_of(wanted, intervals)
    if better is None:  # else it was told of
        better_genome(intervals, places)  # tells the user
    return as_activity(atac, *links_of_genes(intervals, places, upstream))
