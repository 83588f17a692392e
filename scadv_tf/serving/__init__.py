"""The trained encoder for others: export as a SavedModel."""
