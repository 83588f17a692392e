"""Other people's methods behind one small interface: cells in, a `Transfer` out.

`plain` (an SVM, two logistic regressions), `harmony` and `seurat` hold a function of each method's
name, and `SEEDED`: whether another seed gives another result. Where other software does the work,
`installed_version()` tells it, or None.
"""
