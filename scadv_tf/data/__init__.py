"""AnnData in, arrays out. Knows no model, no TensorFlow and no command line."""

from __future__ import annotations

from scadv_tf.data.datasets import DatasetSource, available, load, load_dataset
from scadv_tf.data.gene_activity import DEFAULT_UPSTREAM, gene_activity, peak_intervals
from scadv_tf.data.gene_coordinates import GENOMES, load_genes
from scadv_tf.data.matching_report import MatchingReport
from scadv_tf.data.pairing import AtacTruth, PairedData, pair
from scadv_tf.data.readers import read_modality
from scadv_tf.data.synthetic import simulate

__all__ = [
    "AtacTruth",
    "DEFAULT_UPSTREAM",
    "DatasetSource",
    "GENOMES",
    "MatchingReport",
    "PairedData",
    "available",
    "gene_activity",
    "load",
    "load_dataset",
    "load_genes",
    "pair",
    "peak_intervals",
    "read_modality",
    "simulate",
]
