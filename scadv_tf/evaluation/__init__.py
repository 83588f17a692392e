"""Scores, label transfer, pictures and the report: arrays in; numbers, pictures and HTML out."""
