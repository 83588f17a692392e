"""Data sets that are published elsewhere, a module each."""
