"""The two kinds of cells that are brought together, in the order in which they are always told."""

MODALITIES = ("rna", "atac")
