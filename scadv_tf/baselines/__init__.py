"""Other people's methods behind one small interface: cells in, a `Transfer` out.

`plain` (an SVM, two logistic regressions), `harmony` and `seurat` hold a function of each method's
name, and `SEEDED`: whether another seed gives another result. Where other software does the work,
`installed_version()` tells it, or None.

Each takes R RNA and A ATAC cells, preprocessed with a projection, the types of the RNA cells [R],
text, and a seed, which those do not use in which nothing is random. An `InputError` tells of types
of another length or of fewer than two, of cells without components, and of what a method lacks.
"""
